/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps the request that this process's script is about to see, as it arrived. If the request must wait, this copy is
 * parked, and received again later. The script may have changed its own buffer by then (msg_apply_changes).
 *
 * Also tells the other processes which request that is. A request that has waited is not received again as long as the
 * script is still at work on it, or on a copy of it, in any process: t_precheck_trans() would take it for a copy, and
 * it would be lost. So would the answer of a KEMI script that goes on after the check.
 *
 * Only the octets are copied for each request. Names for them are computed when somebody asks.
 */
#include <string.h>

#include "shim.h"

static char text[BUF_SIZE + 1];
static struct oauth_arrival own;
static struct oauth_owner owner;

/* In shared memory: a mark of the request that the script of each process sees now; 0: none. */
static uint64_t *marks = NULL;
static int mark_count;

/* Called when the number of processes is known. */
int oauth_arrival_init(void)
{
    mark_count = host_process_count();
    marks = shm_malloc(sizeof(*marks) * (size_t)mark_count);
    if (marks == NULL) {
        LM_ERR("no shared memory for marks of requests\n");
        return -1;
    }
    memset(marks, 0, sizeof(*marks) * (size_t)mark_count);
    return 0;
}

static uint64_t octets_of(const char *text, unsigned int len)
{
    uint64_t octets = 0;

    memcpy(&octets, text, len < sizeof(octets) ? len : sizeof(octets));
    return octets;
}

/* Equal for copies of a request. A sender can make requests for which it is equal; that only delays them. */
static uint64_t mark_of(const struct oauth_arrival *arrival)
{
    const struct oauth_part *branch = &arrival->branch, *call_id = &arrival->call_id;
    unsigned int end = branch->len < sizeof(uint64_t) ? branch->len : sizeof(uint64_t);

    return (octets_of(arrival->text + call_id->at, call_id->len) * UINT64_C(0x9e3779b97f4a7c15)
                   ^ octets_of(arrival->text + branch->at + branch->len - end, end))
            | 1;
}

static void set_mark(uint64_t mark)
{
    if (process_no >= 0 && process_no < mark_count)
        __atomic_store_n(&marks[process_no], mark, __ATOMIC_SEQ_CST);
}

/* True if the script of some process sees this request, or a copy of it. */
int oauth_arrival_is_seen(const struct oauth_arrival *arrival)
{
    uint64_t mark = mark_of(arrival);
    int i;

    for (i = 0; i < mark_count; i++) {
        if (__atomic_load_n(&marks[i], __ATOMIC_SEQ_CST) == mark)
            return 1;
    }
    return 0;
}

/* The script does not see it, or has seen it. */
void oauth_arrival_forget(void)
{
    if (owner.msg != NULL)
        set_mark(0);
    owner.msg = NULL;
}

static int part_of(const sip_msg_t *msg, const str *value, struct oauth_part *part)
{
    if (value->s < msg->buf || value->s + value->len > msg->buf + msg->len)
        return -1;
    part->at = (unsigned short)(value->s - msg->buf);
    part->len = (unsigned short)value->len;
    return 0;
}

/* Returns -1 for a request that cannot be received again: it is too long, lacks what names it, or has two methods. */
int oauth_arrival_keep(const sip_msg_t *msg)
{
    const struct cseq_body *cseq = msg->cseq != NULL ? msg->cseq->parsed : NULL;
    const struct via_body *via = msg->via1;

    oauth_arrival_forget();
    if (msg->len > BUF_SIZE || via == NULL || msg->callid == NULL || cseq == NULL
            || (int)cseq->method_id != msg->first_line.u.request.method_value)
        return -1;
    memset(&own.branch, 0, sizeof(own.branch));
    if (part_of(msg, &via->host, &own.host) < 0 || part_of(msg, &msg->callid->body, &own.call_id) < 0
            || part_of(msg, &cseq->number, &own.cseq) < 0
            || (via->branch != NULL && part_of(msg, &via->branch->value, &own.branch) < 0))
        return -1;
    memcpy(text, msg->buf, msg->len);
    text[msg->len] = '\0';
    own.rcv = msg->rcv;
    own.via_port = via->port;
    own.method = (unsigned int)cseq->method_id;
    own.len = (unsigned short)msg->len;
    own.text = text;
    owner = oauth_owner_of(msg);
    /* an ACK never waits, and sl may end its way before any callback that would remove the mark */
    if (own.method != METHOD_ACK)
        set_mark(mark_of(&own));
    return 0;
}

/* NULL for a message that did not just arrive: one that another module has made, or that tm has kept. */
const struct oauth_arrival *oauth_arrival_of(const sip_msg_t *msg)
{
    return oauth_owns(&owner, msg) ? &own : NULL;
}

static int same_part(const struct oauth_arrival *one, const struct oauth_part *part, const struct oauth_arrival *other,
        const struct oauth_part *other_part)
{
    return part->len == other_part->len && memcmp(one->text + part->at, other->text + other_part->at, part->len) == 0;
}

/*
 * True if both belong to one transaction, apart from the method. This compares more than RFC 3261 section 17.2.3
 * does: both must have come from the same place with the same Call-ID, so nobody can have another's request taken for a copy.
 */
int oauth_arrival_same(const struct oauth_arrival *one, const struct oauth_arrival *other)
{
    return one->via_port == other->via_port && one->rcv.src_port == other->rcv.src_port
            && one->rcv.proto == other->rcv.proto && one->rcv.proto_reserved1 == other->rcv.proto_reserved1
            && ip_addr_cmp((struct ip_addr *)&one->rcv.src_ip, (struct ip_addr *)&other->rcv.src_ip)
            && same_part(one, &one->branch, other, &other->branch) && same_part(one, &one->host, other, &other->host)
            && same_part(one, &one->call_id, other, &other->call_id) && same_part(one, &one->cseq, other, &other->cseq);
}

/* FNV-1a from a secret start, so that a sender cannot choose requests that share a place. */
static uint64_t hash_of(const struct oauth_arrival *arrival, const struct oauth_part *part, uint64_t hash)
{
    unsigned int at;

    for (at = 0; at < part->len; at++) {
        hash ^= (unsigned char)arrival->text[part->at + at];
        hash *= UINT64_C(0x100000001b3);
    }
    return hash;
}

uint64_t oauth_arrival_hash(const struct oauth_arrival *arrival, uint64_t secret)
{
    uint64_t hash = hash_of(arrival, &arrival->call_id, hash_of(arrival, &arrival->branch, secret));

    return hash ^ hash >> 32;
}

/* Equal for requests with one Call-ID. */
unsigned int oauth_arrival_lane(const struct oauth_arrival *arrival, uint64_t secret)
{
    uint64_t hash = hash_of(arrival, &arrival->call_id, secret);

    return (unsigned int)(hash ^ hash >> 32) % OAUTH_LANES;
}
