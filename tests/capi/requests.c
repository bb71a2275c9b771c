/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One process with two workers and the I/O service in a thread: from PENDING to ACCEPTED, and everything refused.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static const char alice[] = "sip:alice@example.test";
static sipoauth_context *context;
static sipoauth_worker *worker;
static char err[256];

static sipoauth_result check(const struct message *message, uint32_t flags)
{
    sipoauth_result result = blank_result();

    EXPECT_STATUS(sipoauth_worker_check(worker, &message->request, flags, &result), SIPOAUTH_OK);
    return result;
}

static sipoauth_result check_credentials(const char *credentials)
{
    struct message message;

    message_register(&message, alice, credentials);
    return check(&message, 0);
}

static sipoauth_result check_as_bearer(const char *token)
{
    char *credentials = bearer(token);
    sipoauth_result result = check_credentials(credentials);

    free(credentials);
    return result;
}

#define EXPECT_REFUSED(result, wanted_status, code) \
    do { \
        EXPECT((result).verdict == SIPOAUTH_VERDICT_DENIED); \
        EXPECT((result).status == (wanted_status)); \
        EXPECT_TEXT((result).reason_code, code); \
        EXPECT((result).expires_at == 0 && (result).aor.len == 0); \
    } while (0)

static uint64_t statistic(const char *name)
{
    uint32_t i;

    for (i = 0; i < sipoauth_stat_count(); i++)
        if (strcmp(sipoauth_stat_name(i), name) == 0)
            return sipoauth_context_stat(context, i);
    EXPECT(!"there is such a statistic");
    return 0;
}

static uint64_t resumed[2];

static void on_done(void *user, uint64_t cookie0, uint64_t cookie1)
{
    sipoauth_io *io = (sipoauth_io *)user;
    sipoauth_result result = blank_result();
    char *credentials = bearer(argument("token"));
    struct message message;

    /* a callback may use workers, not the service that made it */
    EXPECT_STATUS(sipoauth_io_step(io, 0, on_done, io), SIPOAUTH_E_BUSY);
    sipoauth_io_free(io);
    message_register(&message, alice, credentials);
    EXPECT_STATUS(
        sipoauth_worker_check(worker, &message.request, SIPOAUTH_CHECK_RESUMED, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);
    free(credentials);
    resumed[0] = cookie0;
    resumed[1] = cookie1;
}

static void from_pending_to_accepted(sipoauth_io **io)
{
    char *credentials = bearer(argument("token"));
    struct message message;
    uint64_t job;
    sipoauth_result result;
    sipoauth_io *second = NULL;
    int i;

    message_register(&message, alice, credentials);
    result = check(&message, SIPOAUTH_CHECK_NO_WAIT);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NOT_NOW && result.status == 503 && result.retry_after > 0);
    result = check(&message, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_PENDING && result.status == 503);
    EXPECT_TEXT(result.reason_code, "pending");
    EXPECT_TEXT(result.provider, "test");
    EXPECT_STATUS(sipoauth_worker_submit(worker, result.job, text(""), 7, UINT64_MAX), SIPOAUTH_OK);

    /* max_pending is 1: the next one is refused for now */
    EXPECT_STATUS(sipoauth_worker_submit(worker, result.job, text(""), 9, 9), SIPOAUTH_E_FULL);
    job = result.job;
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_FULL, job - 1, &result), SIPOAUTH_E_STALE);
    expect_denied(&result);
    EXPECT_STATUS(sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_FULL, job, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NOT_NOW && result.status == 503 && result.retry_after > 0);
    EXPECT_TEXT(result.reason_code, "overloaded");
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_wait(worker, &message.request, 60000, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NOT_NOW && result.status == 503 && result.retry_after > 0);
    EXPECT_TEXT(result.reason_code, "overloaded");

    EXPECT_STATUS(sipoauth_io_new(context, io, err, sizeof(err)), SIPOAUTH_OK);
    EXPECT(err[0] == '\0');
    EXPECT_STATUS(sipoauth_io_new(context, &second, err, sizeof(err)), SIPOAUTH_E_BUSY);
    EXPECT(second == NULL && strstr(err, "runs already") != NULL);
    for (i = 0; i < 100 && resumed[0] == 0; i++)
        EXPECT_STATUS(sipoauth_io_step(*io, 300, on_done, *io), SIPOAUTH_OK);
    EXPECT(resumed[0] == 7 && resumed[1] == UINT64_MAX);
    EXPECT(statistic("suspended") == 1 && statistic("resumed") == 1);
    free(credentials);
}

