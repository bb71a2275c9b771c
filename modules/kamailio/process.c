/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module's own process, which does the library's network work, and runs the script for requests that have waited.
 */
#include "core/cfg/cfg_struct.h"

#include "module.h"

int oauth_process_register(void)
{
    if (register_procs(1) < 0) {
        LM_ERR("cannot register the I/O process\n");
        return -1;
    }
    cfg_register_child(1);
    return oauth_io_init();
}

int host_process_step(void)
{
    cfg_update();
    return 0;
}

/* Called in child_init of the main process. */
int oauth_process_start(void)
{
    /* The process has the rank of an extra worker, not of an RPC process, because it runs the script and needs
     * what modules open for SIP workers (database connections of usrloc, for example). */
    int pid = fork_process(PROC_XWORKER, "auth_oauth io", 1);

    if (pid < 0) {
        LM_ERR("cannot start the I/O process\n");
        return -1;
    }
    if (pid == 0) {
        if (cfg_child_init() < 0) {
            LM_ERR("cannot initialise the configuration of the I/O process\n");
            return -1;
        }
        oauth_io_run();
    }
    return 0;
}
