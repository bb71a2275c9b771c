/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The check functions: ask the library, park the request if it says so, and turn its answer into a return
 * code. The answer is "denied" until the library has said otherwise.
 */
#include <string.h>

#include "shim.h"

static int return_code(const sipoauth_result *result)
{
    static const int codes[] = {
        [SIPOAUTH_CLASS_DENIED] = OAUTH_DENIED,
        [SIPOAUTH_CLASS_ACCEPTED] = OAUTH_OK,
        [SIPOAUTH_CLASS_NO_CREDENTIALS] = OAUTH_NO_CREDENTIALS,
        [SIPOAUTH_CLASS_NOT_NOW] = OAUTH_NOT_NOW,
        [SIPOAUTH_CLASS_PENDING] = OAUTH_NOT_NOW,
        [SIPOAUTH_CLASS_EXPIRED] = OAUTH_EXPIRED,
        [SIPOAUTH_CLASS_STALE] = OAUTH_STALE,
        [SIPOAUTH_CLASS_REPLAYED] = OAUTH_REUSED,
        [SIPOAUTH_CLASS_OTHER_USER] = OAUTH_USER_MISMATCH,
        [SIPOAUTH_CLASS_NO_SCOPE] = OAUTH_NO_SCOPE,
        [SIPOAUTH_CLASS_MALFORMED] = OAUTH_MALFORMED,
    };

    return result->reason_class < sizeof(codes) / sizeof(codes[0]) ? codes[result->reason_class] : OAUTH_DENIED;
}

static void prepare(sipoauth_result *result)
{
    memset(result, 0, sizeof(*result));
    result->struct_size = sizeof(*result);
    result->verdict = SIPOAUTH_VERDICT_DENIED;
}

/* The script's call: its function without "oauth_", and what the script knows about the sender. */
struct known {
    const char *function;
    const struct oauth_digest_user *user;
    const struct oauth_account *account;
    uint32_t device;   /* SIPOAUTH_DEVICE_, or 0 */
};

static int ask(sipoauth_worker *worker, const sipoauth_request *request, const struct known *known,
        uint32_t flags, sipoauth_result *result)
{
    int rc;

    prepare(result);
    if (known->device != 0)
        rc = sipoauth_worker_check_device(worker, request, known->device, flags, result);
    else if (known->account != NULL)
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

/* An earlier "accepted" for this message must not outlive a check that could not be made. */
int oauth_check_failed(const sip_msg_t *msg, uint32_t role)
{
    const sipoauth_str none = {NULL, 0};
    sipoauth_result result;

    prepare(&result);
    sipoauth_worker_refuse(oauth_worker_get(), SIPOAUTH_REFUSE_FAILED, 0, &result);
    return oauth_last_store(msg, role, none, &result, OAUTH_ERROR);
}

/* In the route of its own event the outcome of a refused check stays, because the request is answered by it. */
static int is_refused_here(const sip_msg_t *msg)
{
    if (!oauth_event_denied_runs() || oauth_last_get(msg) == NULL)
        return 0;
    LM_ERR("no request can be checked in event_route[oauth:denied]\n");
    return 1;
}

/* Puts the tokens of a phone that holds them itself into the 200. */
static int add_tokens(sip_msg_t *msg, uint64_t check)
{
    sipoauth_worker *worker = oauth_worker_get();
    sipoauth_str tokens = {NULL, 0};
    int rc = worker == NULL ? SIPOAUTH_E_PROCESS : sipoauth_worker_token_response(worker, check, &tokens);

    if (rc == SIPOAUTH_OK)
        return oauth_tokens_add(msg, tokens);
    LM_ERR("the tokens of a registration cannot be had (%d)\n", rc);
    return -1;
}

static int store(sip_msg_t *msg, uint32_t role, sipoauth_str realm, const sipoauth_result *result)
{
    int rc;

    if (result->verdict == SIPOAUTH_VERDICT_ACCEPTED && result->confirm
            && oauth_confirm_later(msg, result->ticket) < 0)
        return oauth_check_failed(msg, role);
    if (result->verdict == SIPOAUTH_VERDICT_ACCEPTED && oauth_expires_limit(msg, result->expires_limit) < 0)
        return oauth_check_failed(msg, role);
    rc = oauth_last_store(msg, role, realm, result, return_code(result));
    /* the library's texts live until its next call, so this comes last */
    if (rc == OAUTH_OK && result->token_response && add_tokens(msg, result->check) < 0)
        return oauth_check_failed(msg, role);
    if (result->verdict == SIPOAUTH_VERDICT_DENIED)
        oauth_event_denied(msg);
    return rc;
}

static int check(sip_msg_t *msg, uint32_t role, const str *realm, const struct known *known,
        const struct oauth_resume *resume)
{
    struct oauth_request request;
    sipoauth_result result;
    sipoauth_worker *worker;
    struct oauth_wait wait = {known->function, known->user, NULL, 0};
    uint64_t job;
    uint32_t flags = 0;

    if (!oauth_is_request(msg)) {
        LM_ERR("only a request can be checked\n");
        return oauth_check_failed(msg, role);
    }
    if (is_refused_here(msg))
        return OAUTH_ERROR;
    if (oauth_last_is_pending(msg) && !host_resumes(msg))
        return OAUTH_PARKED; /* a KEMI script tries one check after the other */
    worker = oauth_worker_get();
    if (worker == NULL)
        return oauth_check_failed(msg, role);
    if (oauth_request_read(&request, msg, role, realm) < 0) {
        prepare(&result);
        if (sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_MALFORMED, 0, &result) != SIPOAUTH_OK)
            return oauth_check_failed(msg, role);
        return store(msg, role, oauth_view(realm), &result);
    }
    if (oauth_has_waited_for(msg, known->function))
        flags = SIPOAUTH_CHECK_RESUMED;
    else if (oauth_has_waited(msg))
        flags = SIPOAUTH_CHECK_NO_WAIT; /* a request waits once */
    else if (known->device == SIPOAUTH_DEVICE_ACCEPT || !oauth_park_possible(msg, resume, &wait))
        flags = SIPOAUTH_CHECK_NO_WAIT;

    if (ask(worker, &request.call, known, flags, &result) != SIPOAUTH_OK)
        return oauth_check_failed(msg, role);
    if ((result.verdict == SIPOAUTH_VERDICT_NOT_NOW || result.verdict == SIPOAUTH_VERDICT_PENDING) && flags == 0
            && oauth_park_absorbs(msg)) {
        oauth_last_store_pending(msg, role);
        return OAUTH_PARKED;
    }
    if (result.verdict == SIPOAUTH_VERDICT_PENDING && flags == 0) {
        if (oauth_park(msg, worker, result.job, &wait) == OAUTH_PARK_DONE) {
            oauth_last_store_pending(msg, role);
            return OAUTH_PARKED;
        }
        /* the library then counts the refusal and says how long the phone must wait */
        job = result.job;
        prepare(&result);
        if (sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_FULL, job, &result) != SIPOAUTH_OK)
            return oauth_check_failed(msg, role);
    }
    if (result.ha1.len > 0) {
        /* nothing is decided yet, but the script has what it has asked for */
        if (oauth_device_keep(msg, result.ha1) < 0)
            return oauth_check_failed(msg, role);
        return oauth_last_store(msg, role, request.call.realm, &result, OAUTH_OK);
    }
    return store(msg, role, request.call.realm, &result);
}

