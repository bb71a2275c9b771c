/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * async(oauth_check(…), route): for a script that has a transaction before it checks. OpenSIPS has suspended that
 * transaction, and resumes it in the worker that has suspended it, when an eventfd becomes readable there. The I/O process
 * lets that worker write to it, because only the worker knows whether somebody still waits.
 *
 * OpenSIPS calls the resume function at once where it cannot wait: in a failure route, or when it has no room for the
 * eventfd (open_files_limit). The script's own time-out may be over before the answer is there. Such a request is not decided
 * now (503), and what comes later is thrown away.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "module.h"

/* OpenSIPS 4.0 checks the type of the function. */
#ifdef ASYNC_SET_RESUME_F
#define SET_RESUME(context, function) ASYNC_SET_RESUME_F(context, function)
#else
#define SET_RESUME(context, function) ((context)->resume_f = (void *)(function))
#endif

/* In shared memory. Only the worker that waits touches done and gone. */
struct suspended {
    struct suspended *next; /* of those that the I/O process could not tell yet */
    int process;
    int event;              /* the eventfd in that process */
    int done;               /* the answer is there */
    int gone;               /* nobody waits */
    uint64_t transaction;
    size_t size;
    struct oauth_call call;
    char store[];           /* what the call points to */
};

struct oauth_resume {
    async_ctx *context;
    const struct oauth_call *call;
    int event;              /* -1: the request does not wait */
};

/* The transaction that goes on in this process. */
static const struct suspended *current = NULL;

static void free_suspended(struct suspended *suspended)
{
    explicit_bzero(suspended, suspended->size); /* it may hold the hash of a password */
    shm_free(suspended);
}

static struct suspended *make_suspended(const struct oauth_call *call, const struct cell *cell)
{
    const size_t texts = sizeof(call->texts) / sizeof(call->texts[0]);
    size_t size = sizeof(struct suspended), i;
    struct suspended *suspended;
    char *at;

    for (i = 0; i < texts; i++)
        size += (size_t)call->texts[i].len;
    suspended = shm_malloc(size);
    if (suspended == NULL) {
        LM_ERR("no shared memory for a request that must wait\n");
        return NULL;
    }
    memset(suspended, 0, sizeof(*suspended));
    suspended->size = size;
    suspended->process = process_no;
    suspended->transaction = oauth_transaction_name(cell);
    suspended->call = *call;
    at = suspended->store;
    for (i = 0; i < texts; i++) {
        if (call->texts[i].len > 0)
            memcpy(at, call->texts[i].s, (size_t)call->texts[i].len);
        suspended->call.texts[i].s = at;
        at += call->texts[i].len;
    }
    return suspended;
}

static int belongs(const struct suspended *suspended)
{
    const struct cell *cell = oauth_transaction();

    return cell != NULL && suspended->transaction == oauth_transaction_name(cell);
}

static uint32_t role_of(const sip_msg_t *msg, enum oauth_function function)
{
    if (function == OAUTH_DEVICE_ACCOUNT)
        return oauth_device_role(msg);
    return function == OAUTH_PROXY_CHECK || function == OAUTH_PROXY_KD_CHECK || function == OAUTH_PROXY_KD_CHECK_ACCOUNT
            ? SIPOAUTH_ROLE_PROXY : SIPOAUTH_ROLE_UAS;
}

/* The check comes to a decision now. Without an answer of the I/O process that is "not now". */
static int decide(sip_msg_t *msg, const struct suspended *suspended)
{
    int rc;

    if (!belongs(suspended))
        return oauth_check_failed(msg, role_of(msg, suspended->call.function)); /* launch(): the request itself has gone */
    current = suspended;
    rc = oauth_call(msg, &suspended->call, NULL);
    current = NULL;
    return rc;
}

/* What has its answer goes now, the rest when the answer comes. */
static void release(struct suspended *suspended)
{
    if (suspended->done)
        free_suspended(suspended);
    else
        suspended->gone = 1;
}

