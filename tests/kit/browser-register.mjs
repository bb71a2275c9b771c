// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A phone in a real browser (headless Chromium) registers over WebSocket:
// REGISTER, 401 with a Bearer challenge, token, REGISTER with the token.
//
//   LIB=jssip|sipjs   CHROMIUM=/usr/bin/chromium   other settings: see phone.mjs

import fs from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import { chromium } from 'playwright-core';
import { report, settings, tokenFor } from './phone.mjs';

const LIB = process.env.LIB ?? 'jssip';
const BUNDLE = { jssip: 'jssip.bundle.js', sipjs: 'sipjs.bundle.js' }[LIB];

// The functions below run inside the page. `answer(challenges)` gives the token.

function registerJssip({ ws, aor }) {
  return new Promise((resolve) => {
    const events = [];
    let answered = false;
    const ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(ws)], uri: aor, register: false, session_timers: false,
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

async function registerSipjs({ ws, aor }) {
  const events = [];
  const ua = new SIP.UserAgent({
    uri: SIP.UserAgent.makeURI(aor), transportOptions: { server: ws }, logLevel: 'error',
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

async function openPage(browser) {
  const server = http.createServer((request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>phone</title>');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  if (process.env.DEBUG_SIP) page.on('console', (message) => console.error(message.text()));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.addScriptTag({ content: fs.readFileSync(new URL(BUNDLE, import.meta.url), 'utf8') });
  return page;
}

const startedAt = Date.now();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-proxy-server',
    '--ignore-certificate-errors',
    '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',    // nothing leaves this machine
  ],
});
let events = [];
try {
  const page = await openPage(browser);
  await page.exposeFunction('answer', async (challenges) => {
    try {
      return await tokenFor(challenges);
    } catch (error) {
      console.error(`token: ${error.message}`);
      return undefined;
    }
  });
  events = await Promise.race([
    page.evaluate(LIB === 'jssip' ? registerJssip : registerSipjs, { ws: settings.ws, aor: settings.aor }),
    new Promise((resolve) => { setTimeout(resolve, settings.timeout, [{ error: 'no answer in time' }]); }),
  ]);
} catch (error) {
  events.push({ error: error.message });
} finally {
  await browser.close();
}
report(`${LIB} in Chromium ${browser.version()}`, events, startedAt);
