/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The functions of a script. They unwrap the parameters and call functions of the other files. OpenSIPS gives a parameter
 * that the script leaves out as NULL, and evaluates variables itself.
 */
#include "module.h"

static str text_of(const str *parameter)
{
    return parameter != NULL ? *parameter : (str){NULL, 0};
}

static struct oauth_call call_of(enum oauth_function function, const str *realm, const str *second, const str *third)
{
    return (struct oauth_call){function, {text_of(realm), text_of(second), text_of(third)}};
}

int oauth_call(sip_msg_t *msg, const struct oauth_call *call, const struct oauth_resume *resume)
{
    const struct oauth_digest_user user = {call->texts[1], call->texts[2]};
    const str *realm = &call->texts[0];

    switch (call->function) {
    case OAUTH_CHECK:
        return oauth_check(msg, SIPOAUTH_ROLE_UAS, realm, resume);
    case OAUTH_PROXY_CHECK:
        return oauth_check(msg, SIPOAUTH_ROLE_PROXY, realm, resume);
    case OAUTH_PASSWORD_GRANT:
        return oauth_password_grant(msg, realm, &user, resume);
    case OAUTH_KD_CHECK:
        return oauth_kd_check(msg, SIPOAUTH_ROLE_UAS, realm, resume);
    case OAUTH_PROXY_KD_CHECK:
        return oauth_kd_check(msg, SIPOAUTH_ROLE_PROXY, realm, resume);
    case OAUTH_KD_CHECK_ACCOUNT:
        return oauth_kd_check_account(msg, SIPOAUTH_ROLE_UAS, realm, &call->texts[1], resume);
    case OAUTH_PROXY_KD_CHECK_ACCOUNT:
        return oauth_kd_check_account(msg, SIPOAUTH_ROLE_PROXY, realm, &call->texts[1], resume);
    case OAUTH_DEVICE_ACCOUNT:
        return oauth_device_account(msg, realm, resume);
    }
    return OAUTH_ERROR;
}

static int run(sip_msg_t *msg, enum oauth_function function, const str *realm, const str *second, const str *third)
{
    const struct oauth_call call = call_of(function, realm, second, third);

    return oauth_call(msg, &call, NULL);
}

static int w_check(sip_msg_t *msg, str *realm)
{
    return run(msg, OAUTH_CHECK, realm, NULL, NULL);
}

static int w_proxy_check(sip_msg_t *msg, str *realm)
{
    return run(msg, OAUTH_PROXY_CHECK, realm, NULL, NULL);
}

static int w_password_grant(sip_msg_t *msg, str *realm, str *ha1, str *password)
{
    return run(msg, OAUTH_PASSWORD_GRANT, realm, ha1, password);
}

static int w_kd_check(sip_msg_t *msg, str *realm)
{
    return run(msg, OAUTH_KD_CHECK, realm, NULL, NULL);
}

static int w_proxy_kd_check(sip_msg_t *msg, str *realm)
{
    return run(msg, OAUTH_PROXY_KD_CHECK, realm, NULL, NULL);
}

static int w_kd_check_account(sip_msg_t *msg, str *realm, str *account)
{
    return run(msg, OAUTH_KD_CHECK_ACCOUNT, realm, account, NULL);
}

static int w_proxy_kd_check_account(sip_msg_t *msg, str *realm, str *account)
{
    return run(msg, OAUTH_PROXY_KD_CHECK_ACCOUNT, realm, account, NULL);
}

static int w_device_account(sip_msg_t *msg, str *realm)
{
    return run(msg, OAUTH_DEVICE_ACCOUNT, realm, NULL, NULL);
}

static int w_check_token(sip_msg_t *msg, str *token, str *realm)
{
    const str where = text_of(realm);

    return oauth_check_token(msg, token, &where);
}

static int w_www_challenge(sip_msg_t *msg, str *realm, int *flags)
{
    return oauth_challenge(msg, SIPOAUTH_ROLE_UAS, realm, flags != NULL ? *flags : 0);
}

static int w_proxy_challenge(sip_msg_t *msg, str *realm, int *flags)
{
    return oauth_challenge(msg, SIPOAUTH_ROLE_PROXY, realm, flags != NULL ? *flags : 0);
}

