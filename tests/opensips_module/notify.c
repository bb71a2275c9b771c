/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NOTIFY requests to the subscribers of a REFER: they leave from the I/O process, each in its dialog, and what becomes of
 * them is told in a worker.
 */
#include <stdio.h>

#include "gate.h"

/* What the last NOTIFY was made of. */
static struct {
    int count, result;
    unsigned int cseq;
    char names[512], routes[128], obp[128], headers[512], body[64];
    const void *socket;
    transaction_cb *callback;
    void *param;
} notified;
#define KEEP(where, value) snprintf(where, sizeof(where), "%.*s", (value).len, (value).s)

static int takes(str *method, str *headers, str *body, dlg_t *dialog, transaction_cb *callback, void *param,
        release_tmcb_param *release)
{
    EXPECT(str_match(method, &(str)str_init("NOTIFY")) && dialog->state == DLG_CONFIRMED && dialog->loc_seq.is_set && release == NULL);
    EXPECT(process_no == IO_PROCESS);
    notified.count++;
    notified.cseq = dialog->loc_seq.value + 1;
    snprintf(notified.names, sizeof(notified.names), "%.*s %.*s %.*s %.*s %.*s %.*s", dialog->id.call_id.len, dialog->id.call_id.s,
            dialog->id.loc_tag.len, dialog->id.loc_tag.s, dialog->id.rem_tag.len, dialog->id.rem_tag.s, dialog->loc_uri.len,
            dialog->loc_uri.s, dialog->rem_uri.len, dialog->rem_uri.s, dialog->rem_target.len, dialog->rem_target.s);
    KEEP(notified.routes, dialog->route_set != NULL ? dialog->route_set->nameaddr.uri : (str)STR_NULL);
    EXPECT(dialog->obp.len > 0 || dialog->obp.s == NULL); /* tm looks at the pointer */
    KEEP(notified.obp, dialog->obp);
    KEEP(notified.headers, *headers);
    KEEP(notified.body, *body);
    notified.socket = dialog->send_sock;
    notified.callback = callback;
    notified.param = param;
    return notified.result;
}

static void answered(int code)
{
    struct tmcb_params params = {NULL, NULL, code, &notified.param, NULL, NULL};

    notified.callback(NULL, 0, &params);
}

static sipoauth_io *io;

static void goes_on(void *user, uint64_t first, uint64_t second)
{
    (void)user;
    EXPECT(first == second && !"a request waits");
}

/* Until so many are sent, and a little longer. */
static void steps(int notifies)
{
    int i;

    process_no = IO_PROCESS;
    for (i = 0; i < 200 && (i < 3 || notified.count < notifies); i++) {
        EXPECT(sipoauth_io_step(io, 20, goes_on, NULL) == SIPOAUTH_OK);
        oauth_refer_step(io);
    }
    process_no = WORKER;
}

static void start(const char *name)
{
    refer_start(name, "oauth_refer_accept");
    memset(&notified, 0, sizeof(notified));
    notified.result = 1;
}

/* A REFER, and a SUBSCRIBE to its URI with these fields. */
static void subscribes(const char *name, const char *fields, int result)
{
    char lines[300];
    struct refer before;

    start(name);
    notified.result = result;
    server_receive(refer_message("REFER", "sip:bob@example.test", REFER_EXPLICIT));
    before = refer;
    snprintf(lines, sizeof(lines), "Event: refer\r\n%s", fields);
    refer.function = "oauth_refer_subscribe";
    server_receive(refer_message("SUBSCRIBE", before.uri, lines));
    EXPECT(refer.rc == OAUTH_OK && sent.count == 2 && strncmp(sent.text, "SIP/2.0 200 OK\r\n", 16) == 0);
    EXPECT(strstr(sent.text, "\r\nExpires: ") != NULL);
    EXPECT(strcmp(before.id, refer.id) == 0);
    memcpy(refer.uri, before.uri, sizeof(refer.uri));
    steps(1);
    EXPECT(notified.count == 1);
}

static void notifies(void)
{
    char names[512];

    subscribes("a subscriber is told", "", 1);
    snprintf(names, sizeof(names), "call-%d stateless from %s sip:alice@example.test sip:alice@192.0.2.1", refer.number, refer.uri);
    EXPECT(strcmp(notified.names, names) == 0 && notified.cseq == 1 && notified.socket == received_at);
    EXPECT(notified.routes[0] == '\0' && strcmp(notified.obp, "sip:192.0.2.1:5060;transport=udp") == 0);
    EXPECT(strstr(notified.headers, "Event: refer\r\nSubscription-State: active") == notified.headers);
    EXPECT(strncmp(notified.body, "SIP/2.0 100 ", 12) == 0);
    answered(200);
    EXPECT(refer_update("200") == OAUTH_OK);
    steps(2);
    EXPECT(notified.count == 2 && notified.cseq == 2 && strstr(notified.headers, "State: terminated;reason=noresource") != NULL);
    end();
    subscribes("a subscriber who does not know it", "", 1);
    answered(481);
    EXPECT(refer_update("200") == OAUTH_OK);
    steps(0);
    EXPECT(notified.count == 1);
    end();
    subscribes("a NOTIFY that cannot be sent", "", -1);
    EXPECT(logged("a NOTIFY cannot be sent") && refer_update("200") == OAUTH_OK);
    steps(0);
    EXPECT(notified.count == 1);
    end();
    subscribes("a route set", "Record-Route: <sip:192.0.2.9;lr>,<sip:192.0.2.8;lr>\r\n", 1);
    EXPECT(strcmp(notified.routes, "<sip:192.0.2.9;lr>,<sip:192.0.2.8;lr>") == 0 && notified.obp[0] == '\0');
    server.allocations = server.fail_at = 0; /* for the route set */
    EXPECT(refer_update("200") == OAUTH_OK);
    steps(0);
    server.fail_at = -1;
    EXPECT(notified.count == 1 && logged("cannot be parsed"));
    end();
    subscribes("a route set with a name", "Record-Route: <sip:proxy.test;lr>\r\n", 1);
    EXPECT(notified.routes[0] == '\0' && notified.obp[0] != '\0' && strncmp(notified.headers, "Route: <sip:proxy.test;lr>\r\n", 28) == 0);
    end();
}

/* Without an option tag the REFER itself is the subscription. Nobody is told anything before the answer has left. */
static void without_memory(void)
{
    long fails;
    int lacks = 1;

    for (fails = 0; lacks && fails < 200; fails++) {
        start("an implicit subscription, without memory");
        server.allocations = 0;
        server.fail_at = fails;
        server_receive(refer_message("REFER", "sip:bob@example.test", "Refer-To: <sip:carol@example.test>\r\n"));
        lacks = server.allocations > fails;
        server.fail_at = -1;
        steps(refer.rc == OAUTH_OK);
        EXPECT(notified.count == (refer.rc == OAUTH_OK) && (refer.rc == OAUTH_OK || lacks));
        EXPECT(notified.count == 0 || strstr(notified.names, " stateful from sip:bob@example.test ") != NULL);
        end();
    }
    EXPECT(!lacks && fails > 3);
}

void test_notify(void)
{
    char err[256];

    oauth_tm.t_request_within = takes;
    EXPECT(sipoauth_io_new(oauth_context, &io, err, sizeof(err)) == SIPOAUTH_OK);
    notifies();
    without_memory();
    sipoauth_io_free(io);
}
