/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module's entry points: start before the fork, end.
 *
 * mod_init starts nothing (no thread, no random number, no HTTP), because every child shares what it makes. It may run
 * as root, so it does not touch the folder of sessions either.
 */
#include "module.h"

sipoauth_context *oauth_context = NULL;
struct tm_binds oauth_tm;
struct sig_binds oauth_sig;

static int mod_init(void)
{
    char err[OAUTH_ERR_SIZE] = "";
    sipoauth_config *config;

    if (sipoauth_abi_version() != SIPOAUTH_ABI_VERSION) {
        LM_ERR("auth_oauth was linked with another libsipoauth than it was compiled for: build it again\n");
        return -1;
    }
    if (load_tm_api(&oauth_tm) < 0 || load_sig_api(&oauth_sig) < 0) {
        LM_ERR("auth_oauth needs the modules tm, sl and signaling: load them\n");
        return -1;
    }
    config = oauth_config_get();
    if (config == NULL || oauth_location_tell(config) < 0)
        return -1;
    if (sipoauth_context_new(config, oauth_log, NULL, &oauth_context, err, sizeof(err)) != SIPOAUTH_OK) {
        LM_ERR("%s\n", err);
        oauth_context = NULL;
        return -1;
    }
    oauth_config_drop();
    if (oauth_confirm_init() < 0 || oauth_tokens_init() < 0 || oauth_park_init() < 0 || oauth_last_init() < 0)
        return -1;
    if (oauth_hooks_register() < 0 || oauth_stats_register() < 0 || oauth_io_init() < 0)
        return -1;
    if (oauth_events_init() < 0 || oauth_connection_init() < 0)
        return -1;
    oauth_dialogs_init();
    LM_INFO("libsipoauth %s\n", sipoauth_version());
    return 0;
}

static void mod_destroy(void)
{
    oauth_worker_drop();
    oauth_config_drop();
    sipoauth_context_free(oauth_context);
    oauth_context = NULL;
}

static const dep_export_t dependencies = {
    {
        {MOD_TYPE_DEFAULT, "tm", DEP_ABORT},
        {MOD_TYPE_DEFAULT, "sl", DEP_ABORT},
        {MOD_TYPE_DEFAULT, "signaling", DEP_ABORT},
        {MOD_TYPE_DEFAULT, "rr", DEP_SILENT},
        {MOD_TYPE_DEFAULT, "usrloc", DEP_SILENT},
        {MOD_TYPE_DEFAULT, "registrar", DEP_SILENT},
        {MOD_TYPE_NULL, NULL, 0},
    },
    {
        {NULL, NULL},
    },
};

struct module_exports exports = {
    .name = "auth_oauth",
    .type = MOD_TYPE_DEFAULT,
    .ver_info = MODULE_VERSION,
    .dlflags = DEFAULT_DLFLAGS,
    .load_f = oauth_mi_register,
    .deps = &dependencies,
    .cmds = oauth_cmds,
    .acmds = oauth_acmds,
    .params = oauth_params,
    .mi_cmds = oauth_mi,
    .items = oauth_pvs,
    .procs = oauth_procs,
    .init_f = mod_init,
    .destroy_f = mod_destroy,
};
