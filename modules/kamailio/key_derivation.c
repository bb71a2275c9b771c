/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Key-Derivation scheme (draft-yusef-sipcore-key-derivation): checks against the accounts of the store or one that
 * the script has looked up, and the challenge, which the library has made with the check.
 */
#include "shim.h"

#define CHALLENGE_SIZE 4096

int oauth_kd_check(sip_msg_t *msg, uint32_t role, const str *realm, const struct oauth_resume *resume)
{
    const struct oauth_account stored = {0, {NULL, 0}};

    return oauth_check_account(msg, role, realm, &stored, resume);
}

/* What scripts make of a variable without a value. */
static int is_nothing(const str *text)
{
    static const str null = str_init("<null>"), zero = str_init("0");

    return text->len <= 0 || STR_EQ(*text, null) || STR_EQ(*text, zero);
}

/* Without an account there is no such user. */
int oauth_kd_check_account(
        sip_msg_t *msg, uint32_t role, const str *realm, const str *account, const struct oauth_resume *resume)
{
    struct oauth_account given = {SIPOAUTH_CHECK_GIVEN_ACCOUNT, {NULL, 0}};

    if (!is_nothing(account))
        given.line = oauth_view(account);
    return oauth_check_account(msg, role, realm, &given, resume);
}

int oauth_kd_challenge(sip_msg_t *msg, int flags)
{
    const struct oauth_last *last = oauth_last_get(msg);
    sipoauth_worker *worker = oauth_worker_get();
    char line[CHALLENGE_SIZE];
    uint32_t status = 0;
    size_t len = 0;
    int rc;

    if (worker == NULL || !oauth_may_be_challenged(msg))
        return OAUTH_ERROR;
    /* the library remembers its last check, which may have been another message's */
    if (last == NULL || !last->key_derivation) {
        LM_ERR("there is no Key-Derivation challenge: the last check of this request was another one\n");
        return OAUTH_ERROR;
    }
    rc = sipoauth_worker_key_derivation_challenge(worker, line, sizeof(line), &len, &status);
    if (rc != SIPOAUTH_OK) {
        LM_ERR("there is no Key-Derivation challenge: the check came to something else (%d)\n", rc);
        return OAUTH_ERROR;
    }
    if (oauth_add_reply_header(msg, line, len) < 0)
        return OAUTH_ERROR;
    return flags & OAUTH_CHALLENGE_ONLY_APPEND ? OAUTH_OK : oauth_send_challenge(msg, status);
}
