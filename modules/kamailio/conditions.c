/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A check that has to wait ends the script. But Kamailio forgets that when another function follows in the same condition:
 * it calls that function, and goes on by its result, although the request waits. So a script with such a condition, as
 *
 *   if (!oauth_check("example.test") && !is_method("OPTIONS")) ...
 *
 * does not start. If nothing is called after a check that has to wait, because it counts as false then, all is well:
 * oauth_check("example.test") && is_method("REGISTER").
 */
#include <string.h>

#include "core/mem/mem.h"
#include "core/route.h"
#include "core/route_struct.h"
#include "core/rvalue.h"
#include "core/switch.h"

#include "module.h"

/* For each route block the check that is called in it, or in a route that it calls; NULL: none. */
static const char **check_of_route;

/* What a part of a condition is while a check in it has to wait. */
struct part {
    const char *function; /* the check; NULL: none */
    enum { FALSE, TRUE, EITHER } value;
};

/* What to look for in each list of actions. Returns the name of a check if it is there. */
typedef const char *(*look_t)(const struct action *list);

static const char *waits_in(const struct action *list);

static const char *check_named(const char *name)
{
    static const char *const checks[] = {"oauth_check", "oauth_proxy_check", "oauth_password_grant", "oauth_kd_check",
        "oauth_proxy_kd_check", "oauth_kd_check_account", "oauth_proxy_kd_check_account"};
    size_t i;

    for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (strcmp(checks[i], name) == 0)
            return checks[i];
    }
    return NULL;
}

static const char *in_jumps(struct action **jumps, int count, const struct action *otherwise, look_t look)
{
    const char *found = look(otherwise);
    int i;

    for (i = 0; i < count && found == NULL; i++)
        found = look(jumps[i]);
    return found;
}

/* Looks into the blocks of if, while and switch. */
static const char *in_blocks(const struct action *action, look_t look)
{
    const char *found = NULL;
    int i;

    for (i = 0; i < MAX_ACTIONS && found == NULL; i++) {
        const void *data = action->val[i].u.data;
        const struct switch_jmp_table *table = data;
        const struct switch_cond_table *conditions = data;
        const struct match_cond_table *matches = data;

        if (data == NULL)
            continue;
        switch (action->val[i].type) {
            case ACTIONS_ST:
            case ACTION_ST:
            case BLOCK_ST:
                found = look(data);
                break;
            case JUMPTABLE_ST:
                found = in_jumps(table->tbl, table->last - table->first + 1, table->rest.def, look);
                conditions = &table->rest;
                /* fall through */
            case CONDTABLE_ST:
                if (found == NULL)
                    found = in_jumps(conditions->jump, conditions->n, conditions->def, look);
                break;
            case MATCH_CONDTABLE_ST:
                found = in_jumps(matches->jump, matches->n, matches->def, look);
                break;
            default:
                break;
        }
    }
    return found;
}

static const struct rval_expr *right_of(const struct rval_expr *rve)
{
    return rve->op == RVE_RVAL_OP || rve->op == RVE_NONE_OP ? NULL : rve->right.rve;
}

static int calls_any(const struct rval_expr *rve)
{
    if (rve == NULL || rve->op == RVE_NONE_OP)
        return 0;
    if (rve->op == RVE_RVAL_OP)
        return rve->left.rval.type == RV_ACTION_ST;
    return calls_any(rve->left.rve) || calls_any(right_of(rve));
}

static struct part both(const struct rval_expr *rve, struct part left, struct part right)
{
    const int is_and = rve->op == RVE_LAND_OP, is_or = rve->op == RVE_LOR_OP;
    struct part whole = {left.function != NULL ? left.function : right.function, EITHER};

    if (left.function == NULL && (is_and || is_or))
        return right;
    if ((is_and && left.value == FALSE) || (is_or && left.value == TRUE))
        whole.value = left.value;
    return whole;
}

