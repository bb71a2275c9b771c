-- The events from KEMI.

function ksr_request_route()
    if KSR.auth_oauth.check("example.test") < 0 then
        KSR.auth_oauth.reply()
        return 1
    end
    KSR.sl.sl_send_reply(200, "OK")
    return 1
end

function on_event(name)
    KSR.notice("EVENT " .. name .. " " .. KSR.pv.get("$oauth(reason)") .. "\n")
    return 1
end
