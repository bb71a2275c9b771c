/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Removes the bindings of a revoked session from usrloc, so that calls no longer reach its phone. Without usrloc there
 * is nothing to remove. The name of a record is the same as the registrar module makes it.
 */
#include <string.h>

#include "shim.h"

#define RECORD_MAX 512

char *oauth_location_table = "location";

static str without_realm_prefix(str host)
{
    const str *prefix = host_registrar_prefix();

    if (prefix == NULL || prefix->len >= host.len || memcmp(prefix->s, host.s, prefix->len) != 0)
        return host;
    host.s += prefix->len;
    host.len -= prefix->len;
    return host;
}

/* Makes the name as extract_aor of the registrar does. */
static int record_name(sipoauth_str aor, char *text, str *name)
{
    struct sip_uri uri;
    str host, lower;
    int user, case_sensitive = 0;

    if (aor.len == 0 || aor.len > RECORD_MAX || parse_uri((char *)aor.ptr, (int)aor.len, &uri) < 0)
        return -1;
    name->s = text;
    name->len = uri.user.len;
    if (un_escape(&uri.user, name) < 0)
        return -1;
    user = name->len;
    if (host_uses_domain()) {
        if (user > 0)
            name->s[name->len++] = '@';
        host = without_realm_prefix(uri.host);
        memcpy(name->s + name->len, host.s, host.len);
        name->len += host.len;
    }
    lower = *name;
    if (host_registrar_number("case_sensitive", &case_sensitive) == 0 && case_sensitive != 0) {
        lower.s += user;
        lower.len -= user;
    }
    strlower(&lower);
    return 0;
}

/* True if a binding goes with a session that has ended. */
int oauth_binding_ends(const sipoauth_session_state *session, const str *instance, const str *call_id)
{
    return sipoauth_binding_ends(session, oauth_view(instance), oauth_view(call_id)) == 1;
}

/* Removes the bindings of a session that has ended. Returns how many there were. */
int oauth_bindings_remove(const sipoauth_session_state *session)
{
    char text[RECORD_MAX + 1];
    str name;

    if (!oauth_bindings_known() || record_name(session->aor, text, &name) < 0)
        return 0;
    return host_bindings_remove(&name, session);
}
