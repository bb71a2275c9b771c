/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server around the module, in one process that plays workers and the I/O process in turn: it receives requests, replies with
 * and without transactions, and suspends them, with the callbacks in the order in which OpenSIPS calls them. It parses what
 * request() writes, and nothing else.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "gate.h"

struct sent sent;
void (*script)(struct sip_msg *msg), (*resume_route)(struct sip_msg *msg, int rc), (*when_stored)(struct cell *cell);
struct cell *cells;
const char *unsent;
int no_socket, route_runs, route_code;
struct waiting waiting[64];
unsigned int waiting_count;
static unsigned int messages, labels;
STUB_CONST struct socket_info *received_at;

/* Messages */

const char *request(const char *method, int number, const char *credentials)
{
    static char text[8192];

    snprintf(text, sizeof(text),
            "%s sip:example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-%d\r\n"
            "From: <sip:alice@example.test>;tag=from\r\nTo: <sip:alice@example.test>\r\nCall-ID: call-%d\r\nCSeq: %d %s\r\n"
            "%s%s%sContact: <sip:alice@192.0.2.1>\r\nContent-Length: 0\r\n\r\n",
            method, number, number, number, method, credentials != NULL ? "Authorization: " : "",
            credentials != NULL ? credentials : "", credentials != NULL ? CRLF : "");
    return text;
}

struct parsed {
    struct hdr_field header;
    struct to_body party;
    struct cseq_body cseq;
    contact_body_t contacts;
    contact_t contact;
    exp_body_t expires;
    struct via_body via;
    struct via_param branch;
};

static int method_of(str text)
{
    static const struct { const char *name; int id; } methods[] = {{"INVITE", METHOD_INVITE}, {"CANCEL", METHOD_CANCEL},
        {"ACK", METHOD_ACK}, {"REGISTER", METHOD_REGISTER}};
    size_t i;

    for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (text.len == (int)strlen(methods[i].name) && memcmp(text.s, methods[i].name, (size_t)text.len) == 0)
            return methods[i].id;
    return METHOD_OTHER;
}

static str until(char **at, char *end, const char *stop)
{
    char *found = memmem(*at, (size_t)(end - *at), stop, strlen(stop));
    str text = {*at, (int)((found != NULL ? found : end) - *at)};

    *at = found != NULL ? found + strlen(stop) : end;
    return text;
}

/* What stands between two texts; empty when the first is not there. */
static str between(str text, const char *first, const char *last)
{
    char *at = text.s, *end = text.s + text.len;

    (void)until(&at, end, first);
    return until(&at, end, last);
}

static int add_header(struct sip_msg *msg, str line)
{
    struct parsed *parsed = pkg_malloc(sizeof(*parsed));
    struct hdr_field *header, **last;
    char *at = line.s, *end = line.s + line.len;

    if (parsed == NULL)
        return -1;
    memset(parsed, 0, sizeof(*parsed));
    header = &parsed->header;
    header->name = until(&at, end, ": ");
    header->body = (str){at, (int)(end - at)};
    header->len = line.len + 2;
    for (last = &msg->headers; *last != NULL; last = &(*last)->next) {
    }
    *last = header;
#define IS(text) (header->name.len == sizeof(text) - 1 && memcmp(header->name.s, text, sizeof(text) - 1) == 0)
    if (IS("From") || IS("To")) {
        parsed->party.uri = between(header->body, "<", ">");
        parsed->party.tag_value = between(header->body, ";tag=", ";");
        header->parsed = &parsed->party;
        *(IS("To") ? &msg->to : &msg->from) = header;
    } else if (IS("CSeq")) {
        parsed->cseq.number = until(&header->body.s, end, " ");
        parsed->cseq.method_id = method_of((str){header->body.s, (int)(end - header->body.s)});
        header->body = (str){at, (int)(end - at)};
        header->parsed = &parsed->cseq;
        msg->cseq = header;
    } else if (IS("Via")) {
        header->type = HDR_VIA_T;
        parsed->via = (struct via_body){between(header->body, " ", ":"), 5060, PARSE_OK, &parsed->branch};
        parsed->branch.value = between(header->body, "branch=", ";");
        *(msg->via1 == NULL ? &msg->via1 : &msg->via2) = &parsed->via;
    } else if (IS("Contact")) {
        parsed->contact.uri = between(header->body, "<", ">");
        parsed->contacts.contacts = &parsed->contact;
        header->parsed = &parsed->contacts;
        msg->contact = header;
    } else if (IS("Call-ID")) {
        msg->callid = header;
    } else if (IS("Authorization")) {
        msg->authorization = header;
    } else if (IS("Content-Length")) {
        msg->content_length = header;
    }
    return 0;
}

