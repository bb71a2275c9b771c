/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module's own process, which does the library's network work.
 */
#include "module.h"

/*
 * OpenSIPS has its user (-u) by now and has not forked yet. So a folder that cannot be used still stops the start, and files
 * made there belong to that user. A child process of the library does the work.
 */
static int try_store(void)
{
    char err[OAUTH_ERR_SIZE] = "";
    int rc = sipoauth_context_try_store(oauth_context, err, sizeof(err));

    if (rc != SIPOAUTH_OK)
        LM_ERR("%s\n", err);
    return rc == SIPOAUTH_OK ? 0 : -1;
}

/* The number of processes is known now. */
static int before_fork(void)
{
    return oauth_arrival_init() < 0 || oauth_workers_init() < 0 || try_store() < 0 ? -1 : 0;
}

int host_process_step(void)
{
    return oauth_resume_again();
}

static void run(int rank)
{
    (void)rank;
    oauth_io_run();
}

/*
 * It runs no script for requests and is sent no work. But it sends NOTIFY requests, for which tm needs what modules open in
 * such a process, and the route for local requests.
 */
const proc_export_t oauth_procs[] = {
    {"auth_oauth io", before_fork, NULL, run, 1, PROC_FLAG_INITCHILD | PROC_FLAG_NEEDS_SCRIPT},
    {NULL, NULL, NULL, NULL, 0, 0}
};
