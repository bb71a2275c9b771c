/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What modules/opensips calls and reads of OpenSIPS, so that it can be compiled and tested without OpenSIPS: names and shapes,
 * written anew from the module's own calls. Structures have only the members that the module uses. tests/opensips.rs makes each
 * header that the module includes a link to this file. opensips.c has what it calls; what no test reaches is not defined.
 */
#ifndef OPENSIPS_STUB_H
#define OPENSIPS_STUB_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#if OPENSIPS_SERIES < 306
#define STUB_CONST
#else
#define STUB_CONST const
#endif
typedef struct { char *s; int len; } str;
#define str_init(text) {(char *)(text), sizeof(text) - 1}
#define STR_NULL {NULL, 0}
#define CRLF "\r\n"
#define CRLF_LEN 2u
enum { BUF_SIZE = 65535, SIP_PORT = 5060 };
#define LM_ERR(...) stub_log(0, __VA_ARGS__)
#define LM_WARN(...) stub_log(0, __VA_ARGS__)
#define LM_INFO(...) stub_log(0, __VA_ARGS__)
#define LM_DBG(...) stub_log(0, __VA_ARGS__)
#define LM_BUG(...) stub_log(1, __VA_ARGS__)
__attribute__((format(printf, 2, 3))) void stub_log(int is_bug, const char *format, ...);
#define str_match(a, b) ((a)->len == (b)->len && memcmp((a)->s, (b)->s, (size_t)(a)->len) == 0)
int str2int(str *text, unsigned int *number), un_escape(str *from, str *to), module_loaded(char *name);
void strlower(str *text), *find_param_export(const char *module, const char *name, unsigned int type);

/* Memory, locks, processes, addresses */
#define shm_malloc(size) stub_malloc(&server.shm, size)
#define shm_realloc(memory, size) stub_realloc(&server.shm, memory, size)
#define shm_free(memory) stub_free(&server.shm, memory)
#define pkg_malloc(size) stub_malloc(&server.pkg, size)
#define pkg_free(memory) stub_free(&server.pkg, memory)
void *stub_malloc(long *blocks, size_t size), *stub_realloc(long *blocks, void *memory, size_t size), stub_free(long *blocks, void *memory);
typedef volatile int gen_lock_t;
#define lock_init(lock) (*(lock) = 0, (lock))
void lock_get(gen_lock_t *lock), lock_release(gen_lock_t *lock);
enum { TYPE_UDP = 1, TYPE_TCP, OSS_PROC_TO_TERMINATE = 1 };
extern struct process_table { int type, flags, running; } pt[];
extern int process_no, via_cnt, route_type, async_status, tcp_no_new_conn; extern unsigned int counted_max_processes;
typedef void ipc_rpc_f(int sender, void *parameter); int ipc_send_rpc(int process, ipc_rpc_f *function, void *parameter);
#define is_process_running(process) pt[process].running
#define get_ticks() server.ticks
enum { PROTO_UDP = 1, PROTO_TCP, PROTO_TLS, PROTO_SCTP, PROTO_WS, PROTO_WSS };
#define is_tcp_based_proto(proto) ((proto) != PROTO_UDP && (proto) != PROTO_SCTP)
struct ip_addr { unsigned char address[4]; }; union sockaddr_union { int family; };
struct socket_info { str adv_name_str, adv_port_str, address_str, port_no_str; };
extern str *default_global_address, *default_global_port;
struct receive_info {
    struct ip_addr src_ip;
    unsigned short src_port, dst_port; int proto, proto_reserved1; STUB_CONST struct socket_info *bind_address;
};
extern STUB_CONST struct socket_info *bind_address;
char *ip_addr2a(struct ip_addr *ip);
#define ip_addr_cmp(a, b) (memcmp(a, b, sizeof(struct ip_addr)) == 0)
int check_self(str *host, unsigned short port, unsigned short proto);

