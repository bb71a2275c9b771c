/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request without a transaction waits as it arrived, and is received again.
 */
#include <stdio.h>

#include "gate.h"

static const str ok = str_init("OK");
static int script_runs, with_user;

/* The script has authenticated the user the first time, and does not the second time. */
static int grant(struct sip_msg *msg)
{
    static const str realm = str_init("example.test");
    const struct oauth_digest_user user = {str_init(HA1), str_init(PASSWORD)}, nobody = {STR_NULL, STR_NULL};

    return oauth_password_grant(msg, &realm, script_runs == 1 ? &user : &nobody, NULL);
}

/* As the examples do. */
static void checks(struct sip_msg *msg)
{
    int rc;

    script_runs++;
    if (msg->first_line.u.request.method_value == METHOD_CANCEL)
        return;
    rc = with_user ? grant(msg) : call(msg, "oauth_check", "example.test");
    if (rc == OAUTH_PARKED)
        return;
    if (rc > 0)
        EXPECT(host_reply(msg, 200, &ok) == 1);
    else
        EXPECT(call(msg, "oauth_reply", NULL) == OAUTH_OK);
}

static void start(const char *name)
{
    begin(name);
    script = checks;
    script_runs = with_user = 0;
    server.secret = "Bearer x"; /* the credentials */
}

static int answered(int status)
{
    char line[32];

    snprintf(line, sizeof(line), "SIP/2.0 %d ", status);
    return strncmp(sent.text, line, strlen(line)) == 0;
}

static void once(void)
{
    unsigned int contexts;

    start("received again once");
    server_receive(request(REGISTER, 1, "Bearer x"));
    EXPECT(library.jobs == 1 && script_runs == 1 && sent.count == 0);
    library_answers(0);
    EXPECT(server.queued == 1 && script_runs == 1);
    library_answers(0); /* as the I/O process does when it thinks that an answer was lost */
    EXPECT(server.queued == 1 && oauth_again_look());
    contexts = server.contexts;
    server_take_all();
    EXPECT(server.contexts == contexts + 1); /* what modules have in the context of this request goes */
    EXPECT(script_runs == 2 && sent.count == 1 && answered(200) && library.last_flags == SIPOAUTH_CHECK_RESUMED);
    EXPECT(!oauth_again_look());
    server_take_all();
    library_answers(0);
    server_take_all();
    EXPECT(script_runs == 2 && sent.count == 1);
    end();
}

static void with_a_password(void)
{
    start("the hash of a password");
    with_user = 1;
    server.secret = PASSWORD;
    server_receive(request(REGISTER, 12, "Bearer x"));
    memset(library.user, 0, sizeof(library.user));
    library_answers(0);
    server_take_all();
    EXPECT(strcmp(library.user, HA1 " " PASSWORD) == 0 && answered(200));
    end();
}

static void waits_once(void)
{
    start("waits once");
    library.resumed = not_now(); /* another key is needed meanwhile */
    server_receive(request(REGISTER, 2, "Bearer x"));
    library_answers(0);
    server_take_all();
    EXPECT(library.jobs == 1 && script_runs == 2 && sent.count == 1);
    end();
}

static void full_workers(void)
{
    start("no worker has time");
    server_receive(request(REGISTER, 3, "Bearer x"));
    server.refuse_pipe = -1;
    library_answers(0);
    EXPECT(server.queued == 0 && oauth_again_look() && script_runs == 1);
    server.refuse_pipe = 0;
    pt[WORKER].flags = OSS_PROC_TO_TERMINATE;
    EXPECT(oauth_workers_idlest() == -1 && oauth_again_look() && server.queued == 0);
    pt[WORKER].flags = 0;
    EXPECT(!oauth_again_look() && server.queued == 1 && server.queue[0].process == WORKER);
    /* the other one has nothing to do */
    pt[WORKER + 1].running = 1;
    EXPECT(oauth_workers_idlest() == WORKER + 1 && oauth_workers_idlest() == WORKER + 1);
    pt[WORKER + 1].type = 0; /* not a process that receives SIP */
    EXPECT(oauth_workers_idlest() == WORKER);
    pt[WORKER + 1] = (struct process_table){TYPE_TCP, 0, 0};
    server_take_all();
    EXPECT(script_runs == 2 && answered(200));
    end();
}

