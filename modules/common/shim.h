/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The declarations that the C files of auth_oauth.so share. auth_oauth.so is a host of libsipoauth: a module of Kamailio
 * or of OpenSIPS. Both servers come from the same ancestor. The files in modules/common are compiled for either, with the
 * headers of that server; what differs between them is in modules/kamailio and modules/opensips, each of which has a
 * host.h and the functions that begin with host_.
 *
 * The shim copies fields of a SIP message into the library's structures, calls the library, and turns the
 * answer into return codes, pseudo-variables and replies. It decides nothing about tokens and never looks
 * into one.
 */
#ifndef AUTH_OAUTH_SHIM_H
#define AUTH_OAUTH_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include "host.h"
#include "sipoauth.h"

/* The buffer for a sentence from the library about a wrong setting or a failed start. */
#define OAUTH_ERR_SIZE 1024

/* The buffer for the public keys of one provider, at most 8 of type EC. */
#define OAUTH_JWKS_SIZE 4096

/* Return codes of the script functions: the codes of the auth module, and own codes at -20 and below. */
#define OAUTH_OK 1
#define OAUTH_PARKED 0              /* ends the script; the request must wait, and goes on later */
#define OAUTH_ERROR (-1)            /* the library could not be asked */
#define OAUTH_DENIED (-2)           /* auth: wrong password; also a wrong code or proof */
#define OAUTH_STALE (-4)            /* auth: stale nonce; the Date of a proof is too far away */
#define OAUTH_NO_CREDENTIALS (-5)   /* auth: no credentials */
#define OAUTH_REUSED (-6)           /* auth: reused nonce; a proof was seen before */
#define OAUTH_EXPIRED (-7)          /* auth: expired; the token has expired, or the session has ended */
#define OAUTH_USER_MISMATCH (-8)    /* auth: user mismatch */
#define OAUTH_NOT_NOW (-20)         /* cannot be decided now: 503 */
#define OAUTH_MALFORMED (-21)       /* cannot be authenticated as written: 400, 415 */
#define OAUTH_NO_SCOPE (-22)        /* the token lacks a scope */
#define OAUTH_PENDING (-23)         /* KEMI: the request must wait, and goes on later */
#define OAUTH_REFUSED (-24)         /* a rule of REFER or of its events */

/* auth_oauth.c of the host */
extern sipoauth_context *oauth_context;   /* made before the fork, shared by all processes */
extern struct tm_binds oauth_tm;

/* the host: a reply goes through the transaction, if there is one */
int host_reply(sip_msg_t *msg, int code, const str *phrase);
int host_reply_to_tag(sip_msg_t *msg, str *tag);

/* message.c of the host. An owner names the message that something in this process belongs to. */
struct oauth_owner oauth_owner_of(const sip_msg_t *msg);
int oauth_owns(const struct oauth_owner *owner, const sip_msg_t *msg);
void host_renew_owner(struct oauth_owner *owner);
int host_is_copy_of(const sip_msg_t *request, const sip_msg_t *msg);
int host_in_request_route(void);
int host_in_branch_route(void);
int host_remove_body(sip_msg_t *msg, const char *body, const char *end);
struct lump *host_end_of_headers(sip_msg_t *msg);

/* transaction.c */
struct cell *oauth_transaction(void);
void oauth_shm_free(void *memory);

/* log.c */
void oauth_log(void *user, uint32_t level, const char *text, size_t len);

/* params.c */
extern param_export_t oauth_params[];
extern int oauth_proxy_accepts_authorization;
sipoauth_config *oauth_config_get(void);
void oauth_config_drop(void);

/* worker.c: the library's handle of this process */
sipoauth_worker *oauth_worker_get(void);
void oauth_worker_drop(void);

