/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * REFER and its events, with the library itself: how it is answered, and how messages are changed that pass. And the same
 * without memory: then nothing says that it was done when it was not.
 */
#include <stdio.h>

#include "gate.h"

#define EVENTS_AT "Refer-Events-At: <sip:x@y.test>\r\n"
#define KEEP(where, value) snprintf(where, sizeof(where), "%.*s", (value).len, (value).s)
static struct socket_info at = {STR_NULL, STR_NULL, str_init("192.0.2.7"), str_init("5060")};
static char text[65536], written[65536];
struct refer refer = {.number = 1000};

const char *refer_message(const char *method, const char *to, const char *fields)
{
    refer.number++;
    snprintf(text, sizeof(text),
            "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-%d\r\nFrom: <sip:alice@example.test>;tag=from\r\n"
            "To: <%s>\r\nCall-ID: call-%d\r\nCSeq: 1 %s\r\n%sContact: <sip:alice@192.0.2.1>\r\nContent-Length: 0\r\n\r\n",
            method, to, refer.number, to, refer.number, method, fields);
    return text;
}

static int is(struct sip_msg *msg, const char *name, const char *value)
{
    str found = variable(msg, name);

    return value == NULL ? found.s == NULL : found.len == (int)strlen(value) && memcmp(found.s, value, (size_t)found.len) == 0;
}

static void calls(struct sip_msg *msg)
{
    const struct oauth_refer *outcome;

    refer.rc = call(msg, refer.function, NULL);
    outcome = oauth_refer_get(msg);
    if (refer.rc == OAUTH_REFUSED || refer.rc == OAUTH_OK)
        EXPECT(outcome != NULL && (int)outcome->refused == (refer.rc == OAUTH_REFUSED));
    else
        EXPECT(outcome == NULL || strcmp(refer.function, "oauth_refer_follow") == 0);
    if (outcome != NULL) {
        KEEP(refer.id, outcome->id);
        KEEP(refer.uri, outcome->events_uri);
    }
    if (refer.rc < 0)
        (void)call(msg, "oauth_reply", NULL);
    if (server.fail_at < 0 && refer.rc == OAUTH_OK && outcome->refer_to.len == 22) {
        EXPECT(is(msg, "refer_id", refer.id) && is(msg, "refer_to", "sip:carol@example.test") && is(msg, "refer_reason", NULL));
        EXPECT(is(msg, "refer_subscription", "explicit") && is(msg, "refer_target_call_id", NULL));
        oauth_forget_message();
        EXPECT(is(msg, "refer_id", NULL) && is(msg, "refer_subscription", NULL));
    }
    (void)server_written(msg, written);
}

void refer_start(const char *name, const char *called)
{
    begin(name);
    script = calls;
    refer.function = called;
    received_at = &at;
}

static int leaves(const char *line)
{
    return strncmp(sent.text, line, strlen(line)) == 0;
}

int refer_update(const char *status)
{
    const str name = {refer.id, (int)strlen(refer.id)}, line = {(char *)status, (int)strlen(status)};

    return oauth_refer_update(NULL, &name, &line);
}

static void accepts(void)
{
    char first[64], line[400];

    refer_start("a REFER is accepted", "oauth_refer_accept");
    server_receive(refer_message("REFER", "sip:bob@example.test", REFER_EXPLICIT));
    snprintf(line, sizeof(line), "\r\nRefer-Events-At: <%s>\r\n", refer.uri);
    EXPECT(refer.rc == OAUTH_OK && sent.count == 1 && leaves("SIP/2.0 200 OK\r\n") && strstr(sent.text, line) != NULL);
    EXPECT(strstr(refer.uri, "@192.0.2.7:5060;gr") != NULL && strlen(refer.id) == 40 && cells != NULL && cells->uas.status == 200);
    memcpy(first, refer.id, sizeof(first));
    server_receive(text); /* a copy: the script ends */
    EXPECT(refer.rc == OAUTH_PARKED && sent.count == 2 && strstr(sent.text, line) != NULL && strcmp(first, refer.id) == 0);
    EXPECT(refer_update("no status") == OAUTH_ERROR && refer_update("180 Ringing") == OAUTH_OK && refer_update("487") == OAUTH_OK);
    EXPECT(refer_update("200") == OAUTH_DENIED && memset(refer.id, '0', 40) && refer_update("200") == OAUTH_DENIED);
    end();
    refer_start("a REFER is refused", "oauth_refer_accept");
    server_receive(refer_message("REFER", "sip:bob@example.test", "Require: explicitsub\r\n"));
    EXPECT(refer.rc == OAUTH_REFUSED && sent.count == 1 && leaves("SIP/2.0 400 Bad Request\r\n"));
    EXPECT(strstr(sent.text, "Refer-Events-At") == NULL && cells == NULL); /* it has cost no transaction */
    end();
}

static void far_too_long(void)
{
    static char fields[41000] = "Require: explicitsub\r\nRefer-To: <sip:";

    refer_start("a REFER with a long URI", "oauth_refer_accept");
    memset(fields + strlen(fields), 'c', 40000);
    strcat(fields, "@x>\r\n");
    server_receive(refer_message("REFER", "sip:bob@example.test", fields));
    EXPECT(refer.rc == OAUTH_OK && leaves("SIP/2.0 200 OK\r\n") && strlen(refer.id) == 40);
    end();
}

