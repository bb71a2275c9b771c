/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells the library how registrar and usrloc treat addresses, so that an accepted user does not get another user's
 * bindings.
 */
#include <string.h>

#include "shim.h"

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
    int case_sensitive, use_domain, mixes_domains;

    if (host_location_setting("registrar", "case_sensitive", &case_sensitive) == 0
            && tell(config, "location_folds_case", case_sensitive != 0 ? "no" : "yes") < 0)
        return -1;
    if (host_location_setting("usrloc", "use_domain", &use_domain) < 0)
        return 0;
    /* without its prefix a domain is the same as another one */
    mixes_domains = use_domain == 0 || host_registrar_has_prefix();
    return tell(config, "location_ignores_domain", mixes_domains ? "yes" : "no");
}
