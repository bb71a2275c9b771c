/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sessions: a phone signs in with a code, proves with its key, is listed and revoked; and every wrong call on the way.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

#define HUGE_LENGTH ((size_t)16 * 1024 * 1024 + 1)

static const char alice[] = "sip:alice@example.test";
static const char code[] = "a-code-that-nobody-may-see-0123456789abcdef";
static const char to_tag[] = "to-tag-of-the-answer";
static const sipoauth_str null_with_length = {NULL, 5};
static char err[256];

struct seen {
    unsigned count;
    uint32_t key_count;
    char id[33];
};

/* A 2xx that must not leave is to become a 503 that says when to come again. */
static int answered(sipoauth_worker *worker, sipoauth_str ticket, uint32_t status, sipoauth_str tag)
{
    uint32_t retry_after = 99;
    int rc = sipoauth_worker_answered(worker, ticket, status, tag, &retry_after);

    EXPECT(rc == SIPOAUTH_OK ? retry_after == 0 : retry_after > 0 && retry_after < 99);
    return rc;
}

static void see(void *user, const sipoauth_session_state *session)
{
    struct seen *seen = (struct seen *)user;

    EXPECT(session->struct_size == sizeof(*session) && session->id.len == 32);
    EXPECT(session->renewable == 1 && session->weak == 0 && session->ends_at > session->created_at);
    /* one that has ended counts no longer */
    EXPECT(session->bindings.len == 0 ? session->valid_until > session->created_at : session->valid_until == 0);
    EXPECT_TEXT(session->aor, alice);
    EXPECT_TEXT(session->provider, "test");
    EXPECT_TEXT(session->subject, "alice");
    EXPECT_TEXT(session->scope, "openid sip");
    EXPECT_TEXT(session->instance, "<urn:uuid:1>");
    seen->count++;
    seen->key_count = session->key_count;
    memcpy(seen->id, session->id.ptr, 32);
    seen->id[32] = '\0';
}

static void resumed(void *user, uint64_t cookie0, uint64_t cookie1)
{
    EXPECT(cookie0 == 7 && cookie1 == 8);
    *(int *)user += 1;
}

