/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the library calls while it runs a command of an operator, the same for every interface.
 */
#include "shim.h"

uint32_t oauth_command_remove_bindings(void *user, const sipoauth_session_state *session)
{
    (void)user;
    return (uint32_t)oauth_bindings_remove(session);
}

void oauth_command_ended(void *user, const sipoauth_session_state *session, const char *reason_code, sipoauth_str why)
{
    (void)user;
    oauth_event_session_ended(session, reason_code, why);
}