int oauth_check(sip_msg_t *msg, uint32_t role, const str *realm, const struct oauth_resume *resume)
{
    const struct known known = {role == SIPOAUTH_ROLE_PROXY ? "proxy_check" : "check", NULL, NULL, 0};

    return check(msg, role, realm, &known, resume);
}

/* Checks by the Key-Derivation scheme, against an account. */
int oauth_check_account(sip_msg_t *msg, uint32_t role, const str *realm, const struct oauth_account *account,
        const struct oauth_resume *resume)
{
    const struct known known = {account->function, NULL, account, 0};

    return check(msg, role, realm, &known, resume);
}

/* The script has authenticated the user by Digest. The library reads the rest from the same header field. A script that
 * sees the request again does not authenticate again, so the user of the first time counts. */
int oauth_password_grant(sip_msg_t *msg, const str *realm, const struct oauth_digest_user *user,
        const struct oauth_resume *resume)
{
    const struct oauth_digest_user *before = oauth_again_user(msg);
    const struct known known = {"password_grant", before != NULL ? before : user, NULL, 0};

    return check(msg, SIPOAUTH_ROLE_UAS, realm, &known, resume);
}

/* One step of a check with a device password. Only the first one can wait. */
int oauth_check_device(sip_msg_t *msg, uint32_t role, const str *realm, uint32_t step, const struct oauth_resume *resume)
{
    const struct known known = {step == SIPOAUTH_DEVICE_ACCOUNT ? "device_account" : "device_accept", NULL, NULL, step};

    return check(msg, role, realm, &known, resume);
}

int oauth_check_token(sip_msg_t *msg, const str *token, const str *realm)
{
    struct oauth_request request;
    const sipoauth_request *call = NULL;
    sipoauth_result result;
    sipoauth_worker *worker = oauth_worker_get();
    uint32_t flags = SIPOAUTH_CHECK_NO_WAIT;
    int rc;

    if (is_refused_here(msg))
        return OAUTH_ERROR;
    if (oauth_last_is_pending(msg))
        return OAUTH_PARKED;
    if (worker == NULL)
        return oauth_check_failed(msg, SIPOAUTH_ROLE_UAS);
    prepare(&result);
    /* limits count the sender of the request; a reply has none */
    if (oauth_is_request(msg)) {
        if (oauth_request_read(&request, msg, SIPOAUTH_ROLE_UAS, realm) < 0) {
            if (sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_MALFORMED, 0, &result) != SIPOAUTH_OK)
                return oauth_check_failed(msg, SIPOAUTH_ROLE_UAS);
            return store(msg, SIPOAUTH_ROLE_UAS, oauth_view(realm), &result);
        }
        call = &request.call;
    }
    rc = sipoauth_worker_check_token(worker, call, oauth_view(token), flags, &result);
    if (rc != SIPOAUTH_OK) {
        LM_ERR("the check failed (%d)\n", rc);
        return oauth_check_failed(msg, SIPOAUTH_ROLE_UAS);
    }
    return store(msg, SIPOAUTH_ROLE_UAS, oauth_view(realm), &result);
}

/* Requires more of an accepted request: a level of service, or scopes. The outcome is then about that. */
int oauth_require(sip_msg_t *msg, uint32_t what, const str *name)
{
    const struct oauth_last *last = oauth_last_get(msg);
    sipoauth_worker *worker;
    sipoauth_result result;
    sipoauth_str realm;
    uint32_t role;
    int rc;

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
    rc = sipoauth_worker_require(worker, last->check, what, oauth_view(name), &result);
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
