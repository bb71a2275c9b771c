/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a request waits for the I/O service. This file never waits.
 *
 * A request that has just arrived is kept as it came, and received again later (again.c). The script then treats it
 * like one that did not have to wait. If the script or a module has made a transaction already, the transaction is
 * suspended where the server can do that, and goes on in the route that the script names (resume.c).
 *
 * The library has said before that there is room, so a request that it refuses costs no memory. If a step fails, the
 * message stays an ordinary one of this worker.
 */
#include <string.h>

#include "shim.h"

/* Says that a request waits as it arrived. A suspended transaction has something smaller here: the number of its route, or 0. */
#define ARRIVED UINT64_MAX

/* The request that this process's script has parked. Only a KEMI script goes on after that. */
static struct {
    struct oauth_owner owner;
    uint64_t number;
} parked;

/* True while the script sees a request that has waited. It does not wait again. */
int oauth_has_waited(const sip_msg_t *msg)
{
    return host_resumes(msg) || oauth_again_function(msg) != NULL;
}

/* True if this function has made it wait. A transaction does not tell by which one it was suspended. */
int oauth_has_waited_for(const sip_msg_t *msg, const char *function)
{
    const char *before = oauth_again_function(msg);

    return before != NULL ? strcmp(before, function) == 0 : host_resumes(msg);
}

/* Finds out how this request can wait. Returns 0 if it cannot. */
int oauth_park_possible(const sip_msg_t *msg, const struct oauth_resume *resume, struct oauth_wait *wait)
{
    wait->arrival = NULL;
    wait->resume = resume;
    /* ACK has no transaction of its own, CANCEL must be answered at once (RFC 3261 9.2, 17.2.1) */
    if (msg->first_line.u.request.method_value == METHOD_ACK || msg->first_line.u.request.method_value == METHOD_CANCEL)
        return 0;
    if (host_may_receive_again(resume) && host_in_request_route() && oauth_transaction() == NULL)
        wait->arrival = oauth_arrival_of(msg);
    return wait->arrival != NULL || host_may_suspend(resume);
}

/* A retransmission of a request that waits or was answered is not judged again, because the request may be the last one
 * that its source was allowed. Scripts that call t_check_trans() first never get here with a retransmission. */
int oauth_park_absorbs(sip_msg_t *msg)
{
    return oauth_transaction() == NULL && host_is_repeated(msg);
}

/* The sender of an INVITE that waits is told so (RFC 3261 section 17.2.1). */
void oauth_park_trying(sip_msg_t *msg)
{
    static const str phrase = str_init("Trying");

    if (msg->first_line.u.request.method_value == METHOD_INVITE && host_reply(msg, 100, &phrase) < 0)
        LM_DBG("cannot send the reply 100\n");
}

static int park_arrival(sip_msg_t *msg, sipoauth_worker *worker, uint64_t job, const struct oauth_wait *wait)
{
    uint64_t number;
    int rc = oauth_parked_add(wait->arrival, wait->function, wait->user, &number);

    if (rc < 0)
        return OAUTH_PARK_REFUSED;
    parked.owner = oauth_owner_of(msg);
    parked.number = number;
    if (rc == 0)
        return OAUTH_PARK_DONE; /* another worker has parked another copy at the same moment */
    oauth_park_trying(msg);
    rc = sipoauth_worker_submit(worker, job, oauth_reply_to_tag(msg), number, ARRIVED);
    if (rc != SIPOAUTH_OK) {
        LM_DBG("the job of a request was not taken (%d)\n", rc);
        oauth_parked_drop(number);
        parked.owner.msg = NULL;
        return OAUTH_PARK_REFUSED;
    }
    return OAUTH_PARK_DONE;
}

int oauth_park(sip_msg_t *msg, sipoauth_worker *worker, uint64_t job, const struct oauth_wait *wait)
{
    if (!oauth_io_usable())
        return OAUTH_PARK_REFUSED;
    return wait->arrival != NULL ? park_arrival(msg, worker, job, wait) : host_suspend(msg, worker, job, wait->resume);
}

/* The I/O service gives a request back, with the two numbers that it got. */
void oauth_park_go_on(uint64_t first, uint64_t second)
{
    if (second == ARRIVED)
        oauth_again_run(first);
    else
        host_resume(first, second);
}

/* The script answers by itself, or makes a transaction, although the request waits. It does not go on then, unless the
 * script took so long that it has gone on already (PATIENCE in again.c). */
void oauth_park_taken(const sip_msg_t *msg)
{
    if (!oauth_owns(&parked.owner, msg))
        return;
    parked.owner.msg = NULL;
    LM_DBG("a request that waits was answered by the script\n");
    oauth_parked_drop(parked.number);
}

static void transaction_made(struct cell *cell, int type, struct tmcb_params *params)
{
    (void)cell;
    (void)type;
    oauth_park_taken(params->req);
}

int oauth_park_init(void)
{
    if (oauth_parked_init() < 0 || oauth_again_init() < 0)
        return -1;
    if (oauth_tm.register_tmcb(NULL, NULL, TMCB_REQUEST_IN, transaction_made, NULL, NULL) <= 0) {
        LM_ERR("cannot watch the transactions\n");
        return -1;
    }
    return 0;
}
