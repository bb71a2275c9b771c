/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RPC commands about sessions: list, show, revoke. They run in the RPC process, so they may wait for the store.
 */
#include <stdio.h>
#include <string.h>

#include "shim.h"

#define AOR_MAX 512
#define NEXT_MAX 512

struct answer {
    rpc_t *rpc;
    void *ctx;
    int full;      /* no more room for an answer */
    int removed;   /* bindings */
};

static void add_text(rpc_t *rpc, void *item, const char *name, sipoauth_str value)
{
    str text = {value.len > 0 ? (char *)value.ptr : "", (int)value.len};

    rpc->struct_add(item, "S", (char *)name, &text);
}

static void add_session(void *user, const sipoauth_session_state *session)
{
    struct answer *answer = user;
    rpc_t *rpc = answer->rpc;
    void *item;

    if (answer->full || rpc->add(answer->ctx, "{", &item) < 0) {
        answer->full = 1;
        return;
    }
    add_text(rpc, item, "aor", session->aor);
    add_text(rpc, item, "id", session->id);
    add_text(rpc, item, "instance", session->instance);
    add_text(rpc, item, "provider", session->provider);
    add_text(rpc, item, "subject", session->subject);
    add_text(rpc, item, "scope", session->scope);
    oauth_rpc_add_time(rpc, item, "created_at", session->created_at);
    oauth_rpc_add_time(rpc, item, "valid_until", session->valid_until);
    oauth_rpc_add_time(rpc, item, "ends_at", session->ends_at);
    oauth_rpc_add_number(rpc, item, "keys", session->key_count);
    oauth_rpc_add_number(rpc, item, "renewable", session->renewable);
    oauth_rpc_add_number(rpc, item, "weak", session->weak);
}

static void remove_bindings(void *user, const sipoauth_session_state *session)
{
    struct answer *answer = user;

    answer->removed += oauth_bindings_remove(session->aor, session->instance);
}

static void fault(const struct answer *answer, int rc)
{
    switch (rc) {
    case SIPOAUTH_E_INPUT:
        answer->rpc->fault(answer->ctx, 404, "Sessions are not configured (store), or this is not a SIP address");
        break;
    case SIPOAUTH_E_STORE:
        answer->rpc->fault(answer->ctx, 503, "The session store cannot be reached");
        break;
    default:
        answer->rpc->fault(answer->ctx, 500, "Internal error (%d)", rc);
    }
}

/* alice@example.test stands for sip:alice@example.test. */
static int scan_aor(const struct answer *answer, char *text, sipoauth_str *aor)
{
    str given = STR_NULL;
    int scheme;
    int len;

    if (answer->rpc->scan(answer->ctx, "S", &given) < 1 || given.len <= 0) {
        answer->rpc->fault(answer->ctx, 400, "An address is needed, for example alice@example.com");
        return -1;
    }
    scheme = (given.len > 4 && strncasecmp(given.s, "sip:", 4) == 0)
            || (given.len > 5 && strncasecmp(given.s, "sips:", 5) == 0);
    len = snprintf(text, AOR_MAX, "%s%.*s", scheme ? "" : "sip:", given.len, given.s);
    if (len < 0 || len >= AOR_MAX) {
        answer->rpc->fault(answer->ctx, 404, "This is not a SIP address");
        return -1;
    }
    aor->ptr = text;
    aor->len = (size_t)len;
    return 0;
}

/* A missing one is empty; then ctl would leave a text of its own. */
static sipoauth_str scan_optional(const struct answer *answer)
{
    str given = STR_NULL;
    sipoauth_str none = {NULL, 0};

    return answer->rpc->scan(answer->ctx, "*.S", &given) < 1 ? none : oauth_view(&given);
}

void oauth_rpc_sessions_list(rpc_t *rpc, void *ctx)
{
    struct answer answer = {rpc, ctx, 0, 0};
    sipoauth_str all = {NULL, 0};
    char next[NEXT_MAX] = "";
    void *item;
    int rc;

    rc = sipoauth_context_sessions(oauth_context, all, scan_optional(&answer), add_session, &answer, next,
            sizeof(next));
    if (rc != SIPOAUTH_OK) {
        fault(&answer, rc);
        return;
    }
    if (next[0] != '\0' && rpc->add(ctx, "{", &item) >= 0)
        rpc->struct_add(item, "s", "next", next);
}

void oauth_rpc_sessions_show(rpc_t *rpc, void *ctx)
{
    struct answer answer = {rpc, ctx, 0, 0};
    sipoauth_str aor, start = {NULL, 0};
    char text[AOR_MAX], next[NEXT_MAX] = "";
    int rc;

    if (scan_aor(&answer, text, &aor) < 0)
        return;
    rc = sipoauth_context_sessions(oauth_context, aor, start, add_session, &answer, next, sizeof(next));
    if (rc != SIPOAUTH_OK)
        fault(&answer, rc);
}

static void end_sessions(struct answer *answer, sipoauth_str aor, sipoauth_str session)
{
    uint64_t count = 0;
    void *item;
    int rc = sipoauth_context_sessions_revoke(oauth_context, aor, session, remove_bindings, answer, &count);

    if (rc != SIPOAUTH_OK) {
        fault(answer, rc);
        return;
    }
    if (answer->rpc->add(answer->ctx, "{", &item) < 0)
        return;
    oauth_rpc_add_number(answer->rpc, item, "revoked", count);
    oauth_rpc_add_number(answer->rpc, item, "bindings_removed", (uint64_t)answer->removed);
    if (!oauth_bindings_known())
        answer->rpc->struct_add(item, "s", "note", "the module usrloc is not loaded here");
}

void oauth_rpc_sessions_revoke(rpc_t *rpc, void *ctx)
{
    struct answer answer = {rpc, ctx, 0, 0};
    char text[AOR_MAX];
    sipoauth_str aor;

    if (scan_aor(&answer, text, &aor) == 0)
        end_sessions(&answer, aor, scan_optional(&answer));
}

void oauth_rpc_sessions_revoke_all(rpc_t *rpc, void *ctx)
{
    struct answer answer = {rpc, ctx, 0, 0};
    sipoauth_str all = {NULL, 0};

    end_sessions(&answer, all, all);
}
