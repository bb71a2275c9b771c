/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RPC commands reload, refresh_keys, providers, keys and stats, and the table of all commands. No answer holds a
 * secret, because the library's state structures have none.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "module.h"

#define FAULT_MAX 240

static const char *reload_doc[] = {"Read the configuration file again; a bad one leaves the old in force", 0};
static const char *refresh_keys_doc[] = {"Fetch the keys of a provider, or of all, now", 0};
static const char *providers_doc[] = {"State of each provider's keys", 0};
static const char *keys_doc[] = {"The keys that are known: public parts only", 0};
static const char *jwks_doc[] = {"The public keys of tokens that this proxy issues, of a provider or of the first one", 0};
static const char *stats_doc[] = {"The module's counters", 0};
static const char *sessions_list_doc[] = {"The sessions of phones that signed in, some at a time", 0};
static const char *sessions_show_doc[] = {"The sessions of an address", 0};
static const char *sessions_revoke_doc[] = {"End one or all sessions of an address and remove their bindings", 0};
static const char *sessions_revoke_all_doc[] = {"End every session and remove their bindings", 0};

static const char *accounts_list_doc[] = {"The users of the Key-Derivation scheme, some at a time", 0};
static const char *accounts_show_doc[] = {"The account of an address", 0};
static const char *accounts_set_doc[] = {"Write an account: ADDRESS VERIFIER, or ADDRESS password PASSWORD", 0};
static const char *accounts_remove_doc[] = {"Remove the account of an address", 0};

/* Adds a small number as a number. The wire formats do not agree on larger ones, so these go as text. */
int oauth_rpc_add_number(rpc_t *rpc, void *item, const char *name, uint64_t value)
{
    char *field = (char *)name;

    if (value <= INT_MAX)
        return rpc->struct_add(item, "d", field, (int)value);
    return rpc->struct_printf(item, field, "%llu", (unsigned long long)value);
}

int oauth_rpc_add_time(rpc_t *rpc, void *item, const char *name, int64_t value)
{
    return oauth_rpc_add_number(rpc, item, name, value > 0 ? (uint64_t)value : 0);
}

void oauth_rpc_add_view(rpc_t *rpc, void *item, const char *name, sipoauth_str value)
{
    str text = {value.len > 0 ? (char *)value.ptr : "", (int)value.len};

    rpc->struct_add(item, "S", (char *)name, &text);
}

/* alice@example.test stands for sip:alice@example.test. `text` has room for OAUTH_RPC_AOR_MAX octets. */
int oauth_rpc_scan_aor(rpc_t *rpc, void *ctx, char *text, sipoauth_str *aor)
{
    str given = STR_NULL;
    int scheme;
    int len;

    if (rpc->scan(ctx, "S", &given) < 1 || given.len <= 0) {
        rpc->fault(ctx, 400, "An address is needed, for example alice@example.com");
        return -1;
    }
    scheme = (given.len > 4 && strncasecmp(given.s, "sip:", 4) == 0)
            || (given.len > 5 && strncasecmp(given.s, "sips:", 5) == 0);
    len = snprintf(text, OAUTH_RPC_AOR_MAX, "%s%.*s", scheme ? "" : "sip:", given.len, given.s);
    if (len < 0 || len >= OAUTH_RPC_AOR_MAX) {
        rpc->fault(ctx, 404, "This is not a SIP address");
        return -1;
    }
    aor->ptr = text;
    aor->len = (size_t)len;
    return 0;
}

/* A missing parameter gives an empty text. ctl would leave a text of its own in `given` then. */
sipoauth_str oauth_rpc_scan_optional(rpc_t *rpc, void *ctx)
{
    str given = STR_NULL;
    sipoauth_str none = {NULL, 0};

    return rpc->scan(ctx, "*.S", &given) < 1 ? none : oauth_view(&given);
}

static int add_text(rpc_t *rpc, void *item, const char *name, const char *value)
{
    char *field = (char *)name;

    return rpc->struct_add(item, "s", field, (char *)value);
}

