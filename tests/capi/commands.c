/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The commands of an operator: their table, their answers and faults, and every wrong call on the way.
 */
#include <stdio.h>
#include <string.h>

#include "client.h"

#define HUGE_LENGTH ((size_t)16 * 1024 * 1024 + 1)

static const char alice[] = "sip:alice@example.test";
static const char password[] = "the password that nobody may see";
static const char verifier[] =
    "$pbkdf2-sha256$i=1000,l=32$c2FsdHNhbHRzYWx0c2FsdA$BBs+1+PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM";
static const sipoauth_str null_with_length = {NULL, 5};
static char err[256];
static uint32_t fault;

/* Writes an answer down as |name=text;name:number; or as its line. */
struct answer {
    char text[16384];
    int room; /* for so many items and fields; negative: for all */
};

static int add(struct answer *answer, const char *format, const char *name, sipoauth_str text, unsigned long long number)
{
    size_t len = strlen(answer->text);

    if (answer->room == 0)
        return 1;
    if (answer->room > 0)
        answer->room--;
    if (name == NULL)
        snprintf(answer->text + len, sizeof(answer->text) - len, format, (int)text.len, text.ptr);
    else if (text.ptr != NULL)
        snprintf(answer->text + len, sizeof(answer->text) - len, format, name, (int)text.len, text.ptr);
    else
        snprintf(answer->text + len, sizeof(answer->text) - len, format, name, number);
    return 0;
}

static int32_t begin_item(void *user)
{
    return add((struct answer *)user, "%.*s", NULL, text("|"), 0);
}

static int32_t add_text(void *user, const char *name, sipoauth_str value)
{
    return add((struct answer *)user, "%s=%.*s;", name, value.len > 0 ? value : text(""), 0);
}

static int32_t add_number(void *user, const char *name, uint64_t value)
{
    return add((struct answer *)user, "%s:%llu;", name, octets(NULL, 0), (unsigned long long)value);
}

static int32_t add_line(void *user, sipoauth_str line)
{
    return add((struct answer *)user, "%.*s", NULL, line, 0);
}

/* It is in the answer between the items. */
static uint32_t remove_bindings(void *user, const sipoauth_session_state *session)
{
    EXPECT_TEXT(session->aor, alice);
    EXPECT(sipoauth_binding_ends(session, text("urn:uuid:1"), text("call-1")) == 1);
    EXPECT(sipoauth_binding_ends(session, text("<urn:uuid:2>"), text("call-1")) == 0);
    EXPECT(sipoauth_binding_ends(session, text(""), text("call-1")) == 1); /* no other phone is left */
    add((struct answer *)user, "(%.*s)", NULL, session->instance, 0);
    return 6;
}

static void ended(void *user, const sipoauth_session_state *session, const char *reason_code, sipoauth_str why)
{
    EXPECT(session->struct_size == sizeof(*session) && session->id.len == 32);
    EXPECT_TEXT(session->aor, alice);
    EXPECT_TEXT(why, "The operator has ended the session.");
    add((struct answer *)user, "%s%.*s ", reason_code, text(""), 0);
}

static sipoauth_command_host host_of(struct answer *answer)
{
    sipoauth_command_host host;

    memset(answer, 0, sizeof(*answer));
    answer->room = -1;
    memset(&host, 0, sizeof(host));
    host.struct_size = sizeof(host);
    host.user = answer;
    host.item = begin_item;
    host.text = add_text;
    host.number = add_number;
    host.line = add_line;
    host.remove_bindings = remove_bindings;
    host.ended = ended;
    return host;
}

static int run(const sipoauth_context *context, const char *name, const char *first, const char *second,
    const char *third, const sipoauth_command_host *host)
{
    sipoauth_str arguments[3] = {text(first ? first : ""), text(second ? second : ""), text(third ? third : "")};
    size_t count = third ? 3 : second ? 2 : first ? 1 : 0;

    fault = 99;
    return sipoauth_context_command(context, text(name), count > 0 ? arguments : NULL, count, host, &fault, err, sizeof(err));
}

static void expect_answer(const sipoauth_context *context, const char *name, const char *first, const char *second,
    const char *wanted)
{
    struct answer answer;
    sipoauth_command_host host = host_of(&answer);

    EXPECT_STATUS(run(context, name, first, second, NULL, &host), SIPOAUTH_OK);
    EXPECT(fault == 0 && err[0] == '\0');
    EXPECT_TEXT(text(answer.text), wanted);
}

static void expect_fault_of(const sipoauth_context *context, const char *name, const char *first, const char *second,
    uint32_t code, int status, const char *sentence)
{
    struct answer answer;
    sipoauth_command_host host = host_of(&answer);

    EXPECT_STATUS(run(context, name, first, second, NULL, &host), status);
    EXPECT(fault == code && answer.text[0] == '\0');
    EXPECT_TEXT(text(err), sentence);
}

static void expect_fault(const sipoauth_context *context, const char *name, const char *first, uint32_t code, int status,
    const char *sentence)
{
    expect_fault_of(context, name, first, NULL, code, status, sentence);
}