int parse_msg_opt(char *buffer, unsigned int len, struct sip_msg *msg, int is_server)
{
    char *at = buffer, *end = buffer + len;
    str line = until(&at, end, CRLF);
    char *word = line.s;

    (void)is_server;
    if (line.len < 8)
        return -1;
    if (memcmp(line.s, "SIP/2.0 ", 8) != 0) {
        msg->first_line.type = SIP_REQUEST;
        msg->first_line.u.request.method = until(&word, line.s + line.len, " ");
        msg->first_line.u.request.uri = until(&word, line.s + line.len, " ");
        msg->first_line.u.request.method_value = method_of(msg->first_line.u.request.method);
    } else {
        msg->first_line.u.reply.status = (str){line.s + 8, 3};
        msg->first_line.u.reply.statuscode = (unsigned int)number_of(&msg->first_line.u.reply.status);
    }
    while (at < end && *at != '\r') {
        if (add_header(msg, until(&at, end, CRLF)) < 0)
            return -1;
    }
    msg->unparsed = at;
    return 0;
}

char server_made_up[] = "OPTIONS sip:nobody SIP/2.0\r\n";
static cb_func_f *at_the_end = NULL; /* of the made-up message */

int is_dummy_sip_msg(struct sip_msg *msg)
{
    return msg->buf == server_made_up ? 0 : -1;
}

int msg_callback_add(struct sip_msg *msg, cb_type_t type, cb_func_f *f, void *parameter)
{
    EXPECT(is_dummy_sip_msg(msg) == 0 && type == MSG_DESTROY && parameter == NULL && at_the_end == NULL);
    at_the_end = f;
    return 0;
}

int msg_callback_check(struct sip_msg *msg, cb_type_t type, cb_func_f *f)
{
    EXPECT(is_dummy_sip_msg(msg) == 0 && type == MSG_DESTROY);
    return at_the_end == f;
}

void server_ends_made_up(struct sip_msg *msg)
{
    if (at_the_end != NULL)
        at_the_end(msg, MSG_DESTROY, NULL, NULL);
    at_the_end = NULL;
}

/* As the server does, each in its place; what is put there stands behind what is taken away. */
struct lump *del_lump(struct sip_msg *msg, unsigned int offset, unsigned int len, int type)
{
    struct lump *lump = pkg_malloc(sizeof(*lump)), **place = &msg->add_rm;

    EXPECT(offset + len <= msg->len && type == HDR_OTHER_T); /* otherwise the server ends itself */
    if (lump == NULL)
        return NULL;
    while (*place != NULL && (*place)->u.offset <= (int)offset)
        place = &(*place)->next;
    *lump = (struct lump){LUMP_DEL, (int)len, {(int)offset, NULL}, *place, NULL};
    return *place = lump;
}

struct lump *insert_new_lump_after(struct lump *after, char *text, unsigned int len, int type)
{
    struct lump *lump = pkg_malloc(sizeof(*lump));

    if (lump != NULL)
        *lump = (struct lump){type, (int)len, {0, text}, NULL, after->after};
    return lump != NULL ? after->after = lump : NULL;
}

static void free_lumps(struct lump **list)
{
    struct lump *lump;

    while ((lump = *list) != NULL) {
        *list = lump->next;
        if (lump->after != NULL)
            pkg_free(lump->after->u.value);
        if (lump->after != NULL)
            pkg_free(lump->after);
        pkg_free(lump);
    }
}

/* As it leaves. */
size_t server_written(const struct sip_msg *msg, char *text)
{
    const struct lump *lump;
    size_t from = 0, len = 0;

#define WRITE(octets, count) (memcpy(text + len, octets, count), len += (count))
    for (lump = msg->add_rm; lump != NULL; lump = lump->next) {
        EXPECT((size_t)lump->u.offset >= from);
        WRITE(msg->buf + from, (size_t)lump->u.offset - from);
        if (lump->after != NULL)
            WRITE(lump->after->u.value, (size_t)lump->after->len);
        from = (size_t)lump->u.offset + (size_t)lump->len;
    }
    WRITE(msg->buf + from, msg->len - from);
    text[len] = '\0';
    return len;
}