/* kamcmd loses a fault that fills its 256 octets, so a long sentence is cut here and is in the log in full. */
void oauth_rpc_fault(rpc_t *rpc, void *ctx, int code, const char *sentence)
{
    int cut = strlen(sentence) > FAULT_MAX;

    if (cut)
        LM_ERR("%s\n", sentence);
    rpc->fault(ctx, code, "%.*s%s", cut ? FAULT_MAX - 24 : FAULT_MAX, sentence, cut ? "... (all is in the log)" : "");
}

/* Reports a failure of the store, or of a search in it. `what` is what was looked for ("Sessions"), `store` is the name
 * of the store in the sentence. */
void oauth_rpc_store_fault(rpc_t *rpc, void *ctx, const char *what, const char *store, int rc)
{
    switch (rc) {
    case SIPOAUTH_E_STATE:
        rpc->fault(ctx, 404, "%s are not configured (store)", what);
        break;
    case SIPOAUTH_E_INPUT:
        rpc->fault(ctx, 404, "This is not a SIP address");
        break;
    case SIPOAUTH_E_STORE:
        rpc->fault(ctx, 503, "The %s cannot be reached", store);
        break;
    default:
        rpc->fault(ctx, 500, "Internal error (%d)", rc);
    }
}

/* Adds the place where a list goes on. */
void oauth_rpc_add_next(rpc_t *rpc, void *ctx, const char *next)
{
    void *item;

    if (next[0] != '\0' && rpc->add(ctx, "{", &item) >= 0)
        add_text(rpc, item, "next", next);
}

static void reload(rpc_t *rpc, void *ctx)
{
    char err[OAUTH_ERR_SIZE] = "";

    if (sipoauth_context_reload(oauth_context, err, sizeof(err)) != SIPOAUTH_OK) {
        LM_ERR("reload: %s\n", err);
        oauth_rpc_fault(rpc, ctx, 500, err);
        return;
    }
    rpc->add(ctx, "s", "reloaded");
}

static void refresh_keys(rpc_t *rpc, void *ctx)
{
    char err[OAUTH_ERR_SIZE] = "";
    sipoauth_str provider = oauth_rpc_scan_optional(rpc, ctx);
    uint32_t count = 0;
    void *item;

    if (sipoauth_context_refresh_keys(oauth_context, provider, &count, err, sizeof(err)) != SIPOAUTH_OK) {
        oauth_rpc_fault(rpc, ctx, 500, err);
        return;
    }
    if (rpc->add(ctx, "{", &item) >= 0)
        oauth_rpc_add_number(rpc, item, "started", count);
}

static const char *state_name(uint32_t state)
{
    static const char *const name[] = {"no keys yet", "fresh", "stale", "too old", "static", "not needed"};

    return state < sizeof(name) / sizeof(name[0]) ? name[state] : "unknown";
}

static int add_provider(rpc_t *rpc, void *ctx, const sipoauth_provider_state *state)
{
    void *item;

    if (rpc->add(ctx, "{", &item) < 0)
        return -1;
    add_text(rpc, item, "name", state->name);
    add_text(rpc, item, "issuer", state->issuer);
    add_text(rpc, item, "tokens", state->tokens);
    add_text(rpc, item, "jwks_uri", state->jwks_uri);
    add_text(rpc, item, "state", state_name(state->state));
    oauth_rpc_add_number(rpc, item, "keys", state->key_count);
    oauth_rpc_add_time(rpc, item, "fetched_at", state->fetched_at);
    oauth_rpc_add_time(rpc, item, "next_fetch_at", state->next_fetch_at);
    oauth_rpc_add_number(rpc, item, "fetches", state->fetches);
    oauth_rpc_add_number(rpc, item, "failures", state->failures);
    add_text(rpc, item, "last_error", state->last_error);
    return 0;
}

/* Returns 0 if a reload has removed the provider meanwhile. */
static int provider_state(uint32_t index, sipoauth_provider_state *state)
{
    memset(state, 0, sizeof(*state));
    state->struct_size = sizeof(*state);
    return sipoauth_context_provider_state(oauth_context, index, state) == SIPOAUTH_OK;
}

