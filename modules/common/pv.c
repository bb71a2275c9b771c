/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * $oauth(name) is a field of the outcome of the last check of this message, or of the request to which this message is an
 * answer. It is null when there was no check, or the field is empty. $oauth(claim:path) asks the library for a claim of the
 * accepted token, which is possible only in the script that has checked it.
 */
#include <limits.h>
#include <string.h>
#include <time.h>

#include "shim.h"

#define CLAIM_PREFIX "claim:"

enum field {
    ON_VERDICT, ON_CODE, ON_REASON, ON_REASON_TEXT, ON_ERROR, ON_STATUS, ON_RETRY_AFTER, ON_AOR, ON_USER, ON_DOMAIN,
    ON_SUBJECT, ON_CLIENT_ID, ON_SCOPE, ON_PROVIDER, ON_ISSUER, ON_KID, ON_FINGERPRINT, ON_REALM, ON_EXP,
    ON_EXPIRES, ON_EXPIRES_LIMIT, ON_CACHED, ON_OFFER, ON_GRANT, ON_SESSION, ON_INSTANCE, ON_SERVICES,
    ON_NEEDED_SCOPE, ON_TOKEN_RESPONSE, ON_HA1, ON_JWKS, ON_AGAIN, ON_ADDRESS,
    ON_REFER_ID, ON_REFER_STATUS, ON_REFER_REASON, ON_REFER_REASON_TEXT, ON_REFER_SUBSCRIPTION, ON_REFER_TO,
    ON_REFER_TARGET_CALL_ID, ON_REFER_TARGET_LOCAL_TAG, ON_REFER_TARGET_REMOTE_TAG, ON_REFER_EVENTS_URI, ON_REFER_PUBLISH_URI, ON_REFER_OWNER,
    ON_CLAIM
};

static const struct {
    const char *name;
    enum field field;
} names[] = {
    {"verdict", ON_VERDICT},
    {"code", ON_CODE},
    {"reason", ON_REASON},
    {"reason_text", ON_REASON_TEXT},
    {"error", ON_ERROR},
    {"status", ON_STATUS},
    {"retry_after", ON_RETRY_AFTER},
    {"aor", ON_AOR},
    {"user", ON_USER},
    {"domain", ON_DOMAIN},
    {"subject", ON_SUBJECT},
    {"client_id", ON_CLIENT_ID},
    {"scope", ON_SCOPE},
    {"provider", ON_PROVIDER},
    {"issuer", ON_ISSUER},
    {"kid", ON_KID},
    {"fingerprint", ON_FINGERPRINT},
    {"realm", ON_REALM},
    {"exp", ON_EXP},
    {"expires", ON_EXPIRES},
    {"cached", ON_CACHED},
    {"offer", ON_OFFER},
    {"grant", ON_GRANT},
    {"session", ON_SESSION},
    {"instance", ON_INSTANCE},
    {"services", ON_SERVICES},
    {"needed_scope", ON_NEEDED_SCOPE},
    {"expires_limit", ON_EXPIRES_LIMIT},
    {"token_response", ON_TOKEN_RESPONSE},
    {"ha1", ON_HA1},
    {"jwks", ON_JWKS},
    {"again", ON_AGAIN},
    {"address", ON_ADDRESS},
    {"refer_id", ON_REFER_ID},
    {"refer_status", ON_REFER_STATUS},
    {"refer_reason", ON_REFER_REASON},
    {"refer_reason_text", ON_REFER_REASON_TEXT},
    {"refer_subscription", ON_REFER_SUBSCRIPTION},
    {"refer_to", ON_REFER_TO},
    {"refer_target_call_id", ON_REFER_TARGET_CALL_ID},
    {"refer_target_local_tag", ON_REFER_TARGET_LOCAL_TAG},
    {"refer_target_remote_tag", ON_REFER_TARGET_REMOTE_TAG},
    {"refer_events_uri", ON_REFER_EVENTS_URI},
    {"refer_publish_uri", ON_REFER_PUBLISH_URI},
    {"refer_owner", ON_REFER_OWNER},
};

/* What a variable in the script stands for. It lives as long as the script. */
struct variable {
    enum field field;
    str path;   /* of a claim */
    char text[];
};

