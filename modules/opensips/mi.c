/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MI commands. The library has the table of them, does what they ask for and says what the answer is; here arguments
 * are unwrapped and answers are put into MI's items. All names begin with "oauth_", because OpenSIPS 3.x knows the commands
 * of all modules by one name each.
 */
#include <stdio.h>
#include <string.h>

#include "module.h"

#define PREFIX "oauth_"
#define NAME_SIZE 64
#define ARGUMENTS_MAX 4

struct answer {
    mi_response_t *response;
    mi_item_t *list;   /* NULL: the answer is one item, or one line */
    mi_item_t *item;   /* the last one */
};

static int begin_item(void *user)
{
    struct answer *answer = user;

    if (answer->list != NULL)
        answer->item = add_mi_object(answer->list, NULL, 0);
    else if (answer->response == NULL)
        answer->response = init_mi_result_object(&answer->item);
    else
        answer->item = NULL;
    return answer->item == NULL;
}

static int add_text(void *user, const char *name, sipoauth_str value)
{
    struct answer *answer = user;

    return add_mi_string(answer->item, (char *)name, (int)strlen(name), value.len > 0 ? value.ptr : "", (int)value.len) < 0;
}

static int add_number(void *user, const char *name, uint64_t value)
{
    struct answer *answer = user;

    return add_mi_number(answer->item, (char *)name, (int)strlen(name), (double)value) < 0;
}

static int add_line(void *user, sipoauth_str line)
{
    struct answer *answer = user;

    if (answer->response == NULL)
        answer->response = init_mi_result_string(line.ptr, (int)line.len);
    return answer->response == NULL;
}

/* Stops at the first argument that is missing; the library says what it needs. */
static size_t read_arguments(const mi_params_t *params, uint32_t command, sipoauth_str *arguments)
{
    const char *name;
    uint32_t i;
    str given;

    for (i = 0; i < ARGUMENTS_MAX && (name = sipoauth_command_argument(command, i)) != NULL; i++) {
        if (try_get_mi_string_param(params, (char *)name, &given.s, &given.len) < 0)
            break;
        arguments[i] = oauth_view(&given);
    }
    return i;
}

static mi_response_t *run(const mi_params_t *params, uint32_t command)
{
    char err[OAUTH_ERR_SIZE] = "";
    const char *text = sipoauth_command_name(command);
    struct answer answer = {NULL, NULL, NULL};
    sipoauth_str name = {text, strlen(text)}, arguments[ARGUMENTS_MAX];
    size_t count = read_arguments(params, command, arguments);
    uint32_t fault = 500;
    sipoauth_command_host host = {
        .struct_size = sizeof(host),
        .flags = oauth_is_worker(process_no) ? SIPOAUTH_COMMAND_HANDLES_SIP : 0,
        .user = &answer,
        .item = begin_item,
        .text = add_text,
        .number = add_number,
        .line = add_line,
        .remove_bindings = oauth_bindings_known() ? oauth_command_remove_bindings : NULL,
        .ended = oauth_command_ended,
    };

    if (sipoauth_command_is_list(command))
        answer.response = init_mi_result_array(&answer.list);
    if (sipoauth_context_command(oauth_context, name, arguments, count, &host, &fault, err, sizeof(err)) == SIPOAUTH_OK)
        return answer.response != NULL ? answer.response : init_mi_result_string(MI_SSTR("OK"));
    if (answer.response != NULL)
        free_mi_response(answer.response);
    return init_mi_error((int)fault, err, (int)strlen(err));
}

/* An MI function is not told by which name it was called, so each place in the library's table has one. */
#define PLACES(PLACE)                                                                                        \
    PLACE(0) PLACE(1) PLACE(2) PLACE(3) PLACE(4) PLACE(5) PLACE(6) PLACE(7) PLACE(8) PLACE(9) PLACE(10)      \
    PLACE(11) PLACE(12) PLACE(13) PLACE(14) PLACE(15) PLACE(16) PLACE(17) PLACE(18) PLACE(19) \
    PLACE(20) PLACE(21) PLACE(22) PLACE(23)

#define RUN(place)                                                                               \
    static mi_response_t *run_##place(const mi_params_t *params, struct mi_handler *later) \
    {                                                                                            \
        (void)later;                                                                             \
        return run(params, place);                                                               \
    }
PLACES(RUN)

#define FUNCTION(place) run_##place,
static mi_cmd_f *const functions[] = {PLACES(FUNCTION)};

#define COMMANDS_MAX (sizeof(functions) / sizeof(functions[0]))

static char names[COMMANDS_MAX][NAME_SIZE];
mi_export_t oauth_mi[COMMANDS_MAX + 1];

static uint32_t arguments_of(uint32_t command, int only_required)
{
    uint32_t i = 0;

    while (i < ARGUMENTS_MAX && sipoauth_command_argument(command, i) != NULL
            && (!only_required || (sipoauth_command_argument_flags(command, i) & SIPOAUTH_ARGUMENT_REQUIRED)))
        i++;
    return i;
}

/* A recipe for each number of arguments that the command may have. */
static void add_recipes(mi_export_t *entry, uint32_t command)
{
    const uint32_t all = arguments_of(command, 0);
    uint32_t count, i, recipe = 0;

    for (count = arguments_of(command, 1); count <= all && recipe + 1 < MAX_MI_RECIPES; count++, recipe++) {
        entry->recipes[recipe].cmd = functions[command];
        for (i = 0; i < count; i++)
            entry->recipes[recipe].params[i] = (char *)sipoauth_command_argument(command, i);
    }
}

/* Fills the table before the core reads it. */
int oauth_mi_register(void)
{
    uint32_t i;

    if (sipoauth_command_count() > COMMANDS_MAX) {
        LM_BUG("the library has more commands than this module has places\n");
        return -1;
    }
    for (i = 0; i < sipoauth_command_count(); i++) {
        snprintf(names[i], sizeof(names[i]), PREFIX "%s", sipoauth_command_name(i));
        oauth_mi[i].name = names[i];
        oauth_mi[i].help = (char *)sipoauth_command_help(i);
        add_recipes(&oauth_mi[i], i);
    }
    return 0;
}
