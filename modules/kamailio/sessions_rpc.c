/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RPC commands about sessions: list, show, revoke. They run in the RPC process, so they may wait for the store.
 */
#include <string.h>

#include "module.h"

#define NEXT_MAX 512
#define REVOKED "The operator has ended the session."

struct answer {
    rpc_t *rpc;
    void *ctx;
    int full;      /* the answer has no more room */
    int removed;   /* bindings */
    int nameless;  /* a session without an instance is left */
};

static void add_session(void *user, const sipoauth_session_state *session)
{
    struct answer *answer = user;
    rpc_t *rpc = answer->rpc;
    void *item;

    if (answer->full || rpc->add(answer->ctx, "{", &item) < 0) {
        answer->full = 1;
        return;
    }
    oauth_rpc_add_view(rpc, item, "aor", session->aor);
    oauth_rpc_add_view(rpc, item, "id", session->id);
    oauth_rpc_add_view(rpc, item, "instance", session->instance);
    oauth_rpc_add_view(rpc, item, "provider", session->provider);
    oauth_rpc_add_view(rpc, item, "subject", session->subject);
    oauth_rpc_add_view(rpc, item, "scope", session->scope);
    oauth_rpc_add_time(rpc, item, "created_at", session->created_at);
    oauth_rpc_add_time(rpc, item, "valid_until", session->valid_until);
    oauth_rpc_add_time(rpc, item, "ends_at", session->ends_at);
    oauth_rpc_add_number(rpc, item, "keys", session->key_count);
    oauth_rpc_add_number(rpc, item, "renewable", session->renewable);
    oauth_rpc_add_number(rpc, item, "weak", session->weak);
}

static void remove_bindings(void *user, const sipoauth_session_state *session)
{
    const sipoauth_str why = {REVOKED, sizeof(REVOKED) - 1};
    struct answer *answer = user;

    answer->removed += oauth_bindings_remove(session->aor, session->instance);
    oauth_event_session_ended(session, "session_revoked", why);
}

static void note_left(void *user, const sipoauth_session_state *session)
{
    struct answer *answer = user;

    if (session->instance.len == 0)
        answer->nameless = 1;
}

/*
 * A phone may have used its session also in a REGISTER whose Contact has no instance. Nothing tells whose such a binding
 * is, so it goes, unless a session without an instance is left.
 */
static void remove_nameless(struct answer *answer, sipoauth_str aor)
{
    sipoauth_str none = {NULL, 0};
    char next[NEXT_MAX] = "";

    if (sipoauth_context_sessions(oauth_context, aor, none, note_left, answer, next, sizeof(next)) == SIPOAUTH_OK
            && !answer->nameless)
        answer->removed += oauth_bindings_remove(aor, none);
}

static void remove_all_bindings(void *user, const sipoauth_session_state *session)
{
    sipoauth_str none = {NULL, 0};
    struct answer *answer = user;

    remove_bindings(user, session);
    answer->removed += oauth_bindings_remove(session->aor, none);
}

static void fault(const struct answer *answer, int rc)
{
    oauth_rpc_store_fault(answer->rpc, answer->ctx, "Sessions", "session store", rc);
}

void oauth_rpc_sessions_list(rpc_t *rpc, void *ctx)
{
    struct answer answer = {.rpc = rpc, .ctx = ctx};
    sipoauth_str all = {NULL, 0};
    char next[NEXT_MAX] = "";
    int rc;

    rc = sipoauth_context_sessions(oauth_context, all, oauth_rpc_scan_optional(rpc, ctx), add_session, &answer, next,
            sizeof(next));
    if (rc != SIPOAUTH_OK) {
        fault(&answer, rc);
        return;
    }
    oauth_rpc_add_next(rpc, ctx, next);
}

void oauth_rpc_sessions_show(rpc_t *rpc, void *ctx)
{
    struct answer answer = {.rpc = rpc, .ctx = ctx};
    sipoauth_str aor, start = {NULL, 0};
    char text[OAUTH_RPC_AOR_MAX], next[NEXT_MAX] = "";
    int rc;

    if (oauth_rpc_scan_aor(rpc, ctx, text, &aor) < 0)
        return;
    rc = sipoauth_context_sessions(oauth_context, aor, start, add_session, &answer, next, sizeof(next));
    if (rc != SIPOAUTH_OK)
        fault(&answer, rc);
}

static void end_sessions(struct answer *answer, sipoauth_str aor, sipoauth_str session)
{
    uint64_t count = 0;
    void *item;
    int rc = sipoauth_context_sessions_revoke(oauth_context, aor, session,
            aor.len > 0 ? remove_bindings : remove_all_bindings, answer, &count);

    if (rc != SIPOAUTH_OK) {
        fault(answer, rc);
        return;
    }
    if (aor.len > 0 && count > 0)
        remove_nameless(answer, aor);
    if (answer->rpc->add(answer->ctx, "{", &item) < 0)
        return;
    oauth_rpc_add_number(answer->rpc, item, "revoked", count);
    oauth_rpc_add_number(answer->rpc, item, "bindings_removed", (uint64_t)answer->removed);
    if (!oauth_bindings_known())
        answer->rpc->struct_add(item, "s", "note", "the module usrloc is not loaded here");
}

void oauth_rpc_sessions_revoke(rpc_t *rpc, void *ctx)
{
    struct answer answer = {.rpc = rpc, .ctx = ctx};
    char text[OAUTH_RPC_AOR_MAX];
    sipoauth_str aor;

    if (oauth_rpc_scan_aor(rpc, ctx, text, &aor) == 0)
        end_sessions(&answer, aor, oauth_rpc_scan_optional(rpc, ctx));
}

void oauth_rpc_sessions_revoke_all(rpc_t *rpc, void *ctx)
{
    struct answer answer = {.rpc = rpc, .ctx = ctx};
    sipoauth_str all = {NULL, 0};

    end_sessions(&answer, all, all);
}
