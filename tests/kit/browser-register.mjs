// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A phone in a real browser (headless Chromium) registers over WebSocket:
// REGISTER, 401 with a Bearer challenge, token, REGISTER with the token.
//
//   LIB=jssip|sipjs   CHROMIUM=/usr/bin/chromium   other settings: see phone.mjs

import { launch, openPage } from './browser.mjs';
import { report, settings, tokenFor } from './phone.mjs';

const LIB = process.env.LIB ?? 'jssip';

// The functions below run inside the page. `answer(challenges)` gives the token.

function registerJssip({ ws, aor, password, userAgent }) {
  return new Promise((resolve) => {
    const events = [];
    let answered = false;
    const ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(ws)], uri: aor, password, user_agent: userAgent, register: false,
      session_timers: false,
    });
    ua.on('connected', () => ua.register());
    ua.on('registered', ({ response }) => {
      events.push({ status: response.status_code, contact: response.getHeader('Contact') });
      resolve(events);
    });
    ua.on('registrationFailed', async ({ response, cause }) => {
      if (!response) { events.push({ error: cause }); return resolve(events); }
      const challenges = response.getHeaders('WWW-Authenticate');
      events.push({ status: response.status_code, challenges });
      const token = answered ? undefined : await window.answer(challenges);
      if (!token) return resolve(events);
      answered = true;
      ua.set('authorization_jwt', `Bearer ${token}`);
      return ua.register();
    });
    ua.start();
  });
}

async function registerSipjs({ ws, aor, password, userAgent }) {
  const events = [];
  const ua = new SIP.UserAgent({
    uri: SIP.UserAgent.makeURI(aor), transportOptions: { server: ws }, logLevel: 'error',
    authorizationUsername: /^sips?:([^@]+)@/.exec(aor)[1], authorizationPassword: password,
    userAgentString: userAgent,
  });
  const attempt = (extraHeaders) => new Promise((resolve) => {
    new SIP.Registerer(ua, { extraHeaders }).register({
      requestDelegate: {
        onAccept: ({ message }) => resolve({ status: message.statusCode, contact: message.getHeader('contact') }),
        onReject: ({ message }) => resolve({ status: message.statusCode, challenges: message.getHeaders('www-authenticate') }),
      },
    });
  });
  try {
    await ua.start();
    events.push(await attempt([]));
    const token = events[0].status === 200 ? undefined : await window.answer(events[0].challenges);
    if (token) events.push(await attempt([`Authorization: Bearer ${token}`]));
  } catch (error) {
    events.push({ error: String(error) });
  }
  return events;
}

const startedAt = Date.now();
const browser = await launch();
let events = [];
try {
  const page = await openPage(browser, LIB);
  await page.exposeFunction('answer', async (challenges) => {
    try {
      return await tokenFor(challenges);
    } catch (error) {
      console.error(`token: ${error.message}`);
      return undefined;
    }
  });
  events = await Promise.race([
    page.evaluate(LIB === 'jssip' ? registerJssip : registerSipjs, settings),
    new Promise((resolve) => { setTimeout(resolve, settings.timeout, [{ error: 'no answer in time' }]); }),
  ]);
} catch (error) {
  events.push({ error: error.message });
} finally {
  await browser.close();
}
report(`${LIB} in Chromium ${browser.version()}`, events, startedAt);
