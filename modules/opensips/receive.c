/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receives a request again that has waited, in one of the server's own workers.
 *
 * The core's receive_msg() would run the hooks of the network layer a second time, and topology_hiding would decode what is
 * decoded already. So this file has the part of it that comes after these hooks.
 */
#include "module.h"

static int parse(sip_msg_t *msg, char *buffer, const struct oauth_arrival *arrival)
{
    via_cnt = 0;
    msg->buf = buffer;
    msg->len = arrival->len;
    msg->rcv = arrival->rcv;
    msg->id = get_next_msg_no();
    msg->ruri_q = Q_UNSPECIFIED;
    return parse_msg_opt(buffer, msg->len, msg, 0) == 0 && msg->first_line.type == SIP_REQUEST && msg->via1 != NULL
            && msg->via1->error == PARSE_OK ? 0 : -1;
}

void host_run_script(sip_msg_t *msg)
{
    (void)run_top_route(sroutes->request[DEFAULT_RT], msg);
}

/* A script that calls async() goes on later, and so do the callbacks then. async() has taken the context. */
static void run(sip_msg_t *msg, oauth_handle_f handle)
{
    int rc = exec_pre_req_cb(msg);

    if (rc == SCB_DROP_MSG)
        return;
    if (rc & SCB_RUN_TOP_ROUTE)
        handle(msg);
    if ((rc & SCB_RUN_POST_CBS) && current_processing_ctx != NULL)
        exec_post_req_cb(msg);
}

void host_receive(char *buffer, const struct oauth_arrival *arrival, oauth_handle_f handle)
{
    context_p context = context_alloc(CONTEXT_GLOBAL), context_before = current_processing_ctx;
    HOST_CONST struct socket_info *socket_before = bind_address;
    int route_before = route_type;
    sip_msg_t *msg = pkg_malloc(sizeof(*msg));

    if (msg != NULL)
        memset(msg, 0, sizeof(*msg)); /* it is freed below, even if nothing was put into it */
    if (context == NULL || msg == NULL) {
        LM_ERR("no private memory for a request that has waited: it is lost\n");
    } else if (parse(msg, buffer, arrival) < 0) {
        LM_ERR("a request that has waited cannot be parsed again, perhaps for lack of private memory: it is lost\n");
    } else {
        memset(context, 0, context_size(CONTEXT_GLOBAL));
        set_global_context(context);
        set_route_type(REQUEST_ROUTE);
        bind_address = arrival->rcv.bind_address;
        oauth_again_begins(msg);
        run(msg, handle);
        if (current_processing_ctx == NULL)
            context = NULL;
        else
            context_destroy(CONTEXT_GLOBAL, context);
        reset_avps();
    }
    if (msg != NULL) {
        free_sip_msg(msg);
        pkg_free(msg);
    }
    if (context != NULL)
        context_free(context);
    set_global_context(context_before);
    set_route_type(route_before);
    bind_address = socket_before;
}

static void run_task(int sender, void *parameter)
{
    struct oauth_task *task = parameter;

    (void)sender;
    oauth_workers_received();
    oauth_again_run_task(task);
    shm_free(task);
}

/* Hands the request to the worker with the least to do, or returns -1. */
int host_hand_over(const struct oauth_task *given, uint32_t unfinished)
{
    int process = oauth_workers_idlest();
    struct oauth_task *task;

    (void)unfinished;
    if (process < 0)
        return -1;
    task = shm_malloc(sizeof(*task));
    if (task == NULL)
        return -1;
    *task = *given;
    if (oauth_workers_send(process, run_task, task) == 0)
        return 0;
    shm_free(task);
    return -1;
}

/* The I/O process has not what the modules of a script need. */
int host_runs_scripts_itself(void)
{
    return 0;
}

/* Returns 0 if a copy of the INVITE has got through, so that the call goes on. */
int host_answer_cancelled(sip_msg_t *invite, str *tag)
{
    static const str phrase = str_init("Request Terminated");
    /* a transaction, so that tm repeats the answer until the phone acknowledges it */
    int rc = oauth_tm.t_newtran(invite);

    (void)tag;
    if (rc == 0)
        return 0;
    if (host_reply(invite, 487, &phrase) < 0)
        LM_ERR("cannot answer a request that was cancelled\n");
    return 1;
}

/* OpenSIPS makes the To tag of this answer itself. */
int host_answer_cancel(sip_msg_t *cancel, str *tag)
{
    static const str phrase = str_init("canceling");

    (void)tag;
    return host_reply(cancel, 200, &phrase);
}
