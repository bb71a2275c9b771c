/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The functions of a native configuration script. They unwrap the parameters and call functions of the other files.
 */
#include <string.h>

#include "core/mem/mem.h"
#include "core/mod_fix.h"
#include "core/route.h"

#include "module.h"

/* The resume route: usually a constant, found at start; otherwise looked up for each request. An empty name is none. */
struct route_param {
    int index;
    void *dynamic;
};

static int text_of(sip_msg_t *msg, char *param, str *text, const char *what)
{
    if (fixup_get_svalue(msg, (gparam_t *)param, text) < 0) {
        LM_ERR("the parameter %s has no value\n", what);
        return -1;
    }
    return 0;
}

static int route_of(sip_msg_t *msg, char *route_param, struct oauth_resume *resume)
{
    const struct route_param *param = (struct route_param *)route_param;
    char name[128];
    str text;

    *resume = OAUTH_RESUME_NOWHERE;
    if (param == NULL)
        return 0;
    resume->route = param->index;
    if (param->dynamic == NULL)
        return 0;
    if (text_of(msg, param->dynamic, &text, "resume_route") < 0)
        return -1;
    if (text.len <= 0)
        return 0;
    if (text.len >= (int)sizeof(name)) {
        LM_ERR("the name of a resume route must have at most %zu characters\n", sizeof(name) - 1);
        return -1;
    }
    memcpy(name, text.s, text.len);
    name[text.len] = '\0';
    resume->route = oauth_route_find(name);
    if (resume->route < 0) {
        LM_ERR("there is no route[%s] to resume in\n", name);
        return -1;
    }
    return 0;
}

static int fixup_resume_route(void **param)
{
    struct route_param *route = pkg_malloc(sizeof(*route));
    char *name = *param;

    if (route == NULL) {
        LM_ERR("no private memory for a parameter\n");
        return -1;
    }
    memset(route, 0, sizeof(*route));
    route->index = -1;
    if (strchr(name, '$') != NULL) {
        route->dynamic = *param;
        if (fixup_spve_null(&route->dynamic, 1) < 0) {
            pkg_free(route);
            return -1;
        }
    } else if (name[0] != '\0') {
        route->index = oauth_route_find(name);
        if (route->index < 0) {
            LM_ERR("there is no route[%s] to resume in: write that route block or mend the name\n", name);
            pkg_free(route);
            return -1;
        }
    }
    *param = route;
    return 0;
}

/* Where a request is checked, and where it goes on if it has to wait. */
static int place_of(sip_msg_t *msg, char *realm_param, char *route_param, str *realm, struct oauth_resume *resume)
{
    return text_of(msg, realm_param, realm, "realm") < 0 || route_of(msg, route_param, resume) < 0 ? -1 : 0;
}

static int fixup_check(void **param, int number)
{
    return number == 1 ? fixup_spve_null(param, 1) : fixup_resume_route(param);
}

static int check(sip_msg_t *msg, uint32_t role, char *realm_param, char *route_param)
{
    struct oauth_resume resume;
    str realm;

    if (place_of(msg, realm_param, route_param, &realm, &resume) < 0)
        return oauth_check_failed(msg, role);
    return oauth_check(msg, role, &realm, &resume);
}

static int kd_check(sip_msg_t *msg, uint32_t role, char *realm_param, char *route_param)
{
    struct oauth_resume resume;
    str realm;

    if (place_of(msg, realm_param, route_param, &realm, &resume) < 0)
        return oauth_check_failed(msg, role);
    return oauth_kd_check(msg, role, &realm, &resume);
}

static int w_kd_check(sip_msg_t *msg, char *realm, char *route)
{
    return kd_check(msg, SIPOAUTH_ROLE_UAS, realm, route);
}

static int w_proxy_kd_check(sip_msg_t *msg, char *realm, char *route)
{
    return kd_check(msg, SIPOAUTH_ROLE_PROXY, realm, route);
}

static int fixup_third_route(void **param, int number)
{
    return number == 3 ? fixup_resume_route(param) : fixup_spve_null(param, 1);
}

/* A pseudo-variable without a value stands for an account that does not exist, and so does an empty one. */
static int kd_check_account(sip_msg_t *msg, uint32_t role, char *realm_param, char *account_param, char *route_param)
{
    struct oauth_resume resume;
    str realm, account = STR_NULL;

    if (place_of(msg, realm_param, route_param, &realm, &resume) < 0)
        return oauth_check_failed(msg, role);
    if (fixup_get_svalue(msg, (gparam_t *)account_param, &account) < 0)
        account.len = 0;
    return oauth_kd_check_account(msg, role, &realm, &account, &resume);
}

