/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "module.h"

static mi_response_t *stats(const mi_params_t *params, struct mi_handler *async)
{
    mi_item_t *item;
    mi_response_t *response = init_mi_result_object(&item);
    uint32_t i;

    (void)params;
    (void)async;
    for (i = 0; response != NULL && i < sipoauth_stat_count(); i++)
        add_mi_number(item, (char *)sipoauth_stat_name(i), (int)strlen(sipoauth_stat_name(i)),
                (double)sipoauth_context_stat(oauth_context, i));
    return response;
}

const mi_export_t oauth_mi[] = {
    {.name = "oauth_stats", .help = "The module's counters", .recipes = {{stats, {NULL}}, {EMPTY_MI_RECIPE}}},
    {.name = NULL}
};
