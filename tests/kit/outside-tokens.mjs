// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Tokens that a phone brings from elsewhere, and that nobody but this server can judge
// (draft-yusef-sipcore-sip-oauth-01 section 5). Times are seconds.

import crypto from 'node:crypto';
import { generateKeyPair } from './key-pair.mjs';

const now = () => Math.floor(Date.now() / 1000);

export class OutsideTokens {
  #known = new Map();
  #key = generateKeyPair('ec', { namedCurve: 'P-256' }, { type: 'pkcs8', format: 'pem' }).privateKey;

  /** A token for this user: opaque, or with the form `jwt` one whose key is published nowhere. */
  issue({ sub = 'alice', scope = 'sip', ttl = 300, form = 'opaque' }) {
    const exp = now() + Number(ttl);
    const token = form === 'jwt' ? this.#jwt({ iss: 'https://elsewhere.example', sub, scope, exp }) : crypto.randomBytes(24).toString('base64url');
    this.#known.set(token, { sub, scope, exp });
    return token;
  }

  /** { sub, scope } of a token that is still good. */
  find(token) {
    const found = this.#known.get(token);
    return found && found.exp > now() ? found : undefined;
  }

  revoke(token) {
    if (!this.#known.delete(token)) throw new Error('no such token');
  }

  #jwt(claims) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const signed = `${part({ alg: 'ES256', typ: 'at+jwt', kid: 'elsewhere' })}.${part({ ...claims, iat: now(), jti: crypto.randomUUID() })}`;
    const signature = crypto.sign('sha256', Buffer.from(signed), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }
}
