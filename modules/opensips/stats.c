/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The library's counters as statistics of the group auth_oauth.
 */
#include "module.h"

static unsigned long read_counter(void *index)
{
    return (unsigned long)sipoauth_context_stat(oauth_context, (uint32_t)(uintptr_t)index);
}

int oauth_stats_register(void)
{
    const char *name;
    uint32_t i;

    for (i = 0; i < sipoauth_stat_count(); i++) {
        name = sipoauth_stat_name(i);
        if (name == NULL)
            continue;
        if (register_stat2("auth_oauth", (char *)name, (stat_var **)(void *)read_counter, STAT_IS_FUNC,
                    (void *)(uintptr_t)i, 0) != 0) {
            LM_ERR("cannot register the statistic %s\n", name);
            return -1;
        }
    }
    return 0;
}
