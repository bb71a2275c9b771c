/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a suspended transaction goes on: a route block, or a function of the KEMI script.
 *
 * The library carries two numbers of this module to the I/O process and back. One is the transaction, the other the
 * place where the request goes on. For a route block that is its index, which is equal in all processes. For a KEMI
 * function it is an index into a table in shared memory, so that no pointer travels and nothing leaks when a job is
 * lost. A script names only a handful of functions, so the table never shrinks.
 */
#include <string.h>

#include "core/dset.h"

#include "module.h"

#define CALLBACKS 64
#define CALLBACK_SIZE 128
#define IS_CALLBACK 1u

struct callback {
    int len;
    char name[CALLBACK_SIZE];
};

struct callback_table {
    gen_lock_t lock;
    unsigned int count;
    struct callback entry[CALLBACKS];
};

static struct callback_table *table = NULL;
static int running = 0;

int oauth_resume_init(void)
{
    table = shm_malloc(sizeof(*table));
    if (table == NULL) {
        LM_ERR("no shared memory for the names of resume functions\n");
        return -1;
    }
    memset(table, 0, sizeof(*table));
    if (lock_init(&table->lock) == NULL) {
        LM_ERR("cannot make a lock for the names of resume functions\n");
        return -1;
    }
    return 0;
}

static int callback_index(const str *name)
{
    unsigned int i;
    int found = -1;

    if (name->s == NULL || name->len <= 0 || name->len > CALLBACK_SIZE) {
        LM_ERR("the name of a resume function must have 1 to %d characters\n", CALLBACK_SIZE);
        return -1;
    }
    lock_get(&table->lock);
    for (i = 0; i < table->count && found < 0; i++) {
        if (table->entry[i].len == name->len && memcmp(table->entry[i].name, name->s, name->len) == 0)
            found = (int)i;
    }
    if (found < 0 && table->count < CALLBACKS) {
        memcpy(table->entry[table->count].name, name->s, name->len);
        table->entry[table->count].len = name->len;
        found = (int)table->count++;
    }
    lock_release(&table->lock);
    if (found < 0)
        LM_ERR("more than %d different resume functions: use the same few names\n", CALLBACKS);
    return found;
}

/* Index of a defined route block, or -1. */
int oauth_route_find(const char *name)
{
    int index = route_lookup(&main_rt, (char *)name);

    return index > 0 && index < main_rt.entries && main_rt.rlist[index] != NULL ? index : -1;
}

/* -1 when the script names nowhere to go on. */
static int pack(const struct oauth_resume *resume, uint64_t *cookie)
{
    int index;

    if (resume->callback == NULL || resume->callback->len <= 0) {
        if (resume->route < 0)
            return -1;
        *cookie = (uint64_t)(unsigned int)resume->route << 1;
        return 0;
    }
    index = callback_index(resume->callback);
    if (index < 0)
        return -1;
    *cookie = (uint64_t)(unsigned int)index << 1 | IS_CALLBACK;
    return 0;
}

/* A request is received again wherever it can be: a script then treats it like any other. */
int host_may_receive_again(const struct oauth_resume *resume)
{
    (void)resume;
    return 1;
}

int host_may_suspend(const struct oauth_resume *resume)
{
    uint64_t cookie;

    return is_route_type(REQUEST_ROUTE | FAILURE_ROUTE) && pack(resume, &cookie) == 0;
}

static void unsuspend(unsigned int hash, unsigned int label)
{
    struct cell *cell;

    if (oauth_tm.t_cancel_suspend(hash, label) < 0)
        LM_ERR("cannot take back the suspension of transaction %u:%u\n", hash, label);
    /* Kamailio before 6.0 leaves this flag set and would drop the replies if the request is relayed after all */
    cell = oauth_transaction();
    if (cell != NULL)
        cell->flags &= ~T_ASYNC_SUSPENDED;
}

int host_suspend(sip_msg_t *msg, sipoauth_worker *worker, uint64_t job, const struct oauth_resume *resume)
{
    unsigned int hash = 0, label = 0;
    uint64_t cookie;
    int rc;

    if (pack(resume, &cookie) < 0)
        return OAUTH_PARK_REFUSED;
    if (oauth_transaction() == NULL) {
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
        unsuspend(hash, label);
        return OAUTH_PARK_REFUSED;
    }
    return OAUTH_PARK_DONE;
}

/* True if a transaction knows this request, which tm has then handled. */
int host_is_repeated(sip_msg_t *msg)
{
    return oauth_tmx.t_check_trans(msg) == 0;
}

/* True while a suspended transaction goes on. */
int host_resumes(const sip_msg_t *msg)
{
    (void)msg;
    return running;
}

/* Runs the script's continuation for a suspended transaction, in the main thread of the I/O process. */
void host_resume(uint64_t transaction, uint64_t cookie)
{
    static str event = str_init("auth_oauth:resume");
    unsigned int hash = (unsigned int)(transaction >> 32);
    unsigned int label = (unsigned int)(transaction & 0xffffffffu);
    uint64_t index = cookie >> 1;
    str name;
    int rc;

    if (cookie & IS_CALLBACK ? index >= table->count : index >= (uint64_t)main_rt.entries || main_rt.rlist[index] == NULL) {
        LM_BUG("place %llu, where a transaction goes on, is not known\n", (unsigned long long)cookie);
        return;
    }
    clear_branches(); /* those of the last request of this process */
    running = 1; /* a check in the continuation must come to a decision */
    if (cookie & IS_CALLBACK) {
        name.s = table->entry[index].name;
        name.len = table->entry[index].len;
        rc = oauth_tm.t_continue_cb(hash, label, &name, &event);
    } else {
        rc = oauth_tm.t_continue(hash, label, main_rt.rlist[index]);
    }
    running = 0;
    oauth_forget_message();
    if (rc < 0)
        LM_DBG("transaction %u:%u was gone before its check was done\n", hash, label);
}
