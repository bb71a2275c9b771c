/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends replies. The library says what is in them.
 */
#include <string.h>

#include "shim.h"

static int add_headers(sip_msg_t *msg, const sipoauth_reply *reply, struct lump_rpl **added)
{
    *added = NULL;
    if (reply->headers.len == 0)
        return 0;
    *added = add_lump_rpl(msg, (char *)reply->headers.ptr, (int)reply->headers.len, LUMP_RPL_HDR);
    if (*added != NULL)
        return 0;
    LM_ERR("cannot add a header to the reply\n");
    return -1;
}

int oauth_send(sip_msg_t *msg, const sipoauth_reply *reply)
{
    str phrase = oauth_text(reply->phrase);
    struct lump_rpl *added;

    if (add_headers(msg, reply, &added) < 0)
        return OAUTH_ERROR;
    if (host_reply(msg, (int)reply->status, &phrase) >= 0)
        return OAUTH_OK;
    LM_ERR("cannot send the reply %u\n", reply->status);
    if (added != NULL) {
        /* another reply that the script sends instead must not have them */
        unlink_lump_rpl(msg, added);
        free_lump_rpl(added);
    }
    return OAUTH_ERROR;
}

/* Adds only the header lines, for an answer of the script's own. */
int oauth_add_headers(sip_msg_t *msg, const sipoauth_reply *reply)
{
    struct lump_rpl *added;

    return add_headers(msg, reply, &added);
}

void oauth_reply_begin(sipoauth_reply *reply)
{
    memset(reply, 0, sizeof(*reply));
    reply->struct_size = sizeof(*reply);
}

/* The script has made a mistake, so there is no outcome to report. */
static int send_error(sip_msg_t *msg)
{
    str phrase = str_init("Server Internal Error");

    return host_reply(msg, 500, &phrase) < 0 ? OAUTH_ERROR : OAUTH_OK;
}

int oauth_reply(sip_msg_t *msg, const str *realm)
{
    const struct oauth_last *last;
    struct oauth_request request;
    sipoauth_reply reply;
    int rc;

    if (!oauth_is_request(msg)) {
        LM_ERR("only a request can be replied to\n");
        return OAUTH_ERROR;
    }
    last = oauth_last_get(msg);
    /* a check that has accepted the sender has nothing to say about a REFER */
    if (oauth_refer_refused(msg) && (last == NULL || !last->checked || last->granted))
        return oauth_refer_reply(msg);
    if (last == NULL || !last->checked) {
        LM_ERR("oauth_reply has nothing to say: no check was made for this request\n");
        return send_error(msg);
    }
    if (oauth_last_is_pending(msg))
        return OAUTH_OK; /* a KEMI script that goes on: the answer comes when the request has waited */
    if (last->verdict == SIPOAUTH_VERDICT_ACCEPTED) {
        LM_ERR("oauth_reply has nothing to say: the request was accepted\n");
        return OAUTH_ERROR;
    }
    /* if a request cannot be parsed, its method and role are enough */
    oauth_request_read(&request, msg, last->role, realm != NULL && realm->len > 0 ? realm : &last->realm);
    oauth_reply_begin(&reply);
    rc = sipoauth_worker_reply(oauth_worker_get(), last->check, &request.call, &reply);
    if (rc != SIPOAUTH_OK)
        LM_ERR("no reply could be made (%d)\n", rc);
    if (reply.status == 0) {
        LM_DBG("this request is not answered\n");
        return OAUTH_ERROR;
    }
    return oauth_send(msg, &reply);
}
