/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RPC commands about the accounts of the Key-Derivation scheme. No answer shows a key or a salt.
 */
#include <string.h>

#include "module.h"

#define NEXT_MAX 512

struct answer {
    rpc_t *rpc;
    void *ctx;
    int full;    /* the answer has no more room */
    int count;
};

static void fault(rpc_t *rpc, void *ctx, int rc)
{
    oauth_rpc_store_fault(rpc, ctx, "Accounts", "store", rc);
}

static void add_account(void *user, const sipoauth_account_state *account)
{
    struct answer *answer = user;
    rpc_t *rpc = answer->rpc;
    void *item;

    answer->count++;
    if (answer->full || rpc->add(answer->ctx, "{", &item) < 0) {
        answer->full = 1;
        return;
    }
    oauth_rpc_add_view(rpc, item, "aor", account->aor);
    rpc->struct_add(item, "s", "kdf", account->kdf == SIPOAUTH_KDF_SHA512 ? "sha512" : "sha256");
    oauth_rpc_add_number(rpc, item, "iterations", account->iterations);
    oauth_rpc_add_number(rpc, item, "key_size", account->key_size);
    rpc->struct_add(item, "s", "stands_out", account->stands_out ? "yes" : "no");
}

void oauth_rpc_accounts_list(rpc_t *rpc, void *ctx)
{
    struct answer answer = {rpc, ctx, 0, 0};
    sipoauth_str all = {NULL, 0};
    char next[NEXT_MAX] = "";
    int rc;

    rc = sipoauth_context_accounts(oauth_context, all, oauth_rpc_scan_optional(rpc, ctx), add_account, &answer, next,
            sizeof(next));
    if (rc != SIPOAUTH_OK) {
        fault(rpc, ctx, rc);
        return;
    }
    oauth_rpc_add_next(rpc, ctx, next);
}

void oauth_rpc_accounts_show(rpc_t *rpc, void *ctx)
{
    struct answer answer = {rpc, ctx, 0, 0};
    sipoauth_str aor, start = {NULL, 0};
    char text[OAUTH_RPC_AOR_MAX], next[NEXT_MAX] = "";
    int rc;

    if (oauth_rpc_scan_aor(rpc, ctx, text, &aor) < 0)
        return;
    rc = sipoauth_context_accounts(oauth_context, aor, start, add_account, &answer, next, sizeof(next));
    if (rc != SIPOAUTH_OK)
        fault(rpc, ctx, rc);
    else if (answer.count == 0)
        rpc->fault(ctx, 404, "This address has no account");
}

/* A number is refused, because kamcmd turns a password of digits into a number and loses zeros. */
static int scan_password(rpc_t *rpc, void *ctx, sipoauth_str *password)
{
    str given = STR_NULL;

    if (rpc->scan(ctx, "*S", &given) < 1 || given.len <= 0) {
        rpc->fault(ctx, 400, "A password is needed. One that looks like a number must be a text: s:0123 for kamcmd, "
                             "\"0123\" in JSON");
        return -1;
    }
    *password = oauth_view(&given);
    return 0;
}

/* accounts_set AOR VERIFIER, or accounts_set AOR password PASSWORD */
void oauth_rpc_accounts_set(rpc_t *rpc, void *ctx)
{
    static const char word[] = "password";
    sipoauth_str aor, verifier, password = {NULL, 0};
    char text[OAUTH_RPC_AOR_MAX], err[OAUTH_ERR_SIZE] = "";
    int rc;

    if (oauth_rpc_scan_aor(rpc, ctx, text, &aor) < 0)
        return;
    verifier = oauth_rpc_scan_optional(rpc, ctx);
    if (verifier.len == sizeof(word) - 1 && memcmp(verifier.ptr, word, verifier.len) == 0) {
        if (oauth_is_sip_worker()) {
            rpc->fault(ctx, 403, "Deriving a key takes long and this process serves SIP requests: use kamcmd, or the "
                                 "tool: sipoauth accounts set");
            return;
        }
        verifier.len = 0;
        if (scan_password(rpc, ctx, &password) < 0)
            return;
    }
    rc = sipoauth_context_account_put(oauth_context, aor, verifier, password, err, sizeof(err));
    if (rc != SIPOAUTH_OK)
        oauth_rpc_fault(rpc, ctx, rc == SIPOAUTH_E_STORE ? 503 : 400, err);
    else
        rpc->add(ctx, "s", "written");
}

void oauth_rpc_accounts_remove(rpc_t *rpc, void *ctx)
{
    char text[OAUTH_RPC_AOR_MAX];
    sipoauth_str aor;
    uint32_t removed = 0;
    void *item;
    int rc;

    if (oauth_rpc_scan_aor(rpc, ctx, text, &aor) < 0)
        return;
    rc = sipoauth_context_account_remove(oauth_context, aor, &removed);
    if (rc != SIPOAUTH_OK)
        fault(rpc, ctx, rc);
    else if (rpc->add(ctx, "{", &item) >= 0)
        oauth_rpc_add_number(rpc, item, "removed", removed);
}
