-- A request that must wait, from KEMI. The script answers to some of them by itself, which it should not.

function ksr_request_route()
    if KSR.pv.get("$rm") == "OPTIONS" then
        KSR.sl.sl_send_reply(200, "OK")
        return 1
    end
    if KSR.auth_oauth.check("example.test") < 0 and KSR.auth_oauth.proxy_check("example.test") < 0 then
        local mode = KSR.pv.get("$hdr(X-Mode)")
        if mode == "hasty" then
            KSR.sl.sl_send_reply(403, KSR.pv.get("$oauth(verdict)"))
        elseif mode == "stateful" then
            KSR.tm.t_newtran()
            KSR.tm.t_reply(480, KSR.pv.get("$oauth(verdict)"))
        else
            KSR.auth_oauth.www_challenge("example.test", 0)
            KSR.auth_oauth.reply()
        end
        return 1
    end
    KSR.hdr.append_to_reply("X-Again: " .. tostring(KSR.pv.get("$oauth(again)")) .. "\r\n")
    KSR.sl.sl_send_reply(200, "OK")
    return 1
end