static void accepted(void)
{
    struct message message;
    char *credentials = bearer(argument("token"));
    sipoauth_result result = check_credentials(credentials);
    sipoauth_str value = text("old");

    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.status == 200 && result.reason == 0);
    EXPECT(result.cached == 1 && result.retry_after == 0 && result.expires_at > 1700000000);
    EXPECT_TEXT(result.reason_code, "ok");
    EXPECT_TEXT(result.error, "");
    EXPECT_TEXT(result.provider, "test");
    EXPECT_TEXT(result.issuer, argument("issuer"));
    EXPECT_TEXT(result.aor, alice);
    EXPECT_TEXT(result.subject, "alice");
    EXPECT_TEXT(result.client_id, "sip-ua");
    EXPECT_TEXT(result.scope, "openid sip");
    EXPECT_TEXT(result.kid, "first");
    EXPECT(result.fingerprint.len == 16 && result.reason_text.len > 0);

    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("preferred_username"), &value), SIPOAUTH_OK);
    EXPECT_TEXT(value, "alice");
    /* the result's and the claim's texts may be inputs again */
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, value, &value), SIPOAUTH_E_ABSENT);
    EXPECT(value.len == 0);
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("exp"), &value), SIPOAUTH_OK);
    EXPECT(value.len == 10 && value.ptr[0] == '1');
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text(""), &value), SIPOAUTH_E_ABSENT);
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("\xff"), &value), SIPOAUTH_E_ABSENT);

    message_register(&message, alice, credentials);
    message.request.realm = result.provider;
    message.request.from_uri = message.request.to_uri = result.aor;
    result = check(&message, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);

    /* after a call that fails, no earlier token is the last one */
    message.request.role = 77;
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("sub"), &value), SIPOAUTH_E_STALE);

    /* a proxy, and another scheme beside */
    message_register(&message, alice, "Digest username=\"alice\", realm=\"example.test\"");
    message.request.role = SIPOAUTH_ROLE_PROXY;
    message.request.method = text("INVITE");
    message.request.to_uri = text("sip:bob@example.test");
    message.credentials[1] = text(credentials);
    message.request.credentials_count = 2;
    result = check(&message, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);
    /* a larger structure of a newer header */
    message.request.struct_size = sizeof(message);
    result = check(&message, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);

    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, text(argument("token")), 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.aor.len == 0);
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("sub"), &value), SIPOAUTH_OK);
    EXPECT_TEXT(value, "alice");
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, text("no.token.x"), 0, &result), SIPOAUTH_OK);
    EXPECT_REFUSED(result, 401, "token_malformed");
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("sub"), &value), SIPOAUTH_E_STATE);
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, text(""), SIPOAUTH_CHECK_NO_WAIT, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED);
    free(credentials);
}

/* The rest of a request, for a host to which reading it is work. */
struct partial {
    struct message *message;
    sipoauth_request rest;
    int32_t status;
    int calls;
};

static int32_t complete(void *user)
{
    struct partial *partial = (struct partial *)user;

    partial->calls++;
    if (partial->status == SIPOAUTH_OK)
        partial->message->request = partial->rest;
    return partial->status;
}

