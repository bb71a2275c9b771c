/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Answers to what was not accepted, and what of a request must not go on to the next hop.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"

static const char alice[] = "sip:alice@example.test";

static sipoauth_reply blank_reply(void)
{
    sipoauth_reply reply;

    memset(&reply, 0x5a, sizeof(reply));
    reply.struct_size = sizeof(reply);
    return reply;
}

static sipoauth_result check(sipoauth_worker *worker, const struct message *message)
{
    sipoauth_result result = blank_result();

    EXPECT_STATUS(sipoauth_worker_check(worker, &message->request, 0, &result), SIPOAUTH_OK);
    return result;
}

/* The reply to the last check must have this status, phrase and header line. */
static void expect_reply(sipoauth_worker *worker, uint64_t check_id, const struct message *message, uint32_t status,
        const char *phrase, const char *header)
{
    sipoauth_reply reply = blank_reply();

    EXPECT_STATUS(sipoauth_worker_reply(worker, check_id, &message->request, &reply), SIPOAUTH_OK);
    EXPECT(reply.status == status && reply.struct_size == sizeof(reply));
    EXPECT_TEXT(reply.phrase, phrase);
    EXPECT(contains(reply.headers.ptr, reply.headers.len, header));
    EXPECT(reply.headers.len == 0 || memcmp(reply.headers.ptr + reply.headers.len - 2, "\r\n", 2) == 0);
}

static void refusals(sipoauth_worker *worker)
{
    struct message message;
    sipoauth_result result;
    sipoauth_reply reply = blank_reply();
    uint64_t earlier;

    message_register(&message, alice, NULL);
    result = check(worker, &message);
    /* an address without a user has a domain, too, and it is shown as it is written */
    message.request.realm = text("");
    message.request.to_uri = text("sip:Example.TEST:5070;transport=tcp");
    expect_reply(worker, result.check, &message, 401, "Unauthorized", "realm=\"Example.TEST\"");
    message_register(&message, alice, NULL);
    EXPECT(result.reason_class == SIPOAUTH_CLASS_NO_CREDENTIALS);
    expect_reply(worker, result.check, &message, 401, "Unauthorized", "WWW-Authenticate: Bearer realm=\"example.test\"");
    message.request.realm = text("another");
    expect_reply(worker, result.check, &message, 401, "Unauthorized", "realm=\"another\"");
    earlier = result.check;

    message_register(&message, alice, argument("expired"));
    message.credentials[0] = text("Bearer no.token.x");
    result = check(worker, &message);
    EXPECT(result.reason_class == SIPOAUTH_CLASS_DENIED);
    expect_reply(worker, result.check, &message, 401, "Unauthorized", "error=\"invalid_token\"");
    EXPECT_STATUS(sipoauth_worker_reply(worker, earlier, &message.request, &reply), SIPOAUTH_E_STALE);
    EXPECT(reply.status == 503);
    EXPECT_TEXT(reply.headers, "Retry-After: 5\r\n");

    message_register(&message, alice, "Bearer");
    result = check(worker, &message);
    EXPECT(result.reason_class == SIPOAUTH_CLASS_MALFORMED);
    expect_reply(worker, result.check, &message, 400, "The Bearer header field cannot be parsed: send 'Bearer' and one token. "
        "Or that of Key-Derivation: send one pop, and if any a nonce of 16 to 128 characters.", "");

    message_register(&message, alice, NULL);
    message.request.role = SIPOAUTH_ROLE_PROXY;
    message.request.method = text("MESSAGE");
    result = check(worker, &message);
    expect_reply(worker, result.check, &message, 407, "Proxy Authentication Required", "scope=\"sip sip.message\"");
    /* neither can be sent again with credentials */
    message.request.method = text("ACK");
    expect_reply(worker, result.check, &message, 0, "", "");
    message.request.method = text("CANCEL");
    expect_reply(worker, result.check, &message, 0, "", "");

    message.request.method = text("cancel");
    expect_reply(worker, result.check, &message, 0, "", "");
    /* nothing is pending, and the last check stays the last one */
    earlier = result.check;
    EXPECT_STATUS(sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_FULL, result.job, &result), SIPOAUTH_E_STALE);
    expect_denied(&result);
    EXPECT_STATUS(sipoauth_worker_refuse(worker, 77, 0, &result), SIPOAUTH_E_ARGUMENT);
    message.request.method = text("MESSAGE");
    expect_reply(worker, earlier, &message, 407, "Proxy Authentication Required", "");
    EXPECT_STATUS(sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_MALFORMED, 0, &result), SIPOAUTH_OK);
    expect_reply(worker, result.check, &message, 400, "The proxy cannot parse the request.", "");
    /* a check that has failed */
    expect_reply(worker, 0, &message, 503, "Service Unavailable", "Retry-After: ");
}

