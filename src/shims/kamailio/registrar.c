/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settings of the registrar module as they are now: an RPC command may have changed them.
 */
#include <string.h>

#include "core/cfg/cfg_ctx.h"

#include "shim.h"

static cfg_ctx_t *settings = NULL;

int oauth_registrar_init(void)
{
    if (cfg_register_ctx(&settings, NULL) < 0) {
        LM_ERR("the settings of the registrar module cannot be read\n");
        return -1;
    }
    return 0;
}

static int setting(char *name, unsigned int type, void **value)
{
    str group = str_init("registrar");
    str variable = {name, (int)strlen(name)};
    unsigned int found = 0;

    *value = NULL;
    if (find_module_by_name("registrar") == NULL
            || cfg_get_by_name(settings, &group, NULL, &variable, value, &found) != 0)
        return -1;
    return found == type ? 0 : -1;
}

int oauth_registrar_number(char *name, int *number)
{
    void *value;

    if (setting(name, CFG_VAR_INT, &value) < 0)
        return -1;
    *number = (int)(long)value;
    return 0;
}

/* NULL when it is not set. */
const str *oauth_registrar_text(char *name)
{
    void *value;
    const str *text;

    if (setting(name, CFG_VAR_STR, &value) < 0 || value == NULL)
        return NULL;
    text = value;
    return text->s != NULL && text->len > 0 ? text : NULL;
}
