/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Views into a SIP message for the library. Nothing is copied but the address text; everything else points
 * into the message. A header that is missing is an empty string: the library knows what it needs.
 */
#include <string.h>

#include "core/ip_addr.h"
#include "core/parser/hf.h"
#include "core/parser/parse_from.h"
#include "core/parser/parse_to.h"
#include "core/parser/parse_uri.h"

#include "shim.h"

sipoauth_str oauth_view(const str *text)
{
    sipoauth_str view = {NULL, 0};

    if (text != NULL && text->s != NULL && text->len > 0) {
        view.ptr = text->s;
        view.len = (size_t)text->len;
    }
    return view;
}

int oauth_is_request(const sip_msg_t *msg)
{
    return msg != NULL && msg->first_line.type == SIP_REQUEST;
}

uint32_t oauth_transport(const sip_msg_t *msg)
{
    switch (msg->rcv.proto) {
    case PROTO_UDP:
        return SIPOAUTH_TRANSPORT_UDP;
    case PROTO_TCP:
        return SIPOAUTH_TRANSPORT_TCP;
    case PROTO_TLS:
        return SIPOAUTH_TRANSPORT_TLS;
    case PROTO_SCTP:
        return SIPOAUTH_TRANSPORT_SCTP;
    case PROTO_WS:
        return SIPOAUTH_TRANSPORT_WS;
    case PROTO_WSS:
        return SIPOAUTH_TRANSPORT_WSS;
    default:
        return SIPOAUTH_TRANSPORT_UNKNOWN;
    }
}

static sipoauth_str from_uri(sip_msg_t *msg)
{
    sipoauth_str none = {NULL, 0};

    /* asked first, as the parser logs an error for a missing From */
    if (msg->from == NULL || parse_from_header(msg) < 0 || get_from(msg) == NULL)
        return none;
    return oauth_view(&get_from(msg)->uri);
}

static sipoauth_str to_uri(sip_msg_t *msg)
{
    sipoauth_str none = {NULL, 0};

    if (msg->to == NULL || parse_to_header(msg) < 0 || get_to(msg) == NULL)
        return none;
    return oauth_view(&get_to(msg)->uri);
}

int oauth_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A header body may come with its line end and with folded lines; only the ends are cut. */
sipoauth_str oauth_trimmed(const str *body)
{
    sipoauth_str view = oauth_view(body);

    while (view.len > 0 && oauth_is_space(view.ptr[view.len - 1]))
        view.len--;
    while (view.len > 0 && oauth_is_space(view.ptr[0])) {
        view.ptr++;
        view.len--;
    }
    return view;
}

static size_t collect(sipoauth_str *list, const hdr_field_t *header)
{
    size_t count = 0;

    for (; header != NULL && count <= OAUTH_MAX_CREDENTIALS; header = next_sibling_hdr(header))
        list[count++] = oauth_trimmed(&header->body);
    return count;
}

int oauth_request_fill(struct oauth_request *request, sip_msg_t *msg, uint32_t role, const str *realm)
{
    sipoauth_request *call = &request->call;
    const hdr_field_t *credentials;

    memset(call, 0, sizeof(*call));
    if (parse_headers(msg, HDR_EOH_F, 0) < 0)
        return -1;
    call->struct_size = sizeof(*call);
    call->role = role;
    call->transport = oauth_transport(msg);
    call->source_port = msg->rcv.src_port;
    call->method = oauth_view(&msg->first_line.u.request.method);
    /* what the phone wrote, not what the script made of it since */
    call->request_uri = oauth_view(&msg->first_line.u.request.uri);
    call->from_uri = from_uri(msg);
    call->to_uri = to_uri(msg);
    if (msg->callid != NULL)
        call->call_id = oauth_trimmed(&msg->callid->body);
    call->realm = oauth_view(realm);

    /* ip_addr2a has one static buffer, which parking a request may use again */
    strncpy(request->source_ip, ip_addr2a(&msg->rcv.src_ip), sizeof(request->source_ip) - 1);
    request->source_ip[sizeof(request->source_ip) - 1] = '\0';
    call->source_ip.ptr = request->source_ip;
    call->source_ip.len = strlen(request->source_ip);

    credentials = role == SIPOAUTH_ROLE_PROXY ? msg->proxy_auth : msg->authorization;
    /* JsSIP answers a 407 with Authorization: the operator may allow that */
    if (credentials == NULL && role == SIPOAUTH_ROLE_PROXY && oauth_proxy_accepts_authorization)
        credentials = msg->authorization;
    call->credentials = request->credentials;
    call->credentials_count = collect(request->credentials, credentials);
    return 0;
}

/* The domain of the address-of-record that the request is about. */
sipoauth_str oauth_request_domain(sip_msg_t *msg)
{
    sipoauth_str none = {NULL, 0};
    sipoauth_str uri;
    struct sip_uri parsed;

    uri = msg->first_line.u.request.method_value == METHOD_REGISTER ? to_uri(msg) : from_uri(msg);
    if (uri.len == 0 || parse_uri((char *)uri.ptr, (int)uri.len, &parsed) < 0)
        return none;
    return oauth_view(&parsed.host);
}
