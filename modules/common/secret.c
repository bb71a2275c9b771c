/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A secret of this process, in private memory that is used again and again.
 */
#include <string.h>

#include "shim.h"

void oauth_secret_wipe(struct oauth_secret *secret)
{
    if (secret->text != NULL)
        explicit_bzero(secret->text, secret->size);
    secret->len = 0;
}

int oauth_secret_set(struct oauth_secret *secret, sipoauth_str text)
{
    char *bigger;

    if (text.len > secret->size) {
        bigger = pkg_malloc(text.len);
        if (bigger == NULL) {
            LM_ERR("no private memory for the tokens of a phone\n");
            return -1;
        }
        oauth_secret_wipe(secret);
        if (secret->text != NULL)
            pkg_free(secret->text);
        secret->text = bigger;
        secret->size = text.len;
    }
    memcpy(secret->text, text.ptr, text.len);
    secret->len = text.len;
    return 0;
}