/* Another request of the phone that request 40 came from. */
static const char *next_of_phone(int number)
{
    char *text = (char *)request(REGISTER, number, "Bearer x");

    memcpy(strstr(text, "Call-ID: call-"), "Call-ID: call-40", sizeof("Call-ID: call-40") - 1);
    return text;
}

/* Requests of one phone go on one after the other, those of others beside them. */
static void lanes(void)
{
    start("the order of a Call-ID");
    server_receive(next_of_phone(40));
    server_receive(next_of_phone(41));
    server_receive(request(REGISTER, 50, "Bearer x"));
    library_answers(1);
    library_answers(0);
    library_answers(2);
    EXPECT(server.queued == 2 && oauth_again_look()); /* the third is another phone's */
    server_take_all();
    EXPECT(!oauth_again_look() && server.queued == 1);
    server_take_all();
    EXPECT(script_runs == 6 && sent.count == 3);
    end();
    start("behind one that found no worker");
    server_receive(next_of_phone(42));
    server_receive(next_of_phone(43));
    server.refuse_pipe = 1;
    library_answers(0);
    library_answers(1);
    EXPECT(server.queued == 0 && oauth_again_look() && server.queued == 1);
    server_take_all();
    EXPECT(sent.count == 1 && strstr(sent.text, "42 REGISTER") != NULL && !oauth_again_look());
    server_take_all();
    EXPECT(sent.count == 2 && strstr(sent.text, "43 REGISTER") != NULL);
    end();
}

static void copies(void)
{
    start("a copy while it waits");
    server_receive(request("INVITE", 5, "Bearer x"));
    EXPECT(library.jobs == 1 && sent.count == 1 && answered(100));
    server_receive(request("INVITE", 5, "Bearer x"));
    EXPECT(library.jobs == 1 && library.checks == 1 && script_runs == 1 && sent.count == 2 && answered(100));
    library_answers(0);
    server_take_all();
    EXPECT(script_runs == 2 && sent.count == 3 && answered(200));
    end();
}

static void cancelled(void)
{
    start("CANCEL while it waits");
    server_receive(request("INVITE", 6, "Bearer x"));
    server_receive(request("CANCEL", 6, NULL));
    EXPECT(script_runs == 1 && sent.count == 3 && answered(200) && strstr(sent.text, "6 CANCEL") != NULL);
    EXPECT(cells != NULL && cells->uas.status == 487);
    library_answers(0); /* too late */
    EXPECT(server.queued == 1);
    server_take_all();
    EXPECT(script_runs == 1 && sent.count == 3);
    end();
}

/* The CANCEL comes to another worker, which has no request that goes on; this process stands for both. Returns 0 if the script
 * there sees it. */
int cancel_comes_elsewhere(const struct sip_msg *invite, int number)
{
    static struct sip_msg cancel;
    struct oauth_parked *found = NULL;
    const long fails = server.fail_at;
    int rc;

    server.fail_at = -1;
    memset(&cancel, 0, sizeof(cancel));
    cancel.buf = (char *)request("CANCEL", number, NULL);
    cancel.len = (unsigned int)strlen(cancel.buf);
    cancel.rcv = invite->rcv;
    EXPECT(parse_msg_opt(cancel.buf, cancel.len, &cancel, 0) == 0 && oauth_arrival_keep(&cancel) == 0);
    server.fail_at = fails;
    rc = oauth_parked_cancel(oauth_arrival_of(&cancel), &found);
    EXPECT(found == NULL);
    oauth_arrival_forget();
    free_sip_msg(&cancel);
    return rc;
}

static void cancel_from_within(struct sip_msg *msg)
{
    checks(msg);
    script = checks;
    EXPECT(cancel_comes_elsewhere(msg, 7) == 1 && cancel_comes_elsewhere(msg, 7) == 1); /* and a copy of it */
}

