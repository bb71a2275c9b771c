/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Challenges (RFC 8898 section 2.1). The library writes the header lines, and this file puts them on the coming reply.
 */
#include <string.h>

#include "shim.h"

int oauth_challenge(sip_msg_t *msg, uint32_t role, const str *realm, int flags)
{
    const struct oauth_last *last = oauth_last_get(msg);
    sipoauth_challenge challenge;
    sipoauth_reply reply;
    int rc;

    if (!oauth_is_request(msg)) {
        LM_ERR("only a request can be challenged\n");
        return OAUTH_ERROR;
    }
    memset(&challenge, 0, sizeof(challenge));
    challenge.struct_size = sizeof(challenge);
    challenge.role = role;
    challenge.method = oauth_view(&msg->first_line.u.request.method);
    challenge.realm = oauth_view(realm);
    challenge.domain = oauth_request_domain(msg);
    /* why the token in this request was refused, and the scopes that it needs; otherwise the provider's scopes */
    if (last != NULL && last->checked) {
        if (last->verdict == SIPOAUTH_VERDICT_DENIED)
            challenge.error = oauth_view(&last->error);
        challenge.scope = oauth_view(&last->needed_scope);
    }
    oauth_reply_begin(&reply);
    rc = sipoauth_worker_challenge(oauth_worker_get(), &challenge, &reply);
    return oauth_challenge_by(msg, rc, &reply, flags);
}

/* Sends the challenge that the library has made, or adds it to the script's own answer. */
int oauth_challenge_by(sip_msg_t *msg, int rc, const sipoauth_reply *reply, int flags)
{
    if (oauth_last_is_pending(msg))
        return OAUTH_ERROR;
    if (rc == SIPOAUTH_E_STATE)
        LM_DBG("this request is not challenged: by its method, or by what the check came to\n");
    else if (rc != SIPOAUTH_OK)
        LM_ERR("no challenge could be made (%d)\n", rc);
    if (rc != SIPOAUTH_OK)
        return OAUTH_ERROR;
    if (!(flags & OAUTH_CHALLENGE_ONLY_APPEND))
        return oauth_send(msg, reply);
    return oauth_add_headers(msg, reply) < 0 ? OAUTH_ERROR : OAUTH_OK;
}

/* Which challenges this phone can handle. Today's phones differ, and some crash on Bearer. */
int oauth_offer(sip_msg_t *msg)
{
    sipoauth_worker *worker = oauth_worker_get();
    sipoauth_endpoint endpoint;
    uint32_t offer = 0;
    int rc;

    if (!oauth_is_request(msg) || worker == NULL)
        return OAUTH_ERROR;
    if (parse_headers(msg, HDR_EOH_F, 0) < 0)
        return OAUTH_ERROR;
    memset(&endpoint, 0, sizeof(endpoint));
    endpoint.struct_size = sizeof(endpoint);
    endpoint.transport = oauth_transport(msg);
    endpoint.local_port = msg->rcv.dst_port;
    endpoint.domain = oauth_request_domain(msg);
    if (msg->user_agent != NULL)
        endpoint.user_agent = oauth_trimmed(&msg->user_agent->body);
    if (msg->supported != NULL)
        endpoint.supported = oauth_trimmed(&msg->supported->body);
    rc = sipoauth_worker_offer(worker, &endpoint, &offer);
    if (rc != SIPOAUTH_OK || offer < SIPOAUTH_OFFER_BEARER || offer > SIPOAUTH_OFFER_BOTH) {
        LM_ERR("no offer could be chosen (%d)\n", rc);
        return OAUTH_ERROR;
    }
    oauth_last_store_offer(msg, offer);
    return (int)offer;
}