static void providers(rpc_t *rpc, void *ctx)
{
    sipoauth_provider_state state;
    uint32_t i, count = sipoauth_context_provider_count(oauth_context);

    for (i = 0; i < count; i++) {
        if (provider_state(i, &state) && add_provider(rpc, ctx, &state) < 0)
            return;
    }
}

static int add_keys(rpc_t *rpc, void *ctx, uint32_t provider, const char *provider_name)
{
    sipoauth_key_state key;
    uint32_t i;
    void *item;

    for (i = 0;; i++) {
        memset(&key, 0, sizeof(key));
        key.struct_size = sizeof(key);
        if (sipoauth_context_key_state(oauth_context, provider, i, &key) != SIPOAUTH_OK)
            return 0; /* past the end */
        if (rpc->add(ctx, "{", &item) < 0)
            return -1;
        add_text(rpc, item, "provider", provider_name);
        add_text(rpc, item, "kid", key.kid);
        add_text(rpc, item, "kty", key.kty);
        add_text(rpc, item, "alg", key.alg);
        oauth_rpc_add_number(rpc, item, "usable", key.usable);
        add_text(rpc, item, "note", key.note);
    }
}

static void keys(rpc_t *rpc, void *ctx)
{
    sipoauth_provider_state state;
    uint32_t i, count = sipoauth_context_provider_count(oauth_context);

    for (i = 0; i < count; i++) {
        if (provider_state(i, &state) && add_keys(rpc, ctx, i, state.name) < 0)
            return;
    }
    add_keys(rpc, ctx, SIPOAUTH_DECRYPTION_KEYS, "(decryption)");
}

static void jwks(rpc_t *rpc, void *ctx)
{
    char text[OAUTH_JWKS_SIZE + 1];
    sipoauth_str provider = oauth_rpc_scan_optional(rpc, ctx);
    size_t len = 0;

    if (sipoauth_context_jwks(oauth_context, provider, text, OAUTH_JWKS_SIZE, &len) != SIPOAUTH_OK) {
        rpc->fault(ctx, 404, "no such provider has signing_key_files");
        return;
    }
    text[len] = '\0';
    rpc->add(ctx, "s", text);
}

static void stats(rpc_t *rpc, void *ctx)
{
    const char *name;
    void *item;
    uint32_t i;

    if (rpc->add(ctx, "{", &item) < 0)
        return;
    for (i = 0; i < sipoauth_stat_count(); i++) {
        name = sipoauth_stat_name(i);
        if (name != NULL)
            oauth_rpc_add_number(rpc, item, name, sipoauth_context_stat(oauth_context, i));
    }
}

rpc_export_t oauth_rpcs[] = {
    {"auth_oauth.reload", reload, reload_doc, 0},
    {"auth_oauth.refresh_keys", refresh_keys, refresh_keys_doc, 0},
    {"auth_oauth.providers", providers, providers_doc, RET_ARRAY},
    {"auth_oauth.keys", keys, keys_doc, RET_ARRAY},
    {"auth_oauth.jwks", jwks, jwks_doc, 0},
    {"auth_oauth.stats", stats, stats_doc, 0},
    {"auth_oauth.sessions_list", oauth_rpc_sessions_list, sessions_list_doc, RET_ARRAY},
    {"auth_oauth.sessions_show", oauth_rpc_sessions_show, sessions_show_doc, RET_ARRAY},
    {"auth_oauth.sessions_revoke", oauth_rpc_sessions_revoke, sessions_revoke_doc, 0},
    {"auth_oauth.sessions_revoke_all", oauth_rpc_sessions_revoke_all, sessions_revoke_all_doc, 0},
    {"auth_oauth.accounts_list", oauth_rpc_accounts_list, accounts_list_doc, RET_ARRAY},
    {"auth_oauth.accounts_show", oauth_rpc_accounts_show, accounts_show_doc, RET_ARRAY},
    {"auth_oauth.accounts_set", oauth_rpc_accounts_set, accounts_set_doc, 0},
    {"auth_oauth.accounts_remove", oauth_rpc_accounts_remove, accounts_remove_doc, 0},
    {0, 0, 0, 0}
};
