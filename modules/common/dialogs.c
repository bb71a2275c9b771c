/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Marks the dialogs that the script accepts, and recognizes their later requests by the mark. The mark is a parameter
 * of the Record-Route URI. Only the mark of the topmost Route counts, and only if this URI is the proxy's own, because
 * loose_route() acts on that one alone.
 */
#include "shim.h"

/* A mark has 43 octets. */
#define MARK_SIZE 128

static host_rr_api rr;
static int rr_loaded = 0;

/* A server that is only a registrar does not need rr, so it may be missing. */
void oauth_dialogs_init(void)
{
    rr_loaded = host_load_rr(&rr) == 0;
}

struct parts {
    str call_id;
    str from_tag;
    str to_tag;
};

static int parts_of(sip_msg_t *msg, struct parts *parts)
{
    if (!oauth_is_request(msg) || parse_headers(msg, HDR_CALLID_F | HDR_FROM_F | HDR_TO_F, 0) < 0
            || msg->callid == NULL || msg->from == NULL || msg->to == NULL)
        return -1;
    if (parse_from_header(msg) < 0 || parse_to_header(msg) < 0)
        return -1;
    parts->call_id = msg->callid->body;
    parts->from_tag = get_from(msg)->tag_value;
    parts->to_tag = get_to(msg)->tag_value;
    return 0;
}

int oauth_dialog_mark(sip_msg_t *msg)
{
    sipoauth_worker *worker;
    struct parts parts;
    char text[MARK_SIZE];
    size_t len = 0;
    str mark = {text, 0};

    if (!rr_loaded) {
        LM_ERR("auth_oauth marks dialogs with the rr module: put loadmodule \"rr.so\" before it\n");
        return OAUTH_ERROR;
    }
    worker = oauth_worker_get();
    if (worker == NULL || parts_of(msg, &parts) < 0)
        return OAUTH_ERROR;
    if (sipoauth_worker_dialog_mark(worker, oauth_trimmed(&parts.call_id), oauth_view(&parts.from_tag), text,
                sizeof(text), &len) != SIPOAUTH_OK)
        return OAUTH_ERROR;
    mark.len = (int)len;
    return rr.add_rr_param(msg, &mark) == 0 ? OAUTH_OK : OAUTH_ERROR;
}

/* The parameters of the topmost Route URI; -1 when there is none, or it is not this proxy's. */
static int own_route_parameters(sip_msg_t *msg, str *parameters)
{
    const rr_t *route;
    struct sip_uri uri;

    if (parse_headers(msg, HDR_ROUTE_F, 0) < 0 || msg->route == NULL || parse_rr(msg->route) < 0)
        return -1;
    route = (const rr_t *)msg->route->parsed;
    if (route == NULL || parse_uri(route->nameaddr.uri.s, route->nameaddr.uri.len, &uri) < 0)
        return -1;
    /* The same test as in rr. A GRUU of this proxy names a phone. */
    if (uri.host.len <= 0 || uri.gr.s != NULL
            || check_self(&uri.host, uri.port_no != 0 ? uri.port_no : SIP_PORT, 0) != 1)
        return -1;
    *parameters = uri.params;
    return 0;
}

int oauth_dialog_check(sip_msg_t *msg)
{
    sipoauth_worker *worker = oauth_worker_get();
    struct parts parts;
    str parameters;

    if (worker == NULL)
        return OAUTH_ERROR;
    if (parts_of(msg, &parts) < 0 || own_route_parameters(msg, &parameters) < 0)
        return OAUTH_DENIED;
    switch (sipoauth_worker_dialog_check(worker, oauth_trimmed(&parts.call_id), oauth_view(&parts.from_tag),
            oauth_view(&parts.to_tag), oauth_view(&parameters))) {
    case SIPOAUTH_OK:
        return OAUTH_OK;
    case SIPOAUTH_E_MISMATCH:
        return OAUTH_DENIED;
    default:
        return OAUTH_ERROR;
    }
}
