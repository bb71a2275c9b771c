/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The library's handle of this process. It is made at first use, after the fork, in whichever process runs
 * script (SIP workers, timers, the I/O process): a handle never crosses a fork.
 */
#include <time.h>

#include "shim.h"

static sipoauth_worker *worker = NULL;
static int worker_process = -1;

sipoauth_worker *oauth_worker_get(void)
{
    static time_t next_try = 0;
    char err[OAUTH_ERR_SIZE] = "";

    if (worker != NULL && worker_process == process_no)
        return worker;
    /* a handle of the parent belongs to the parent: forget it, do not free it */
    worker = NULL;
    if (worker_process == process_no && time(NULL) < next_try)
        return NULL;
    worker_process = process_no;
    if (sipoauth_worker_new(oauth_context, 0, &worker, err, sizeof(err)) != SIPOAUTH_OK) {
        LM_ERR("%s\n", err);
        worker = NULL;
        next_try = time(NULL) + 5; /* do not try for every request of a flood */
    }
    return worker;
}

void oauth_worker_drop(void)
{
    if (worker != NULL && worker_process == process_no)
        sipoauth_worker_free(worker);
    worker = NULL;
}
