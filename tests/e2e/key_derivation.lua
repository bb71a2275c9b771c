-- The Key-Derivation functions from a KEMI script: each method uses others of them.
local REALM = "example.test"

local function answer(code)
    if code > 0 then
        KSR.sl.sl_send_reply(200, "OK")
    else
        KSR.auth_oauth.reply()
    end
end

function ksr_request_route()
    local method = KSR.pv.get("$rm")
    if method == "REGISTER" then
        answer(KSR.auth_oauth.kd_check(REALM))
    elseif method == "OPTIONS" then
        answer(KSR.auth_oauth.kd_check(REALM))
    elseif method == "MESSAGE" then
        answer(KSR.auth_oauth.proxy_kd_check(REALM))
    elseif method == "PUBLISH" then
        answer(KSR.auth_oauth.kd_check_account(REALM, ""))
    elseif KSR.auth_oauth.proxy_kd_check_account(REALM, "<null>") < 0 then
        KSR.auth_oauth.kd_challenge(1)
        KSR.sl.sl_send_reply(407, "Added")
    end
end
