// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What every token phone of the kit shares: settings from the environment, and
// the RFC 8898 step from a challenge to a token.
//
//   WS=ws://127.0.0.1:5070   AOR=sip:alice@example.test   RESOURCE=https://sip.example.test/rs256
//   TOKEN=…                  absent: log in at the authz_server that the challenge names
//   PASSWORD=…               for a Digest challenge; then no token is fetched, and the User-Agent says so
//   SCOPE="openid sip"       TIMEOUT_MS=60000

import { login } from './login.mjs';

export const settings = {
  ws: process.env.WS ?? 'ws://127.0.0.1:5070',
  aor: process.env.AOR ?? 'sip:alice@example.test',
  token: process.env.TOKEN,
  password: process.env.PASSWORD,
  userAgent: process.env.PASSWORD ? 'kit (password)' : 'kit',
  resource: process.env.RESOURCE ?? 'https://sip.example.test/rs256',
  scope: process.env.SCOPE ?? 'openid sip',
  timeout: Number(process.env.TIMEOUT_MS ?? 60000),
};

/** Exit codes: 0 registered, 2 refused, 3 no answer in time or a fault of the phone. */
export const EXIT = { registered: 0, refused: 2, failed: 3 };

/** The authz_server of the Bearer challenge among WWW-Authenticate values. */
export function authzServer(challenges) {
  for (const challenge of challenges) {
    const found = /(?:^|,)\s*Bearer\s.*?\bauthz_server\s*=\s*"([^"]+)"/i.exec(challenge);
    if (found) return found[1];
  }
  return undefined;
}

/** The token to answer these challenges with; undefined when none of them is Bearer. */
export async function tokenFor(challenges) {
  const issuer = authzServer(challenges);
  if (!issuer || settings.password) return undefined;
  if (settings.token) return settings.token;
  const user = /^sips?:([^@]+)@/.exec(settings.aor)[1];
  const answer = await login({ issuer, user, resource: settings.resource, scope: settings.scope });
  return answer.access_token;
}

/** Prints the result and ends the process. `events` are {status, challenges?, contact?, error?}. */
export function report(client, events, startedAt) {
  const last = events.at(-1);
  const registered = last?.status === 200;
  console.log(JSON.stringify({ client, registered, events, ms: Date.now() - startedAt }));
  if (registered) process.exit(EXIT.registered);
  process.exit(last?.status ? EXIT.refused : EXIT.failed);
}