/* request.c */
#define OAUTH_MAX_CREDENTIALS 16
#define OAUTH_MAX_VIAS 16
struct oauth_request {
    sipoauth_request call;
    sip_msg_t *msg;
    sipoauth_str credentials[OAUTH_MAX_CREDENTIALS + 1];   /* one more than allowed: the library refuses it */
    sipoauth_str vias[OAUTH_MAX_VIAS];
    char source_ip[64];
};
sipoauth_str oauth_view(const str *text);
str oauth_text(sipoauth_str view);
sipoauth_str oauth_trimmed(const str *body);
uint32_t oauth_transport(const sip_msg_t *msg);
int oauth_request_read(struct oauth_request *request, sip_msg_t *msg, uint32_t role, const str *realm);
sipoauth_str oauth_request_address(sip_msg_t *msg);
sipoauth_str oauth_request_domain(sip_msg_t *msg);
sipoauth_str oauth_reply_to_tag(sip_msg_t *msg);
int oauth_is_request(const sip_msg_t *msg);

/* last.c: the outcome of the last check in this process, while the same message is being processed */
struct oauth_last {
    int checked;           /* a check of this message was made */
    uint64_t check;        /* names the check in later calls of the library; 0: the check has failed */
    int code;              /* what the script function returned */
    uint32_t role;
    uint32_t verdict;
    uint32_t status;
    uint32_t retry_after;
    uint32_t cached;
    uint32_t grant;
    uint32_t offer;        /* 0: oauth_offer was not called */
    int64_t expires_at;
    uint32_t expires_limit;
    uint32_t token_response; /* 1: the 200 carries tokens */
    int granted;           /* the check was accepted; the identity stays, whatever was required since */
    /* the texts, which stand together: realm is the first, needed_scope the last */
    str realm;
    str reason_code;
    str reason_text;
    str error;
    str provider;
    str issuer;
    str aor;
    str subject;
    str client_id;
    str scope;
    str kid;
    str fingerprint;
    str session;
    str instance;
    str services;
    str needed_scope;
};
struct oauth_last *oauth_last_get(const sip_msg_t *msg);
const struct oauth_last *oauth_last_read(const sip_msg_t *msg);
int oauth_last_store(const sip_msg_t *msg, uint32_t role, sipoauth_str realm, const sipoauth_result *result, int code);
void oauth_last_store_offer(const sip_msg_t *msg, uint32_t offer);
int oauth_last_store_ended(const sip_msg_t *msg, const sipoauth_session_state *session, const char *reason, sipoauth_str why);
void oauth_last_store_pending(const sip_msg_t *msg, uint32_t role);
int oauth_last_is_pending(const sip_msg_t *msg);
void oauth_last_keep_granted(const sip_msg_t *msg);
void *oauth_last_set_aside(void);
void oauth_last_take_back(void *set_aside);
void oauth_forget_message(void);
int oauth_last_init(void);

/* What a script knows of the user whom it has authenticated by Digest. */
struct oauth_digest_user {
    str ha1;        /* in hex */
    str password;   /* empty: not known */
};

/* arrival.c: the request that this process's script sees, as it arrived */
struct oauth_part {
    unsigned short at;
    unsigned short len;
};
struct oauth_arrival {
    struct receive_info rcv;
    unsigned int method;        /* METHOD_..., of the CSeq */
    unsigned short via_port;    /* 0: none */
    unsigned short len;
    struct oauth_part branch, host, call_id, cseq; /* in the text; branch and host of the topmost Via */
    const char *text;           /* len octets and a NUL */
};
int oauth_arrival_init(void);
int oauth_arrival_is_seen(const struct oauth_arrival *arrival);
int oauth_arrival_keep(const sip_msg_t *msg);
void oauth_arrival_forget(void);
const struct oauth_arrival *oauth_arrival_of(const sip_msg_t *msg);
int oauth_arrival_same(const struct oauth_arrival *one, const struct oauth_arrival *other);
uint64_t oauth_arrival_hash(const struct oauth_arrival *arrival, uint64_t secret);
#define OAUTH_LANES 4096
unsigned int oauth_arrival_lane(const struct oauth_arrival *arrival, uint64_t secret);

