/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same functions for Lua, Python and the other KEMI languages: KSR.auth_oauth.check(realm) ...
 *
 * KEMI does not end the script when a request must wait. The check then returns a negative number like one that has
 * failed, and the functions that answer send nothing, so the script need not tell the two apart. Functions that end in
 * _resume name the script function in which a request goes on whose transaction the script has made before the check.
 */
#include "core/kemi.h"

#include "module.h"

static const struct oauth_resume nowhere = {-1, NULL}; /* a constant, which a compound literal is not */

static int result(int code)
{
    return code == OAUTH_PARKED ? OAUTH_PENDING : code;
}

static int ki_check(sip_msg_t *msg, str *realm)
{
    return result(oauth_check(msg, SIPOAUTH_ROLE_UAS, realm, &nowhere));
}

static int ki_proxy_check(sip_msg_t *msg, str *realm)
{
    return result(oauth_check(msg, SIPOAUTH_ROLE_PROXY, realm, &nowhere));
}

static int ki_check_resume(sip_msg_t *msg, str *realm, str *callback)
{
    struct oauth_resume resume = {-1, callback};

    return result(oauth_check(msg, SIPOAUTH_ROLE_UAS, realm, &resume));
}

static int ki_proxy_check_resume(sip_msg_t *msg, str *realm, str *callback)
{
    struct oauth_resume resume = {-1, callback};

    return result(oauth_check(msg, SIPOAUTH_ROLE_PROXY, realm, &resume));
}

static int ki_password_grant(sip_msg_t *msg, str *realm, str *ha1)
{
    struct oauth_digest_user user = {*ha1, STR_NULL};

    return result(oauth_password_grant(msg, realm, &user, &nowhere));
}

static int ki_password_grant_resume(sip_msg_t *msg, str *realm, str *ha1, str *callback, str *password)
{
    struct oauth_digest_user user = {*ha1, *password};
    struct oauth_resume resume = {-1, callback};

    return result(oauth_password_grant(msg, realm, &user, &resume));
}

static int ki_check_token(sip_msg_t *msg, str *token)
{
    return result(oauth_check_token(msg, token, NULL));
}

static int ki_check_token_realm(sip_msg_t *msg, str *token, str *realm)
{
    return result(oauth_check_token(msg, token, realm));
}

static int ki_kd_check(sip_msg_t *msg, str *realm)
{
    return result(oauth_kd_check(msg, SIPOAUTH_ROLE_UAS, realm, &nowhere));
}

static int ki_proxy_kd_check(sip_msg_t *msg, str *realm)
{
    return result(oauth_kd_check(msg, SIPOAUTH_ROLE_PROXY, realm, &nowhere));
}

static int ki_kd_check_resume(sip_msg_t *msg, str *realm, str *callback)
{
    struct oauth_resume resume = {-1, callback};

    return result(oauth_kd_check(msg, SIPOAUTH_ROLE_UAS, realm, &resume));
}

static int ki_proxy_kd_check_resume(sip_msg_t *msg, str *realm, str *callback)
{
    struct oauth_resume resume = {-1, callback};

    return result(oauth_kd_check(msg, SIPOAUTH_ROLE_PROXY, realm, &resume));
}

static int ki_kd_check_account(sip_msg_t *msg, str *realm, str *account)
{
    return result(oauth_kd_check_account(msg, SIPOAUTH_ROLE_UAS, realm, account, &nowhere));
}

static int ki_proxy_kd_check_account(sip_msg_t *msg, str *realm, str *account)
{
    return result(oauth_kd_check_account(msg, SIPOAUTH_ROLE_PROXY, realm, account, &nowhere));
}

static int ki_kd_check_account_resume(sip_msg_t *msg, str *realm, str *account, str *callback)
{
    struct oauth_resume resume = {-1, callback};

    return result(oauth_kd_check_account(msg, SIPOAUTH_ROLE_UAS, realm, account, &resume));
}

static int ki_proxy_kd_check_account_resume(sip_msg_t *msg, str *realm, str *account, str *callback)
{
    struct oauth_resume resume = {-1, callback};

    return result(oauth_kd_check_account(msg, SIPOAUTH_ROLE_PROXY, realm, account, &resume));
}

static int ki_device_account(sip_msg_t *msg, str *realm)
{
    return result(oauth_device_account(msg, realm, &nowhere));
}

static int ki_device_account_resume(sip_msg_t *msg, str *realm, str *callback)
{
    struct oauth_resume resume = {-1, callback};

    return result(oauth_device_account(msg, realm, &resume));
}

static int ki_device_accept(sip_msg_t *msg)
{
    return result(oauth_device_accept(msg));
}

static int ki_back_channel_logout(sip_msg_t *msg, str *form)
{
    return oauth_back_channel_logout(msg, form);
}

static int ki_kd_challenge(sip_msg_t *msg, int flags)
{
    return oauth_kd_challenge(msg, flags);
}

static int ki_www_challenge(sip_msg_t *msg, str *realm, int flags)
{
    return oauth_challenge(msg, SIPOAUTH_ROLE_UAS, realm, flags);
}

static int ki_proxy_challenge(sip_msg_t *msg, str *realm, int flags)
{
    return oauth_challenge(msg, SIPOAUTH_ROLE_PROXY, realm, flags);
}

