/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where Kamailio calls this module: before and after scripts, and before a stateless reply leaves.
 */
#include "core/receive.h"
#include "core/script_cb.h"

#include "module.h"

static int sip_worker = 0;

/* True if requests wait while this process does something else. */
int oauth_is_sip_worker(void)
{
    return sip_worker;
}

void oauth_note_process(int rank)
{
    sip_worker = rank > 0;
}

/* The rank does not say this, because a process that runs scripts for others has the rank of an RPC process. */
static int begins(sip_msg_t *msg, unsigned int flags, void *param)
{
    (void)msg;
    (void)flags;
    (void)param;
    sip_worker = 1;
    oauth_forget_message();
    return 1;
}

static int forget(sip_msg_t *msg, unsigned int flags, void *param)
{
    (void)msg;
    (void)flags;
    (void)param;
    oauth_forget_message();
    return 1;
}

static int arrived(sip_msg_t *msg, unsigned int flags, void *param)
{
    int goes_on = oauth_again_arrived(msg);

    (void)flags;
    (void)param;
    /* its INVITE may have been received within it */
    if (goes_on && msg->first_line.u.request.method_value == METHOD_CANCEL)
        log_prefix_set(msg);
    return goes_on;
}

static int seen(sip_msg_t *msg, unsigned int flags, void *param)
{
    (void)flags;
    (void)param;
    oauth_again_seen(msg);
    return 1;
}

/* Called while the configuration is read, so that this callback is the first one, which is called last: after tmx's,
 * which forgets what t_precheck_trans() has noted. */
int oauth_hooks_register_first(void)
{
    if (register_script_cb(seen, POST_SCRIPT_CB | REQUEST_CB, NULL) < 0) {
        LM_ERR("cannot register the callback that runs after each script\n");
        return -1;
    }
    return 0;
}

/* Calls this function with each reply that leaves without a transaction, before it leaves. */
int oauth_watch_stateless(sl_cbf_f ready)
{
    sl_cbelem_t hook = {SLCB_REPLY_READY, ready, NULL, NULL};

    if (oauth_sl.register_cb(&hook) < 0) {
        LM_ERR("cannot watch the stateless replies\n");
        return -1;
    }
    return 0;
}

static void stateless_reply(sl_cbp_t *reply)
{
    if (reply->code >= 200)
        oauth_park_taken(reply->req);
}

int oauth_hooks_register(void)
{
    if (register_script_cb(begins, PRE_SCRIPT_CB | REQUEST_CB | ONREPLY_CB | FAILURE_CB, NULL) < 0
            || register_script_cb(arrived, PRE_SCRIPT_CB | REQUEST_CB, NULL) < 0
            || register_script_cb(forget, POST_SCRIPT_CB | ONREPLY_CB, NULL) < 0) {
        LM_ERR("cannot register the callbacks that run before and after scripts\n");
        return -1;
    }
    return oauth_watch_stateless(stateless_reply);
}