/* parked.c: the requests that wait, as they arrived, in shared memory */
struct oauth_parked {
    struct oauth_parked *next;
    uint64_t number;
    size_t size;
    unsigned int since;            /* in the core's ticks, which are seconds */
    int goes_on;                   /* a process runs its script */
    struct oauth_parked *cancel;   /* came while it went on */
    const char *function;          /* by which it had to wait; constant, so equal in all processes */
    struct oauth_digest_user user; /* empty: none */
    struct oauth_arrival arrival;
    char store[];                  /* what the two above point to */
};
int oauth_parked_init(void);
int oauth_parked_add(const struct oauth_arrival *arrival, const char *function, const struct oauth_digest_user *user,
        uint64_t *number);
int oauth_parked_has(const struct oauth_arrival *arrival, int *goes_on);
int oauth_parked_is_seen(uint64_t number, unsigned int *lane);
struct oauth_parked *oauth_parked_begin(uint64_t number);
struct oauth_parked *oauth_parked_end(struct oauth_parked *parked);
void oauth_parked_drop(uint64_t number);
int oauth_parked_cancel(const struct oauth_arrival *cancel, struct oauth_parked **invite);
void oauth_parked_free(struct oauth_parked *parked);
uint64_t oauth_parked_overdue(void);

/* again.c: a request that has waited is received again */
int oauth_again_init(void);
int oauth_again_look(void);
const char *oauth_again_function(const sip_msg_t *msg);
const struct oauth_digest_user *oauth_again_user(const sip_msg_t *msg);
void oauth_again_run(uint64_t number);
int oauth_again_arrived(sip_msg_t *msg);
void oauth_again_seen(const sip_msg_t *msg);
void oauth_again_begins(const sip_msg_t *msg);
struct oauth_task {
    uint64_t number;
    unsigned int lane;
};
void oauth_again_run_task(const struct oauth_task *task);

/* receive.c of the host */
typedef void (*oauth_handle_f)(sip_msg_t *msg);
void host_receive(char *buffer, const struct oauth_arrival *arrival, oauth_handle_f handle);
void host_run_script(sip_msg_t *msg);
int host_hand_over(const struct oauth_task *task, uint32_t unfinished);
int host_runs_scripts_itself(void);
int host_answer_cancelled(sip_msg_t *invite, str *tag);
int host_answer_cancel(sip_msg_t *cancel, str *tag);

/* resume.c of the host: a transaction that is suspended, and goes on later */
struct oauth_resume;
int host_may_receive_again(const struct oauth_resume *resume);
int host_may_suspend(const struct oauth_resume *resume);
int host_suspend(sip_msg_t *msg, sipoauth_worker *worker, uint64_t job, const struct oauth_resume *resume);
void host_resume(uint64_t first, uint64_t second);
int host_resumes(const sip_msg_t *msg);
int host_is_repeated(sip_msg_t *msg);

/* park.c: how a request waits */
#define OAUTH_PARK_DONE 1     /* it waits, or is a copy of one that waits or was answered: end the script */
#define OAUTH_PARK_REFUSED 0  /* it cannot wait now: refuse it */
struct oauth_wait {
    const char *function;                 /* of the script, without "oauth_" */
    const struct oauth_digest_user *user; /* NULL: none */
    const struct oauth_arrival *arrival;  /* NULL: a transaction is suspended */
    const struct oauth_resume *resume;    /* where that goes on */
};
int oauth_park_init(void);
int oauth_park_possible(const sip_msg_t *msg, const struct oauth_resume *resume, struct oauth_wait *wait);
int oauth_park_absorbs(sip_msg_t *msg);
int oauth_park(sip_msg_t *msg, sipoauth_worker *worker, uint64_t job, const struct oauth_wait *wait);
void oauth_park_go_on(uint64_t first, uint64_t second);
void oauth_park_trying(sip_msg_t *msg);
void oauth_park_taken(const sip_msg_t *msg);
int oauth_has_waited(const sip_msg_t *msg);
int oauth_has_waited_for(const sip_msg_t *msg, const char *function);

/* certificate.c of the host: how the library can have the client certificate of the connection */
void host_offer_certificate(sipoauth_request *call, sip_msg_t *msg);

