// SPDX-License-Identifier: MIT OR Apache-2.0
//
// JsSIP in node registers over WebSocket: REGISTER, 401 with a Bearer challenge,
// token, REGISTER with the token. Settings: see phone.mjs. PRESET=1 sends TOKEN at once.

import JsSIP from 'jssip';
import WebSocket from 'ws';
import { report, settings, tokenFor } from './phone.mjs';

// JsSIP expects the browser's constructor.
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocol) { super(url, protocol, { origin: 'http://127.0.0.1', rejectUnauthorized: false }); }
};

const startedAt = Date.now();
const events = [];
const finish = () => report('jssip-node', events, startedAt);
const bearer = (token) => `Bearer ${token}`;

setTimeout(() => { events.push({ error: 'no answer in time' }); finish(); }, settings.timeout);

const ua = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(settings.ws)],
  uri: settings.aor,
  register: false,
  register_expires: 120,
  session_timers: false,
  password: settings.password,
  user_agent: settings.userAgent,
  ...(process.env.PRESET && { authorization_jwt: bearer(settings.token) }),
});
let answered = Boolean(process.env.PRESET);

ua.on('connected', () => ua.register());
ua.on('registered', ({ response }) => {
  events.push({ status: response.status_code, contact: response.getHeader('Contact') });
  finish();
});
ua.on('registrationFailed', async ({ response, cause }) => {
  if (!response) { events.push({ error: cause }); return finish(); }
  const challenges = response.getHeaders('WWW-Authenticate');
  events.push({ status: response.status_code, challenges });
  if (answered) return finish();
  answered = true;
  try {
    const token = await tokenFor(challenges);
    if (!token) return finish();
    ua.set('authorization_jwt', bearer(token));
    ua.register();
  } catch (error) {
    events.push({ error: error.message });
    finish();
  }
  return undefined;
});
ua.start();