static int w_kd_challenge(sip_msg_t *msg, int *flags)
{
    return oauth_kd_challenge(msg, flags != NULL ? *flags : 0);
}

static int w_reply(sip_msg_t *msg, str *realm)
{
    const str where = text_of(realm);

    return oauth_reply(msg, &where);
}

static int w_service(sip_msg_t *msg, str *name)
{
    return oauth_require(msg, SIPOAUTH_REQUIRE_SERVICE, name);
}

static int w_scope(sip_msg_t *msg, str *scopes)
{
    return oauth_require(msg, SIPOAUTH_REQUIRE_SCOPE, scopes);
}

static int w_refer_accept(sip_msg_t *msg, int *cseq)
{
    return oauth_refer_accept(msg, cseq != NULL ? *cseq : 0);
}

/* OpenSIPS calls a function with as many parameters as it may have, whatever type the table gives it. */
#define F(function) ((cmd_function)(void (*)(void))(function))
#define NO_PARAMETER {{0, NULL, NULL}}
#define TEXT {CMD_PARAM_STR, NULL, NULL}
#define MAYBE_TEXT {CMD_PARAM_STR | CMD_PARAM_OPT, NULL, NULL}
#define MAYBE_NUMBER {CMD_PARAM_INT | CMD_PARAM_OPT, NULL, NULL}
#define END {0, NULL, NULL}

#define CHECK_ROUTES (REQUEST_ROUTE | FAILURE_ROUTE | BRANCH_ROUTE | LOCAL_ROUTE)
#define ANSWERING_ROUTES (REQUEST_ROUTE | FAILURE_ROUTE)

cmd_export_t oauth_cmds[] = {
    {"oauth_check", F(w_check), {TEXT, END}, CHECK_ROUTES},
    {"oauth_proxy_check", F(w_proxy_check), {TEXT, END}, CHECK_ROUTES},
    {"oauth_password_grant", F(w_password_grant), {TEXT, TEXT, MAYBE_TEXT, END}, ANSWERING_ROUTES},
    {"oauth_device_account", F(w_device_account), {TEXT, END}, CHECK_ROUTES},
    {"oauth_device_accept", F(oauth_device_accept), NO_PARAMETER, CHECK_ROUTES},
    {"oauth_check_token", F(w_check_token), {TEXT, MAYBE_TEXT, END}, ALL_ROUTES},
    {"oauth_www_challenge", F(w_www_challenge), {TEXT, MAYBE_NUMBER, END}, ANSWERING_ROUTES},
    {"oauth_proxy_challenge", F(w_proxy_challenge), {TEXT, MAYBE_NUMBER, END}, ANSWERING_ROUTES},
    {"oauth_kd_check", F(w_kd_check), {TEXT, END}, CHECK_ROUTES},
    {"oauth_proxy_kd_check", F(w_proxy_kd_check), {TEXT, END}, CHECK_ROUTES},
    {"oauth_kd_check_account", F(w_kd_check_account), {TEXT, TEXT, END}, CHECK_ROUTES},
    {"oauth_proxy_kd_check_account", F(w_proxy_kd_check_account), {TEXT, TEXT, END}, CHECK_ROUTES},
    {"oauth_kd_challenge", F(w_kd_challenge), {MAYBE_NUMBER, END}, ANSWERING_ROUTES},
    {"oauth_offer", F(oauth_offer), NO_PARAMETER, CHECK_ROUTES},
    {"oauth_reply", F(w_reply), {MAYBE_TEXT, END}, ANSWERING_ROUTES},
    {"oauth_remove_credentials", F(oauth_remove_credentials), NO_PARAMETER, CHECK_ROUTES},
    {"oauth_service", F(w_service), {TEXT, END}, CHECK_ROUTES},
    {"oauth_scope", F(w_scope), {TEXT, END}, CHECK_ROUTES},
    {"oauth_dialog_mark", F(oauth_dialog_mark), NO_PARAMETER, CHECK_ROUTES},
    {"oauth_dialog_check", F(oauth_dialog_check), NO_PARAMETER, CHECK_ROUTES},
    {"oauth_cancel_check", F(oauth_cancel_check), NO_PARAMETER, REQUEST_ROUTE},
    {"oauth_forward_token", F(oauth_forward_token), NO_PARAMETER, BRANCH_ROUTE},
    {"oauth_refer_check", F(oauth_refer_check), NO_PARAMETER, CHECK_ROUTES},
    {"oauth_refer_accept", F(w_refer_accept), {MAYBE_NUMBER, END}, ANSWERING_ROUTES},
    {"oauth_refer_follow", F(oauth_refer_follow), NO_PARAMETER, CHECK_ROUTES},
    {"oauth_refer_subscribe", F(oauth_refer_subscribe), NO_PARAMETER, ANSWERING_ROUTES},
    {"oauth_refer_publish", F(oauth_refer_publish), NO_PARAMETER, ANSWERING_ROUTES},
    {"oauth_refer_update", F(oauth_refer_update), {TEXT, TEXT, END}, ALL_ROUTES},
    {"oauth_refer_response", F(oauth_refer_response), NO_PARAMETER, ALL_ROUTES},
    {NULL, NULL, NO_PARAMETER, 0}
};

