// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The users: everybody but 'nobody' has an account, and the password USER-password.

import { errors } from 'oidc-provider';

export const DOMAIN = 'example.test';

export function hasAccount(user) { return Boolean(user) && user !== 'nobody'; }

export function passwordOf(user) { return `${user}-password`; }

/** The user of `alice`, `alice@example.test` or `sip:alice@example.test`. */
export function userOf(name = '') {
  const [user, domain = DOMAIN] = name.replace(/^sips?:/, '').split('@');
  return domain === DOMAIN ? user : undefined;
}

/** The same for a grant: a name without an account is refused like a wrong password. */
export function accountOf(name) {
  const user = userOf(name);
  if (!hasAccount(user)) throw new errors.InvalidGrant('invalid resource owner credentials');
  return user;
}
