-- Tokens for who signs in by Digest, from KEMI.

function ksr_request_route()
    return register()
end

local function ha1()
    return (string.gsub(KSR.pv.get("$def(DESK_HA1)"), '"', ''))
end

local function bind()
    KSR.registrar.save("location", 0)
    return 1
end

function register()
    if KSR.auth_oauth.check("example.test") > 0 then return bind() end
    if KSR.pv.get("$oauth(verdict)") ~= "no_credentials" then
        KSR.auth_oauth.reply()
        return 1
    end
    -- When it has waited for its tokens, Digest has counted the use of its nonce.
    if KSR.pv.get("$oauth(again)") ~= "password_grant" and KSR.auth.pv_auth_check("example.test", ha1(), 1, 0) < 0 then
        KSR.auth.auth_challenge("example.test", 1)
        return 1
    end
    if KSR.auth_oauth.password_grant("example.test", ha1()) > 0 then return bind() end
    KSR.auth_oauth.reply()
    return 1
end
