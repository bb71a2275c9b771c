/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module's entry points: start before the fork, start of the I/O process, end.
 *
 * mod_init starts nothing (no thread, no random number, no HTTP), because every child shares what it makes. It may run
 * as root, so it does not touch the folder of sessions either.
 */
#include "core/receive.h"

#include "module.h"

MODULE_VERSION

sipoauth_context *oauth_context = NULL;
sl_api_t oauth_sl;
struct tm_binds oauth_tm;
tm_xapi_t oauth_tmx;

static int need_modules(void)
{
    if (find_module_by_name("tm") == NULL || load_tm_api(&oauth_tm) < 0 || tm_load_xapi(&oauth_tmx) < 0) {
        LM_ERR("auth_oauth parks requests with the tm module: put loadmodule \"tm.so\" before it\n");
        return -1;
    }
    if (find_module_by_name("sl") == NULL || sl_load_api(&oauth_sl) < 0) {
        LM_ERR("auth_oauth replies with the sl module: put loadmodule \"sl.so\" before it\n");
        return -1;
    }
    return 0;
}

static int mod_init(void)
{
    char err[OAUTH_ERR_SIZE] = "";
    sipoauth_config *config;

    if (sipoauth_abi_version() != SIPOAUTH_ABI_VERSION) {
        LM_ERR("auth_oauth was linked with another libsipoauth than it was compiled for: build it again\n");
        return -1;
    }
    if (need_modules() < 0)
        return -1;
    config = oauth_config_get();
    if (config == NULL || oauth_location_tell(config) < 0)
        return -1;
    if (sipoauth_context_new(config, oauth_log, NULL, &oauth_context, err, sizeof(err)) != SIPOAUTH_OK) {
        LM_ERR("%s\n", err);
        oauth_context = NULL;
        return -1;
    }
    oauth_config_drop();
    if (oauth_confirm_init() < 0 || oauth_tokens_init() < 0 || oauth_registrar_init() < 0)
        return -1;
    if (oauth_park_init() < 0 || oauth_resume_init() < 0 || oauth_last_init() < 0 || oauth_hooks_register() < 0)
        return -1;
    if (oauth_stats_register() < 0 || oauth_process_register() < 0)
        return -1;
    oauth_certificate_init();
    oauth_dialogs_init();
    LM_INFO("libsipoauth %s\n", sipoauth_version());
    return 0;
}

/*
 * Runs in child_init(PROC_INIT). There the core already runs as its user (-u) and has not forked yet. So a folder that
 * cannot be used still stops the start, and files made there belong to that user. A child process of the library does
 * the work.
 */
static int try_store(void)
{
    char err[OAUTH_ERR_SIZE] = "";
    int rc = sipoauth_context_try_store(oauth_context, err, sizeof(err));

    if (rc != SIPOAUTH_OK)
        LM_ERR("%s\n", err);
    return rc == SIPOAUTH_OK ? 0 : -1;
}

static int child_init(int rank)
{
    oauth_note_process(rank);
    /* tm gives the copy of a suspended message a number that is one less. It must not be 0, which the registrar remembers
     * before a script has set a q. */
    inc_msg_no();
    if (rank == PROC_INIT) {
        oauth_events_init();
        oauth_connection_init();
        return oauth_conditions_look() < 0 || oauth_arrival_init() < 0 ? -1 : try_store();
    }
    return rank == PROC_MAIN ? oauth_process_start() : 0;
}

static void mod_destroy(void)
{
    oauth_worker_drop();
    oauth_config_drop();
    sipoauth_context_free(oauth_context);
    oauth_context = NULL;
}

int mod_register(char *path, int *dlflags, void *p1, void *p2)
{
    (void)path;
    (void)dlflags;
    (void)p1;
    (void)p2;
    return oauth_kemi_register() < 0 || oauth_hooks_register_first() < 0 || oauth_rpc_register() < 0 ? -1 : 0;
}

struct module_exports exports = {
    "auth_oauth",
    DEFAULT_DLFLAGS,
    oauth_cmds,
    oauth_params,
    oauth_rpcs,
    oauth_pvs,
    0, /* replies are not looked at */
    mod_init,
    child_init,
    mod_destroy,
};
