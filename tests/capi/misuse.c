/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Every pointer NULL, every structure too small, every length and number impossible: defined answers, and the result
 * is "denied" whatever it was before.
 */
#include <stdint.h>
#include <string.h>

#include "client.h"

#define HUGE_LENGTH ((size_t)16 * 1024 * 1024 + 1)

static const sipoauth_str null_with_length = {NULL, 1};
static char err[256];

static void frees(void)
{
    sipoauth_config_free(NULL);
    sipoauth_context_free(NULL);
    sipoauth_worker_free(NULL);
    sipoauth_io_free(NULL);
}

static void before_the_fork(void)
{
    sipoauth_config *config = sipoauth_config_new();
    sipoauth_context *context = (sipoauth_context *)err;
    sipoauth_str key = text("leeway"), value = text("3");

    EXPECT_STATUS(sipoauth_config_set(NULL, key, value, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT(err[0] != '\0' && strlen(err) < sizeof(err));
    EXPECT_STATUS(sipoauth_config_set(config, null_with_length, value, NULL, 0), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_config_set(config, key, null_with_length, NULL, 0), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_config_set(config, octets("x", SIZE_MAX), value, NULL, 0), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_config_set(config, key, octets("x", HUGE_LENGTH), NULL, 0), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_config_provider_add(NULL, key, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_config_provider_add(config, null_with_length, NULL, 0), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_config_provider_add(config, octets("x", HUGE_LENGTH), NULL, 0), SIPOAUTH_E_ARGUMENT);

    EXPECT_STATUS(sipoauth_context_new(NULL, NULL, NULL, &context, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT(context == NULL && err[0] != '\0');
    EXPECT_STATUS(sipoauth_context_new(config, NULL, NULL, NULL, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_new(config, NULL, NULL, &context, NULL, 0), SIPOAUTH_E_CONFIG);
    EXPECT_STATUS(sipoauth_context_reload(NULL, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_connection_closed(NULL, 1), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_binds_connections(NULL), SIPOAUTH_E_ARGUMENT);
    sipoauth_config_free(config);
}

static void state(sipoauth_context *context)
{
    sipoauth_provider_state provider;
    sipoauth_key_state key;

    EXPECT(sipoauth_context_stat(NULL, 0) == 0);
    EXPECT(sipoauth_context_stat(context, UINT32_MAX) == 0);
    EXPECT(sipoauth_stat_name(sipoauth_stat_count()) == NULL && sipoauth_stat_name(UINT32_MAX) == NULL);
    EXPECT(sipoauth_context_provider_count(NULL) == 0);

    memset(&provider, 0x5a, sizeof(provider));
    provider.struct_size = sizeof(provider) - 1;
    EXPECT_STATUS(sipoauth_context_provider_state(context, 0, &provider), SIPOAUTH_E_ARGUMENT);
    EXPECT(provider.key_count == 0x5a5a5a5a); /* nothing is written into what is too small */
    provider.struct_size = sizeof(provider);
    EXPECT_STATUS(sipoauth_context_provider_state(NULL, 0, &provider), SIPOAUTH_E_ARGUMENT);
    EXPECT(provider.key_count == 0 && provider.name[0] == '\0' && provider.struct_size == sizeof(provider));
    EXPECT_STATUS(sipoauth_context_provider_state(context, 0, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_provider_state(context, 1, &provider), SIPOAUTH_E_ABSENT);
    EXPECT_STATUS(sipoauth_context_provider_state(context, UINT32_MAX, &provider), SIPOAUTH_E_ABSENT);

    memset(&key, 0x5a, sizeof(key));
    key.struct_size = 0;
    EXPECT_STATUS(sipoauth_context_key_state(context, 0, 0, &key), SIPOAUTH_E_ARGUMENT);
    key.struct_size = sizeof(key);
    EXPECT_STATUS(sipoauth_context_key_state(NULL, 0, 0, &key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_key_state(context, 0, 0, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_key_state(context, 0, 0, &key), SIPOAUTH_E_ABSENT); /* none is fetched yet */
    EXPECT_STATUS(sipoauth_context_key_state(context, UINT32_MAX, UINT32_MAX, &key), SIPOAUTH_E_ABSENT);
    EXPECT(key.kid[0] == '\0' && key.usable == 0);
}

static void expect_check_fails(sipoauth_worker *worker, const sipoauth_request *request, uint32_t flags)
{
    sipoauth_result result = blank_result();

    EXPECT_STATUS(sipoauth_worker_check(worker, request, flags, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    if (flags > 3)
        return;
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_wait(worker, request, 1, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
}

static void requests(sipoauth_worker *worker)
{
    struct message message;
    sipoauth_request *request = &message.request;
    sipoauth_str *member[] = {&request->method, &request->request_uri, &request->from_uri, &request->to_uri,
        &request->call_id, &request->source_ip, &request->realm, &message.credentials[0]};
    const char address[] = "sip:alice@example.test";
    size_t i;

    message_register(&message, address, "Bearer x");
    expect_check_fails(NULL, request, 0);
    expect_check_fails(worker, NULL, 0);
    for (i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
        message_register(&message, address, "Bearer x");
        *member[i] = null_with_length;
        expect_check_fails(worker, request, 0);
        *member[i] = octets("x", HUGE_LENGTH);
        expect_check_fails(worker, request, 0);
        *member[i] = octets("x", SIZE_MAX);
        expect_check_fails(worker, request, 0);
    }
    message_register(&message, address, "Bearer x");
    request->struct_size = 0;
    expect_check_fails(worker, request, 0);
    request->struct_size = sizeof(*request) - 1;
    expect_check_fails(worker, request, 0);
    message_register(&message, address, "Bearer x");
    request->role = 2;
    expect_check_fails(worker, request, 0);
    request->role = UINT32_MAX;
    expect_check_fails(worker, request, 0);
    message_register(&message, address, "Bearer x");
    request->transport = 7;
    expect_check_fails(worker, request, 0);
    message_register(&message, address, "Bearer x");
    request->source_port = 65536;
    expect_check_fails(worker, request, 0);
    message_register(&message, address, "Bearer x");
    request->now = -1;
    expect_check_fails(worker, request, 0);
    request->now = INT64_MIN;
    expect_check_fails(worker, request, 0);
    request->now = INT64_MAX;
    expect_check_fails(worker, request, 0);
    message_register(&message, address, "Bearer x");
    request->credentials = NULL;
    expect_check_fails(worker, request, 0);
    request->credentials_count = SIZE_MAX;
    expect_check_fails(worker, request, 0);
    message_register(&message, address, "Bearer x");
    expect_check_fails(worker, request, 4);
    expect_check_fails(worker, request, UINT32_MAX);
}

static void answers(sipoauth_worker *worker)
{
    struct message message;
    sipoauth_result result = blank_result();
    sipoauth_str token = text("x"), value = text("old");

    message_register(&message, "sip:alice@example.test", "Bearer x");
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_wait(worker, &message.request, 1, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, token, 0, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_FULL, 0, NULL), SIPOAUTH_E_ARGUMENT);
    result.struct_size = sizeof(result) - 1;
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_wait(worker, &message.request, 1, &result), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, token, 0, &result), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_FULL, 0, &result), SIPOAUTH_E_ARGUMENT);

    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_token(NULL, NULL, token, 0, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, null_with_length, 0, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, octets("x", HUGE_LENGTH), 0, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, token, 8, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_refuse(NULL, SIPOAUTH_REFUSE_FAILED, 0, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);

    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_refuse(worker, 0, 0, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_MALFORMED, 0, &result), SIPOAUTH_OK);
    EXPECT(result.status == 400 && result.reason_class == SIPOAUTH_CLASS_MALFORMED);
    EXPECT_TEXT(result.reason_code, "malformed_request");
    EXPECT_STATUS(sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_FAILED, 0, &result), SIPOAUTH_OK);
    EXPECT(result.status == 503 && result.retry_after > 0 && result.reason_class == SIPOAUTH_CLASS_NOT_NOW);

    EXPECT_STATUS(sipoauth_worker_claim(NULL, 1, text("sub"), &value), SIPOAUTH_E_ARGUMENT);
    EXPECT(value.len == 0);
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("sub"), NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, null_with_length, &value), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("sub"), &value), SIPOAUTH_E_STATE); /* nothing was accepted */
    EXPECT_STATUS(sipoauth_worker_claim(worker, 0, text("sub"), &value), SIPOAUTH_E_STALE);
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check - 1, text("sub"), &value), SIPOAUTH_E_STALE);

    value = text("old");
    EXPECT_STATUS(sipoauth_worker_token(worker, result.check, text("sip:10.0.0.5"), &value), SIPOAUTH_E_STATE);
    EXPECT(value.len == 0);
    EXPECT_STATUS(sipoauth_worker_require(worker, result.check, SIPOAUTH_REQUIRE_SCOPE, text("sip"), &result),
                  SIPOAUTH_E_STATE);
    expect_denied(&result);
    EXPECT_STATUS(sipoauth_worker_require(worker, UINT64_MAX, SIPOAUTH_REQUIRE_SCOPE, text("sip"), &result),
                  SIPOAUTH_E_STALE);
    expect_denied(&result);

    EXPECT_STATUS(sipoauth_worker_submit(NULL, 0, text(""), 1, 2), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_submit(worker, UINT64_MAX, text(""), 1, 2), SIPOAUTH_E_STALE);
    EXPECT_STATUS(sipoauth_worker_submit(worker, 0, text(""), UINT64_MAX, UINT64_MAX), SIPOAUTH_E_ARGUMENT);
}

static void challenges(sipoauth_worker *worker)
{
    sipoauth_challenge challenge;
    sipoauth_str *member[] = {
        &challenge.realm, &challenge.domain, &challenge.error, &challenge.scope, &challenge.method};
    sipoauth_reply reply;
    size_t i;

    memset(&challenge, 0, sizeof(challenge));
    challenge.struct_size = sizeof(challenge);
    memset(&reply, 0x5a, sizeof(reply));
    reply.struct_size = sizeof(reply);
    EXPECT_STATUS(sipoauth_worker_challenge(NULL, &challenge, &reply), SIPOAUTH_E_ARGUMENT);
    EXPECT(reply.status == 503);
    EXPECT_TEXT(reply.headers, "Retry-After: 5\r\n");
    EXPECT_STATUS(sipoauth_worker_challenge(worker, NULL, &reply), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_challenge(worker, &challenge, NULL), SIPOAUTH_E_ARGUMENT);
    for (i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
        *member[i] = null_with_length;
        EXPECT_STATUS(sipoauth_worker_challenge(worker, &challenge, &reply), SIPOAUTH_E_ARGUMENT);
        *member[i] = octets("x", HUGE_LENGTH);
        EXPECT_STATUS(sipoauth_worker_challenge(worker, &challenge, &reply), SIPOAUTH_E_ARGUMENT);
        *member[i] = octets(NULL, 0);
    }
    challenge.method = text("ACK");
    EXPECT_STATUS(sipoauth_worker_challenge(worker, &challenge, &reply), SIPOAUTH_E_STATE);
    challenge.role = 9;
    EXPECT_STATUS(sipoauth_worker_challenge(worker, &challenge, &reply), SIPOAUTH_E_ARGUMENT);
    challenge.role = SIPOAUTH_ROLE_UAS;
    challenge.struct_size = 4;
    EXPECT_STATUS(sipoauth_worker_challenge(worker, &challenge, &reply), SIPOAUTH_E_ARGUMENT);
    EXPECT(reply.status == 503);
    reply.struct_size = 4;
    EXPECT_STATUS(sipoauth_worker_challenge(worker, &challenge, &reply), SIPOAUTH_E_ARGUMENT);
}

static void offers(sipoauth_worker *worker)
{
    sipoauth_endpoint endpoint;
    sipoauth_str *member[] = {&endpoint.user_agent, &endpoint.domain, &endpoint.supported};
    uint32_t offer = 0;
    size_t i;

    memset(&endpoint, 0, sizeof(endpoint));
    endpoint.struct_size = sizeof(endpoint);
    EXPECT_STATUS(sipoauth_worker_offer(NULL, &endpoint, &offer), SIPOAUTH_E_ARGUMENT);
    EXPECT(offer == SIPOAUTH_OFFER_BEARER);
    EXPECT_STATUS(sipoauth_worker_offer(worker, NULL, &offer), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_offer(worker, &endpoint, NULL), SIPOAUTH_E_ARGUMENT);
    for (i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
        *member[i] = null_with_length;
        EXPECT_STATUS(sipoauth_worker_offer(worker, &endpoint, &offer), SIPOAUTH_E_ARGUMENT);
        *member[i] = octets(NULL, 0);
    }
    endpoint.transport = 7;
    EXPECT_STATUS(sipoauth_worker_offer(worker, &endpoint, &offer), SIPOAUTH_E_ARGUMENT);
    endpoint.transport = SIPOAUTH_TRANSPORT_UNKNOWN;
    endpoint.local_port = 65536;
    EXPECT_STATUS(sipoauth_worker_offer(worker, &endpoint, &offer), SIPOAUTH_E_ARGUMENT);
    endpoint.local_port = 0;
    endpoint.struct_size = 0;
    EXPECT_STATUS(sipoauth_worker_offer(worker, &endpoint, &offer), SIPOAUTH_E_ARGUMENT);
}

static void handles(sipoauth_context *context)
{
    sipoauth_worker *worker = (sipoauth_worker *)err;
    sipoauth_io *io = (sipoauth_io *)err;

    EXPECT_STATUS(sipoauth_worker_new(NULL, 0, &worker, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT(worker == NULL && err[0] != '\0');
    EXPECT_STATUS(sipoauth_worker_new(context, 0, NULL, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_new(context, 2, &worker, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT(worker == NULL && err[0] != '\0');
    EXPECT_STATUS(sipoauth_io_new(NULL, &io, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT(io == NULL && err[0] != '\0');
    EXPECT_STATUS(sipoauth_io_new(context, NULL, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_io_step(NULL, 0, NULL, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_io_ended(NULL, NULL, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_try_store(NULL, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT(err[0] != '\0');
    EXPECT_STATUS(sipoauth_context_try_store(context, err, sizeof(err)), SIPOAUTH_OK);
}

void test_misuse(void)
{
    sipoauth_context *context = make_context("", "10");
    sipoauth_worker *worker = NULL;

    frees();
    before_the_fork();
    handles(context);
    state(context);
    EXPECT_STATUS(sipoauth_worker_new(context, SIPOAUTH_WORKER_MAY_WAIT, &worker, NULL, 0), SIPOAUTH_OK);
    requests(worker);
    answers(worker);
    challenges(worker);
    offers(worker);
    sipoauth_worker_free(worker);
    sipoauth_context_free(context);
}
