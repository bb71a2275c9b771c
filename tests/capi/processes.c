/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Forks: a context is shared, workers and the I/O service belong to the process that made them.
 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

static const char alice[] = "sip:alice@example.test";
static sipoauth_context *context;
static char err[256];

/* The keys must be there already, or an I/O service run somewhere. */
static int accepts(sipoauth_worker *worker)
{
    char *credentials = bearer(argument("token"));
    sipoauth_result result = blank_result();
    struct message message;

    message_register(&message, alice, credentials);
    EXPECT_STATUS(sipoauth_worker_check_wait(worker, &message.request, 60000, &result), SIPOAUTH_OK);
    free(credentials);
    return result.verdict == SIPOAUTH_VERDICT_ACCEPTED;
}

/* What is said to a request on this connection, with or without a token. */
static sipoauth_result on_connection(sipoauth_worker *worker, const char *method, uint64_t connection, int with_token)
{
    char *credentials = bearer(argument("token"));
    sipoauth_result result = blank_result();
    struct message message;

    message_register(&message, alice, with_token ? credentials : NULL);
    message.request.method = text(method);
    message.request.transport = SIPOAUTH_TRANSPORT_WSS;
    message.request.connection = connection;
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, SIPOAUTH_CHECK_NO_WAIT, &result), SIPOAUTH_OK);
    free(credentials);
    return result;
}

/* Runs the I/O service until it is killed. Exit statuses below 128 are failures. */
static pid_t fork_io(void)
{
    sipoauth_io *io = NULL;
    pid_t child = fork();

    if (child != 0)
        return child;
    if (sipoauth_io_new(context, &io, err, sizeof(err)) != SIPOAUTH_OK)
        _exit(1);
    for (;;)
        if (sipoauth_io_step(io, 100, NULL, NULL) != SIPOAUTH_OK)
            _exit(2);
}

#define CHILD_EXPECT(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: does not hold in the child: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1); \
        } \
    } while (0)

static void connections(sipoauth_worker *worker)
{
    sipoauth_result result = on_connection(worker, "BYE", 7, 0);
    struct message message;

    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.status == 200 && result.cached == 1);
    EXPECT(result.grant == SIPOAUTH_GRANT_CONNECTION && result.expires_at > 1700000000);
    EXPECT_TEXT(result.aor, alice);
    EXPECT_TEXT(result.subject, "alice");
    EXPECT_TEXT(result.reason_code, "ok");
    result = on_connection(worker, "BYE", UINT64_MAX, 0); /* bound by a process that has ended */
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED);
    result = on_connection(worker, "BYE", 0, 1);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.grant == SIPOAUTH_GRANT_TOKEN);
    result = on_connection(worker, "BYE", 0, 0); /* no connection is none, not one more number */
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS && result.grant == SIPOAUTH_GRANT_NONE);
    result = on_connection(worker, "BYE", 8, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS && result.status == 401);

    message_register(&message, "sip:bob@example.test", NULL);
    message.request.method = text("INVITE");
    message.request.transport = SIPOAUTH_TRANSPORT_WSS;
    message.request.connection = 7;
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status == 403);
    EXPECT_TEXT(result.reason_code, "aor_mismatch");
    message.request.from_uri = text(alice);
    message.request.now = 4000000000;
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status == 401 && result.reason == 85);
    EXPECT_TEXT(result.reason_code, "connection_expired");
    EXPECT_TEXT(result.error, "invalid_token");
    message.request.now = 0;
    message.request.source_port++; /* the number has come again, for another peer */
    EXPECT_STATUS(sipoauth_worker_check(worker, &message.request, 0, &result), SIPOAUTH_OK);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS);

    EXPECT_STATUS(sipoauth_context_binds_connections(context), 1);
    EXPECT_STATUS(sipoauth_context_connection_closed(context, 0), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_connection_closed(context, 99), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_connection_closed(context, 7), SIPOAUTH_OK);
    result = on_connection(worker, "BYE", 7, 0);
    EXPECT(result.verdict == SIPOAUTH_VERDICT_NO_CREDENTIALS);
}

