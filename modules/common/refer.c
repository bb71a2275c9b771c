/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * REFER and its events (RFC 3515, RFC 7614, RFC 7647). The library judges, says what the answer is, and when a NOTIFY is
 * due. This file keeps what it said of the present message, for $oauth(refer_...) and oauth_reply(), and changes messages
 * that pass.
 */
#include <stdio.h>
#include <string.h>

#include "shim.h"

static struct oauth_refer last;
static struct oauth_owner owner;
/* All texts of it, one after the other. */
static char *texts = NULL;
static size_t texts_size = 0;

const struct oauth_refer *oauth_refer_get(const sip_msg_t *msg)
{
    return oauth_owns(&owner, msg) ? &last : NULL;
}

void oauth_refer_forget(void)
{
    owner.msg = NULL;
}

/* Copies texts, because the library's live only until its next call. */
static int keep(const sip_msg_t *msg, const struct oauth_refer *outcome)
{
    const str *from;
    str *text;
    size_t length = 0;
    char *at;

    oauth_refer_forget();
    for (from = &outcome->phrase; from <= &outcome->owner; from++)
        length += (size_t)from->len;
    if (length > texts_size) {
        at = pkg_malloc(length);
        if (at == NULL) {
            LM_ERR("no private memory for what is known of a REFER\n");
            return -1;
        }
        if (texts != NULL)
            pkg_free(texts);
        texts = at;
        texts_size = length;
    }
    last = *outcome;
    at = texts;
    for (text = &last.phrase; text <= &last.owner; text++) {
        if (text->len == 0)
            continue;
        memcpy(at, text->s, (size_t)text->len);
        text->s = at;
        at += text->len;
    }
    owner = oauth_owner_of(msg);
    return 0;
}

/* The last check, if it has accepted the sender of this message; else 0. */
static uint64_t accepted_check(const sip_msg_t *msg)
{
    const struct oauth_last *check = oauth_last_get(msg);

    return check != NULL && check->checked && check->granted ? check->check : 0;
}

static int answer(sip_msg_t *msg, const struct oauth_refer *outcome)
{
    sipoauth_reply reply;

    oauth_reply_begin(&reply);
    reply.status = outcome->status;
    reply.phrase = oauth_view(&outcome->phrase);
    reply.headers = oauth_view(&outcome->headers);
    return oauth_send(msg, &reply);
}

/* oauth_reply() for a request that oauth_refer_... has refused. */
int oauth_refer_reply(sip_msg_t *msg)
{
    const struct oauth_refer *refused = oauth_refer_get(msg);

    return refused != NULL && refused->refused ? answer(msg, refused) : OAUTH_ERROR;
}

int oauth_refer_refused(const sip_msg_t *msg)
{
    const struct oauth_refer *outcome = oauth_refer_get(msg);

    return outcome != NULL && outcome->refused;
}

/*
 * Writes HOST:PORT into OAUTH_ADDRESS_SIZE octets. Servers keep an IPv6 address with brackets or without. Returns its length,
 * 0 when it does not fit.
 */
size_t oauth_refer_address(char *text, const str *host, const str *port)
{
    const int is_bare = host->len > 0 && host->s[0] != '[' && memchr(host->s, ':', (size_t)host->len) != NULL;
    int len = snprintf(text, OAUTH_ADDRESS_SIZE, is_bare ? "[%.*s]:%.*s" : "%.*s:%.*s", host->len, host->s, port->len, port->s);

    return host->len > 0 && port->len > 0 && len > 0 && len < OAUTH_ADDRESS_SIZE ? (size_t)len : 0;
}

