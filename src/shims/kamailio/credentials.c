/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes Bearer and Key-Derivation credentials out of a request before it is relayed: a token is for this proxy, not for
 * the next hop. Other schemes (Digest for a server behind us) stay.
 */
#include <string.h>
#include <strings.h>

#include "core/data_lump.h"

#include "shim.h"

static int is_of(sipoauth_str text, const char *scheme)
{
    const size_t len = strlen(scheme);

    if (text.len < len || strncasecmp(text.ptr, scheme, len) != 0)
        return 0;
    return text.len == len || oauth_is_space(text.ptr[len]) || text.ptr[len] == ',';
}

static int is_ours(const str *body)
{
    sipoauth_str text = oauth_trimmed(body);

    return is_of(text, "Bearer") || is_of(text, "Key-Derivation");
}

/* Asked twice for the same header, as when a branch route does it again. */
static int is_removed(const sip_msg_t *msg, const hdr_field_t *header)
{
    const struct lump *lump;

    for (lump = msg->add_rm; lump != NULL; lump = lump->next) {
        if (lump->op == LUMP_DEL && lump->u.offset == (int)(header->name.s - msg->buf))
            return 1;
    }
    return 0;
}

static int remove_from(sip_msg_t *msg, const hdr_field_t *header)
{
    for (; header != NULL; header = next_sibling_hdr(header)) {
        if (!is_ours(&header->body) || is_removed(msg, header))
            continue;
        if (del_lump(msg, (int)(header->name.s - msg->buf), header->len, HDR_OTHER_T) == NULL) {
            LM_ERR("cannot remove a credentials header\n");
            return -1;
        }
    }
    return 0;
}

int oauth_remove_credentials(sip_msg_t *msg)
{
    if (!oauth_is_request(msg) || parse_headers(msg, HDR_EOH_F, 0) < 0) {
        LM_ERR("credentials cannot be removed from this message\n");
        return OAUTH_ERROR;
    }
    if (remove_from(msg, msg->authorization) < 0 || remove_from(msg, msg->proxy_auth) < 0)
        return OAUTH_ERROR;
    return OAUTH_OK;
}