static void addresses(void)
{
    static const struct { struct socket_info socket; str of_all; const char *written; } all[] = {
        {{STR_NULL, STR_NULL, str_init("[2001:db8::7]"), str_init("5060")}, STR_NULL, "@[2001:db8::7]:5060;gr>"},
        {{STR_NULL, STR_NULL, str_init("2001:db8::7"), str_init("5060")}, STR_NULL, "@[2001:db8::7]:5060;gr>"},
        {{str_init("proxy.test"), str_init("5070"), str_init("::1"), str_init("5060")}, str_init("all.test"), "@proxy.test:5070;gr>"},
        {{STR_NULL, STR_NULL, str_init("10.0.0.1"), str_init("5060")}, str_init("all.test"), "@all.test:5060;gr>"},
        {{STR_NULL, STR_NULL, STR_NULL, STR_NULL}, STR_NULL, NULL},
    };
    struct socket_info one;
    size_t i;

    for (i = 0; i <= sizeof(all) / sizeof(all[0]); i++) {
        refer_start("the address of a socket", "oauth_refer_accept");
        one = all[i % 5].socket;
        received_at = i < 5 ? &one : NULL;
        *default_global_address = all[i % 5].of_all;
        server_receive(refer_message("REFER", "sip:bob@example.test", REFER_EXPLICIT));
        if (i < 4)
            EXPECT(refer.rc == OAUTH_OK && leaves("SIP/2.0 200 ") && strstr(sent.text, all[i].written) != NULL);
        else
            EXPECT(refer.rc == OAUTH_REFUSED && leaves("SIP/2.0 503 ") && strstr(sent.text, "Refer-Events-At") == NULL);
        *default_global_address = (str)STR_NULL;
        end();
    }
}

static int passes, fields_of; /* a reply with so many fields */

static void replies(struct sip_msg *request)
{
    static char reply[2048];
    struct sip_msg msg = {.buf = reply};
    const long fails = server.fail_at;
    int i, field;

    if (passes)
        EXPECT(oauth_tm.t_newtran(request) == 1);
    i = sprintf(reply, "SIP/2.0 202 Accepted\r\nCSeq: 1 REFER\r\n");
    for (field = 0; field < fields_of; field++)
        i += sprintf(reply + i, "%s", EVENTS_AT);
    msg.len = (unsigned int)(i + sprintf(reply + i, "Content-Length: 0\r\n\r\n"));
    server.fail_at = -1;
    EXPECT(parse_msg_opt(reply, msg.len, &msg, 0) == 0);
    server.fail_at = fails;
    server.allocations = 0;
    refer.rc = call(&msg, "oauth_refer_response", NULL);
    server.fail_at = -1;
    (void)server_written(&msg, written);
    EXPECT(msg.first_line.u.reply.statuscode == (refer.rc == OAUTH_OK ? 200 : 202));
    EXPECT(refer.rc == OAUTH_OK || logged("memory") || logged("cannot"));
    EXPECT(refer.rc != OAUTH_OK || strncmp(written, "SIP/2.0 200 OK\r\nCSeq", 20) == 0);
    EXPECT(refer.rc != OAUTH_OK || (strstr(written, EVENTS_AT) != NULL) == (fields_of == 1));
    free_sip_msg(&msg);
}

/* Every piece of memory in turn. */
static void without(const char *name, const char *called, void (*runs)(struct sip_msg *msg))
{
    long fails;
    int lacks = 1;

    for (fails = 0; lacks && fails < 200; fails++) {
        refer_start(name, called);
        script = runs;
        server.allocations = 0;
        server.fail_at = fails;
        server_receive(refer_message("REFER", "sip:bob@example.test", REFER_EXPLICIT "Require: tdialog, explicitsub\r\n"));
        lacks = server.allocations > fails;
        server.fail_at = -1;
        EXPECT(refer.rc == OAUTH_OK || lacks);
        EXPECT(sent.count <= 1 && (strstr(sent.text, "Refer-Events-At") != NULL) == leaves("SIP/2.0 200 "));
        if (strcmp(called, "oauth_refer_accept") == 0)
            EXPECT(leaves("SIP/2.0 200 ") == (refer.rc == OAUTH_OK));
        if (strcmp(called, "oauth_refer_follow") == 0 && refer.rc == OAUTH_OK)
            EXPECT(strstr(written, "explicitsub") == NULL && strstr(written, "\r\nRequire: tdialog\r\n") != NULL
                    && sent.count == 0 && strlen(refer.id) == 40);
        end();
    }
    EXPECT(!lacks && fails > 3);
    printf("%s: %ld pieces of memory\n", name, fails - 1);
}

void test_refer(void)
{
    accepts();
    far_too_long();
    addresses();
    without("a REFER, without memory", "oauth_refer_accept", calls);
    without("a REFER that goes on, without memory", "oauth_refer_follow", calls);
    for (passes = 0; passes < 2; passes++) {
        for (fields_of = 1; fields_of <= 20; fields_of += 19)
            without("a reply to a REFER, without memory", "", replies);
    }
}