static int ask(sip_msg_t *msg, uint32_t what, uint32_t cseq, struct oauth_refer *outcome)
{
    char address[OAUTH_ADDRESS_SIZE];
    sipoauth_str at = {address, host_socket_address(msg, address)};
    /* whoever reads a URI in the answer must be able to reach it */
    const int has_place = at.len > 0 || what == SIPOAUTH_REFER_CHECK || what == SIPOAUTH_REFER_PUBLISH;
    struct oauth_request request;
    sipoauth_refer refer;
    int rc;

    memset(&refer, 0, sizeof(refer));
    refer.struct_size = sizeof(refer);
    /* what cannot be parsed here cannot be read by the library either, which says so */
    oauth_request_read(&request, msg, SIPOAUTH_ROLE_UAS, NULL);
    if (!has_place)
        LM_ERR("the address of the socket of a request is not known, or too long\n");
    rc = sipoauth_worker_refer(has_place ? oauth_worker_get() : NULL, what, &request.call, accepted_check(msg),
            oauth_socket(msg), at, cseq, &refer);
    if (rc != SIPOAUTH_OK)
        LM_ERR("nothing can be said about a request about a REFER (%d)\n", rc);
    *outcome = (struct oauth_refer){
        .status = refer.status,
        .refused = refer.refused,
        .subscribing = refer.subscribing,
        .phrase = oauth_text(refer.phrase),
        .headers = oauth_text(refer.headers),
        .reason = oauth_text(refer.reason),
        .reason_text = oauth_text(refer.reason_text),
        .id = oauth_text(refer.id),
        .refer_to = oauth_text(refer.refer_to),
        .target_call_id = oauth_text(refer.target_call_id),
        .target_local_tag = oauth_text(refer.target_local_tag),
        .target_remote_tag = oauth_text(refer.target_remote_tag),
        .events_uri = oauth_text(refer.events_uri),
        .publish_uri = oauth_text(refer.publish_uri),
    };
    return rc;
}

static const str unavailable = str_init("503");

static int handle(sip_msg_t *msg, uint32_t what, uint32_t cseq)
{
    struct oauth_refer outcome;

    if (!oauth_is_request(msg)) {
        LM_ERR("only a request can be checked or accepted\n");
        return OAUTH_ERROR;
    }
    ask(msg, what, cseq, &outcome);
    if (keep(msg, &outcome) < 0)
        return OAUTH_ERROR;
    if (last.refused)
        return OAUTH_REFUSED;
    if (last.status != 0 && answer(msg, &last) != OAUTH_OK) {
        /* nobody was told of it */
        if (what == SIPOAUTH_REFER_ACCEPT && last.id.len > 0)
            (void)sipoauth_worker_refer_update(oauth_worker_get(), oauth_view(&last.id), oauth_view(&unavailable));
        oauth_refer_forget();
        return OAUTH_ERROR;
    }
    sipoauth_worker_refer_sent(oauth_worker_get());
    return OAUTH_OK;
}

int oauth_refer_check(sip_msg_t *msg)
{
    return handle(msg, SIPOAUTH_REFER_CHECK, 0);
}

/* A copy of a REFER over UDP must not begin a second one, so it needs a transaction. */
static int begin(sip_msg_t *msg, uint32_t what, uint32_t cseq)
{
    int made, rc;

    if (oauth_transaction() == NULL) {
        if (host_is_repeated(msg))
            return OAUTH_PARKED;
        /* what is refused must cost no transaction */
        rc = handle(msg, SIPOAUTH_REFER_LOOK, 0);
        if (rc != OAUTH_OK)
            return rc;
        oauth_refer_forget();
        made = oauth_tm.t_newtran(msg);
        if (made == 0)
            return OAUTH_PARKED; /* a copy, which was answered */
        if (made < 0) {
            LM_ERR("no transaction can be made for a REFER (%d)\n", made);
            return OAUTH_ERROR;
        }
    }
    return handle(msg, what, cseq);
}

int oauth_refer_accept(sip_msg_t *msg, int cseq)
{
    return begin(msg, SIPOAUTH_REFER_ACCEPT, cseq > 0 ? (uint32_t)cseq : 0);
}

int oauth_refer_subscribe(sip_msg_t *msg)
{
    return handle(msg, SIPOAUTH_REFER_SUBSCRIBE, 0);
}

int oauth_refer_publish(sip_msg_t *msg)
{
    return handle(msg, SIPOAUTH_REFER_PUBLISH, 0);
}

int oauth_refer_update(sip_msg_t *msg, const str *id, const str *status)
{
    int rc = sipoauth_worker_refer_update(oauth_worker_get(), oauth_view(id), oauth_view(status));

    (void)msg;
    switch (rc) {
    case SIPOAUTH_OK:
        return OAUTH_OK;
    case SIPOAUTH_E_ABSENT:
    case SIPOAUTH_E_STATE:
        return OAUTH_DENIED;
    case SIPOAUTH_E_INPUT:
        LM_ERR("a text of %d octets is no status: write one such as 180\n", status->len);
        return OAUTH_ERROR;
    default:
        LM_ERR("the state of a REFER cannot be told (%d)\n", rc);
        return OAUTH_ERROR;
    }
}

/* So many changes need no memory. Whoever writes more of these fields must not get them past this. */
#define EDITS 16

