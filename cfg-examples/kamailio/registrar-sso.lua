-- The routing of registrar-sso.cfg in Lua (KEMI).
--
-- KEMI does not end a script by a function's 0: where a check returns 0, the request waits for the authorization server,
-- and the named function runs when it goes on.

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
    -- A copy of a request that waits.
    if KSR.tmx.t_precheck_trans() > 0 then
        KSR.tm.t_check_trans()
        return 1
    end
    return register()
end

function register()
    local rc = KSR.auth_oauth.check_resume(DOMAIN, "register")
    if rc == 0 then return 1 end
    if rc < 0 then
        KSR.auth_oauth.reply()
        return 1
    end
    KSR.hdr.append_to_reply("X-User: " .. KSR.pv.get("$oauth(user)") .. " at " .. KSR.pv.get("$oauth(provider)") .. "\r\n")
    KSR.registrar.save("location", 0)
    return 1
end