/* One for all of them. */
int parse_rr_body(char *text, int len, rr_t **list)
{
    EXPECT(len > 0 && *list == NULL);
    *list = pkg_malloc(sizeof(**list));
    if (*list != NULL)
        (*list)->nameaddr.uri = (str){text, len};
    return *list != NULL ? 0 : -1;
}

void free_rr(rr_t **list)
{
    pkg_free(*list);
    *list = NULL;
}

void free_sip_msg(struct sip_msg *msg)
{
    struct hdr_field *header, *next;
    param_t *param;

    for (header = msg->headers; header != NULL; header = next) {
        next = header->next;
        while (header == msg->contact && (param = ((struct parsed *)header)->contact.params) != NULL) {
            ((struct parsed *)header)->contact.params = param->next;
            pkg_free(param);
        }
        pkg_free(header);
    }
    msg->headers = NULL;
    del_nonshm_lump_rpl(&msg->reply_lump);
    free_lumps(&msg->add_rm);
}

int parse_contact(struct hdr_field *header)
{
    return header->parsed != NULL ? 0 : -1;
}

/* The message ends where it ends, without a NUL. */
long number_of(const str *text)
{
    long number = 0;
    int i;

    for (i = 0; i < text->len && text->s[i] >= '0' && text->s[i] <= '9'; i++)
        number = number * 10 + (text->s[i] - '0');
    return number;
}

long get_content_length(const struct sip_msg *msg)
{
    return number_of(&msg->content_length->body);
}

int parse_uri(char *text, int len, struct sip_uri *uri)
{
    str all = {text, len};

    memset(uri, 0, sizeof(*uri));
    uri->user = between(all, "sip:", "@");
    uri->host = between(all, "@", ";");
    return uri->host.len > 0 ? 0 : -1;
}

unsigned int get_next_msg_no(void)
{
    return ++messages;
}

char *ip_addr2a(struct ip_addr *ip)
{
    static char text[16];

    snprintf(text, sizeof(text), "%d.%d.%d.%d", ip->address[0], ip->address[1], ip->address[2], ip->address[3]);
    return text;
}

/* Replies */

struct lump_rpl *add_lump_rpl(struct sip_msg *msg, char *text, int len, int flags)
{
    struct lump_rpl *lump = pkg_malloc(sizeof(*lump) + (size_t)len), **last = &msg->reply_lump;

    if (lump == NULL)
        return NULL;
    *lump = (struct lump_rpl){{(char *)(lump + 1), len}, flags, NULL};
    memcpy(lump + 1, text, (size_t)len);
    while (*last != NULL)
        last = &(*last)->next;
    return *last = lump;
}

void del_nonshm_lump_rpl(struct lump_rpl **list)
{
    struct lump_rpl *lump;

    while ((lump = *list) != NULL) {
        *list = lump->next;
        pkg_free(lump);
    }
}

void unlink_lump_rpl(struct sip_msg *msg, struct lump_rpl *lump)
{
    struct lump_rpl **one;

    for (one = &msg->reply_lump; *one != NULL && *one != lump; one = &(*one)->next) {
    }
    if (*one != NULL)
        *one = lump->next;
}

void free_lump_rpl(struct lump_rpl *lump)
{
    pkg_free(lump);
}

static int lumps(const struct sip_msg *msg, int flags, char *at)
{
    const struct lump_rpl *lump;
    int len = 0;

    for (lump = msg->reply_lump; lump != NULL; lump = lump->next) {
        if (lump->flags != flags)
            continue;
        if (at != NULL)
            memcpy(at + len, lump->text.s, (size_t)lump->text.len);
        len += lump->text.len;
    }
    return len;
}

