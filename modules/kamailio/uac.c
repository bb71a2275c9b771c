/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of the NOTIFY requests Kamailio does in its own way.
 */
#include "core/socket_info.h"

#include "module.h"

/* HOST:PORT as it is advertised, by the rules of Record-Route. Returns its length, 0 when it does not fit. */
size_t host_socket_address(const sip_msg_t *msg, char *text)
{
    const struct socket_info *socket = msg->rcv.bind_address;
    const str *host, *port;

    if (socket == NULL)
        return 0;
    host = socket->useinfo.name.len > 0 ? &socket->useinfo.name
            : msg->set_global_address.len > 0 ? &msg->set_global_address : &socket->address_str;
    port = socket->useinfo.port_no > 0 ? &socket->useinfo.port_no_str
            : msg->set_global_port.len > 0 ? &msg->set_global_port : &socket->port_no_str;
    return oauth_refer_address(text, host, port);
}

int host_notify(dlg_t *dialog, const str *destination, str *headers, str *body, void *subscription)
{
    str method = str_init("NOTIFY");
    uac_req_t request;

    if (destination->len > 0)
        dialog->dst_uri = *destination;
    set_uac_req(&request, &method, headers, body, dialog, TMCB_LOCAL_COMPLETED, oauth_notify_answered, subscription);
    return oauth_tm.t_request_within(&request);
}