/* What was accepted before needs little of a request, and only that. */
static void accepted_again(void)
{
    struct message message;
    struct partial partial;
    char *credentials = bearer(argument("token"));
    sipoauth_result result, first;
    sipoauth_str value = text("old");
    uint64_t check_id;
    int i;

    memset(&partial, 0, sizeof(partial));
    partial.message = &message;
    message_register(&message, alice, credentials);
    for (i = 0; i < 2; i++)
        first = check(&message, 0);
    EXPECT(first.verdict == SIPOAUTH_VERDICT_ACCEPTED && first.cached == 1);
    message.request.complete = complete;
    message.request.complete_user = &partial;
    partial.rest = message.request;
    message.request.request_uri = message.request.call_id = message.request.source_ip = text("");
    message.request.source_port = 0;
    result = check(&message, 0);
    EXPECT(partial.calls == 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.cached == 1 && result.status == 200);
    EXPECT(result.grant == SIPOAUTH_GRANT_TOKEN && result.expires_at > 1700000000);
    EXPECT_TEXT(result.aor, alice);
    EXPECT_TEXT(result.subject, "alice");
    EXPECT_TEXT(result.issuer, argument("issuer"));
    EXPECT_TEXT(result.client_id, "sip-ua");
    EXPECT_TEXT(result.scope, "openid sip");
    EXPECT_TEXT(result.kid, "first");
    EXPECT(result.fingerprint.len == 16);
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("preferred_username"), &value), SIPOAUTH_OK);
    EXPECT_TEXT(value, "alice");

    /* its texts may be inputs again */
    message.request.from_uri = message.request.to_uri = result.aor;
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && partial.calls == 0);

    /* another method, another time, another token: the host is asked for the rest */
    check_id = result.check;
    message.request.from_uri = message.request.to_uri = text(alice);
    partial.rest.method = message.request.method = text("INVITE");
    result = check(&message, 0);
    EXPECT(partial.calls == 1 && result.verdict == SIPOAUTH_VERDICT_ACCEPTED && message.request.source_port != 0);
    EXPECT_STATUS(sipoauth_worker_claim(worker, check_id, text("sub"), &value), SIPOAUTH_E_STALE);
    partial.rest.now = message.request.now = 1;
    result = check(&message, 0);
    EXPECT(partial.calls == 2 && result.verdict == SIPOAUTH_VERDICT_DENIED);

    /* a host that cannot complete it says so; nothing of an earlier token is left */
    partial.status = SIPOAUTH_E_INPUT;
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_E_INPUT);
    expect_denied(&result);
    EXPECT(partial.calls == 3);
    free(credentials);
}

/* Tokens for the key pair, for the shared secret, and for somebody else. */
static void encrypted(void)
{
    sipoauth_result result = check_as_bearer(argument("encrypted"));
    sipoauth_key_state key;

    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.cached == 0);
    EXPECT_TEXT(result.aor, alice);
    EXPECT_TEXT(result.kid, "first");
    result = check_as_bearer(argument("encrypted"));
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.cached == 1);
    result = check_as_bearer(argument("shared"));
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);
    result = check_as_bearer(argument("foreign"));
    EXPECT_REFUSED(result, 401, "decryption_failed");
    EXPECT_TEXT(result.error, "invalid_token");
    result = check_as_bearer("AAAA.AAAA.AAAA.AAAA.AAAA");
    EXPECT_REFUSED(result, 401, "token_malformed");

    memset(&key, 0x5a, sizeof(key));
    key.struct_size = sizeof(key);
    EXPECT_STATUS(sipoauth_context_key_state(context, SIPOAUTH_DECRYPTION_KEYS, 0, &key), SIPOAUTH_OK);
    /* a PEM file's key is named by its thumbprint, RFC 7638 */
    EXPECT(key.usable == 1 && strlen(key.kid) == 43 && strcmp(key.kty, "RSA") == 0 && key.alg[0] == '\0');
    EXPECT_STATUS(sipoauth_context_key_state(context, SIPOAUTH_DECRYPTION_KEYS, 1, &key), SIPOAUTH_OK);
    EXPECT(strcmp(key.kid, "shared") == 0 && strcmp(key.kty, "oct") == 0 && key.note[0] == '\0');
    EXPECT_STATUS(sipoauth_context_key_state(context, SIPOAUTH_DECRYPTION_KEYS, 2, &key), SIPOAUTH_E_ABSENT);
    EXPECT(key.kid[0] == '\0');
}