char *build_res_buf_from_sip_req(unsigned int code, const str *phrase, str *tag, struct sip_msg *msg, unsigned int *len, struct bookmark *mark)
{
    const size_t size = 1024 + (size_t)lumps(msg, LUMP_RPL_HDR, NULL) + (size_t)lumps(msg, LUMP_RPL_BODY, NULL);
    char *text = pkg_malloc(size), *exact;
    int at;

    memset(mark, 0, sizeof(*mark));
    if (text == NULL)
        return NULL;
    at = snprintf(text, size, "SIP/2.0 %u %.*s\r\nVia: %.*s\r\nTo: %.*s%s%.*s\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n", code, phrase->len,
            phrase->s, msg->headers->body.len, msg->headers->body.s, msg->to->body.len, msg->to->body.s, tag != NULL ? ";tag=" : "",
            tag != NULL ? tag->len : 0, tag != NULL ? tag->s : "", msg->callid->body.len, msg->callid->body.s,
            msg->cseq->body.len, msg->cseq->body.s);
    at += lumps(msg, LUMP_RPL_HDR, text + at);
    at += snprintf(text + at, size - (size_t)at, "Content-Length: %d\r\n\r\n", lumps(msg, LUMP_RPL_BODY, NULL));
    at += lumps(msg, LUMP_RPL_BODY, text + at);
    /* no octet more than there are, so that reading further is seen */
    exact = malloc((size_t)at);
    memcpy(exact, text, (size_t)at);
    free(text);
    *len = (unsigned int)at;
    return exact;
}

/* As msg_send does. */
static void leaves(char *text, int len)
{
    str data = {text, len};
    unsigned int i;

    if (no_socket) {
        no_socket = 0;
        unsent = text;
        return;
    }
    for (i = 0; i < server.raws; i++)
        EXPECT(server.raw[i](&data, NULL) == 0);
    EXPECT((size_t)data.len < sizeof(sent.text));
    sent.count++;
    sent.len = (size_t)data.len;
    memcpy(sent.text, data.s, sent.len);
    sent.text[sent.len] = '\0';
    if (data.s != text)
        pkg_free(data.s);
}

int register_post_raw_processing_cb(raw_processing_f *f, int type, char freeable)
{
    (void)type;
    (void)freeable;
    server.raw[server.raws++] = f;
    return 0;
}

int register_slcb(int type, unsigned int flags, sl_cb_f *f)
{
    (void)type;
    (void)flags;
    server.slcb[server.slcbs++] = f;
    return 0;
}

static int reply_stateless(struct sip_msg *msg, int code, const char *phrase)
{
    str reason = {(char *)phrase, (int)strlen(phrase)}, tag = str_init("stateless"), text;
    struct bookmark mark;
    unsigned int i;

    text.s = build_res_buf_from_sip_req((unsigned int)code, &reason, code >= 180 ? &tag : NULL, msg, (unsigned int *)&text.len, &mark);
    if (text.s == NULL)
        return -1;
    for (i = server.slcbs; i-- > 0;) /* the last one first */
        server.slcb[i](msg, &text, code, NULL, NULL, 0);
    leaves(text.s, text.len);
    pkg_free(text.s);
    return 1;
}

/* Transactions */

static void free_callbacks(struct tmcb_head_list *list)
{
    struct tm_callback *one;

    while ((one = list->first) != NULL) {
        list->first = one->next;
        if (one->release != NULL)
            one->release(one->param);
        shm_free(one);
    }
}

/* tm frees them when the next message registers a callback. */
void server_forget_pending(void)
{
    free_callbacks(&server.pending);
    server.pending_id = 0;
}

static int register_callback(struct sip_msg *msg, struct cell *cell, int types, transaction_cb *f, void *param, release_tmcb_param *release)
{
    struct tm_callback *one = shm_malloc(sizeof(*one));
    struct tmcb_head_list *list = types & TMCB_REQUEST_IN ? &server.new_cells : cell != NULL ? &cell->tmcb_hl : &server.pending;

    if (one == NULL)
        return -1;
    if (list == &server.pending && server.pending_id != msg->id) {
        server_forget_pending();
        server.pending_id = msg->id;
    }
    *one = (struct tm_callback){types, f, param, release, list->first};
    list->first = one;
    return 1;
}

static void run(const struct tmcb_head_list *list, int type, struct cell *cell, struct sip_msg *req, int code, str *reply)
{
    struct cell *before = server.current;
    struct tm_callback *one;

    for (one = list->first; one != NULL; one = one->next) {
        struct tmcb_params params = {req, NULL, code, &one->param, reply, NULL};

        if (one->types & type)
            one->callback(cell, type, &params);
    }
    server.current = before;
}

static struct sip_msg *clone_of(const struct sip_msg *msg)
{
    const long fails = server.fail_at;
    struct sip_msg *clone = calloc(1, sizeof(*clone));

    server.fail_at = -1;
    clone->id = msg->id;
    clone->len = msg->len;
    clone->rcv = msg->rcv;
    clone->buf = malloc(msg->len);
    memcpy(clone->buf, msg->buf, msg->len);
    EXPECT(parse_msg_opt(clone->buf, clone->len, clone, 0) == 0);
    server.fail_at = fails;
    return clone;
}

