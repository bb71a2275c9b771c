/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real library is linked, and the linker (--wrap) leads these seven of its functions here. A test chooses their answers,
 * because the real ones need an authorization server that gives tokens or refuses, and a store that fails at the right moment.
 * whole.c lets the real ones answer.
 */
#include <stdio.h>

#include "gate.h"

struct library library;

void library_reset(void)
{
    memset(&library, 0, sizeof(library));
    library.first = pending();
    library.resumed = accepted();
}

static sipoauth_str text(const char *nul_terminated)
{
    return (sipoauth_str){nul_terminated, strlen(nul_terminated)};
}

static sipoauth_result result_of(uint32_t verdict, uint32_t reason_class, uint32_t status)
{
    sipoauth_result result = {.struct_size = sizeof(result), .verdict = verdict, .reason_class = reason_class, .status = status};

    return result;
}

sipoauth_result pending(void)
{
    sipoauth_result result = result_of(SIPOAUTH_VERDICT_PENDING, SIPOAUTH_CLASS_PENDING, 503);

    result.job = 1;
    result.reason_code = text("pending");
    return result;
}

sipoauth_result accepted(void)
{
    sipoauth_result result = result_of(SIPOAUTH_VERDICT_ACCEPTED, SIPOAUTH_CLASS_ACCEPTED, 200);

    result.check = 7;
    result.reason_code = text("ok");
    result.aor = text("sip:alice@example.test");
    return result;
}

sipoauth_result not_now(void)
{
    sipoauth_result result = result_of(SIPOAUTH_VERDICT_NOT_NOW, SIPOAUTH_CLASS_NOT_NOW, 503);

    result.retry_after = 3;
    result.reason_code = text("overloaded");
    return result;
}

/* Gives a request back, as the I/O service does. */
void library_answers(unsigned int job)
{
    const int before = process_no;

    process_no = IO_PROCESS;
    oauth_park_go_on(library.job[job].first, library.job[job].second);
    process_no = before;
}

static int32_t choose(sipoauth_worker *worker, const sipoauth_request *request, uint32_t flags, sipoauth_result *result)
{
    EXPECT(worker != NULL && request->complete(request->complete_user) == SIPOAUTH_OK);
    *result = flags & SIPOAUTH_CHECK_RESUMED ? library.resumed : library.first;
    if (flags & SIPOAUTH_CHECK_NO_WAIT && result->verdict == SIPOAUTH_VERDICT_PENDING)
        *result = not_now();
    return SIPOAUTH_OK;
}

int32_t __real_sipoauth_worker_check(sipoauth_worker *, const sipoauth_request *, uint32_t, sipoauth_result *);
int32_t __wrap_sipoauth_worker_check(sipoauth_worker *worker, const sipoauth_request *request, uint32_t flags, sipoauth_result *result)
{
    library.checks++;
    library.last_flags = (int)flags;
    if (library.real)
        return __real_sipoauth_worker_check(worker, request, flags, result);
    return choose(worker, request, flags, result);
}

int32_t __wrap_sipoauth_worker_check_password(sipoauth_worker *worker, const sipoauth_request *request, sipoauth_str ha1,
        sipoauth_str password, uint32_t flags, sipoauth_result *result)
{
    library.checks++;
    snprintf(library.user, sizeof(library.user), "%.*s %.*s", (int)ha1.len, ha1.ptr, (int)password.len, password.len > 0 ? password.ptr : "");
    return choose(worker, request, flags, result);
}

int32_t __real_sipoauth_worker_refuse(sipoauth_worker *, uint32_t, uint64_t, sipoauth_result *);
int32_t __wrap_sipoauth_worker_refuse(sipoauth_worker *worker, uint32_t why, uint64_t job, sipoauth_result *result)
{
    if (library.real || why != SIPOAUTH_REFUSE_FULL)
        return __real_sipoauth_worker_refuse(worker, why, job, result);
    *result = not_now();
    return SIPOAUTH_OK;
}

int32_t __real_sipoauth_worker_submit(sipoauth_worker *, uint64_t, sipoauth_str, uint64_t, uint64_t);
int32_t __wrap_sipoauth_worker_submit(sipoauth_worker *worker, uint64_t job, sipoauth_str tag, uint64_t first, uint64_t second)
{
    EXPECT(tag.len > 0);
    if (library.real)
        return __real_sipoauth_worker_submit(worker, job, tag, first, second);
    if (library.submit != SIPOAUTH_OK)
        return library.submit;
    library.job[library.jobs].first = first;
    library.job[library.jobs++].second = second;
    return SIPOAUTH_OK;
}

int32_t __wrap_sipoauth_worker_answered(sipoauth_worker *worker, sipoauth_str ticket, uint32_t status, sipoauth_str tag, uint32_t *retry_after)
{
    EXPECT(worker != NULL);
    library.told.count++;
    library.told.code = status;
    snprintf(library.told.ticket, sizeof(library.told.ticket), "%.*s", (int)ticket.len, ticket.ptr);
    snprintf(library.told.tag, sizeof(library.told.tag), "%.*s", (int)tag.len, tag.len > 0 ? tag.ptr : "");
    *retry_after = 5;
    return library.answered;
}

int32_t __wrap_sipoauth_worker_token_response(sipoauth_worker *worker, uint64_t check, sipoauth_str *tokens)
{
    EXPECT(worker != NULL && check == 7);
    *tokens = text(library.tokens);
    return SIPOAUTH_OK;
}

int32_t __wrap_sipoauth_context_connection_closed(const sipoauth_context *context, uint64_t connection)
{
    EXPECT(context != NULL);
    library.closed++;
    library.closed_number = connection;
    return SIPOAUTH_OK;
}
