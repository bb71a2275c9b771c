/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NOTIFY requests within a dialog that only the library knows, by tm. They leave from the I/O process; their answers come to
 * any process.
 */
#include "modules/tm/dlg.h"

#include "module.h"

uint64_t host_socket(const sip_msg_t *msg)
{
    return (uint64_t)(uintptr_t)msg->rcv.bind_address;
}

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

/* 1: there is a transaction now. 0: the request is a copy, and was answered. */
int host_make_transaction(sip_msg_t *msg)
{
    int rc = oauth_tm.t_newtran(msg);

    if (rc < 0)
        LM_ERR("no transaction can be made for a REFER (%d)\n", rc);
    return rc;
}

/* The request to which the message that this process works on is a response. */
str host_answered_request(void)
{
    struct cell *cell = oauth_transaction();

    return cell != NULL && cell->uas.request != NULL ? (str){cell->uas.request->buf, (int)cell->uas.request->len}
                                                     : (str)STR_NULL;
}

static void answered(struct cell *cell, int type, struct tmcb_params *params)
{
    (void)cell;
    (void)type;
    oauth_refer_notified((uint64_t)(uintptr_t)*params->param, params->code);
}

int host_notify(const sipoauth_notify *notify)
{
    str method = str_init("NOTIFY"), headers = oauth_text(notify->headers), body = oauth_text(notify->body);
    rr_t *routes = NULL;
    dlg_t dialog;
    int rc;

    memset(&dialog, 0, sizeof(dialog));
    if (notify->routes.len > 0 && parse_rr_body((char *)notify->routes.ptr, (int)notify->routes.len, &routes) < 0) {
        LM_ERR("the route set of a subscription cannot be parsed\n");
        return -1;
    }
    dialog.id.call_id = oauth_text(notify->call_id);
    dialog.id.loc_tag = oauth_text(notify->local_tag);
    dialog.id.rem_tag = oauth_text(notify->remote_tag);
    dialog.loc_uri = oauth_text(notify->local_uri);
    dialog.rem_uri = oauth_text(notify->remote_uri);
    dialog.rem_target = oauth_text(notify->target);
    if (notify->destination.len > 0)
        dialog.obp = oauth_text(notify->destination);
    dialog.route_set = routes;
    /* tm adds one */
    dialog.loc_seq.value = notify->cseq - 1;
    dialog.loc_seq.is_set = 1;
    dialog.state = DLG_CONFIRMED;
    dialog.send_sock = (void *)(uintptr_t)notify->socket;
    /* Nobody listens at the port of a connection that a subscriber has opened, and OpenSIPS would wait for whoever does not answer.
     * tm sets this to 0 again. */
    tcp_no_new_conn = notify->destination.len > 0;
    rc = oauth_tm.t_request_within(&method, &headers, &body, &dialog, answered, (void *)(uintptr_t)notify->subscription, NULL);
    tcp_no_new_conn = 0;
    if (routes != NULL)
        free_rr(&routes);
    if (rc < 0)
        LM_INFO("a NOTIFY cannot be sent (%d)\n", rc);
    return rc < 0 ? -1 : 0;
}
