/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kamailio, as modules/common sees a SIP server: its headers, what differs between servers, and what only this host has.
 */
#ifndef AUTH_OAUTH_HOST_H
#define AUTH_OAUTH_HOST_H

#include "core/config.h"
#include "core/data_lump.h"
#include "core/data_lump_rpl.h"
#include "core/dprint.h"
#include "core/forward.h"
#include "core/ip_addr.h"
#include "core/locking.h"
#include "core/mem/mem.h"
#include "core/mem/shm.h"
#include "core/parser/contact/parse_contact.h"
#include "core/parser/hf.h"
#include "core/parser/msg_parser.h"
#include "core/parser/parse_content.h"
#include "core/parser/parse_cseq.h"
#include "core/parser/parse_expires.h"
#include "core/parser/parse_from.h"
#include "core/parser/parse_rr.h"
#include "core/parser/parse_to.h"
#include "core/parser/parse_uri.h"
#include "core/parser/parse_via.h"
#include "core/pt.h"
#include "core/pvar.h"
#include "core/route.h"
#include "core/rpc.h"
#include "core/sr_module.h"
#include "core/str.h"
#include "core/timer.h"
#include "core/ut.h"
#include "modules/rr/api.h"
#include "modules/sl/sl.h"
#include "modules/tm/dlg.h"
#include "modules/tm/tm_load.h"

#define HOST_PARAM_TEXT (PARAM_STRING | PARAM_USE_FUNC)
#define HOST_PARAM_NUMBER (PARAM_INT | PARAM_USE_FUNC)
#define HOST_PARAM_IS_NUMBER(type) (PARAM_TYPE_MASK(type) == PARAM_INT)
#define HOST_PARAM_FLAG PARAM_INT
#define HOST_PARAMS {"event_callback", PARAM_STRING, &oauth_event_callback},
#define HOST_PARAM_NAME PARAM_STRING
extern char *oauth_event_callback;

#define HOST_PV_TYPE PVT_OTHER
#define HOST_PV_NAME_TYPE PV_NAME_OTHER
typedef str host_pv_name;

/* The last event of a transaction, at which what it has in shared memory goes. */
#define HOST_TMCB_END TMCB_DESTROY

typedef rr_api_t host_rr_api;

static inline hdr_field_t *host_next_header(const hdr_field_t *header)
{
    return next_sibling_hdr(header);
}

static inline int host_is_date(const hdr_field_t *header)
{
    return header->type == HDR_DATE_T;
}

/* From the first octet of the body to the last one that has arrived. */
static inline char *host_body(sip_msg_t *msg)
{
    return get_body(msg);
}

static inline const str *host_reg_id(const contact_t *contact)
{
    return contact->reg_id != NULL ? &contact->reg_id->body : NULL;
}

static inline struct ip_addr *host_source_ip(sip_msg_t *msg)
{
    return &msg->rcv.src_ip;
}

static inline unsigned short host_source_port(const sip_msg_t *msg)
{
    return msg->rcv.src_port;
}

static inline int host_process_count(void)
{
    return get_max_procs();
}

/* Names the message that something in this process belongs to. The address alone is used again, and so is the number. */
struct oauth_owner {
    const sip_msg_t *msg;   /* NULL: nobody */
    unsigned int id;
    int pid;                /* 0 in the messages that xhttp makes */
};

/* Where a suspended transaction goes on. */
struct oauth_resume {
    int route;             /* index of a route block; -1: none */
    const str *callback;   /* name of a KEMI function; NULL or empty: none */
};
#define OAUTH_RESUME_NOWHERE ((struct oauth_resume){-1, NULL})

#endif
