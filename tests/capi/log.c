/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's log: keeps every line, so that they can be searched for what must not be there.
 */
#include <stdio.h>
#include <string.h>

#include "client.h"

struct log_state the_log;

void log_line(void *user, uint32_t level, const char *line, size_t len)
{
    struct log_state *state = (struct log_state *)user;
    void (*within)(void *) = state->within;

    EXPECT(level >= SIPOAUTH_LOG_ERROR && level <= SIPOAUTH_LOG_DEBUG);
    EXPECT(len > 0 && memchr(line, '\n', len) == NULL && memchr(line, '\0', len) == NULL);
    if (len < sizeof(state->lines) - state->len - 1) {
        memcpy(state->lines + state->len, line, len);
        state->len += len;
        state->lines[state->len++] = '\n';
    }
    state->within = NULL;
    if (within != NULL)
        within(state->within_user);
}

/* The last part of a token is its signature: whoever sees it has seen the token. */
void log_keeps_secret(const char *token)
{
    size_t len = strlen(token);

    EXPECT(len > 40 && !contains(the_log.lines, the_log.len, token + len - 20));
}