static int find_field(host_pv_name *name, enum field *field, str *path)
{
    const int prefix = sizeof(CLAIM_PREFIX) - 1;
    size_t i;

    if (name->len > prefix && memcmp(name->s, CLAIM_PREFIX, prefix) == 0) {
        *field = ON_CLAIM;
        path->s = name->s + prefix;
        path->len = name->len - prefix;
        return 0;
    }
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (name->len == (int)strlen(names[i].name) && memcmp(name->s, names[i].name, name->len) == 0) {
            *field = names[i].field;
            return 0;
        }
    }
    return -1;
}

static int parse_name(pv_spec_p spec, host_pv_name *name)
{
    struct variable *variable;
    enum field field;
    str path = STR_NULL;

    if (spec == NULL || name == NULL || name->s == NULL || find_field(name, &field, &path) < 0) {
        LM_ERR("$oauth(%.*s) is not known\n", name != NULL ? name->len : 0, name != NULL ? name->s : "");
        return -1;
    }
    variable = pkg_malloc(sizeof(*variable) + path.len + 1);
    if (variable == NULL) {
        LM_ERR("no private memory for a variable\n");
        return -1;
    }
    memset(variable, 0, sizeof(*variable));
    variable->field = field;
    variable->path.s = variable->text;
    variable->path.len = path.len;
    if (path.len > 0)
        memcpy(variable->text, path.s, path.len);
    spec->pvp.pvn.type = HOST_PV_NAME_TYPE;
    spec->pvp.pvn.u.dname = variable;
    return 0;
}

static const char *offer_name(uint32_t offer)
{
    switch (offer) {
    case SIPOAUTH_OFFER_BEARER:
        return "bearer";
    case SIPOAUTH_OFFER_DIGEST:
        return "digest";
    case SIPOAUTH_OFFER_BOTH:
        return "both";
    default:
        return "";
    }
}

static const char *grant_name(uint32_t grant)
{
    switch (grant) {
    case SIPOAUTH_GRANT_TOKEN:
        return "token";
    case SIPOAUTH_GRANT_CODE:
        return "code";
    case SIPOAUTH_GRANT_POP:
        return "pop";
    case SIPOAUTH_GRANT_CONNECTION:
        return "connection";
    case SIPOAUTH_GRANT_PASSWORD:
        return "password";
    case SIPOAUTH_GRANT_REFRESH:
        return "refresh";
    case SIPOAUTH_GRANT_TOKEN_POP:
        return "token_pop";
    case SIPOAUTH_GRANT_KEY_DERIVATION:
        return "key_derivation";
    case SIPOAUTH_GRANT_DEVICE:
        return "device";
    default:
        return "none";
    }
}

static const char *verdict_name(uint32_t verdict)
{
    switch (verdict) {
    case SIPOAUTH_VERDICT_ACCEPTED:
        return "accepted";
    case SIPOAUTH_VERDICT_NO_CREDENTIALS:
        return "no_credentials";
    case SIPOAUTH_VERDICT_NOT_NOW:
        return "not_now";
    case SIPOAUTH_VERDICT_PENDING:
        return "pending";
    default:
        return "denied";
    }
}

static int text(sip_msg_t *msg, pv_param_t *param, pv_value_t *value, str field)
{
    if (field.s == NULL || field.len <= 0)
        return pv_get_null(msg, param, value);
    return pv_get_strval(msg, param, value, &field);
}

static int word_of(sip_msg_t *msg, pv_param_t *param, pv_value_t *value, const char *word)
{
    str result = {(char *)word, (int)strlen(word)};

    return text(msg, param, value, result);
}

static int number(sip_msg_t *msg, pv_param_t *param, pv_value_t *value, int64_t n)
{
    if (n > INT_MAX)
        n = INT_MAX;
    return pv_get_sintval(msg, param, value, (int)n);
}

static int part_of_aor(sip_msg_t *msg, pv_param_t *param, pv_value_t *value, str aor, enum field field)
{
    struct sip_uri uri;

    if (aor.len <= 0 || parse_uri(aor.s, aor.len, &uri) < 0)
        return pv_get_null(msg, param, value);
    return text(msg, param, value, field == ON_USER ? uri.user : uri.host);
}

/* The number of values kept. A script may hold several at once, as in a comparison, and the library's text lives only
 * until its next call. */
#define CLAIMS 16

