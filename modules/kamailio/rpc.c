/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RPC commands. The library has the table of them, does what they ask for and says what the answer is; here arguments
 * are unwrapped and answers are put into RPC's structures.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "module.h"

#define ARGUMENTS_MAX 4
#define NAME_SIZE 64
#define FAULT_MAX 240

struct answer {
    rpc_t *rpc;
    void *ctx;
    void *item;   /* the last one */
};

static int begin_item(void *user)
{
    struct answer *answer = user;

    return answer->rpc->add(answer->ctx, "{", &answer->item) < 0;
}

static str text_of(sipoauth_str view)
{
    return (str){view.len > 0 ? (char *)view.ptr : "", (int)view.len};
}

/* A field that finds no room in its structure is left out, and the answer goes on. */
static int add_text(void *user, const char *name, sipoauth_str value)
{
    struct answer *answer = user;
    str text = text_of(value);

    answer->rpc->struct_add(answer->item, "S", (char *)name, &text);
    return 0;
}

/* The wire formats do not agree on large numbers, so these go as text. */
static int add_number(void *user, const char *name, uint64_t value)
{
    struct answer *answer = user;

    if (value <= INT_MAX)
        answer->rpc->struct_add(answer->item, "d", (char *)name, (int)value);
    else
        answer->rpc->struct_printf(answer->item, (char *)name, "%llu", (unsigned long long)value);
    return 0;
}

static int add_line(void *user, sipoauth_str line)
{
    struct answer *answer = user;
    str text = text_of(line);

    return answer->rpc->add(answer->ctx, "S", &text) < 0;
}

/*
 * Stops at the first argument that is missing or not of the right type; the library says what it needs. "." has RPC
 * make a text of a number.
 */
static size_t scan(rpc_t *rpc, void *ctx, uint32_t command, sipoauth_str *arguments)
{
    str given = STR_NULL;
    uint32_t i;
    int text;

    for (i = 0; i < ARGUMENTS_MAX && sipoauth_command_argument(command, i) != NULL; i++) {
        text = (sipoauth_command_argument_flags(command, i) & SIPOAUTH_ARGUMENT_TEXT) != 0;
        /* ctl would leave a text of its own in `given` */
        if (rpc->scan(ctx, text ? "*S" : "*.S", &given) < 1)
            break;
        arguments[i] = oauth_view(&given);
    }
    return i;
}

/* kamcmd loses a fault that fills its 256 octets, so a long sentence is cut here and is in the log in full. */
static void send_fault(rpc_t *rpc, void *ctx, int code, const char *sentence)
{
    int cut = strlen(sentence) > FAULT_MAX;

    if (cut)
        LM_ERR("%s\n", sentence);
    rpc->fault(ctx, code, "%.*s%s", cut ? FAULT_MAX - 24 : FAULT_MAX, sentence, cut ? "... (all is in the log)" : "");
}

static void run(rpc_t *rpc, void *ctx, uint32_t command)
{
    char err[OAUTH_ERR_SIZE] = "";
    const char *text = sipoauth_command_name(command);
    struct answer answer = {rpc, ctx, NULL};
    sipoauth_str name = {text, strlen(text)}, arguments[ARGUMENTS_MAX];
    size_t count = scan(rpc, ctx, command, arguments);
    uint32_t fault = 500;
    sipoauth_command_host host = {
        .struct_size = sizeof(host),
        .flags = oauth_is_sip_worker() ? SIPOAUTH_COMMAND_HANDLES_SIP : 0,
        .user = &answer,
        .item = begin_item,
        .text = add_text,
        .number = add_number,
        .line = add_line,
        .remove_bindings = oauth_bindings_known() ? oauth_command_remove_bindings : NULL,
        .ended = oauth_command_ended,
    };

    if (sipoauth_context_command(oauth_context, name, arguments, count, &host, &fault, err, sizeof(err)) != SIPOAUTH_OK)
        send_fault(rpc, ctx, (int)fault, err);
}

/* An RPC function is not told by which name it was called, so each place in the library's table has one. */
#define PLACES(PLACE)                                                                                        \
    PLACE(0) PLACE(1) PLACE(2) PLACE(3) PLACE(4) PLACE(5) PLACE(6) PLACE(7) PLACE(8) PLACE(9) PLACE(10)      \
    PLACE(11) PLACE(12) PLACE(13) PLACE(14) PLACE(15) PLACE(16) PLACE(17) PLACE(18) PLACE(19) \
    PLACE(20) PLACE(21) PLACE(22) PLACE(23)

#define RUN(place)                                 \
    static void run_##place(rpc_t *rpc, void *ctx) \
    {                                              \
        run(rpc, ctx, place);                      \
    }
PLACES(RUN)

#define FUNCTION(place) run_##place,
static const rpc_function_t functions[] = {PLACES(FUNCTION)};

#define COMMANDS_MAX (sizeof(functions) / sizeof(functions[0]))

rpc_export_t oauth_rpcs[COMMANDS_MAX + 1];

/* Fills the table before the core reads it. */
int oauth_rpc_register(void)
{
    static char names[COMMANDS_MAX][NAME_SIZE];
    static const char *helps[COMMANDS_MAX][2];
    uint32_t i, count = sipoauth_command_count();

    if (count > COMMANDS_MAX) {
        LM_ERR("the library has %u commands, and there is room for %u\n", count, (unsigned)COMMANDS_MAX);
        return -1;
    }
    for (i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), "auth_oauth.%s", sipoauth_command_name(i));
        helps[i][0] = sipoauth_command_help(i);
        oauth_rpcs[i].name = names[i];
        oauth_rpcs[i].function = functions[i];
        oauth_rpcs[i].doc_str = helps[i];
        oauth_rpcs[i].flags = sipoauth_command_is_list(i) ? RET_ARRAY : 0;
    }
    return 0;
}
