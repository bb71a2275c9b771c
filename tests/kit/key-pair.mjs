// SPDX-License-Identifier: MIT OR Apache-2.0
//
// New keys. Node.js 20 may wait for itself forever when a key of a pair is used while the other one is collected as
// garbage: both have one lock. So pairs leave here encoded.

import crypto from 'node:crypto';

/** { privateKey, publicKey }: the private one in this encoding, the other as DER. */
export function generateKeyPair(type, options, privateKeyEncoding) {
  return crypto.generateKeyPairSync(type, { ...options, privateKeyEncoding, publicKeyEncoding: { type: 'spki', format: 'der' } });
}