/* Called by tm, when the event was told, or at once. */
static int resume(int event, sip_msg_t *msg, void *parameter)
{
    struct suspended *suspended = parameter;
    int rc = decide(msg, suspended);

    (void)event;
    async_status = ASYNC_DONE_CLOSE_FD;
    release(suspended);
    return rc;
}

/* The answer is there. This runs in the worker that has suspended the transaction. */
static void wake(int sender, void *parameter)
{
    struct suspended *suspended = parameter;
    const uint64_t one = 1;

    (void)sender;
    oauth_workers_received();
    suspended->done = 1;
    if (suspended->gone)
        free_suspended(suspended);
    else if (write(suspended->event, &one, sizeof(one)) < 0)
        LM_ERR("a request that waits cannot be told (%d)\n", errno);
}

/* A request without a transaction is received again, unless the script asks for async(). */
int host_may_receive_again(const struct oauth_resume *how)
{
    return how == NULL;
}

/* launch() has no transaction of its own. */
int host_may_suspend(const struct oauth_resume *how)
{
    return how != NULL && host_in_request_route() && oauth_transaction() != NULL;
}

int host_suspend(sip_msg_t *msg, sipoauth_worker *worker, uint64_t job, const struct oauth_resume *how)
{
    struct oauth_resume *asked = (struct oauth_resume *)how;
    struct suspended *suspended = make_suspended(asked->call, oauth_transaction());
    int rc;

    if (suspended == NULL)
        return OAUTH_PARK_REFUSED;
    suspended->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (suspended->event < 0) {
        LM_ERR("no file for a request that must wait (%d): raise open_files_limit\n", errno);
        free_suspended(suspended);
        return OAUTH_PARK_REFUSED;
    }
    rc = sipoauth_worker_submit(worker, job, oauth_reply_to_tag(msg), (uint64_t)(uintptr_t)suspended, 0);
    if (rc != SIPOAUTH_OK) {
        LM_DBG("the job of a request was not taken (%d)\n", rc);
        close(suspended->event);
        free_suspended(suspended);
        return OAUTH_PARK_REFUSED;
    }
    SET_RESUME(asked->context, resume);
    asked->context->timeout_f = (void *)resume; /* the time that the script gives is over */
    asked->context->resume_param = suspended;
    asked->event = suspended->event;
    return OAUTH_PARK_DONE;
}

/* True if a transaction knows this request, which tm has then handled. */
int host_is_repeated(sip_msg_t *msg)
{
    return oauth_tm.t_check_trans(msg) == 0;
}

/* True while a suspended transaction goes on. */
int host_resumes(const sip_msg_t *msg)
{
    (void)msg;
    return current != NULL;
}

/* What the I/O process could not tell a worker yet, in the order in which it came. */
static struct suspended *untold = NULL, **untold_end = &untold;

/* Runs in the I/O process. */
void host_resume(uint64_t first, uint64_t second)
{
    struct suspended *suspended = (struct suspended *)(uintptr_t)first;

    (void)second;
    if (untold == NULL && oauth_workers_send(suspended->process, wake, suspended) == 0)
        return;
    suspended->next = NULL;
    *untold_end = suspended;
    untold_end = &suspended->next;
}

/* Tries again. What a worker has no room for keeps those of this worker behind it. Returns true if some are left. */
int oauth_resume_again(void)
{
    struct suspended **link = &untold, *one, *next;
    uint64_t full = 0, worker; /* a bit for each; one more that shares it only waits longer */

    while ((one = *link) != NULL) {
        next = one->next;
        worker = UINT64_C(1) << one->process % 64;
        if (!(full & worker) && oauth_workers_send(one->process, wake, one) == 0) {
            *link = next;
        } else {
            full |= worker;
            link = &one->next;
        }
    }
    untold_end = link;
    return untold != NULL;
}

/* The form in async(…). */
int oauth_async(sip_msg_t *msg, async_ctx *context, const struct oauth_call *call)
{
    struct oauth_resume how = {context, call, -1};
    int rc = oauth_call(msg, call, &how);

    if (rc != OAUTH_PARKED || how.event < 0) {
        async_status = ASYNC_SYNC;
        return rc;
    }
    async_status = how.event;
    return OAUTH_OK;
}