static int w_kd_check_account(sip_msg_t *msg, char *realm, char *account, char *route)
{
    return kd_check_account(msg, SIPOAUTH_ROLE_UAS, realm, account, route);
}

static int w_kd_check_account_2(sip_msg_t *msg, char *realm, char *account)
{
    return kd_check_account(msg, SIPOAUTH_ROLE_UAS, realm, account, NULL);
}

static int w_proxy_kd_check_account(sip_msg_t *msg, char *realm, char *account, char *route)
{
    return kd_check_account(msg, SIPOAUTH_ROLE_PROXY, realm, account, route);
}

static int w_proxy_kd_check_account_2(sip_msg_t *msg, char *realm, char *account)
{
    return kd_check_account(msg, SIPOAUTH_ROLE_PROXY, realm, account, NULL);
}

static int w_kd_challenge(sip_msg_t *msg, char *flags_param, char *p2)
{
    int flags = 0;

    (void)p2;
    if (fixup_get_ivalue(msg, (gparam_t *)flags_param, &flags) < 0) {
        LM_ERR("the parameter flags is not a number\n");
        return OAUTH_ERROR;
    }
    return oauth_kd_challenge(msg, flags);
}

static int w_check(sip_msg_t *msg, char *realm, char *route)
{
    return check(msg, SIPOAUTH_ROLE_UAS, realm, route);
}

static int w_proxy_check(sip_msg_t *msg, char *realm, char *route)
{
    return check(msg, SIPOAUTH_ROLE_PROXY, realm, route);
}

static int password_grant(sip_msg_t *msg, char *realm_param, char *ha1_param, char *route_param, char *password_param)
{
    struct oauth_digest_user user = {STR_NULL, STR_NULL};
    struct oauth_resume resume;
    str realm;

    if (place_of(msg, realm_param, route_param, &realm, &resume) < 0)
        return oauth_check_failed(msg, SIPOAUTH_ROLE_UAS);
    /* when the script sees the request again, its variables for the two are empty, and nobody needs them */
    if (oauth_again_user(msg) == NULL
            && (text_of(msg, ha1_param, &user.ha1, "ha1") < 0
                    || (password_param != NULL && text_of(msg, password_param, &user.password, "password") < 0)))
        return oauth_check_failed(msg, SIPOAUTH_ROLE_UAS);
    return oauth_password_grant(msg, &realm, &user, &resume);
}

static int w_password_grant(sip_msg_t *msg, char *realm, char *ha1)
{
    return password_grant(msg, realm, ha1, NULL, NULL);
}

static int w_password_grant_route(sip_msg_t *msg, char *realm, char *ha1, char *route)
{
    return password_grant(msg, realm, ha1, route, NULL);
}

static int w_password_grant_password(sip_msg_t *msg, char *realm, char *ha1, char *route, char *password)
{
    return password_grant(msg, realm, ha1, route, password);
}

static int w_device_account(sip_msg_t *msg, char *realm_param, char *route_param)
{
    struct oauth_resume resume;
    str realm;

    if (place_of(msg, realm_param, route_param, &realm, &resume) < 0)
        return oauth_check_failed(msg, oauth_device_role(msg));
    return oauth_device_account(msg, &realm, &resume);
}

static int w_device_accept(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_device_accept(msg);
}

static int w_back_channel_logout(sip_msg_t *msg, char *form_param, char *p2)
{
    str form;

    (void)p2;
    if (text_of(msg, form_param, &form, "form") < 0)
        return OAUTH_DENIED;
    return oauth_back_channel_logout(msg, &form);
}

static int w_check_token(sip_msg_t *msg, char *token_param, char *realm_param)
{
    str token, realm = STR_NULL;

    if (text_of(msg, token_param, &token, "token") < 0
            || (realm_param != NULL && text_of(msg, realm_param, &realm, "realm") < 0))
        return oauth_check_failed(msg, SIPOAUTH_ROLE_UAS);
    return oauth_check_token(msg, &token, &realm);
}

static int challenge(sip_msg_t *msg, uint32_t role, char *realm_param, char *flags_param)
{
    str realm;
    int flags = 0;

    if (text_of(msg, realm_param, &realm, "realm") < 0)
        return OAUTH_ERROR;
    if (fixup_get_ivalue(msg, (gparam_t *)flags_param, &flags) < 0) {
        LM_ERR("the parameter flags is not a number\n");
        return OAUTH_ERROR;
    }
    return oauth_challenge(msg, role, &realm, flags);
}

