/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: E_OAUTH_DENIED when a request was denied, E_OAUTH_SESSION_ENDED when a session has ended, E_OAUTH_REFER_DONE when
 * a REFER has. Their parameters have the names of $oauth(...).
 */
#include "evi/evi_modules.h"
#include "evi/evi_params.h"

#include "module.h"

static event_id_t denied = EVI_ERROR, session_ended = EVI_ERROR, refer_done = EVI_ERROR;

int oauth_events_init(void)
{
    denied = evi_publish_event((str)str_init("E_OAUTH_DENIED"));
    session_ended = evi_publish_event((str)str_init("E_OAUTH_SESSION_ENDED"));
    refer_done = evi_publish_event((str)str_init("E_OAUTH_REFER_DONE"));
    if (denied == EVI_ERROR || session_ended == EVI_ERROR || refer_done == EVI_ERROR) {
        LM_ERR("cannot publish the events of auth_oauth\n");
        return -1;
    }
    return 0;
}

static int add_text(evi_params_p list, const char *name, str value)
{
    str key = {(char *)name, (int)strlen(name)};

    return evi_param_add_str(list, &key, &value);
}

static int add_number(evi_params_p list, const char *name, int value)
{
    str key = {(char *)name, (int)strlen(name)};

    return evi_param_add_int(list, &key, &value);
}

/* The route of an event may check another message, so the outcome of this one is set aside. */
static void raise_event(event_id_t event, evi_params_p list, int failed)
{
    void *before;

    if (failed) {
        LM_ERR("no memory for the parameters of an event\n");
        evi_free_params(list);
        return;
    }
    before = oauth_last_set_aside();
    if (evi_raise_event(event, list) < 0)
        LM_DBG("an event of auth_oauth cannot be raised\n");
    oauth_last_take_back(before);
}

void oauth_event_denied(sip_msg_t *msg)
{
    const struct oauth_last *last = oauth_last_get(msg);
    evi_params_p list;
    str source;
    int failed;

    if (last == NULL || !evi_probe_event(denied))
        return;
    list = evi_get_params();
    if (list == NULL)
        return;
    source.s = ip_addr2a(host_source_ip(msg));
    source.len = (int)strlen(source.s);
    failed = add_text(list, "reason", last->reason_code) || add_text(list, "reason_text", last->reason_text)
            || add_number(list, "code", last->code) || add_number(list, "status", (int)last->status)
            || add_text(list, "address", last->aor.len > 0 ? last->aor : oauth_text(oauth_request_address(msg)))
            || add_text(list, "provider", last->provider) || add_text(list, "fingerprint", last->fingerprint)
            || add_text(list, "source_ip", source) || add_number(list, "source_port", host_source_port(msg));
    raise_event(denied, list, failed);
}

/* The routes of events have no outcome, so a check in one is like any other. */
int oauth_event_denied_runs(void)
{
    return 0;
}

void oauth_event_session_ended(const sipoauth_session_state *session, const char *reason, sipoauth_str why)
{
    evi_params_p list;
    int failed;

    if (!evi_probe_event(session_ended))
        return;
    list = evi_get_params();
    if (list == NULL)
        return;
    failed = add_text(list, "reason", (str){(char *)reason, (int)strlen(reason)})
            || add_text(list, "reason_text", oauth_text(why)) || add_text(list, "address", oauth_text(session->aor))
            || add_text(list, "session", oauth_text(session->id)) || add_text(list, "instance", oauth_text(session->instance))
            || add_text(list, "provider", oauth_text(session->provider))
            || add_text(list, "subject", oauth_text(session->subject));
    raise_event(session_ended, list, failed);
}

void oauth_event_refer_done(sipoauth_str id, sipoauth_str address, uint32_t status)
{
    evi_params_p list;
    int failed;

    if (!evi_probe_event(refer_done))
        return;
    list = evi_get_params();
    if (list == NULL)
        return;
    failed = add_text(list, "refer_id", oauth_text(id)) || add_text(list, "refer_owner", oauth_text(address))
            || add_number(list, "refer_status", (int)status);
    raise_event(refer_done, list, failed);
}
