/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tokens of a phone that holds them itself go into the 2xx to its REGISTER (sip-oauth section 4.3), and into no
 * other answer. When a check is accepted, the script's answer is not known yet: save() may refuse the Contacts, or the
 * next hop may be silent. So the tokens are added to the coming answer. When sl or tm call with an answer that is not a
 * 2xx, the tokens are removed from it. tm does not call for its own provisional answers, so it cannot send any before
 * the final one.
 *
 * If a script reads $oauth(token_response), it answers with the tokens itself, so nothing is added here.
 */
#define _GNU_SOURCE /* memmem */
#include <string.h>

#include "core/data_lump_rpl.h"
#include "core/forward.h"
#include "core/mem/mem.h"
#include "core/mem/shm.h"

#include "module.h"

#define TYPE "Content-Type: application/json\r\n"
#define LENGTH "\r\nContent-Length: "
#define HEAD_END "\r\n\r\n"
#define LEN(text) (sizeof(text) - 1)

/*
 * In shared memory, owned by the transaction. tm sends only if there is a socket. Without one, no answer leaves before
 * this file has checked it.
 */
struct held {
    struct socket_info *socket; /* taken from the transaction */
    int stripped;               /* its final answer had tokens and is sent from here */
};

/* What was added to the answer to the message that this process is working on. */
static struct {
    struct oauth_owner owner;
    struct lump_rpl *type;
    struct lump_rpl *body; /* NULL: nothing */
    struct cell *cell;     /* its transaction, if there is one */
    struct held *held;
} own;

/* The tokens that the script has read. */
static struct oauth_secret shown;

void oauth_tokens_forget(void)
{
    memset(&own, 0, sizeof(own));
    oauth_secret_wipe(&shown);
}

static int is_own(const sip_msg_t *msg)
{
    return own.body != NULL && oauth_owns(&own.owner, msg);
}

/* Removes the tokens from a reply, if it has any. Returns its new length. */
static size_t without_tokens(char *reply, size_t len)
{
    char *end = memmem(reply, len, HEAD_END, LEN(HEAD_END)), *type, *digit;
    size_t head;

    if (end == NULL)
        return len;
    head = (size_t)(end - reply) + LEN(HEAD_END);
    type = memmem(reply, head, "\r\n" TYPE, LEN("\r\n" TYPE));
    digit = memmem(reply, head, LENGTH, LEN(LENGTH));
    if (type == NULL || digit == NULL)
        return len;
    explicit_bzero(reply + head, len - head);
    for (digit += LEN(LENGTH); digit[1] >= '0' && digit[1] <= '9'; digit++)
        *digit = ' ';
    *digit = '0';
    type += 2;
    memmove(type, type + LEN(TYPE), head - LEN(TYPE) - (size_t)(type - reply));
    return head - LEN(TYPE);
}

static void stateless_reply(sl_cbp_t *params)
{
    if (!is_own(params->req) || params->reply == NULL || (params->code >= 200 && params->code < 300))
        return;
    params->reply->len = (int)without_tokens(params->reply->s, (size_t)params->reply->len);
}

static void hold(struct cell *cell, struct held *held)
{
    held->socket = cell->uas.response.dst.send_sock;
    cell->uas.response.dst.send_sock = NULL;
}

static void let_go(struct cell *cell, struct held *held)
{
    if (held->socket == NULL || held->stripped)
        return;
    cell->uas.response.dst.send_sock = held->socket;
    held->socket = NULL;
}

static void send_stripped(const struct cell *cell, const struct held *held)
{
    struct dest_info destination = cell->uas.response.dst;

    destination.send_sock = held->socket;
    if (msg_send_buffer(&destination, cell->uas.response.buffer, cell->uas.response.buffer_len, 0) < 0)
        LM_ERR("cannot send a reply without its tokens\n");
}