static int ki_offer(sip_msg_t *msg)
{
    return oauth_offer(msg);
}

static int ki_reply(sip_msg_t *msg)
{
    return oauth_reply(msg, NULL);
}

static int ki_reply_realm(sip_msg_t *msg, str *realm)
{
    return oauth_reply(msg, realm);
}

static int ki_remove_credentials(sip_msg_t *msg)
{
    return oauth_remove_credentials(msg);
}

static int ki_service(sip_msg_t *msg, str *name)
{
    return oauth_require(msg, SIPOAUTH_REQUIRE_SERVICE, name);
}

static int ki_scope(sip_msg_t *msg, str *scopes)
{
    return oauth_require(msg, SIPOAUTH_REQUIRE_SCOPE, scopes);
}

static int ki_forward_token(sip_msg_t *msg)
{
    return oauth_forward_token(msg);
}

static int ki_dialog_mark(sip_msg_t *msg)
{
    return oauth_dialog_mark(msg);
}

static int ki_dialog_check(sip_msg_t *msg)
{
    return oauth_dialog_check(msg);
}

static int ki_refer_check(sip_msg_t *msg)
{
    return oauth_refer_check(msg);
}

static int ki_refer_accept(sip_msg_t *msg)
{
    return oauth_refer_accept(msg, 0);
}

static int ki_refer_accept_cseq(sip_msg_t *msg, int cseq)
{
    return oauth_refer_accept(msg, cseq);
}

static int ki_refer_follow(sip_msg_t *msg)
{
    return oauth_refer_follow(msg);
}

static int ki_refer_subscribe(sip_msg_t *msg)
{
    return oauth_refer_subscribe(msg);
}

static int ki_refer_publish(sip_msg_t *msg)
{
    return oauth_refer_publish(msg);
}

static int ki_refer_update(sip_msg_t *msg, str *id, str *status)
{
    return oauth_refer_update(msg, id, status);
}

static int ki_refer_response(sip_msg_t *msg)
{
    return oauth_refer_response(msg);
}

#define NONE SR_KEMIP_NONE
#define STRING SR_KEMIP_STR
#define NUMBER SR_KEMIP_INT
#define FUNCTION4(name, first, second, third, fourth)                          \
    {                                                                          \
        str_init("auth_oauth"), str_init(#name), SR_KEMIP_INT, (void *)ki_##name, \
        {first, second, third, fourth, NONE, NONE}                             \
    }
#define FUNCTION(name, first, second) FUNCTION4(name, first, second, NONE, NONE)

static sr_kemi_t functions[] = {
    FUNCTION(check, STRING, NONE),
    FUNCTION(check_resume, STRING, STRING),
    FUNCTION(proxy_check, STRING, NONE),
    FUNCTION(proxy_check_resume, STRING, STRING),
    FUNCTION(password_grant, STRING, STRING),
    FUNCTION4(password_grant_resume, STRING, STRING, STRING, STRING),
    FUNCTION(check_token, STRING, NONE),
    FUNCTION(check_token_realm, STRING, STRING),
    FUNCTION(kd_check, STRING, NONE),
    FUNCTION(kd_check_resume, STRING, STRING),
    FUNCTION(proxy_kd_check, STRING, NONE),
    FUNCTION(proxy_kd_check_resume, STRING, STRING),
    FUNCTION(kd_check_account, STRING, STRING),
    FUNCTION4(kd_check_account_resume, STRING, STRING, STRING, NONE),
    FUNCTION(proxy_kd_check_account, STRING, STRING),
    FUNCTION4(proxy_kd_check_account_resume, STRING, STRING, STRING, NONE),
    FUNCTION(device_account, STRING, NONE),
    FUNCTION(device_account_resume, STRING, STRING),
    FUNCTION(device_accept, NONE, NONE),
    FUNCTION(back_channel_logout, STRING, NONE),
    FUNCTION(kd_challenge, NUMBER, NONE),
    FUNCTION(www_challenge, STRING, NUMBER),
    FUNCTION(proxy_challenge, STRING, NUMBER),
    FUNCTION(offer, NONE, NONE),
    FUNCTION(reply, NONE, NONE),
    FUNCTION(reply_realm, STRING, NONE),
    FUNCTION(remove_credentials, NONE, NONE),
    FUNCTION(service, STRING, NONE),
    FUNCTION(scope, STRING, NONE),
    FUNCTION(forward_token, NONE, NONE),
    FUNCTION(dialog_mark, NONE, NONE),
    FUNCTION(dialog_check, NONE, NONE),
    FUNCTION(refer_check, NONE, NONE),
    FUNCTION(refer_accept, NONE, NONE),
    FUNCTION(refer_accept_cseq, NUMBER, NONE),
    FUNCTION(refer_follow, NONE, NONE),
    FUNCTION(refer_subscribe, NONE, NONE),
    FUNCTION(refer_publish, NONE, NONE),
    FUNCTION(refer_update, STRING, STRING),
    FUNCTION(refer_response, NONE, NONE),
    {{0, 0}, {0, 0}, 0, NULL, {0, 0, 0, 0, 0, 0}}
};

int oauth_kemi_register(void)
{
    return sr_kemi_modules_add(functions);
}
