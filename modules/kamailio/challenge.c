/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Challenges (RFC 8898 section 2.1): the library writes the header lines, they are put on the coming reply.
 */
#include <string.h>

#include "core/mem/mem.h"

#include "shim.h"

#define BUFFER_START 2048
#define BUFFER_MAX 16384

/* kept by the process and only ever grown */
static char *buffer = NULL;
static size_t buffer_size = 0;

static int grow(size_t need)
{
    char *bigger;

    if (need > BUFFER_MAX) {
        LM_ERR("a challenge of %zu octets is too long for a reply\n", need);
        return -1;
    }
    bigger = pkg_malloc(need);
    if (bigger == NULL) {
        LM_ERR("no private memory for a challenge\n");
        return -1;
    }
    if (buffer != NULL)
        pkg_free(buffer);
    buffer = bigger;
    buffer_size = need;
    return 0;
}

static int write_challenge(const sipoauth_challenge *challenge, size_t *len, uint32_t *status)
{
    sipoauth_worker *worker = oauth_worker_get();
    int rc;

    if (worker == NULL || (buffer == NULL && grow(BUFFER_START) < 0))
        return -1;
    rc = sipoauth_worker_challenge(worker, challenge, buffer, buffer_size, len, status);
    if (rc == SIPOAUTH_E_SPACE) {
        if (grow(*len) < 0)
            return -1;
        rc = sipoauth_worker_challenge(worker, challenge, buffer, buffer_size, len, status);
    }
    if (rc != SIPOAUTH_OK || *len > buffer_size) {
        LM_ERR("no challenge could be made (%d)\n", rc);
        return -1;
    }
    return 0;
}

static int append(sip_msg_t *msg, uint32_t role, const str *realm, uint32_t *status)
{
    const struct oauth_last *last = oauth_last_get(msg);
    sipoauth_challenge challenge;
    size_t len = 0;

    memset(&challenge, 0, sizeof(challenge));
    challenge.struct_size = sizeof(challenge);
    challenge.role = role;
    challenge.realm = oauth_view(realm);
    challenge.domain = oauth_request_domain(msg);
    /* why the token that came with this very request was refused, and what it needs; else the provider's scopes */
    if (last != NULL && last->checked) {
        if (last->verdict == SIPOAUTH_VERDICT_DENIED)
            challenge.error = oauth_view(&last->error);
        challenge.scope = oauth_view(&last->needed_scope);
    }
    if (write_challenge(&challenge, &len, status) < 0)
        return -1;
    return oauth_add_reply_header(msg, buffer, len);
}

int oauth_may_be_challenged(const sip_msg_t *msg)
{
    if (!oauth_is_request(msg)) {
        LM_ERR("only a request can be challenged\n");
        return 0;
    }
    /* RFC 3261 22.1: neither can be sent again with credentials */
    if (msg->first_line.u.request.method_value == METHOD_ACK
            || msg->first_line.u.request.method_value == METHOD_CANCEL) {
        LM_DBG("ACK and CANCEL are not challenged\n");
        return 0;
    }
    return 1;
}

/* The reply to which challenges were added. */
int oauth_send_challenge(sip_msg_t *msg, uint32_t status)
{
    static const str unauthorized = str_init("Unauthorized");
    static const str proxy_required = str_init("Proxy Authentication Required");
    static const str moved = str_init("Moved Temporarily");

    if (status == 302)
        return oauth_send(msg, 302, &moved);
    if (status == 407)
        return oauth_send(msg, 407, &proxy_required);
    return oauth_send(msg, 401, &unauthorized);
}

int oauth_challenge(sip_msg_t *msg, uint32_t role, const str *realm, int flags)
{
    uint32_t status = 0;

    if (!oauth_may_be_challenged(msg) || append(msg, role, realm, &status) < 0)
        return OAUTH_ERROR;
    return flags & OAUTH_CHALLENGE_ONLY_APPEND ? OAUTH_OK : oauth_send_challenge(msg, status);
}

/* Which challenges this phone can stand: today's phones differ, some crash on Bearer. */
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
