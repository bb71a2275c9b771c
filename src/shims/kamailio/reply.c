/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replies. They go through sl's API, which uses the transaction when there is one.
 */
#include <stdio.h>
#include <string.h>

#include "core/data_lump_rpl.h"

#include "shim.h"

#define PHRASE_SIZE 160

int oauth_send(sip_msg_t *msg, int status, const str *phrase)
{
    str reason = *phrase;

    if (oauth_sl.freply(msg, status, &reason) < 0) {
        LM_ERR("cannot send the reply %d\n", status);
        return OAUTH_ERROR;
    }
    return OAUTH_OK;
}

int oauth_add_reply_header(sip_msg_t *msg, const char *text, size_t len)
{
    if (add_lump_rpl(msg, (char *)text, (int)len, LUMP_RPL_HDR) == NULL) {
        LM_ERR("cannot add a header to the reply\n");
        return -1;
    }
    return 0;
}

static int send_not_now(sip_msg_t *msg, uint32_t retry_after)
{
    static const str phrase = str_init("Service Unavailable");
    char header[40];
    int len;

    if (retry_after > 0) {
        len = snprintf(header, sizeof(header), "Retry-After: %u\r\n", retry_after);
        if (oauth_add_reply_header(msg, header, (size_t)len) < 0)
            return OAUTH_ERROR;
    }
    return oauth_send(msg, 503, &phrase);
}

/* The library's sentence (it holds no secret) tells a phone's developer what to mend; RFC 3261 Reason-Phrase. */
static int send_malformed(sip_msg_t *msg, const str *sentence)
{
    static const str plain = str_init("Bad Request");
    char text[PHRASE_SIZE];
    str phrase = {text, 0};
    int i;

    for (i = 0; i < sentence->len && phrase.len < PHRASE_SIZE - 1; i++) {
        if (sentence->s[i] >= ' ' && sentence->s[i] <= '~')
            text[phrase.len++] = sentence->s[i];
    }
    return oauth_send(msg, 400, phrase.len > 0 ? &phrase : &plain);
}

int oauth_reply(sip_msg_t *msg, const str *realm)
{
    static const str forbidden = str_init("Forbidden");
    static const str internal = str_init("Server Internal Error");
    const struct oauth_last *last;

    if (!oauth_is_request(msg)) {
        LM_ERR("only a request can be replied to\n");
        return OAUTH_ERROR;
    }
    last = oauth_last_get(msg);
    if (last == NULL || !last->checked) {
        LM_ERR("oauth_reply has nothing to say: no check was made for this request\n");
        return oauth_send(msg, 500, &internal);
    }
    if (last->verdict == SIPOAUTH_VERDICT_ACCEPTED) {
        LM_ERR("oauth_reply has nothing to say: the request was accepted\n");
        return OAUTH_ERROR;
    }
    switch (last->status) {
    case 401:
    case 407:
        return oauth_challenge(msg, last->status == 407 ? SIPOAUTH_ROLE_PROXY : SIPOAUTH_ROLE_UAS,
                realm != NULL && realm->len > 0 ? realm : &last->realm, 0);
    case 403:
        return oauth_send(msg, 403, &forbidden);
    case 400:
        return send_malformed(msg, &last->reason_text);
    case 503:
        return send_not_now(msg, last->retry_after);
    default:
        return oauth_send(msg, 500, &internal);
    }
}