static int w_www_challenge(sip_msg_t *msg, char *realm, char *flags)
{
    return challenge(msg, SIPOAUTH_ROLE_UAS, realm, flags);
}

static int w_proxy_challenge(sip_msg_t *msg, char *realm, char *flags)
{
    return challenge(msg, SIPOAUTH_ROLE_PROXY, realm, flags);
}

static int w_offer(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_offer(msg);
}

static int w_reply(sip_msg_t *msg, char *realm_param, char *p2)
{
    str realm = STR_NULL;

    (void)p2;
    if (realm_param != NULL && text_of(msg, realm_param, &realm, "realm") < 0)
        return OAUTH_ERROR;
    return oauth_reply(msg, &realm);
}

static int w_remove_credentials(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_remove_credentials(msg);
}

static int require(sip_msg_t *msg, uint32_t what, char *name_param)
{
    str name;

    if (text_of(msg, name_param, &name, what == SIPOAUTH_REQUIRE_SCOPE ? "scope" : "service") < 0)
        return OAUTH_ERROR;
    return oauth_require(msg, what, &name);
}

static int w_service(sip_msg_t *msg, char *name, char *p2)
{
    (void)p2;
    return require(msg, SIPOAUTH_REQUIRE_SERVICE, name);
}

static int w_scope(sip_msg_t *msg, char *scopes, char *p2)
{
    (void)p2;
    return require(msg, SIPOAUTH_REQUIRE_SCOPE, scopes);
}

static int w_forward_token(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_forward_token(msg);
}

static int w_dialog_mark(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_dialog_mark(msg);
}

static int w_dialog_check(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_dialog_check(msg);
}

static int w_refer_check(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_refer_check(msg);
}

static int w_refer_accept(sip_msg_t *msg, char *cseq_param, char *p2)
{
    int cseq = 0;

    (void)p2;
    if (cseq_param != NULL && fixup_get_ivalue(msg, (gparam_t *)cseq_param, &cseq) < 0) {
        LM_ERR("the parameter cseq is not a number\n");
        return OAUTH_ERROR;
    }
    return oauth_refer_accept(msg, cseq);
}

static int w_refer_follow(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_refer_follow(msg);
}

static int w_refer_subscribe(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_refer_subscribe(msg);
}

static int w_refer_publish(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_refer_publish(msg);
}

static int w_refer_response(sip_msg_t *msg, char *p1, char *p2)
{
    (void)p1;
    (void)p2;
    return oauth_refer_response(msg);
}

static int w_refer_update(sip_msg_t *msg, char *id_param, char *status_param)
{
    str id, status;

    if (text_of(msg, id_param, &id, "id") < 0 || text_of(msg, status_param, &status, "status") < 0)
        return OAUTH_ERROR;
    return oauth_refer_update(msg, &id, &status);
}

/* Kamailio calls a function by its number of parameters, whatever type the table gives it. */
#define WITH_PARAMETERS(function) ((cmd_function)(void (*)(void))(function))

#define CHECK_ROUTES (REQUEST_ROUTE | FAILURE_ROUTE | BRANCH_ROUTE | LOCAL_ROUTE)
#define ANSWERING_ROUTES (REQUEST_ROUTE | FAILURE_ROUTE)

