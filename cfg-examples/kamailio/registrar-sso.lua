-- The routing of registrar-sso.cfg in Lua (KEMI).
--
-- A request that must wait for the authorization server is like a refused one here: reply() then sends nothing, and the
-- script sees the request again, from the top, when the answer is there.

DOMAIN = "example.test"

function ksr_request_route()
    if KSR.maxfwd.process_maxfwd(10) < 0 then
        KSR.sl.sl_send_reply(483, "Too Many Hops")
        return 1
    end
    if KSR.sanity.sanity_check(17895, 7) < 0 then return 1 end
    if not KSR.is_REGISTER() then
        KSR.sl.sl_send_reply(405, "Method Not Allowed")
        return 1
    end
    if KSR.auth_oauth.check(DOMAIN) < 0 then
        KSR.auth_oauth.reply()
        return 1
    end
    KSR.hdr.append_to_reply("X-User: " .. KSR.pv.get("$oauth(user)") .. " at " .. KSR.pv.get("$oauth(provider)") .. "\r\n")
    KSR.registrar.save("location", 0)
    return 1
end
