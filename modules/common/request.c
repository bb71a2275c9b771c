/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Views into a SIP message for the library. Only the text of the source address is copied. Everything else points into
 * the message, and the tag of the coming answer points into a buffer of the server. A missing header is an empty string,
 * because the library knows what it needs.
 */
#include <string.h>

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

/* The same octets for functions of the host, which do not change them. */
str oauth_text(sipoauth_str view)
{
    return (str){(char *)view.ptr, (int)view.len};
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

/* Looks for the header first, because the parser logs an error for a missing one. */
static const struct to_body *from_of(sip_msg_t *msg)
{
    return msg->from == NULL || parse_from_header(msg) < 0 ? NULL : get_from(msg);
}

static const struct to_body *to_of(sip_msg_t *msg)
{
    return msg->to == NULL || parse_to_header(msg) < 0 ? NULL : get_to(msg);
}

static sipoauth_str uri_of(const struct to_body *party)
{
    return oauth_view(party != NULL ? &party->uri : NULL);
}

static sipoauth_str tag_of(const struct to_body *party)
{
    return oauth_view(party != NULL ? &party->tag_value : NULL);
}

static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A header body may come with its line end and with folded lines. Only white space at both ends is cut. */
sipoauth_str oauth_trimmed(const str *body)
{
    sipoauth_str view = oauth_view(body);

    while (view.len > 0 && is_space(view.ptr[view.len - 1]))
        view.len--;
    while (view.len > 0 && is_space(view.ptr[0])) {
        view.ptr++;
        view.len--;
    }
    return view;
}

static size_t collect(sipoauth_str *list, const hdr_field_t *header)
{
    size_t count = 0;

    for (; header != NULL && count <= OAUTH_MAX_CREDENTIALS; header = host_next_header(header))
        list[count++] = oauth_trimmed(&header->body);
    return count;
}

/* The octets that the sender's proof covers. Over UDP, octets beyond Content-Length do not belong to the body. */
static sipoauth_str body_of(sip_msg_t *msg)
{
    sipoauth_str body = {host_body(msg), 0};
    long length;

    if (body.ptr == NULL)
        return body;
    body.len = (size_t)(msg->buf + msg->len - body.ptr);
    if (msg->content_length != NULL) {
        length = get_content_length(msg);
        if (length >= 0 && (size_t)length < body.len)
            body.len = (size_t)length;
    }
    return body;
}

static int is_star(const str *text)
{
    sipoauth_str view = oauth_trimmed(text);

    return view.len == 1 && view.ptr[0] == '*';
}

/*
 * The number of Contacts in all Contact header fields together. "*" counts as one. A field that cannot be read counts
 * as several Contacts, which no proof covers: no value at all, "<*>", and "*" with more behind it, which the parser
 * takes for "*".
 */
static uint32_t contacts_of(sip_msg_t *msg)
{
    hdr_field_t *header;
    const contact_body_t *body;
    const contact_t *contact;
    uint32_t count = 0;

    for (header = msg->contact; header != NULL; header = host_next_header(header)) {
        if (parse_contact(header) < 0 || header->parsed == NULL)
            return 2;
        body = header->parsed;
        if (body->star ? !is_star(&header->body) : body->contacts == NULL)
            return 2;
        if (body->star)
            count++;
        for (contact = body->contacts; contact != NULL; contact = contact->next) {
            if (is_star(&contact->uri))
                return 2;
            count++;
        }
    }
    return count;
}

static void fill_contact(sipoauth_request *call, sip_msg_t *msg)
{
    const contact_body_t *body;
    const str *written;
    unsigned int reg_id = 0;

    if (msg->contact == NULL)
        return;
    call->contact_count = contacts_of(msg);
    if (parse_contact(msg->contact) < 0)
        return;
    body = msg->contact->parsed;
    if (body == NULL)
        return;
    if (body->star)
        call->contact_uri = oauth_trimmed(&msg->contact->body);
    if (body->star || body->contacts == NULL)
        return;
    call->contact_uri = oauth_view(&body->contacts->uri);
    if (body->contacts->instance != NULL)
        call->instance = oauth_view(&body->contacts->instance->body);
    written = host_reg_id(body->contacts);
    if (written != NULL && str2int((str *)written, &reg_id) == 0)
        call->reg_id = reg_id;
}

/*
 * The To tag that the answer will have. The phone's own tag is kept. Otherwise a transaction makes another tag than there
 * is without one, so this one is valid only until a transaction is created.
 */
sipoauth_str oauth_reply_to_tag(sip_msg_t *msg)
{
    sipoauth_str own = tag_of(to_of(msg));
    sipoauth_str none = {NULL, 0};
    str tag = STR_NULL;

    if (own.len > 0)
        return own;
    if (msg->first_line.u.request.method_value == METHOD_ACK || host_reply_to_tag(msg, &tag) < 0)
        return none;
    return oauth_view(&tag);
}

/* Searches all header fields, because a parked request goes on with tm's copy, which does not point to its Date. */
static sipoauth_str date_of(const sip_msg_t *msg)
{
    sipoauth_str none = {NULL, 0};
    const hdr_field_t *header;

    for (header = msg->headers; header != NULL; header = header->next) {
        if (host_is_date(header))
            return oauth_trimmed(&header->body);
    }
    return none;
}

/* The connection of the phone itself. A request that another proxy has passed on came over that proxy's connection,
 * which many phones share. */
static uint64_t connection_of(const sip_msg_t *msg)
{
    return msg->via2 == NULL ? (uint32_t)msg->rcv.proto_reserved1 : 0;
}

/* The Via header fields as they came. The library decides who wrote which of them, and whom to believe. */
static size_t collect_vias(sipoauth_str *list, const sip_msg_t *msg)
{
    const hdr_field_t *header;
    size_t count = 0;

    for (header = msg->headers; header != NULL && count < OAUTH_MAX_VIAS; header = header->next) {
        if (header->type == HDR_VIA_T)
            list[count++] = oauth_trimmed(&header->body);
    }
    return count;
}

/* The rest: what a code or a proof is bound to, and what limits and log lines go by. */
static int32_t complete(void *user)
{
    struct oauth_request *request = user;
    sipoauth_request *call = &request->call;
    sip_msg_t *msg = request->msg;

    call->source_port = host_source_port(msg);
    /* as the phone wrote it, not as the script has changed it since */
    call->request_uri = oauth_view(&msg->first_line.u.request.uri);
    call->message.ptr = msg->buf;
    call->message.len = msg->len;
    if (msg->callid != NULL)
        call->call_id = oauth_trimmed(&msg->callid->body);
    if (msg->content_type != NULL)
        call->content_type = oauth_trimmed(&msg->content_type->body);
    call->from_tag = tag_of(from_of(msg));
    if (msg->cseq != NULL)
        call->cseq = oauth_trimmed(&msg->cseq->body);
    call->date = date_of(msg);
    if (msg->user_agent != NULL)
        call->user_agent = oauth_trimmed(&msg->user_agent->body);
    fill_contact(call, msg);
    if (msg->via1 != NULL && msg->via1->branch != NULL)
        call->branch = oauth_view(&msg->via1->branch->value);
    call->reply_to_tag = oauth_reply_to_tag(msg);
    host_offer_certificate(call, msg);

    /* ip_addr2a has one static buffer, which the code that parks a request may use again */
    strncpy(request->source_ip, ip_addr2a(host_source_ip(msg)), sizeof(request->source_ip) - 1);
    request->source_ip[sizeof(request->source_ip) - 1] = '\0';
    call->source_ip.ptr = request->source_ip;
    call->source_ip.len = strlen(request->source_ip);
    call->vias = request->vias;
    call->vias_count = collect_vias(request->vias, msg);
    return SIPOAUTH_OK;
}

/*
 * What decides about a token that was seen before; the library asks for the rest. -1: the request cannot be parsed, and only
 * its method and role are there.
 */
int oauth_request_read(struct oauth_request *request, sip_msg_t *msg, uint32_t role, const str *realm)
{
    sipoauth_request *call = &request->call;
    const hdr_field_t *credentials;

    memset(call, 0, sizeof(*call));
    call->struct_size = sizeof(*call);
    call->role = role;
    call->transport = oauth_transport(msg);
    call->method = oauth_view(&msg->first_line.u.request.method);
    call->realm = oauth_view(realm);
    if (parse_headers(msg, HDR_EOH_F, 0) < 0)
        return -1;
    call->connection = connection_of(msg);
    call->from_uri = uri_of(from_of(msg));
    call->to_uri = uri_of(to_of(msg));
    call->body = body_of(msg);

    credentials = role == SIPOAUTH_ROLE_PROXY ? msg->proxy_auth : msg->authorization;
    /* JsSIP answers a 407 with Authorization: the operator may allow that */
    if (credentials == NULL && role == SIPOAUTH_ROLE_PROXY && oauth_proxy_accepts_authorization)
        credentials = msg->authorization;
    request->msg = msg;
    call->complete = complete;
    call->complete_user = request;
    call->credentials = request->credentials;
    call->credentials_count = collect(request->credentials, credentials);
    return 0;
}

/* The address-of-record that the request speaks for, as it is written there. */
sipoauth_str oauth_request_address(sip_msg_t *msg)
{
    return msg->first_line.u.request.method_value == METHOD_REGISTER ? uri_of(to_of(msg)) : uri_of(from_of(msg));
}

/* Its domain. */
sipoauth_str oauth_request_domain(sip_msg_t *msg)
{
    sipoauth_str none = {NULL, 0};
    sipoauth_str uri = oauth_request_address(msg);
    struct sip_uri parsed;

    if (uri.len == 0 || parse_uri((char *)uri.ptr, (int)uri.len, &parsed) < 0)
        return none;
    return oauth_view(&parsed.host);
}
