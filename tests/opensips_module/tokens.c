/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tokens for a phone are in the 2xx and nowhere else, and memory that is freed has none.
 */
#include <stdio.h>

#include "gate.h"

#define SECRET "the-tokens-of-alice"
static const char tokens[] = "{\"access_token\":\"" SECRET "\"}";
static const str ok = str_init("OK");
static int stateful, status, reads, checks_twice;

static void registers(struct sip_msg *msg)
{
    int rc;

    if (stateful == 1)
        EXPECT(oauth_tm.t_newtran(msg) == 1);
    rc = call(msg, "oauth_check", "example.test");
    if (checks_twice)
        rc = call(msg, "oauth_check", "example.test");
    EXPECT(rc == OAUTH_OK || server.fail_at >= 0);
    if (rc != OAUTH_OK)
        return;
    if (stateful == 2)
        EXPECT(oauth_tm.t_newtran(msg) == 1);
    if (reads) {
        str shown = variable(msg, "token_response");

        EXPECT(shown.len == (int)strlen(tokens) && memcmp(shown.s, tokens, (size_t)shown.len) == 0);
        EXPECT(add_lump_rpl(msg, shown.s, shown.len, LUMP_RPL_BODY) != NULL);
    }
    if (status > 0)
        (void)host_reply(msg, status, &ok);
}

static void start(const char *name, int transaction)
{
    begin(name);
    script = registers;
    stateful = transaction;
    status = 200;
    reads = checks_twice = 0;
    library.first = accepted();
    library.first.token_response = 1;
    library.tokens = tokens;
}

static int count_tokens(void)
{
    const char *at;
    int count = 0;

    for (at = sent.text; (at = strstr(at, SECRET)) != NULL; at++)
        count++;
    return count;
}

static void expect_tokens(void)
{
    char length[40];

    EXPECT(sent.count == 1 && strncmp(sent.text, "SIP/2.0 200 OK\r\n", 16) == 0);
    snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n\r\n", strlen(tokens));
    EXPECT(count_tokens() == 1 && strstr(sent.text, length) != NULL);
    EXPECT(sent.len > strlen(tokens) && strcmp(sent.text + sent.len - strlen(tokens), tokens) == 0);
    EXPECT(reads || strstr(sent.text, "\r\nContent-Type: application/json\r\n") != NULL);
}

static void in_the_2xx(int transaction)
{
    start("tokens in the 2xx", transaction);
    server_receive(request(REGISTER, 1, "Bearer x"));
    expect_tokens();
    server.secret = SECRET;
    server_delete_cells();
    server_forget_pending();
    EXPECT(server.secrets == (transaction > 0)); /* the stored reply, which tm frees */
    server.secrets = 0;
    end();
    start("tokens in the 2xx after two checks", transaction);
    checks_twice = 1;
    server_receive(request(REGISTER, 2, "Bearer x"));
    expect_tokens();
    end();
}

static void in_nothing_else(int transaction)
{
    static const int others[] = {100, 302, 403, 503};
    size_t i;

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        start("tokens in another answer", transaction);
        status = others[i];
        server_receive(request(REGISTER, 3 + (int)i, "Bearer x"));
        EXPECT(sent.count == 1 && count_tokens() == 0);
        end();
    }
    /* the next request's answer in this process has none of them */
    start("tokens in another's answer", transaction);
    status = 0;
    server_receive(request(REGISTER, 8, "Bearer x"));
    status = 200;
    library.first = accepted();
    server_receive(request(REGISTER, 9, "Bearer x"));
    EXPECT(sent.count == 1 && count_tokens() == 0);
    end();
}

static void read_by_the_script(int transaction)
{
    start("tokens that the script reads", transaction);
    reads = 1;
    server_receive(request(REGISTER, 10, "Bearer x"));
    expect_tokens();
    end();
}

/* Without an answer. The transaction, or the next message, frees them. */
static void freed(int transaction)
{
    start("tokens without an answer", transaction);
    server.secret = SECRET;
    status = 0;
    server_receive(request(REGISTER, 11, "Bearer x"));
    server_delete_cells();
    library.first.confirm = 1; /* registers a callback for another message, so tm frees those of the last one */
    library.first.token_response = 0;
    library.first.ticket = (sipoauth_str){"t", 1};
    server_receive(request(REGISTER, 12, "Bearer x"));
    server_delete_cells();
    EXPECT(server.secrets == 0);
    EXPECT(server.pending.first != NULL || transaction != 0);
    end();
}

static void not_confirmed(int transaction)
{
    start("tokens in a 2xx that is not confirmed", transaction);
    library.first.confirm = 1;
    library.first.ticket = (sipoauth_str){"t", 1};
    library.answered = SIPOAUTH_E_STORE;
    server_receive(request(REGISTER, 13, "Bearer x"));
    EXPECT(sent.count == 1 && count_tokens() == 0 && strstr(sent.text, "SIP/2.0 503 ") == sent.text);
    if (transaction) {
        server_retransmit(cells);
        EXPECT(sent.count == 2 && count_tokens() == 0);
    }
    end();
}

static void without_memory(int transaction)
{
    long at;
    int lacks;

    for (at = 0, lacks = 1; lacks && at < 200; at++) {
        start("tokens without memory", transaction);
        server.allocations = 0;
        server.fail_at = at;
        server_receive(request(REGISTER, 14, "Bearer x"));
        lacks = server.allocations > at;
        server.fail_at = -1;
        EXPECT(sent.count <= 1 && count_tokens() <= 1);
        if (!lacks)
            expect_tokens();
        end();
    }
    EXPECT(at > 3);
}

void test_tokens(void)
{
    int transaction;

    /* none, one that is made before the check, one that is made after it */
    for (transaction = 0; transaction < 3; transaction++) {
        in_the_2xx(transaction);
        in_nothing_else(transaction);
        read_by_the_script(transaction);
        freed(transaction);
        not_confirmed(transaction);
        if (transaction < 2)
            without_memory(transaction);
    }
}