/* Messages */
enum { SIP_REQUEST = 1, METHOD_INVITE = 1, METHOD_CANCEL = 2, METHOD_ACK = 4, METHOD_REGISTER = 8, METHOD_OTHER = 16 };
enum { HDR_OTHER_T, HDR_VIA_T, HDR_AUTHORIZATION_T, HDR_PROXYAUTH_T, HDR_EOH_F = 1, HDR_TO_F = 2, HDR_FROM_F = 4, HDR_CALLID_F = 8, HDR_ROUTE_F = 16 };
enum { PARSE_OK = 1, Q_UNSPECIFIED = -1, FL_TM_FAKE_REQ = 1, P_EXPIRES = 1, SIP_BODY_PART_FLAG_DELETED = 1 };
typedef struct param { int type, len; str name, body; struct param *next; } param_t;
typedef struct contact { str uri; param_t *expires, *instance, *params; struct contact *next; } contact_t;
typedef struct { unsigned char star; contact_t *contacts; } contact_body_t; typedef struct { unsigned char valid; int val; } exp_body_t;
typedef struct { struct { str uri; } nameaddr; } rr_t; int parse_rr_body(char *text, int len, rr_t **list); void free_rr(rr_t **list);
struct sip_uri { str user, host, params, gr; unsigned short port_no; };
struct to_body { str uri, tag_value; }; struct cseq_body { str number; int method_id; };
struct via_body { str host; int port, error; struct via_param { str value; } *branch; };
struct hdr_field { int type, len; str name, body; void *parsed; struct hdr_field *next, *sibling; };
struct body_part { int flags; struct body_part *next; }; struct lump { int op, len; struct { int offset; char *value; } u; struct lump *next, *after; };
struct lump_rpl { str text; int flags; struct lump_rpl *next; };
struct sip_msg {
    unsigned int id, len, msg_flags;
    struct { int type; struct { struct { str method, uri; int method_value; } request; struct { str status; unsigned int statuscode; } reply; } u; } first_line;
    struct via_body *via1, *via2;
    struct hdr_field *headers, *callid, *cseq, *to, *from, *contact, *route, *expires, *authorization, *proxy_auth, *content_type,
            *content_length, *user_agent, *supported;
    char *unparsed, *buf;
    struct receive_info rcv; str dst_uri, set_global_address, set_global_port; int ruri_q;
    struct { struct body_part first; } *body; struct lump *add_rm; struct lump_rpl *reply_lump;
};
#define get_to(msg) ((struct to_body *)(msg)->to->parsed)
#define get_from(msg) ((struct to_body *)(msg)->from->parsed)
#define get_cseq(msg) ((struct cseq_body *)(msg)->cseq->parsed)
#define parse_to_header(msg) ((msg)->to != NULL ? 0 : -1)
#define parse_from_header(msg) ((msg)->from != NULL ? 0 : -1)
#define parse_headers(msg, flags, next) ((void)(flags), (msg)->headers != NULL ? 0 : -1)
long get_content_length(const struct sip_msg *msg);
int parse_msg_opt(char *buffer, unsigned int len, struct sip_msg *msg, int is_server), parse_uri(char *text, int len, struct sip_uri *uri);
int parse_contact(struct hdr_field *header), parse_expires(struct hdr_field *header), parse_rr(struct hdr_field *header);
int parse_sip_body(struct sip_msg *msg), delete_body_part(struct sip_msg *msg, struct body_part *part);
void free_sip_msg(struct sip_msg *msg); unsigned int get_next_msg_no(void); int is_dummy_sip_msg(struct sip_msg *msg);
typedef enum { MSG_DESTROY = 1 } cb_type_t; typedef void cb_func_f(struct sip_msg *msg, cb_type_t type, void *parameter, void *of_core);
int msg_callback_add(struct sip_msg *, cb_type_t, cb_func_f *, void *), msg_callback_check(struct sip_msg *, cb_type_t, cb_func_f *);
enum { LUMP_DEL = 1, LUMP_RPL_HDR = 1, LUMP_RPL_BODY = 2 };
struct lump *del_lump(struct sip_msg *msg, unsigned int offset, unsigned int len, int type);
struct lump *anchor_lump(struct sip_msg *msg, unsigned int offset, int type);
struct lump *insert_new_lump_before(struct lump *after, char *text, unsigned int len, int type);
struct lump *insert_new_lump_after(struct lump *after, char *text, unsigned int len, int type);
struct lump_rpl *add_lump_rpl(struct sip_msg *msg, char *text, int len, int flags);
void del_nonshm_lump_rpl(struct lump_rpl **list), unlink_lump_rpl(struct sip_msg *msg, struct lump_rpl *lump), free_lump_rpl(struct lump_rpl *lump); struct bookmark { int unused; };
char *build_res_buf_from_sip_req(unsigned int code, const str *phrase, str *tag, struct sip_msg *msg, unsigned int *len, struct bookmark *);

