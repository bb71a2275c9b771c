/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests as a SIP server would describe them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* A REGISTER of an address by itself; credentials may be NULL. */
void message_register(struct message *message, const char *address, const char *credentials)
{
    sipoauth_request *request = &message->request;

    memset(message, 0, sizeof(*message));
    request->struct_size = sizeof(*request);
    request->role = SIPOAUTH_ROLE_UAS;
    request->transport = SIPOAUTH_TRANSPORT_UDP;
    request->source_port = 5060;
    request->method = text("REGISTER");
    request->request_uri = text("sip:example.test");
    request->from_uri = text(address);
    request->to_uri = text(address);
    request->call_id = text("a84b4c76e66710");
    request->source_ip = text("192.0.2.1");
    request->realm = text("example.test");
    request->credentials = message->credentials;
    if (credentials != NULL) {
        message->credentials[0] = text(credentials);
        request->credentials_count = 1;
    }
}

/* "Bearer <token>", to be freed. */
char *bearer(const char *token)
{
    size_t size = strlen(token) + sizeof("Bearer ");
    char *value = (char *)malloc(size);

    if (value == NULL)
        exit(2);
    snprintf(value, size, "Bearer %s", token);
    return value;
}

/* Says "accepted" wherever it can, so that nothing but the library makes it "denied". */
sipoauth_result blank_result(void)
{
    sipoauth_result result;

    memset(&result, 0x5a, sizeof(result));
    result.struct_size = sizeof(result);
    result.verdict = SIPOAUTH_VERDICT_ACCEPTED;
    result.status = 200;
    return result;
}

/* What every failed call leaves behind. */
void expect_denied(const sipoauth_result *result)
{
    EXPECT(result->struct_size == sizeof(*result));
    EXPECT(result->verdict == SIPOAUTH_VERDICT_DENIED);
    EXPECT(result->status == 503);
    EXPECT(result->expires_at == 0 && result->job == 0 && result->cached == 0);
    EXPECT_TEXT(result->reason_code, "internal_error");
    EXPECT_TEXT(result->aor, "");
    EXPECT_TEXT(result->subject, "");
    EXPECT_TEXT(result->scope, "");
}
