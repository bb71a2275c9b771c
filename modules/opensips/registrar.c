/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the settings of the modules registrar and usrloc, which do not change while OpenSIPS runs.
 */
#include "module.h"

/* What was set with modparam, or the default; NULL when there is no such module. */
int host_location_setting(const char *module, const char *name, int *number)
{
    const int *value = module_loaded((char *)module) ? find_param_export(module, name, INT_PARAM) : NULL;

    if (value == NULL)
        return -1;
    *number = *value;
    return 0;
}

int host_registrar_number(const char *name, int *number)
{
    return host_location_setting("registrar", name, number);
}

/* NULL when it is not set. */
const str *host_registrar_prefix(void)
{
    static str prefix;
    char **value = module_loaded("registrar") ? find_param_export("registrar", "realm_prefix", STR_PARAM) : NULL;

    if (value == NULL || *value == NULL || **value == '\0')
        return NULL;
    prefix.s = *value;
    prefix.len = (int)strlen(*value);
    return &prefix;
}

int host_registrar_has_prefix(void)
{
    return host_registrar_prefix() != NULL;
}
