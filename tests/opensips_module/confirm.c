/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 2xx whose key could not be stored never leaves, and never is repeated.
 */
#include <stdio.h>

#include "gate.h"

static const str ok = str_init("OK");
static int stateful, status, checks_twice;
static char many_headers[2000];

/* As save() does: the answer has a Contact. */
static void registers(struct sip_msg *msg)
{
    int rc;

    if (stateful && oauth_tm.t_newtran(msg) == 0)
        return;
    rc = call(msg, "oauth_check", "example.test");
    if (checks_twice)
        rc = call(msg, "oauth_check", "example.test");
    EXPECT(rc == OAUTH_OK || server.fail_at >= 0);
    if (rc != OAUTH_OK)
        return;
    EXPECT(add_lump_rpl(msg, many_headers, (int)strlen(many_headers), LUMP_RPL_HDR) != NULL || server.fail_at >= 0);
    (void)host_reply(msg, status, &ok);
}

static void start(const char *name, int with_transaction, int stored)
{
    begin(name);
    script = registers;
    stateful = with_transaction;
    status = 200;
    checks_twice = 0;
    snprintf(many_headers, sizeof(many_headers), "Contact: <sip:alice@192.0.2.1>;expires=3600\r\n");
    library.first = accepted();
    library.first.confirm = 1;
    library.first.ticket = (sipoauth_str){"a-ticket", 8};
    library.answered = stored ? SIPOAUTH_OK : SIPOAUTH_E_STORE;
}

static int leaves(const char *status_line)
{
    return strncmp(sent.text, status_line, strlen(status_line)) == 0;
}

static void confirmed(int with_transaction)
{
    start("confirmed", with_transaction, 1);
    server_receive(request(REGISTER, 1, "Bearer x"));
    EXPECT(library.told.count == 1 && library.told.code == 200 && strcmp(library.told.ticket, "a-ticket") == 0);
    EXPECT(strcmp(library.told.tag, with_transaction ? "stateful" : "stateless") == 0);
    EXPECT(sent.count == 1 && leaves("SIP/2.0 200 OK\r\n"));
    if (with_transaction) {
        EXPECT(cells->uas.status == 200 && cells->uas.response.buffer.len == (int)sent.len);
        server_receive(request(REGISTER, 1, "Bearer x"));
        EXPECT(sent.count == 2 && leaves("SIP/2.0 200 OK\r\n") && library.told.count == 1);
    }
    end();
}

static void expect_503(int count)
{
    EXPECT(sent.count == count && leaves("SIP/2.0 503 Service Unavailable\r\n"));
    EXPECT(strstr(sent.text, "Retry-After: 5\r\n") != NULL && strstr(sent.text, "Contact") == NULL);
    EXPECT(strstr(sent.text, stateful ? ";tag=stateful\r\n" : ";tag=stateless\r\n") != NULL);
    EXPECT(sent.len == strlen(sent.text) && strcmp(sent.text + sent.len - 4, "\r\n\r\n") == 0);
}

/* The 503 is shorter than the 2xx, or longer. */
static void not_confirmed(int with_transaction, int longer)
{
    start(longer ? "not confirmed, a longer 503" : "not confirmed, a shorter 503", with_transaction, 0);
    if (longer)
        strcpy(many_headers, "X: 1\r\n");
    else
        memset(many_headers + snprintf(many_headers, sizeof(many_headers), "Contact: "), 'c', 1500);
    if (!longer)
        strcpy(many_headers + 1509, CRLF);
    server_receive(request(REGISTER, 2, "Bearer x"));
    expect_503(1);
    if (with_transaction) {
        EXPECT(cells->uas.status == 503 && cells->uas.response.buffer.len == (int)sent.len
                && memcmp(cells->uas.response.buffer.s, sent.text, sent.len) == 0);
        server_receive(request(REGISTER, 2, "Bearer x"));
        expect_503(2);
    }
    EXPECT(library.told.count == 1);
    end();
}

static int retransmissions;

static void comes_again(struct cell *cell)
{
    const int before = sent.count;

    retransmissions++;
    server_retransmit(cell);
    server_retransmit(cell);
    EXPECT(sent.count == before);
}

static void repeated_meanwhile(int stored)
{
    start("a retransmission before the confirmation", 1, stored);
    retransmissions = 0;
    when_stored = comes_again;
    server_receive(request(REGISTER, 3, "Bearer x"));
    when_stored = NULL;
    EXPECT(retransmissions == 1 && sent.count == 1);
    server_retransmit(cells);
    if (stored)
        EXPECT(sent.count == 2 && leaves("SIP/2.0 200 OK\r\n"));
    else
        expect_503(2);
    end();
}

static void refused_by_script(int with_transaction)
{
    start("another answer withdraws the key", with_transaction, 0);
    status = 403;
    server_receive(request(REGISTER, 4, "Bearer x"));
    EXPECT(library.told.count == 1 && library.told.code == 403 && sent.count == 1 && leaves("SIP/2.0 403 "));
    end();
    start("the next request is another's", with_transaction, 1);
    server_receive(request(REGISTER, 5, "Bearer x"));
    library.first = accepted();
    server_receive(request(REGISTER, 6, "Bearer x"));
    EXPECT(library.told.count == 1 && sent.count == 2);
    end();
}

