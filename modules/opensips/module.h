/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only the files of this folder share.
 */
#ifndef AUTH_OAUTH_MODULE_H
#define AUTH_OAUTH_MODULE_H

#include "shim.h"

/* auth_oauth.c */
extern struct sig_binds oauth_sig;

/* message.c */
uint64_t oauth_transaction_name(const struct cell *cell);
int oauth_cancel_check(sip_msg_t *msg);

/* hooks.c */
int oauth_hooks_register(void);

/* process.c */
extern const proc_export_t oauth_procs[];

/* workers.c: the processes that run the script */
int oauth_workers_init(void);
int oauth_workers_send(int process, ipc_rpc_f *function, void *parameter);
void oauth_workers_received(void);
int oauth_workers_idlest(void);
int oauth_is_worker(int process);

/* script.c, resume.c: the functions of a script, and their form in async(...) */
enum oauth_function {
    OAUTH_CHECK, OAUTH_PROXY_CHECK, OAUTH_PASSWORD_GRANT, OAUTH_KD_CHECK, OAUTH_PROXY_KD_CHECK, OAUTH_KD_CHECK_ACCOUNT,
    OAUTH_PROXY_KD_CHECK_ACCOUNT, OAUTH_DEVICE_ACCOUNT
};
struct oauth_call {
    enum oauth_function function;
    str texts[3];   /* realm, H(A1) or account, password; empty: none */
};
int oauth_call(sip_msg_t *msg, const struct oauth_call *call, const struct oauth_resume *resume);
extern const acmd_export_t oauth_acmds[];
int oauth_async(sip_msg_t *msg, async_ctx *context, const struct oauth_call *call);
int oauth_resume_again(void);

/* events.c */
int oauth_events_init(void);

/* connection.c */
int oauth_connection_init(void);
void oauth_connection_note(const sip_msg_t *msg);

/* mi.c */
extern mi_export_t oauth_mi[];
int oauth_mi_register(void);

#endif
