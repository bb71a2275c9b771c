/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request that has waited is received again: request_route sees it from the top, as if it had just arrived, and the
 * check finds the answer. This happens in the I/O process, or in the core's async workers where there are any.
 *
 * The core's receive_msg() would run the hooks of the network layer a second time: topoh would decode what is decoded
 * already, siptrace would write a second record. So this file has the part of it that comes after these hooks.
 */
#include <string.h>

#include "core/action.h"
#include "core/async_task.h"
#include "core/cfg/cfg_struct.h"
#include "core/config.h"
#include "core/dset.h"
#include "core/globals.h"
#include "core/kemi.h"
#include "core/mem/mem.h"
#include "core/mem/shm.h"
#include "core/pt.h"
#include "core/receive.h"
#include "core/route.h"
#include "core/script_cb.h"
#include "core/timer.h"

#include "shim.h"

/* The queue of the async workers takes more on every system. If other modules have filled it, this process waits until there
 * is room, as they do, or runs the script itself where async_nonblock is set. */
#define QUEUED_MAX 8

/* So many requests may be put off. Only a sender who plays with copies of his requests has more. */
#define EARLY_MAX 1000

/* Seconds for which a request does not go on that a script still seems to see. A module may have ended a script in an
 * unusual way. */
#define PATIENCE 30

struct task {
    async_task_t core; /* first, because the core frees what it is given */
    uint64_t number;
    unsigned int lane;
};

/* In shared memory: the tasks that no async worker has finished. Those of one Call-ID are in one lane, which they go along
 * one after the other. */
static struct {
    uint32_t all;
    uint32_t lane[OAUTH_LANES];
} *queued = NULL;

/* The request that has waited and that this process's script sees now. */
static const struct oauth_parked *current = NULL;
static struct oauth_owner seen;

int oauth_again_init(void)
{
    queued = shm_malloc(sizeof(*queued));
    if (queued == NULL) {
        LM_ERR("no shared memory to count tasks\n");
        return -1;
    }
    memset(queued, 0, sizeof(*queued));
    return 0;
}

static int is_current(const sip_msg_t *msg)
{
    return current != NULL && oauth_owns(&seen, msg);
}

/* The function by which the request had to wait, without "oauth_", or NULL for a request that has not waited. */
const char *oauth_again_function(const sip_msg_t *msg)
{
    return is_current(msg) ? current->function : NULL;
}

/* The Digest user that oauth_password_grant was given before the request had to wait. */
const struct oauth_digest_user *oauth_again_user(const sip_msg_t *msg)
{
    return is_current(msg) && current->user.ha1.len > 0 ? &current->user : NULL;
}

/* The core has no header for this: runs event_route[core:pre-routing], where there is one. 0: the request goes on. */
int ksr_evrt_pre_routing(sip_msg_t *msg);

/* How many requests are being received, one within the other: an INVITE within its CANCEL. */
static unsigned int depth = 0;

