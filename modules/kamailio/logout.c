/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logout tokens that Kamailio's HTTP server (xhttp) receives: OpenID Connect Back-Channel Logout 1.0.
 */
#include <string.h>

#include "core/ip_addr.h"

#include "module.h"

int oauth_back_channel_logout(sip_msg_t *msg, const str *form)
{
    char source[64];
    sipoauth_worker *worker = oauth_worker_get();
    int rc;

    if (worker == NULL)
        return OAUTH_NOT_NOW;
    /* ip_addr2a has one static buffer */
    strncpy(source, ip_addr2a(&msg->rcv.src_ip), sizeof(source) - 1);
    source[sizeof(source) - 1] = '\0';
    rc = sipoauth_worker_log_out(worker, oauth_view(form), (sipoauth_str){source, strlen(source)});
    switch (rc) {
    case SIPOAUTH_OK:
        return OAUTH_OK;
    case SIPOAUTH_E_MISMATCH:
        return OAUTH_DENIED;
    case SIPOAUTH_E_FULL:
        return OAUTH_NOT_NOW;
    case SIPOAUTH_E_STATE:
        LM_ERR("logout tokens need store and back_channel_logout = yes\n");
        return OAUTH_ERROR;
    default:
        LM_ERR("a logout token could not be handled (%d)\n", rc);
        return OAUTH_ERROR;
    }
}