static void refused(void)
{
    struct message message;
    char *credentials = bearer(argument("token"));
    sipoauth_result result = check_as_bearer(argument("forged"));

    /* the server may have another key under this name now: its keys are wanted first */
    EXPECT(result.verdict == SIPOAUTH_VERDICT_PENDING);
    result = check_as_bearer(argument("expired"));
    EXPECT_REFUSED(result, 401, "token_expired");
    EXPECT_TEXT(result.error, "invalid_token");
    result = check_credentials(NULL);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS && result.status == 401);
    result = check_credentials("");
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS);
    result = check_credentials("Bearer");
    EXPECT_REFUSED(result, 400, "credentials_malformed");
    result = check_credentials("Bearer \xff\xfe\xfd");
    EXPECT_REFUSED(result, 400, "credentials_malformed");
    result = check_credentials("\xff\xfe\xfd");
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS);

    message_register(&message, alice, NULL);
    message.request.role = SIPOAUTH_ROLE_PROXY;
    message.request.credentials = NULL;
    result = check(&message, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS && result.status == 407);
    message_register(&message, "sip:bob@example.test", credentials);
    result = check(&message, 0);
    EXPECT_REFUSED(result, 403, "aor_mismatch");
    message_register(&message, "sip:\xff@example.test", credentials);
    result = check(&message, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status != 200);
    message_register(&message, "", credentials);
    result = check(&message, 0);
    EXPECT_REFUSED(result, 400, "aor_missing");
    message_register(&message, alice, credentials);
    message.request.now = 4000000000;
    result = check(&message, 0);
    EXPECT_REFUSED(result, 401, "token_expired");
    message.request.now = 253402300799;
    result = check(&message, 0);
    EXPECT_REFUSED(result, 401, "token_expired");
    message.request.now = 1;
    result = check(&message, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED);
    free(credentials);
}

static void large(void)
{
    const size_t megabyte = 1024 * 1024;
    char *body = (char *)malloc(megabyte), *credentials = bearer(argument("token"));
    struct message message;
    sipoauth_result result;
    size_t i;

    result = check_as_bearer(argument("large"));
    EXPECT_REFUSED(result, 400, "token_too_large");
    if (body == NULL)
        exit(2);
    memset(body, 'a', megabyte);
    message_register(&message, alice, "");
    message.credentials[0] = octets(body, megabyte);
    result = check(&message, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS);
    memcpy(body, "Bearer ", 7);
    result = check(&message, 0);
    EXPECT_REFUSED(result, 400, "token_too_large");
    memset(body + 7, ',', megabyte - 7);
    result = check(&message, 0);
    EXPECT_REFUSED(result, 400, "credentials_malformed");
    message.request.from_uri = message.request.to_uri = message.request.realm = octets(body, megabyte);
    message.credentials[0] = text(credentials);
    result = check(&message, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status != 200);
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, octets(body, megabyte), 0, &result), SIPOAUTH_OK);
    EXPECT_REFUSED(result, 400, "token_too_large");
    free(body);

    /* sixteen header fields are looked at, more are refused unseen */
    message_register(&message, alice, credentials);
    for (i = 1; i < 20; i++)
        message.credentials[i] = text("Digest username=\"alice\"");
    message.request.credentials_count = 16;
    result = check(&message, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);
    message.request.credentials_count = 20;
    result = check(&message, 0);
    EXPECT_REFUSED(result, 400, "credentials_malformed");
    message.request.credentials_count = SIZE_MAX;
    result = check(&message, 0);
    EXPECT_REFUSED(result, 400, "credentials_malformed");
    message.credentials[15] = text(credentials);
    message.request.credentials_count = 16;
    result = check(&message, 0);
    EXPECT_REFUSED(result, 400, "several_tokens");
    free(credentials);
}

static int stop_io = 0;
static pthread_mutex_t stop_lock = PTHREAD_MUTEX_INITIALIZER;

