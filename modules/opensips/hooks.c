/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where OpenSIPS calls this module: before and after scripts, and before a stateless reply leaves.
 */
#include "module.h"

/* Before the callbacks of other modules and after them, so that they never see a request that the script does not see. */
#define FIRST 1000
#define LAST (-1000)

static int begins(sip_msg_t *msg, void *param)
{
    (void)param;
    oauth_forget_message();
    oauth_connection_note(msg);
    return oauth_again_arrived(msg) ? SCB_RUN_ALL : SCB_DROP_MSG;
}

static int seen(sip_msg_t *msg, void *param)
{
    (void)param;
    oauth_again_seen(msg);
    return SCB_RUN_ALL;
}

static int forget(sip_msg_t *msg, void *param)
{
    (void)msg;
    (void)param;
    oauth_forget_message();
    return SCB_RUN_ALL;
}

static void stateless_reply(sip_msg_t *request, str *reply, int code, HOST_CONST union sockaddr_union *to,
        HOST_CONST struct socket_info *from, int proto)
{
    (void)reply;
    (void)to;
    (void)from;
    (void)proto;
    if (code >= 200)
        oauth_park_taken(request);
}

int oauth_hooks_register(void)
{
    if (__register_script_cb(begins, PRE_SCRIPT_CB | REQ_TYPE_CB, NULL, FIRST) < 0
            || __register_script_cb(seen, POST_SCRIPT_CB | REQ_TYPE_CB, NULL, LAST) < 0
            || __register_script_cb(forget, PRE_SCRIPT_CB | RPL_TYPE_CB, NULL, FIRST) < 0
            || __register_script_cb(forget, POST_SCRIPT_CB | RPL_TYPE_CB, NULL, LAST) < 0) {
        LM_ERR("cannot register the callbacks that run before and after scripts\n");
        return -1;
    }
    if (register_slcb(SLCB_REPLY_OUT, 0, stateless_reply) < 0) {
        LM_ERR("cannot watch the stateless replies\n");
        return -1;
    }
    return 0;
}
