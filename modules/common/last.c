/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A copy of the outcome of the last check in this process. It is a copy because the library's strings live only until
 * its next call.
 *
 * The outcome belongs to one message. No other message may see its identity. The message number alone does not ensure
 * this, because a failure route's copy of a message has a number that another one has, too. So the store is also emptied
 * whenever a script starts, and when it has done with its message.
 */
#include <string.h>

#include "shim.h"

static struct oauth_last last;
static struct oauth_owner owner;

/* All strings of `last`, one after the other. Two stores are used in turn, because a new outcome may be made from the
 * old one (oauth_check("$oauth(realm)")). */
static struct {
    char *text;
    size_t size;
} stores[2];
static int current = 0;

static void reset(void)
{
    memset(&last, 0, sizeof(last));
    owner.msg = NULL;
}

static int owned_by(const sip_msg_t *msg)
{
    return oauth_owns(&owner, msg);
}

struct oauth_last *oauth_last_get(const sip_msg_t *msg)
{
    return owned_by(msg) ? &last : NULL;
}

/* The length of all texts of an outcome together. */
static size_t length_of(const struct oauth_last *outcome)
{
    const str *text;
    size_t length = 0;

    for (text = &outcome->realm; text <= &outcome->needed_scope; text++)
        length += (size_t)text->len;
    return length;
}

/* Copies all texts of an outcome to this place. */
static void move_texts(struct oauth_last *outcome, char *at)
{
    str *text;

    for (text = &outcome->realm; text <= &outcome->needed_scope; text++) {
        if (text->len == 0)
            continue;
        memcpy(at, text->s, (size_t)text->len);
        text->s = at;
        at += text->len;
    }
}

/*
 * The same outcome for the routes in which replies to the request are handled, in whatever process, and for acc: a copy in
 * shared memory that its transaction owns. It has all that can be read without the library.
 */
struct kept {
    struct oauth_last outcome;
    char store[];
};

/* The same in private memory, for the time of an event. */
struct aside {
    struct oauth_owner owner;
    struct kept kept;
};

/* It does nothing, but by it a transaction's copy is found. */
static void keeps_outcome(struct cell *cell, int type, struct tmcb_params *params)
{
    (void)cell;
    (void)type;
    (void)params;
}

static void keep(struct cell *cell)
{
    struct kept *kept = shm_malloc(sizeof(*kept) + length_of(&last));

    if (kept == NULL) {
        LM_ERR("no shared memory for the outcome of a check: $oauth is empty in its reply routes\n");
        return;
    }
    kept->outcome = last;
    move_texts(&kept->outcome, kept->store);
    /* the newest is found first */
    if (oauth_tm.register_tmcb(NULL, cell, HOST_TMCB_END, keeps_outcome, kept, oauth_shm_free) <= 0) {
        LM_ERR("a transaction does not take the outcome of a check\n");
        shm_free(kept);
    }
}

static void transaction_made(struct cell *cell, int type, struct tmcb_params *params)
{
    (void)type;
    if (owned_by(params->req) && last.checked && last.verdict != SIPOAUTH_VERDICT_PENDING)
        keep(cell);
}

/* The transaction that this process is working on, if the message belongs to it. */
static struct cell *transaction_of(const sip_msg_t *msg)
{
    struct cell *cell = oauth_transaction();
    const sip_msg_t *request;

    if (cell == NULL || cell->uas.request == NULL)
        return NULL;
    request = cell->uas.request;
    if (request == msg || host_is_copy_of(request, msg))
        return cell;
    /* a script may look up the transaction of another's request that has the same names */
    if (msg->first_line.type == SIP_REQUEST && host_in_request_route())
        return NULL;
    if (msg->callid == NULL || request->callid == NULL || !STR_EQ(msg->callid->body, request->callid->body))
        return NULL;
    if (msg->cseq == NULL || msg->cseq->parsed == NULL || request->cseq == NULL || request->cseq->parsed == NULL)
        return NULL;
    return STR_EQ(get_cseq(msg)->number, get_cseq(request)->number) ? cell : NULL;
}

/* The outcome for variables: that of this message, or of the request whose transaction the message belongs to. */
const struct oauth_last *oauth_last_read(const sip_msg_t *msg)
{
    const struct tm_callback *one;
    const struct cell *cell;

    if (owned_by(msg))
        return &last;
    cell = msg != NULL ? transaction_of(msg) : NULL;
    if (cell == NULL)
        return NULL;
    for (one = (const struct tm_callback *)cell->tmcb_hl.first; one != NULL; one = one->next) {
        if (one->callback == keeps_outcome)
            return &((const struct kept *)one->param)->outcome;
    }
    return NULL;
}

static void take(const sip_msg_t *msg)
{
    uint32_t offer = owned_by(msg) ? last.offer : 0;

    reset();
    last.offer = offer;
    owner = oauth_owner_of(msg);
}

/* Room for `need` octets that is not in use by the old outcome. */
static char *reserve(size_t need)
{
    int next = !current;
    char *bigger;

    if (need > stores[next].size) {
        bigger = pkg_malloc(need);
        if (bigger == NULL)
            return NULL;
        if (stores[next].text != NULL)
            pkg_free(stores[next].text);
        stores[next].text = bigger;
        stores[next].size = need;
    }
    current = next;
    return stores[next].text;
}