sipoauth_context *make_store_context(const char *name, const char *allow)
{
    /* under valgrind everything takes its time, threads above all */
    static const char *const patient[][2] = {{"http_threads", "5"},
                                             {"pending_timeout", "30"},
                                             {"http_timeout", "60"},
                                             {"application_servers", "as.example.test"}};
    char line[1024], folder[1024];
    sipoauth_config *config = sipoauth_config_new();
    sipoauth_context *context = NULL;
    size_t i;

    snprintf(line, sizeof(line), "name=test;issuer=%s;audience=sip;aor={sip};client_id=sip-proxy;client_auth=none",
             argument("issuer"));
    snprintf(folder, sizeof(folder), "%s/%s", argument("directory"), name);
    EXPECT_STATUS(sipoauth_config_set(config, text("store"), text(folder), err, sizeof(err)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_config_set(config, text("store_size"), text("8"), err, sizeof(err)), SIPOAUTH_OK);
    if (allow != NULL)
        EXPECT_STATUS(sipoauth_config_set(config, text("allow"), text(allow), err, sizeof(err)), SIPOAUTH_OK);
    for (i = 0; i < sizeof(patient) / sizeof(patient[0]); i++)
        EXPECT_STATUS(sipoauth_config_set(config, text(patient[i][0]), text(patient[i][1]), err, sizeof(err)),
                      SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_config_provider_add(config, text(line), err, sizeof(err)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_new(config, log_line, &the_log, &context, err, sizeof(err)), SIPOAUTH_E_CONFIG);
    EXPECT(contains(err, strlen(err), "store_key") && context == NULL);
    EXPECT_STATUS(sipoauth_config_set(config, text("store_key"), text("0123456789abcdef0123456789abcdef"), err,
                                      sizeof(err)),
                  SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_new(config, log_line, &the_log, &context, err, sizeof(err)), SIPOAUTH_OK);
    sipoauth_config_free(config);
    if (context == NULL) {
        fprintf(stderr, "%s\n", err);
        exit(2);
    }
    return context;
}

/* A REGISTER of alice's phone; what is not set is the same in each of them. */
static void message_of_phone(struct message *message, const char *body, const char *call_id)
{
    message_register(message, alice, NULL);
    message->request.content_type = text("application/x-www-form-urlencoded");
    message->request.body = text(body);
    message->request.call_id = text(call_id);
    message->request.from_tag = text("from-tag");
    message->request.cseq = text("1 REGISTER");
    message->request.contact_uri = text("sip:phone@192.0.2.1");
    message->request.contact_count = 1;
    message->request.instance = text("<urn:uuid:1>");
    message->request.branch = text("z9hG4bK-1");
}

/* Parks, steps, asks again: the whole way of a code. Keeps the ticket. */
static void sign_in(sipoauth_worker *worker, sipoauth_io *io, char *ticket, size_t ticket_cap)
{
    struct message message;
    char body[256];
    sipoauth_result result = blank_result();
    int given_back = 0, i;

    snprintf(body, sizeof(body), "grant_type=authorization_code&code=%s", code);
    message_of_phone(&message, body, "call-1");
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_PENDING && result.job != 0 && result.confirm == 0);
    EXPECT(result.grant == SIPOAUTH_GRANT_CODE && result.status == 503);
    EXPECT_STATUS(sipoauth_worker_submit(worker, result.job, null_with_length, 7, 8), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_submit(worker, result.job, octets("x", HUGE_LENGTH), 7, 8), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_submit(worker, result.job, text(to_tag), 7, 8), SIPOAUTH_OK);
    for (i = 0; given_back == 0 && i < 2000; i++)
        EXPECT_STATUS(sipoauth_io_step(io, 20, resumed, &given_back), SIPOAUTH_OK);
    EXPECT(given_back == 1);
    message.request.reply_to_tag = text(to_tag);
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, SIPOAUTH_CHECK_RESUMED, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.status == 200 && result.confirm == 1);
    EXPECT(result.session.len == 32 && result.ticket.len > 0 && result.ticket.len < ticket_cap);
    EXPECT_TEXT(result.aor, alice);
    EXPECT_TEXT(result.subject, "alice");
    EXPECT_TEXT(result.instance, "<urn:uuid:1>");
    if (result.ticket.len < ticket_cap) {
        memcpy(ticket, result.ticket.ptr, result.ticket.len);
        ticket[result.ticket.len] = '\0';
    }
    EXPECT(!contains(ticket, strlen(ticket), code));
    EXPECT_STATUS(answered(worker, text(ticket), 200, text(to_tag)), SIPOAUTH_OK);
}

/* names the check of the last proof */
static uint64_t proved;

/* The answer to a REGISTER with a proof of the key that an answer with this To tag made. */
static uint32_t prove(sipoauth_worker *worker, const char *tag, const char *call_id)
{
    unsigned char key[32];
    char digest[1024], pop[44], body[256], date[64];
    size_t len = 0;
    time_t now = time(NULL);
    sipoauth_digest_parts parts;
    sipoauth_result result = blank_result();
    struct message message;

    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    EXPECT_STATUS(sipoauth_shared_key(SIPOAUTH_KEY_ORDER_DRAFT, text(code), text("from-tag"), text(tag),
                                      text("call-1"), key),
                  SIPOAUTH_OK);
    message_of_phone(&message, "", call_id);
    memset(&parts, 0, sizeof(parts));
    parts.struct_size = sizeof(parts);
    parts.from_uri = message.request.from_uri;
    parts.to_uri = message.request.to_uri;
    parts.call_id = message.request.call_id;
    parts.cseq = message.request.cseq;
    parts.date = text(date);
    parts.contact_uri = message.request.contact_uri;
    parts.body = text("grant_type=proof-of-possession");
    EXPECT_STATUS(sipoauth_digest_string(&parts, digest, sizeof(digest), &len), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_pop_make(octets(key, 32), octets(digest, len), pop, sizeof(pop), &len), SIPOAUTH_OK);
    snprintf(body, sizeof(body), "grant_type=proof-of-possession&pop=%.43s", pop);
    message.request.body = text(body);
    message.request.date = text(date);
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_OK);
    EXPECT(result.grant == SIPOAUTH_GRANT_POP && result.confirm == 0 && result.ticket.len == 0);
    proved = result.check;
    if (result.status == 200) {
        EXPECT(result.session.len == 32 && result.expires_at > (int64_t)now);
        EXPECT_TEXT(result.aor, alice);
        /* the tokens can be refreshed, so the session bounds the registration */
        EXPECT(result.expires_limit > 7200);
    }
    return result.status;
}

