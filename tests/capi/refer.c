/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A REFER that is accepted, told how far it has come, and refused; and what a proxy changes in its messages.
 */
#include <string.h>

#include "client.h"

#define VIA "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-refer-1\r\n"
#define DIALOG \
    "From: <sip:alice@example.test>;tag=a1\r\n" \
    "To: <sip:bob@example.test>\r\n" \
    "Call-ID: refer-1@192.0.2.1\r\n" \
    "CSeq: 1 REFER\r\n"
#define REFER(require) \
    "REFER sip:bob@example.test SIP/2.0\r\n" VIA "Max-Forwards: 70\r\n" DIALOG \
    "Contact: <sip:alice@192.0.2.1:5060>\r\n" \
    "Refer-To: <sip:carol@example.test>\r\n" require "Content-Length: 0\r\n\r\n"
#define EXPLICIT REFER("Require: explicitsub\r\n")

static sipoauth_refer blank_refer(void)
{
    sipoauth_refer refer;

    memset(&refer, 0x5a, sizeof(refer));
    refer.struct_size = sizeof(refer);
    return refer;
}

static void message_refer(struct message *message, const char *whole)
{
    static sipoauth_str via;

    via = text("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-refer-1");
    message_register(message, "sip:alice@example.test", NULL);
    message->request.method = text("REFER");
    message->request.request_uri = text("sip:bob@example.test");
    message->request.to_uri = text("sip:bob@example.test");
    message->request.message = text(whole);
    message->request.vias = &via;
    message->request.vias_count = 1;
    message->request.reply_to_tag = text("b1");
}

static void test_accept(sipoauth_worker *worker)
{
    const sipoauth_str address = text("192.0.2.9:5060"), null_with_length = {NULL, 1};
    struct message message;
    sipoauth_refer refer = blank_refer();
    char id[41] = "";

    message_refer(&message, EXPLICIT);
    EXPECT_STATUS(
        sipoauth_worker_refer(worker, SIPOAUTH_REFER_ACCEPT, &message.request, 0, 1, address, 0, &refer), SIPOAUTH_OK);
    EXPECT(refer.status == 200 && refer.refused == 0);
    EXPECT(contains(refer.headers.ptr, refer.headers.len, "Refer-Events-At: <sip:"));
    EXPECT_TEXT(refer.refer_to, "sip:carol@example.test");
    EXPECT(refer.id.len == 40);
    if (refer.id.len == 40)
        memcpy(id, refer.id.ptr, 40);
    EXPECT_STATUS(sipoauth_worker_refer_sent(worker), SIPOAUTH_OK);

    EXPECT_STATUS(sipoauth_worker_refer_update(worker, text(id), text("180")), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_worker_refer_update(worker, text(id), text("ringing")), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_worker_refer_update(worker, text(id), text("SIP/2.0 200 OK")), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_worker_refer_update(worker, text(id), text("486")), SIPOAUTH_E_STATE);
    EXPECT_STATUS(sipoauth_worker_refer_update(worker, text("0"), text("200")), SIPOAUTH_E_ABSENT);
    EXPECT_STATUS(sipoauth_worker_refer_update(worker, null_with_length, text("200")), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_refer_update(NULL, text(id), text("200")), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_refer_notified(worker, 0, 200), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_worker_refer_notified(NULL, 0, 200), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_refer_sent(NULL), SIPOAUTH_E_ARGUMENT);

    EXPECT_STATUS(sipoauth_worker_refer(NULL, SIPOAUTH_REFER_ACCEPT, &message.request, 0, 1, address, 0, &refer),
                  SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_refer(worker, SIPOAUTH_REFER_ACCEPT, NULL, 0, 1, address, 0, &refer),
                  SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_refer(worker, 99, &message.request, 0, 1, address, 0, &refer), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_refer(worker, SIPOAUTH_REFER_ACCEPT, &message.request, 0, 1, address, 0, NULL),
                  SIPOAUTH_E_ARGUMENT);
    refer.struct_size = 4;
    EXPECT_STATUS(sipoauth_worker_refer(worker, SIPOAUTH_REFER_ACCEPT, &message.request, 0, 1, address, 0, &refer),
                  SIPOAUTH_E_ARGUMENT);
}

static void test_conform(void)
{
    const sipoauth_str none = {NULL, 0}, null_with_length = {NULL, 1};
    const sipoauth_str accepted = text("SIP/2.0 202 Accepted\r\n" VIA DIALOG
                                       "Refer-Events-At: <sip:abc@192.0.2.9>\r\nContent-Length: 0\r\n\r\n");
    sipoauth_edit edits[8];
    size_t count = 7;
    uint32_t status = 7;

    EXPECT_STATUS(sipoauth_refer_conform(accepted, text(REFER("")), 0, edits, 8, &count, &status), SIPOAUTH_OK);
    EXPECT(status == 200 && count >= 1);
    EXPECT_STATUS(sipoauth_refer_conform(accepted, text(REFER("")), 0, NULL, 0, &count, &status), SIPOAUTH_E_SPACE);
    EXPECT(count >= 1);
    EXPECT_STATUS(sipoauth_refer_conform(text(EXPLICIT), none, SIPOAUTH_CONFORM_WITHOUT_TAGS, edits, 8, &count, &status),
                  SIPOAUTH_OK);
    EXPECT(status == 0 && count == 1);
    EXPECT_STATUS(sipoauth_refer_conform(text("no SIP"), none, 0, edits, 8, &count, &status), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_refer_conform(null_with_length, none, 0, edits, 8, &count, &status), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_refer_conform(accepted, none, 0, edits, 8, NULL, &status), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_refer_conform(accepted, none, 0, edits, 8, &count, NULL), SIPOAUTH_E_ARGUMENT);
}

void test_refer(sipoauth_worker *worker)
{
    test_accept(worker);
    test_conform();
    EXPECT_STATUS(sipoauth_io_notify(NULL, NULL, NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_io_refers_ended(NULL, NULL, NULL), SIPOAUTH_E_ARGUMENT);
}
