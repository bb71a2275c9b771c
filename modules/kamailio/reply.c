/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replies. They go through sl's API, which uses the transaction when there is one.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/data_lump_rpl.h"

#include "shim.h"

#define PHRASE_SIZE 160

int oauth_send(sip_msg_t *msg, int status, const str *phrase)
{
    str reason = *phrase;

    if (oauth_sl.freply(msg, status, &reason) < 0) {
        LM_ERR("cannot send the reply %d\n", status);
        return OAUTH_ERROR;
    }
    return OAUTH_OK;
}

int oauth_add_reply_header(sip_msg_t *msg, const char *text, size_t len)
{
    if (add_lump_rpl(msg, (char *)text, (int)len, LUMP_RPL_HDR) == NULL) {
        LM_ERR("cannot add a header to the reply\n");
        return -1;
    }
    return 0;
}

static int send_not_now(sip_msg_t *msg, uint32_t retry_after)
{
    static const str phrase = str_init("Service Unavailable");
    char header[40];
    int len;

    if (retry_after > 0) {
        len = snprintf(header, sizeof(header), "Retry-After: %u\r\n", retry_after);
        if (oauth_add_reply_header(msg, header, (size_t)len) < 0)
            return OAUTH_ERROR;
    }
    return oauth_send(msg, 503, &phrase);
}

/* The library's sentence (it holds no secret) tells a phone's developer what to mend; RFC 3261 Reason-Phrase. */
static int send_malformed(sip_msg_t *msg, const str *sentence)
{
    static const str plain = str_init("Bad Request");
    char text[PHRASE_SIZE];
    str phrase = {text, 0};
    int i;

    for (i = 0; i < sentence->len && phrase.len < PHRASE_SIZE - 1; i++) {
        if (sentence->s[i] >= ' ' && sentence->s[i] <= '~')
            text[phrase.len++] = sentence->s[i];
    }
    return oauth_send(msg, 400, phrase.len > 0 ? &phrase : &plain);
}

/* Form bodies are all that is read. */
static int send_unsupported(sip_msg_t *msg)
{
    static const str phrase = str_init("Unsupported Media Type");
    static const str accept = str_init("Accept: application/x-www-form-urlencoded\r\n");

    if (oauth_add_reply_header(msg, accept.s, (size_t)accept.len) < 0)
        return OAUTH_ERROR;
    return oauth_send(msg, 415, &phrase);
}

/* RFC 3261 20.17; not by strftime, whose names of days follow the locale. */
static int add_date(sip_msg_t *msg)
{
    static const char day[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char month[][4] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
    };
    time_t now = time(NULL);
    struct tm utc;
    char header[96];
    int len;

    if (gmtime_r(&now, &utc) == NULL)
        return -1;
    len = snprintf(header, sizeof(header), "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", day[utc.tm_wday],
            utc.tm_mday, month[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
    return oauth_add_reply_header(msg, header, (size_t)len);
}

static int send_forbidden(sip_msg_t *msg, const struct oauth_last *last)
{
    static const str forbidden = str_init("Forbidden");
    static const str stale_date = str_init("Stale Date"); /* RFC 4474 section 6 */
    static const str stale = str_init("pop_stale");

    if (!STR_EQ(last->reason_code, stale))
        return oauth_send(msg, 403, &forbidden);
    /* lets a phone with a wrong clock correct itself */
    if (add_date(msg) < 0)
        return OAUTH_ERROR;
    return oauth_send(msg, 403, &stale_date);
}

static uint32_t challenge_role(const struct oauth_last *last)
{
    if (last->status == 302)
        return last->role;
    return last->status == 407 ? SIPOAUTH_ROLE_PROXY : SIPOAUTH_ROLE_UAS;
}

/* The library tells of refused checks; what was required afterwards is a refusal only here. */
static void tell_refusal(const sip_msg_t *msg, const struct oauth_last *last)
{
    LM_INFO("%u %.*s: %.*s provider=%.*s aor=%.*s needed_scope=%.*s source=%s\n", last->status,
            STR_FMT(&last->reason_code), STR_FMT(&last->reason_text), STR_FMT(&last->provider), STR_FMT(&last->aor),
            STR_FMT(&last->needed_scope), ip_addr2a((struct ip_addr *)&msg->rcv.src_ip));
}

int oauth_reply(sip_msg_t *msg, const str *realm)
{
    static const str internal = str_init("Server Internal Error");
    const struct oauth_last *last;

    if (!oauth_is_request(msg)) {
        LM_ERR("only a request can be replied to\n");
        return OAUTH_ERROR;
    }
    last = oauth_last_get(msg);
    if (last == NULL || !last->checked) {
        LM_ERR("oauth_reply has nothing to say: no check was made for this request\n");
        return oauth_send(msg, 500, &internal);
    }
    if (last->verdict == SIPOAUTH_VERDICT_ACCEPTED) {
        LM_ERR("oauth_reply has nothing to say: the request was accepted\n");
        return OAUTH_ERROR;
    }
    if (last->granted)
        tell_refusal(msg, last);
    switch (last->status) {
    case 302:
    case 401:
    case 407:
        if (last->key_derivation)
            return oauth_kd_challenge(msg, 0);
        return oauth_challenge(msg, challenge_role(last),
                realm != NULL && realm->len > 0 ? realm : &last->realm, 0);
    case 403:
        return send_forbidden(msg, last);
    case 415:
        return send_unsupported(msg);
    case 400:
        return send_malformed(msg, &last->reason_text);
    case 503:
        return send_not_now(msg, last->retry_after);
    default:
        return oauth_send(msg, 500, &internal);
    }
}
