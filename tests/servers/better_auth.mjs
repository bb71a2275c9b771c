// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Better Auth as an authorization server, in memory; better_auth.py starts it in the folder of its packages.
//
//   node better_auth.mjs PORT LIFETIME CLIENT SECRET PHONE REDIRECT
import crypto from 'node:crypto';
import http from 'node:http';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';
import { oauthProvider } from '@better-auth/oauth-provider';

const [port, lifetime, client, secret, phone, redirect] = process.argv.slice(2);
const base = `http://127.0.0.1:${port}`;
const tables = ['user', 'session', 'account', 'verification', 'jwks', 'oauthClient', 'oauthAccessToken', 'oauthRefreshToken',
  'oauthConsent', 'oauthResource', 'oauthClientResource', 'oauthClientAssertion'];
const auth = betterAuth({
  baseURL: base,
  secret: 'of a server that lives for a minute, and not longer',
  database: memoryAdapter(Object.fromEntries(tables.map((name) => [name, []]))),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  rateLimit: { enabled: false },
  disabledPaths: ['/token'],
  plugins: [
    jwt(),
    oauthProvider({
      loginPage: '/sign-in',
      consentPage: '/consent',
      scopes: ['openid', 'profile', 'email', 'offline_access', 'sip'],
      accessTokenExpiresIn: Number(lifetime),
      enforcePerClientResources: false,
      resources: [{ identifier: 'https://sip.example.com', name: 'SIP', accessTokenTtl: Number(lifetime) }],
      customAccessTokenClaims: ({ user }) => ({ email: user?.email, email_verified: true }),
      customIdTokenClaims: ({ user }) => ({ email: user?.email, email_verified: true }),
    }),
  ],
});

// What an administrator's page would write.
const { adapter } = await auth.$context;
const now = new Date();
for (const [clientId, tokenEndpointAuthMethod] of [[client, 'client_secret_basic'], [phone, 'none']]) {
  const open = tokenEndpointAuthMethod === 'none';
  const data = {
    clientId, tokenEndpointAuthMethod, skipConsent: true, disabled: false, public: open, type: open ? 'native' : 'web',
    scopes: ['openid', 'profile', 'email', 'offline_access', 'sip'], redirectUris: [redirect],
    grantTypes: ['authorization_code', 'refresh_token'], responseTypes: ['code'], createdAt: now, updatedAt: now,
    ...(!open && { clientSecret: crypto.createHash('sha256').update(secret).digest('base64url') }),
  };
  await adapter.create({ model: 'oauthClient', data });
}
const pages = toNodeHandler(auth);
http.createServer(async (request, response) => {
  if (request.url !== '/end') return pages(request, response);
  // What an administrator does: the tokens of all users are deleted.
  for (const model of ['oauthRefreshToken', 'oauthAccessToken']) await adapter.deleteMany({ model, where: [] });
  response.end();
}).listen(Number(port), '127.0.0.1');