static int apply(sip_msg_t *msg, const sipoauth_edit *edit)
{
    struct lump *lump = del_lump(msg, (int)edit->at, (int)edit->length, HDR_OTHER_T);
    char *text;

    if (lump == NULL)
        return -1;
    if (edit->text.len == 0)
        return 0;
    text = pkg_malloc(edit->text.len);
    if (text == NULL)
        return -1;
    memcpy(text, edit->text.ptr, edit->text.len);
    if (insert_new_lump_after(lump, text, (int)edit->text.len, HDR_OTHER_T) != NULL)
        return 0;
    pkg_free(text);
    return -1;
}

static int apply_all(sip_msg_t *msg, const sipoauth_edit *edits, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (apply(msg, &edits[i]) < 0) {
            LM_ERR("a message cannot be changed\n");
            return -1;
        }
    }
    return 0;
}

/* The request to which the message that this process works on is a response. */
static str answered_request(void)
{
    const struct cell *cell = oauth_transaction();

    return cell != NULL && cell->uas.request != NULL ? (str){cell->uas.request->buf, (int)cell->uas.request->len}
                                                     : (str)STR_NULL;
}

static int conform(sip_msg_t *msg, uint32_t flags)
{
    const sipoauth_str message = {msg->buf, msg->len};
    const str request = oauth_is_request(msg) ? (str)STR_NULL : answered_request();
    sipoauth_edit few[EDITS], *edits = few;
    size_t count = 0;
    uint32_t status = 0;
    int rc = sipoauth_refer_conform(message, oauth_view(&request), flags, edits, EDITS, &count, &status);

    if (rc == SIPOAUTH_E_SPACE) {
        edits = pkg_malloc(count * sizeof(*edits));
        if (edits != NULL)
            rc = sipoauth_refer_conform(message, oauth_view(&request), flags, edits, count, &count, &status);
    }
    if (rc != SIPOAUTH_OK)
        LM_ERR("a message cannot be looked through for Refer-Events-At (%d)\n", rc);
    else
        rc = apply_all(msg, edits, count);
    if (edits != few && edits != NULL)
        pkg_free(edits);
    if (rc != SIPOAUTH_OK)
        return OAUTH_ERROR;
    if (status != 0) {
        /* three digits are there, because the library has read them */
        msg->first_line.u.reply.statuscode = status;
        msg->first_line.u.reply.status.s[0] = (char)('0' + status / 100);
        msg->first_line.u.reply.status.s[1] = (char)('0' + status / 10 % 10);
        msg->first_line.u.reply.status.s[2] = (char)('0' + status % 10);
    }
    return OAUTH_OK;
}

/* Makes a message that passes what RFC 7614 and RFC 7647 want it to be. */
int oauth_refer_response(sip_msg_t *msg)
{
    return conform(msg, 0);
}

/* The REFER goes on to a phone that does not know the option tags. */
int oauth_refer_follow(sip_msg_t *msg)
{
    int rc = begin(msg, SIPOAUTH_REFER_FOLLOW, 0);

    return rc == OAUTH_OK ? conform(msg, SIPOAUTH_CONFORM_WITHOUT_TAGS) : rc;
}

/* The outcome of a REFER that has ended, for its event. */
int oauth_refer_keep_ended(const sip_msg_t *msg, sipoauth_str id, sipoauth_str address, uint32_t status)
{
    const struct oauth_refer ended = {.status = status, .id = oauth_text(id), .owner = oauth_text(address)};

    return keep(msg, &ended);
}

const char *oauth_subscribing_name(uint32_t subscribing)
{
    switch (subscribing) {
    case SIPOAUTH_SUBSCRIBING_IMPLICIT:
        return "implicit";
    case SIPOAUTH_SUBSCRIBING_EXPLICIT:
        return "explicit";
    case SIPOAUTH_SUBSCRIBING_NONE:
        return "none";
    default:
        return "";
    }
}

static void ended(void *user, sipoauth_str id, sipoauth_str address, uint32_t status)
{
    (void)user;
    oauth_event_refer_done(id, address, status);
}

/* Called after each step of the I/O process. */
void oauth_refer_step(sipoauth_io *io)
{
    (void)sipoauth_io_notify(io, oauth_notify_send, NULL);
    (void)sipoauth_io_refers_ended(io, ended, NULL);
}

/* The answer to a NOTIFY came, in whatever process. */
void oauth_refer_notified(uint64_t subscription, int code)
{
    if (code >= 300)
        (void)sipoauth_worker_refer_notified(oauth_worker_get(), subscription, (uint32_t)code);
}
