/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only the files of this folder share.
 */
#ifndef AUTH_OAUTH_MODULE_H
#define AUTH_OAUTH_MODULE_H

#include "shim.h"

/* auth_oauth.c */
extern sl_api_t oauth_sl;
extern tm_xapi_t oauth_tmx;

/* hooks.c */
int oauth_hooks_register_first(void);
int oauth_hooks_register(void);
int oauth_watch_stateless(sl_cbf_f ready);
int oauth_is_sip_worker(void);
void oauth_note_process(int rank);

/* registrar.c */
int oauth_registrar_init(void);

/* resume.c */
int oauth_resume_init(void);
int oauth_route_find(const char *name);

/* process.c */
int oauth_process_register(void);
int oauth_process_start(void);

/* events.c */
void oauth_events_init(void);

/* conditions.c */
int oauth_conditions_look(void);

/* connection.c */
void oauth_connection_init(void);

/* certificate.c */
void oauth_certificate_init(void);

/* kemi.c */
int oauth_kemi_register(void);

/* sessions_rpc.c */
void oauth_rpc_sessions_list(rpc_t *rpc, void *ctx);
void oauth_rpc_sessions_show(rpc_t *rpc, void *ctx);
void oauth_rpc_sessions_revoke(rpc_t *rpc, void *ctx);
void oauth_rpc_sessions_revoke_all(rpc_t *rpc, void *ctx);

/* accounts_rpc.c */
void oauth_rpc_accounts_list(rpc_t *rpc, void *ctx);
void oauth_rpc_accounts_show(rpc_t *rpc, void *ctx);
void oauth_rpc_accounts_set(rpc_t *rpc, void *ctx);
void oauth_rpc_accounts_remove(rpc_t *rpc, void *ctx);

/* rpc.c */
#define OAUTH_RPC_AOR_MAX 512
extern rpc_export_t oauth_rpcs[];
void oauth_rpc_fault(rpc_t *rpc, void *ctx, int code, const char *sentence);
void oauth_rpc_store_fault(rpc_t *rpc, void *ctx, const char *what, const char *store, int rc);
void oauth_rpc_add_next(rpc_t *rpc, void *ctx, const char *next);
int oauth_rpc_scan_aor(rpc_t *rpc, void *ctx, char *text, sipoauth_str *aor);
sipoauth_str oauth_rpc_scan_optional(rpc_t *rpc, void *ctx);
void oauth_rpc_add_view(rpc_t *rpc, void *item, const char *name, sipoauth_str value);
int oauth_rpc_add_number(rpc_t *rpc, void *item, const char *name, uint64_t value);
int oauth_rpc_add_time(rpc_t *rpc, void *item, const char *name, int64_t value);

#endif
