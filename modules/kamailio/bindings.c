/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Removes the bindings of a revoked session from usrloc, so that calls no longer reach its phone. Without usrloc there
 * is nothing to remove.
 *
 * usrloc is bound at first use, because it may be loaded after this module. The name of a record is the same as the
 * registrar module makes it.
 */
#include <string.h>

#include "core/parser/parse_uri.h"
#include "core/ut.h"
#include "modules/usrloc/usrloc.h"

#include "shim.h"

#define RECORD_MAX 512

char *oauth_location_table = "location";

static usrloc_api_t usrloc;

int oauth_bindings_known(void)
{
    static int bound = 0;
    bind_usrloc_t bind;

    if (bound || find_module_by_name("usrloc") == NULL)
        return bound;
    bind = (bind_usrloc_t)(void (*)(void))find_export("ul_bind_usrloc", 1, 0);
    if (bind == NULL || bind(&usrloc) < 0) {
        LM_ERR("usrloc cannot be bound: bindings of revoked sessions stay until they expire\n");
        return 0;
    }
    bound = 1;
    return 1;
}

static str without_realm_prefix(str host)
{
    const str *prefix = oauth_registrar_text("realm_pref");

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
    if (usrloc.use_domain) {
        if (user > 0)
            name->s[name->len++] = '@';
        host = without_realm_prefix(uri.host);
        memcpy(name->s + name->len, host.s, host.len);
        name->len += host.len;
    }
    lower = *name;
    if (oauth_registrar_number("case_sensitive", &case_sensitive) == 0 && case_sensitive != 0) {
        lower.s += user;
        lower.len -= user;
    }
    strlower(&lower);
    return 0;
}

/* A +sip.instance with or without its brackets. */
static str bare(const char *text, int len)
{
    str instance = {(char *)text, text != NULL ? len : 0};

    if (instance.len >= 2 && instance.s[0] == '<' && instance.s[instance.len - 1] == '>') {
        instance.s++;
        instance.len -= 2;
    }
    return instance;
}

static int delete_contacts(struct urecord *record, str instance)
{
    ucontact_t *contact, *next;
    str its;
    int count = 0;

    for (contact = record->contacts; contact != NULL; contact = next) {
        next = contact->next;
        its = bare(contact->instance.s, contact->instance.len);
        if (its.len != instance.len || (its.len > 0 && memcmp(its.s, instance.s, its.len) != 0))
            continue;
        if (usrloc.delete_ucontact(record, contact) == 0)
            count++;
        else
            LM_ERR("a binding could not be removed\n");
    }
    return count;
}

/*
 * Removes the bindings with this +sip.instance; an empty one stands for bindings without one. Returns how many it
 * removed.
 */
int oauth_bindings_remove(sipoauth_str aor, sipoauth_str instance)
{
    char text[RECORD_MAX + 1];
    struct udomain *domain = NULL;
    struct urecord *record = NULL;
    str name;
    int count = 0;

    if (!oauth_bindings_known() || record_name(aor, text, &name) < 0)
        return 0;
    if (usrloc.get_udomain(oauth_location_table, &domain) != 0 || domain == NULL) {
        LM_WARN("there is no location table %s: no binding is removed\n", oauth_location_table);
        return 0;
    }
    usrloc.lock_udomain(domain, &name);
    if (usrloc.get_urecord(domain, &name, &record) == 0) {
        count = delete_contacts(record, bare(instance.ptr, (int)instance.len));
        usrloc.release_urecord(record); /* removes the record if it is empty */
    }
    usrloc.unlock_udomain(domain, &name);
    return count;
}
