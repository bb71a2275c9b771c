/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The n-th piece of memory cannot be had, for every n: a request is answered once, or lost and then as if it had never come.
 */
#include <stdio.h>

#include "gate.h"

static const str ok = str_init("OK");
static int suspends, elsewhere, cancels;

static void answers(struct sip_msg *msg, int rc)
{
    if (rc > 0)
        (void)host_reply(msg, 200, &ok);
    else if (rc < 0)
        (void)call(msg, "oauth_reply", NULL);
}

static void checks(struct sip_msg *msg)
{
    if (msg->first_line.u.request.method_value == METHOD_CANCEL) {
        cancels++;
        answers(msg, 1);
        return;
    }
    if (elsewhere < 0 && oauth_has_waited(msg))
        elsewhere = cancel_comes_elsewhere(msg, 5);
    if (suspends)
        server_async(msg, "oauth_check", 0);
    else
        answers(msg, call(msg, "oauth_check", "example.test"));
}

static unsigned int given_back;

static void go_on(void)
{
    unsigned int i;

    while (given_back < library.jobs)
        library_answers(given_back++);
    while (oauth_again_look() || server.queued > 0)
        server_take_all();
    for (i = 0; i < waiting_count; i++) {
        if (waiting[i].fd >= 0 && server_is_readable(waiting[i].fd)) {
            server_resume(&waiting[i], 0);
            waiting[i].fd = -1;
        }
    }
}

static void again(void)
{
    server_receive(request(REGISTER, 1, "Bearer x"));
    go_on();
    EXPECT(sent.count <= 1);
}

static void suspended(void)
{
    server_receive(request(REGISTER, 2, "Bearer x"));
    go_on();
    EXPECT(sent.count == 1 || server.fail_at >= 0);
}

static void cancelled(void)
{
    server_receive(request("INVITE", 3, "Bearer x"));
    server_receive(request("CANCEL", 3, NULL));
    go_on();
}

static void cancelled_while_it_goes_on(void)
{
    elsewhere = -1;
    cancels = 0;
    server_receive(request("INVITE", 5, "Bearer x"));
    go_on();
    EXPECT(cancels == (elsewhere == 1) || server.fail_at >= 0);
    elsewhere = 0;
}

static void wants_tokens(void)
{
    library.resumed.confirm = 1;
    library.resumed.ticket = (sipoauth_str){"a-ticket", 8};
    library.resumed.token_response = 1;
    library.tokens = "the-tokens-of-alice";
    library.resumed.expires_limit = 60;
    server_receive(request(REGISTER, 4, "Bearer x"));
    go_on();
}

/* Every piece of memory in turn. What was lost must not be in the way of the same request, sent again. */
static void without(void (*scenario)(void), const char *name)
{
    long at;
    int lacks = 1, count;

    for (at = 0; lacks && at < 500; at++) {
        begin(name);
        given_back = 0;
        script = checks;
        resume_route = answers;
        server.secret = "Bearer x"; /* the credentials */
        server.allocations = 0;
        server.fail_at = at;
        scenario();
        lacks = server.allocations > at;
        server.fail_at = -1;
        go_on();
        EXPECT(server.secrets == 0);
        count = sent.count;
        EXPECT(count <= 3);
        if (!lacks) {
            EXPECT(count >= 1);
        } else if (count == 0) {
            server_delete_cells();
            library_reset();
            waiting_count = given_back = 0;
            scenario();
            EXPECT(sent.count >= 1);
        }
        end();
    }
    EXPECT(!lacks && at > 5);
    printf("%s: %ld pieces of memory\n", name, at - 1);
}

void test_memory(void)
{
    without(again, "received again, without memory");
    without(cancelled, "cancelled, without memory");
    without(cancelled_while_it_goes_on, "cancelled while it goes on, without memory");
    suspends = 1;
    without(suspended, "suspended, without memory");
    without(wants_tokens, "suspended with tokens, without memory");
    suspends = 0;
    without(wants_tokens, "received again with tokens, without memory");
}
