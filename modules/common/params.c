/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The modparams. Every value goes to the library as text, and the library says what is wrong with it. A wrong value
 * stops the server's start. Values may be secrets, so this file never logs them.
 */
#include <stdio.h>
#include <string.h>

#include "shim.h"

int oauth_proxy_accepts_authorization = 0;

static sipoauth_config *config = NULL;

sipoauth_config *oauth_config_get(void)
{
    if (config == NULL) {
        config = sipoauth_config_new();
        if (config == NULL)
            LM_ERR("no memory for the configuration of auth_oauth\n");
    }
    return config;
}

void oauth_config_drop(void)
{
    sipoauth_config_free(config);
    config = NULL;
}

/* The server passes "abc" as a char pointer and 5 as the pointer's own value. */
static sipoauth_str value_text(modparam_t type, void *value, char *number, size_t size)
{
    sipoauth_str text = {NULL, 0};

    if (HOST_PARAM_IS_NUMBER(type)) {
        text.ptr = number;
        text.len = (size_t)snprintf(number, size, "%d", (int)(long)value);
    } else if (value != NULL) {
        text.ptr = value;
        text.len = strlen(value);
    }
    return text;
}

static int set_key(const char *key, modparam_t type, void *value)
{
    char err[OAUTH_ERR_SIZE] = "";
    char number[16];
    sipoauth_str name = {key, strlen(key)};
    sipoauth_config *target = oauth_config_get();

    if (target == NULL)
        return -1;
    if (sipoauth_config_set(target, name, value_text(type, value, number, sizeof(number)), err, sizeof(err))
            != SIPOAUTH_OK) {
        LM_ERR("modparam %s: %s\n", key, err);
        return -1;
    }
    return 0;
}

static int add_provider(modparam_t type, void *value)
{
    char err[OAUTH_ERR_SIZE] = "";
    char number[16];
    sipoauth_config *target = oauth_config_get();

    if (target == NULL)
        return -1;
    if (sipoauth_config_provider_add(target, value_text(type, value, number, sizeof(number)), err, sizeof(err))
            != SIPOAUTH_OK) {
        LM_ERR("modparam provider: %s\n", err);
        return -1;
    }
    return 0;
}

/* A modparam callback is not told which parameter it is for, so each parameter has a small function. */
#define KEY(name)                                      \
    static int set_##name(modparam_t type, void *value) \
    {                                                  \
        return set_key(#name, type, value);            \
    }
#include "params_keys.h"
#undef KEY

/* Both types are accepted for each, so that 30 and "30" work alike. */
#define KEY(name)                                                  \
    {#name, HOST_PARAM_TEXT, (void *)set_##name},    \
    {#name, HOST_PARAM_NUMBER, (void *)set_##name},

param_export_t oauth_params[] = {
#include "params_keys.h"
    {"provider", HOST_PARAM_TEXT, (void *)add_provider},
    {"proxy_accepts_authorization", HOST_PARAM_FLAG, &oauth_proxy_accepts_authorization},
    {"location_table", HOST_PARAM_NAME, &oauth_location_table},
    HOST_PARAMS
    {0, 0, 0}
};