/* What a child may do with its parent's handles: nothing. Its own work with the keys its siblings have. */
static void child_of_worker(sipoauth_worker *parents)
{
    struct message message;
    sipoauth_result result = blank_result();
    sipoauth_worker *own = NULL;
    sipoauth_str value;
    sipoauth_challenge challenge;
    sipoauth_endpoint endpoint;
    sipoauth_reply reply;
    uint32_t offer;

    memset(&reply, 0, sizeof(reply));
    reply.struct_size = sizeof(reply);
    memset(&challenge, 0, sizeof(challenge));
    challenge.struct_size = sizeof(challenge);
    memset(&endpoint, 0, sizeof(endpoint));
    endpoint.struct_size = sizeof(endpoint);
    message_register(&message, alice, "Bearer x");
    CHILD_EXPECT(sipoauth_worker_check(parents, &message.request, 0, &result) == SIPOAUTH_E_PROCESS);
    CHILD_EXPECT(result.verdict == SIPOAUTH_VERDICT_DENIED && result.status == 503);
    CHILD_EXPECT(sipoauth_worker_check_wait(parents, &message.request, 1, &result) == SIPOAUTH_E_PROCESS);
    CHILD_EXPECT(sipoauth_worker_check_token(parents, NULL, text("x"), 0, &result) == SIPOAUTH_E_PROCESS);
    CHILD_EXPECT(sipoauth_worker_refuse(parents, SIPOAUTH_REFUSE_FULL, 1, &result) == SIPOAUTH_E_PROCESS);
    CHILD_EXPECT(sipoauth_worker_claim(parents, 1, text("sub"), &value) == SIPOAUTH_E_PROCESS);
    CHILD_EXPECT(sipoauth_worker_submit(parents, 0, text(""), 1, 2) == SIPOAUTH_E_PROCESS);
    CHILD_EXPECT(sipoauth_worker_challenge(parents, &challenge, &reply) == SIPOAUTH_E_PROCESS);
    CHILD_EXPECT(sipoauth_worker_reply(parents, 0, &message.request, &reply) == SIPOAUTH_E_PROCESS);
    CHILD_EXPECT(sipoauth_worker_offer(parents, &endpoint, &offer) == SIPOAUTH_E_PROCESS);
    sipoauth_worker_free(parents);

    CHILD_EXPECT(sipoauth_worker_new(context, SIPOAUTH_WORKER_MAY_WAIT, &own, err, sizeof(err)) == SIPOAUTH_OK);
    CHILD_EXPECT(accepts(own));
    /* what a connection is bound to is known to all processes, whichever of them serves its next request */
    result = on_connection(own, "BYE", 7, 0);
    CHILD_EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.grant == SIPOAUTH_GRANT_CONNECTION);
    result = on_connection(own, "REGISTER", UINT64_MAX, 1);
    CHILD_EXPECT(result.verdict == SIPOAUTH_VERDICT_ACCEPTED && result.grant == SIPOAUTH_GRANT_TOKEN);
    sipoauth_worker_free(own);
    sipoauth_context_free(context);
    _exit(0);
}

static void child_of_io(sipoauth_io *parents)
{
    sipoauth_io *own = NULL;

    CHILD_EXPECT(sipoauth_io_step(parents, 0, NULL, NULL) == SIPOAUTH_E_PROCESS);
    CHILD_EXPECT(sipoauth_io_ended(parents, NULL, NULL) == SIPOAUTH_E_PROCESS);
    CHILD_EXPECT(sipoauth_io_new(context, &own, err, sizeof(err)) == SIPOAUTH_E_BUSY);
    sipoauth_io_free(parents); /* does nothing: its threads are in the parent */
    CHILD_EXPECT(sipoauth_io_new(context, &own, err, sizeof(err)) == SIPOAUTH_E_BUSY);
    /* What the parent's threads own is lost in this process, by the nature of fork: a search for leaks at its end
     * would find that. */
    kill(getpid(), SIGKILL);
}

static int succeeds(pid_t child)
{
    int status = -1;

    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void test_processes(void)
{
    sipoauth_worker *worker = NULL;
    sipoauth_io *io = NULL;
    pid_t io_process, child;
    int status = 0;

    fflush(stdout);
    context = make_context("", "10");
    io_process = fork_io();
    EXPECT(io_process > 0);
    EXPECT_STATUS(sipoauth_worker_new(context, SIPOAUTH_WORKER_MAY_WAIT, &worker, err, sizeof(err)), SIPOAUTH_OK);
    EXPECT(accepts(worker));
    EXPECT(on_connection(worker, "REGISTER", 7, 1).verdict == SIPOAUTH_VERDICT_ACCEPTED);
    child = fork();
    if (child == 0)
        child_of_worker(worker);
    EXPECT(succeeds(child));
    EXPECT(accepts(worker)); /* the child's free was its own affair */
    connections(worker);

    /* as long as the I/O process lives, it is the only one */
    EXPECT_STATUS(sipoauth_io_new(context, &io, err, sizeof(err)), SIPOAUTH_E_BUSY);
    kill(io_process, SIGKILL);
    EXPECT(waitpid(io_process, &status, 0) == io_process && WIFSIGNALED(status));
    EXPECT_STATUS(sipoauth_io_new(context, &io, err, sizeof(err)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_io_step(io, 10, NULL, NULL), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_io_ended(io, NULL, NULL), SIPOAUTH_OK);
    child = fork();
    if (child == 0)
        child_of_io(io);
    EXPECT(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    EXPECT_STATUS(sipoauth_io_step(io, 10, NULL, NULL), SIPOAUTH_OK);
    sipoauth_io_free(io);
    EXPECT_STATUS(sipoauth_io_new(context, &io, err, sizeof(err)), SIPOAUTH_OK);
    sipoauth_io_free(io);
    sipoauth_worker_free(worker);
    sipoauth_context_free(context);
}