static int parse(sip_msg_t *msg, const struct oauth_arrival *arrival)
{
    static char buffers[2][BUF_SIZE + 1];
    char *buffer = buffers[depth % 2];

    memcpy(buffer, arrival->text, arrival->len + 1u);
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

static void run_script(sip_msg_t *msg)
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

static void receive(const struct oauth_arrival *arrival, void (*handle)(sip_msg_t *msg))
{
    sip_msg_t msg;
    int drop;

    depth++;
    if (parse(&msg, arrival) < 0) {
        LM_BUG("a request that was parsed before cannot be parsed\n");
    } else {
        seen = oauth_owner_of(&msg);
        log_prefix_set(&msg);
        clear_branches();
        ruri_mark_new();
        drop = handle == run_script && ksr_evrt_pre_routing(&msg) != 0;
        msg.rcv.rflags |= RECV_F_INTERNAL;
        if (!drop && exec_pre_script_cb(&msg, REQUEST_CB_TYPE) != 0) {
            handle(&msg);
            exec_post_script_cb(&msg, REQUEST_CB_TYPE);
        }
    }
    ksr_msg_env_reset();
    clear_branches();
    free_sip_msg(&msg);
    depth--;
    log_prefix_set(NULL);
    oauth_forget_message();
}

static void pass(uint64_t number)
{
    struct oauth_parked *parked = oauth_parked_begin(number);

    if (parked == NULL) {
        LM_DBG("a request was cancelled or answered before its check was done\n");
        return;
    }
    current = parked;
    receive(&parked->arrival, run_script);
    current = NULL;
    parked = oauth_parked_end(parked);
    if (parked == NULL)
        return;
    receive(&parked->arrival, run_script);
    oauth_parked_free(parked);
}

static void count(unsigned int lane, int change)
{
    __atomic_fetch_add(&queued->lane[lane], (uint32_t)change, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&queued->all, (uint32_t)change, __ATOMIC_SEQ_CST);
}

static void run_task(void *param)
{
    const struct task *task = param;

    cfg_update(); /* the core does it from 6.1 on */
    pass(task->number);
    count(task->lane, -1);
}

/* Hands the request to an async worker, or returns -1. */
static int hand_over(uint64_t number, unsigned int lane)
{
    struct task *task;

    if (!async_task_workers_active())
        return -1;
    if (__atomic_load_n(&queued->all, __ATOMIC_SEQ_CST) >= (uint32_t)async_task_workers_get() + QUEUED_MAX)
        return -1;
    task = shm_malloc(sizeof(*task));
    if (task == NULL)
        return -1;
    task->core.exec = run_task;
    task->core.param = task;
    task->number = number;
    task->lane = lane;
    count(lane, 1);
    if (async_task_push(&task->core) == 0)
        return 0;
    count(lane, -1);
    shm_free(task);
    return -1;
}

/*
 * Requests whose answer came before a script had done with them, or with the one before in their lane, in the order in which
 * they came. This process looks at them again a moment later.
 */
static struct early {
    struct early *next;
    uint64_t number;
    unsigned int lane;
    unsigned int since; /* in the core's ticks, which are seconds */
} *early = NULL;

static int lane_is_busy(unsigned int lane)
{
    return __atomic_load_n(&queued->lane[lane], __ATOMIC_SEQ_CST) > 0;
}

static int lane_has_early(unsigned int lane)
{
    const struct early *one = early;

    while (one != NULL && one->lane != lane)
        one = one->next;
    return one != NULL;
}

static int postpone(uint64_t number, unsigned int lane)
{
    struct early **end = &early, *one;
    unsigned int count = 0;

    for (; *end != NULL; end = &(*end)->next)
        count++;
    one = count < EARLY_MAX ? pkg_malloc(sizeof(*one)) : NULL;
    if (one == NULL)
        return -1;
    one->next = NULL;
    one->number = number;
    one->lane = lane;
    one->since = get_ticks();
    *end = one;
    return 0;
}

static void go_on(uint64_t number, unsigned int lane)
{
    if (hand_over(number, lane) < 0)
        pass(number);
}

/* What the request has waited for is there. */
void oauth_again_run(uint64_t number)
{
    unsigned int lane;
    int too_early = oauth_parked_is_seen(number, &lane) || lane_is_busy(lane) || lane_has_early(lane);

    if (!too_early || postpone(number, lane) < 0)
        go_on(number, lane);
}

/* Lets those go on that came too early. Returns true if some are left. */
int oauth_again_look(void)
{
    /* the last look at which somebody in this lane had to stay, and so all behind him */
    static uint32_t look = 0, stays[OAUTH_LANES];
    struct early **link = &early, *one;
    unsigned int lane;

    for (look++; (one = *link) != NULL;) {
        if (stays[one->lane] == look
                || ((oauth_parked_is_seen(one->number, &lane) || lane_is_busy(one->lane))
                        && get_ticks() - one->since <= PATIENCE)) {
            stays[one->lane] = look;
            link = &one->next;
            continue;
        }
        *link = one->next;
        go_on(one->number, one->lane);
        pkg_free(one);
    }
    return early != NULL;
}

static str cancel_tag;
static int was_cancelled;

static void answer_cancelled(sip_msg_t *msg)
{
    static str phrase = str_init("Request Terminated");
    static char tag[128];
    str found = STR_NULL;
    /* a transaction, so that tm repeats the answer until the phone acknowledges it */
    int rc = oauth_tm.t_newtran(msg);

    if (rc == 0)
        return; /* a copy of it has got through, and the call goes on */
    was_cancelled = 1;
    if (rc < 0) {
        oauth_sl.freply(msg, 487, &phrase);
        return;
    }
    if (oauth_tm.t_get_reply_totag(msg, &found) > 0 && found.len <= (int)sizeof(tag)) {
        memcpy(tag, found.s, (size_t)found.len);
        cancel_tag.s = tag;
        cancel_tag.len = found.len;
    }
    if (oauth_tm.t_reply(msg, 487, phrase.s) < 0)
        LM_ERR("cannot answer a request that was cancelled\n");
}

/*
 * The phone gives up while its INVITE waits (RFC 3261 section 9.2). The script never sees this INVITE again. Its answer
 * and that to the CANCEL have the same To tag. Returns 0 if the script must see the CANCEL.
 */
static int answer_cancel(sip_msg_t *cancel, struct oauth_parked *invite)
{
    static str phrase = str_init("canceling");

    cancel_tag = (str)STR_NULL;
    was_cancelled = 0;
    current = invite;
    receive(&invite->arrival, answer_cancelled);
    current = NULL;
    oauth_parked_free(invite);
    log_prefix_set(cancel);
    if (!was_cancelled)
        return 0;
    if (oauth_sl.dreply(cancel, 200, &phrase, &cancel_tag) < 0)
        LM_ERR("cannot answer a CANCEL\n");
    return 1;
}

/* Before each script. Returns 0 for a request that the script must not see: a copy of one that waits, or its CANCEL. */
static int arrived(sip_msg_t *msg, unsigned int flags, void *param)
{
    const struct oauth_arrival *arrival;
    struct oauth_parked *invite;
    int goes_on;

    (void)flags;
    (void)param;
    if (current != NULL) {
        oauth_arrival_forget();
        return 1;
    }
    if (oauth_arrival_keep(msg) < 0)
        return 1;
    arrival = oauth_arrival_of(msg);
    if (arrival->method == METHOD_CANCEL) {
        if (!oauth_parked_cancel(arrival, &invite))
            return 1;
        oauth_arrival_forget();
        return invite != NULL && !answer_cancel(msg, invite);
    }
    if (arrival->method == METHOD_ACK || !oauth_parked_has(arrival, &goes_on))
        return 1;
    oauth_arrival_forget();
    /* the script may have answered already */
    if (!goes_on)
        oauth_park_trying(msg);
    return 0;
}

static int has_seen(sip_msg_t *msg, unsigned int flags, void *param)
{
    (void)flags;
    (void)param;
    if (oauth_arrival_of(msg) != NULL)
        oauth_arrival_forget();
    oauth_forget_message();
    return 1;
}

/* Called while the configuration is read, so that this callback is the first one, which is called last: after tmx's,
 * which forgets what t_precheck_trans() has noted. */
int oauth_again_register_first(void)
{
    if (register_script_cb(has_seen, POST_SCRIPT_CB | REQUEST_CB, NULL) < 0) {
        LM_ERR("cannot register the callback that runs after each script\n");
        return -1;
    }
    return 0;
}

int oauth_again_register(void)
{
    if (register_script_cb(arrived, PRE_SCRIPT_CB | REQUEST_CB, NULL) < 0) {
        LM_ERR("cannot register the callback that sees each request\n");
        return -1;
    }
    return 0;
}