static struct cell *find_cell_of(const struct sip_msg *msg, int method)
{
    struct cell *cell;

    for (cell = cells; cell != NULL; cell = cell->next) {
        if (cell->uas.request->first_line.u.request.method_value == method
                && str_match(&cell->uas.request->via1->branch->value, &msg->via1->branch->value))
            return cell;
    }
    return NULL;
}

static struct cell *find_cell(const struct sip_msg *msg)
{
    return find_cell_of(msg, msg->first_line.u.request.method_value);
}

static struct cell *cancelled_transaction(struct sip_msg *cancel)
{
    return find_cell_of(cancel, METHOD_INVITE);
}

void server_retransmit(struct cell *cell)
{
    str *stored = &cell->uas.response.buffer;
    char *copy;
    int len;

    run(&cell->tmcb_hl, TMCB_MSG_MATCHED_IN, cell, cell->uas.request, 0, NULL);
    LOCK_REPLIES(cell);
    len = stored->s != NULL ? stored->len : 0;
    copy = len > 0 ? memcpy(malloc((size_t)len), stored->s, (size_t)len) : NULL;
    UNLOCK_REPLIES(cell);
    if (copy != NULL)
        leaves(copy, len);
    free(copy);
}

static int new_transaction(struct sip_msg *msg)
{
    struct cell *cell = find_cell(msg);

    if (cell != NULL) {
        server.current = cell;
        server_retransmit(cell);
        return 0;
    }
    cell = calloc(1, sizeof(*cell));
    cell->hash_index = 1;
    cell->label = ++labels;
    cell->uas.request = clone_of(msg);
    cell->next = cells;
    cells = cell;
    if (server.pending_id == msg->id) {
        cell->tmcb_hl = server.pending;
        server.pending.first = NULL;
    }
    server.current = cell;
    run(&server.new_cells, TMCB_REQUEST_IN, cell, msg, 0, NULL);
    return 1;
}

static int check_transaction(struct sip_msg *msg)
{
    struct cell *cell = find_cell(msg);

    if (cell == NULL)
        return msg->first_line.u.request.method_value == METHOD_CANCEL && cancelled_transaction(msg) != NULL ? 1 : -1;
    server_retransmit(cell);
    return 0;
}

static struct cell *current_transaction(void)
{
    return server.current;
}

static int reply_stateful(struct cell *cell, struct sip_msg *msg, int code, const char *phrase)
{
    str reason = {(char *)phrase, (int)strlen(phrase)}, tag = str_init("stateful"), text, *stored = &cell->uas.response.buffer;
    struct bookmark mark;

    run(&cell->tmcb_hl, TMCB_LOCAL_RESPONSE, cell, msg, code, NULL);
    text.s = build_res_buf_from_sip_req((unsigned int)code, &reason, code >= 180 ? &tag : NULL, msg, (unsigned int *)&text.len, &mark);
    if (text.s == NULL)
        return -1;
    LOCK_REPLIES(cell);
    EXPECT(cell->uas.status < 200);
    cell->uas.status = (unsigned int)code;
    if (stored->s == NULL)
        server.shm++;
    stored->s = realloc(stored->s, (size_t)text.len);
    stored->len = text.len;
    memcpy(stored->s, text.s, (size_t)text.len);
    UNLOCK_REPLIES(cell);
    if (code >= 200) {
        if (when_stored != NULL)
            when_stored(cell);
        LOCK_REPLIES(cell);
        run(&cell->tmcb_hl, TMCB_RESPONSE_PRE_OUT, cell, cell->uas.request, code, &text);
        UNLOCK_REPLIES(cell);
    }
    leaves(text.s, text.len);
    pkg_free(text.s);
    return 1;
}

int server_reply(struct cell *cell, struct sip_msg *msg, int code, const char *phrase)
{
    return cell != NULL ? reply_stateful(cell, msg, code, phrase) : reply_stateless(msg, code, phrase);
}

static int signaling_reply(struct sip_msg *msg, int code, const str *reason, str *tag)
{
    char phrase[64];

    (void)tag;
    snprintf(phrase, sizeof(phrase), "%.*s", reason->len, reason->s);
    return server_reply(server.current == T_UNDEFINED ? NULL : server.current, msg, code, phrase);
}

