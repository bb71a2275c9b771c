/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole way with the library itself: the keys are not known, the requests wait, the I/O service fetches the keys, and all go
 * on. One waits as it arrived, one has a transaction, and one could not wait any longer.
 */
#include <stdio.h>

#include "gate.h"

static const str ok = str_init("OK");
static int how;

static void answers(struct sip_msg *msg, int rc)
{
    if (rc > 0)
        EXPECT(host_reply(msg, 200, &ok) == 1);
    else
        EXPECT(call(msg, "oauth_reply", NULL) == OAUTH_OK);
}

static void checks(struct sip_msg *msg)
{
    int rc;

    if (how > 0) {
        server_async(msg, "oauth_check", how == 2);
        return;
    }
    rc = call(msg, "oauth_check", "example.test");
    if (rc != OAUTH_PARKED)
        answers(msg, rc);
}

static unsigned int gone_on;

static void goes_on(void *user, uint64_t first, uint64_t second)
{
    (void)user;
    gone_on++;
    oauth_park_go_on(first, second);
}

void test_whole(void)
{
    char credentials[4096], err[256];
    sipoauth_io *io = NULL;
    int i;

    begin("the whole way");
    library.real = 1;
    script = checks;
    resume_route = answers;
    snprintf(credentials, sizeof(credentials), "Bearer %s", argument("token"));
    for (how = 0; how < 3; how++)
        server_receive(request(REGISTER, 1 + how, credentials));
    EXPECT(waiting_count == 1 && route_runs == 1 && route_code == OAUTH_NOT_NOW);
    EXPECT(sent.count == 1 && strncmp(sent.text, "SIP/2.0 503 ", 12) == 0 && strstr(sent.text, "Retry-After: ") != NULL);
    how = 0;
    process_no = IO_PROCESS;
    EXPECT(sipoauth_io_new(oauth_context, &io, err, sizeof(err)) == SIPOAUTH_OK);
    for (i = 0; i < 200 && gone_on < 3; i++)
        EXPECT(sipoauth_io_step(io, 300, goes_on, NULL) == SIPOAUTH_OK);
    process_no = WORKER;
    EXPECT(gone_on == 3 && server.queued == 3);
    server_take_all();
    EXPECT(server_is_readable(waiting[0].fd) && sent.count == 2 && strncmp(sent.text, "SIP/2.0 200 ", 12) == 0);
    server_resume(&waiting[0], 0);
    EXPECT(route_code == OAUTH_OK && sent.count == 3 && strncmp(sent.text, "SIP/2.0 200 ", 12) == 0);
    server_receive(request(REGISTER, 9, credentials)); /* the keys are known */
    EXPECT(sent.count == 4 && strncmp(sent.text, "SIP/2.0 200 ", 12) == 0);
    EXPECT(!logged(argument("token")));
    sipoauth_io_free(io);
    end();
}