/* The module answers another request within the script: that is not the answer to this one. */
static void answers_another(struct sip_msg *msg)
{
    static struct sip_msg other;

    EXPECT(call(msg, "oauth_check", "example.test") == OAUTH_OK);
    memset(&other, 0, sizeof(other));
    other.buf = (char *)request(REGISTER, 31, "Bearer x");
    other.len = (unsigned int)strlen(other.buf);
    EXPECT(parse_msg_opt(other.buf, other.len, &other, 0) == 0 && server_reply(NULL, &other, 200, "OK") == 1);
    free_sip_msg(&other);
    EXPECT(library.told.count == 0);
    EXPECT(host_reply(msg, 200, &ok) == 1 && library.told.count == 1);
}

static void another_within(void)
{
    start("another answer within the script", 0, 1);
    script = answers_another;
    server_receive(request(REGISTER, 30, "Bearer x"));
    EXPECT(sent.count == 2);
    end();
}

/* Whatever memory is missing: no 2xx without its key. */
static void without_memory(int with_transaction)
{
    long at;
    int lacks;

    for (at = 0, lacks = 1; lacks && at < 200; at++) {
        start("not confirmed, without memory", with_transaction, 0);
        server.allocations = 0;
        server.fail_at = at;
        server_receive(request(REGISTER, 7, "Bearer x"));
        lacks = server.allocations > at;
        EXPECT(sent.count == 0 || sent.len == 4 || leaves("SIP/2.0 503 "));
        EXPECT(strstr(sent.text, "200 OK") == NULL && sent.count <= 1);
        if (cells != NULL) {
            server_retransmit(cells);
            EXPECT(strstr(sent.text, "200 OK") == NULL);
        }
        server.fail_at = -1;
        end();
    }
    EXPECT(at > 3);
}

/* A script checks twice, so there are two keys. */
static void two_tickets(int stored)
{
    long memory = server.pkg;

    start("two tickets", 1, stored);
    checks_twice = 1;
    when_stored = comes_again;
    server_receive(request(REGISTER, 20, "Bearer x"));
    when_stored = NULL;
    server_retransmit(cells);
    EXPECT(sent.count == 2);
    sent.count = 1;
    EXPECT(library.told.count == 2);
    if (stored) {
        EXPECT(library.told.code == 200 && strcmp(library.told.tag, "stateful") == 0);
        EXPECT(sent.count == 1 && leaves("SIP/2.0 200 OK\r\n"));
    } else {
        EXPECT(library.told.code == 503); /* that is how the request was answered */
        expect_503(1);
    }
    server_delete_cells();
    EXPECT(server.pkg == memory);
    end();
}

static int pieces;

static void no_memory_from_here(struct cell *cell)
{
    (void)cell;
    server.fail_at = server.allocations + pieces;
}

/* The 2xx is stored. Then its tag cannot be read, or the 503 not be made, or not be stored. */
static void no_503(void)
{
    int lacks = 1, empty = 0, not_stored = 0;

    for (pieces = 0; lacks && pieces < 100; pieces++) {
        start("no memory for the 503", 1, 0);
        when_stored = no_memory_from_here;
        server_receive(request(REGISTER, 8, "Bearer x"));
        lacks = server.allocations > server.fail_at;
        server.fail_at = -1;
        EXPECT(sent.count == 1 && cells->uas.status == 503 && library.told.count == 1);
        if (sent.len == 4 && memcmp(sent.text, "\r\n\r\n", 4) == 0)
            empty++;
        else
            EXPECT(leaves("SIP/2.0 503 Service Unavailable\r\n"));
        not_stored += cells->uas.response.buffer.len == 0 && sent.len > 4;
        server_retransmit(cells);
        EXPECT(strstr(sent.text, "SIP/2.0 2") == NULL);
        end();
    }
    EXPECT(empty == 2 && not_stored == 1);
}

/* It does not get as far as the socket. The 503 then must not take the place of another's reply at the same address. */
static void never_at_the_socket(void)
{
    long memory;
    str other;

    start("no socket for the reply", 1, 0);
    server_receive(request(REGISTER, 9, "Bearer x"));
    expect_503(1);
    server_delete_cells();
    memory = server.pkg;
    no_socket = 1;
    server_receive(request(REGISTER, 10, "Bearer x"));
    EXPECT(sent.count == 1 && library.told.count == 2 && no_socket == 0);
    other = (str){(char *)unsent, 4};
    EXPECT(server.raw[0](&other, NULL) == 0 && other.s == unsent && other.len == 4);
    server_delete_cells();
    EXPECT(server.pkg == memory);
    /* a relayed 2xx leaves without a script, and so does the next one */
    status = 100;
    server_receive(request(REGISTER, 11, "Bearer x"));
    server_receive(request(REGISTER, 12, "Bearer x"));
    no_socket = 1;
    EXPECT(server_reply(cells, cells->uas.request, 200, "OK") == 1 && no_socket == 0);
    EXPECT(server_reply(cells->next, cells->next->uas.request, 200, "OK") == 1 && leaves("SIP/2.0 503 "));
    server_delete_cells();
    EXPECT(server.pkg == memory);
    end();
}

void test_confirm(void)
{
    int with_transaction;

    for (with_transaction = 0; with_transaction < 2; with_transaction++) {
        confirmed(with_transaction);
        not_confirmed(with_transaction, 0);
        not_confirmed(with_transaction, 1);
        refused_by_script(with_transaction);
        without_memory(with_transaction);
    }
    another_within();
    repeated_meanwhile(0);
    repeated_meanwhile(1);
    two_tickets(1);
    two_tickets(0);
    no_503();
    never_at_the_socket();
}
