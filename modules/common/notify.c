/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NOTIFY requests within a dialog that only the library knows, by tm. They leave from the I/O process; their answers come to
 * any process.
 */
#include <string.h>

#include "shim.h"

/* The socket at which a request came, for the library to keep. */
uint64_t oauth_socket(const sip_msg_t *msg)
{
    return (uint64_t)(uintptr_t)msg->rcv.bind_address;
}

void oauth_notify_answered(struct cell *cell, int type, struct tmcb_params *params)
{
    (void)cell;
    (void)type;
    oauth_refer_notified((uint64_t)(uintptr_t)*params->param, params->code);
}

int oauth_notify_send(void *user, const sipoauth_notify *notify)
{
    str headers = oauth_text(notify->headers), body = oauth_text(notify->body), destination = oauth_text(notify->destination);
    rr_t *routes = NULL;
    dlg_t dialog;
    int rc;

    (void)user;
    memset(&dialog, 0, sizeof(dialog));
    if (notify->routes.len > 0 && parse_rr_body((char *)notify->routes.ptr, (int)notify->routes.len, &routes) < 0) {
        LM_ERR("the route set of a subscription cannot be parsed\n");
        return SIPOAUTH_E_SYSTEM;
    }
    dialog.id.call_id = oauth_text(notify->call_id);
    dialog.id.loc_tag = oauth_text(notify->local_tag);
    dialog.id.rem_tag = oauth_text(notify->remote_tag);
    dialog.loc_uri = oauth_text(notify->local_uri);
    dialog.rem_uri = oauth_text(notify->remote_uri);
    dialog.rem_target = oauth_text(notify->target);
    dialog.route_set = routes;
    /* tm adds one */
    dialog.loc_seq.value = notify->cseq - 1;
    dialog.loc_seq.is_set = 1;
    dialog.state = DLG_CONFIRMED;
    dialog.send_sock = (void *)(uintptr_t)notify->socket;
    rc = host_notify(&dialog, &destination, &headers, &body, (void *)(uintptr_t)notify->subscription);
    if (routes != NULL)
        free_rr(&routes);
    if (rc >= 0)
        return SIPOAUTH_OK;
    LM_INFO("a NOTIFY cannot be sent (%d)\n", rc);
    return SIPOAUTH_E_SYSTEM;
}
