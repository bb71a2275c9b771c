/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the library's log lines to the server's log. The format is constant, because a line from the library must never
 * be a format. The library calls this only from the process's main thread, because LM_* is not made for other threads.
 */
#include "shim.h"

void oauth_log(void *user, uint32_t level, const char *text, size_t len)
{
    int n = len > 8000 ? 8000 : (int)len;

    (void)user;
    if (text == NULL || n == 0)
        return;
    switch (level) {
    case SIPOAUTH_LOG_ERROR:
        LM_ERR("%.*s\n", n, text);
        break;
    case SIPOAUTH_LOG_WARN:
        LM_WARN("%.*s\n", n, text);
        break;
    case SIPOAUTH_LOG_INFO:
        LM_INFO("%.*s\n", n, text);
        break;
    default:
        LM_DBG("%.*s\n", n, text);
    }
}
