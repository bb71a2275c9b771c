/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event routes: a request was denied, a session has ended, a REFER has ended. A KEMI script names one function for all of
 * them with the parameter event_callback. The outcome is in $oauth(...), as after a check.
 *
 * Their names begin with "oauth", because Kamailio's grammar has no underscore there: it reads
 * event_route[auth_oauth:denied] as oauth:denied, too.
 */
#include <string.h>

#include "core/action.h"
#include "core/fmsg.h"
#include "core/kemi.h"
#include "core/route.h"
#include "core/usr_avp.h"
#include "core/xavp.h"

#include "module.h"

char *oauth_event_callback = NULL;

struct event {
    str name;
    int route;   /* -1: none */
    int running;
};

static struct event denied = {str_init("oauth:denied"), -1, 0};
static struct event session_ended = {str_init("oauth:session-ended"), -1, 0};
static struct event refer_done = {str_init("oauth:refer-done"), -1, 0};

static int route_of(const str *name)
{
    int index = route_lookup(&event_rt, name->s);

    return index >= 0 && event_rt.rlist[index] != NULL ? index : -1;
}

/* Called when the whole script has been read. */
void oauth_events_init(void)
{
    denied.route = route_of(&denied.name);
    session_ended.route = route_of(&session_ended.name);
    refer_done.route = route_of(&refer_done.name);
}

static int is_wanted(const struct event *event)
{
    return event->route >= 0 || (oauth_event_callback != NULL && oauth_event_callback[0] != '\0');
}

static void run_function(sip_msg_t *msg, struct event *event, struct run_act_ctx *context)
{
    str callback = {oauth_event_callback, (int)strlen(oauth_event_callback)};
    struct run_act_ctx *before = sr_kemi_act_ctx_get();
    sr_kemi_eng_t *engine = sr_kemi_eng_get();

    if (engine == NULL)
        return;
    sr_kemi_act_ctx_set(context);
    if (sr_kemi_route(engine, msg, EVENT_ROUTE, &callback, &event->name) < 0)
        LM_DBG("the function %s has failed\n", oauth_event_callback);
    sr_kemi_act_ctx_set(before);
}

static void run(sip_msg_t *msg, struct event *event)
{
    struct run_act_ctx context;
    int before = get_route_type();

    if (event->running) {
        LM_DBG("%.*s within itself is no event\n", event->name.len, event->name.s);
        return;
    }
    event->running = 1;
    init_run_actions_ctx(&context);
    set_route_type(EVENT_ROUTE);
    if (event->route >= 0)
        run_top_route(event_rt.rlist[event->route], msg, &context);
    else
        run_function(msg, event, &context);
    set_route_type(before);
    event->running = 0;
}

void oauth_event_denied(sip_msg_t *msg)
{
    if (is_wanted(&denied))
        run(msg, &denied);
}

/* True in the event's route. Its script has the outcome of the refused check, and the request is answered by it. */
int oauth_event_denied_runs(void)
{
    return denied.running;
}

/* The variables of scripts that outlive one: AVPs of six kinds, and three kinds of XAVPs. */
static const avp_flags_t avp_kinds[] = {
    AVP_TRACK_FROM | AVP_CLASS_URI,
    AVP_TRACK_FROM | AVP_CLASS_USER,
    AVP_TRACK_FROM | AVP_CLASS_DOMAIN,
    AVP_TRACK_TO | AVP_CLASS_URI,
    AVP_TRACK_TO | AVP_CLASS_USER,
    AVP_TRACK_TO | AVP_CLASS_DOMAIN,
};
#define AVP_KINDS (sizeof(avp_kinds) / sizeof(avp_kinds[0]))

/* Nobody resets the environment in the process of RPC commands. So an event without a request has an empty one of its own. */
static void run_alone(sip_msg_t *msg, struct event *event)
{
    avp_list_t avps[AVP_KINDS] = {NULL}, *avps_before[AVP_KINDS];
    sr_xavp_t *xavps[3] = {NULL}, **xavps_before[3];
    size_t i;

    for (i = 0; i < AVP_KINDS; i++)
        avps_before[i] = set_avp_list(avp_kinds[i], &avps[i]);
    xavps_before[0] = xavp_set_list(&xavps[0]);
    xavps_before[1] = xavu_set_list(&xavps[1]);
    xavps_before[2] = xavi_set_list(&xavps[2]);
    run(msg, event);
    for (i = 0; i < AVP_KINDS; i++) {
        set_avp_list(avp_kinds[i], avps_before[i]);
        destroy_avp_list(&avps[i]);
    }
    xavp_set_list(xavps_before[0]);
    xavu_set_list(xavps_before[1]);
    xavi_set_list(xavps_before[2]);
    for (i = 0; i < sizeof(xavps) / sizeof(xavps[0]); i++)
        xavp_destroy_list(&xavps[i]);
}

/* There is no request. The command that ends a session may come from a script, whose outcome and variables stay. */
void oauth_event_session_ended(const sipoauth_session_state *session, const char *reason, sipoauth_str why)
{
    sip_msg_t *msg;
    void *before;

    if (!is_wanted(&session_ended))
        return;
    msg = faked_msg_get_next();
    if (msg == NULL)
        return;
    before = oauth_last_set_aside();
    if (oauth_last_store_ended(msg, session, reason, why) == 0)
        run_alone(msg, &session_ended);
    oauth_last_take_back(before);
}

/* Runs in the I/O process. */
void oauth_event_refer_done(sipoauth_str id, sipoauth_str address, uint32_t status)
{
    sip_msg_t *msg;

    if (!is_wanted(&refer_done))
        return;
    msg = faked_msg_get_next();
    if (msg != NULL && oauth_refer_keep_ended(msg, id, address, status) == 0)
        run_alone(msg, &refer_done);
    oauth_refer_forget();
}
