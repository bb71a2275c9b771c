/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What an accepted token gives beyond a yes: services, scopes of methods, the bound of a registration, and the token
 * itself for an application server.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"

static const char alice[] = "sip:alice@example.test";
static const char server[] = "sip:conference@as.example.test:5070;transport=tls";

/* names the last check */
static uint64_t last;

static sipoauth_result check(sipoauth_worker *worker, const char *method, const char *credentials)
{
    struct message message;
    sipoauth_result result = blank_result();

    message_register(&message, alice, credentials);
    message.request.method = text(method);
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_OK);
    EXPECT(result.check != 0 && result.check != last);
    last = result.check;
    return result;
}

static sipoauth_result require(sipoauth_worker *worker, uint32_t what, const char *name, int status)
{
    sipoauth_result result = blank_result();

    EXPECT_STATUS(sipoauth_worker_require(worker, last, what, text(name), &result), status);
    if (status != SIPOAUTH_OK)
        expect_denied(&result);
    else
        EXPECT(result.check == last);
    return result;
}

static void services(sipoauth_worker *worker, const char *credentials)
{
    sipoauth_result result = check(worker, "INVITE", credentials);
    sipoauth_str value;

    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.expires_limit == 0 && result.needed_scope.len == 0);
    EXPECT_TEXT(result.services, "chat,talk");
    result = require(worker, SIPOAUTH_REQUIRE_SERVICE, "chat", SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.status == 200);
    EXPECT_TEXT(result.aor, alice);
    result = require(worker, SIPOAUTH_REQUIRE_SERVICE, "pstn", SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status == 401);
    EXPECT_TEXT(result.reason_code, "insufficient_scope");
    EXPECT(result.reason_class == SIPOAUTH_CLASS_NO_SCOPE);
    EXPECT_TEXT(result.error, "invalid_scope");
    EXPECT_TEXT(result.needed_scope, "sip sip.pstn");
    /* whom the check accepted stays */
    EXPECT(result.expires_at > 0);
    EXPECT_TEXT(result.services, "chat,talk");
    EXPECT_TEXT(result.aor, alice);
    EXPECT_STATUS(sipoauth_worker_claim(worker, last, text("sub"), &value), SIPOAUTH_OK);
    /* its texts may be inputs again */
    EXPECT_STATUS(sipoauth_worker_require(worker, last, SIPOAUTH_REQUIRE_SCOPE, result.needed_scope, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED);
    result = require(worker, SIPOAUTH_REQUIRE_SCOPE, "sip  openid", SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);
    EXPECT_TEXT(result.services, "chat,talk");

    result = require(worker, SIPOAUTH_REQUIRE_SERVICE, "fax", SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status == 403 && result.needed_scope.len == 0);
    require(worker, SIPOAUTH_REQUIRE_SERVICE, "", SIPOAUTH_E_INPUT);
    require(worker, SIPOAUTH_REQUIRE_SCOPE, " ", SIPOAUTH_E_INPUT);
    require(worker, 0, "chat", SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_require(worker, last, SIPOAUTH_REQUIRE_SCOPE, octets(NULL, 1), &result),
                  SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_require(worker, last, SIPOAUTH_REQUIRE_SCOPE, text("sip"), NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_require(NULL, last, SIPOAUTH_REQUIRE_SCOPE, text("sip"), &result), SIPOAUTH_E_ARGUMENT);
    EXPECT(require(worker, SIPOAUTH_REQUIRE_SCOPE, "sip", SIPOAUTH_OK).verdict == SIPOAUTH_VERDICT_ACCEPTED);

    /* after a refusal, and after a token without a request */
    check(worker, "INVITE", "Bearer no.token.x");
    require(worker, SIPOAUTH_REQUIRE_SCOPE, "sip", SIPOAUTH_E_STATE);
    check(worker, "INVITE", NULL);
    require(worker, SIPOAUTH_REQUIRE_SERVICE, "chat", SIPOAUTH_E_STATE);
    EXPECT_STATUS(sipoauth_worker_check_token(worker, NULL, text(argument("token")), 0, &result), SIPOAUTH_OK);
    require(worker, SIPOAUTH_REQUIRE_SERVICE, "talk", SIPOAUTH_E_STALE);
    last = result.check;
    EXPECT(require(worker, SIPOAUTH_REQUIRE_SERVICE, "talk", SIPOAUTH_OK).verdict == SIPOAUTH_VERDICT_ACCEPTED);
}

static void methods(sipoauth_worker *worker, const char *credentials)
{
    sipoauth_result result = check(worker, "MESSAGE", credentials);

    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status == 401);
    EXPECT_TEXT(result.reason_code, "insufficient_scope");
    EXPECT_TEXT(result.needed_scope, "sip sip.message");
    result = check(worker, "MESSAGE", NULL);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS);
    EXPECT_TEXT(result.needed_scope, "sip sip.message");
    result = check(worker, "OPTIONS", NULL);
    EXPECT_TEXT(result.needed_scope, "");
    result = check(worker, "REGISTER", credentials);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);
    EXPECT(result.expires_limit > 0 && result.expires_limit <= 600);
}

static void tokens(sipoauth_worker *worker, const char *credentials)
{
    sipoauth_str token = text("old");

    EXPECT(check(worker, "INVITE", credentials).verdict == SIPOAUTH_VERDICT_ACCEPTED);
    EXPECT_STATUS(sipoauth_worker_token(worker, last, text("sip:evil.test"), &token), SIPOAUTH_E_MISMATCH);
    EXPECT(token.len == 0);
    EXPECT_STATUS(sipoauth_worker_token(worker, last, text("sip:as.example.test"), &token), SIPOAUTH_E_MISMATCH);
    EXPECT_STATUS(sipoauth_worker_token(worker, last, text(""), &token), SIPOAUTH_E_MISMATCH);
    EXPECT_STATUS(sipoauth_worker_token(worker, last, text("\xff"), &token), SIPOAUTH_E_MISMATCH);
    EXPECT_STATUS(sipoauth_worker_token(worker, last, octets(NULL, 1), &token), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_token(worker, last, text(server), NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_token(NULL, last, text(server), &token), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_token(worker, last, text(server), &token), SIPOAUTH_OK);
    EXPECT_TEXT(token, argument("token"));
    /* it may be an input of the call that wipes it */
    EXPECT_STATUS(sipoauth_worker_token(worker, last, token, &token), SIPOAUTH_E_MISMATCH);

    require(worker, SIPOAUTH_REQUIRE_SERVICE, "pstn", SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_worker_token(worker, last, text(server), &token), SIPOAUTH_OK);
    EXPECT_TEXT(token, argument("token"));
    check(worker, "INVITE", NULL);
    EXPECT_STATUS(sipoauth_worker_token(worker, last, text(server), &token), SIPOAUTH_E_STATE);
}

void test_grants(sipoauth_worker *worker)
{
    char *credentials = bearer(argument("token"));

    services(worker, credentials);
    methods(worker, credentials);
    tokens(worker, credentials);
    free(credentials);
}