static uint32_t place_of(const char *name)
{
    uint32_t i;

    for (i = 0; i < sipoauth_command_count(); i++)
        if (strcmp(sipoauth_command_name(i), name) == 0)
            return i;
    EXPECT(!"a command is missing");
    return 0;
}

static void table(void)
{
    uint32_t i, past = sipoauth_command_count(), set = place_of("accounts_set"), list = place_of("sessions_list");

    EXPECT(past >= 14);
    for (i = 0; i < past; i++)
        EXPECT(strlen(sipoauth_command_name(i)) > 0 && strlen(sipoauth_command_help(i)) > 0);
    EXPECT(sipoauth_command_is_list(list) == 1 && sipoauth_command_is_list(set) == 0);
    EXPECT_TEXT(text(sipoauth_command_argument(set, 0)), "address");
    EXPECT_TEXT(text(sipoauth_command_argument(set, 2)), "password");
    EXPECT(sipoauth_command_argument_flags(set, 0) == (SIPOAUTH_ARGUMENT_REQUIRED | SIPOAUTH_ARGUMENT_TEXT));
    EXPECT(sipoauth_command_argument_flags(set, 1) == SIPOAUTH_ARGUMENT_REQUIRED);
    EXPECT(sipoauth_command_argument_flags(set, 2) == SIPOAUTH_ARGUMENT_TEXT);
    EXPECT(sipoauth_command_argument_flags(list, 0) == 0);
    EXPECT(sipoauth_command_argument(set, 3) == NULL && sipoauth_command_argument_flags(set, 3) == 0);
    EXPECT(sipoauth_command_argument(set, UINT32_MAX) == NULL && sipoauth_command_argument(past, 0) == NULL);
    EXPECT(sipoauth_command_name(past) == NULL && sipoauth_command_name(UINT32_MAX) == NULL);
    EXPECT(sipoauth_command_help(past) == NULL && sipoauth_command_is_list(past) == 0);
}

static void expect_mistake(const sipoauth_context *context, const sipoauth_command_host *host)
{
    EXPECT_STATUS(run(context, "stats", NULL, NULL, NULL, host), SIPOAUTH_E_ARGUMENT);
    EXPECT(fault == 500 && err[0] != '\0');
}

static void misuse(const sipoauth_context *context)
{
    struct answer answer;
    sipoauth_command_host host = host_of(&answer), wrong;
    sipoauth_str name = text("sessions_show"), arguments[2] = {text(alice), null_with_length};

    expect_mistake(NULL, &host);
    expect_mistake(context, NULL);
    wrong = host;
    wrong.struct_size = sizeof(wrong) - 1;
    expect_mistake(context, &wrong);
    wrong = host;
    wrong.flags = 2;
    expect_mistake(context, &wrong);
    wrong = host;
    wrong.item = NULL;
    expect_mistake(context, &wrong);
    wrong = host;
    wrong.text = NULL;
    expect_mistake(context, &wrong);
    wrong = host;
    wrong.number = NULL;
    expect_mistake(context, &wrong);
    wrong = host;
    wrong.line = NULL;
    expect_mistake(context, &wrong);
    EXPECT_STATUS(sipoauth_context_command(context, name, arguments, 1, &host, NULL, NULL, 0), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_command(context, null_with_length, NULL, 0, &host, &fault, NULL, 0), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_command(context, name, NULL, 1, &host, &fault, NULL, 0), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_command(context, name, arguments, 2, &host, &fault, NULL, 0), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_context_command(context, name, arguments, SIZE_MAX, &host, &fault, NULL, 0), SIPOAUTH_E_ARGUMENT);
    arguments[1] = octets("x", HUGE_LENGTH);
    EXPECT_STATUS(sipoauth_context_command(context, name, arguments, 2, &host, &fault, NULL, 0), SIPOAUTH_E_ARGUMENT);
    arguments[1] = text("x");
    EXPECT_STATUS(sipoauth_context_command(context, name, arguments, 2, &host, &fault, NULL, 0), SIPOAUTH_E_INPUT);
    EXPECT(fault == 400 && answer.text[0] == '\0');
    expect_fault(context, "nothing", NULL, 404, SIPOAUTH_E_ABSENT, "There is no such command");
    expect_fault(context, "", NULL, 404, SIPOAUTH_E_ABSENT, "There is no such command");
}

