/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forwards the user's token to an application server (sip-oauth-01 section 3.8), and to nobody else. The library
 * compares the next hop with its list and gives the token out only if the next hop is in it.
 *
 * This works only in a branch route. There the next hop is certain, and an added header goes to this branch alone. A
 * header that a request route adds would stay in the request when a failure route sends it on to another server.
 */
#include <string.h>

#include "shim.h"

#define CREDENTIALS "Authorization: Bearer "

static int add_header(sip_msg_t *msg, sipoauth_str token)
{
    const size_t name = sizeof(CREDENTIALS) - 1, len = name + token.len + CRLF_LEN;
    struct lump *anchor = host_end_of_headers(msg);
    char *text = anchor != NULL ? pkg_malloc(len) : NULL;

    if (text == NULL) {
        LM_ERR("no private memory for a header field\n");
        return -1;
    }
    memcpy(text, CREDENTIALS, name);
    memcpy(text + name, token.ptr, token.len);
    memcpy(text + name + token.len, CRLF, CRLF_LEN);
    if (insert_new_lump_before(anchor, text, (int)len, HDR_OTHER_T) == NULL) {
        LM_ERR("cannot add a header field\n");
        pkg_free(text);
        return -1;
    }
    return 0;
}

int oauth_forward_token(sip_msg_t *msg)
{
    const struct oauth_last *last;
    sipoauth_worker *worker;
    sipoauth_str token = {NULL, 0};
    int rc;

    if (oauth_remove_credentials(msg) < 0)
        return OAUTH_ERROR;
    if (!host_in_branch_route()) {
        LM_ERR("the next hop is not certain here: set a branch route with t_on_branch and forward the token there\n");
        return OAUTH_ERROR;
    }
    last = oauth_last_get(msg);
    if (last == NULL || !last->granted)
        return OAUTH_ERROR;
    /*
     * Only a next hop in $du counts. Without one the next hop may be the Request-URI, or the host and port that
     * t_relay_to_... was given. A branch route cannot tell which.
     */
    if (msg->dst_uri.s == NULL || msg->dst_uri.len <= 0) {
        LM_DBG("the next hop is not in $du: no token is forwarded\n");
        return OAUTH_ERROR;
    }
    worker = oauth_worker_get();
    if (worker == NULL)
        return OAUTH_ERROR;
    rc = sipoauth_worker_token(worker, last->check, oauth_view(&msg->dst_uri), &token);
    if (rc == SIPOAUTH_E_STORE)
        return OAUTH_NOT_NOW;
    if (rc != SIPOAUTH_OK) {
        if (rc != SIPOAUTH_E_MISMATCH)
            LM_ERR("no token can be had (%d)\n", rc);
        return OAUTH_ERROR;
    }
    return add_header(msg, token) < 0 ? OAUTH_ERROR : OAUTH_OK;
}
