/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * async(oauth_check(...), route): the job of a suspended transaction, from its start until nobody knows it any more.
 */
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "gate.h"

static int at_once;
static const char *function;

static void suspends(struct sip_msg *msg)
{
    server_async(msg, function, at_once);
}

/* Answers as the examples do. */
static void answers(struct sip_msg *msg, int rc)
{
    static const str ok = str_init("OK");

    if (rc > 0)
        EXPECT(host_reply(msg, 200, &ok) == 1);
    else
        EXPECT(call(msg, "oauth_reply", NULL) == OAUTH_OK);
}

static void start(const char *name)
{
    begin(name);
    at_once = 0;
    function = "oauth_check";
    script = suspends;
    resume_route = answers;
}

static void suspend_one(int number)
{
    const unsigned int before = waiting_count;

    server_receive(request(REGISTER, number, "Bearer x"));
    EXPECT(waiting_count == before + 1 && library.jobs == before + 1);
}

static void answered_normally(void)
{
    start("answered normally");
    suspend_one(1);
    EXPECT(!server_is_readable(waiting[0].fd) && sent.count == 0);
    library_answers(0);
    EXPECT(server.queued == 1 && server.queue[0].process == WORKER && !server_is_readable(waiting[0].fd));
    server_take();
    EXPECT(server_is_readable(waiting[0].fd));
    server_resume(&waiting[0], 0);
    EXPECT(library.last_flags == SIPOAUTH_CHECK_RESUMED && route_code == OAUTH_OK && strstr(sent.text, "SIP/2.0 200 ") != NULL);
    end();
}

/* What the script knows of the user is kept until the check goes on, and no longer. */
static void with_a_password(int gone)
{
    start("the hash of a password");
    function = "oauth_password_grant";
    server.secret = PASSWORD;
    suspend_one(32);
    memset(library.user, 0, sizeof(library.user));
    if (gone) {
        library.resumed = not_now();
        server_resume(&waiting[0], 1);
    }
    library_answers(0);
    server_take();
    if (!gone)
        server_resume(&waiting[0], 0);
    EXPECT(strcmp(library.user, HA1 " " PASSWORD) == 0 && sent.count == 1 && server.secrets == 0);
    end();
}

/* The core has no room for the eventfd: it resumes in the same process, with the same message, before there is an answer. */
static void resumed_at_once(void)
{
    int fd;

    start("resumed at once");
    library.resumed = not_now();
    at_once = 1;
    server_receive(request(REGISTER, 2, "Bearer x"));
    EXPECT(library.jobs == 1 && route_runs == 1 && waiting_count == 0);
    EXPECT(library.checks == 2 && library.last_flags == SIPOAUTH_CHECK_RESUMED);
    EXPECT(route_code == OAUTH_NOT_NOW && sent.count == 1 && strstr(sent.text, "SIP/2.0 503 ") != NULL);
    server_delete_cells();
    fd = eventfd(0, EFD_NONBLOCK); /* has the number of the one that was closed */
    library_answers(0);
    server_take();
    EXPECT(!server_is_readable(fd) && !logged("cannot be told"));
    close(fd);
    end();
}

static void timed_out(int told_before)
{
    int fd;

    start(told_before ? "time-out after the answer" : "time-out before the answer");
    suspend_one(3);
    if (told_before) {
        library_answers(0);
        server_take();
    } else {
        library.resumed = not_now();
    }
    server_resume(&waiting[0], 1);
    EXPECT(route_runs == 1 && sent.count == 1);
    EXPECT(route_code == (told_before ? OAUTH_OK : OAUTH_NOT_NOW));
    server_delete_cells();
    if (!told_before) {
        fd = eventfd(0, EFD_NONBLOCK);
        library_answers(0);
        server_take();
        EXPECT(!server_is_readable(fd) && !logged("cannot be told"));
        close(fd);
    }
    end();
}

/* The time is over when the answer is on its way. */
static void timed_out_on_the_way(void)
{
    start("time-out while the answer is in the pipe");
    library.resumed = not_now();
    suspend_one(4);
    library_answers(0);
    server_resume(&waiting[0], 1);
    EXPECT(route_code == OAUTH_NOT_NOW && server.queued == 1);
    server_take();
    end();
}

static void in_failure_route(struct sip_msg *msg)
{
    EXPECT(oauth_tm.t_newtran(msg) == 1);
    set_route_type(FAILURE_ROUTE);
    server_async(msg, "oauth_check", 0);
    set_route_type(REQUEST_ROUTE);
}

static void never_suspended(void)
{
    start("ACK");
    server_receive(request("ACK", 5, "Bearer x"));
    EXPECT(library.jobs == 0 && library.last_flags == SIPOAUTH_CHECK_NO_WAIT && route_code == OAUTH_NOT_NOW);
    end();
    start("failure route");
    script = in_failure_route;
    server_receive(request("INVITE", 6, "Bearer x"));
    EXPECT(library.jobs == 0 && library.last_flags == SIPOAUTH_CHECK_NO_WAIT && route_code == OAUTH_NOT_NOW && sent.count == 1);
    end();
    start("max_pending");
    library.submit = SIPOAUTH_E_FULL;
    server_receive(request(REGISTER, 7, "Bearer x"));
    EXPECT(waiting_count == 0 && route_code == OAUTH_NOT_NOW && strstr(sent.text, "SIP/2.0 503 ") != NULL);
    end();
}

static async_ctx launched;
static int launched_fd;

static void launches(struct sip_msg *msg)
{
    EXPECT(oauth_tm.t_newtran(msg) == 1);
    EXPECT(call_async(msg, "oauth_check", &launched) == OAUTH_OK);
    launched_fd = async_status;
}