static void cancelled_meanwhile(void)
{
    start("CANCEL while it goes on");
    server_receive(request("INVITE", 7, "Bearer x"));
    library_answers(0);
    script = cancel_from_within;
    server_take_all();
    EXPECT(script_runs == 3); /* the script has seen the CANCEL, after the INVITE */
    EXPECT(answered(200) && sent.count == 2);
    end();
}

static void answers_meanwhile(struct sip_msg *msg)
{
    script_runs++;
    EXPECT(call(msg, "oauth_check", "example.test") == OAUTH_PARKED);
    EXPECT(host_reply(msg, 480, &ok) == 1);
}

static void makes_a_transaction(struct sip_msg *msg)
{
    script_runs++;
    EXPECT(call(msg, "oauth_check", "example.test") == OAUTH_PARKED);
    EXPECT(oauth_tm.t_newtran(msg) == 1);
}

static void taken(void (*by)(struct sip_msg *), const char *name)
{
    start(name);
    script = by;
    server_receive(request(REGISTER, 8, "Bearer x"));
    EXPECT(library.jobs == 1);
    library_answers(0);
    server_take_all();
    EXPECT(script_runs == 1);
    end();
}

/* Its answer is there before the script has done with it: it goes on when it has. */
static void answers_early(struct sip_msg *msg)
{
    checks(msg);
    if (script_runs == 1) {
        library_answers(0);
        EXPECT(server.queued == 0 && oauth_again_look());
    }
}

static void early(void)
{
    start("an answer that comes early");
    script = answers_early;
    server_receive(request(REGISTER, 9, "Bearer x"));
    EXPECT(server.queued == 0 && !oauth_again_look() && server.queued == 1);
    server_take_all();
    EXPECT(script_runs == 2 && answered(200));
    end();
}

static void lost(void)
{
    start("an answer that was lost");
    server_receive(request(REGISTER, 10, "Bearer x"));
    EXPECT(oauth_parked_overdue() == 0);
    server.ticks += 46;
    EXPECT(oauth_parked_overdue() == library.job[0].first && oauth_parked_overdue() == 0);
    library_answers(0);
    server_take_all();
    EXPECT(script_runs == 2);
    end();
    start("max_pending");
    library.submit = SIPOAUTH_E_FULL;
    server_receive(request(REGISTER, 11, "Bearer x"));
    EXPECT(script_runs == 1 && answered(503));
    end();
}

static int wanted;

static void makes_the_call(struct sip_msg *msg)
{
    EXPECT(oauth_tm.t_newtran(msg) == 1);
}

static void checks_cancel(struct sip_msg *msg)
{
    EXPECT(call(msg, "oauth_cancel_check", NULL) == wanted);
}

/* A CANCEL is the caller's only if it came from where its INVITE came. */
static void cancel_check(void)
{
    start("oauth_cancel_check");
    script = makes_the_call;
    server_receive(request("INVITE", 13, NULL));
    script = checks_cancel;
    wanted = OAUTH_OK;
    server_receive(request("CANCEL", 13, NULL));
    wanted = OAUTH_DENIED;
    server_receive(request("CANCEL", 14, NULL));
    server_receive(request("INVITE", 13, NULL));
    cells->uas.request->rcv.src_port++;
    server_receive(request("CANCEL", 13, NULL));
    cells->uas.request->rcv.src_port--;
    cells->uas.request->rcv.src_ip.address[3]++;
    server_receive(request("CANCEL", 13, NULL));
    cells->uas.request->rcv.src_ip.address[3]--;
    cells->uas.request->rcv.proto_reserved1++;
    server_receive(request("CANCEL", 13, NULL));
    end();
}

void test_again(void)
{
    once();
    with_a_password();
    waits_once();
    full_workers();
    lanes();
    copies();
    cancelled();
    cancelled_meanwhile();
    taken(answers_meanwhile, "answered by the script");
    taken(makes_a_transaction, "the script makes a transaction");
    early();
    lost();
    cancel_check();
}
