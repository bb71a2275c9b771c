// SPDX-License-Identifier: MIT OR Apache-2.0
//
// JsSIP in node sends a REFER with explicitsub outside any dialog, and subscribes to the events that its answer names.
// What it sees comes as one line of JSON for each event. JsSIP has no function for such a REFER, so its own classes for
// requests send it.
//
//   WS=ws://127.0.0.1:5070   AOR=sip:alice@…   REFER_TO=sip:carol@…
//
// The token comes on one line of standard input, after the line "ready". A second line ends all.

import readline from 'node:readline';
import JsSIP from 'jssip';
import RequestSender from 'jssip/lib/RequestSender.js';
import SIPMessage from 'jssip/lib/SIPMessage.js';
import WebSocket from 'ws';

// JsSIP expects the browser's constructor.
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocol) { super(url, protocol, { origin: 'http://127.0.0.1' }); }
};

const say = (event, details) => console.log(JSON.stringify({ who: 'alice', event, ...details }));
const once = (source, event) => new Promise((resolve) => { source.once(event, resolve); });

async function refer(token) {
  const ua = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(process.env.WS)], uri: process.env.AOR, session_timers: false,
    authorization_jwt: `Bearer ${token}`,
  });
  ua.start();
  const refused = once(ua, 'registrationFailed').then(({ cause }) => { throw new Error(`not registered: ${cause}`); });
  await Promise.race([once(ua, 'registered'), refused]);
  const target = ua.normalizeTarget(process.env.REFER_TO);
  const request = new SIPMessage.OutgoingRequest('REFER', target, ua, {}, [
    'Require: explicitsub', `Refer-To: <${target}>`, `Contact: ${ua.contact}`,
  ]);
  const response = await new Promise((resolve, reject) => {
    new RequestSender(ua, request, {
      onReceiveResponse: (answer) => { if (answer.status_code >= 200) resolve(answer); },
      onRequestTimeout: () => reject(new Error('no answer')),
      onTransportError: () => reject(new Error('no connection')),
      onAuthenticated: () => {},
    }).send();
  });
  const at = response.getHeader('Refer-Events-At');
  say('answered', { status: response.status_code, phrase: response.reason_phrase, at });
  if (!at) return;
  const events = ua.subscribe(/<([^>]+)>/.exec(at)[1], 'refer', 'message/sipfrag', { expires: 60 });
  events.on('notify', (final, notify, body) => {
    say('notify', { state: notify.getHeader('Subscription-State'), body });
  });
  events.on('terminated', (code, reason) => say('terminated', { code, reason }));
  events.subscribe();
}

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
try {
  console.log('ready');
  const { value: token } = await lines.next();
  await refer(token);
  await lines.next();
} catch (error) {
  console.log(JSON.stringify({ who: 'kit', event: 'error', message: error.message }));
}
process.exit(0);
