/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Digest with device passwords of the sign-in page. Nobody has one here: the answers must not show that.
 */
#include <string.h>

#include "client.h"

static const char md5[] = "Digest username=\"alice-k3f9\", realm=\"example.test\", nonce=\"nonce-1\", uri=\"sip:example.test\", "
                          "qop=auth, nc=00000001, cnonce=\"cnonce-1\", response=\"94b1f6b551273e2c85d6453cb0a8d926\"";
static const char sha256[] = "Digest username=\"alice-k3f9\", realm=\"example.test\", nonce=\"nonce-1\", uri=\"sip:example.test\", "
                             "qop=auth, nc=00000001, cnonce=\"cnonce-1\", algorithm=SHA-256, response=\"00\"";

static const sipoauth_str null_with_length = {NULL, 5};

static void ask(struct message *message, const char *credentials)
{
    message_register(message, "sip:alice@example.test", credentials);
    message->request.realm = text("example.test");
}

/* H(A1) of this user: as many digits as the hash has, the same each time. */
static void expect_ha1(sipoauth_worker *worker, const char *credentials, size_t digits, char *found)
{
    struct message message;
    sipoauth_result result = blank_result();

    ask(&message, credentials);
    EXPECT_STATUS(sipoauth_worker_check_device(worker, &message.request, SIPOAUTH_DEVICE_ACCOUNT, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS && result.grant == SIPOAUTH_GRANT_DEVICE);
    EXPECT_TEXT(result.reason_code, "digest_unchecked");
    EXPECT(result.ha1.len == digits && result.aor.len == 0);
    if (result.ha1.len != digits)
        return;
    memcpy(found, result.ha1.ptr, digits);
    found[digits] = '\0';
    EXPECT(strspn(found, "0123456789abcdef") == digits);
}

static void misuse(sipoauth_worker *worker)
{
    struct message message;
    sipoauth_result result = blank_result();

    ask(&message, md5);
    EXPECT_STATUS(sipoauth_worker_check_device(NULL, &message.request, 1, 0, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    EXPECT_STATUS(sipoauth_worker_check_device(worker, NULL, 1, 0, &result), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_device(worker, &message.request, 0, 0, &result), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_device(worker, &message.request, 3, 0, &result), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_check_device(worker, &message.request, 1, 4096, &result), SIPOAUTH_E_ARGUMENT);
    expect_denied(&result);
    EXPECT_STATUS(sipoauth_worker_check_device(worker, &message.request, 1, 0, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_binding_ends(NULL, text(""), text("")), SIPOAUTH_E_ARGUMENT);
    /* logout tokens need back_channel_logout */
    EXPECT_STATUS(sipoauth_worker_log_out(worker, text("logout_token=x"), text("192.0.2.1")), SIPOAUTH_E_STATE);
    EXPECT_STATUS(sipoauth_worker_log_out(NULL, text(""), text("")), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_log_out(worker, null_with_length, text("")), SIPOAUTH_E_ARGUMENT);
}

void test_devices(void)
{
    sipoauth_context *context = make_store_context("devices", NULL);
    sipoauth_worker *worker = NULL;
    sipoauth_result result = blank_result();
    struct message message;
    char err[256], first[65] = "", second[65] = "";

    EXPECT_STATUS(sipoauth_worker_new(context, 0, &worker, err, sizeof(err)), SIPOAUTH_OK);
    expect_ha1(worker, md5, 32, first);
    expect_ha1(worker, md5, 32, second);
    EXPECT(memcmp(first, second, 32) == 0);
    expect_ha1(worker, sha256, 64, first);
    ask(&message, md5);
    EXPECT_STATUS(sipoauth_worker_check_device(worker, &message.request, SIPOAUTH_DEVICE_ACCEPT, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.ha1.len == 0);
    EXPECT_TEXT(result.reason_code, "digest_mismatch");
    ask(&message, NULL);
    EXPECT_STATUS(sipoauth_worker_check_device(worker, &message.request, SIPOAUTH_DEVICE_ACCOUNT, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS && result.ha1.len == 0);
    EXPECT_TEXT(result.reason_code, "no_credentials");
    misuse(worker);
    sipoauth_worker_free(worker);
    sipoauth_context_free(context);
    EXPECT(!contains(the_log.lines, the_log.len, second));
}
