/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A copy of the outcome of the last check in this process. It is a copy because the library's strings live only until
 * its next call.
 *
 * The outcome belongs to one message. No other message may see its identity. The message number alone does not ensure
 * this, because Kamailio gives a failure route's copy of message 8 the number 7. So the store is also emptied whenever
 * a script starts.
 */
#include <string.h>

#include "core/mem/mem.h"
#include "core/script_cb.h"

#include "shim.h"

static struct oauth_last last;
static int owned = 0;
static unsigned int owner_id;
static int owner_pid;   /* 0 in the messages that xhttp makes */

/* All strings of `last`, one after the other. Two stores are used in turn, because a new outcome may be made from the
 * old one (oauth_check("$oauth(realm)")). */
static struct {
    char *text;
    size_t size;
} stores[2];
static int current = 0;

void oauth_last_reset(void)
{
    memset(&last, 0, sizeof(last));
    owned = 0;
}

static int reset_before_script(struct sip_msg *msg, unsigned int flags, void *param)
{
    (void)msg;
    (void)flags;
    (void)param;
    oauth_last_reset();
    oauth_confirm_forget();
    oauth_tokens_forget();
    return 1;
}

int oauth_last_init(void)
{
    if (register_script_cb(reset_before_script, PRE_SCRIPT_CB | REQUEST_CB | FAILURE_CB, NULL) < 0) {
        LM_ERR("cannot register the callback that runs before each script\n");
        return -1;
    }
    return 0;
}

static int owned_by(const sip_msg_t *msg)
{
    return msg != NULL && owned && owner_id == msg->id && owner_pid == msg->pid;
}

struct oauth_last *oauth_last_get(const sip_msg_t *msg)
{
    return owned_by(msg) ? &last : NULL;
}

static void take(const sip_msg_t *msg)
{
    uint32_t offer = owned_by(msg) ? last.offer : 0;

    oauth_last_reset();
    last.offer = offer;
    owned = 1;
    owner_id = msg->id;
    owner_pid = msg->pid;
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
    last.reason_code.s = (char *)failed.reason_code.ptr;
    last.reason_code.len = (int)failed.reason_code.len;
}

int oauth_last_store(const sip_msg_t *msg, uint32_t role, sipoauth_str realm, const sipoauth_result *result, int code)
{
    /* one list, so that the same texts are counted and copied */
    const struct {
        str *target;
        sipoauth_str text;
    } texts[] = {
        {&last.realm, realm},
        {&last.reason_code, result->reason_code},
        {&last.reason_text, result->reason_text},
        {&last.error, result->error},
        {&last.provider, result->provider},
        {&last.issuer, result->issuer},
        {&last.aor, result->aor},
        {&last.subject, result->subject},
        {&last.client_id, result->client_id},
        {&last.scope, result->scope},
        {&last.kid, result->kid},
        {&last.fingerprint, result->fingerprint},
        {&last.session, result->session},
        {&last.instance, result->instance},
        {&last.services, result->services},
        {&last.needed_scope, result->needed_scope},
    };
    const size_t count = sizeof(texts) / sizeof(texts[0]);
    size_t i, need = 0;
    char *at;

    for (i = 0; i < count; i++)
        need += texts[i].text.len;
    take(msg);
    /* all or nothing: half an identity is worse than none */
    at = reserve(need + 1);
    if (at == NULL) {
        LM_ERR("no private memory for the outcome of a check\n");
        store_failure(role);
        return OAUTH_ERROR;
    }
    store_numbers(role, result, code);
    for (i = 0; i < count; i++) {
        if (texts[i].text.len == 0)
            continue;
        memcpy(at, texts[i].text.ptr, texts[i].text.len);
        texts[i].target->s = at;
        texts[i].target->len = (int)texts[i].text.len;
        at += texts[i].text.len;
    }
    return code;
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
