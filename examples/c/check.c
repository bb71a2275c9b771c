/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The smallest host of libsipoauth: checks the Authorization header of one REGISTER and prints the verdict.
 *
 *   cc check.c -o check $(pkg-config --cflags --libs sipoauth) -pthread
 *   ./check 'name=corp;issuer=https://login.example.com;audience=sip;aor=sip:{preferred_username}@example.com' \
 *       sip:alice@example.com "Bearer $TOKEN"
 *
 * This program may block, so it waits for the authorization server's keys (sipoauth_worker_check_wait), and lets a
 * thread do the network work. A SIP server would rather have one process or thread that only calls sipoauth_io_step,
 * check with sipoauth_worker_check, and park a request whose verdict is PENDING.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <sipoauth.h>

static atomic_int running = 1;

static void *network(void *io)
{
    while (running)
        sipoauth_io_step((sipoauth_io *)io, 100, NULL, NULL);
    return NULL;
}

static void print_log(void *user, uint32_t level, const char *line, size_t len)
{
    (void)user;
    if (level <= SIPOAUTH_LOG_INFO)
        fprintf(stderr, "%.*s\n", (int)len, line);
}

static sipoauth_str text(const char *value)
{
    sipoauth_str str = {value, strlen(value)};
    return str;
}

static int check(sipoauth_worker *worker, const char *address, const char *authorization)
{
    sipoauth_str credentials = text(authorization); /* the body of each Authorization header field */
    sipoauth_request request;
    sipoauth_result result;

    memset(&request, 0, sizeof(request));
    request.struct_size = sizeof(request);
    request.role = SIPOAUTH_ROLE_UAS;
    request.method = text("REGISTER");
    request.from_uri = request.to_uri = text(address);
    request.credentials = &credentials;
    request.credentials_count = 1;
    memset(&result, 0, sizeof(result));
    result.struct_size = sizeof(result);

    if (sipoauth_worker_check_wait(worker, &request, 10000, &result) != SIPOAUTH_OK)
        fprintf(stderr, "the check failed\n"); /* and the result says "denied" */
    printf("%u %.*s: %.*s\n", (unsigned)result.status, (int)result.reason_code.len, result.reason_code.ptr,
            (int)result.reason_text.len, result.reason_text.ptr);
    return result.verdict == SIPOAUTH_VERDICT_ACCEPTED;
}

int main(int argc, char **argv)
{
    sipoauth_config *config;
    sipoauth_context *context = NULL;
    sipoauth_worker *worker = NULL;
    sipoauth_io *io = NULL;
    pthread_t thread;
    char err[512];
    int accepted;

    if (argc != 4) {
        fprintf(stderr, "usage: %s PROVIDER ADDRESS AUTHORIZATION\n", argv[0]);
        return 2;
    }
    /* before the fork, in a server that forks */
    config = sipoauth_config_new();
    if (sipoauth_config_provider_add(config, text(argv[1]), err, sizeof(err)) != SIPOAUTH_OK
            || sipoauth_context_new(config, print_log, NULL, &context, err, sizeof(err)) != SIPOAUTH_OK) {
        fprintf(stderr, "%s\n", err);
        return 2;
    }
    sipoauth_config_free(config);

    /* after the fork: the network work in one process, a worker in each */
    if (sipoauth_io_new(context, &io, err, sizeof(err)) != SIPOAUTH_OK
            || sipoauth_worker_new(context, SIPOAUTH_WORKER_MAY_WAIT, &worker, err, sizeof(err)) != SIPOAUTH_OK
            || pthread_create(&thread, NULL, network, io) != 0) {
        fprintf(stderr, "%s\n", err);
        return 2;
    }
    accepted = check(worker, argv[2], argv[3]);

    running = 0;
    pthread_join(thread, NULL);
    sipoauth_worker_free(worker);
    sipoauth_io_free(io);
    sipoauth_context_free(context);
    return accepted ? 0 : 1;
}
