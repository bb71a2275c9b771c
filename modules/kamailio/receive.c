/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receives a request again that has waited, in this process or in one of the core's async workers.
 *
 * The core's receive_msg() would run the hooks of the network layer a second time: topoh would decode what is decoded
 * already, siptrace would write a second record. So this file has the part of it that comes after these hooks.
 */
#include <string.h>

#include "core/action.h"
#include "core/async_task.h"
#include "core/cfg/cfg_struct.h"
#include "core/dset.h"
#include "core/globals.h"
#include "core/kemi.h"
#include "core/receive.h"
#include "core/script_cb.h"

#include "module.h"

/* The queue of the async workers takes more on every system. If other modules have filled it, this process waits until there
 * is room, as they do, or runs the script itself where async_nonblock is set. */
#define QUEUED_MAX 8

struct task {
    async_task_t core; /* first, because the core frees what it is given */
    struct oauth_task task;
};

/* The core has no header for this: runs event_route[core:pre-routing], where there is one. 0: the request goes on. */
int ksr_evrt_pre_routing(sip_msg_t *msg);

static int parse(sip_msg_t *msg, char *buffer, const struct oauth_arrival *arrival)
{
    memset(msg, 0, sizeof(*msg));
    via_cnt = 0;
    msg->buf = buffer;
    msg->len = arrival->len;
    msg->rcv = arrival->rcv;
    msg->id = inc_msg_no();
    msg->pid = my_pid();
    msg->set_global_address = default_global_address;
    msg->set_global_port = default_global_port;
    if (sr_msg_time == 1)
        msg_set_time(msg);
    if (parse_msg(buffer, msg->len, msg) != 0
            || parse_headers(msg, HDR_FROM_F | HDR_TO_F | HDR_CALLID_F | HDR_CSEQ_F, 0) < 0)
        return -1;
    return msg->via1 != NULL && msg->callid != NULL && msg->cseq != NULL && msg->from != NULL && msg->to != NULL ? 0 : -1;
}

void host_run_script(sip_msg_t *msg)
{
    sr_kemi_eng_t *engine;

    set_route_type(REQUEST_ROUTE);
    if (main_rt.rlist[DEFAULT_RT] != NULL) {
        run_top_route(main_rt.rlist[DEFAULT_RT], msg, NULL);
        return;
    }
    engine = sr_kemi_eng_get();
    if (engine != NULL)
        sr_kemi_route(engine, msg, REQUEST_ROUTE, NULL, NULL);
}

void host_receive(char *buffer, const struct oauth_arrival *arrival, oauth_handle_f handle)
{
    sip_msg_t msg;
    int drop;

    if (parse(&msg, buffer, arrival) < 0) {
        LM_BUG("a request that was parsed before cannot be parsed\n");
    } else {
        oauth_again_begins(&msg);
        log_prefix_set(&msg);
        clear_branches();
        ruri_mark_new();
        drop = handle == host_run_script && ksr_evrt_pre_routing(&msg) != 0;
        msg.rcv.rflags |= RECV_F_INTERNAL;
        if (!drop && exec_pre_script_cb(&msg, REQUEST_CB_TYPE) != 0) {
            handle(&msg);
            exec_post_script_cb(&msg, REQUEST_CB_TYPE);
        }
    }
    ksr_msg_env_reset();
    clear_branches();
    free_sip_msg(&msg);
    log_prefix_set(NULL);
}

static void run_task(void *param)
{
    const struct task *task = param;

    cfg_update(); /* the core does it from 6.1 on */
    oauth_again_run_task(&task->task);
}

/* Hands the request to an async worker, or returns -1. */
int host_hand_over(const struct oauth_task *given, uint32_t unfinished)
{
    struct task *task;

    if (!async_task_workers_active() || unfinished >= (uint32_t)async_task_workers_get() + QUEUED_MAX)
        return -1;
    task = shm_malloc(sizeof(*task));
    if (task == NULL)
        return -1;
    task->core.exec = run_task;
    task->core.param = task;
    task->task = *given;
    if (async_task_push(&task->core) == 0)
        return 0;
    shm_free(task);
    return -1;
}

/* The I/O process has the rank of an extra worker. */
int host_runs_scripts_itself(void)
{
    return 1;
}

/* Returns 0 if a copy of the INVITE has got through, so that the call goes on. */
int host_answer_cancelled(sip_msg_t *invite, str *cancel_tag)
{
    static str phrase = str_init("Request Terminated");
    static char tag[128];
    str found = STR_NULL;
    /* a transaction, so that tm repeats the answer until the phone acknowledges it */
    int rc = oauth_tm.t_newtran(invite);

    if (rc == 0)
        return 0;
    if (rc < 0) {
        oauth_sl.freply(invite, 487, &phrase);
        return 1;
    }
    if (oauth_tm.t_get_reply_totag(invite, &found) > 0 && found.len <= (int)sizeof(tag)) {
        memcpy(tag, found.s, (size_t)found.len);
        cancel_tag->s = tag;
        cancel_tag->len = found.len;
    }
    if (oauth_tm.t_reply(invite, 487, phrase.s) < 0)
        LM_ERR("cannot answer a request that was cancelled\n");
    return 1;
}

int host_answer_cancel(sip_msg_t *cancel, str *tag)
{
    static str phrase = str_init("canceling");

    return oauth_sl.dreply(cancel, 200, &phrase, tag);
}
