/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenSIPS 3.4 to 4.0, as modules/common sees a SIP server: its headers, what differs between servers, and what only this
 * host has. tools/opensips-build.sh defines OPENSIPS_SERIES: 304 for 3.4, 306 for 3.6, 400 for 4.0.
 */
#ifndef AUTH_OAUTH_HOST_H
#define AUTH_OAUTH_HOST_H

#include <string.h>

#include "action.h"
#include "async.h"
#include "config.h"
#include "context.h"
#include "data_lump.h"
#include "data_lump_rpl.h"
#include "dprint.h"
#include "dset.h"
#include "forward.h"
#include "globals.h"
#include "ip_addr.h"
#include "ipc.h"
#include "locking.h"
#include "mem/mem.h"
#include "mem/shm_mem.h"
#include "mod_fix.h"
#include "msg_callbacks.h"
#include "msg_translator.h"
#include "parser/contact/parse_contact.h"
#include "parser/hf.h"
#include "parser/msg_parser.h"
#include "parser/parse_body.h"
#include "parser/parse_content.h"
#include "parser/parse_cseq.h"
#include "parser/parse_expires.h"
#include "parser/parse_from.h"
#include "parser/parse_rr.h"
#include "parser/parse_to.h"
#include "parser/parse_uri.h"
#include "parser/parse_via.h"
#include "pt.h"
#include "pvar.h"
#include "receive.h"
#include "route.h"
#include "script_cb.h"
#include "sl_cb.h"
#include "sr_module.h"
#include "statistics.h"
#include "str.h"
#include "timer.h"
#include "usr_avp.h"
#include "ut.h"
#include "modules/rr/api.h"
#include "modules/signaling/signaling.h"
#include "modules/sl/sl_api.h"
#include "modules/tm/dlg.h"
#include "modules/tm/tm_load.h"

/* The names of Kamailio's headers. */
typedef struct sip_msg sip_msg_t;
typedef struct hdr_field hdr_field_t;
#define STR_EQ(a, b) str_match(&(a), &(b))

#define HOST_PARAM_TEXT (STR_PARAM | USE_FUNC_PARAM)
#define HOST_PARAM_NUMBER (INT_PARAM | USE_FUNC_PARAM)
#define HOST_PARAM_IS_NUMBER(type) (PARAM_TYPE_MASK(type) == INT_PARAM)
#define HOST_PARAM_FLAG INT_PARAM
#define HOST_PARAM_NAME STR_PARAM
#define HOST_PARAMS

/* Modules choose a number of their own. */
#define HOST_PV_TYPE 1100
#define HOST_PV_NAME_TYPE PV_NAME_PVAR
typedef const str host_pv_name;

/* The last event of a transaction, at which what it has in shared memory goes. */
#define HOST_TMCB_END TMCB_TRANS_DELETED

typedef struct rr_binds host_rr_api;

/* From 3.6 on what a module is given to read is const. */
#if OPENSIPS_SERIES < 306
#define HOST_CONST
#else
#define HOST_CONST const
#endif

static inline hdr_field_t *host_next_header(const hdr_field_t *header)
{
    return header->sibling;
}

/* The parser has no type for it. */
static inline int host_is_date(const hdr_field_t *header)
{
    return header->type == HDR_OTHER_T && header->name.len == 4 && strncasecmp(header->name.s, "Date", 4) == 0;
}

/* From the first octet of the body to the last one that has arrived. */
static inline char *host_body(const sip_msg_t *msg)
{
    const char *end = msg->buf + msg->len;

    if (msg->unparsed == NULL || msg->unparsed >= end)
        return NULL;
    if (end - msg->unparsed >= (long)CRLF_LEN && memcmp(msg->unparsed, CRLF, CRLF_LEN) == 0)
        return msg->unparsed + CRLF_LEN;
    return *msg->unparsed == '\n' || *msg->unparsed == '\r' ? msg->unparsed + 1 : NULL;
}

static inline const str *host_reg_id(const contact_t *contact)
{
    static const str name = str_init("reg-id");
    const param_t *one;

    for (one = contact->params; one != NULL; one = one->next) {
        if (one->name.len == name.len && strncasecmp(one->name.s, name.s, (size_t)name.len) == 0)
            return &one->body;
    }
    return NULL;
}

/* 4.0 knows the sender behind a proxy that speaks the PROXY protocol. */
static inline struct ip_addr *host_source_ip(sip_msg_t *msg)
{
#ifdef get_rcv_src_ip
    return (struct ip_addr *)get_rcv_src_ip(&msg->rcv);
#else
    return &msg->rcv.src_ip;
#endif
}

static inline unsigned short host_source_port(const sip_msg_t *msg)
{
#ifdef get_rcv_src_port
    return get_rcv_src_port(&msg->rcv);
#else
    return msg->rcv.src_port;
#endif
}

static inline int host_process_count(void)
{
    return (int)counted_max_processes;
}

/*
 * Names the message that something in this process belongs to. The address alone is used again, and so is the number:
 * tm has one place for the copies of all requests that it shows to failure and resume routes, with the numbers that the
 * requests had in whatever process received them. So the transaction of such a copy belongs to its name.
 */
struct oauth_owner {
    const sip_msg_t *msg;   /* NULL: nobody */
    unsigned int id;
    uint64_t transaction;   /* 0: the message itself */
};

#endif
