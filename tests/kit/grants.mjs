// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Grants that the provider does not have by itself. Each finds out who the user is; the tokens are then those of an
// authorization code that this user got.
//
//   password         RFC 6749 section 4.3: username, password
//   token-exchange   RFC 8693: subject_token, a JWT (ES256) that the proxy signed; audience or resource
//   urn:example:sip-token   draft-yusef-sipcore-sip-oauth-01 section 5.2: username, access_token

import fs from 'node:fs';
import { createLocalJWKSet, importSPKI, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';
import { accountOf, hasAccount, passwordOf } from './accounts.mjs';
import { REDIRECT, SCOPE, newCode } from './codes.mjs';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const OUTSIDE_TOKEN = 'urn:example:sip-token';
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt';
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

/** The grant types for clients that may use them. */
export const GRANT_TYPES = ['password', TOKEN_EXCHANGE, OUTSIDE_TOKEN];

function need(params, ...names) {
  const missing = names.filter((name) => !params[name]);
  if (missing.length) throw new errors.InvalidRequest(`missing required parameter(s) ${missing.join(', ')}`);
}

function scopeWithin(asked, granted) {
  if (!asked.split(' ').every((one) => granted.split(' ').includes(one))) throw new errors.InvalidScope('not granted', asked);
  return asked;
}

/** A PEM public key or a JWK Set; read each time, so that it may change. */
async function subjectKey(file) {
  if (!file) throw new errors.InvalidRequest('SUBJECT_KEYS_FILE is not set');
  const text = fs.readFileSync(file, 'utf8');
  return text.trimStart().startsWith('{') ? createLocalJWKSet(JSON.parse(text)) : importSPKI(text, 'ES256');
}

/** `exchangeCode` is the provider's own handler of authorization codes. */
export function registerGrants(provider, { exchangeCode, outsideTokens, subjectKeysFile, subjectIssuer }) {
  async function answer(ctx, user, { scope = SCOPE, resource }) {
    const code = await newCode(provider, ctx.oidc.client, user, { scope, ...(resource && { resource }) });
    Object.assign(ctx.oidc.params, { code, redirect_uri: REDIRECT, scope: undefined, resource: undefined });
    await exchangeCode(ctx);
  }

  const register = (name, handler, params) => provider.registerGrantType(name, handler, [...params, 'scope', 'resource']);

  register('password', async (ctx) => {
    const { params } = ctx.oidc;
    need(params, 'username', 'password');
    const user = accountOf(params.username);
    if (params.password !== passwordOf(user)) throw new errors.InvalidGrant('invalid resource owner credentials');
    await answer(ctx, user, params);
  }, ['username', 'password']);

  register(TOKEN_EXCHANGE, async (ctx) => {
    const { params } = ctx.oidc;
    need(params, 'subject_token', 'subject_token_type');
    const { requested_token_type: wanted = ACCESS_TOKEN_TYPE } = params;
    if (params.subject_token_type !== JWT_TYPE || wanted !== ACCESS_TOKEN_TYPE) throw new errors.InvalidRequest('no such token type here');
    const key = await subjectKey(subjectKeysFile);
    const user = await jwtVerify(params.subject_token, key, {
      algorithms: ['ES256'],
      audience: [provider.issuer, `${provider.issuer}/token`],
      requiredClaims: ['iss', 'exp', 'sub'],
      ...(subjectIssuer && { issuer: subjectIssuer }),
    }).then(({ payload }) => payload.sub, (error) => { throw new errors.InvalidGrant(`subject_token: ${error.message}`); });
    if (!hasAccount(user)) throw new errors.InvalidGrant('subject_token: no such user');
    await answer(ctx, user, { ...params, resource: params.resource ?? params.audience });
    ctx.body = { ...ctx.body, issued_token_type: ACCESS_TOKEN_TYPE };
  }, ['subject_token', 'subject_token_type', 'requested_token_type', 'audience']);

  register(OUTSIDE_TOKEN, async (ctx) => {
    const { params } = ctx.oidc;
    need(params, 'username', 'access_token');
    const user = accountOf(params.username);
    const found = outsideTokens.find(params.access_token);
    if (found?.sub !== user) throw new errors.InvalidGrant('the token is not good for this user');
    await answer(ctx, user, { ...params, scope: scopeWithin(params.scope ?? found.scope, found.scope) });
    // The draft's members, and its name for the lifetime.
    const { access_token, token_type, expires_in: expires, refresh_token, scope } = ctx.body;
    ctx.body = { access_token, token_type, expires, refresh_token, scope };
  }, ['username', 'access_token']);
}
