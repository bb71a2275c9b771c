/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared key of a registration with a code is made from the answer's To tag. So the key must be in the store before
 * the answer leaves, and the tag must be the one that really goes out. tm and sl call this file when a reply is ready.
 * It confirms a 2xx with the library; every other reply withdraws the key. If a 2xx cannot be confirmed, the phone must
 * not see it, because the phone would hold a key that nobody knows.
 *
 * Both hooks are set for each ticket, because the script may answer either way. Both at once do no harm.
 */
#include <stdio.h>
#include <string.h>

#include "core/data_lump_rpl.h"
#include "core/forward.h"
#include "core/locking.h"
#include "core/mem/mem.h"
#include "core/mem/shm.h"
#include "core/msg_translator.h"
#include "core/parser/parse_to.h"

#include "module.h"

#define TICKET_MAX 4096
#define TAG_MAX 256

/* In shared memory, owned by the transaction. */
struct ticket {
    gen_lock_t lock;
    struct socket_info *socket; /* taken from the transaction */
    size_t len;                 /* 0: an answer was judged */
    char text[];
};

/* For a stateless answer to the message that this process is working on. */
static struct {
    struct oauth_owner owner;
    size_t len;   /* 0: none */
    char text[TICKET_MAX];
} own;

void oauth_confirm_forget(void)
{
    own.len = 0;
}

/* The To tag of a reply as it goes out. */
static sipoauth_str tag_in(const char *text, int len, char *copy)
{
    sipoauth_str tag = {NULL, 0};
    sip_msg_t reply;
    const struct to_body *to = NULL;

    if (text == NULL || len <= 0 || build_sip_msg_from_buf(&reply, (char *)text, len, 0) < 0)
        return tag;
    if (parse_headers(&reply, HDR_TO_F, 0) == 0 && reply.to != NULL && parse_to_header(&reply) == 0)
        to = get_to(&reply);
    if (to != NULL && to->tag_value.s != NULL && to->tag_value.len > 0 && to->tag_value.len <= TAG_MAX) {
        memcpy(copy, to->tag_value.s, to->tag_value.len);
        tag.ptr = copy;
        tag.len = (size_t)to->tag_value.len;
    }
    free_sip_msg(&reply);
    return tag;
}

/* Tells the library how the request was answered. Returns -1 if a 503 with *retry_after must leave instead of a 2xx. */
static int answered(sipoauth_str ticket, int code, const char *reply, int len, uint32_t *retry_after)
{
    char copy[TAG_MAX];
    sipoauth_str tag = tag_in(reply, len, copy);
    int rc = sipoauth_worker_answered(oauth_worker_get(), ticket, (uint32_t)code, tag, retry_after);

    if (rc == SIPOAUTH_OK || code >= 300)
        return 0;
    LM_ERR("the key of a registration could not be stored (%d): its %d is not sent\n", rc, code);
    return -1;
}

/* Makes a 503 to the request in private memory, or returns NULL. The headers of the 2xx (Contact) must not be in it. */
static char *unavailable(const sip_msg_t *request, unsigned int *len, sipoauth_str to_tag, uint32_t retry_after)
{
    char header[40];
    int header_len = snprintf(header, sizeof(header), "Retry-After: %u\r\n", retry_after);
    str phrase = str_init("Service Unavailable");
    str tag = oauth_text(to_tag);
    const struct to_body *to = request->to != NULL ? get_to(request) : NULL;
    int tagged = to == NULL || to->tag_value.len > 0;
    struct bookmark bookmark;
    sip_msg_t copy = *request; /* may lie in shared memory */
    char *text = NULL;

    copy.reply_lump = NULL;
    if (add_lump_rpl(&copy, header, header_len, LUMP_RPL_HDR) != NULL)
        text = build_res_buf_from_sip_req(503, &phrase, tagged || tag.len == 0 ? NULL : &tag, &copy, len, &bookmark);
    del_nonshm_lump_rpl(&copy.reply_lump);
    return text;
}

/*
 * tm has stored the 2xx before it calls, and another process would repeat it for a retransmission meanwhile. tm sends
 * only if the destination has a socket. So the transaction has none until the 2xx is confirmed.
 */
static void keep_back(struct cell *cell, struct ticket *ticket)
{
    lock_get(&ticket->lock);
    if (ticket->len > 0 && ticket->socket == NULL) {
        ticket->socket = cell->uas.response.dst.send_sock;
        cell->uas.response.dst.send_sock = NULL;
    }
    lock_release(&ticket->lock);
}

