/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An authorization code that the host has got in its own way is exchanged: as a job for the I/O service, and by a call
 * that waits.
 */
#include <pthread.h>
#include <string.h>

#include "client.h"

static const char alice[] = "sip:alice@example.test";
static const char verifier[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHI";
static char err[256];

static void fill(sipoauth_code *code, const char *value)
{
    memset(code, 0, sizeof(*code));
    code->struct_size = sizeof(*code);
    code->transport = SIPOAUTH_TRANSPORT_UDP;
    code->source_port = 5060;
    code->code = text(value);
    code->code_verifier = text(verifier);
    code->aor = text(alice);
    code->from_tag = text("from-tag");
    code->call_id = text("call-1");
    code->instance = text("<urn:uuid:1>");
    code->source_ip = text("192.0.2.1");
}

static void resumed(void *user, uint64_t cookie0, uint64_t cookie1)
{
    EXPECT(cookie0 == 1 && cookie1 == 2);
    *(int *)user += 1;
}

static sipoauth_result exchange(sipoauth_worker *worker, const sipoauth_code *code, uint32_t flags)
{
    sipoauth_result result = blank_result();

    EXPECT_STATUS(sipoauth_worker_exchange(worker, code, flags, &result), SIPOAUTH_OK);
    return result;
}

static void as_a_job(sipoauth_worker *worker, sipoauth_io *io)
{
    sipoauth_code code;
    sipoauth_result result;
    char session[33] = "";
    uint32_t retry_after = 0;
    int given_back = 0, i;

    fill(&code, "code-of-a-job-that-nobody-may-see");
    result = exchange(worker, &code, SIPOAUTH_CHECK_NO_WAIT);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NOT_NOW && result.status == 503 && result.retry_after > 0);
    fill(&code, "another-code-that-nobody-may-see");
    result = exchange(worker, &code, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_PENDING && result.reason_class == SIPOAUTH_CLASS_PENDING);
    EXPECT_STATUS(sipoauth_worker_submit(worker, result.job, text(""), 1, 2), SIPOAUTH_OK);
    for (i = 0; given_back == 0 && i < 2000; i++)
        EXPECT_STATUS(sipoauth_io_step(io, 20, resumed, &given_back), SIPOAUTH_OK);
    result = exchange(worker, &code, SIPOAUTH_CHECK_RESUMED);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.confirm == 1 && result.session.len == 32);
    EXPECT(result.grant == SIPOAUTH_GRANT_CODE && result.expires_at > 0);
    EXPECT_TEXT(result.aor, alice);
    EXPECT_TEXT(result.subject, "alice");
    EXPECT_TEXT(result.instance, "<urn:uuid:1>");
    if (result.session.len == 32)
        memcpy(session, result.session.ptr, 32);
    EXPECT_STATUS(sipoauth_worker_answered(worker, result.ticket, 200, text("to-tag"), &retry_after), SIPOAUTH_OK);

    /* another flow of the phone gets the same session; another phone, user or verifier gets nothing */
    code.call_id = text("call-2");
    code.to_tag = text("to-tag-2");
    result = exchange(worker, &code, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);
    EXPECT_TEXT(result.session, session);
    code.instance = text("<urn:uuid:2>");
    result = exchange(worker, &code, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status == 401);
    EXPECT_TEXT(result.reason_code, "code_refused");
    code.instance = text("<urn:uuid:1>");
    code.code_verifier = text("");
    result = exchange(worker, &code, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED);
    code.code_verifier = text(verifier);
    code.aor = text("sip:bob@example.test");
    result = exchange(worker, &code, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.session.len == 0 && result.ticket.len == 0);
}

static void expect_refused(sipoauth_worker *worker, const sipoauth_code *code, uint32_t status, const char *reason)
{
    sipoauth_result result = exchange(worker, code, 0);

    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status == status);
    EXPECT_TEXT(result.reason_code, reason);
}

static void values(sipoauth_worker *worker)
{
    static char longest[8 * 1024 + 2];
    sipoauth_code code;

    fill(&code, "");
    expect_refused(worker, &code, 400, "grant_incomplete");
    memset(longest, 'x', sizeof(longest) - 1);
    fill(&code, longest);
    expect_refused(worker, &code, 400, "body_too_large");
    fill(&code, "x");
    code.code_verifier = text("short");
    expect_refused(worker, &code, 400, "body_malformed");
    fill(&code, "x");
    code.aor = text("tel:1");
    expect_refused(worker, &code, 400, "aor_missing");
    fill(&code, "x");
    code.call_id = text("");
    expect_refused(worker, &code, 400, "pop_malformed");
    fill(&code, "\xff\xfe");
    expect_refused(worker, &code, 400, "body_malformed");
    fill(&code, "a\nb");
    expect_refused(worker, &code, 400, "body_malformed");
    fill(&code, "123 456");
    expect_refused(worker, &code, 403, "short_code_unprotected");
}

