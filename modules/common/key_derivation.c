/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Key-Derivation scheme (draft-yusef-sipcore-key-derivation). A check uses the accounts of the store, or one that
 * the script has looked up. The library makes the challenge together with the check.
 */
#include "shim.h"

int oauth_kd_check(sip_msg_t *msg, uint32_t role, const str *realm, const struct oauth_resume *resume)
{
    const char *function = role == SIPOAUTH_ROLE_PROXY ? "proxy_kd_check" : "kd_check";
    const struct oauth_account stored = {function, 0, {NULL, 0}};

    return oauth_check_account(msg, role, realm, &stored, resume);
}

/* True for the texts that scripts pass for a variable without a value. */
static int is_nothing(const str *text)
{
    static const str null = str_init("<null>"), zero = str_init("0");

    return text->len <= 0 || STR_EQ(*text, null) || STR_EQ(*text, zero);
}

/* No account means that there is no such user. */
int oauth_kd_check_account(
        sip_msg_t *msg, uint32_t role, const str *realm, const str *account, const struct oauth_resume *resume)
{
    const char *function = role == SIPOAUTH_ROLE_PROXY ? "proxy_kd_check_account" : "kd_check_account";
    struct oauth_account given = {function, SIPOAUTH_CHECK_GIVEN_ACCOUNT, {NULL, 0}};

    if (!is_nothing(account))
        given.line = oauth_view(account);
    return oauth_check_account(msg, role, realm, &given, resume);
}

int oauth_kd_challenge(sip_msg_t *msg, int flags)
{
    const struct oauth_last *last = oauth_last_get(msg);
    sipoauth_reply reply;
    int rc;

    oauth_reply_begin(&reply);
    rc = sipoauth_worker_key_derivation_challenge(oauth_worker_get(), last != NULL ? last->check : 0, &reply);
    if (rc == SIPOAUTH_E_STALE) {
        LM_ERR("there is no Key-Derivation challenge: no check of this request was made\n");
        return OAUTH_ERROR;
    }
    return oauth_challenge_by(msg, rc, &reply, flags);
}
