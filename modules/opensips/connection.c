/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells the library which connections have ended. OpenSIPS names an ended connection by its addresses only, in an event, and
 * the library by its number. So this file notes the number of each connection that a request came on. A connection whose
 * note another one has overwritten is forgotten two hours after its last use, as the library does by itself.
 */
#include "evi/evi_modules.h"
#include "evi/evi_params.h"
#include "evi/evi_transport.h"
#include "net/trans.h"

#include "module.h"

#define NOTES 65536

/* In shared memory: half of the hash of the addresses, and the number; 0: none. */
static uint64_t *notes = NULL;

static uint32_t mixed(uint32_t hash, const char *text, size_t len)
{
    size_t at;

    for (at = 0; at < len; at++)
        hash = (hash ^ (unsigned char)text[at]) * UINT32_C(0x01000193);
    return hash;
}

static uint32_t hash_of(const char *ip, size_t len, unsigned int port)
{
    const char number[2] = {(char)(port >> 8), (char)port};
    uint32_t hash = mixed(mixed(UINT32_C(0x811c9dc5), ip, len), number, sizeof(number));

    return hash ^ hash >> 15;
}

void oauth_connection_note(const sip_msg_t *msg)
{
    const char *ip;
    uint64_t note;
    uint32_t hash;

    if (notes == NULL || !is_tcp_based_proto(msg->rcv.proto))
        return;
    ip = ip_addr2a((struct ip_addr *)&msg->rcv.src_ip);
    hash = hash_of(ip, strlen(ip), msg->rcv.src_port);
    note = (uint64_t)(hash | 1) << 32 | (uint32_t)msg->rcv.proto_reserved1;
    if (__atomic_load_n(&notes[hash % NOTES], __ATOMIC_RELAXED) != note)
        __atomic_store_n(&notes[hash % NOTES], note, __ATOMIC_RELAXED);
}

static void ended(const str *ip, int port)
{
    uint32_t hash = hash_of(ip->s, (size_t)ip->len, (unsigned int)port);
    uint64_t note = __atomic_load_n(&notes[hash % NOTES], __ATOMIC_RELAXED);

    /* the note may be that of a connection that still is */
    if (note >> 32 == (hash | 1)
            && __atomic_compare_exchange_n(&notes[hash % NOTES], &note, 0, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        (void)sipoauth_context_connection_closed(oauth_context, (uint32_t)note);
}

static const evi_param_t *find(const evi_params_t *list, const char *name)
{
    const evi_param_t *one;

    for (one = list != NULL ? list->first : NULL; one != NULL; one = one->next) {
        if (one->name.len == (int)strlen(name) && memcmp(one->name.s, name, (size_t)one->name.len) == 0)
            return one;
    }
    return NULL;
}

static int raised(sip_msg_t *msg, str *name, evi_reply_sock *socket, evi_params_t *list, evi_async_ctx_t *context)
{
    const evi_param_t *ip = find(list, "src_ip"), *port = find(list, "src_port");

    (void)msg;
    (void)name;
    (void)socket;
    (void)context;
    if (ip != NULL && port != NULL && (ip->flags & EVI_STR_VAL) && (port->flags & EVI_INT_VAL))
        ended(&ip->val.s, port->val.n);
    return 0;
}

/* There is one subscriber: this file. */
static evi_reply_sock *parse(str text)
{
    evi_reply_sock *socket = shm_malloc(sizeof(*socket));

    (void)text;
    if (socket == NULL)
        return NULL;
    memset(socket, 0, sizeof(*socket));
    socket->address = (str)str_init("connection");
    socket->flags = EVI_ADDRESS;
    return socket;
}

static int match(evi_reply_sock *one, evi_reply_sock *other)
{
    (void)one;
    (void)other;
    return 1;
}

static void release(evi_reply_sock *socket)
{
    shm_free(socket);
}

static str print(evi_reply_sock *socket)
{
    (void)socket;
    return (str)str_init("auth_oauth:connection");
}

static const evi_export_t transport = {
    .proto = str_init("auth_oauth"),
    .raise = raised,
    .parse = parse,
    .match = match,
    .free = release,
    .print = print,
};

int oauth_connection_init(void)
{
    if (sipoauth_context_binds_connections(oauth_context) != 1)
        return 0;
    notes = shm_malloc(sizeof(*notes) * NOTES);
    if (notes == NULL) {
        LM_ERR("no shared memory to note the numbers of connections\n");
        return -1;
    }
    memset(notes, 0, sizeof(*notes) * NOTES);
    if (register_event_mod(&transport) < 0
            || evi_event_subscribe((str)str_init("E_CORE_TCP_DISCONNECT"), (str)str_init("auth_oauth:connection"), 0, 0) < 0)
        LM_WARN("the end of connections cannot be watched: tokens of connections that have ended stay in memory for two hours"
                " after their last use\n");
    return 0;
}