/* events.c of the host */
void oauth_event_denied(sip_msg_t *msg);
int oauth_event_denied_runs(void);
void oauth_event_refer_done(sipoauth_str id, sipoauth_str address, uint32_t status);
void oauth_event_session_ended(const sipoauth_session_state *session, const char *reason, sipoauth_str why);

/* io.c */
int oauth_io_init(void);
int oauth_io_usable(void);
void oauth_io_run(void);

/* process.c of the host: what its loop does before each step. Returns true if the next step must come soon. */
int host_process_step(void);

/* check.c */
int oauth_check(sip_msg_t *msg, uint32_t role, const str *realm, const struct oauth_resume *resume);
struct oauth_account {
    const char *function;  /* of the script, without "oauth_" */
    uint32_t flag;         /* SIPOAUTH_CHECK_GIVEN_ACCOUNT, or 0: the account comes from the store */
    sipoauth_str line;
};
int oauth_check_account(sip_msg_t *msg, uint32_t role, const str *realm, const struct oauth_account *account,
        const struct oauth_resume *resume);
int oauth_password_grant(sip_msg_t *msg, const str *realm, const struct oauth_digest_user *user,
        const struct oauth_resume *resume);
int oauth_check_device(sip_msg_t *msg, uint32_t role, const str *realm, uint32_t step, const struct oauth_resume *resume);
int oauth_check_failed(const sip_msg_t *msg, uint32_t role);
int oauth_check_token(sip_msg_t *msg, const str *token, const str *realm);
int oauth_require(sip_msg_t *msg, uint32_t what, const str *name);

/* device.c: Digest with a device password of the sign-in page */
#define OAUTH_REALM_SIZE 256
uint32_t oauth_device_role(const sip_msg_t *msg);
int oauth_device_keep(const sip_msg_t *msg, sipoauth_str text);
int oauth_device_ha1(const sip_msg_t *msg, str *text);
void oauth_device_forget(void);
int oauth_device_account(sip_msg_t *msg, const str *realm, const struct oauth_resume *resume);
int oauth_device_accept(sip_msg_t *msg);

/* key_derivation.c */
int oauth_kd_check(sip_msg_t *msg, uint32_t role, const str *realm, const struct oauth_resume *resume);
int oauth_kd_check_account(
        sip_msg_t *msg, uint32_t role, const str *realm, const str *account, const struct oauth_resume *resume);
int oauth_kd_challenge(sip_msg_t *msg, int flags);

/* location.c: how registrar and usrloc treat addresses */
int oauth_location_tell(sipoauth_config *config);

/* registrar.c of the host: settings of the modules registrar and usrloc, the first and third as the script has them, the others
 * as they are now. 0, or -1 when there is no such setting. */
int host_location_setting(const char *module, const char *name, int *number);
int host_registrar_number(const char *name, int *number);
int host_registrar_has_prefix(void);
const str *host_registrar_prefix(void);

/* expires.c */
int oauth_expires_limit(sip_msg_t *msg, uint32_t limit);

/* confirm.c of the host: the key of a registration is stored before its 200 leaves */
int oauth_confirm_init(void);
int oauth_confirm_later(sip_msg_t *msg, sipoauth_str ticket);
void oauth_confirm_forget(void);

/* secret.c: a secret of this process in private memory, which is wiped before it is freed or used again */
struct oauth_secret {
    char *text;
    size_t len;   /* 0: there is none */
    size_t size;
};
int oauth_secret_set(struct oauth_secret *secret, sipoauth_str text);
void oauth_secret_wipe(struct oauth_secret *secret);

/* tokens.c of the host: the tokens in the 2xx to a phone that holds its tokens itself */
int oauth_tokens_init(void);
int oauth_tokens_add(sip_msg_t *msg, sipoauth_str tokens);
void oauth_tokens_take_over(sip_msg_t *msg);
int oauth_tokens_show(sipoauth_str tokens, str *copy);
void oauth_tokens_forget(void);

/* command.c */
uint32_t oauth_command_remove_bindings(void *user, const sipoauth_session_state *session);
void oauth_command_ended(void *user, const sipoauth_session_state *session, const char *reason_code, sipoauth_str why);

