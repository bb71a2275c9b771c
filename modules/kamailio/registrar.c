/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the settings of the registrar module as they are now, because an RPC command may have changed them. Also tells
 * the library how registrar and usrloc treat addresses, so that an accepted user does not get another user's bindings.
 */
#include <string.h>

#include "core/cfg/cfg_ctx.h"

#include "shim.h"

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

static int tell(sipoauth_config *config, const char *key, const char *value)
{
    char err[OAUTH_ERR_SIZE] = "";
    sipoauth_str name = {key, strlen(key)}, text = {value, strlen(value)};

    if (sipoauth_config_set(config, name, text, err, sizeof(err)) == SIPOAUTH_OK)
        return 0;
    LM_ERR("%s: %s\n", key, err);
    return -1;
}

/* If these modules are not loaded, the operator's own settings count, because the registrar may be another server. */
int oauth_location_tell(sipoauth_config *config)
{
    const int *case_sensitive = parameter("registrar", "case_sensitive", PARAM_INT);
    const int *use_domain = parameter("usrloc", "use_domain", PARAM_INT);
    const str *prefix = parameter("registrar", "realm_prefix", PARAM_STR);
    int mixes_domains;

    if (case_sensitive != NULL && tell(config, "location_folds_case", *case_sensitive != 0 ? "no" : "yes") < 0)
        return -1;
    if (use_domain != NULL) {
        /* without its prefix a domain is the same as another one */
        mixes_domains = *use_domain == 0 || (prefix != NULL && prefix->len > 0);
        return tell(config, "location_ignores_domain", mixes_domains ? "yes" : "no");
    }
    return 0;
}

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
