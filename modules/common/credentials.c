/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Removes Bearer and Key-Derivation credentials from a request before it is relayed, because a token is for this proxy,
 * not for the next hop. The form in a REGISTER is not for the next hop either. A server that has its code and sees the
 * answer's tags has the phone's key, and a server that has its refresh token can get the next one. Other schemes stay,
 * for example Digest for a server behind this proxy.
 */
#include <string.h>

#include "shim.h"

/* True if these octets are removed already, for example by an earlier call when a branch route calls again. */
int oauth_is_removed(const sip_msg_t *msg, const struct lump *lump, const char *from)
{
    for (; lump != NULL; lump = lump->next) {
        if (lump->op == LUMP_DEL && (long)lump->u.offset == (long)(from - msg->buf))
            return 1;
    }
    return 0;
}

int oauth_remove_header(sip_msg_t *msg, const hdr_field_t *header)
{
    if (oauth_is_removed(msg, msg->add_rm, header->name.s))
        return 0;
    if (del_lump(msg, (int)(header->name.s - msg->buf), header->len, HDR_OTHER_T) == NULL) {
        LM_ERR("cannot remove a header field\n");
        return -1;
    }
    return 0;
}

static int is_named(const hdr_field_t *header, const char *name)
{
    sipoauth_str own = oauth_trimmed(&header->name);

    return own.len == strlen(name) && strncasecmp(own.ptr, name, own.len) == 0;
}

/* The parser does not know every name that is followed by a tab or a folded line, but the next hop may. */
static int has_credentials(const hdr_field_t *header)
{
    int known = header->type == HDR_AUTHORIZATION_T || header->type == HDR_PROXYAUTH_T
            || (header->type == HDR_OTHER_T && (is_named(header, "Authorization") || is_named(header, "Proxy-Authorization")));

    return known && sipoauth_is_credentials(oauth_view(&header->body)) != 0;
}

static sipoauth_str content_type(const sip_msg_t *msg)
{
    return oauth_view(msg->content_type != NULL ? &msg->content_type->body : NULL);
}

static int remove_form(sip_msg_t *msg)
{
    const char *body = host_body(msg), *end = msg->buf + msg->len;

    if (msg->first_line.u.request.method_value != METHOD_REGISTER || body == NULL || body >= end
            || sipoauth_is_form(content_type(msg)) == 0)
        return 0;
    if (host_remove_body(msg, body, end) < 0) {
        LM_ERR("cannot remove the body of a registration\n");
        return -1;
    }
    return 0;
}

int oauth_remove_credentials(sip_msg_t *msg)
{
    const hdr_field_t *header;

    if (!oauth_is_request(msg) || parse_headers(msg, HDR_EOH_F, 0) < 0) {
        LM_ERR("credentials cannot be removed from this message\n");
        return OAUTH_ERROR;
    }
    for (header = msg->headers; header != NULL; header = header->next) {
        if (has_credentials(header) && oauth_remove_header(msg, header) < 0)
            return OAUTH_ERROR;
    }
    return remove_form(msg) < 0 ? OAUTH_ERROR : OAUTH_OK;
}