static void accounts(const sipoauth_context *context)
{
    struct answer answer;
    sipoauth_command_host host = host_of(&answer);

    expect_fault(context, "accounts_show", alice, 404, SIPOAUTH_E_ABSENT, "This address has no account");
    expect_answer(context, "accounts_set", "alice@example.test", verifier, "written");
    expect_answer(context, "accounts_show", alice, NULL,
        "|aor=sip:alice@example.test;kdf=sha256;iterations:1000;key_size:256;stands_out=yes;");
    host.flags = SIPOAUTH_COMMAND_HANDLES_SIP;
    EXPECT_STATUS(run(context, "accounts_set", alice, "password", password, &host), SIPOAUTH_E_STATE);
    EXPECT(fault == 403 && answer.text[0] == '\0' && !contains(err, strlen(err), password));
    host.flags = 0;
    EXPECT_STATUS(run(context, "accounts_set", alice, "password", password, &host), SIPOAUTH_OK);
    EXPECT_TEXT(text(answer.text), "written");
    /* an answer without room is no failure */
    host = host_of(&answer);
    answer.room = 2;
    EXPECT_STATUS(run(context, "accounts_list", NULL, NULL, NULL, &host), SIPOAUTH_OK);
    EXPECT_TEXT(text(answer.text), "|aor=sip:alice@example.test;");
    expect_answer(context, "accounts_remove", alice, NULL, "|removed:1;");
}

/* What a context answers that has no store. */
static void without_store(void)
{
    sipoauth_context *context = make_context("", "10");
    struct answer answer;
    sipoauth_command_host host = host_of(&answer);
    char line[1024];

    EXPECT_STATUS(run(context, "providers", NULL, NULL, NULL, &host), SIPOAUTH_OK);
    snprintf(line, sizeof(line), "|name=test;issuer=%s;tokens=jwt;jwks_uri=;state=no keys yet;keys:0;", argument("issuer"));
    EXPECT(strncmp(answer.text, line, strlen(line)) == 0);
    host = host_of(&answer);
    EXPECT_STATUS(run(context, "keys", NULL, NULL, NULL, &host), SIPOAUTH_OK);
    EXPECT(contains(answer.text, strlen(answer.text), "|provider=(decryption);kid=shared;kty=oct;alg=;usable:1;note=;"));
    expect_answer(context, "refresh_keys", "test", NULL, "|started:1;");
    expect_fault(context, "refresh_keys", "x", 500, SIPOAUTH_E_CONFIG, "no provider is called 'x'; there are: test");
    expect_fault(context, "jwks", NULL, 404, SIPOAUTH_E_ABSENT, "no such provider has signing_key_files");
    expect_answer(context, "reload", NULL, NULL, "reloaded");
    host = host_of(&answer);
    EXPECT_STATUS(run(context, "stats", NULL, NULL, NULL, &host), SIPOAUTH_OK);
    EXPECT(strncmp(answer.text, "|accepted:", 10) == 0 && contains(answer.text, strlen(answer.text), "reloads:1;"));
    expect_fault(context, "sessions_list", NULL, 404, SIPOAUTH_E_ABSENT, "Sessions are not configured (store)");
    expect_fault(context, "sessions_show", "x", 404, SIPOAUTH_E_ABSENT, "Sessions are not configured (store)");
    misuse(context);
    sipoauth_context_free(context);
}

/* `context` has one session, of alice and the instance <urn:uuid:1>. */
void test_commands_of_sessions(const sipoauth_context *context)
{
    struct answer answer;
    sipoauth_command_host host = host_of(&answer);

    EXPECT_STATUS(run(context, "sessions_show", alice, NULL, NULL, &host), SIPOAUTH_OK);
    EXPECT(contains(answer.text, strlen(answer.text),
        "instance=<urn:uuid:1>;provider=test;subject=alice;scope=openid sip;created_at:"));
    expect_answer(context, "sessions_revoke", alice, "00", "|revoked:0;bindings_removed:0;");
    expect_answer(context, "sessions_revoke", alice, NULL, "(<urn:uuid:1>)session_revoked |revoked:1;bindings_removed:6;");
    host = host_of(&answer);
    host.remove_bindings = NULL;
    host.ended = NULL;
    EXPECT_STATUS(run(context, "sessions_revoke_all", NULL, NULL, NULL, &host), SIPOAUTH_OK);
    EXPECT_TEXT(text(answer.text), "|revoked:0;bindings_removed:0;note=the module usrloc is not loaded here;");
    expect_answer(context, "sessions_list", NULL, NULL, "");
    expect_fault(context, "sessions_show", "example.test", 404, SIPOAUTH_E_ABSENT, "This is not a SIP address");
}

/* A panic on the way of a command to the log. */
void test_commands_that_panic(void)
{
    sipoauth_context *context = make_store_context("commands", NULL);

    expect_fault(context, "accounts_set", "sip:panic-now@example.test", 400, SIPOAUTH_E_INPUT,
        "either a verifier or a password is needed");
    expect_fault_of(context, "accounts_set", "sip:panic-now@example.test", verifier, 500, SIPOAUTH_E_PANIC,
        "an internal error was caught; please report it");
    expect_answer(context, "accounts_show", "sip:panic-now@example.test", NULL,
        "|aor=sip:panic-now@example.test;kdf=sha256;iterations:1000;key_size:256;stands_out=yes;");
    sipoauth_context_free(context);
}

void test_commands(void)
{
    sipoauth_context *context = make_store_context("commands", NULL);

    table();
    without_store();
    accounts(context);
    sipoauth_context_free(context);
    EXPECT(!contains(the_log.lines, the_log.len, password));
}
