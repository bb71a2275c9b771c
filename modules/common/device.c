/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Phones that sign in by Digest with a device password of the sign-in page. The server's auth module checks nonces, so the
 * script gives it H(A1), which it has from here, and then asks whether the request may pass. As with that module, a
 * REGISTER has its credentials in Authorization, other requests have them in Proxy-Authorization.
 */
#include <string.h>

#include "shim.h"

static struct oauth_secret ha1;
static struct oauth_owner owner;

uint32_t oauth_device_role(const sip_msg_t *msg)
{
    return msg->first_line.type == SIP_REQUEST && msg->first_line.u.request.method_value != METHOD_REGISTER
            ? SIPOAUTH_ROLE_PROXY : SIPOAUTH_ROLE_UAS;
}

void oauth_device_forget(void)
{
    oauth_secret_wipe(&ha1);
}

int oauth_device_keep(const sip_msg_t *msg, sipoauth_str text)
{
    if (oauth_secret_set(&ha1, text) < 0)
        return -1;
    owner = oauth_owner_of(msg);
    return 0;
}

/* H(A1) for the auth module, while the script that has asked for it runs. */
int oauth_device_ha1(const sip_msg_t *msg, str *text)
{
    if (ha1.len == 0 || !oauth_owns(&owner, msg))
        return -1;
    text->s = ha1.text;
    text->len = (int)ha1.len;
    return 0;
}

int oauth_device_account(sip_msg_t *msg, const str *realm, const struct oauth_resume *resume)
{
    oauth_device_forget();
    return oauth_check_device(msg, oauth_device_role(msg), realm, SIPOAUTH_DEVICE_ACCOUNT, resume);
}

int oauth_device_accept(sip_msg_t *msg)
{
    const struct oauth_last *last = oauth_last_get(msg);
    char realm[OAUTH_REALM_SIZE];
    str text = {realm, 0};
    int rc;

    if (last == NULL || ha1.len == 0 || !oauth_owns(&owner, msg) || last->realm.len > (int)sizeof(realm)) {
        LM_ERR("no device password of this request was looked up: call oauth_device_account before\n");
        return oauth_check_failed(msg, oauth_device_role(msg));
    }
    /* the outcome of the check that follows takes the place of this one */
    text.len = last->realm.len;
    if (text.len > 0)
        memcpy(realm, last->realm.s, text.len);
    rc = oauth_check_device(msg, last->role, &text, SIPOAUTH_DEVICE_ACCEPT, NULL);
    oauth_device_forget();
    return rc;
}
