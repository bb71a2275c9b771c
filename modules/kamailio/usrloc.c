/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bindings in usrloc, which is bound at first use, because it may be loaded after this module.
 */
#include "modules/usrloc/usrloc.h"

#include "module.h"

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

int host_uses_domain(void)
{
    return usrloc.use_domain;
}

static int delete_contacts(struct urecord *record, const sipoauth_session_state *session)
{
    ucontact_t *contact, *next;
    int count = 0;

    for (contact = record->contacts; contact != NULL; contact = next) {
        next = contact->next;
        if (!oauth_binding_ends(session, &contact->instance, &contact->callid))
            continue;
        if (usrloc.delete_ucontact(record, contact) == 0)
            count++;
        else
            LM_ERR("a binding could not be removed\n");
    }
    return count;
}

int host_bindings_remove(str *name, const sipoauth_session_state *session)
{
    struct udomain *domain = NULL;
    struct urecord *record = NULL;
    int count = 0;

    if (usrloc.get_udomain(oauth_location_table, &domain) != 0 || domain == NULL) {
        LM_WARN("there is no location table %s: no binding is removed\n", oauth_location_table);
        return 0;
    }
    usrloc.lock_udomain(domain, name);
    if (usrloc.get_urecord(domain, name, &record) == 0) {
        count = delete_contacts(record, session);
        usrloc.release_urecord(record); /* removes the record if it is empty */
    }
    usrloc.unlock_udomain(domain, name);
    return count;
}
