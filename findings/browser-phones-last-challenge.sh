#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# JsSIP 3.13.8 and SIP.js 0.21.2: of a 401 with two WWW-Authenticate header fields (RFC 3261 section 20.44 allows it, RFC 8898
# section 2.1.1 has the phone choose among them) they show the application the last one only, by every function. So a page
# that looks for a Bearer challenge does not find it when a Digest one follows, and a phone with a password gives up when a
# Bearer one follows.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{ "type": "module" }' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts jssip@3.13.8 sip.js@0.21.2 ws@8.23.0
cat > phones.mjs << 'JS'
import { once } from 'node:events';
import WebSocket, { WebSocketServer } from 'ws';
globalThis.WebSocket = WebSocket;
const JsSIP = (await import('jssip')).default;
const { Core } = await import('sip.js');
const challenges = ['Bearer realm="example.test", authz_server="https://as.example.test"',
  'Digest realm="example.test", nonce="n", algorithm=MD5'];
const answer = (request, order) => ['SIP/2.0 401 Unauthorized',
  ...request.split('\r\n').filter((line) => /^(via|from|call-id|cseq):/i.test(line)),
  request.split('\r\n').find((line) => /^to:/i.test(line)) + ';tag=t',
  ...order.map((challenge) => `WWW-Authenticate: ${challenge}`), 'Content-Length: 0', '', ''].join('\r\n');
const scheme = (challenge) => challenge.split(' ')[0];
let order;
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'sip' });
server.on('connection', (socket) => socket.on('message', (data) => {
  if (String(data).startsWith('REGISTER')) socket.send(answer(String(data), order));
}));
await once(server, 'listening');
for (order of [challenges, [...challenges].reverse()]) {
  const ua = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(`ws://127.0.0.1:${server.address().port}`)],
    uri: 'sip:alice@example.test', register: false });
  ua.on('connected', () => ua.register());
  ua.start();
  const { response } = await new Promise((resolve) => ua.on('registrationFailed', resolve));
  console.log('sent', order.map(scheme).join(', '), '- JsSIP shows', response.getHeaders('WWW-Authenticate').map(scheme).join(', '));
  ua.stop();
  const request = 'REGISTER sip:example.test SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bKa\r\nFrom: <sip:a@example.test>;tag=a\r\n' +
    'To: <sip:a@example.test>\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\n\r\n';
  const parsed = Core.Parser.parseMessage(answer(request, order), new Core.LoggerFactory().getLogger('parser'));
  console.log('sent', order.map(scheme).join(', '), '- SIP.js shows', parsed.getHeaders('www-authenticate').map(scheme).join(', '));
}
process.exit();
JS
node phones.mjs > seen 2> log || { cat log; exit 1; }
cat seen
diff - seen << END
sent Bearer, Digest - JsSIP shows Digest
sent Bearer, Digest - SIP.js shows Digest
sent Digest, Bearer - JsSIP shows Bearer
sent Digest, Bearer - SIP.js shows Bearer
END
