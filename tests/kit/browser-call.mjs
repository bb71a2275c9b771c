// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Two JsSIP phones in a real browser (headless Chromium): each sends its token in REGISTER and in nothing else. The
// first calls the second, hangs up, waits, and calls again.
//
//   WS=ws://127.0.0.1:5070   AORS="sip:alice@… sip:bob@…"   PAUSE_MS=12000
//
// The two tokens come on one line of standard input, after the line "ready": a browser may take long to start, and
// tokens do not last.

import readline from 'node:readline';
import { once } from 'node:events';
import { CALLS, launch, openPage } from './browser.mjs';

const aors = process.env.AORS.split(' ');

// Runs inside the page.
async function talk({ ws, aors, tokens, pause }) {
  const events = [];
  const name = (i) => /:([^@]+)@/.exec(aors[i])[1];
  const once = (source, event) => new Promise((resolve) => { source.once(event, resolve); });
  const started = Date.now();
  const phones = [];
  for (const i of [0, 1]) {
    const phone = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(ws)], uri: aors[i], register: false, session_timers: false,
    });
    phone.registrator().setExtraHeaders([`Authorization: Bearer ${tokens[i]}`]);
    phone.start();
    await once(phone, 'connected');
    const refused = once(phone, 'registrationFailed').then(({ cause, response }) => {
      throw new Error(`${name(i)} is not registered: ${cause} ${response?.status_code}`);
    });
    phone.register();
    await Promise.race([once(phone, 'registered'), refused]);
    events.push(`${name(i)} registered`);
    phones.push(phone);
  }
  const [caller, callee] = phones;
  const options = { mediaConstraints: { audio: true, video: false } };
  const called = once(callee, 'newRTCSession');
  const call = caller.call(aors[1], options);
  const confirmed = once(call, 'confirmed');
  const failed = once(call, 'failed').then(({ cause, message }) => {
    throw new Error(`the call failed: ${cause} ${message?.status_code}`);
  });
  const { session } = await Promise.race([called, failed]);
  events.push(`${name(1)} is called`);
  const acknowledged = once(session, 'confirmed');
  const ended = once(session, 'ended');
  session.answer(options);
  await Promise.race([confirmed, failed]);
  events.push(`${name(0)} confirmed`);
  await acknowledged;
  events.push(`${name(1)} confirmed`);
  call.terminate();
  await ended;
  events.push(`${name(1)} hung up on`);
  await new Promise((resolve) => { setTimeout(resolve, started + pause - Date.now()); });
  const late = caller.call(aors[1], options);
  const { message } = await once(late, 'failed');
  events.push(`${name(0)} failed ${message?.status_code}`);
  return events;
}

const browser = await launch(CALLS);
let events = [];
try {
  const page = await openPage(browser, 'jssip');
  await page.context().grantPermissions(['microphone']);
  console.log('ready');
  const [line] = await once(readline.createInterface({ input: process.stdin }), 'line');
  const tokens = line.split(' ');
  events = await Promise.race([
    page.evaluate(talk, { ws: process.env.WS, aors, tokens, pause: Number(process.env.PAUSE_MS) }),
    new Promise((resolve) => { setTimeout(resolve, 120000, ['no end in time']); }),
  ]);
} catch (error) {
  events.push(error.message);
} finally {
  await browser.close();
}
console.log(JSON.stringify({ client: 'jssip in Chromium', events }));
process.exit(0);
