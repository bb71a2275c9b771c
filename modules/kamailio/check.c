/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The check functions: ask the library, park the request if it says so, and turn its answer into a return
 * code. The answer is "denied" until the library has said otherwise.
 */
#include <string.h>

#include "shim.h"

static int is(sipoauth_str text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static int return_code(const sipoauth_result *result)
{
    switch (result->verdict) {
    case SIPOAUTH_VERDICT_ACCEPTED:
        return OAUTH_OK;
    case SIPOAUTH_VERDICT_NO_CREDENTIALS:
        return OAUTH_NO_CREDENTIALS;
    case SIPOAUTH_VERDICT_NOT_NOW:
    case SIPOAUTH_VERDICT_PENDING:
        return OAUTH_NOT_NOW;
    case SIPOAUTH_VERDICT_DENIED:
        break;
    default:
        return OAUTH_DENIED;
    }
    if (is(result->reason_code, "token_expired") || is(result->reason_code, "session_ended")
            || is(result->reason_code, "connection_expired"))
        return OAUTH_EXPIRED;
    if (is(result->reason_code, "pop_stale"))
        return OAUTH_STALE;
    if (is(result->reason_code, "pop_replayed"))
        return OAUTH_REUSED;
    if (is(result->reason_code, "aor_mismatch") || is(result->reason_code, "third_party_registration"))
        return OAUTH_USER_MISMATCH;
    if (is(result->reason_code, "insufficient_scope"))
        return OAUTH_NO_SCOPE;
    if (result->status == 400 || result->status == 415)
        return OAUTH_MALFORMED;
    return OAUTH_DENIED;
}

static void prepare(sipoauth_result *result)
{
    memset(result, 0, sizeof(*result));
    result->struct_size = sizeof(*result);
    result->verdict = SIPOAUTH_VERDICT_DENIED;
}

/* Whose the request is, as the script knows it: one of both, or neither. */
struct known {
    const struct oauth_digest_user *user;
    const struct oauth_account *account;
};

static int ask(sipoauth_worker *worker, const sipoauth_request *request, const struct known *known,
        uint32_t flags, sipoauth_result *result)
{
    int rc;

    prepare(result);
    if (known->account != NULL)
        rc = sipoauth_worker_key_derivation(worker, request, known->account->line, flags | known->account->flag,
                result);
    else if (known->user != NULL)
        rc = sipoauth_worker_check_password(worker, request, oauth_view(&known->user->ha1),
                oauth_view(&known->user->password), flags, result);
    else
        rc = sipoauth_worker_check(worker, request, flags, result);
    if (known->user != NULL && rc == SIPOAUTH_E_INPUT)
        LM_ERR("ha1 must be H(A1) as 32 (MD5) or 64 hex digits (SHA-256)\n");
    if (rc != SIPOAUTH_OK)
        LM_ERR("the check failed (%d)\n", rc);
    return rc;
}

/* What phones send all day, the same token in the same kind of request: it needs a part of the request only. */
static int was_accepted(sipoauth_worker *worker, const sipoauth_request *request, const struct known *known,
        uint32_t flags, sipoauth_result *result)
{
    if (known->user != NULL || known->account != NULL || request->credentials_count != 1)
        return 0;
    prepare(result);
    return sipoauth_worker_check_again(worker, request, flags, result) == SIPOAUTH_OK;
}

/* An earlier "accepted" for this message must not outlive a check that could not be made. */
int oauth_check_failed(const sip_msg_t *msg, uint32_t role)
{
    oauth_last_store_failure(msg, role, 503, "internal_error", OAUTH_ERROR);
    return OAUTH_ERROR;
}

/* The tokens of a phone that holds them itself go into the 200. */
static int add_tokens(sip_msg_t *msg)
{
    sipoauth_worker *worker = oauth_worker_get();
    sipoauth_str tokens = {NULL, 0};
    int rc = worker == NULL ? SIPOAUTH_E_PROCESS : sipoauth_worker_token_response(worker, &tokens);

    if (rc == SIPOAUTH_OK)
        return oauth_tokens_add(msg, tokens);
    LM_ERR("the tokens of a registration cannot be had (%d)\n", rc);
    return -1;
}

static int store(sip_msg_t *msg, uint32_t role, sipoauth_str realm, sipoauth_result *result)
{
    int rc;

    if (result->verdict == SIPOAUTH_VERDICT_PENDING) {
        /* nobody waits for this answer any more */
        result->verdict = SIPOAUTH_VERDICT_NOT_NOW;
        result->status = 503;
    }
    if (result->verdict == SIPOAUTH_VERDICT_ACCEPTED && result->confirm
            && oauth_confirm_later(msg, result->ticket) < 0)
        return oauth_check_failed(msg, role);
    if (result->verdict == SIPOAUTH_VERDICT_ACCEPTED && oauth_expires_limit(msg, result->expires_limit) < 0)
        return oauth_check_failed(msg, role);
    rc = oauth_last_store(msg, role, realm, result, return_code(result));
    /* the library's texts live until its next call, so this comes last */
    if (rc == OAUTH_OK && result->token_response && add_tokens(msg) < 0)
        return oauth_check_failed(msg, role);
    return rc;
}

/* RFC 3261 section 18.1.1: larger requests do not belong on UDP, where fragments get lost. Told once per process. */
#define UDP_LIMIT 1300

static void hint_about_size(const sip_msg_t *msg)
{
    static int told = 0;

    if (told || msg->rcv.proto != PROTO_UDP || msg->len <= UDP_LIMIT)
        return;
    told = 1;
    LM_WARN("a request with a token has %u octets over UDP, more than %d are often lost on the way: let phones use TCP, "
            "TLS or WebSocket, or have the authorization server issue shorter tokens (ES256, EdDSA, fewer claims)\n",
            msg->len, UDP_LIMIT);
}

static int check(sip_msg_t *msg, uint32_t role, const str *realm, const struct known *known,
        const struct oauth_resume *resume)
{
    struct oauth_request request;
    sipoauth_result result;
    sipoauth_worker *worker;
    uint64_t cookie = 0;
    uint32_t flags = 0;

    if (!oauth_is_request(msg)) {
        LM_ERR("only a request can be checked\n");
        return oauth_check_failed(msg, role);
    }
    worker = oauth_worker_get();
    if (worker == NULL)
        return oauth_check_failed(msg, role);
    if (oauth_request_begin(&request, msg, role, realm) < 0) {
        oauth_last_store_failure(msg, role, 400, "malformed_request", OAUTH_MALFORMED);
        return OAUTH_MALFORMED;
    }
    if (oauth_resume_running())
        flags = SIPOAUTH_CHECK_RESUMED;
    else if (resume == NULL || !oauth_park_possible(msg) || oauth_resume_pack(resume, &cookie) < 0)
        flags = SIPOAUTH_CHECK_NO_WAIT;

    if (!was_accepted(worker, &request.call, known, flags, &result)) {
        oauth_request_finish(&request, msg);
        if (ask(worker, &request.call, known, flags, &result) != SIPOAUTH_OK)
            return oauth_check_failed(msg, role);
    }
    if (result.verdict == SIPOAUTH_VERDICT_NOT_NOW && flags == 0 && oauth_park_absorbs(msg)) {
        oauth_last_reset();
        return OAUTH_PARKED;
    }
    if (result.grant == SIPOAUTH_GRANT_TOKEN)
        hint_about_size(msg);
    if (result.verdict == SIPOAUTH_VERDICT_PENDING && flags == 0) {
        if (oauth_park(msg, worker, result.job, cookie) == OAUTH_PARK_DONE) {
            oauth_last_reset();
            return OAUTH_PARKED;
        }
        /* the library then says how long to stay away, and counts it */
        prepare(&result);
        if (sipoauth_worker_refuse(worker, &result) != SIPOAUTH_OK)
            return oauth_check_failed(msg, role);
    }
    return store(msg, role, request.call.realm, &result);
}

int oauth_check(sip_msg_t *msg, uint32_t role, const str *realm, const struct oauth_resume *resume)
{
    static const struct known nothing = {NULL, NULL};

    return check(msg, role, realm, &nothing, resume);
}

/* By the Key-Derivation scheme, against an account. */
int oauth_check_account(sip_msg_t *msg, uint32_t role, const str *realm, const struct oauth_account *account,
        const struct oauth_resume *resume)
{
    const struct known known = {NULL, account};
    int code = check(msg, role, realm, &known, resume);

    oauth_last_is_key_derivation(msg);
    return code;
}

/* The script has authenticated the user by Digest; what the library needs of that is in the same header field. */
int oauth_password_grant(sip_msg_t *msg, const str *realm, const struct oauth_digest_user *user,
        const struct oauth_resume *resume)
{
    const struct known known = {user, NULL};

    return check(msg, SIPOAUTH_ROLE_UAS, realm, &known, resume);
}

int oauth_check_token(sip_msg_t *msg, const str *token, const str *realm)
{
    sipoauth_result result;
    sipoauth_worker *worker = oauth_worker_get();
    uint32_t flags = oauth_resume_running() ? SIPOAUTH_CHECK_RESUMED : SIPOAUTH_CHECK_NO_WAIT;
    int rc;

    if (worker == NULL)
        return oauth_check_failed(msg, SIPOAUTH_ROLE_UAS);
    prepare(&result);
    rc = sipoauth_worker_check_token(worker, oauth_view(token), flags, &result);
    if (rc != SIPOAUTH_OK) {
        LM_ERR("the check failed (%d)\n", rc);
        return oauth_check_failed(msg, SIPOAUTH_ROLE_UAS);
    }
    return store(msg, SIPOAUTH_ROLE_UAS, oauth_view(realm), &result);
}

/* More of the request that was accepted: a level of service, or scopes. The outcome then is about that. */
int oauth_require(sip_msg_t *msg, uint32_t what, const str *name)
{
    const struct oauth_last *last = oauth_last_get(msg);
    sipoauth_worker *worker;
    sipoauth_result result;
    sipoauth_str realm;
    uint32_t role;
    int rc;

    /* the library remembers its last check, which may have been another message's */
    if (last == NULL || !last->granted) {
        LM_DBG("nothing can be required: no check of this request was accepted\n");
        return OAUTH_ERROR;
    }
    worker = oauth_worker_get();
    if (worker == NULL)
        return OAUTH_ERROR;
    role = last->role;
    realm = oauth_view(&last->realm);
    prepare(&result);
    rc = sipoauth_worker_require(worker, what, oauth_view(name), &result);
    if (rc == SIPOAUTH_E_INPUT)
        LM_ERR("neither a scope nor a service is named\n");
    else if (rc != SIPOAUTH_OK)
        LM_ERR("nothing can be required (%d)\n", rc);
    if (rc != SIPOAUTH_OK)
        return oauth_check_failed(msg, role);
    rc = oauth_last_store(msg, role, realm, &result, return_code(&result));
    if (rc != OAUTH_ERROR)
        oauth_last_keep_granted(msg);
    return rc;
}