static void *io_thread(void *user)
{
    sipoauth_io *io = (sipoauth_io *)user;
    int stop = 0;

    while (!stop) {
        EXPECT_STATUS(sipoauth_io_step(io, 20, NULL, NULL), SIPOAUTH_OK);
        pthread_mutex_lock(&stop_lock);
        stop = stop_io;
        pthread_mutex_unlock(&stop_lock);
    }
    return NULL;
}

/* A program that may block waits for the keys itself; the service runs in a thread. */
static void waits(sipoauth_io *io)
{
    char *credentials = bearer(argument("unknown"));
    struct message message;
    sipoauth_result result = blank_result();
    uint64_t fetches = statistic("key_fetches");
    pthread_t thread;

    EXPECT(pthread_create(&thread, NULL, io_thread, io) == 0);
    message_register(&message, alice, credentials);
    EXPECT_STATUS(sipoauth_worker_check_wait(worker, &message.request, 60000, &result), SIPOAUTH_OK);
    EXPECT_REFUSED(result, 401, "key_unknown");
    EXPECT(statistic("key_fetches") == fetches + 1);
    /* now it is known that there is no such key */
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_wait(worker, &message.request, 60000, &result), SIPOAUTH_OK);
    EXPECT_REFUSED(result, 401, "key_unknown");
    EXPECT(statistic("key_fetches") == fetches + 1);
    pthread_mutex_lock(&stop_lock);
    stop_io = 1;
    pthread_mutex_unlock(&stop_lock);
    pthread_join(thread, NULL);
    free(credentials);
}

static void within_log(void *user)
{
    sipoauth_result result = blank_result();
    struct message message;

    (void)user;
    message_register(&message, alice, "Bearer x");
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_E_BUSY);
    expect_denied(&result);
    sipoauth_worker_free(worker); /* does nothing: the worker is in use */
}

/* A second call within a callback of the first is an error, not a data race. */
static void busy(void)
{
    sipoauth_result result;

    the_log.within = within_log;
    result = check_as_bearer(argument("expired"));
    EXPECT_REFUSED(result, 401, "token_expired");
    EXPECT(the_log.within == NULL);
}

static void challenge(void)
{
    sipoauth_challenge view;
    sipoauth_reply reply;
    char buf[1024];

    memset(&view, 0, sizeof(view));
    view.struct_size = sizeof(view);
    view.domain = text("example.test");
    view.error = text("invalid_token");
    view.method = text("REGISTER");
    memset(&reply, 0x5a, sizeof(reply));
    reply.struct_size = sizeof(reply);
    EXPECT_STATUS(sipoauth_worker_challenge(worker, &view, &reply), SIPOAUTH_OK);
    snprintf(buf, sizeof(buf),
            "WWW-Authenticate: Bearer realm=\"example.test\", authz_server=\"%s\", scope=\"sip\", "
            "error=\"invalid_token\"\r\nLocation: <%s>\r\n",
            argument("issuer"), argument("issuer"));
    EXPECT(reply.status == 401);
    EXPECT_TEXT(reply.phrase, "Unauthorized");
    EXPECT_TEXT(reply.headers, buf);

    view.role = SIPOAUTH_ROLE_PROXY;
    view.realm = text("a\r\nInjected: \"\\\xff");
    /* its texts may be inputs again */
    view.error = reply.phrase;
    view.scope = text("sip.call");
    EXPECT_STATUS(sipoauth_worker_challenge(worker, &view, &reply), SIPOAUTH_OK);
    EXPECT(reply.status == 407);
    EXPECT(contains(reply.headers.ptr, reply.headers.len, "Proxy-Authenticate: Bearer realm=\"aInjected: \\\"\\\\"));
    EXPECT(!contains(reply.headers.ptr, reply.headers.len, "Location"));
    EXPECT(contains(reply.headers.ptr, reply.headers.len, "scope=\"sip.call\", error=\"Unauthorized\""));
    EXPECT(!contains(reply.headers.ptr, reply.headers.len - 2, "\r\n"));
}