static void launches_without_transaction(struct sip_msg *msg)
{
    EXPECT(call_async(msg, "oauth_check", &launched) == OAUTH_NOT_NOW && async_status == ASYNC_SYNC);
}

/* launch() goes on with a message that stands for none: whatever the library says, it is not accepted. */
static void launched_job(void)
{
    struct sip_msg dummy;

    start("launch");
    script = launches;
    server_receive(request(REGISTER, 8, "Bearer x"));
    EXPECT(launched_fd >= 0 && library.jobs == 1 && library.checks == 1);
    library_answers(0);
    server_take();
    EXPECT(server_is_readable(launched_fd));
    memset(&dummy, 0, sizeof(dummy));
    dummy.first_line.type = SIP_REQUEST;
    dummy.buf = server_made_up;
    EXPECT(((async_resume_f *)launched.resume_f)(launched_fd, &dummy, launched.resume_param) == OAUTH_ERROR);
    EXPECT(async_status == ASYNC_DONE_CLOSE_FD && library.checks == 1 && oauth_last_get(&dummy)->verdict != SIPOAUTH_VERDICT_ACCEPTED);
    close(launched_fd);
    /* the next route without a request gets the same message */
    server_ends_made_up(&dummy);
    EXPECT(oauth_last_get(&dummy) == NULL);
    server_ends_made_up(&dummy);
    oauth_forget_message();
    end();
    start("launch without a transaction");
    script = launches_without_transaction;
    server_receive(request(REGISTER, 9, "Bearer x"));
    EXPECT(library.jobs == 0);
    end();
}

static int order[64];
static unsigned int done;

static void is_next(struct sip_msg *msg, int rc)
{
    answers(msg, rc);
    order[done++] = (int)number_of(&get_cseq(msg)->number);
}

/* Lets those go on whose eventfd is readable, and notes in which order they were told. */
static void look_who_is_told(void)
{
    unsigned int i;

    for (i = 0; i < waiting_count; i++) {
        if (waiting[i].fd < 0 || !server_is_readable(waiting[i].fd))
            continue;
        server_resume(&waiting[i], 0);
        waiting[i].fd = -1;
    }
}

static void take_and_look(void)
{
    while (server.queued > 0) {
        server_take();
        look_who_is_told();
    }
}

static void full_pipe(int refusals)
{
    unsigned int i;

    start("full pipe");
    resume_route = is_next;
    done = 0;
    for (i = 0; i < 6; i++)
        suspend_one(10 + (int)i);
    server.refuse_pipe = refusals;
    for (i = 0; i < 3; i++)
        library_answers(i);
    EXPECT(server.queued == 0 && done == 0);
    EXPECT(oauth_resume_again()); /* in the I/O process */
    if (refusals < 0)
        EXPECT(oauth_resume_again() && server.queued == 0);
    library_answers(3); /* not before those that came first */
    server.refuse_pipe = 0;
    library_answers(4);
    EXPECT(!oauth_resume_again());
    library_answers(5);
    EXPECT(server.queued == 6);
    take_and_look();
    EXPECT(done == 6 && sent.count == 6);
    for (i = 0; i < done; i++)
        EXPECT(order[i] == 10 + (int)i);
    end();
}

/* The worker reads its pipe while the I/O process tries again: one is refused, and there is room for the next. */
static void room_between(void)
{
    unsigned int i;

    start("room between two entries");
    resume_route = is_next;
    done = 0;
    for (i = 0; i < 3; i++)
        suspend_one(20 + (int)i);
    server.refuse_pipe = 1;
    library_answers(0);
    library_answers(1);
    library_answers(2);
    server.refuse_pipe = 1;
    EXPECT(oauth_resume_again());
    take_and_look();
    EXPECT(!oauth_resume_again());
    take_and_look();
    EXPECT(done == 3 && order[0] == 20 && order[1] == 21 && order[2] == 22);
    end();
}

static void no_file(void)
{
    struct rlimit before, none;
    int next = eventfd(0, 0);

    close(next);
    start("no file");
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &none);
    server_receive(request(REGISTER, 30, "Bearer x"));
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT(logged("raise open_files_limit") && library.jobs == 0 && route_code == OAUTH_NOT_NOW && sent.count == 1);
    end();
}

/* More than fit into the pipe: the rest waits in the I/O process. */
static void more_than_fit(void)
{
    unsigned int i, sends = 0;

    start("more than fit");
    suspend_one(31);
    for (i = 0; i < 600; i++)
        sends += oauth_workers_send(WORKER, server.queue[0].function, NULL) == 0;
    EXPECT(sends == 512 && server.queued == 512);
    library_answers(0);
    EXPECT(server.queued == 512 && oauth_resume_again());
    server.queued = 0; /* the worker has read them */
    for (i = 0; i < sends; i++)
        oauth_workers_received();
    EXPECT(!oauth_resume_again() && server.queued == 1);
    server_take();
    server_resume(&waiting[0], 0);
    EXPECT(route_code == OAUTH_OK);
    end();
}

void test_resume(void)
{
    int before = eventfd(0, 0), after;

    close(before);
    answered_normally();
    with_a_password(0);
    with_a_password(1);
    resumed_at_once();
    timed_out(0);
    timed_out(1);
    timed_out_on_the_way();
    never_suspended();
    launched_job();
    full_pipe(-1);
    full_pipe(4);
    room_between();
    no_file();
    more_than_fit();
    after = eventfd(0, 0);
    EXPECT(before == after); /* every file was closed */
    close(after);
}
