/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loop of the module's own process, which does the library's network work.
 *
 * A child that ends takes the whole proxy down, so this one does not end. If the library cannot start here, the process
 * tries again later. Meanwhile no request is parked: it gets a 503 at once, because nobody would continue it.
 */
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "shim.h"

#define STEP_MS 500
#define SOON_MS 1
#define RETRY_SECONDS 5
#define LOOK_SECONDS 5

static volatile int *broken = NULL; /* in shared memory: the library could not start in the I/O process */

int oauth_io_init(void)
{
    broken = shm_malloc(sizeof(*broken));
    if (broken == NULL) {
        LM_ERR("no shared memory for the state of the I/O process\n");
        return -1;
    }
    *broken = 0;
    return 0;
}

int oauth_io_usable(void)
{
    return !*broken;
}

static void done(void *user, uint64_t first, uint64_t second)
{
    (void)user;
    oauth_park_go_on(first, second);
}

/* A session that counts until its tokens end keeps its bindings until then. */
static void ended(void *user, const sipoauth_session_state *session, const char *reason_code, sipoauth_str why)
{
    (void)user;
    if (session->valid_until <= (int64_t)time(NULL))
        (void)oauth_bindings_remove(session);
    oauth_event_session_ended(session, reason_code, why);
}

static sipoauth_io *start(void)
{
    char err[OAUTH_ERR_SIZE] = "";
    sipoauth_io *io = NULL;

    if (sipoauth_io_new(oauth_context, &io, err, sizeof(err)) == SIPOAUTH_OK) {
        *broken = 0;
        return io;
    }
    if (!*broken)
        LM_ERR("no keys can be fetched, the next try is in %d seconds: %s\n", RETRY_SECONDS, err);
    *broken = 1;
    sleep(RETRY_SECONDS);
    return NULL;
}

static void step(sipoauth_io *io, uint32_t timeout_ms)
{
    static int failed = 0;
    int rc = sipoauth_io_step(io, timeout_ms, done, NULL);

    (void)sipoauth_io_ended(io, ended, NULL);
    oauth_refer_step(io);
    if (rc == SIPOAUTH_OK) {
        failed = 0;
        return;
    }
    if (!failed)
        LM_ERR("a step of the I/O process failed (%d)\n", rc);
    failed = 1;
    usleep(STEP_MS * 1000); /* no busy loop */
}

/* A request whose job was lost would otherwise wait forever. The check then says that nothing came in time. One that is
 * given to a busy process twice goes on once. */
static void give_back_overdue(void)
{
    uint64_t number;

    while ((number = oauth_parked_overdue()) != 0) {
        LM_ERR("a request waits for too long: its answer was lost, or the processes that run the script have too much to do\n");
        oauth_again_run(number);
    }
}

/* Ends the process when the proxy has gone. */
void oauth_io_run(void)
{
    pid_t parent = getppid();
    sipoauth_io *io = NULL;
    unsigned int last_look = get_ticks();
    int early;

    while (getppid() == parent) { /* a proxy killed with -9 must not leave this process behind */
        early = host_process_step();
        early |= oauth_again_look();
        if (io == NULL)
            io = start();
        else
            step(io, early ? SOON_MS : STEP_MS);
        if (get_ticks() - last_look >= LOOK_SECONDS) {
            last_look = get_ticks();
            give_back_overdue();
        }
    }
    _exit(0);
}