static int keep_claim(const sipoauth_str *found, str *kept)
{
    static struct {
        char *text;
        size_t size;
    } ring[CLAIMS];
    static int next = 0;
    char *bigger;

    next = (next + 1) % CLAIMS;
    if (found->len + 1 > ring[next].size) {
        bigger = pkg_malloc(found->len + 1);
        if (bigger == NULL) {
            LM_ERR("no private memory for a claim\n");
            return -1;
        }
        if (ring[next].text != NULL)
            pkg_free(ring[next].text);
        ring[next].text = bigger;
        ring[next].size = found->len + 1;
    }
    memcpy(ring[next].text, found->ptr, found->len);
    ring[next].text[found->len] = '\0';
    kept->s = ring[next].text;
    kept->len = (int)found->len;
    return 0;
}

static int claim(sip_msg_t *msg, pv_param_t *param, pv_value_t *value, const struct oauth_last *last, const str *path)
{
    sipoauth_worker *worker = last != NULL && last->granted ? oauth_worker_get() : NULL;
    sipoauth_str found = {NULL, 0};
    str kept;

    if (worker == NULL || sipoauth_worker_claim(worker, last->check, oauth_view(path), &found) != SIPOAUTH_OK || found.ptr == NULL
            || found.len > INT_MAX || keep_claim(&found, &kept) < 0)
        return pv_get_null(msg, param, value);
    return pv_get_strval(msg, param, value, &kept);
}

/* The tokens for the 200 to an accepted phone, for a script that puts them there itself. */
static int token_response(sip_msg_t *msg, pv_param_t *param, pv_value_t *value, const struct oauth_last *last)
{
    sipoauth_worker *worker = last != NULL && last->token_response ? oauth_worker_get() : NULL;
    sipoauth_str tokens = {NULL, 0};
    str copy;

    if (worker == NULL || sipoauth_worker_token_response(worker, last->check, &tokens) != SIPOAUTH_OK
            || oauth_tokens_show(tokens, &copy) < 0)
        return pv_get_null(msg, param, value);
    oauth_tokens_take_over(msg);
    return pv_get_strval(msg, param, value, &copy);
}

/* H(A1) of the device password whose user the script has asked for. */
static int ha1(sip_msg_t *msg, pv_param_t *param, pv_value_t *value)
{
    str found;

    return oauth_device_ha1(msg, &found) < 0 ? pv_get_null(msg, param, value) : text(msg, param, value, found);
}

/* The public keys of tokens that this proxy issues. They do not depend on a request. */
static int jwks(sip_msg_t *msg, pv_param_t *param, pv_value_t *value)
{
    static char keys[OAUTH_JWKS_SIZE];
    sipoauth_str any = {NULL, 0};
    size_t len = 0;
    str result = {keys, 0};

    if (sipoauth_context_jwks(oauth_context, any, keys, sizeof(keys), &len) != SIPOAUTH_OK)
        return pv_get_null(msg, param, value);
    result.len = (int)len;
    return pv_get_strval(msg, param, value, &result);
}

/* The address that the request speaks for, whether it was accepted or not; of a session that has ended, its own. */
static int address(sip_msg_t *msg, pv_param_t *param, pv_value_t *value, const struct oauth_last *last)
{
    str found = last->aor;

    if (found.len == 0 && oauth_is_request(msg))
        found = oauth_text(oauth_request_address(msg));
    return text(msg, param, value, found);
}

/* By which function the request had to wait, before the script saw it this time. */
static int again(sip_msg_t *msg, pv_param_t *param, pv_value_t *value)
{
    const char *function = oauth_again_function(msg);

    return function != NULL ? word_of(msg, param, value, function) : pv_get_null(msg, param, value);
}

/* What the functions of REFER have said of this message. */
static int refer(sip_msg_t *msg, pv_param_t *param, pv_value_t *value, enum field field)
{
    const struct oauth_refer *outcome = oauth_refer_get(msg);

    if (outcome == NULL)
        return pv_get_null(msg, param, value);
    switch (field) {
    case ON_REFER_ID:
        return text(msg, param, value, outcome->id);
    case ON_REFER_STATUS:
        return outcome->status ? number(msg, param, value, outcome->status) : pv_get_null(msg, param, value);
    case ON_REFER_REASON:
        return text(msg, param, value, outcome->reason);
    case ON_REFER_REASON_TEXT:
        return text(msg, param, value, outcome->reason_text);
    case ON_REFER_SUBSCRIPTION:
        return word_of(msg, param, value, oauth_subscribing_name(outcome->subscribing));
    case ON_REFER_TO:
        return text(msg, param, value, outcome->refer_to);
    case ON_REFER_TARGET_CALL_ID:
        return text(msg, param, value, outcome->target_call_id);
    case ON_REFER_TARGET_LOCAL_TAG:
        return text(msg, param, value, outcome->target_local_tag);
    case ON_REFER_TARGET_REMOTE_TAG:
        return text(msg, param, value, outcome->target_remote_tag);
    case ON_REFER_EVENTS_URI:
        return text(msg, param, value, outcome->events_uri);
    case ON_REFER_PUBLISH_URI:
        return text(msg, param, value, outcome->publish_uri);
    default:
        return text(msg, param, value, outcome->owner);
    }
}

