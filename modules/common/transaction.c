/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transaction that this process is working on.
 */
#include "shim.h"

/* NULL: there is none, or nobody has looked for one. */
struct cell *oauth_transaction(void)
{
    struct cell *cell = oauth_tm.t_gett();

    return cell == T_UNDEFINED ? NULL : cell;
}

/* For what a callback of a transaction has in shared memory. */
void oauth_shm_free(void *memory)
{
    shm_free(memory);
}