/* Scripts and callbacks */
enum { REQUEST_ROUTE = 1, FAILURE_ROUTE = 2, BRANCH_ROUTE = 4, LOCAL_ROUTE = 8, ALL_ROUTES = 15, DEFAULT_RT = 0 };
enum { SCB_DROP_MSG, SCB_RUN_TOP_ROUTE, SCB_RUN_POST_CBS, SCB_RUN_ALL, PRE_SCRIPT_CB = 1, POST_SCRIPT_CB = 2, REQ_TYPE_CB = 4, RPL_TYPE_CB = 8 };
struct script_route { int number; }; extern struct os_script_routes { struct script_route request[1]; } *sroutes;
#define set_route_type(type) (route_type = (type))
int run_top_route(struct script_route route, struct sip_msg *msg), exec_pre_req_cb(struct sip_msg *msg), exec_post_req_cb(struct sip_msg *msg);
typedef int script_cb_f(struct sip_msg *msg, void *param); int __register_script_cb(script_cb_f *f, int types, void *param, int priority);
typedef struct { int global; } *context_p; extern context_p current_processing_ctx;
enum { CONTEXT_GLOBAL, POST_RAW_PROCESSING = 1, SLCB_REPLY_OUT = 1 };
#define context_size(type) sizeof(*current_processing_ctx)
#define context_alloc(type) ((context_p)pkg_malloc(context_size(type)))
#define context_free(context) pkg_free(context)
#define context_destroy(type, context) ((void)(context), server.contexts++)
#define set_global_context(context) (current_processing_ctx = (context))
#define reset_avps() ((void)0)
#define clear_branches() ((void)0)
#define clear_dset() ((void)0)
typedef int raw_processing_f(str *data, struct sip_msg *msg); int register_post_raw_processing_cb(raw_processing_f *f, int type, char freeable);
typedef void sl_cb_f(struct sip_msg *, str *, int, STUB_CONST union sockaddr_union *, STUB_CONST struct socket_info *, int);
int register_slcb(int type, unsigned int flags, sl_cb_f *f);
enum { ASYNC_SYNC = -7, ASYNC_DONE_CLOSE_FD = -3, ASYNC_DONE = -1 };
typedef int async_resume_f(int fd, struct sip_msg *msg, void *parameter);
typedef struct { void *resume_f, *resume_param, *timeout_f; } async_ctx;
#if OPENSIPS_SERIES >= 400
#define ASYNC_SET_RESUME_F(context, f) ((void)((f) == (async_resume_f *)NULL), (context)->resume_f = (void *)(f))
#endif
enum { TMCB_REQUEST_IN = 1, TMCB_RESPONSE_PRE_OUT = 2, TMCB_MSG_MATCHED_IN = 4, TMCB_LOCAL_RESPONSE = 8, TMCB_TRANS_DELETED = 16 };
struct cell; struct tmcb_params { struct sip_msg *req, *rpl; int code; void **param, *extra1, *extra2; };
typedef void transaction_cb(struct cell *cell, int type, struct tmcb_params *params); typedef void release_tmcb_param(void *param);
struct tm_callback { int types; transaction_cb *callback; void *param; release_tmcb_param *release; struct tm_callback *next; };
struct cell {
    unsigned int hash_index, label; gen_lock_t reply_mutex;
    struct tmcb_head_list { struct tm_callback *first; } tmcb_hl;
    struct { struct sip_msg *request; struct { str buffer; } response; unsigned int status; } uas;
    struct cell *next;
};
#define T_UNDEFINED ((struct cell *)-1)
#define LOCK_REPLIES(cell) lock_get(&(cell)->reply_mutex)
#define UNLOCK_REPLIES(cell) lock_release(&(cell)->reply_mutex)
enum { DLG_CONFIRMED = 2 };
typedef struct dlg {
    struct { str call_id, rem_tag, loc_tag; } id; struct { unsigned int value; unsigned char is_set; } loc_seq;
    str loc_uri, rem_uri, obp, rem_target; int state; rr_t *route_set; STUB_CONST struct socket_info *send_sock;
} dlg_t;
struct tm_binds {
    int (*register_tmcb)(struct sip_msg *, struct cell *, int types, transaction_cb *, void *param, release_tmcb_param *);
    int (*t_newtran)(struct sip_msg *msg), (*t_check_trans)(struct sip_msg *msg); struct cell *(*t_gett)(void), *(*t_lookup_original_t)(struct sip_msg *);
    int (*t_request_within)(str *method, str *headers, str *body, dlg_t *dialog, transaction_cb *, void *param, release_tmcb_param *);
};
struct sig_binds { int (*reply)(struct sip_msg *msg, int code, const str *reason, str *tag), (*gen_totag)(struct sip_msg *msg, str *tag); };
struct rr_binds { int (*add_rr_param)(struct sip_msg *msg, str *text); }; int load_tm_api(struct tm_binds *binds), load_sig_api(struct sig_binds *binds), load_rr_api(struct rr_binds *binds);