/* Finds a check in a condition. If another function would be called while it waits, *wrong is its name. */
static struct part judge(const struct rval_expr *rve, const char **wrong)
{
    struct part none = {NULL, EITHER}, left, right;

    if (rve == NULL || rve->op == RVE_NONE_OP)
        return none;
    if (rve->op == RVE_RVAL_OP) {
        none.function = rve->left.rval.type == RV_ACTION_ST ? waits_in(rve->left.rval.v.action) : NULL;
        none.value = FALSE;
        return none;
    }
    left = judge(rve->left.rve, wrong);
    if (right_of(rve) == NULL) {
        if (rve->op == RVE_LNOT_OP && left.value != EITHER)
            left.value = left.value == FALSE ? TRUE : FALSE;
        else if (rve->op != RVE_BOOL_OP)
            left.value = EITHER;
        return left;
    }
    right = judge(right_of(rve), wrong);
    if (left.function != NULL && calls_any(right_of(rve)) && !(rve->op == RVE_LAND_OP && left.value == FALSE)
            && !(rve->op == RVE_LOR_OP && left.value == TRUE))
        *wrong = left.function;
    return both(rve, left, right);
}

/* The check that this list of actions calls, in whatever block or route; NULL: none. */
static const char *waits_in(const struct action *list)
{
    const struct action *action;
    const char *found = NULL, *wrong;
    int i;

    for (action = list; action != NULL && found == NULL; action = action->next) {
        if (is_mod_func(action))
            found = check_named(((const ksr_cmd_export_t *)action->val[0].u.data)->name);
        else if (action->type == ROUTE_T && action->val[0].type == NUMBER_ST)
            found = check_of_route[action->val[0].u.number];
        for (i = 0; i < MAX_ACTIONS && found == NULL; i++) {
            if (action->val[i].type == RVE_ST)
                found = judge(action->val[i].u.data, &wrong).function;
        }
        if (found == NULL)
            found = in_blocks(action, waits_in);
    }
    return found;
}

static const char *wrong_in(const struct action *list)
{
    const struct action *action;
    const char *wrong = NULL;
    int i;

    for (action = list; action != NULL && wrong == NULL; action = action->next) {
        for (i = 0; i < MAX_ACTIONS && wrong == NULL; i++) {
            if (action->val[i].type == RVE_ST)
                (void)judge(action->val[i].u.data, &wrong);
        }
        if (wrong != NULL)
            LM_ERR("%s, line %d: this condition calls another function after %s, also while the request waits: write two"
                   " conditions, one after the other\n",
                    action->cfile != NULL ? action->cfile : "the script", action->cline, wrong);
        else
            wrong = in_blocks(action, wrong_in);
    }
    return wrong;
}

/* Until nothing changes, because routes call each other, also in a circle. */
static void find_checks_of_routes(void)
{
    int route, changed;

    do {
        changed = 0;
        for (route = 0; route < main_rt.entries; route++) {
            if (check_of_route[route] != NULL)
                continue;
            check_of_route[route] = waits_in(main_rt.rlist[route]);
            changed |= check_of_route[route] != NULL;
        }
    } while (changed);
}

/* Called when the whole script has been read. Returns -1 if it has such a condition. */
int oauth_conditions_look(void)
{
    const struct route_list *const lists[] = {&main_rt, &failure_rt, &branch_rt, &onreply_rt, &onsend_rt, &event_rt};
    const size_t size = sizeof(*check_of_route) * (size_t)main_rt.entries;
    int route, rc = 0;
    size_t i;

    check_of_route = pkg_malloc(size);
    if (check_of_route == NULL) {
        LM_ERR("no private memory to look at the conditions of the script\n");
        return -1;
    }
    memset(check_of_route, 0, size);
    find_checks_of_routes();
    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (route = 0; route < lists[i]->entries; route++)
            rc = wrong_in(lists[i]->rlist[route]) != NULL ? -1 : rc;
    }
    pkg_free(check_of_route);
    return rc;
}