/* challenge.c */
#define OAUTH_CHALLENGE_ONLY_APPEND 1
int oauth_challenge(sip_msg_t *msg, uint32_t role, const str *realm, int flags);
int oauth_challenge_by(sip_msg_t *msg, int rc, const sipoauth_reply *reply, int flags);
int oauth_offer(sip_msg_t *msg);

/* reply.c */
void oauth_reply_begin(sipoauth_reply *reply);
int oauth_send(sip_msg_t *msg, const sipoauth_reply *reply);
int oauth_add_headers(sip_msg_t *msg, const sipoauth_reply *reply);
int oauth_reply(sip_msg_t *msg, const str *realm);

/* credentials.c */
int oauth_remove_credentials(sip_msg_t *msg);
int oauth_is_removed(const sip_msg_t *msg, const struct lump *lump, const char *from);
int oauth_remove_header(sip_msg_t *msg, const hdr_field_t *header);

/* forward.c */
int oauth_forward_token(sip_msg_t *msg);

/* the host */
int host_load_rr(host_rr_api *rr);

/* dialogs.c */
void oauth_dialogs_init(void);
int oauth_dialog_mark(sip_msg_t *msg);
int oauth_dialog_check(sip_msg_t *msg);

/* refer.c: REFER and its events */
struct oauth_refer {
    uint32_t status;       /* of the answer; 0: none */
    uint32_t refused;
    uint32_t subscribing;  /* SIPOAUTH_SUBSCRIBING_ */
    /* the texts, which stand together: phrase is the first, owner the last */
    str phrase;
    str headers;
    str reason;
    str reason_text;
    str id;
    str refer_to;
    str target_call_id;
    str target_local_tag;
    str target_remote_tag;
    str events_uri;
    str publish_uri;
    str owner;             /* in the event of a REFER that has ended */
};
const struct oauth_refer *oauth_refer_get(const sip_msg_t *msg);
void oauth_refer_forget(void);
int oauth_refer_refused(const sip_msg_t *msg);
int oauth_refer_reply(sip_msg_t *msg);
int oauth_refer_check(sip_msg_t *msg);
int oauth_refer_accept(sip_msg_t *msg, int cseq);
int oauth_refer_follow(sip_msg_t *msg);
int oauth_refer_subscribe(sip_msg_t *msg);
int oauth_refer_publish(sip_msg_t *msg);
int oauth_refer_update(sip_msg_t *msg, const str *id, const str *status);
int oauth_refer_response(sip_msg_t *msg);
int oauth_refer_keep_ended(const sip_msg_t *msg, sipoauth_str id, sipoauth_str address, uint32_t status);
const char *oauth_subscribing_name(uint32_t subscribing);
void oauth_refer_step(sipoauth_io *io);
void oauth_refer_notified(uint64_t subscription, int code);
size_t oauth_refer_address(char *text, const str *host, const str *port);

/* notify.c */
uint64_t oauth_socket(const sip_msg_t *msg);
int oauth_notify_send(void *user, const sipoauth_notify *notify);
void oauth_notify_answered(struct cell *cell, int type, struct tmcb_params *params);

/* uac.c of the host */
#define OAUTH_ADDRESS_SIZE 300
size_t host_socket_address(const sip_msg_t *msg, char *text);
int host_notify(dlg_t *dialog, const str *destination, str *headers, str *body, void *subscription);

/* bindings.c: what usrloc knows about an address */
extern char *oauth_location_table;
int oauth_bindings_remove(const sipoauth_session_state *session);
int oauth_binding_ends(const sipoauth_session_state *session, const str *instance, const str *call_id);

/* usrloc.c of the host */
int oauth_bindings_known(void);
int host_uses_domain(void);
int host_bindings_remove(str *name, const sipoauth_session_state *session);

/* script.c and stats.c of the host, pv.c */
extern cmd_export_t oauth_cmds[];
extern pv_export_t oauth_pvs[];
int oauth_stats_register(void);

#endif