static void offer(void)
{
    sipoauth_endpoint endpoint;
    uint32_t offered = 0;

    memset(&endpoint, 0, sizeof(endpoint));
    endpoint.struct_size = sizeof(endpoint);
    endpoint.local_port = 65535;
    EXPECT_STATUS(sipoauth_worker_offer(worker, &endpoint, &offered), SIPOAUTH_OK);
    EXPECT(offered == SIPOAUTH_OFFER_BEARER);
    endpoint.transport = SIPOAUTH_TRANSPORT_WS;
    EXPECT_STATUS(sipoauth_worker_offer(worker, &endpoint, &offered), SIPOAUTH_OK);
    EXPECT(offered == SIPOAUTH_OFFER_BOTH);
    endpoint.user_agent = text("Linphone/5.1");
    EXPECT_STATUS(sipoauth_worker_offer(worker, &endpoint, &offered), SIPOAUTH_OK);
    EXPECT(offered == SIPOAUTH_OFFER_DIGEST);
    endpoint.user_agent = text("\xff\xfe");
    EXPECT_STATUS(sipoauth_worker_offer(worker, &endpoint, &offered), SIPOAUTH_OK);
}

static void state(void)
{
    sipoauth_provider_state provider;
    sipoauth_key_state key;
    uint32_t i;

    for (i = 0; i < sipoauth_stat_count(); i++)
        EXPECT(sipoauth_stat_name(i) != NULL && sipoauth_stat_name(i)[0] != '\0');
    EXPECT(statistic("accepted") > 0 && statistic("denied") > 0 && statistic("reason_token_expired") > 0);
    EXPECT(statistic("panics") == 0);

    EXPECT(sipoauth_context_provider_count(context) == 1);
    memset(&provider, 0x5a, sizeof(provider));
    provider.struct_size = sizeof(provider);
    EXPECT_STATUS(sipoauth_context_provider_state(context, 0, &provider), SIPOAUTH_OK);
    EXPECT(strcmp(provider.name, "test") == 0 && strcmp(provider.issuer, argument("issuer")) == 0);
    EXPECT(provider.state == SIPOAUTH_KEYS_FRESH && provider.key_count == 1 && provider.failures == 0);
    EXPECT(provider.fetches >= 1 && provider.fetched_at > 1700000000 && provider.next_fetch_at > provider.fetched_at);
    EXPECT(strstr(provider.jwks_uri, "/jwks") != NULL && provider.last_error[0] == '\0');

    memset(&key, 0x5a, sizeof(key));
    key.struct_size = sizeof(key);
    EXPECT_STATUS(sipoauth_context_key_state(context, 0, 0, &key), SIPOAUTH_OK);
    EXPECT(key.usable == 1 && strcmp(key.kid, "first") == 0 && strcmp(key.kty, "RSA") == 0 && key.note[0] == '\0');
    EXPECT_STATUS(sipoauth_context_key_state(context, 0, 1, &key), SIPOAUTH_E_ABSENT);
    EXPECT(key.kid[0] == '\0');
}

void test_requests(void)
{
    sipoauth_io *io = NULL;

    context = make_context(";method_scopes=INVITE=sip,MESSAGE=sip.message;services=chat=sip,talk=sip openid,pstn=sip.pstn",
                           "1");
    EXPECT_STATUS(sipoauth_worker_new(context, SIPOAUTH_WORKER_MAY_WAIT, &worker, err, sizeof(err)), SIPOAUTH_OK);
    from_pending_to_accepted(&io);
    accepted();
    accepted_again();
    encrypted();
    refused();
    test_grants(worker);
    test_replies(worker);
    test_dialogs(worker);
    test_refer(worker);
    large();
    waits(io);
    busy();
    challenge();
    offer();
    state();
    sipoauth_io_free(io);
    /* what is made of a context outlives its handle */
    sipoauth_context_free(context);
    EXPECT(check_credentials(NULL).verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS);
    sipoauth_worker_free(worker);
}
