/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A user signs in with a password: the master-key, the tokens that the library issues, their public keys; and every wrong
 * call on the way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define HUGE_LENGTH ((size_t)16 * 1024 * 1024 + 1)

/* H(A1) of alice, example.test, alice-password; the answer to the challenge with nonce-1; and what follows from them */
static const char ha1[] = "9e08d7520c4e1e3699eba51896968f5d";
static const char credentials[] = "Digest username=\"alice\", realm=\"example.test\", nonce=\"nonce-1\", "
                                  "uri=\"sip:example.test\", qop=auth, nc=00000001, cnonce=\"cnonce-1\", "
                                  "response=\"94b1f6b551273e2c85d6453cb0a8d926\"";
/* the answer to a challenge without qop: anyone who saw it could send it again */
static const char without_qop[] = "Digest username=\"alice\", realm=\"example.test\", nonce=\"nonce-1\", "
                                  "uri=\"sip:example.test\", response=\"cb65bac011e5d215ca3fc94310575fc6\"";
static const unsigned char hex_key[32] = {0x81, 0xa3, 0xdb, 0xe8, 0x26, 0x44, 0x5d, 0x7d, 0x12, 0xcb, 0xdd, 0x6e, 0x5a, 0x60, 0x0d, 0x0f, 0xb0, 0xee, 0x04, 0x7e, 0xcc, 0xf3, 0x09, 0x4d, 0x23, 0x70, 0xfa, 0xce, 0xf5, 0x5c, 0xba, 0xb6};
static const unsigned char raw_key[32] = {0xf0, 0x42, 0x86, 0xa4, 0xcc, 0xa5, 0xac, 0xa3, 0xff, 0x1f, 0x54, 0x84, 0x79, 0x0e, 0x0d, 0xee, 0x0c, 0x28, 0x71, 0x73, 0x29, 0x9f, 0x5e, 0x00, 0x03, 0xef, 0x27, 0x59, 0x2b, 0x5b, 0x26, 0xc0};
static const sipoauth_str null_with_length = {NULL, 5};
static char err[256];

