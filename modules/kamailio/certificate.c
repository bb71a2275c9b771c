/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client certificate of a TLS or WSS connection, for tokens that are bound to one (RFC 8705). The tls module reads
 * it from its connection, so this file does not use OpenSSL. The library asks for it only when needed, because the tls
 * module logs an error for a client without certificate.
 */
#include <dlfcn.h>

#include "core/cfg/cfg.h"
#include "core/pvar.h"
#include "core/sr_module.h"
#include "core/tcp_conn.h"

#include "module.h"

typedef void (*set_connection_f)(struct tcp_connection *connection);

static pv_spec_t *peer_certificate = NULL;
/* The tls module's own variables only know TLS connections, not WebSocket over TLS. This function gives the module such
 * a connection. All versions have the function, but do not offer it to other modules. */
static set_connection_f set_connection = NULL;

/* Called after every module is loaded. Without the tls module no connection has a certificate. */
void oauth_certificate_init(void)
{
    static str name = str_init("$tls_peer_raw_cert");
    struct sr_module *tls = find_module_by_name("tls");

    if (tls == NULL)
        return;
    peer_certificate = pv_cache_get(&name);
    *(void **)&set_connection = dlsym(tls->handle, "tls_set_pv_con");
}

static sipoauth_str read_certificate(void *user)
{
    sip_msg_t *msg = user;
    sipoauth_str none = {NULL, 0};
    struct tcp_connection *connection;
    pv_value_t value;
    int found;

    if (msg->rcv.proto == PROTO_TLS) {
        found = pv_get_spec_value(msg, peer_certificate, &value);
    } else {
        if (set_connection == NULL)
            return none;
        /* the tls module itself calls tcpconn_put for the connection that it is given */
        connection = tcpconn_get(msg->rcv.proto_reserved1, 0, 0, 0, 0);
        if (connection == NULL)
            return none;
        if (connection->type != PROTO_WSS || connection->extra_data == NULL) {
            tcpconn_put(connection);
            return none;
        }
        set_connection(connection);
        found = pv_get_spec_value(msg, peer_certificate, &value);
        set_connection(NULL);
    }
    return found == 0 && (value.flags & PV_VAL_STR) && !(value.flags & PV_VAL_NULL) ? oauth_view(&value.rs) : none;
}

/* Leaves out a request that another proxy has passed on, because it came over that proxy's connection. */
void host_offer_certificate(sipoauth_request *call, sip_msg_t *msg)
{
    if (peer_certificate == NULL || msg->via2 != NULL)
        return;
    if (msg->rcv.proto != PROTO_TLS && msg->rcv.proto != PROTO_WSS)
        return;
    call->client_certificate = read_certificate;
    call->client_certificate_user = msg;
}
