/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared key of a registration with a code is made from the answer's To tag. So the key must be in the store before
 * the answer leaves, and the tag must be the one that really goes out. tm and the core call this file when a reply is
 * ready. It confirms a 2xx with the library; every other reply withdraws the key. If a 2xx cannot be confirmed, the phone
 * must not see it, because the phone would hold a key that nobody knows.
 *
 * Both hooks are set for each ticket, because the script may answer either way. Both at once do no harm.
 */
#include <stdio.h>
#include <string.h>

#include "module.h"

#define TICKET_MAX 4096
#define TAG_MAX 256
#define LINE_ENDS "\r\n\r\n"

/* In shared memory, owned by the transaction. The lock of its replies guards it. */
struct ticket {
    int kept_back; /* the length of the reply's buffer, which is 0 meanwhile; 0: it is not kept back */
    size_t len;    /* 0: an answer was judged */
    char text[];
};

/* For a stateless answer to the message that this process is working on. */
static struct {
    struct oauth_owner owner;
    size_t len;   /* 0: none */
    char text[TICKET_MAX];
} own;

/*
 * tm sends the octets that it has built, whatever becomes of the stored ones. So the other reply takes their place at the
 * socket.
 */
static struct {
    const char *of; /* NULL: nothing is replaced */
    str text;       /* in private memory, which the core frees; empty: only line ends leave, as for a keep-alive */
} instead;

/* A reply may not get as far as the socket, and another one may be at its address later. */
static void drop_instead(void)
{
    if (instead.of != NULL && instead.text.s != NULL)
        pkg_free(instead.text.s);
    instead.of = NULL;
}

void oauth_confirm_forget(void)
{
    own.len = 0;
    drop_instead();
}

/* The To tag of a reply as it goes out. */
static sipoauth_str tag_in(const str *text, char *copy)
{
    sipoauth_str tag = {NULL, 0};
    sip_msg_t reply;
    const struct to_body *to = NULL;

    memset(&reply, 0, sizeof(reply));
    reply.buf = text->s;
    reply.len = (unsigned int)text->len;
    if (parse_msg_opt(text->s, (unsigned int)text->len, &reply, 0) == 0 && parse_headers(&reply, HDR_TO_F, 0) == 0
            && reply.to != NULL)
        to = get_to(&reply);
    if (to != NULL && to->tag_value.s != NULL && to->tag_value.len > 0 && to->tag_value.len <= TAG_MAX) {
        memcpy(copy, to->tag_value.s, (size_t)to->tag_value.len);
        tag.ptr = copy;
        tag.len = (size_t)to->tag_value.len;
    }
    free_sip_msg(&reply);
    return tag;
}

/* Tells the library how the request was answered. Returns -1 if a 503 with *retry_after must leave instead of a 2xx. */
static int answered(sipoauth_str ticket, int code, sipoauth_str tag, uint32_t *retry_after)
{
    int rc = sipoauth_worker_answered(oauth_worker_get(), ticket, (uint32_t)code, tag, retry_after);

    if (rc == SIPOAUTH_OK || code >= 300)
        return 0;
    LM_ERR("the key of a registration could not be stored (%d): its %d is not sent\n", rc, code);
    return -1;
}

/* Makes a 503 to the request in private memory. The headers of the 2xx (Contact) must not be in it. */
static str unavailable(const sip_msg_t *request, sipoauth_str to_tag, uint32_t retry_after)
{
    char header[40];
    int header_len = snprintf(header, sizeof(header), "Retry-After: %u\r\n", retry_after);
    static const str phrase = str_init("Service Unavailable");
    str tag = oauth_text(to_tag), text = {NULL, 0};
    const struct to_body *to = request->to != NULL ? get_to(request) : NULL;
    int tagged = to == NULL || to->tag_value.len > 0;
    struct bookmark bookmark;
    sip_msg_t copy = *request; /* may lie in shared memory */

    copy.reply_lump = NULL;
    if (add_lump_rpl(&copy, header, header_len, LUMP_RPL_HDR) != NULL)
        text.s = build_res_buf_from_sip_req(503, &phrase, tagged || tag.len == 0 ? NULL : &tag, &copy,
                (unsigned int *)&text.len, &bookmark);
    del_nonshm_lump_rpl(&copy.reply_lump);
    return text;
}

static int leaves(str *data, sip_msg_t *msg)
{
    (void)msg;
    if (instead.of == NULL || data->s != instead.of)
        return 0;
    instead.of = NULL;
    if (instead.text.s != NULL)
        *data = instead.text;
    else
        data->len = (int)strlen(LINE_ENDS);
    return 0;
}