static int signaling_tag(struct sip_msg *msg, str *tag)
{
    (void)msg;
    *tag = server.current == T_UNDEFINED ? (str)str_init("stateless") : (str)str_init("stateful");
    return 1;
}

int load_tm_api(struct tm_binds *binds)
{
    *binds = (struct tm_binds){register_callback, new_transaction, check_transaction, current_transaction, cancelled_transaction, NULL};
    return 0;
}

int load_sig_api(struct sig_binds *binds)
{
    *binds = (struct sig_binds){signaling_reply, signaling_tag};
    return 0;
}

static void free_clone(struct sip_msg *clone)
{
    free_sip_msg(clone);
    free(clone->buf);
    free(clone);
}

void server_delete_cells(void)
{
    struct cell *cell;

    while ((cell = cells) != NULL) {
        cells = cell->next;
        run(&cell->tmcb_hl, TMCB_TRANS_DELETED, cell, NULL, 0, NULL);
        free_callbacks(&cell->tmcb_hl);
        if (cell->uas.response.buffer.s != NULL)
            shm_free(cell->uas.response.buffer.s);
        free_clone(cell->uas.request);
        free(cell);
    }
    server.current = T_UNDEFINED;
}

/* Scripts */

int __register_script_cb(script_cb_f *f, int types, void *param, int priority)
{
    (void)param;
    (void)priority;
    server.script_cb[server.script_cbs].f = f;
    server.script_cb[server.script_cbs++].types = types;
    return 0;
}

static int run_script_callbacks(struct sip_msg *msg, int types)
{
    int rc = SCB_RUN_ALL;
    unsigned int i;

    for (i = 0; i < server.script_cbs && rc != SCB_DROP_MSG; i++)
        if (server.script_cb[i].types == types)
            rc &= server.script_cb[i].f(msg, NULL);
    return rc;
}

int exec_pre_req_cb(struct sip_msg *msg)
{
    return run_script_callbacks(msg, PRE_SCRIPT_CB | REQ_TYPE_CB);
}

int exec_post_req_cb(struct sip_msg *msg)
{
    int rc = run_script_callbacks(msg, POST_SCRIPT_CB | REQ_TYPE_CB);

    server.current = T_UNDEFINED;
    return rc;
}

int run_top_route(struct script_route route, struct sip_msg *msg)
{
    (void)route;
    script(msg);
    return 0;
}

/* As the core does with what comes from the network. */
void server_receive(const char *text)
{
    static const unsigned char address[4] = {192, 0, 2, 1};
    const long fails = server.fail_at;
    struct sip_msg *msg = calloc(1, sizeof(*msg));
    int rc;

    server.fail_at = -1;
    msg->len = (unsigned int)strlen(text);
    msg->buf = malloc(msg->len);
    memcpy(msg->buf, text, msg->len);
    msg->id = get_next_msg_no();
    msg->rcv.proto = PROTO_UDP;
    msg->rcv.src_port = 5060;
    msg->rcv.bind_address = received_at;
    memcpy(msg->rcv.src_ip.address, address, sizeof(address));
    EXPECT(parse_msg_opt(msg->buf, msg->len, msg, 0) == 0);
    current_processing_ctx = context_alloc(CONTEXT_GLOBAL);
    server.fail_at = fails;
    route_type = REQUEST_ROUTE;
    rc = exec_pre_req_cb(msg);
    if (rc & SCB_RUN_TOP_ROUTE)
        script(msg);
    if (current_processing_ctx != NULL) {
        if (rc & SCB_RUN_POST_CBS)
            exec_post_req_cb(msg);
        context_free(current_processing_ctx);
    }
    current_processing_ctx = NULL;
    free_clone(msg);
}

int call(struct sip_msg *msg, const char *function, const char *first)
{
    const cmd_export_t *one;
    str parameter = {(char *)first, first != NULL ? (int)strlen(first) : 0};

    for (one = oauth_cmds; one->name != NULL; one++)
        if (strcmp(one->name, function) == 0)
            return one->function(msg, first != NULL ? &parameter : NULL, NULL);
    EXPECT(!"there is such a function");
    return -1;
}

int call_async(struct sip_msg *msg, const char *function, async_ctx *context)
{
    str realm = str_init("example.test"), ha1 = str_init(HA1), password = str_init(PASSWORD);
    const acmd_export_t *one;

    for (one = oauth_acmds; one->name != NULL; one++)
        if (strcmp(one->name, function) == 0)
            return one->function(msg, context, &realm, &ha1, &password);
    EXPECT(!"there is such a function");
    return -1;
}

