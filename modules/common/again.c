/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request that has waited is received again: the script sees it from the top, as if it had just arrived, and the
 * check finds the answer. Which process runs the script is the host's decision.
 */
#include <string.h>

#include "shim.h"

/* So many requests may be put off, whose answer is there, but that cannot go on yet. */
#define EARLY_MAX 100000

/* Seconds for which a request does not go on that a script still seems to see. A module may have ended a script in an
 * unusual way. */
#define PATIENCE 30

/* In shared memory: the tasks that no other process has finished. Those of one Call-ID are in one lane, which they go along
 * one after the other. */
static struct {
    uint32_t all;
    uint32_t lane[OAUTH_LANES];
} *unfinished = NULL;

/* The request that has waited and that this process's script sees now. */
static const struct oauth_parked *current = NULL;
static struct oauth_owner seen;

int oauth_again_init(void)
{
    unfinished = shm_malloc(sizeof(*unfinished));
    if (unfinished == NULL) {
        LM_ERR("no shared memory to count tasks\n");
        return -1;
    }
    memset(unfinished, 0, sizeof(*unfinished));
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

/* This is the message now, whose script begins. */
void oauth_again_begins(const sip_msg_t *msg)
{
    seen = oauth_owner_of(msg);
}

static void receive(const struct oauth_arrival *arrival, oauth_handle_f handle)
{
    /* one request may be received within the other: an INVITE within its CANCEL */
    static char buffers[2][BUF_SIZE + 1];
    static unsigned int depth = 0;
    char *buffer = buffers[depth++ % 2];

    memcpy(buffer, arrival->text, arrival->len + 1u);
    host_receive(buffer, arrival, handle);
    depth--;
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
    receive(&parked->arrival, host_run_script);
    current = NULL;
    parked = oauth_parked_end(parked);
    if (parked == NULL)
        return;
    receive(&parked->arrival, host_run_script);
    oauth_parked_free(parked);
}

static void count(unsigned int lane, int change)
{
    __atomic_fetch_add(&unfinished->lane[lane], (uint32_t)change, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&unfinished->all, (uint32_t)change, __ATOMIC_SEQ_CST);
}

/* In the process that the host has handed it to. */
void oauth_again_run_task(const struct oauth_task *task)
{
    pass(task->number);
    count(task->lane, -1);
}

/* Hands the request to another process, or returns -1. */
static int hand_over(uint64_t number, unsigned int lane)
{
    const struct oauth_task task = {number, lane};

    count(lane, 1); /* it may be finished before the next line */
    if (host_hand_over(&task, __atomic_load_n(&unfinished->all, __ATOMIC_SEQ_CST) - 1) == 0)
        return 0;
    count(lane, -1);
    return -1;
}

/*
 * Requests whose answer came before a script had done with them, or with the one before in their lane, or for which no
 * process has time, in the order in which they came. This process looks at them again a moment later.
 */
struct early {
    struct early *next;
    uint64_t number;
    unsigned int lane;
    unsigned int since; /* in the core's ticks, which are seconds */
};
static struct early *early = NULL, **early_end = &early;
static unsigned int early_count = 0, early_of_lane[OAUTH_LANES];

static int lane_is_busy(unsigned int lane)
{
    return __atomic_load_n(&unfinished->lane[lane], __ATOMIC_SEQ_CST) > 0;
}

static int postpone(uint64_t number, unsigned int lane)
{
    struct early *one = early_count < EARLY_MAX ? pkg_malloc(sizeof(*one)) : NULL;

    if (one == NULL)
        return -1;
    *one = (struct early){NULL, number, lane, get_ticks()};
    *early_end = one;
    early_end = &one->next;
    early_count++;
    early_of_lane[lane]++;
    return 0;
}

/* Returns -1 if it cannot go on, because no process has time. */
static int go_on(uint64_t number, unsigned int lane)
{
    if (hand_over(number, lane) == 0)
        return 0;
    if (!host_runs_scripts_itself())
        return -1;
    pass(number);
    return 0;
}

/* What the request has waited for is there. */
void oauth_again_run(uint64_t number)
{
    unsigned int lane;
    int is_first = !oauth_parked_is_seen(number, &lane) && !lane_is_busy(lane) && early_of_lane[lane] == 0;

    if (is_first && go_on(number, lane) == 0)
        return;
    if (postpone(number, lane) < 0 && (is_first || go_on(number, lane) < 0))
        LM_ERR("no memory for a request that must be put off: it goes on when its time is over\n");
}

static int still_must_stay(const struct early *one)
{
    unsigned int lane;

    return (oauth_parked_is_seen(one->number, &lane) || lane_is_busy(one->lane)) && get_ticks() - one->since <= PATIENCE;
}

/* Lets those go on that came too early. Returns true if some are left. */
int oauth_again_look(void)
{
    /* the last look at which somebody in this lane had to stay, and so all behind him */
    static uint32_t look = 0, stays[OAUTH_LANES];
    struct early **link = &early, *one;

    for (look++; (one = *link) != NULL;) {
        if (stays[one->lane] == look || still_must_stay(one) || go_on(one->number, one->lane) < 0) {
            stays[one->lane] = look;
            link = &one->next;
            continue;
        }
        *link = one->next;
        early_of_lane[one->lane]--;
        early_count--;
        pkg_free(one);
    }
    early_end = link;
    return early != NULL;
}

static str cancel_tag;
static int was_cancelled;

static void answer_cancelled(sip_msg_t *msg)
{
    was_cancelled = host_answer_cancelled(msg, &cancel_tag);
}

/*
 * The phone gives up while its INVITE waits (RFC 3261 section 9.2). The script never sees this INVITE again. Its answer
 * and that to the CANCEL have the same To tag where the host can do that. Returns 0 if the script must see the CANCEL.
 */
static int answer_cancel(sip_msg_t *cancel, struct oauth_parked *invite)
{
    cancel_tag = (str){NULL, 0};
    was_cancelled = 0;
    current = invite;
    receive(&invite->arrival, answer_cancelled);
    current = NULL;
    oauth_parked_free(invite);
    if (!was_cancelled)
        return 0;
    if (host_answer_cancel(cancel, &cancel_tag) < 0)
        LM_ERR("cannot answer a CANCEL\n");
    return 1;
}

/* Before each script. Returns 0 for a request that the script must not see: a copy of one that waits, or its CANCEL. */
int oauth_again_arrived(sip_msg_t *msg)
{
    const struct oauth_arrival *arrival;
    struct oauth_parked *invite;
    int goes_on;

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

/* After each script. */
void oauth_again_seen(const sip_msg_t *msg)
{
    if (oauth_arrival_of(msg) != NULL)
        oauth_arrival_forget();
    oauth_forget_message();
}
