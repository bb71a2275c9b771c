/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Checks one request again and again, as the Kamailio module does it: what tools/instructions.sh counts the
 * instructions of.
 *
 *   cached_check KEYS TOKEN COUNT      KEYS: file with a JWK Set; TOKEN: file with a token of alice
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sipoauth.h"

static sipoauth_str text(const char *value)
{
    sipoauth_str str = {value, strlen(value)};
    return str;
}

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "cached_check: %s%s\n", what, detail);
    exit(2);
}

static void log_line(void *user, uint32_t level, const char *line, size_t len)
{
    (void)user;
    if (level <= SIPOAUTH_LOG_WARN)
        fprintf(stderr, "%.*s\n", (int)len, line);
}

/* One check with a result that says "denied", as the module prepares it; dies unless it is accepted. */
static int check(sipoauth_worker *worker, const sipoauth_request *request)
{
    sipoauth_result result;

    memset(&result, 0, sizeof(result));
    result.struct_size = sizeof(result);
    if (sipoauth_worker_check(worker, request, 0, &result) != SIPOAUTH_OK || result.verdict != SIPOAUTH_VERDICT_ACCEPTED
            || result.aor.len == 0 || result.subject.len == 0)
        fail("the token is not accepted", "");
    return result.cached != 0;
}

/* Its name is the one at which counting begins and ends. */
__attribute__((noinline)) void cached_checks(sipoauth_worker *worker, const sipoauth_request *request, long count)
{
    while (count-- > 0)
        if (!check(worker, request))
            fail("the token is not in the cache", "");
}

static const char *authorization(const char *path)
{
    static char value[8192] = "Bearer ";
    size_t scheme = strlen(value);
    FILE *file = fopen(path, "r");

    if (file == NULL || fgets(value + scheme, (int)(sizeof(value) - scheme), file) == NULL)
        fail("cannot read ", path);
    fclose(file);
    value[strcspn(value, "\r\n")] = '\0';
    return value;
}

static sipoauth_worker *worker_new(const char *keys)
{
    char line[4096], err[512];
    sipoauth_config *config = sipoauth_config_new();
    sipoauth_context *context = NULL;
    sipoauth_worker *worker = NULL;

    snprintf(line, sizeof(line),
            "name=login;issuer=https://login.example.com/realms/voice;audience=sip;"
            "aor=sip:{preferred_username}@example.com;jwks_file=%s",
            keys);
    if (sipoauth_config_provider_add(config, text(line), err, sizeof(err)) != SIPOAUTH_OK
            || sipoauth_context_new(config, log_line, NULL, &context, err, sizeof(err)) != SIPOAUTH_OK
            || sipoauth_worker_new(context, 0, &worker, err, sizeof(err)) != SIPOAUTH_OK)
        fail(err, "");
    sipoauth_config_free(config);
    return worker;
}

int main(int argc, char **argv)
{
    sipoauth_str credentials;
    sipoauth_request request;
    sipoauth_worker *worker;

    if (argc != 4)
        fail("usage: cached_check KEYS TOKEN COUNT", "");
    worker = worker_new(argv[1]);
    credentials = text(authorization(argv[2]));

    /* what the module gives at first; no more is asked for */
    memset(&request, 0, sizeof(request));
    request.struct_size = sizeof(request);
    request.role = SIPOAUTH_ROLE_UAS;
    request.transport = SIPOAUTH_TRANSPORT_UDP;
    request.method = text("REGISTER");
    request.from_uri = request.to_uri = text("sip:alice@example.com");
    request.realm = text("example.com");
    request.credentials = &credentials;
    request.credentials_count = 1;

    if (check(worker, &request) || !check(worker, &request))
        fail("the first check found the token in the cache, or the second did not", "");
    cached_checks(worker, &request, atol(argv[3]));
    return 0;
}
