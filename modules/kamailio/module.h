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

/* logout.c */
int oauth_back_channel_logout(sip_msg_t *msg, const str *form);

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

/* rpc.c */
extern rpc_export_t oauth_rpcs[];
int oauth_rpc_register(void);

#endif
