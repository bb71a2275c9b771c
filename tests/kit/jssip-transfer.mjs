// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Three JsSIP phones in a real browser (headless Chromium), each with its token in every request: the first calls the
// second, and refers it to the third. What the phones see comes as one line of JSON for each event.
//
//   WS=ws://127.0.0.1:5070   AORS="sip:alice@… sip:bob@… sip:carol@…"
//   REQUIRE=explicitsub    the REFER requires it, and the first subscribes to what its answer names
//
// The tokens come on one line of standard input, after the line "ready": a browser may take long to start, and tokens
// do not last. A second line ends all.

import { play } from './browser.mjs';

// Runs inside the page.
async function transfer({ ws, aors, tokens, require }) {
  const name = (uri) => /:([^@]+)@/.exec(String(uri))[1];
  const say = (who, event, details) => window.say(JSON.stringify({ who, event, ...details }));
  const once = (source, event) => new Promise((resolve) => { source.once(event, resolve); });
  const options = { mediaConstraints: { audio: true, video: false } };
  const phones = [];
  for (const i of [0, 1, 2]) {
    const phone = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(ws)], uri: aors[i], session_timers: false,
      authorization_jwt: `Bearer ${tokens[i]}`,
    });
    phone.start();
    const refused = once(phone, 'registrationFailed').then(({ cause }) => { throw new Error(`not registered: ${cause}`); });
    await Promise.race([once(phone, 'registered'), refused]);
    phones.push(phone);
  }
  const [alice, bob, carol] = phones;

  carol.on('newRTCSession', ({ session }) => {
    say('carol', 'called', { by: name(session.remote_identity.uri) });
    session.on('confirmed', () => say('carol', 'confirmed'));
    session.answer(options);
  });
  bob.on('newRTCSession', ({ originator, session }) => {
    if (originator !== 'remote') return;
    session.on('refer', ({ request, accept }) => {
      say('bob', 'refer', { to: name(request.refer_to.uri) });
      accept((call) => call.on('confirmed', () => say('bob', 'confirmed')), options);
    });
    session.answer(options);
  });

  const call = alice.call(aors[1], options);
  const failed = once(call, 'failed').then(({ cause, message }) => {
    throw new Error(`the call failed: ${cause} ${message?.status_code}`);
  });
  await Promise.race([once(call, 'confirmed'), failed]);
  const extraHeaders = require ? [`Require: ${require}`] : [];
  const refer = call.refer(aors[2], { extraHeaders });
  for (const event of ['trying', 'progress', 'accepted', 'failed']) {
    refer.on(event, ({ status_line: line }) => say('alice', 'notify', { status: line.status_code, event_is: event }));
  }
  const [{ response, cause }] = await Promise.race([
    once(refer, 'requestSucceeded').then((e) => [e]), once(refer, 'requestFailed').then((e) => [e]),
  ]);
  const at = response?.getHeader('Refer-Events-At');
  say('alice', 'answered', { status: response?.status_code, phrase: response?.reason_phrase, cause, at });
  if (!at) return;
  const events = alice.subscribe(/<([^>]+)>/.exec(at)[1], 'refer', 'message/sipfrag', { expires: 60 });
  events.on('notify', (final, request, body) => {
    say('alice', 'notify', { state: request.getHeader('Subscription-State'), body });
  });
  events.on('terminated', (code, reason) => say('alice', 'terminated', { code, reason }));
  events.subscribe();
}

await play('jssip', transfer, {
  ws: process.env.WS, aors: process.env.AORS.split(' '), require: process.env.REQUIRE,
}, { calls: true });
