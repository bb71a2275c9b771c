/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A registration must not outlive the token it was made with (setting allow). save() of the registrar module
 * grants what the Contact header fields ask for, so this file lowers that, and never raises it. It changes the parsed
 * form of the message in this process, which save() reads. The text stays as the phone wrote it.
 */
#include <stdio.h>
#include <string.h>

#include "shim.h"

#define DIGITS 12 /* of a uint32_t, with NUL */

/* The seconds that save() grants when the phone names none; -1: not known. */
static long default_expires(void)
{
    int seconds;

    return host_registrar_number("default_expires", &seconds) < 0 ? -1 : seconds;
}

/* The seconds that save() starts from when a Contact names none; -1: not known. */
static long expires_of_message(sip_msg_t *msg)
{
    const exp_body_t *expires;

    if (msg->expires == NULL || parse_expires(msg->expires) < 0)
        return default_expires();
    expires = msg->expires->parsed;
    return expires->valid && (int)expires->val >= 0 ? (long)expires->val : default_expires();
}

/* The parameter belongs to the Contact. The parser's own functions free both. */
static int replace(contact_t *contact, uint32_t limit)
{
    param_t *param = pkg_malloc(sizeof(*param) + DIGITS);
    char *digits = (char *)(param + 1);

    if (param == NULL) {
        LM_ERR("no private memory to bound a registration\n");
        return -1;
    }
    memset(param, 0, sizeof(*param));
    param->type = P_EXPIRES;
    param->name.s = "expires";
    param->name.len = sizeof("expires") - 1;
    param->body.s = digits;
    param->body.len = snprintf(digits, DIGITS, "%u", limit);
    param->len = param->name.len + 1 + param->body.len;
    param->next = contact->params;
    contact->params = param;
    contact->expires = param;
    return 0;
}

/* Reads the seconds as save() does: a parameter that is not a number counts as if the phone named none. */
static int bound(contact_t *contact, long otherwise, uint32_t limit)
{
    const param_t *param = contact->expires;
    unsigned int own = 0;
    long asked = otherwise;

    if (param != NULL && param->body.len > 0)
        asked = str2int((str *)&param->body, &own) < 0 ? default_expires() : (long)own;
    return asked >= 0 && asked <= (long)limit ? 0 : replace(contact, limit);
}

int oauth_expires_limit(sip_msg_t *msg, uint32_t limit)
{
    hdr_field_t *header;
    contact_t *contact;
    long otherwise;

    if (limit == 0)
        return 0;
    if (parse_headers(msg, HDR_EOH_F, 0) < 0)
        return -1;
    otherwise = expires_of_message(msg);
    for (header = msg->contact; header != NULL; header = host_next_header(header)) {
        /* save() refuses a Contact that cannot be read */
        if (parse_contact(header) < 0 || header->parsed == NULL)
            return 0;
        for (contact = ((contact_body_t *)header->parsed)->contacts; contact != NULL; contact = contact->next) {
            if (bound(contact, otherwise, limit) < 0)
                return -1;
        }
    }
    return 0;
}