/* The answer was judged: it leaves, or nothing more does. */
static void judge(struct cell *cell, struct ticket *ticket, int leaves)
{
    lock_get(&ticket->lock);
    ticket->len = 0;
    if (leaves && ticket->socket != NULL) {
        cell->uas.response.dst.send_sock = ticket->socket;
        ticket->socket = NULL;
    }
    lock_release(&ticket->lock);
}

/*
 * Sends a 503 once. The transaction answers nothing more, and the phone's next try makes a new one. tm logs an error,
 * from Kamailio 6.1 on with the first octets of the 2xx.
 */
static void replace_stateful(const struct cell *cell, const struct ticket *ticket, const struct tmcb_params *params,
        uint32_t retry_after)
{
    struct dest_info destination = cell->uas.response.dst;
    char copy[TAG_MAX];
    sipoauth_str tag = tag_in(params->send_buf.s, params->send_buf.len, copy);
    unsigned int len = 0;
    char *text;

    destination.send_sock = ticket->socket;
    if (destination.send_sock == NULL || params->req == NULL)
        return;
    text = unavailable(params->req, &len, tag, retry_after);
    if (text == NULL)
        return;
    if (msg_send_buffer(&destination, text, (int)len, 0) < 0)
        LM_ERR("cannot send the reply 503\n");
    pkg_free(text);
}

static void stateful_reply(struct cell *cell, int type, struct tmcb_params *params)
{
    struct ticket *ticket = *params->param;
    sipoauth_str view = {ticket->text, ticket->len};
    uint32_t retry_after = 0;
    int leaves;

    if (type & TMCB_REQ_RETR_IN) {
        if (cell->uas.status >= 200 && cell->uas.status < 300)
            keep_back(cell, ticket);
        return;
    }
    if (params->code < 200 || ticket->len == 0)
        return;
    if (params->code < 300)
        keep_back(cell, ticket);
    oauth_confirm_forget();
    leaves = answered(view, params->code, params->send_buf.s, params->send_buf.len, &retry_after) == 0;
    judge(cell, ticket, leaves);
    if (!leaves)
        replace_stateful(cell, ticket, params, retry_after);
}

static void stateless_reply(sl_cbp_t *params)
{
    const sip_msg_t *msg = params->req;
    sipoauth_str view = {own.text, own.len};
    char copy[TAG_MAX];
    uint32_t retry_after = 0;
    unsigned int len = 0;
    char *text;

    if (own.len == 0 || !oauth_owns(&own.owner, msg) || !IS_SIP(msg))
        return;
    if (msg->first_line.u.request.method_value != METHOD_REGISTER || params->code < 200 || params->reply == NULL)
        return;
    oauth_confirm_forget();
    if (answered(view, params->code, params->reply->s, params->reply->len, &retry_after) == 0)
        return;
    text = unavailable(msg, &len, tag_in(params->reply->s, params->reply->len, copy), retry_after);
    if (text == NULL) {
        LM_ERR("no memory for a 503\n");
        params->reply->len = 0; /* send nothing rather than the 2xx */
        return;
    }
    pkg_free(params->reply->s);
    params->reply->s = text;
    params->reply->len = (int)len;
}

/* Works before there is a transaction, too, because tm keeps the callback for one that this message may still get. */
static int expect_stateful(sip_msg_t *msg, sipoauth_str text)
{
    tm_cell_t *cell = oauth_transaction();
    struct ticket *ticket = shm_malloc(sizeof(*ticket) + text.len);

    if (ticket == NULL) {
        LM_ERR("no shared memory for the ticket of a registration\n");
        return -1;
    }
    memset(ticket, 0, sizeof(*ticket));
    ticket->len = text.len;
    memcpy(ticket->text, text.ptr, text.len);
    if (lock_init(&ticket->lock) == NULL
            || oauth_tm.register_tmcb(
                       msg, cell, TMCB_RESPONSE_READY | TMCB_REQ_RETR_IN, stateful_reply, ticket, oauth_shm_free)
                       <= 0) {
        LM_ERR("cannot watch for the reply to a registration\n");
        shm_free(ticket);
        return -1;
    }
    return 0;
}

int oauth_confirm_later(sip_msg_t *msg, sipoauth_str ticket)
{
    if (ticket.len == 0 || ticket.len > TICKET_MAX) {
        LM_ERR("a ticket of %zu octets cannot be kept\n", ticket.len);
        return -1;
    }
    if (expect_stateful(msg, ticket) < 0)
        return -1;
    own.owner = oauth_owner_of(msg);
    own.len = ticket.len;
    memcpy(own.text, ticket.ptr, ticket.len);
    return 0;
}

int oauth_confirm_init(void)
{
    return oauth_watch_stateless(stateless_reply);
}
