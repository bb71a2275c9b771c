/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client certificate of a TLS or WSS connection, for tokens that are bound to one (RFC 8705). The tls module reads
 * it out of its connection; nothing of OpenSSL is used here. The library asks only when it needs it, because the tls
 * module logs an error for a client without certificate.
 */
#include <dlfcn.h>

#include "core/cfg/cfg.h"
#include "core/pvar.h"
#include "core/sr_module.h"
#include "core/tcp_conn.h"

#include "shim.h"

typedef void (*set_connection_f)(struct tcp_connection *connection);

static pv_spec_t *peer_certificate = NULL;
/* The tls module's own variables know connections of TLS only, not those of WebSocket above TLS. It takes one that it is
 * given by this function, which all versions have but do not offer to other modules. */
static set_connection_f set_connection = NULL;

/* After every module is loaded. Without the tls module no connection has a certificate. */
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
        /* the tls module puts back what it was given */
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

/* A request that another proxy has passed on came over that proxy's connection. */
void oauth_certificate_offer(sipoauth_request *call, sip_msg_t *msg)
{
    if (peer_certificate == NULL || msg->via2 != NULL)
        return;
    if (msg->rcv.proto != PROTO_TLS && msg->rcv.proto != PROTO_WSS)
        return;
    call->client_certificate = read_certificate;
    call->client_certificate_user = msg;
}