static void expect_fails(sipoauth_worker *worker, const sipoauth_code *code, uint32_t flags)
{
    sipoauth_result result = blank_result();

    EXPECT_STATUS(sipoauth_worker_exchange(worker, code, flags, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
}

static void misuse(sipoauth_worker *worker)
{
    sipoauth_code code;
    sipoauth_str *member[] = {&code.code, &code.code_verifier, &code.redirect_uri, &code.aor, &code.from_uri,
        &code.from_tag, &code.call_id, &code.to_tag, &code.instance, &code.source_ip};
    sipoauth_result result = blank_result();
    size_t i;

    fill(&code, "x");
    expect_fails(NULL, &code, 0);
    expect_fails(worker, NULL, 0);
    expect_fails(worker, &code, 8);
    for (i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
        fill(&code, "x");
        *member[i] = octets(NULL, 1);
        expect_fails(worker, &code, 0);
        *member[i] = octets("x", SIZE_MAX);
        expect_fails(worker, &code, 0);
    }
    fill(&code, "x");
    code.struct_size--;
    expect_fails(worker, &code, 0);
    fill(&code, "x");
    code.now = -1;
    expect_fails(worker, &code, 0);
    fill(&code, "x");
    code.transport = 7;
    expect_fails(worker, &code, 0);
    fill(&code, "x");
    code.source_port = 65536;
    expect_fails(worker, &code, 0);
    fill(&code, "x");
    EXPECT_STATUS(sipoauth_worker_exchange(worker, &code, 0, NULL), SIPOAUTH_E_ARGUMENT);
    /* a SIP server's worker never waits */
    EXPECT_STATUS(sipoauth_worker_exchange_wait(worker, &code, 10, &result), SIPOAUTH_E_STATE);
    expect_denied(&result);
}

static int running;

static void *network(void *io)
{
    while (__atomic_load_n(&running, __ATOMIC_SEQ_CST))
        sipoauth_io_step((sipoauth_io *)io, 50, NULL, NULL);
    return NULL;
}

static void by_waiting(sipoauth_context *context, sipoauth_io *io)
{
    sipoauth_worker *worker = NULL;
    sipoauth_code code;
    sipoauth_result result = blank_result();
    sipoauth_str claim;
    pthread_t thread;

    EXPECT_STATUS(sipoauth_worker_new(context, SIPOAUTH_WORKER_MAY_WAIT, &worker, err, sizeof(err)), SIPOAUTH_OK);
    __atomic_store_n(&running, 1, __ATOMIC_SEQ_CST);
    EXPECT(pthread_create(&thread, NULL, network, io) == 0);
    fill(&code, "a-code-by-waiting-that-nobody-may-see");
    code.to_tag = text("to-tag-3");
    EXPECT_STATUS(sipoauth_worker_exchange_wait(worker, &code, 60000, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.session.len == 32);
    EXPECT_STATUS(sipoauth_worker_claim(worker, result.check, text("sub"), &claim), SIPOAUTH_E_STATE);
    /* texts of the last result may be inputs, also while the call waits */
    fill(&code, "a-third-code-by-waiting-that-nobody-may-see");
    code.aor = result.aor;
    code.instance = result.instance;
    EXPECT_STATUS(sipoauth_worker_exchange_wait(worker, &code, 60000, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);
    EXPECT_TEXT(result.aor, alice);
    /* alice's, whoever asks */
    fill(&code, "another-code-by-waiting-that-nobody-may-see");
    code.aor = text("sip:bob@example.test");
    EXPECT_STATUS(sipoauth_worker_exchange_wait(worker, &code, 60000, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.session.len == 0);
    EXPECT_TEXT(result.reason_code, "aor_mismatch");
    __atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    sipoauth_worker_free(worker);
}

void test_exchange(void)
{
    sipoauth_context *context = make_store_context("exchange", "pop_reuse");
    sipoauth_worker *worker = NULL;
    sipoauth_io *io = NULL;

    EXPECT_STATUS(sipoauth_worker_new(context, 0, &worker, err, sizeof(err)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_io_new(context, &io, err, sizeof(err)), SIPOAUTH_OK);
    as_a_job(worker, io);
    values(worker);
    misuse(worker);
    by_waiting(context, io);
    test_commands_of_sessions(context);
    sipoauth_io_free(io);
    sipoauth_worker_free(worker);
    sipoauth_context_free(context);
    EXPECT(!contains(the_log.lines, the_log.len, "that-nobody-may-see"));
}