static void store_numbers(uint32_t role, const sipoauth_result *result, int code)
{
    last.checked = 1;
    last.check = result->check;
    last.grant = result->grant;
    last.code = code;
    last.role = role;
    last.verdict = result->verdict;
    last.status = result->status;
    last.retry_after = result->retry_after;
    last.cached = result->cached;
    last.expires_at = result->expires_at;
    last.expires_limit = result->expires_limit;
    last.token_response = result->token_response;
    last.granted = result->verdict == SIPOAUTH_VERDICT_ACCEPTED;
}

/* Stores the library's outcome for a failed call, without its texts, because there is no memory for them. */
static void store_failure(uint32_t role)
{
    sipoauth_result failed;

    memset(&failed, 0, sizeof(failed));
    failed.struct_size = sizeof(failed);
    sipoauth_worker_refuse(NULL, SIPOAUTH_REFUSE_FAILED, 0, &failed);
    store_numbers(role, &failed, OAUTH_ERROR);
    /* a constant of the library */
    last.reason_code = oauth_text(failed.reason_code);
}

/* Puts the texts of the outcome into this process's store. */
static int settle(void)
{
    char *at = reserve(length_of(&last) + 1);

    if (at == NULL) {
        LM_ERR("no private memory for the outcome of a check\n");
        return -1;
    }
    move_texts(&last, at);
    return 0;
}

int oauth_last_store(const sip_msg_t *msg, uint32_t role, sipoauth_str realm, const sipoauth_result *result, int code)
{
    struct cell *cell;

    take(msg);
    store_numbers(role, result, code);
    last.realm = oauth_text(realm);
    last.reason_code = oauth_text(result->reason_code);
    last.reason_text = oauth_text(result->reason_text);
    last.error = oauth_text(result->error);
    last.provider = oauth_text(result->provider);
    last.issuer = oauth_text(result->issuer);
    last.aor = oauth_text(result->aor);
    last.subject = oauth_text(result->subject);
    last.client_id = oauth_text(result->client_id);
    last.scope = oauth_text(result->scope);
    last.kid = oauth_text(result->kid);
    last.fingerprint = oauth_text(result->fingerprint);
    last.session = oauth_text(result->session);
    last.instance = oauth_text(result->instance);
    last.services = oauth_text(result->services);
    last.needed_scope = oauth_text(result->needed_scope);
    /* all or nothing: half an identity is worse than none */
    if (settle() < 0) {
        take(msg);
        store_failure(role);
        return OAUTH_ERROR;
    }
    /* if the transaction is made later, it takes its copy then */
    cell = transaction_of(msg);
    if (cell != NULL)
        keep(cell);
    return code;
}

/* The end of a session, for the route of that event. */
int oauth_last_store_ended(const sip_msg_t *msg, const sipoauth_session_state *session, const char *reason, sipoauth_str why)
{
    take(msg);
    last.checked = 1;
    last.code = OAUTH_DENIED;
    last.verdict = SIPOAUTH_VERDICT_DENIED;
    last.expires_at = session->valid_until;
    last.reason_code.s = (char *)reason;
    last.reason_code.len = (int)strlen(reason);
    last.reason_text = oauth_text(why);
    last.aor = oauth_text(session->aor);
    last.session = oauth_text(session->id);
    last.instance = oauth_text(session->instance);
    last.provider = oauth_text(session->provider);
    last.subject = oauth_text(session->subject);
    last.scope = oauth_text(session->scope);
    return settle();
}

/*
 * Sets the outcome of this process aside while an event route has one of its own. NULL: there is none, or no memory; then
 * it is gone afterwards.
 */
void *oauth_last_set_aside(void)
{
    struct aside *aside = owner.msg != NULL ? pkg_malloc(sizeof(*aside) + length_of(&last)) : NULL;

    if (aside == NULL)
        return NULL;
    aside->owner = owner;
    aside->kept.outcome = last;
    move_texts(&aside->kept.outcome, aside->kept.store);
    return aside;
}

void oauth_last_take_back(void *set_aside)
{
    struct aside *aside = set_aside;

    reset();
    if (aside == NULL)
        return;
    last = aside->kept.outcome;
    owner = aside->owner;
    host_renew_owner(&owner);
    if (settle() < 0)
        reset();
    pkg_free(aside);
}

/* There is no outcome yet, because the request must wait. */
void oauth_last_store_pending(const sip_msg_t *msg, uint32_t role)
{
    take(msg);
    last.checked = 1;
    last.code = OAUTH_PENDING;
    last.role = role;
    last.verdict = SIPOAUTH_VERDICT_PENDING;
}

int oauth_last_is_pending(const sip_msg_t *msg)
{
    return owned_by(msg) && last.checked && last.verdict == SIPOAUTH_VERDICT_PENDING;
}

/* The check behind this outcome was accepted, so a script can require more of it. */
void oauth_last_keep_granted(const sip_msg_t *msg)
{
    if (owned_by(msg))
        last.granted = 1;
}

void oauth_last_store_offer(const sip_msg_t *msg, uint32_t offer)
{
    if (!owned_by(msg))
        take(msg);
    last.offer = offer;
}

/* This process has done with its message: nothing of it is left for the next one. */
void oauth_forget_message(void)
{
    reset();
    oauth_confirm_forget();
    oauth_tokens_forget();
    oauth_refer_forget();
    oauth_device_forget();
}

int oauth_last_init(void)
{
    if (oauth_tm.register_tmcb(NULL, NULL, TMCB_REQUEST_IN, transaction_made, NULL, NULL) <= 0) {
        LM_ERR("cannot register the callback that sees each transaction\n");
        return -1;
    }
    return 0;
}
