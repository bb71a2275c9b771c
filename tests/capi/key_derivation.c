/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The Key-Derivation scheme: keys from passwords, accounts in the store, a challenge, an answer, and every wrong call on
 * the way.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client.h"

#define HUGE_LENGTH ((size_t)16 * 1024 * 1024 + 1)

static const char alice[] = "sip:alice@example.test";
static const char bob[] = "sip:bob@example.test";
static const char password[] = "correct horse";
static const char salt[] = "saltsaltsaltsalt";
static const char verifier[] =
    "$pbkdf2-sha256$i=1000,l=32$c2FsdHNhbHRzYWx0c2FsdA$BBs+1+PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM";
static const char nonce[] = "0123456789abcdef";
static const sipoauth_str null_with_length = {NULL, 5};
static char err[256];

static void expect_key(uint32_t kdf, const char *word, const char *with, uint32_t iterations, const char *wanted)
{
    unsigned char key[65];
    char hex[131] = "";
    size_t i, len = strlen(wanted) / 2;

    memset(key, 0x5a, sizeof(key));
    EXPECT_STATUS(sipoauth_pbkdf2(kdf, text(word), text(with), iterations, key, len), SIPOAUTH_OK);
    for (i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", key[i]);
    EXPECT(strcmp(hex, wanted) == 0 && key[len] == 0x5a);
}

static void pbkdf2(void)
{
    unsigned char key[1025];

    /* RFC 7914 section 11 */
    expect_key(SIPOAUTH_KDF_SHA256, "passwd", "salt", 1,
        "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
        "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
    expect_key(SIPOAUTH_KDF_SHA256, "Password", "NaCl", 80000,
        "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
        "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d");
    /* the inputs of RFC 6070, with SHA-256 and SHA-512 in the place of SHA-1 */
    expect_key(SIPOAUTH_KDF_SHA256, "password", "salt", 2,
        "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43");
    expect_key(SIPOAUTH_KDF_SHA256, "password", "salt", 4096,
        "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a");
    expect_key(SIPOAUTH_KDF_SHA512, "password", "salt", 1,
        "867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252"
        "c02d470a285a0501bad999bfe943c08f050235d7d68b1da55e63f73b60a57fce");
    EXPECT_STATUS(sipoauth_pbkdf2(1, text(""), text(""), 1, key, 1024), SIPOAUTH_OK);

    EXPECT_STATUS(sipoauth_pbkdf2(0, text("p"), text("s"), 1, key, 32), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pbkdf2(3, text("p"), text("s"), 1, key, 32), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pbkdf2(1, text("p"), text("s"), 0, key, 32), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pbkdf2(1, text("p"), text("s"), 1, NULL, 32), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pbkdf2(1, text("p"), text("s"), 1, key, 0), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pbkdf2(1, text("p"), text("s"), 1, key, 1025), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pbkdf2(1, null_with_length, text("s"), 1, key, 32), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_pbkdf2(1, text("p"), octets("x", HUGE_LENGTH), 1, key, 32), SIPOAUTH_E_ARGUMENT);
}

static void proofs(void)
{
    static const char key[] = "0123456789abcdef";
    char whole[44], parts[44];
    size_t len = 99;

    EXPECT_STATUS(sipoauth_pop_make(text(key), text("digestnonce"), whole, 43, &len), SIPOAUTH_OK);
    EXPECT_STATUS(
        sipoauth_key_derivation_pop(text(key), text("digest"), text("nonce"), parts, 43, &len), SIPOAUTH_OK);
    EXPECT(len == 43 && memcmp(whole, parts, 43) == 0);
    EXPECT_STATUS(
        sipoauth_key_derivation_pop(text(key), text("digestnonce"), text(""), parts, 43, &len), SIPOAUTH_OK);
    EXPECT(memcmp(whole, parts, 43) == 0);
    EXPECT_STATUS(sipoauth_key_derivation_pop(text(key), text("d"), text(""), NULL, 0, &len), SIPOAUTH_E_SPACE);
    EXPECT(len == 43);
    EXPECT_STATUS(sipoauth_key_derivation_pop(text("short"), text("d"), text(""), parts, 43, &len), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(
        sipoauth_key_derivation_pop(text(key), null_with_length, text(""), parts, 43, &len), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_key_derivation_pop(text(key), text("d"), text(""), parts, 43, NULL), SIPOAUTH_E_ARGUMENT);
}

static sipoauth_context *make_account_context(void)
{
    static const char *const settings[][2] = {{"kd_iterations", "1000"}, {"store_size", "8"},
        {"store_key", "0123456789abcdef0123456789abcdef"}};
    sipoauth_config *config = sipoauth_config_new();
    sipoauth_context *context = NULL;
    char folder[1024];
    size_t i;

    snprintf(folder, sizeof(folder), "%s/accounts", argument("directory"));
    EXPECT_STATUS(sipoauth_config_set(config, text("store"), text(folder), err, sizeof(err)), SIPOAUTH_OK);
    for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        EXPECT_STATUS(sipoauth_config_set(config, text(settings[i][0]), text(settings[i][1]), err, sizeof(err)),
            SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_config_provider_add(config,
                      text("name=test;issuer=https://as.example.test;audience=sip;aor={sip}"), err, sizeof(err)),
        SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_new(config, log_line, &the_log, &context, err, sizeof(err)), SIPOAUTH_OK);
    sipoauth_config_free(config);
    return context;
}

static void see(void *user, const sipoauth_account_state *account)
{
    EXPECT(account->struct_size == sizeof(*account) && account->kdf == SIPOAUTH_KDF_SHA256);
    EXPECT(account->iterations == 1000 && account->key_size == 256);
    EXPECT(account->aor.len == strlen(alice) || account->aor.len == strlen(bob));
    *(int *)user += 1;
}

static int put(sipoauth_context *context, const char *aor, const char *line, const char *word)
{
    return sipoauth_context_account_put(context, text(aor), text(line), text(word), err, sizeof(err));
}

static void accounts(sipoauth_context *context)
{
    sipoauth_str all = {NULL, 0};
    char next[160] = "x";
    uint32_t removed = 7;
    int seen = 0;

    EXPECT_STATUS(put(context, alice, verifier, ""), SIPOAUTH_OK);
    EXPECT(err[0] == '\0');
    EXPECT_STATUS(put(context, bob, "", password), SIPOAUTH_OK);
    EXPECT_STATUS(put(context, alice, "", ""), SIPOAUTH_E_INPUT);
    EXPECT(contains(err, strlen(err), "either a verifier or a password"));
    EXPECT_STATUS(put(context, alice, verifier, password), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(put(context, alice, "secret", ""), SIPOAUTH_E_INPUT);
    EXPECT(!contains(err, strlen(err), "secret"));
    EXPECT_STATUS(put(context, "tel:1", verifier, ""), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(put(NULL, alice, verifier, ""), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_account_put(context, null_with_length, text(verifier), text(""), NULL, 0),
        SIPOAUTH_E_ARGUMENT);

    EXPECT_STATUS(sipoauth_context_accounts(context, all, all, see, &seen, next, sizeof(next)), SIPOAUTH_OK);
    EXPECT(seen == 2 && next[0] == '\0');
    EXPECT_STATUS(sipoauth_context_accounts(context, text(bob), all, see, &seen, next, sizeof(next)), SIPOAUTH_OK);
    EXPECT(seen == 3);
    EXPECT_STATUS(sipoauth_context_accounts(context, all, all, NULL, NULL, next, sizeof(next)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_accounts(NULL, all, all, see, &seen, next, sizeof(next)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(
        sipoauth_context_accounts(context, text("tel:1"), all, see, &seen, next, sizeof(next)), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_context_accounts(context, all, all, see, &seen, next, 0), SIPOAUTH_E_SPACE);

    EXPECT_STATUS(sipoauth_context_account_remove(context, text(bob), &removed), SIPOAUTH_OK);
    EXPECT(removed == 1);
    EXPECT_STATUS(sipoauth_context_account_remove(context, text(bob), &removed), SIPOAUTH_OK);
    EXPECT(removed == 0);
    EXPECT_STATUS(sipoauth_context_account_remove(context, text("tel:1"), &removed), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_context_account_remove(context, text(bob), NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_account_remove(NULL, text(bob), &removed), SIPOAUTH_E_ARGUMENT);
}

/* A REGISTER at a time that is later than the start of the library's memory of proofs. */
static void complete(struct message *message, const char *address, const char *cseq, const char *credentials)
{
    static char date[64];
    static time_t now; /* one for all: a proof covers the Date of the message that it is computed from */
    struct tm utc;

    if (now == 0)
        now = time(NULL) + 2;

    message_register(message, address, credentials);
    gmtime_r(&now, &utc);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    message->request.now = (int64_t)now;
    message->request.date = text(date);
    message->request.cseq = text(cseq);
    message->request.branch = text(cseq);
    message->request.contact_uri = text("sip:phone@192.0.2.1");
    message->request.contact_count = 1;
}

static void credentials(const struct message *message, const char *with, char *line, size_t size)
{
    sipoauth_digest_parts parts;
    unsigned char key[32];
    char digest[1024], pop[44] = "";
    size_t len = 0;

    memset(&parts, 0, sizeof(parts));
    parts.struct_size = sizeof(parts);
    parts.from_uri = message->request.from_uri;
    parts.to_uri = message->request.to_uri;
    parts.call_id = message->request.call_id;
    parts.cseq = message->request.cseq;
    parts.date = message->request.date;
    parts.contact_uri = message->request.contact_uri;
    EXPECT_STATUS(sipoauth_digest_string(&parts, digest, sizeof(digest), &len), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_pbkdf2(SIPOAUTH_KDF_SHA256, text(password), text(salt), 1000, key, 32), SIPOAUTH_OK);
    EXPECT_STATUS(
        sipoauth_key_derivation_pop(octets(key, 32), octets(digest, len), text(with), pop, 43, &len), SIPOAUTH_OK);
    snprintf(line, size, "Key-Derivation username=\"alice\", nonce=\"%s\", pop=\"%s\"", with, pop);
}

/* names the last check */
static uint64_t last;

static sipoauth_result check(sipoauth_worker *worker, const struct message *message, const char *account, uint32_t flags)
{
    sipoauth_result result = blank_result();

    EXPECT_STATUS(
        sipoauth_worker_key_derivation(worker, &message->request, text(account), flags, &result), SIPOAUTH_OK);
    last = result.check;
    return result;
}

static sipoauth_reply blank_reply(void)
{
    sipoauth_reply reply;

    memset(&reply, 0x5a, sizeof(reply));
    reply.struct_size = sizeof(reply);
    return reply;
}

static void expect_challenge(sipoauth_worker *worker, const struct message *message, uint32_t wanted, const char *header)
{
    sipoauth_reply reply = blank_reply(), same = blank_reply();
    const char *lines;

    EXPECT_STATUS(sipoauth_worker_key_derivation_challenge(worker, last, &reply), SIPOAUTH_OK);
    lines = reply.headers.ptr;
    EXPECT(reply.status == wanted && reply.headers.len > 100);
    EXPECT(memcmp(lines + reply.headers.len - 2, "\r\n", 2) == 0 && memcmp(lines, header, strlen(header)) == 0);
    EXPECT(contains(lines, reply.headers.len, "kdf=\"PBKDF2-HMAC-SHA-256\""));
    EXPECT_STATUS(sipoauth_worker_reply(worker, last, &message->request, &same), SIPOAUTH_OK);
    EXPECT(same.status == wanted && memcmp(same.headers.ptr, header, strlen(header)) == 0);
    EXPECT_STATUS(sipoauth_worker_key_derivation_challenge(worker, last, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_key_derivation_challenge(NULL, last, &reply), SIPOAUTH_E_ARGUMENT);
}

static void expect_no_challenge(sipoauth_worker *worker, int wanted)
{
    sipoauth_reply reply = blank_reply();

    EXPECT_STATUS(sipoauth_worker_key_derivation_challenge(worker, last, &reply), wanted);
    EXPECT(reply.status == 503);
    EXPECT_TEXT(reply.headers, "Retry-After: 5\r\n");
}

static void requests(sipoauth_worker *worker)
{
    struct message message;
    sipoauth_result result, wrong;
    char line[256];

    expect_no_challenge(worker, SIPOAUTH_E_STALE);
    complete(&message, alice, "1 REGISTER", NULL);
    result = check(worker, &message, "", 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS && result.status == 401);
    EXPECT(result.grant == SIPOAUTH_GRANT_NONE && result.aor.len == 0);
    expect_challenge(worker, &message, 401, "WWW-Authenticate: Key-Derivation realm=\"example.test\"");
    message.request.role = SIPOAUTH_ROLE_PROXY;
    result = check(worker, &message, "", SIPOAUTH_CHECK_NO_WAIT);
    EXPECT(result.status == 407);
    expect_challenge(worker, &message, 407, "Proxy-Authenticate: Key-Derivation ");

    complete(&message, alice, "2 REGISTER", NULL);
    credentials(&message, nonce, line, sizeof(line));
    complete(&message, alice, "2 REGISTER", line);
    result = check(worker, &message, "", 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.status == 200);
    EXPECT(result.grant == SIPOAUTH_GRANT_KEY_DERIVATION && result.confirm == 0);
    EXPECT_TEXT(result.aor, alice);
    expect_no_challenge(worker, SIPOAUTH_E_STATE);
    message.request.branch = text("another");
    result = check(worker, &message, "", 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status == 403);
    EXPECT_TEXT(result.reason_code, "pop_replayed");
    EXPECT_TEXT(result.aor, "");
    expect_no_challenge(worker, SIPOAUTH_E_STATE);

    /* the caller's own account, or none */
    complete(&message, alice, "3 REGISTER", NULL);
    credentials(&message, "another nonce", line, sizeof(line));
    complete(&message, alice, "3 REGISTER", line);
    result = check(worker, &message, verifier, SIPOAUTH_CHECK_GIVEN_ACCOUNT);
    EXPECT(result.status == 400); /* a space in the nonce */
    complete(&message, alice, "4 REGISTER", NULL);
    credentials(&message, "another-nonce-0123", line, sizeof(line));
    complete(&message, alice, "4 REGISTER", line);
    result = check(worker, &message, "", SIPOAUTH_CHECK_GIVEN_ACCOUNT);
    EXPECT(result.status == 401);
    EXPECT_TEXT(result.reason_code, "pop_invalid");
    expect_challenge(worker, &message, 401, "WWW-Authenticate: ");
    result = check(worker, &message, "secret", SIPOAUTH_CHECK_GIVEN_ACCOUNT);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NOT_NOW && result.status == 503);
    EXPECT_TEXT(result.reason_code, "account_malformed");
    result = check(worker, &message, verifier, SIPOAUTH_CHECK_GIVEN_ACCOUNT);
    EXPECT_TEXT(result.reason_code, "ok");
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);

    wrong = blank_result();
    EXPECT_STATUS(sipoauth_worker_key_derivation(worker, &message.request, text(verifier), 0, &wrong),
        SIPOAUTH_E_ARGUMENT);
    expect_denied(&wrong);
    wrong = blank_result();
    EXPECT_STATUS(sipoauth_worker_key_derivation(worker, &message.request, text(""), 8, &wrong), SIPOAUTH_E_ARGUMENT);
    expect_denied(&wrong);
    wrong = blank_result();
    EXPECT_STATUS(
        sipoauth_worker_key_derivation(worker, &message.request, null_with_length, 4, &wrong), SIPOAUTH_E_ARGUMENT);
    expect_denied(&wrong);
    EXPECT_STATUS(sipoauth_worker_key_derivation(worker, NULL, text(""), 0, &wrong), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_key_derivation(NULL, &message.request, text(""), 0, &wrong), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_key_derivation(worker, &message.request, text(""), 0, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, SIPOAUTH_CHECK_GIVEN_ACCOUNT, &wrong),
        SIPOAUTH_E_ARGUMENT);
}

void test_key_derivation(void)
{
    sipoauth_context *context;
    sipoauth_worker *worker = NULL;

    pbkdf2();
    proofs();
    context = make_account_context();
    accounts(context);
    EXPECT_STATUS(sipoauth_worker_new(context, 0, &worker, err, sizeof(err)), SIPOAUTH_OK);
    requests(worker);
    sipoauth_worker_free(worker);
    sipoauth_context_free(context);
    EXPECT(the_log.len > 0 && !contains(the_log.lines, the_log.len, password));
    log_keeps_secret(strrchr(verifier, '$') + 1);
}
