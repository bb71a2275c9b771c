// SPDX-License-Identifier: MIT OR Apache-2.0
//
// SIP.js in a real browser (headless Chromium) sends a REFER with explicitsub outside any dialog, and subscribes to the
// events that its answer names. What it sees comes as one line of JSON for each event. SIP.js has no function for such a
// REFER, so its core sends it.
//
//   WS=ws://127.0.0.1:5070   AOR=sip:alice@…   REFER_TO=sip:carol@…
//
// The token comes on one line of standard input, after the line "ready". A second line ends all.

import { play } from './browser.mjs';

// Runs inside the page.
async function refer({ ws, aor, referTo, tokens: [token] }) {
  const say = (event, details) => window.say(JSON.stringify({ who: 'alice', event, ...details }));
  const withToken = [`Authorization: Bearer ${token}`];
  const ua = new SIP.UserAgent({
    uri: SIP.UserAgent.makeURI(aor), transportOptions: { server: ws }, logLevel: 'error',
  });
  await ua.start();
  await new Promise((resolve, reject) => {
    new SIP.Registerer(ua, { extraHeaders: withToken }).register({
      requestDelegate: {
        onAccept: resolve,
        onReject: ({ message }) => reject(new Error(`not registered: ${message.statusCode}`)),
      },
    });
  });
  const target = SIP.UserAgent.makeURI(referTo);
  const request = ua.userAgentCore.makeOutgoingRequestMessage('REFER', target, ua.configuration.uri, target, {}, [
    ...withToken, 'Require: explicitsub', `Refer-To: <${referTo}>`, `Contact: ${ua.contact}`,
  ]);
  const message = await new Promise((resolve) => {
    const answered = (answer) => resolve(answer.message);
    ua.userAgentCore.request(request, { onAccept: answered, onRedirect: answered, onReject: answered });
  });
  const at = message.getHeader('Refer-Events-At');
  say('answered', { status: message.statusCode, phrase: message.reasonPhrase, at });
  if (!at) return;
  const events = new SIP.Subscriber(ua, SIP.UserAgent.makeURI(/<([^>]+)>/.exec(at)[1]), 'refer', {
    expires: 60, extraHeaders: withToken,
  });
  events.delegate = {
    onNotify(notification) {
      const { request: notify } = notification;
      say('notify', { state: notify.getHeader('Subscription-State'), body: notify.body });
      notification.accept();
    },
  };
  events.stateChange.addListener((state) => { if (state === 'Terminated') say('terminated'); });
  await events.subscribe();
}

await play('sipjs', refer, { ws: process.env.WS, aor: process.env.AOR, referTo: process.env.REFER_TO });
