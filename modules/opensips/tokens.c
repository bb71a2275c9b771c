/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A phone that holds its tokens itself gets them in the body of the 2xx, and in no other answer. When the check is made, the
 * script's answer is not known yet: save() may refuse the Contacts. So the tokens wait until there is an answer. tm tells
 * before it builds its own answer, and the core before an answer without a transaction leaves.
 *
 * If a script reads $oauth(token_response), it answers with the tokens itself, so nothing is added here.
 */
#define _GNU_SOURCE /* memmem */
#include <stdio.h>
#include <string.h>

#include "module.h"

#define TYPE "Content-Type: application/json\r\n"
#define LENGTH "\r\nContent-Length: "
#define HEAD_END "\r\n\r\n"
#define LEN(text) (sizeof(text) - 1)

/* In shared memory, owned by the transaction. */
struct held {
    size_t len;   /* 0: the script answers with them, or they have gone */
    char text[];
};

/* What belongs into the answer to the message that this process is working on. */
static struct {
    struct oauth_owner owner;
    struct held *held; /* NULL: nothing */
    struct oauth_secret tokens;
} own;

/* The tokens that the script has read. */
static struct oauth_secret shown;

void oauth_tokens_forget(void)
{
    own.owner.msg = NULL;
    own.held = NULL;
    oauth_secret_wipe(&own.tokens);
    oauth_secret_wipe(&shown);
}

static int is_own(const sip_msg_t *msg)
{
    return own.tokens.len > 0 && oauth_owns(&own.owner, msg);
}

/* Puts the tokens into an answer that has no body yet. */
static int add_body(str *reply, const char *tokens, size_t len)
{
    const char *end = memmem(reply->s, (size_t)reply->len, HEAD_END, LEN(HEAD_END)), *length;
    char number[24], *text;
    size_t head, tail, digits, total;

    length = end != NULL ? memmem(reply->s, (size_t)(end - reply->s), LENGTH, LEN(LENGTH)) : NULL;
    if (length == NULL)
        return -1;
    head = (size_t)(length - reply->s) + LEN("\r\n");
    length += LEN(LENGTH);
    while (length < end && *length >= '0' && *length <= '9')
        length++;
    tail = (size_t)(end - length) + LEN(HEAD_END);
    digits = (size_t)snprintf(number, sizeof(number), "Content-Length: %zu", len);
    total = head + LEN(TYPE) + digits + tail + len;
    text = pkg_malloc(total);
    if (text == NULL)
        return -1;
    memcpy(text, reply->s, head);
    memcpy(text + head, TYPE, LEN(TYPE));
    memcpy(text + head + LEN(TYPE), number, digits);
    memcpy(text + head + LEN(TYPE) + digits, length, tail);
    memcpy(text + total - len, tokens, len);
    pkg_free(reply->s);
    reply->s = text;
    reply->len = (int)total;
    return 0;
}

static void stateless_reply(sip_msg_t *request, str *reply, int code, HOST_CONST union sockaddr_union *to,
        HOST_CONST struct socket_info *from, int proto)
{
    (void)to;
    (void)from;
    (void)proto;
    if (!is_own(request) || code < 200 || code >= 300)
        return;
    if (add_body(reply, own.tokens.text, own.tokens.len) < 0)
        LM_ERR("cannot add the tokens to the reply\n");
}

/* tm is about to build an answer of its own to this request. */
static void stateful_reply(struct cell *cell, int type, struct tmcb_params *params)
{
    struct held *held = *params->param;

    (void)cell;
    (void)type;
    if (held->len == 0 || params->req == NULL || params->code < 200 || params->code >= 300)
        return;
    if (add_lump_rpl(params->req, TYPE, LEN(TYPE), LUMP_RPL_HDR) == NULL
            || add_lump_rpl(params->req, held->text, (int)held->len, LUMP_RPL_BODY) == NULL)
        LM_ERR("cannot add the tokens to the reply\n");
    explicit_bzero(held->text, held->len);
    held->len = 0;
}

static void free_held(void *memory)
{
    struct held *held = memory;

    explicit_bzero(held->text, held->len);
    shm_free(held);
}

/* Works before there is a transaction, too, because tm keeps the callback for one that this message may still get. */
static int watch(sip_msg_t *msg, sipoauth_str tokens)
{
    struct held *held = shm_malloc(sizeof(*held) + tokens.len);

    if (held == NULL) {
        LM_ERR("no shared memory for the tokens of a phone\n");
        return -1;
    }
    held->len = tokens.len;
    memcpy(held->text, tokens.ptr, tokens.len);
    if (oauth_tm.register_tmcb(msg, oauth_transaction(), TMCB_LOCAL_RESPONSE, stateful_reply, held, free_held) <= 0) {
        LM_ERR("cannot watch for the answer to a registration\n");
        free_held(held);
        return -1;
    }
    own.held = held;
    return 0;
}

/* Takes the tokens out of the server's own answer. */
void oauth_tokens_take_over(sip_msg_t *msg)
{
    if (!is_own(msg))
        return;
    explicit_bzero(own.held->text, own.held->len);
    own.held->len = 0;
    oauth_secret_wipe(&own.tokens);
}

int oauth_tokens_add(sip_msg_t *msg, sipoauth_str tokens)
{
    oauth_tokens_take_over(msg);
    if (oauth_secret_set(&own.tokens, tokens) < 0)
        return -1;
    if (watch(msg, tokens) < 0) {
        oauth_secret_wipe(&own.tokens); /* they are in no answer */
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
    if (register_slcb(SLCB_REPLY_OUT, 0, stateless_reply) < 0) {
        LM_ERR("cannot watch the stateless replies\n");
        return -1;
    }
    return 0;
}