/*
 * After this, tm sends its own copy of a final reply. So a reply that had tokens goes out from here without them, and
 * again for each retransmission, because nothing tells when tm is done with its copy.
 */
static void stateful_reply(struct cell *cell, int type, struct tmcb_params *params)
{
    struct held *held = *params->param;
    struct retr_buf *reply = &cell->uas.response;
    size_t len;

    if (type & TMCB_REQ_RETR_IN) {
        if (held->stripped)
            send_stripped(cell, held);
        return;
    }
    if (held->stripped)
        return;
    let_go(cell, held);
    /* a reply of the next hop has no tokens of this proxy */
    if (params->code < 300 || params->rpl != FAKED_REPLY || reply->dst.send_sock == NULL)
        return;
    len = without_tokens(reply->buffer, (size_t)reply->buffer_len);
    if (len == (size_t)reply->buffer_len)
        return;
    reply->buffer_len = (int)len;
    hold(cell, held);
    held->stripped = 1;
    send_stripped(cell, held);
}

/* Works before there is a transaction, too, because tm keeps the callback for one that this message may still get. */
static int watch(sip_msg_t *msg)
{
    tm_cell_t *cell = oauth_transaction();
    struct held *held = shm_malloc(sizeof(*held));

    if (held == NULL) {
        LM_ERR("no shared memory to watch for the answer to a registration\n");
        return -1;
    }
    memset(held, 0, sizeof(*held));
    if (oauth_tm.register_tmcb(msg, cell, TMCB_RESPONSE_READY | TMCB_REQ_RETR_IN, stateful_reply, held, oauth_shm_free) <= 0) {
        LM_ERR("cannot watch for the answer to a registration\n");
        shm_free(held);
        return -1;
    }
    own.cell = cell;
    own.held = held;
    if (cell != NULL)
        hold(cell, held);
    return 0;
}

/* Is the lump still there? msg_apply_changes() frees what was added. */
static int is_there(const sip_msg_t *msg, const struct lump_rpl *lump)
{
    const struct lump_rpl *one;

    for (one = msg->reply_lump; one != NULL && one != lump; one = one->next)
        ;
    return one != NULL;
}

static void take_out(sip_msg_t *msg, struct lump_rpl *lump)
{
    if (lump == NULL || !is_there(msg, lump))
        return;
    explicit_bzero(lump->text.s, (size_t)lump->text.len);
    unlink_lump_rpl(msg, lump);
    free_lump_rpl(lump);
}

static void forget_own(sip_msg_t *msg)
{
    take_out(msg, own.type);
    take_out(msg, own.body);
    if (own.cell != NULL)
        let_go(own.cell, own.held);
    memset(&own, 0, sizeof(own));
}

/* Removes the tokens from the proxy's own answer. */
void oauth_tokens_take_over(sip_msg_t *msg)
{
    if (is_own(msg))
        forget_own(msg);
}

int oauth_tokens_add(sip_msg_t *msg, sipoauth_str tokens)
{
    oauth_tokens_take_over(msg);
    if (watch(msg) < 0)
        return -1;
    own.type = add_lump_rpl(msg, TYPE, LEN(TYPE), LUMP_RPL_HDR);
    own.body = own.type != NULL ? add_lump_rpl(msg, (char *)tokens.ptr, (int)tokens.len, LUMP_RPL_BODY) : NULL;
    if (own.body == NULL) {
        LM_ERR("cannot add the tokens to the reply\n");
        forget_own(msg);
        return -1;
    }
    own.owner = oauth_owner_of(msg);
    return 0;
}

/* Copies the tokens for the script. The copy lives until the next script begins. */
int oauth_tokens_show(sipoauth_str tokens, str *copy)
{
    if (oauth_secret_set(&shown, tokens) < 0)
        return -1;
    copy->s = shown.text;
    copy->len = (int)tokens.len;
    return 0;
}

int oauth_tokens_init(void)
{
    return oauth_watch_stateless(stateless_reply);
}
