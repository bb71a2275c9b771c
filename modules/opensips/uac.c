/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of the NOTIFY requests OpenSIPS does in its own way.
 */
#include "module.h"

static const str *first_of(const str *own, const str *of_script, const str *of_all, const str *real)
{
    return own->len > 0 ? own : of_script->len > 0 ? of_script : of_all->len > 0 ? of_all : real;
}

/* HOST:PORT as it is advertised, by the rules of Via. Returns its length, 0 when it does not fit. */
size_t host_socket_address(const sip_msg_t *msg, char *text)
{
    const struct socket_info *socket = msg->rcv.bind_address;

    if (socket == NULL)
        return 0;
    return oauth_refer_address(text,
            first_of(&socket->adv_name_str, &msg->set_global_address, default_global_address, &socket->address_str),
            first_of(&socket->adv_port_str, &msg->set_global_port, default_global_port, &socket->port_no_str));
}

int host_notify(dlg_t *dialog, const str *destination, str *headers, str *body, void *subscription)
{
    str method = str_init("NOTIFY");
    int rc;

    if (destination->len > 0)
        dialog->obp = *destination;
    /* Nobody listens at the port of a connection that a subscriber has opened, and OpenSIPS would wait for whoever does not
     * answer. tm sets this to 0 again. */
    tcp_no_new_conn = destination->len > 0;
    rc = oauth_tm.t_request_within(&method, headers, body, dialog, oauth_notify_answered, subscription, NULL);
    tcp_no_new_conn = 0;
    return rc;
}
