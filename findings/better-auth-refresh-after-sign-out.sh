#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Better Auth 1.7.5 with @better-auth/oauth-provider 1.7.5: once the user has signed out in the browser, a refresh token with
# the scope offline_access is accepted as ever, with status 200 and expires_in 3600. Introspection (RFC 7662) calls the
# opaque access token that it gives inactive from its first moment. So a client that refreshes on a refusal does so forever.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{ "type": "module" }' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts better-auth@1.7.5 @better-auth/oauth-provider@1.7.5 \
  @better-auth/core@1.7.5 @better-auth/utils@0.4.2 better-call@1.4.0
cat > server.mjs << 'JS'
import crypto from 'node:crypto';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { jwt } from 'better-auth/plugins';
import { oauthProvider } from '@better-auth/oauth-provider';
const base = 'http://127.0.0.1:9', redirect = 'http://127.0.0.1/cb', scopes = ['openid', 'offline_access'];
const tables = ['user', 'session', 'account', 'verification', 'jwks', 'oauthClient', 'oauthAccessToken', 'oauthRefreshToken',
  'oauthConsent', 'oauthResource', 'oauthClientResource', 'oauthClientAssertion'];
const auth = betterAuth({
  baseURL: base, secret: 'a secret of thirty-two octets or more', telemetry: { enabled: false }, disabledPaths: ['/token'],
  database: memoryAdapter(Object.fromEntries(tables.map((name) => [name, []]))), emailAndPassword: { enabled: true },
  plugins: [jwt(), oauthProvider({ loginPage: '/in', consentPage: '/ok', scopes, silenceWarnings: { oauthAuthServerConfig: true } })],
});
const hash = (text) => crypto.createHash('sha256').update(text).digest('base64url');
await (await auth.$context).adapter.create({ model: 'oauthClient', data: {
  clientId: 'app', clientSecret: hash('secret'), tokenEndpointAuthMethod: 'client_secret_basic', skipConsent: true, scopes,
  redirectUris: [redirect], grantTypes: ['authorization_code', 'refresh_token'], responseTypes: ['code'], createdAt: new Date() } });
let cookie = '';
const send = async (path, init) => {
  const answer = await auth.handler(new Request(`${base}/api/auth${path}`, { redirect: 'manual', ...init }));
  cookie ||= answer.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ');
  return answer;
};
const json = (path, body) => send(path, { method: 'POST', body: JSON.stringify(body),
  headers: { 'content-type': 'application/json', origin: base, cookie } });
const form = async (path, fields) => (await send(`/oauth2${path}`, { method: 'POST', body: new URLSearchParams(fields),
  headers: { authorization: `Basic ${btoa('app:secret')}` } })).json();
await json('/sign-up/email', { email: 'alice@example.test', password: 'a long password', name: 'Alice' });
const code_verifier = 'v'.repeat(43);
const query = new URLSearchParams({ client_id: 'app', response_type: 'code', redirect_uri: redirect, scope: scopes.join(' '),
  state: 's', code_challenge: hash(code_verifier), code_challenge_method: 'S256' });
const location = (await send(`/oauth2/authorize?${query}`, { headers: { cookie } })).headers.get('location');
const code = new URL(location).searchParams.get('code');
let tokens = await form('/token', { grant_type: 'authorization_code', code, code_verifier, redirect_uri: redirect });
const active = async () => (await form('/introspect', { token: tokens.access_token })).active;
console.log('signed in: active', await active());
await json('/sign-out', {});
tokens = await form('/token', { grant_type: 'refresh_token', refresh_token: tokens.refresh_token });
console.log('refreshed after sign-out: expires_in', tokens.expires_in, 'active', await active());
JS
node server.mjs 2> log | tee seen
printf 'signed in: active true\nrefreshed after sign-out: expires_in 3600 active false\n' | diff seen -
