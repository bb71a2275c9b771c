// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A real, certified OpenID provider on loopback with a control port for tests.
// Prints "CONTROL <url>" and then "READY <issuer>". Ends when its standard
// input closes (EXIT_WITH_STDIN=1), so it cannot outlive the test that made it.
//
//   PORT=9400            0 or absent: any free port
//   CONTROL_PORT=0       the control port speaks plain HTTP, also when the issuer has TLS
//   ISSUER_PATH=/realms/sip   an issuer with a path
//   TLS_CERT, TLS_KEY    PEM files; the issuer is then https
//   CLIENT_CA_FILE       the authority of client certificates (sip-proxy-tls)
//   CLIENT_CERT_FILE     the certificate of the client sip-proxy-self-signed, which exists only with it
//   KEYS_FILE            keeps the signing keys over a restart
//   CLIENT_KEY_FILE      gets the private key of the client sip-proxy-jwt, and keeps it over a restart
//   RECIPIENT_KEYS       a folder with rsa.pub and ec.pub (PEM): adds resources whose tokens are encrypted
//   SUBJECT_KEYS_FILE    the public key (PEM or JWK Set) of the proxy's own tokens, for token exchange (grants.mjs)
//   SUBJECT_ISSUER       their issuer; any when absent
//   ACCESS_TOKEN_TTL=300
//   PAGE_LOGOUT_URI      where the client sip-page is told of logouts (OpenID Connect Back-Channel Logout 1.0)
//
// Besides the provider's own endpoints: GET /sip/authorize (digest-sign-in.mjs) and the grants of grants.mjs.
//
// Control port:
//   GET  /__test/token?sub=alice&resource=…&scope=…&ttl=…&client=…&claims={json}
//   GET  /__test/stats   POST /__test/clear
//        requests per path, and what reached the token endpoint by grant_type and error:
//        "/token refresh_token", "/token refresh_token invalid_grant"
//   POST /__test/fault?path=/jwks&status=503&times=3   (see faults.mjs)
//   POST /__test/rotate?keep=1
//   POST /__test/revoke?token=…
//   POST /__test/master-key?form=base64url|underscore|hex|absent|garbage|draft   (see digest-sign-in.mjs)
//   GET  /__test/outside?sub=alice&scope=…&ttl=…&form=opaque|jwt   a token from elsewhere (outside-tokens.mjs)
//   POST /__test/revoke-outside?token=…

import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { once } from 'node:events';
import { DigestSignIn } from './digest-sign-in.mjs';
import { Faults } from './faults.mjs';
import { OutsideTokens } from './outside-tokens.mjs';
import { KeyRing, clientKey, encryptFor, issueToken, newProvider, revokeToken } from './provider.mjs';

const HOST = '127.0.0.1';
const { TLS_CERT, TLS_KEY, KEYS_FILE, CLIENT_KEY_FILE, ISSUER_PATH: path = '' } = process.env;
const { CLIENT_CA_FILE, CLIENT_CERT_FILE, RECIPIENT_KEYS, SUBJECT_KEYS_FILE, SUBJECT_ISSUER } = process.env;
const read = (file) => file && fs.readFileSync(file);
const ttl = Number(process.env.ACCESS_TOKEN_TTL ?? 300);

async function listen(server, port) {
  server.listen(Number(port ?? 0), HOST);
  await once(server, 'listening');
  return server.address().port;
}

const server = TLS_CERT
  ? https.createServer({
    cert: read(TLS_CERT), key: read(TLS_KEY), ca: read(CLIENT_CA_FILE), requestCert: true, rejectUnauthorized: false,
  })
  : http.createServer();
const issuer = `${TLS_CERT ? 'https' : 'http'}://${HOST}:${await listen(server, process.env.PORT)}${path}`;

const faults = new Faults();
const signIn = new DigestSignIn();
const outsideTokens = new OutsideTokens();
const grants = { outsideTokens, subjectKeysFile: SUBJECT_KEYS_FILE, subjectIssuer: SUBJECT_ISSUER };
const keyRing = new KeyRing(KEYS_FILE);
const keyPem = clientKey(CLIENT_KEY_FILE);
const certificatePem = read(CLIENT_CERT_FILE);
if (RECIPIENT_KEYS) encryptFor(RECIPIENT_KEYS);
let provider;
let answer;

function build() {
  const count = (name) => faults.count(name);
  provider = newProvider(issuer, { keyRing, ttl, keyPem, certificatePem, count, signIn, grants });
  answer = provider.callback();
}

const control = {
  stats: () => faults.stats,
  clear: () => { faults.clear(); faults.clearStats(); signIn.clear(); return {}; },
  fault: (query) => { faults.add(query); return {}; },
  rotate: ({ keep = 0 }) => { keyRing.rotate(Number(keep)); build(); return { kids: keyRing.kids }; },
  revoke: async ({ token }) => { await revokeToken(provider, token); return {}; },
  'master-key': ({ form }) => { signIn.form = form; return {}; },
  outside: (query) => ({ access_token: outsideTokens.issue(query) }),
  'revoke-outside': ({ token }) => { outsideTokens.revoke(token); return {}; },
  token: async ({ claims, ttl: seconds, ...query }) => ({
    access_token: await issueToken(provider, {
      ...query,
      ...(seconds && { ttl: Number(seconds) }),
      ...(claims && { claims: JSON.parse(claims) }),
    }),
  }),
};

async function answerControl(request, response) {
  const url = new URL(request.url, 'http://control');
  const verb = control[url.pathname.replace('/__test/', '')];
  let result = { error: `no ${url.pathname}` };
  response.statusCode = verb ? 200 : 404;
  try {
    if (verb) result = await verb(Object.fromEntries(url.searchParams));
  } catch (error) {
    response.statusCode = 400;
    result = { error: `${error.message} ${error.error_description ?? ''}`.trim() };
  }
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(result));
}

build();
server.on('request', async (request, response) => {
  const pathname = request.url.split('?')[0];
  if (pathname.startsWith('/__test/')) return answerControl(request, response);
  if (await faults.intercept(pathname, request, response)) return undefined;
  if (path && request.url.startsWith(`${path}/`)) {
    request.originalUrl = request.url;            // tells the provider where it is mounted
    request.url = request.url.slice(path.length);
  }
  return answer(request, response);
});
const controlPort = await listen(http.createServer(answerControl), process.env.CONTROL_PORT);

if (process.env.EXIT_WITH_STDIN) {
  process.stdin.resume().on('end', () => process.exit(0));
}
console.log(`CONTROL http://${HOST}:${controlPort}`);
console.log(`READY ${issuer}`);
