/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the settings of the registrar module as they are now, because an RPC command may have changed them, and those of
 * the script.
 */
#include <string.h>

#include "core/cfg/cfg_ctx.h"

#include "module.h"

static cfg_ctx_t *settings = NULL;

/*
 * The place of a parameter, which has what was set with modparam, or its default; NULL when there is no such module or
 * parameter. The order of the modules and their mod_init do not matter, because parameters are set while the script is
 * read.
 */
static void *parameter(char *module, char *name, modparam_t wanted)
{
    modparam_t type = 0;
    void *value = find_param_export(find_module_by_name(module), name, wanted, &type);

    return (type & PARAM_USE_FUNC) ? NULL : value;
}

int host_location_setting(const char *module, const char *name, int *number)
{
    const int *value = parameter((char *)module, (char *)name, PARAM_INT);

    if (value == NULL)
        return -1;
    *number = *value;
    return 0;
}

int host_registrar_has_prefix(void)
{
    const str *prefix = parameter("registrar", "realm_prefix", PARAM_STR);

    return prefix != NULL && prefix->len > 0;
}

int oauth_registrar_init(void)
{
    if (cfg_register_ctx(&settings, NULL) < 0) {
        LM_ERR("the settings of the registrar module cannot be read\n");
        return -1;
    }
    return 0;
}

static int setting(const char *name, unsigned int type, void **value)
{
    str group = str_init("registrar");
    str variable = {(char *)name, (int)strlen(name)};
    unsigned int found = 0;

    *value = NULL;
    if (find_module_by_name("registrar") == NULL
            || cfg_get_by_name(settings, &group, NULL, &variable, value, &found) != 0)
        return -1;
    return found == type ? 0 : -1;
}

int host_registrar_number(const char *name, int *number)
{
    void *value;

    if (setting(name, CFG_VAR_INT, &value) < 0)
        return -1;
    *number = (int)(long)value;
    return 0;
}

/* NULL when it is not set. */
const str *host_registrar_prefix(void)
{
    void *value;
    const str *text;

    if (setting("realm_pref", CFG_VAR_STR, &value) < 0 || value == NULL)
        return NULL;
    text = value;
    return text->s != NULL && text->len > 0 ? text : NULL;
}
