// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Three SIP.js phones in a real browser (headless Chromium): the first calls the second, and refers it to the third. What
// the phones see comes as one line of JSON for each event.
//
//   WS=ws://127.0.0.1:5070   AORS="sip:alice@… sip:bob@… sip:carol@…"
//   REG_ID=1    they register with +sip.instance and reg-id, which is what a registrar gives GRUUs for
//
// The tokens come on one line of standard input, after the line "ready". A second line ends all.

import { play } from './browser.mjs';

// Runs inside the page.
async function transfer({ ws, aors, tokens, regId }) {
  const say = (who, event, details) => window.say(JSON.stringify({ who, event, ...details }));
  const options = (i) => ({
    extraHeaders: [`Authorization: Bearer ${tokens[i]}`],
    sessionDescriptionHandlerOptions: { constraints: { audio: true, video: false } },
  });
  const established = (session) => new Promise((resolve, reject) => {
    session.stateChange.addListener((state) => {
      if (state === 'Established') resolve();
      if (state === 'Terminated') reject(new Error('a call ended'));
    });
  });
  const delegates = [{}, {
    onInvite(invitation) {
      invitation.delegate = {
        onRefer(referral) {
          say('bob', 'refer', { to: referral.referTo.uri.user });
          referral.accept();
          const call = referral.makeInviter(options(1));
          established(call).then(() => say('bob', 'confirmed'));
          call.invite();
        },
      };
      invitation.accept(options(1));
    },
  }, {
    onInvite(invitation) {
      say('carol', 'called', { by: invitation.remoteIdentity.uri.user });
      established(invitation).then(() => say('carol', 'confirmed'));
      invitation.accept(options(2));
    },
  }];
  const phones = [];
  for (const i of [0, 1, 2]) {
    const ua = new SIP.UserAgent({
      uri: SIP.UserAgent.makeURI(aors[i]), transportOptions: { server: ws }, logLevel: 'error', delegate: delegates[i],
    });
    await ua.start();
    const { extraHeaders } = options(i);
    await new Promise((resolve, reject) => {
      new SIP.Registerer(ua, { extraHeaders, ...(regId && { regId }) }).register({
        requestDelegate: {
          onAccept: resolve,
          onReject: ({ message }) => reject(new Error(`not registered: ${message.statusCode}`)),
        },
      });
    });
    phones.push(ua);
  }

  const call = new SIP.Inviter(phones[0], SIP.UserAgent.makeURI(aors[1]), options(0));
  const confirmed = established(call);
  await call.invite();
  await confirmed;
  const answered = ({ message }) => {
    say('alice', 'answered', { status: message.statusCode, phrase: message.reasonPhrase });
  };
  await call.refer(SIP.UserAgent.makeURI(aors[2]), {
    requestDelegate: { onAccept: answered, onRedirect: answered, onReject: answered },
    requestOptions: { extraHeaders: options(0).extraHeaders },
    onNotify(notification) {
      const { request } = notification;
      const status = Number(/^SIP\/2\.0 (\d{3})/.exec(request.body)[1]);
      const end = status < 300 ? 'accepted' : 'failed';
      say('alice', 'notify', {
        status, event_is: status < 200 ? 'progress' : end, state: request.getHeader('Subscription-State'),
      });
      notification.accept();
    },
  });
}

await play('sipjs', transfer, {
  ws: process.env.WS, aors: process.env.AORS.split(' '), regId: Number(process.env.REG_ID ?? 0),
}, { calls: true });
