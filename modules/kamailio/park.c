/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parks a request while the I/O process fetches keys: creates the transaction, suspends it and queues the job. The
 * library has said before that there is room, so a request that it refuses costs no transaction. This file never waits.
 * If a step fails, the message stays an ordinary one of this worker.
 */
#include "core/route.h"

#include "shim.h"

int oauth_park_possible(const sip_msg_t *msg)
{
    /* ACK has no transaction of its own, CANCEL must be answered at once (RFC 3261 9.2, 17.2.1) */
    if (msg->first_line.u.request.method_value == METHOD_ACK || msg->first_line.u.request.method_value == METHOD_CANCEL)
        return 0;
    return is_route_type(REQUEST_ROUTE | FAILURE_ROUTE) != 0;
}

/* A retransmission of a request that waits or was answered is not judged again, because the request may be the last one
 * that its source was allowed. Scripts that call t_check_trans() first never get here with a retransmission. */
int oauth_park_absorbs(sip_msg_t *msg)
{
    tm_cell_t *cell = oauth_tm.t_gett();

    if (cell != NULL && cell != T_UNDEFINED)
        return 0;
    return oauth_tmx.t_check_trans(msg) == 0;
}

static void unpark(unsigned int hash, unsigned int label)
{
    tm_cell_t *cell;

    if (oauth_tm.t_cancel_suspend(hash, label) < 0)
        LM_ERR("cannot take back the suspension of transaction %u:%u\n", hash, label);
    /* Kamailio before 6.0 leaves this flag set and would drop the replies if the request is relayed after all */
    cell = oauth_tm.t_gett();
    if (cell != NULL && cell != T_UNDEFINED)
        cell->flags &= ~T_ASYNC_SUSPENDED;
}

int oauth_park(sip_msg_t *msg, sipoauth_worker *worker, uint64_t job, uint64_t cookie)
{
    unsigned int hash = 0, label = 0;
    tm_cell_t *cell = oauth_tm.t_gett();
    int rc;

    if (!oauth_io_usable())
        return OAUTH_PARK_REFUSED;
    if (cell == NULL || cell == T_UNDEFINED) {
        rc = oauth_tm.t_newtran(msg);
        if (rc == 0)
            return OAUTH_PARK_DONE; /* a retransmission: the first copy is parked, and tm has handled this one */
        if (rc < 0) {
            LM_ERR("cannot create a transaction (%d), the request is not parked\n", rc);
            return OAUTH_PARK_REFUSED;
        }
    }
    rc = oauth_tm.t_suspend(msg, &hash, &label);
    if (rc > 0)
        return OAUTH_PARK_DONE; /* the request was cancelled meanwhile, and tm has answered */
    if (rc < 0) {
        LM_ERR("cannot suspend the transaction (%d), the request is not parked\n", rc);
        return OAUTH_PARK_REFUSED;
    }
    /* the transaction answers now, and its To tag differs from that of a stateless answer */
    rc = sipoauth_worker_submit(worker, job, oauth_reply_to_tag(msg), (uint64_t)hash << 32 | label, cookie);
    if (rc != SIPOAUTH_OK) {
        LM_DBG("the job of transaction %u:%u was not taken (%d)\n", hash, label, rc);
        unpark(hash, label);
        return OAUTH_PARK_REFUSED;
    }
    return OAUTH_PARK_DONE;
}