static void grants(sipoauth_worker *worker)
{
    char *credentials = bearer(argument("token"));
    struct message message;
    sipoauth_result result;
    sipoauth_reply reply = blank_reply();

    message_register(&message, alice, credentials);
    result = check(worker, &message);
    EXPECT(result.reason_class == SIPOAUTH_CLASS_ACCEPTED);
    EXPECT_STATUS(sipoauth_worker_reply(worker, result.check, &message.request, &reply), SIPOAUTH_E_STATE);
    EXPECT(reply.status == 503);
    EXPECT_STATUS(sipoauth_worker_require(worker, result.check, SIPOAUTH_REQUIRE_SERVICE, text("pstn"), &result),
                  SIPOAUTH_OK);
    expect_reply(worker, result.check, &message, 401, "Unauthorized", "scope=\"sip sip.pstn\", error=\"invalid_scope\"");
    EXPECT_STATUS(sipoauth_worker_require(worker, result.check, SIPOAUTH_REQUIRE_SERVICE, text("fax"), &result),
                  SIPOAUTH_OK);
    expect_reply(worker, result.check, &message, 403, "Forbidden", "");
    free(credentials);
    credentials = bearer(argument("expired"));
    message_register(&message, alice, credentials);
    result = check(worker, &message);
    EXPECT(result.reason_class == SIPOAUTH_CLASS_EXPIRED);
    free(credentials);
    credentials = bearer(argument("token"));
    message_register(&message, "sip:bob@example.test", credentials);
    result = check(worker, &message);
    EXPECT(result.reason_class == SIPOAUTH_CLASS_OTHER_USER);
    free(credentials);
}

static void misuse(sipoauth_worker *worker)
{
    struct message message;
    sipoauth_reply reply = blank_reply();

    message_register(&message, alice, NULL);
    EXPECT_STATUS(sipoauth_worker_reply(NULL, 0, &message.request, &reply), SIPOAUTH_E_ARGUMENT);
    EXPECT(reply.status == 503);
    EXPECT_TEXT(reply.phrase, "Service Unavailable");
    EXPECT_STATUS(sipoauth_worker_reply(worker, 0, NULL, &reply), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_reply(worker, 0, &message.request, NULL), SIPOAUTH_E_ARGUMENT);
    message.request.role = 9;
    EXPECT_STATUS(sipoauth_worker_reply(worker, 0, &message.request, &reply), SIPOAUTH_E_ARGUMENT);
    message_register(&message, alice, NULL);
    message.request.realm = octets(NULL, 1);
    EXPECT_STATUS(sipoauth_worker_reply(worker, 0, &message.request, &reply), SIPOAUTH_E_ARGUMENT);
    reply.struct_size = 4;
    EXPECT_STATUS(sipoauth_worker_reply(worker, 0, &message.request, &reply), SIPOAUTH_E_ARGUMENT);
}

static void next_hops(void)
{
    static const char *const ours[] = {"Bearer", "bearer x", " \tBEARER\tx", "Bearer,x", "Bearer\r\n x", "Key-Derivation",
        "key-derivation username=\"a\""};
    static const char *const others[] = {"", "Digest username=\"a\"", "Bearerx y", "Key-Derivations x", "x Bearer", "\xff"};
    static const char *const forms[] = {"", " ", "application/x-www-form-urlencoded", ";charset=utf-8",
        "APPLICATION/X-WWW-FORM-URLENCODED \t;charset=utf-8", "\r\n application/x-www-form-urlencoded"};
    static const char *const bodies[] = {"application/sdp", "application/x-www-form-urlencodedx", "text/plain;x", "\xff"};
    size_t i;

    for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        EXPECT_STATUS(sipoauth_is_credentials(text(ours[i])), 1);
    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        EXPECT_STATUS(sipoauth_is_credentials(text(others[i])), 0);
    for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        EXPECT_STATUS(sipoauth_is_form(text(forms[i])), 1);
    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        EXPECT_STATUS(sipoauth_is_form(text(bodies[i])), 0);
    EXPECT_STATUS(sipoauth_is_credentials(octets(NULL, 1)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_is_form(octets("x", SIZE_MAX)), SIPOAUTH_E_ARGUMENT);
}

void test_replies(sipoauth_worker *worker)
{
    refusals(worker);
    grants(worker);
    misuse(worker);
    next_hops();
}
