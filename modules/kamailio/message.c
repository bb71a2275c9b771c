/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which message is which, and where its script is. How replies leave.
 */
#include "core/fmsg.h"

#include "module.h"

struct oauth_owner oauth_owner_of(const sip_msg_t *msg)
{
    return (struct oauth_owner){msg, msg->id, msg->pid};
}

int oauth_owns(const struct oauth_owner *owner, const sip_msg_t *msg)
{
    return msg != NULL && owner->msg == msg && owner->id == msg->id && owner->pid == msg->pid;
}

/* An event gives the faked message another number. */
void host_renew_owner(struct oauth_owner *owner)
{
    if (faked_msg_match((sip_msg_t *)owner->msg))
        owner->id = owner->msg->id;
}

int host_is_copy_of(const sip_msg_t *request, const sip_msg_t *msg)
{
    return request->id == msg->id && request->pid == msg->pid;
}

int host_in_request_route(void)
{
    return get_route_type() == REQUEST_ROUTE;
}

int host_in_branch_route(void)
{
    return is_route_type(BRANCH_ROUTE);
}

/* Where header lines can be added. */
struct lump *host_end_of_headers(sip_msg_t *msg)
{
    return anchor_lump(msg, (int)(msg->unparsed - msg->buf), 0, HDR_OTHER_T);
}

int host_remove_body(sip_msg_t *msg, const char *body, const char *end)
{
    if (oauth_is_removed(msg, msg->body_lumps, body))
        return 0;
    if (msg->content_type != NULL && oauth_remove_header(msg, msg->content_type) < 0)
        return -1;
    return del_lump(msg, (int)(body - msg->buf), (int)(end - body), HDR_OTHER_T) != NULL ? 0 : -1;
}

/* sl uses the transaction, if there is one. */
int host_reply(sip_msg_t *msg, int code, const str *phrase)
{
    return oauth_sl.freply(msg, code, (str *)phrase);
}

int host_reply_to_tag(sip_msg_t *msg, str *tag)
{
    return oauth_sl.get_reply_totag(msg, tag);
}

/* A server that is only a registrar does not need rr, so it may be missing. */
int host_load_rr(host_rr_api *rr)
{
    return find_module_by_name("rr") != NULL && load_rr_api(rr) == 0 ? 0 : -1;
}
