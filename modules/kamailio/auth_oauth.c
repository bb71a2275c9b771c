/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module's entry points: start before the fork, start of the I/O process, end.
 *
 * mod_init starts nothing (no thread, no random number, no HTTP), because every child shares what it makes. It may run
 * as root, so it does not touch the folder of sessions either.
 */
#include "core/sr_module.h"
#include "core/mem/shm.h"
#include "core/receive.h"
#include "core/script_cb.h"

#include "shim.h"

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

/* The transaction that this process is working on, or NULL. */
tm_cell_t *oauth_transaction(void)
{
    tm_cell_t *cell = oauth_tm.t_gett();

    return cell == T_UNDEFINED ? NULL : cell;
}

struct oauth_owner oauth_owner_of(const sip_msg_t *msg)
{
    return (struct oauth_owner){msg, msg->id, msg->pid};
}

int oauth_owns(const struct oauth_owner *owner, const sip_msg_t *msg)
{
    return msg != NULL && owner->msg == msg && owner->id == msg->id && owner->pid == msg->pid;
}

/* For what a callback of a transaction has in shared memory. */
void oauth_shm_free(void *memory)
{
    shm_free(memory);
}

static int sip_worker = 0;

/* The rank does not say this, because a process that runs scripts for others has the rank of an RPC process. */
static int note_script(sip_msg_t *msg, unsigned int flags, void *param)
{
    (void)msg;
    (void)flags;
    (void)param;
    sip_worker = 1;
    return 1;
}

/* True if requests wait while this process does something else. */
int oauth_is_sip_worker(void)
{
    return sip_worker;
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
    if (register_script_cb(note_script, PRE_SCRIPT_CB | REQUEST_CB | ONREPLY_CB | FAILURE_CB, NULL) < 0) {
        LM_ERR("cannot register the callback that notes which processes run scripts\n");
        return -1;
    }
    if (oauth_park_init() < 0 || oauth_last_init() < 0 || oauth_stats_register() < 0 || oauth_io_register() < 0)
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
    sip_worker = rank > 0;
    /* tm gives the copy of a suspended message a number that is one less. It must not be 0, which the registrar remembers
     * before a script has set a q. */
    inc_msg_no();
    if (rank == PROC_INIT) {
        oauth_events_init();
        oauth_connection_init();
        return oauth_conditions_look() < 0 || oauth_arrival_init() < 0 ? -1 : try_store();
    }
    return rank == PROC_MAIN ? oauth_io_start() : 0;
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
    return oauth_kemi_register() < 0 || oauth_again_register_first() < 0 ? -1 : 0;
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
