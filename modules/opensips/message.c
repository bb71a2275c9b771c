/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which message is which, and where its script is. How replies leave.
 */
#include "module.h"

uint64_t oauth_transaction_name(const struct cell *cell)
{
    return (uint64_t)cell->hash_index << 32 | cell->label;
}

/* How many made-up messages have ended in this process. */
static uint64_t ended = 0;

static void has_ended(sip_msg_t *msg, cb_type_t type, void *parameter, void *of_core)
{
    (void)msg;
    (void)type;
    (void)parameter;
    (void)of_core;
    ended++;
}

/*
 * OpenSIPS makes up one message for the routes of timers, events and launch(), and gives it to each of them, with the same
 * number. What belongs to it belongs to one of these routes.
 */
static struct oauth_owner owner_of_made_up(const sip_msg_t *msg)
{
    sip_msg_t *own = (sip_msg_t *)msg; /* variables are read with a const one */

    if (msg_callback_check(own, MSG_DESTROY, has_ended) == 0 && msg_callback_add(own, MSG_DESTROY, has_ended, NULL) != 0)
        return (struct oauth_owner){NULL, 0, 0};
    return (struct oauth_owner){msg, msg->id, ended};
}

struct oauth_owner oauth_owner_of(const sip_msg_t *msg)
{
    const struct cell *cell = msg->msg_flags & FL_TM_FAKE_REQ ? oauth_transaction() : NULL;

    if (is_dummy_sip_msg((sip_msg_t *)msg) == 0)
        return owner_of_made_up(msg);
    return (struct oauth_owner){msg, msg->id, cell != NULL ? oauth_transaction_name(cell) : 0};
}

int oauth_owns(const struct oauth_owner *owner, const sip_msg_t *msg)
{
    return msg != NULL && owner->msg == msg && owner->id == msg->id
            && owner->transaction == oauth_owner_of(msg).transaction;
}

void host_renew_owner(struct oauth_owner *owner)
{
    (void)owner;
}

/* Numbers of messages are of the process that has received them, so this compares the octets, too. */
int host_is_copy_of(const sip_msg_t *request, const sip_msg_t *msg)
{
    return request->id == msg->id && request->len == msg->len
            && (request->buf == msg->buf || memcmp(request->buf, msg->buf, msg->len) == 0);
}

int host_in_request_route(void)
{
    return route_type == REQUEST_ROUTE;
}

int host_in_branch_route(void)
{
    return route_type == BRANCH_ROUTE;
}

/* Where header lines can be added. */
struct lump *host_end_of_headers(sip_msg_t *msg)
{
    return anchor_lump(msg, (unsigned int)(msg->unparsed - msg->buf), HDR_OTHER_T);
}

/* With the last part of a body its Content-Type goes. Parts that are deleted stay so. */
int host_remove_body(sip_msg_t *msg, const char *body, const char *end)
{
    struct body_part *part;

    (void)body;
    (void)end;
    if (parse_sip_body(msg) < 0 || msg->body == NULL)
        return -1;
    for (part = &msg->body->first; part != NULL; part = part->next) {
        if (!(part->flags & SIP_BODY_PART_FLAG_DELETED) && delete_body_part(msg, part) < 0)
            return -1;
    }
    return 0;
}

/* signaling uses the transaction, if there is one. */
int host_reply(sip_msg_t *msg, int code, const str *phrase)
{
    return oauth_sig.reply(msg, code, phrase, NULL);
}

int host_reply_to_tag(sip_msg_t *msg, str *tag)
{
    return oauth_sig.gen_totag(msg, tag) == 1 ? 0 : -1;
}

/* A server that is only a registrar does not need rr, so it may be missing. */
int host_load_rr(host_rr_api *rr)
{
    return module_loaded("rr") && load_rr_api(rr) == 0 ? 0 : -1;
}

/*
 * Whoever has seen an INVITE can copy its Via and Call-ID into a CANCEL, and OpenSIPS has no variable that tells where the
 * INVITE came from. Returns 1 if the two came the same way: from one address and port, and over one connection.
 */
int oauth_cancel_check(sip_msg_t *msg)
{
    const struct cell *cell;
    const sip_msg_t *invite;

    if (!oauth_is_request(msg) || msg->first_line.u.request.method_value != METHOD_CANCEL || oauth_tm.t_check_trans(msg) < 0)
        return OAUTH_DENIED;
    cell = oauth_tm.t_lookup_original_t(msg);
    invite = cell != NULL ? cell->uas.request : NULL;
    if (invite == NULL || invite->rcv.proto != msg->rcv.proto || invite->rcv.src_port != msg->rcv.src_port
            || invite->rcv.proto_reserved1 != msg->rcv.proto_reserved1
            || !ip_addr_cmp((struct ip_addr *)&invite->rcv.src_ip, &msg->rcv.src_ip))
        return OAUTH_DENIED;
    return OAUTH_OK;
}

/* OpenSIPS gives text fields of a client certificate, and never the certificate itself. */
void host_offer_certificate(sipoauth_request *call, sip_msg_t *msg)
{
    (void)call;
    (void)msg;
}
