-- Levels of service and the token of the user, from KEMI.

function ksr_request_route()
    return call()
end

function call()
    if KSR.auth_oauth.check("example.test") < 0 or KSR.auth_oauth.scope("sip") < 0 or KSR.auth_oauth.service("conference") < 0 then
        KSR.auth_oauth.reply()
        return 1
    end
    -- outside of a branch route nothing is forwarded
    if KSR.auth_oauth.forward_token() ~= -1 then return 1 end
    KSR.setdsturi((string.gsub(KSR.pv.get("$def(APPLICATION_SERVER)"), '"', '')))
    KSR.hdr.append("X-Services: " .. KSR.pv.get("$oauth(services)") .. "\r\n")
    KSR.tm.t_on_branch("branch")
    KSR.tm.t_relay()
    return 1
end

function branch()
    KSR.auth_oauth.forward_token()
    return 1
end
