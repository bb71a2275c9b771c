/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Runs all parts against a running authorization server that exchanges any code for tokens of alice:
 *
 *   client [panics] issuer=URL token=T expired=T forged=T unknown=T large=T directory=D vectors=D
 *
 * token is a token of sip:alice@example.test; expired, forged (bad signature), unknown (its kid does not exist) and
 * large (28 kB) are variations of it. directory is writable, vectors holds the examples of RFC 4474.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static int failures = 0;
static int checks = 0;
static int arguments = 0;
static char **argument_list = NULL;

void expect(int holds, const char *what, const char *file, int line)
{
    checks++;
    if (holds)
        return;
    failures++;
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
}

void expect_status(int status, int wanted, const char *what, const char *file, int line)
{
    checks++;
    if (status == wanted)
        return;
    failures++;
    fprintf(stderr, "%s:%d: %d instead of %d: %s\n", file, line, status, wanted, what);
}

void expect_text(sipoauth_str value, const char *wanted, const char *what, const char *file, int line)
{
    checks++;
    if (value.len == strlen(wanted) && (value.len == 0 || memcmp(value.ptr, wanted, value.len) == 0))
        return;
    failures++;
    fprintf(stderr, "%s:%d: %s is '%.*s', not '%s'\n", file, line, what, (int)value.len, value.len ? value.ptr : "",
            wanted);
}

const char *argument(const char *name)
{
    size_t len = strlen(name);
    int i;

    for (i = 1; i < arguments; i++)
        if (strncmp(argument_list[i], name, len) == 0 && argument_list[i][len] == '=')
            return argument_list[i] + len + 1;
    fprintf(stderr, "the argument %s= is missing\n", name);
    exit(2);
}

sipoauth_str text(const char *nul_terminated)
{
    return octets(nul_terminated, strlen(nul_terminated));
}

sipoauth_str octets(const void *first, size_t len)
{
    sipoauth_str value;

    value.ptr = (const char *)first;
    value.len = len;
    return value;
}

int contains(const char *haystack, size_t len, const char *part)
{
    size_t part_len = strlen(part);
    size_t i;

    for (i = 0; i + part_len <= len; i++)
        if (memcmp(haystack + i, part, part_len) == 0)
            return 1;
    return 0;
}

void test_version(void)
{
    int major, minor, patch;

    EXPECT(sipoauth_abi_version() == SIPOAUTH_ABI_VERSION);
    EXPECT(sscanf(sipoauth_version(), "%d.%d.%d", &major, &minor, &patch) == 3);
}

int main(int argc, char **argv)
{
    arguments = argc;
    argument_list = argv;
    if (argc > 1 && strcmp(argv[1], "panics") == 0) {
        test_panics();
        test_commands_that_panic();
        log_keeps_secret(argument("in_log"));
    } else {
        test_version();
        test_keys();
        test_config();
        test_misuse();
        test_requests();
        test_processes();
        test_sessions();
        test_exchange();
        test_passwords();
        test_devices();
        test_key_derivation();
        test_commands();
        log_keeps_secret(argument("encrypted"));
        log_keeps_secret(argument("shared"));
        log_keeps_secret(argument("foreign"));
        log_keeps_secret(argument("expired"));
        log_keeps_secret(argument("forged"));
        log_keeps_secret(argument("unknown"));
        log_keeps_secret(argument("large"));
    }
    log_keeps_secret(argument("token"));
    printf("libsipoauth %s: %d checks, %d failures\n", sipoauth_version(), checks, failures);
    return failures == 0 ? 0 : 1;
}