cmd_export_t oauth_cmds[] = {
    {"oauth_check", (cmd_function)w_check, 1, fixup_check, 0, CHECK_ROUTES},
    {"oauth_check", (cmd_function)w_check, 2, fixup_check, 0, CHECK_ROUTES},
    {"oauth_proxy_check", (cmd_function)w_proxy_check, 1, fixup_check, 0, CHECK_ROUTES},
    {"oauth_proxy_check", (cmd_function)w_proxy_check, 2, fixup_check, 0, CHECK_ROUTES},
    {"oauth_password_grant", (cmd_function)w_password_grant, 2, fixup_third_route, 0, ANSWERING_ROUTES},
    {"oauth_password_grant", WITH_PARAMETERS(w_password_grant_route), 3, fixup_third_route, 0, ANSWERING_ROUTES},
    {"oauth_password_grant", WITH_PARAMETERS(w_password_grant_password), 4, fixup_third_route, 0, ANSWERING_ROUTES},
    {"oauth_device_account", (cmd_function)w_device_account, 1, fixup_check, 0, CHECK_ROUTES},
    {"oauth_device_account", (cmd_function)w_device_account, 2, fixup_check, 0, CHECK_ROUTES},
    {"oauth_device_accept", (cmd_function)w_device_accept, 0, 0, 0, CHECK_ROUTES},
    {"oauth_back_channel_logout", (cmd_function)w_back_channel_logout, 1, fixup_spve_null, fixup_free_spve_null, ANY_ROUTE},
    {"oauth_check_token", (cmd_function)w_check_token, 1, fixup_spve_null, fixup_free_spve_null, ANY_ROUTE},
    {"oauth_check_token", (cmd_function)w_check_token, 2, fixup_spve_spve, fixup_free_spve_spve, ANY_ROUTE},
    {"oauth_www_challenge", (cmd_function)w_www_challenge, 2, fixup_spve_igp, fixup_free_spve_igp, ANSWERING_ROUTES},
    {"oauth_proxy_challenge", (cmd_function)w_proxy_challenge, 2, fixup_spve_igp, fixup_free_spve_igp, ANSWERING_ROUTES},
    {"oauth_kd_check", (cmd_function)w_kd_check, 1, fixup_check, 0, CHECK_ROUTES},
    {"oauth_kd_check", (cmd_function)w_kd_check, 2, fixup_check, 0, CHECK_ROUTES},
    {"oauth_proxy_kd_check", (cmd_function)w_proxy_kd_check, 1, fixup_check, 0, CHECK_ROUTES},
    {"oauth_proxy_kd_check", (cmd_function)w_proxy_kd_check, 2, fixup_check, 0, CHECK_ROUTES},
    {"oauth_kd_check_account", (cmd_function)w_kd_check_account_2, 2, fixup_third_route, 0, CHECK_ROUTES},
    {"oauth_kd_check_account", WITH_PARAMETERS(w_kd_check_account), 3, fixup_third_route, 0, CHECK_ROUTES},
    {"oauth_proxy_kd_check_account", (cmd_function)w_proxy_kd_check_account_2, 2, fixup_third_route, 0, CHECK_ROUTES},
    {"oauth_proxy_kd_check_account", WITH_PARAMETERS(w_proxy_kd_check_account), 3, fixup_third_route, 0, CHECK_ROUTES},
    {"oauth_kd_challenge", (cmd_function)w_kd_challenge, 1, fixup_igp_null, fixup_free_igp_null, ANSWERING_ROUTES},
    {"oauth_offer", (cmd_function)w_offer, 0, 0, 0, CHECK_ROUTES},
    {"oauth_reply", (cmd_function)w_reply, 0, 0, 0, ANSWERING_ROUTES},
    {"oauth_reply", (cmd_function)w_reply, 1, fixup_spve_null, fixup_free_spve_null, ANSWERING_ROUTES},
    {"oauth_remove_credentials", (cmd_function)w_remove_credentials, 0, 0, 0, CHECK_ROUTES},
    {"oauth_service", (cmd_function)w_service, 1, fixup_spve_null, fixup_free_spve_null, CHECK_ROUTES},
    {"oauth_scope", (cmd_function)w_scope, 1, fixup_spve_null, fixup_free_spve_null, CHECK_ROUTES},
    {"oauth_dialog_mark", (cmd_function)w_dialog_mark, 0, 0, 0, CHECK_ROUTES},
    {"oauth_dialog_check", (cmd_function)w_dialog_check, 0, 0, 0, CHECK_ROUTES},
    {"oauth_forward_token", (cmd_function)w_forward_token, 0, 0, 0, BRANCH_ROUTE},
    {"oauth_refer_check", (cmd_function)w_refer_check, 0, 0, 0, CHECK_ROUTES},
    {"oauth_refer_accept", (cmd_function)w_refer_accept, 0, 0, 0, ANSWERING_ROUTES},
    {"oauth_refer_accept", (cmd_function)w_refer_accept, 1, fixup_igp_null, fixup_free_igp_null, ANSWERING_ROUTES},
    {"oauth_refer_follow", (cmd_function)w_refer_follow, 0, 0, 0, CHECK_ROUTES},
    {"oauth_refer_subscribe", (cmd_function)w_refer_subscribe, 0, 0, 0, ANSWERING_ROUTES},
    {"oauth_refer_publish", (cmd_function)w_refer_publish, 0, 0, 0, ANSWERING_ROUTES},
    {"oauth_refer_update", (cmd_function)w_refer_update, 2, fixup_spve_spve, fixup_free_spve_spve, ANY_ROUTE},
    {"oauth_refer_response", (cmd_function)w_refer_response, 0, 0, 0, ANY_ROUTE},
    {0, 0, 0, 0, 0, 0}
};
