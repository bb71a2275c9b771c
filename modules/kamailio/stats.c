/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The library's counters as Kamailio statistics of the group auth_oauth (statistics module, xhttp_prom).
 *
 * register_module_stats would need one function for each counter; the counter API below it passes a parameter
 * along, which is the counter's index here.
 */
#include "core/counters.h"

#include "module.h"

static counter_val_t read_counter(counter_handle_t handle, void *param)
{
    (void)handle;
    return (counter_val_t)sipoauth_context_stat(oauth_context, (uint32_t)(uintptr_t)param);
}

int oauth_stats_register(void)
{
    counter_handle_t handle;
    const char *name;
    uint32_t i;

    for (i = 0; i < sipoauth_stat_count(); i++) {
        name = sipoauth_stat_name(i);
        if (name == NULL)
            continue;
        if (counter_register(&handle, "auth_oauth", name, CNT_F_NO_RESET, read_counter, (void *)(uintptr_t)i,
                    "see the counters in the module's documentation", 0) < 0) {
            LM_ERR("cannot register the statistic %s\n", name);
            return -1;
        }
    }
    return 0;
}