static int get_value(sip_msg_t *msg, pv_param_t *param, pv_value_t *value)
{
    const struct variable *variable;
    const struct oauth_last *last = oauth_last_read(msg);
    int64_t left;

    if (param == NULL || param->pvn.u.dname == NULL)
        return -1;
    variable = param->pvn.u.dname;
    if (variable->field == ON_JWKS)
        return jwks(msg, param, value);
    if (variable->field == ON_AGAIN)
        return again(msg, param, value);
    if (variable->field >= ON_REFER_ID && variable->field <= ON_REFER_OWNER)
        return refer(msg, param, value, variable->field);
    if (last == NULL)
        return pv_get_null(msg, param, value);
    if (variable->field == ON_OFFER)
        return word_of(msg, param, value, offer_name(last->offer));
    if (!last->checked)
        return pv_get_null(msg, param, value);

    switch (variable->field) {
    case ON_VERDICT:
        return word_of(msg, param, value, verdict_name(last->verdict));
    case ON_CODE:
        return number(msg, param, value, last->code);
    case ON_REASON:
        return text(msg, param, value, last->reason_code);
    case ON_REASON_TEXT:
        return text(msg, param, value, last->reason_text);
    case ON_ERROR:
        return text(msg, param, value, last->error);
    case ON_STATUS:
        return number(msg, param, value, last->status);
    case ON_RETRY_AFTER:
        return last->retry_after ? number(msg, param, value, last->retry_after) : pv_get_null(msg, param, value);
    case ON_AOR:
        return text(msg, param, value, last->aor);
    case ON_ADDRESS:
        return address(msg, param, value, last);
    case ON_USER:
    case ON_DOMAIN:
        return part_of_aor(msg, param, value, last->aor, variable->field);
    case ON_SUBJECT:
        return text(msg, param, value, last->subject);
    case ON_CLIENT_ID:
        return text(msg, param, value, last->client_id);
    case ON_SCOPE:
        return text(msg, param, value, last->scope);
    case ON_PROVIDER:
        return text(msg, param, value, last->provider);
    case ON_ISSUER:
        return text(msg, param, value, last->issuer);
    case ON_KID:
        return text(msg, param, value, last->kid);
    case ON_FINGERPRINT:
        return text(msg, param, value, last->fingerprint);
    case ON_REALM:
        return text(msg, param, value, last->realm);
    case ON_EXP:
        return last->expires_at > 0 ? number(msg, param, value, last->expires_at) : pv_get_null(msg, param, value);
    case ON_EXPIRES:
        if (last->expires_at <= 0)
            return pv_get_null(msg, param, value);
        left = last->expires_at - (int64_t)time(NULL);
        return number(msg, param, value, left > 0 ? left : 0);
    case ON_CACHED:
        return number(msg, param, value, last->cached);
    case ON_GRANT:
        return word_of(msg, param, value, grant_name(last->grant));
    case ON_SESSION:
        return text(msg, param, value, last->session);
    case ON_INSTANCE:
        return text(msg, param, value, last->instance);
    case ON_SERVICES:
        return text(msg, param, value, last->services);
    case ON_NEEDED_SCOPE:
        return text(msg, param, value, last->needed_scope);
    case ON_EXPIRES_LIMIT:
        return last->expires_limit ? number(msg, param, value, last->expires_limit) : pv_get_null(msg, param, value);
    case ON_TOKEN_RESPONSE:
        return token_response(msg, param, value, oauth_last_get(msg));
    case ON_HA1:
        return ha1(msg, param, value);
    case ON_CLAIM:
        return claim(msg, param, value, oauth_last_get(msg), &variable->path);
    default:
        return pv_get_null(msg, param, value);
    }
}

pv_export_t oauth_pvs[] = {
    {{"oauth", sizeof("oauth") - 1}, HOST_PV_TYPE, get_value, 0, parse_name, 0, 0, 0},
    {{0, 0}, 0, 0, 0, 0, 0, 0, 0}
};