static int resume_function(const struct waiting *one, void *function, int fd, struct sip_msg *msg)
{
    async_status = ASYNC_DONE;
    return ((async_resume_f *)function)(fd, msg, one->context.resume_param);
}

static void run_route(struct sip_msg *msg, int rc)
{
    route_runs++;
    route_code = rc;
    if (resume_route != NULL)
        resume_route(msg, rc);
}

void server_async(struct sip_msg *msg, const char *function, int at_once)
{
    struct waiting *one = &waiting[waiting_count];
    int rc;

    if (server.current == T_UNDEFINED && new_transaction(msg) == 0)
        return;
    memset(one, 0, sizeof(*one));
    one->cell = server.current;
    rc = call_async(msg, function, &one->context);
    one->fd = async_status;
    if (one->fd < 0) {
        run_route(msg, rc);
    } else if (at_once) {
        rc = resume_function(one, one->context.resume_f, one->fd, msg);
        if (async_status == ASYNC_DONE_CLOSE_FD)
            close(one->fd);
        run_route(msg, rc);
    } else {
        waiting_count++;
        context_free(current_processing_ctx); /* as if tm kept it */
        current_processing_ctx = NULL;
        server.current = T_UNDEFINED;
    }
}

int server_is_readable(int fd)
{
    struct pollfd one = {fd, POLLIN, 0};

    return poll(&one, 1, 0) == 1 && one.revents == POLLIN;
}

void server_resume(struct waiting *one, int timed_out)
{
    static struct sip_msg faked; /* tm has one place for all */
    int rc;

    faked = *one->cell->uas.request;
    faked.msg_flags = FL_TM_FAKE_REQ;
    server.current = one->cell;
    rc = resume_function(one, timed_out ? one->context.timeout_f : one->context.resume_f, one->fd, &faked);
    EXPECT(async_status == ASYNC_DONE_CLOSE_FD);
    close(one->fd);
    run_route(&faked, rc);
    run_script_callbacks(&faked, POST_SCRIPT_CB | REQ_TYPE_CB);
    del_nonshm_lump_rpl(&faked.reply_lump);
    server.current = T_UNDEFINED;
}

void server_take(void)
{
    const int before = process_no;
    ipc_rpc_f *function = server.queue[0].function;
    void *parameter = server.queue[0].parameter;

    process_no = server.queue[0].process;
    memmove(server.queue, server.queue + 1, --server.queued * sizeof(server.queue[0]));
    function(IO_PROCESS, parameter);
    process_no = before;
}

void server_take_all(void)
{
    while (server.queued > 0)
        server_take();
}

/* Variables, statistics, events: as little as they need */

static int give(pv_value_t *value, str text)
{
    value->rs = text;
    return 0;
}

int pv_get_null(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
    (void)msg;
    (void)param;
    return give(value, (str){NULL, 0});
}

int pv_get_strval(struct sip_msg *msg, pv_param_t *param, pv_value_t *value, str *text)
{
    (void)msg;
    (void)param;
    return give(value, *text);
}

str variable(struct sip_msg *msg, const char *name)
{
    pv_value_t value = {STR_NULL, 0, 0};
    const str text = {(char *)name, (int)strlen(name)};
    pv_param_t param;

    EXPECT(oauth_pvs[0].parse_name((pv_spec_p)(void *)&param, &text) == 0 && oauth_pvs[0].get(msg, &param, &value) == 0);
    pkg_free(param.pvn.u.dname);
    return value.rs;
}

int module_loaded(char *name)
{
    (void)name;
    return 0;
}

int register_stat2(char *module, char *name, stat_var **variable, unsigned short flags, void *context, int unsafe)
{
    (void)module;
    (void)flags;
    (void)context;
    (void)unsafe;
    return name != NULL && variable != NULL ? 0 : -1;
}

event_id_t evi_publish_event(str name)
{
    return name.len;
}

int evi_probe_event(event_id_t event)
{
    (void)event;
    return 0;
}

int register_event_mod(const evi_export_t *transport)
{
    server.transport = transport;
    return 0;
}

int evi_event_subscribe(str event, str socket, unsigned int expire, int unsubscribe)
{
    (void)socket;
    return event.len > 0 && expire == 0 && unsubscribe == 0 ? 0 : -1;
}
