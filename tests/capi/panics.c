/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Against a library with the feature fault-injection: a panic in the core costs one call, and nothing of the token
 * that caused it gets into the log.
 *
 *   client panics issuer=URL token=T in_log=T directory=D
 *
 * token is a token of sip:alice@example.test; in_log is an expired one whose kid is the marker, so that the log line
 * about it panics.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static const char alice[] = "sip:alice@example.test";
static const char marker[] = "panic-now";
static sipoauth_context *context;

static uint64_t panics(void)
{
    uint32_t i;

    for (i = 0; i < sipoauth_stat_count(); i++)
        if (strcmp(sipoauth_stat_name(i), "panics") == 0)
            return sipoauth_context_stat(context, i);
    return 0;
}

/* The lines since the last call of this function name file and line, and not what was asked for. */
static void expect_logged(const char *source)
{
    static size_t seen = 0;
    const char *lines = the_log.lines + seen;
    size_t len = the_log.len - seen;

    EXPECT(contains(lines, len, "internal error caught at ") && contains(lines, len, source));
    EXPECT(!contains(lines, len, "a fault was asked for") && !contains(lines, len, "secret-of-alice"));
    seen = the_log.len;
}

/* names the last check that was accepted */
static uint64_t accepted;

static void expect_accepted(sipoauth_worker *worker)
{
    char *credentials = bearer(argument("token"));
    sipoauth_result result = blank_result();
    struct message message;
    sipoauth_str subject;

    message_register(&message, alice, credentials);
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);
    accepted = result.check;
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("sub"), &subject), SIPOAUTH_OK);
    free(credentials);
}

static void expect_panic(sipoauth_worker *worker, const char *token, const char *source)
{
    char *credentials = bearer(token);
    sipoauth_result result = blank_result();
    struct message message;
    sipoauth_str subject;
    uint64_t before = panics();

    message_register(&message, alice, credentials);
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_E_PANIC);
    expect_denied(&result);
    EXPECT(panics() == before + 1);
    expect_logged(source);
    /* the token that was accepted before is not the last one any more */
    EXPECT_STATUS(sipoauth_worker_claim(worker, accepted, text("sub"), &subject), SIPOAUTH_E_STALE);
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_wait(worker, &message.request, 10, &result), SIPOAUTH_E_PANIC);
    expect_denied(&result);
    result = blank_result();
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, text(token), 0, &result), SIPOAUTH_E_PANIC);
    expect_denied(&result);
    EXPECT(panics() == before + 3);
    free(credentials);
}

void test_panics(void)
{
    sipoauth_worker *worker = NULL;
    sipoauth_io *io = NULL;
    sipoauth_provider_state state;
    char more[512], err[256];
    uint64_t before;
    int i;

    context = make_context("", "10");
    EXPECT_STATUS(sipoauth_worker_new(context, SIPOAUTH_WORKER_MAY_WAIT, &worker, err, sizeof(err)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_io_new(context, &io, err, sizeof(err)), SIPOAUTH_OK);
    memset(&state, 0, sizeof(state));
    state.struct_size = sizeof(state);
    for (i = 0; i < 100 && state.state != SIPOAUTH_KEYS_FRESH; i++) {
        EXPECT_STATUS(sipoauth_io_step(io, 100, NULL, NULL), SIPOAUTH_OK);
        EXPECT_STATUS(sipoauth_context_provider_state(context, 0, &state), SIPOAUTH_OK);
    }

    /* in the middle of a check */
    expect_accepted(worker);
    expect_panic(worker, "secret-of-alice.panic-now", "src/worker/mod.rs:");
    expect_accepted(worker);
    /* on the way to the log */
    expect_panic(worker, argument("in_log"), "src/capi/config.rs:");
    expect_accepted(worker);
    sipoauth_io_free(io);
    sipoauth_worker_free(worker);
    sipoauth_context_free(context);

    /* in a thread that fetches keys: the fetch has failed, the service lives */
    snprintf(more, sizeof(more), ";jwks_uri=%s/%s", argument("issuer"), marker);
    context = make_context(more, "10");
    before = panics();
    EXPECT_STATUS(sipoauth_io_new(context, &io, err, sizeof(err)), SIPOAUTH_OK);
    memset(&state, 0, sizeof(state));
    state.struct_size = sizeof(state);
    for (i = 0; i < 100 && state.failures < 2; i++) {
        EXPECT_STATUS(sipoauth_io_step(io, 100, NULL, NULL), SIPOAUTH_OK);
        EXPECT_STATUS(sipoauth_context_provider_state(context, 0, &state), SIPOAUTH_OK);
    }
    EXPECT(state.failures == 2 && panics() == before + 2);
    EXPECT(strstr(state.last_error, "internal error caught at src/io_process/service.rs:") != NULL);
    expect_logged("src/io_process/service.rs:");
    sipoauth_io_free(io);
    sipoauth_context_free(context);
}
