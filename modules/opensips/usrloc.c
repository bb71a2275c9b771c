/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bindings in usrloc.
 */
#include "modules/usrloc/ul_mod.h"
#include "modules/usrloc/usrloc.h"

#include "module.h"

static usrloc_api_t usrloc;
static udomain_t *table = NULL;

/*
 * Binds usrloc at first use, because each process that asks was forked at another moment, some before all modules were
 * ready. register_udomain() gives the table that registrar has made.
 */
int oauth_bindings_known(void)
{
    static int tried = 0;
    bind_usrloc_t bind;

    if (tried)
        return table != NULL;
    tried = 1;
    if (!module_loaded("usrloc"))
        return 0;
    bind = (bind_usrloc_t)(void (*)(void))find_export("ul_bind_usrloc", 0);
    if (bind == NULL || bind(&usrloc) < 0 || usrloc.register_udomain(oauth_location_table, &table) < 0) {
        LM_ERR("usrloc cannot be bound: bindings of revoked sessions stay until they expire\n");
        table = NULL;
    }
    return table != NULL;
}

int host_uses_domain(void)
{
    return usrloc.use_domain;
}

static int delete_contacts(urecord_t *record, const sipoauth_session_state *session)
{
    ucontact_t *contact, *next;
    int count = 0;

    for (contact = record->contacts; contact != NULL; contact = next) {
        next = contact->next;
        if (!oauth_binding_ends(session, &contact->instance, &contact->callid))
            continue;
        if (usrloc.delete_ucontact(record, contact, NULL, 0) == 0)
            count++;
        else
            LM_ERR("a binding could not be removed\n");
    }
    return count;
}

int host_bindings_remove(str *name, const sipoauth_session_state *session)
{
    urecord_t *record = NULL;
    int count = 0;

    usrloc.lock_udomain(table, name);
    if (usrloc.get_urecord(table, name, &record) == 0) {
        count = delete_contacts(record, session);
        usrloc.release_urecord(record, 0); /* removes the record if it is empty */
    }
    usrloc.unlock_udomain(table, name);
    return count;
}