/* What a module exports; events, usrloc */
enum { STR_PARAM = 1, INT_PARAM = 2, CMD_PARAM_INT = 1, CMD_PARAM_STR = 2, CMD_PARAM_OPT = 4, PV_NAME_PVAR = 1, STAT_IS_FUNC = 1 };
#define USE_FUNC_PARAM (1u << 31)
#define PARAM_TYPE_MASK(type) ((type) & ~USE_FUNC_PARAM)
typedef unsigned int modparam_t; typedef struct { const char *name; modparam_t type; void *target; } param_export_t;
typedef int (*cmd_function)(struct sip_msg *, void *, void *), (*acmd_function)(struct sip_msg *, async_ctx *, void *, void *, void *);
struct cmd_param { int flags; void *fixup, *free_fixup; };
typedef struct { const char *name; cmd_function function; struct cmd_param params[9]; int flags; } cmd_export_t;
typedef struct { const char *name; acmd_function function; struct cmd_param params[9]; } acmd_export_t;
typedef struct { const char *name; int (*pre_fork)(void), (*post_fork)(void); void (*function)(int); unsigned int no, flags; } proc_export_t;
enum { MOD_TYPE_NULL, MOD_TYPE_DEFAULT, DEP_SILENT, DEP_ABORT, DEFAULT_DLFLAGS = 0, PROC_FLAG_INITCHILD = 1, PROC_FLAG_NEEDS_SCRIPT = 4 };
#define MODULE_VERSION "stub"
typedef struct { struct { int type; const char *name; int flags; } modules[10]; struct { const char *name; void *f; } params[2]; } dep_export_t;
typedef struct { str rs; int ri, flags; } pv_value_t; typedef struct { struct { int type; struct { void *dname; } u; } pvn; } pv_param_t;
typedef struct { pv_param_t pvp; } *pv_spec_p;
typedef int pv_get_f(struct sip_msg *, pv_param_t *, pv_value_t *), pv_parse_f(pv_spec_p, const str *);
typedef struct { str name; int type; pv_get_f *get; void *set; pv_parse_f *parse_name; void *parse_index, *init, *param; } pv_export_t;
pv_get_f pv_get_null; int pv_get_strval(struct sip_msg *msg, pv_param_t *param, pv_value_t *value, str *text);
int pv_get_sintval(struct sip_msg *msg, pv_param_t *param, pv_value_t *value, int number);
typedef void *stat_var; int register_stat2(char *module, char *name, stat_var **variable, unsigned short flags, void *context, int unsafe);
typedef struct mi_params mi_params_t; typedef struct mi_response mi_response_t; typedef struct mi_item mi_item_t; struct mi_handler;
typedef mi_response_t *mi_cmd_f(const mi_params_t *params, struct mi_handler *later);
enum { MAX_MI_RECIPES = 48, MAX_MI_PARAMS = 10 };
typedef struct { char *name, *help; struct { mi_cmd_f *cmd; char *params[MAX_MI_PARAMS]; } recipes[MAX_MI_RECIPES]; } mi_export_t;
#define MI_SSTR(text) text, sizeof(text) - 1
mi_item_t *add_mi_object(mi_item_t *to, char *name, int len);
mi_response_t *init_mi_result_object(mi_item_t **item), *init_mi_result_array(mi_item_t **item), *init_mi_result_string(const char *text, int len);
mi_response_t *init_mi_error(int code, const char *text, int len);
int add_mi_string(mi_item_t *to, char *name, int, const char *text, int), add_mi_number(mi_item_t *to, char *name, int, double number);
int try_get_mi_string_param(const mi_params_t *params, char *name, char **text, int *len);
void free_mi_response(mi_response_t *response);
struct module_exports {
    const char *name, *ver_info; int type, dlflags, (*load_f)(void), (*init_f)(void); void (*destroy_f)(void);
    const dep_export_t *deps; const cmd_export_t *cmds; const acmd_export_t *acmds; const param_export_t *params;
    const mi_export_t *mi_cmds; const pv_export_t *items; const proc_export_t *procs;
};
enum { EVI_ERROR = -1, EVI_INT_VAL = 1, EVI_STR_VAL = 2, EVI_ADDRESS = 1 };
typedef int event_id_t; typedef struct evi_param { int flags; str name; struct { int n; str s; } val; struct evi_param *next; } evi_param_t;
typedef struct { evi_param_t *first; } evi_params_t, *evi_params_p;
typedef struct { str address; unsigned int flags; } evi_reply_sock; typedef struct evi_async_ctx evi_async_ctx_t;
typedef struct {
    str proto;
    int (*raise)(struct sip_msg *, str *, evi_reply_sock *, evi_params_t *, evi_async_ctx_t *), (*match)(evi_reply_sock *, evi_reply_sock *);
    evi_reply_sock *(*parse)(str); void (*free)(evi_reply_sock *); str (*print)(evi_reply_sock *);
} evi_export_t;
event_id_t evi_publish_event(str name);
evi_params_p evi_get_params(void); void evi_free_params(evi_params_p list);
int evi_param_add_str(evi_params_p list, str *name, str *text), evi_param_add_int(evi_params_p list, str *name, int *number);
int evi_raise_event(event_id_t event, evi_params_p list), evi_probe_event(event_id_t event);
int register_event_mod(const evi_export_t *transport), evi_event_subscribe(str event, str socket, unsigned int expire, int unsubscribe);
typedef struct ucontact { str instance, callid; struct ucontact *next; } ucontact_t; typedef struct { ucontact_t *contacts; } urecord_t; typedef struct udomain udomain_t;
typedef struct {
    int use_domain, (*register_udomain)(const char *, udomain_t **), (*get_urecord)(udomain_t *, str *, urecord_t **);
    int (*delete_ucontact)(urecord_t *, ucontact_t *, const void *, char);
    void (*release_urecord)(urecord_t *, char), (*lock_udomain)(udomain_t *, str *), (*unlock_udomain)(udomain_t *, str *);
} usrloc_api_t;
typedef int (*bind_usrloc_t)(usrloc_api_t *api); cmd_function find_export(const char *name, int flags);

/* The server's state, which tests set and read: tests/opensips/world.c does what the server does of itself. */
enum { STUB_HOOKS = 8, STUB_QUEUE = 2048 };
extern struct stub_server {
    long shm, pkg, allocations, fail_at;      /* blocks in use; counted, and the one that fails (-1: none) */
    const char *secret;                       /* must not be in memory that is freed */
    int secrets, bugs, refuse_pipe;           /* how often it was; reports of a bug; so many entries are refused (-1: all) */
    unsigned int ticks, contexts, queued, slcbs, raws, script_cbs, pending_id;
    struct stub_entry { int process; ipc_rpc_f *function; void *parameter; } queue[STUB_QUEUE];
    struct { script_cb_f *f; int types, priority; } script_cb[STUB_HOOKS];
    sl_cb_f *slcb[STUB_HOOKS]; raw_processing_f *raw[STUB_HOOKS];
    struct tmcb_head_list new_cells, pending; /* of every new transaction; of the message that may get one */
    struct cell *current; const evi_export_t *transport;
    char log[32768];
} server;
#endif