static void misuse(sipoauth_context *context, sipoauth_worker *worker, const char *ticket)
{
    sipoauth_str none = text(""), huge = octets("x", HUGE_LENGTH), tag = text(to_tag);
    char next[160];
    uint64_t count = 99;

    EXPECT_STATUS(sipoauth_worker_answered(worker, text(ticket), 200, tag, NULL), SIPOAUTH_OK);
    EXPECT_STATUS(answered(worker, text(ticket), 199, tag), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(answered(worker, text(ticket), 700, tag), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(answered(NULL, text(ticket), 200, tag), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(answered(worker, null_with_length, 200, tag), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(answered(worker, text(ticket), 200, null_with_length), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(answered(worker, huge, 200, tag), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(answered(worker, text(ticket), 200, octets("x", SIZE_MAX)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(answered(worker, none, 200, tag), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(answered(worker, text("{}"), 200, tag), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(answered(worker, text("\xff\xfe"), 200, tag), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(answered(worker, text(ticket), 200, none), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(answered(NULL, text(ticket), 403, tag), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(answered(worker, null_with_length, 403, tag), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(answered(worker, text(ticket), 403, huge), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(answered(worker, none, 403, tag), SIPOAUTH_OK);

    EXPECT_STATUS(sipoauth_context_sessions(NULL, none, none, NULL, NULL, next, sizeof(next)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_sessions(context, null_with_length, none, NULL, NULL, next, sizeof(next)),
                  SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_sessions(context, none, huge, NULL, NULL, next, sizeof(next)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_sessions(context, none, none, NULL, NULL, NULL, 160), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_sessions(context, none, none, NULL, NULL, NULL, 0), SIPOAUTH_E_SPACE);
    EXPECT_STATUS(sipoauth_context_sessions(context, none, none, NULL, NULL, next, 0), SIPOAUTH_E_SPACE);
    EXPECT_STATUS(sipoauth_context_sessions(context, text("alice"), none, NULL, NULL, next, 160), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_context_sessions(context, none, none, NULL, NULL, next, sizeof(next)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_sessions_revoke(NULL, none, none, NULL, NULL, &count), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_sessions_revoke(context, huge, none, NULL, NULL, &count), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_sessions_revoke(context, text(alice), null_with_length, NULL, NULL, &count),
                  SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_sessions_revoke(context, text(alice), none, NULL, NULL, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_sessions_revoke(context, none, text("0123"), NULL, NULL, &count), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_context_sessions_revoke(context, text("alice"), none, NULL, NULL, &count), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_context_sessions_revoke(context, text(alice), text("0123"), NULL, NULL, &count), SIPOAUTH_OK);
    EXPECT(count == 0);
}

/* Another process of the same proxy, forked before the store was opened. It goes on when its parent has signed in:
 * then it finds the session, but not through its parent's worker. */
static void child(sipoauth_context *context, sipoauth_worker *parents, const int from_parent[2])
{
    char ticket[4097];
    ssize_t length;
    sipoauth_worker *own = NULL;
    struct seen seen;
    char next[160];
    int fine;

    close(from_parent[1]); /* a parent that writes nothing must not be waited for */
    length = read(from_parent[0], ticket, sizeof(ticket) - 1);
    ticket[length > 0 ? length : 0] = '\0';
    memset(&seen, 0, sizeof(seen));
    fine = answered(parents, text(ticket), 200, text(to_tag)) == SIPOAUTH_E_PROCESS;
    fine = fine && answered(parents, text(ticket), 403, text(to_tag)) == SIPOAUTH_E_PROCESS;
    fine = fine && sipoauth_worker_new(context, 0, &own, err, sizeof(err)) == SIPOAUTH_OK;
    fine = fine && sipoauth_context_sessions(context, text(alice), text(""), see, &seen, next, sizeof(next)) == 0;
    fine = fine && seen.count == 1 && prove(own, to_tag, "call-of-the-child") == 200;
    fine = fine && answered(own, text(ticket), 200, text("tag-of-the-child")) == SIPOAUTH_OK;
    sipoauth_worker_free(own);
    _exit(fine ? 0 : 1);
}

void test_sessions(void)
{
    sipoauth_context *context = make_store_context("sessions", NULL), *without;
    sipoauth_worker *worker = NULL;
    sipoauth_io *io = NULL;
    struct seen seen;
    char ticket[4097] = "", next[160];
    sipoauth_str token;
    uint64_t count = 0;
    int status = 0, to_child[2];
    pid_t forked;

    EXPECT_STATUS(sipoauth_worker_new(context, 0, &worker, err, sizeof(err)), SIPOAUTH_OK);
    EXPECT(pipe(to_child) == 0);
    fflush(stdout);
    forked = fork();
    if (forked == 0)
        child(context, worker, to_child);
    EXPECT_STATUS(sipoauth_io_new(context, &io, err, sizeof(err)), SIPOAUTH_OK);
    sign_in(worker, io, ticket, sizeof(ticket));
    sleep(1); /* proofs of the second in which the context was made may have been used before */
    EXPECT(prove(worker, to_tag, "call-2") == 200);
    EXPECT_STATUS(sipoauth_worker_token(worker, proved, text("sip:evil.test"), &token), SIPOAUTH_E_MISMATCH);
    EXPECT_STATUS(sipoauth_worker_token(worker, proved, text("sip:as.example.test"), &token), SIPOAUTH_OK);
    EXPECT_TEXT(token, "an-access-token-that-nobody-may-see-0123456789");
    EXPECT(prove(worker, "another", "call-3") == 401);
    EXPECT_STATUS(answered(worker, text(ticket), 200, text("another")), SIPOAUTH_OK);
    EXPECT(prove(worker, "another", "call-4") == 200);
    memset(&seen, 0, sizeof(seen));
    EXPECT_STATUS(sipoauth_context_sessions(context, text(""), text(""), see, &seen, next, sizeof(next)), SIPOAUTH_OK);
    EXPECT(seen.count == 1 && seen.key_count == 2 && next[0] == '\0');
    EXPECT_STATUS(answered(worker, text(ticket), 403, text("another")), SIPOAUTH_OK);
    EXPECT(prove(worker, "another", "call-5") == 401);
    misuse(context, worker, ticket);

    EXPECT(write(to_child[1], ticket, strlen(ticket)) == (ssize_t)strlen(ticket));
    close(to_child[1]);
    EXPECT(waitpid(forked, &status, 0) == forked && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(to_child[0]);
    EXPECT(prove(worker, "tag-of-the-child", "call-6") == 200);

    memset(&seen, 0, sizeof(seen));
    EXPECT_STATUS(sipoauth_context_sessions(context, text(alice), text(""), see, &seen, next, 1), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_sessions_revoke(context, text(alice), text(seen.id), see, &seen, &count),
                  SIPOAUTH_OK);
    EXPECT(count == 1 && seen.count == 2);
    EXPECT(prove(worker, to_tag, "call-7") == 401);
    EXPECT_STATUS(answered(worker, text(ticket), 200, text(to_tag)), SIPOAUTH_E_ABSENT);
    EXPECT_STATUS(sipoauth_context_sessions_revoke(context, text(""), text(""), NULL, NULL, &count), SIPOAUTH_OK);
    EXPECT(count == 0);
    sipoauth_io_free(io);
    sipoauth_worker_free(worker);
    sipoauth_context_free(context);
    EXPECT(!contains(the_log.lines, the_log.len, code));
    EXPECT(!contains(the_log.lines, the_log.len, "that-nobody-may-see"));

    without = make_context("", "10");
    EXPECT_STATUS(sipoauth_context_sessions(without, text(""), text(""), see, &seen, next, sizeof(next)),
                  SIPOAUTH_E_STATE);
    EXPECT_STATUS(sipoauth_context_sessions_revoke(without, text(""), text(""), NULL, NULL, &count), SIPOAUTH_E_STATE);
    sipoauth_context_free(without);
}
