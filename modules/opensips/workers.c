/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processes that receive SIP. The I/O process gives them what is to be done in a script, over the pipe that OpenSIPS has
 * to each of them. OpenSIPS does not wait for room in that pipe, and calls it critical when there is none. So this file
 * counts what is in each, and sends no more than fits.
 */
#include "module.h"

/* The pipe has 64 kB, and an entry at most 32 octets. Others send through it as well. */
#define QUEUED_MAX 512

/* In shared memory: for each process, what it was sent and has not received. */
static uint32_t *queued = NULL;

/* Called when the number of processes is known. */
int oauth_workers_init(void)
{
    const size_t size = sizeof(*queued) * counted_max_processes;

    queued = shm_malloc(size);
    if (queued == NULL) {
        LM_ERR("no shared memory to count what workers have to do\n");
        return -1;
    }
    memset(queued, 0, size);
    return 0;
}

/* True for a process in which requests wait while it does something else. */
int oauth_is_worker(int process)
{
    return (pt[process].type == TYPE_UDP || pt[process].type == TYPE_TCP) && is_process_running(process)
            && !(pt[process].flags & OSS_PROC_TO_TERMINATE);
}

/* The worker with the fewest entries, or -1 if all have too many. Where several have as few, they take turns. */
int oauth_workers_idlest(void)
{
    static unsigned int last = 0;
    uint32_t count, fewest = QUEUED_MAX;
    unsigned int i, process;
    int found = -1;

    for (i = 1; i <= counted_max_processes; i++) {
        process = (last + i) % counted_max_processes;
        if (!oauth_is_worker((int)process))
            continue;
        count = __atomic_load_n(&queued[process], __ATOMIC_SEQ_CST);
        if (count < fewest) {
            fewest = count;
            found = (int)process;
        }
    }
    if (found >= 0)
        last = (unsigned int)found;
    return found;
}

/* Has this function called in that process, which calls oauth_workers_received first. -1: not now. */
int oauth_workers_send(int process, ipc_rpc_f *function, void *parameter)
{
    if (__atomic_add_fetch(&queued[process], 1, __ATOMIC_SEQ_CST) <= QUEUED_MAX
            && ipc_send_rpc(process, function, parameter) == 0)
        return 0;
    __atomic_sub_fetch(&queued[process], 1, __ATOMIC_SEQ_CST);
    return -1;
}

void oauth_workers_received(void)
{
    __atomic_sub_fetch(&queued[process_no], 1, __ATOMIC_SEQ_CST);
}