static void test_master_key(void)
{
    sipoauth_str realm = text("example.test"), nonce = text("nonce-1");
    unsigned char key[32];

    EXPECT_STATUS(sipoauth_master_key(SIPOAUTH_HA1_HEX, text(ha1), realm, nonce, key), SIPOAUTH_OK);
    EXPECT(memcmp(key, hex_key, 32) == 0);
    EXPECT_STATUS(sipoauth_master_key(SIPOAUTH_HA1_RAW, text(ha1), realm, nonce, key), SIPOAUTH_OK);
    EXPECT(memcmp(key, raw_key, 32) == 0);
    EXPECT_STATUS(sipoauth_master_key(2, text(ha1), realm, nonce, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_master_key(0, text(ha1), realm, nonce, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_master_key(0, null_with_length, realm, nonce, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_master_key(0, text(ha1), null_with_length, nonce, key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_master_key(0, text(ha1), realm, octets("x", HUGE_LENGTH), key), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_master_key(0, text("alice-password"), realm, nonce, key), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_master_key(0, text(ha1), text(""), nonce, key), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_master_key(0, text(ha1), realm, text(""), key), SIPOAUTH_E_INPUT);
    EXPECT(memcmp(key, raw_key, 32) == 0);
}

static sipoauth_context *make_issuer(void)
{
    char line[2048], folder[1024];
    sipoauth_config *config = sipoauth_config_new();
    sipoauth_context *context = NULL;

    snprintf(line, sizeof(line),
             "name=local;issuer=https://sip.example.test;audience=sip;domain=example.test;scope=sip;password_grant=issue;"
             "signing_key_files=%s",
             argument("signing"));
    snprintf(folder, sizeof(folder), "%s/passwords", argument("directory"));
    EXPECT_STATUS(sipoauth_config_set(config, text("store"), text(folder), err, sizeof(err)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_config_set(config, text("store_size"), text("8"), err, sizeof(err)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_config_set(config, text("pending_timeout"), text("30"), err, sizeof(err)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_config_set(config, text("store_key"), text("0123456789abcdef0123456789abcdef"), err,
                                      sizeof(err)),
                  SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_config_provider_add(config, text(line), err, sizeof(err)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_new(config, log_line, &the_log, &context, err, sizeof(err)), SIPOAUTH_OK);
    sipoauth_config_free(config);
    if (context == NULL) {
        fprintf(stderr, "%s\n", err);
        exit(2);
    }
    return context;
}

static void wish(struct message *message, const char *authorization)
{
    message_register(message, "sip:alice@example.test", authorization);
    message->request.realm = text("example.test");
    message->request.content_type = text("application/x-www-form-urlencoded");
    message->request.body = text("grant_type=password");
    message->request.call_id = text("call-1");
    message->request.from_tag = text("from-tag");
    message->request.cseq = text("1 REGISTER");
    message->request.contact_uri = text("sip:phone@192.0.2.1");
    message->request.contact_count = 1;
    message->request.reg_id = 1;
}

static void resumed(void *user, uint64_t cookie0, uint64_t cookie1)
{
    EXPECT(cookie0 == 7 && cookie1 == 8);
    *(int *)user += 1;
}

static void test_tokens(sipoauth_worker *worker, sipoauth_io *io)
{
    struct message message;
    sipoauth_result result = blank_result();
    sipoauth_str body, none = text("");
    int given_back = 0, i;

    wish(&message, credentials);
    EXPECT_STATUS(sipoauth_worker_token_response(worker, 1, &body), SIPOAUTH_E_STALE);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, text(ha1), none, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_PENDING && result.grant == SIPOAUTH_GRANT_PASSWORD);
    EXPECT_STATUS(sipoauth_worker_submit(worker, result.job, none, 7, 8), SIPOAUTH_OK);
    for (i = 0; given_back == 0 && i < 2000; i++)
        EXPECT_STATUS(sipoauth_io_step(io, 20, resumed, &given_back), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, text(ha1), none, SIPOAUTH_CHECK_RESUMED,
                                                 &result),
                  SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.token_response == 1 && result.confirm == 1);
    EXPECT_STATUS(sipoauth_worker_token_response(worker, result.check, &body), SIPOAUTH_OK);
    EXPECT(body.len > 0 && contains(body.ptr, body.len, "\"refresh_token\"") && contains(body.ptr, body.len, "Bearer"));
    EXPECT_STATUS(sipoauth_worker_token_response(NULL, result.check, &body), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_token_response(worker, result.check, NULL), SIPOAUTH_E_ARGUMENT);

    /* without the password nobody gets tokens, and no earlier answer outlives a call that fails */
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, text("00000000000000000000000000000001"), none,
                                                 0, &result),
                  SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.token_response == 0);
    EXPECT_TEXT(result.reason_code, "digest_mismatch");
    EXPECT_STATUS(sipoauth_worker_token_response(worker, result.check, &body), SIPOAUTH_E_STATE);
    EXPECT(body.len == 0);
    wish(&message, without_qop);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, text(ha1), none, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.token_response == 0);
    wish(&message, NULL);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, text(ha1), none, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS);
}

static void misuse(sipoauth_worker *worker)
{
    struct message message;
    sipoauth_result result = blank_result();
    sipoauth_str none = text(""), hash = text(ha1);

    wish(&message, credentials);
    EXPECT_STATUS(sipoauth_worker_check_password(NULL, &message.request, hash, none, 0, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, NULL, hash, none, 0, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, null_with_length, none, 0, &result),
                  SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, hash, null_with_length, 0, &result),
                  SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, octets("x", HUGE_LENGTH), none, 0, &result),
                  SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, hash, none, 4096, &result),
                  SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, text("password"), none, 0, &result),
                  SIPOAUTH_E_INPUT);
    /* what a database has for nobody is nobody's */
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, text("00000000000000000000000000000000"), none,
                                                 0, &result),
                  SIPOAUTH_E_INPUT);
    expect_denied(&result);
    EXPECT_STATUS(sipoauth_worker_check_password(worker, &message.request, hash, none, 0, NULL), SIPOAUTH_E_ARGUMENT);
}

static void test_public_keys(sipoauth_context *context)
{
    char jwks[1024];
    size_t len = 0, again = 0;

    EXPECT_STATUS(sipoauth_context_jwks(context, text(""), NULL, 0, &len), SIPOAUTH_E_SPACE);
    EXPECT_STATUS(sipoauth_context_jwks(context, text("local"), jwks, sizeof(jwks), &again), SIPOAUTH_OK);
    EXPECT(len == again && contains(jwks, len, "\"ES256\"") && !contains(jwks, len, "\"d\""));
    EXPECT_STATUS(sipoauth_context_jwks(context, text("other"), jwks, sizeof(jwks), &len), SIPOAUTH_E_ABSENT);
    EXPECT_STATUS(sipoauth_context_jwks(NULL, text(""), jwks, sizeof(jwks), &len), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_jwks(context, null_with_length, jwks, sizeof(jwks), &len), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_jwks(context, text(""), jwks, sizeof(jwks), NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_jwks(context, text(""), NULL, 5, &len), SIPOAUTH_E_ARGUMENT);
}

void test_passwords(void)
{
    sipoauth_context *context;
    sipoauth_worker *worker = NULL;
    sipoauth_io *io = NULL;

    test_master_key();
    context = make_issuer();
    EXPECT_STATUS(sipoauth_worker_new(context, 0, &worker, err, sizeof(err)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_io_new(context, &io, err, sizeof(err)), SIPOAUTH_OK);
    test_tokens(worker, io);
    misuse(worker);
    test_public_keys(context);
    sipoauth_io_free(io);
    sipoauth_worker_free(worker);
    sipoauth_context_free(context);
    EXPECT(!contains(the_log.lines, the_log.len, ha1));
}
