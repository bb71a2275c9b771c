/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts the module as OpenSIPS does, runs all tests, and ends it:
 *
 *   gate issuer=URL token=T [only=unit]
 *
 * token is a token of sip:alice@example.test from the issuer, whose keys are not known yet. only=unit leaves out what needs
 * the issuer.
 */
#include <stdio.h>
#include <stdlib.h>

#include "gate.h"

extern struct module_exports exports;

static int checks, failures, argument_count;
static char **arguments;
static const char *test_name = "start";
static long shm_before;

void expect(int holds, const char *what, const char *file, int line)
{
    checks++;
    if (holds)
        return;
    failures++;
    fprintf(stderr, "%s:%d: in %s (allocation %ld fails) does not hold: %s\n", file, line, test_name, server.fail_at, what);
}

static const char *given(const char *name)
{
    const size_t len = strlen(name);
    int i;

    for (i = 1; i < argument_count; i++)
        if (strncmp(arguments[i], name, len) == 0 && arguments[i][len] == '=')
            return arguments[i] + len + 1;
    return NULL;
}

const char *argument(const char *name)
{
    const char *value = given(name);

    if (value != NULL)
        return value;
    fprintf(stderr, "the argument %s= is missing\n", name);
    exit(2);
}

int logged(const char *part)
{
    return strstr(server.log, part) != NULL;
}

void begin(const char *name)
{
    test_name = name;
    shm_before = server.shm;
    server.log[0] = '\0';
    server.secret = NULL;
    server.secrets = 0;
    memset(&sent, 0, sizeof(sent));
    script = NULL;
    resume_route = NULL;
    when_stored = NULL;
    waiting_count = 0;
    route_runs = 0;
    route_code = -1000;
    library_reset();
}

void end(void)
{
    EXPECT(server.fail_at == -1 && server.queued == 0 && server.refuse_pipe == 0);
    server_delete_cells();
    server_forget_pending();
    EXPECT(server.shm == shm_before);
    EXPECT(server.bugs == 0 && server.secrets == 0);
    EXPECT(!oauth_again_look() && !oauth_resume_again());
    EXPECT(current_processing_ctx == NULL && process_no == WORKER && route_type == REQUEST_ROUTE);
    if (server.bugs > 0)
        fprintf(stderr, "%s", server.log);
    server.bugs = 0;
}

static void set(const char *name, const char *value)
{
    const param_export_t *one;

    for (one = exports.params; one->name != NULL && strcmp(one->name, name) != 0; one++) {
    }
    EXPECT(one->name != NULL && one->type == HOST_PARAM_TEXT
            && ((int (*)(modparam_t, void *))one->target)(HOST_PARAM_TEXT, (void *)value) == 0);
}

int main(int argc, char **argv)
{
    char provider[512];

    argument_count = argc;
    arguments = argv;
    setvbuf(stdout, NULL, _IONBF, 0);
    snprintf(provider, sizeof(provider), "name=corp;issuer=%s;audience=sip;aor={sip}", argument("issuer"));
    EXPECT(exports.load_f() == 0);
    set("provider", provider);
    set("users", "64");
    set("connection_auth", "yes");
    set("pending_timeout", "30");
    set("source_limit", "60000");
    set("refer_limit", "60000");
    if (exports.init_f() != 0 || exports.procs[0].pre_fork() != 0) {
        fprintf(stderr, "the module does not start: %s\n", server.log);
        return 2;
    }
    EXPECT(server.slcbs == 3 && server.raws == 1 && server.script_cbs == 4 && server.transport != NULL);
    test_resume();
    test_again();
    test_confirm();
    test_tokens();
    test_connection();
    test_memory();
    if (given("only") == NULL)
        test_whole();
    test_refer();
    test_notify();
    test_name = "end";
    exports.destroy_f();
    printf("OpenSIPS series %d: %d checks, %d failures\n", OPENSIPS_SERIES, checks, failures);
    return failures == 0 ? 0 : 1;
}