/* What a retransmission gets. Without memory that is nothing. */
static void store(struct cell *cell, const str *text)
{
    str *stored = &cell->uas.response.buffer;
    char *bigger = text->s != NULL ? shm_realloc(stored->s, (unsigned long)text->len) : NULL;

    stored->len = 0;
    if (bigger == NULL)
        return;
    memcpy(bigger, text->s, (size_t)text->len);
    stored->s = bigger;
    stored->len = text->len;
}

static void replace_stateful(struct cell *cell, const struct tmcb_params *params, str *reply, sipoauth_str tag,
        uint32_t retry_after)
{
    instead.text = unavailable(params->req, tag, retry_after);
    instead.of = reply->s;
    memcpy(reply->s, LINE_ENDS, strlen(LINE_ENDS));
    store(cell, &instead.text);
    cell->uas.status = 503;
}

/*
 * tm has stored the 2xx before it calls, and another process would repeat it for a retransmission meanwhile. A reply without
 * length is not repeated.
 */
static void keep_back(struct cell *cell, struct ticket *ticket)
{
    LOCK_REPLIES(cell);
    if (ticket->len > 0 && ticket->kept_back == 0 && cell->uas.status >= 200 && cell->uas.status < 300) {
        ticket->kept_back = cell->uas.response.buffer.len;
        cell->uas.response.buffer.len = 0;
    }
    UNLOCK_REPLIES(cell);
}

static void stateful_reply(struct cell *cell, int type, struct tmcb_params *params)
{
    struct ticket *ticket = *params->param;
    sipoauth_str view = {ticket->text, ticket->len}, tag;
    uint32_t retry_after = 0;
    char copy[TAG_MAX];
    str *reply = params->extra1;
    int code = params->code;

    if (type == TMCB_MSG_MATCHED_IN) {
        if (ticket->len > 0)
            keep_back(cell, ticket);
        return;
    }
    if (code < 200 || ticket->len == 0 || reply == NULL)
        return;
    own.len = 0;
    if (instead.of == reply->s)
        code = 503; /* by an earlier ticket of this request */
    else
        drop_instead();
    if (ticket->kept_back > 0)
        cell->uas.response.buffer.len = ticket->kept_back;
    tag = tag_in(reply, copy);
    if (answered(view, code, tag, &retry_after) < 0)
        replace_stateful(cell, params, reply, tag, retry_after);
    ticket->len = 0;
}

static void stateless_reply(sip_msg_t *request, str *reply, int code, HOST_CONST union sockaddr_union *to,
        HOST_CONST struct socket_info *from, int proto)
{
    sipoauth_str view = {own.text, own.len}, tag;
    uint32_t retry_after = 0;
    char copy[TAG_MAX];
    str text;

    (void)to;
    (void)from;
    (void)proto;
    if (own.len == 0 || code < 200 || !oauth_owns(&own.owner, request)
            || request->first_line.u.request.method_value != METHOD_REGISTER)
        return;
    oauth_confirm_forget();
    tag = tag_in(reply, copy);
    if (answered(view, code, tag, &retry_after) == 0)
        return;
    text = unavailable(request, tag, retry_after);
    if (text.s == NULL) {
        LM_ERR("no memory for a 503\n");
        memcpy(reply->s, LINE_ENDS, strlen(LINE_ENDS)); /* rather than the 2xx */
        reply->len = (int)strlen(LINE_ENDS);
        return;
    }
    pkg_free(reply->s);
    *reply = text;
}

/* Works before there is a transaction, too, because tm keeps the callback for one that this message may still get. */
static int expect_stateful(sip_msg_t *msg, sipoauth_str text)
{
    struct ticket *ticket = shm_malloc(sizeof(*ticket) + text.len);

    if (ticket == NULL) {
        LM_ERR("no shared memory for the ticket of a registration\n");
        return -1;
    }
    memset(ticket, 0, sizeof(*ticket));
    ticket->len = text.len;
    memcpy(ticket->text, text.ptr, text.len);
    if (oauth_tm.register_tmcb(msg, oauth_transaction(), TMCB_RESPONSE_PRE_OUT | TMCB_MSG_MATCHED_IN, stateful_reply, ticket,
                oauth_shm_free) <= 0) {
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
    if (register_slcb(SLCB_REPLY_OUT, 0, stateless_reply) < 0
            || register_post_raw_processing_cb(leaves, POST_RAW_PROCESSING, 0) < 0) {
        LM_ERR("cannot watch the replies\n");
        return -1;
    }
    return 0;
}