static int a_check(sip_msg_t *msg, async_ctx *context, str *realm)
{
    const struct oauth_call call = call_of(OAUTH_CHECK, realm, NULL, NULL);

    return oauth_async(msg, context, &call);
}

static int a_proxy_check(sip_msg_t *msg, async_ctx *context, str *realm)
{
    const struct oauth_call call = call_of(OAUTH_PROXY_CHECK, realm, NULL, NULL);

    return oauth_async(msg, context, &call);
}

static int a_password_grant(sip_msg_t *msg, async_ctx *context, str *realm, str *ha1, str *password)
{
    const struct oauth_call call = call_of(OAUTH_PASSWORD_GRANT, realm, ha1, password);

    return oauth_async(msg, context, &call);
}

static int a_kd_check(sip_msg_t *msg, async_ctx *context, str *realm)
{
    const struct oauth_call call = call_of(OAUTH_KD_CHECK, realm, NULL, NULL);

    return oauth_async(msg, context, &call);
}

static int a_proxy_kd_check(sip_msg_t *msg, async_ctx *context, str *realm)
{
    const struct oauth_call call = call_of(OAUTH_PROXY_KD_CHECK, realm, NULL, NULL);

    return oauth_async(msg, context, &call);
}

static int a_kd_check_account(sip_msg_t *msg, async_ctx *context, str *realm, str *account)
{
    const struct oauth_call call = call_of(OAUTH_KD_CHECK_ACCOUNT, realm, account, NULL);

    return oauth_async(msg, context, &call);
}

static int a_proxy_kd_check_account(sip_msg_t *msg, async_ctx *context, str *realm, str *account)
{
    const struct oauth_call call = call_of(OAUTH_PROXY_KD_CHECK_ACCOUNT, realm, account, NULL);

    return oauth_async(msg, context, &call);
}

static int a_device_account(sip_msg_t *msg, async_ctx *context, str *realm)
{
    const struct oauth_call call = call_of(OAUTH_DEVICE_ACCOUNT, realm, NULL, NULL);

    return oauth_async(msg, context, &call);
}

#define A(function) ((acmd_function)(void (*)(void))(function))

const acmd_export_t oauth_acmds[] = {
    {"oauth_check", A(a_check), {TEXT, END}},
    {"oauth_proxy_check", A(a_proxy_check), {TEXT, END}},
    {"oauth_password_grant", A(a_password_grant), {TEXT, TEXT, MAYBE_TEXT, END}},
    {"oauth_kd_check", A(a_kd_check), {TEXT, END}},
    {"oauth_proxy_kd_check", A(a_proxy_kd_check), {TEXT, END}},
    {"oauth_kd_check_account", A(a_kd_check_account), {TEXT, TEXT, END}},
    {"oauth_proxy_kd_check_account", A(a_proxy_kd_check_account), {TEXT, TEXT, END}},
    {"oauth_device_account", A(a_device_account), {TEXT, END}},
    {NULL, NULL, NO_PARAMETER}
};
