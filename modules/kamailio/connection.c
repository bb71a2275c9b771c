/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells the library which connections have ended. Kamailio has room for one listener to that event, and tcpops may have
 * taken it. Kamailio reports only connections that end because of what is read from them, not those that it closes
 * itself after a time-out or a failed write. The library forgets a connection that nobody reports two hours after its
 * last use.
 */
#include "core/events.h"
#include "core/tcp_conn.h"

#include "module.h"

static int closed(sr_event_param_t *event)
{
    const tcp_closed_event_info_t *info = event->data;

    if (info != NULL && info->con != NULL)
        (void)sipoauth_context_connection_closed(oauth_context, (uint32_t)info->con->id);
    return 0;
}

/* Called before the fork, but after every mod_init, because tcpops does not start when it finds the event taken. Up to
 * Kamailio 6.0 one module can listen; later versions have room for several. */
void oauth_connection_init(void)
{
    if (sipoauth_context_binds_connections(oauth_context) != 1)
        return;
    if (sr_event_register_cb(SREV_TCP_CLOSED, closed) != 0)
        LM_INFO("another module listens to the end of connections: tokens of connections that have ended stay in memory for "
                "two hours after their last use\n");
}
