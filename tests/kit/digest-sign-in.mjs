// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The sign-in of draft-yusef-sipcore-sip-oauth-01 section 3.4: a phone asks for an authorization code with HTTP Digest
// (RFC 7616), and the exchange of that code gives the master-key beside the tokens (section 3.5).
//
//   GET /sip/authorize?response_type=code&user_id=sip:alice@example.test[&client_id=…&redirect_uri=…&scope=…&resource=…&state=…&code_challenge=…]
//   [&algorithm=SHA-256]   which Digest is asked for; MD5 without it

import crypto from 'node:crypto';
import { DOMAIN, hasAccount, passwordOf, userOf } from './accounts.mjs';
import { REDIRECT, newCode } from './codes.mjs';

const PATH = '/sip/authorize';
const NONCE_MS = 60_000;
const ALGORITHMS = { MD5: 'md5', 'SHA-256': 'sha256' };

/** How the exchange hands over the master-key; all but the first are wrong or old in their own way. */
const FORMS = {
  base64url: (answer, key) => ({ ...answer, 'master-key': key.toString('base64url') }),
  underscore: (answer, key) => ({ ...answer, master_key: key.toString('base64url') }),
  hex: (answer, key) => ({ ...answer, 'master-key': key.toString('hex') }),
  absent: (answer) => answer,
  garbage: (answer) => ({ ...answer, 'master-key': 'too-short' }),
  // The letter of section 3.5: these members and no others.
  draft: ({ id_token, refresh_token, expires_in }, key) => ({
    id_token, token_refresh: refresh_token, 'master-key': key.toString('base64url'), expires_in,
  }),
};

/** The parameters of `Digest a="x", b=y`; undefined for another scheme. */
function credentials(header = '') {
  const [, list] = /^Digest\s+(.*)$/is.exec(header) ?? [];
  if (list === undefined) return undefined;
  const pairs = list.matchAll(/([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/g);
  return Object.fromEntries(Array.from(pairs, ([, name, quoted, token]) => [name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? token]));
}

function equal(a, b = '') {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && crypto.timingSafeEqual(one, other);
}

/** Outlives the provider, which is built anew when its keys change. */
export class DigestSignIn {
  #nonces = new Map();
  #masterKeys = new Map();
  #form = 'base64url';

  /** Selects one of FORMS. */
  set form(name) {
    if (!Object.hasOwn(FORMS, name)) throw new Error(`form is one of ${Object.keys(FORMS).join(', ')}`);
    this.#form = name;
  }

  clear() { this.#form = 'base64url'; }

  /** Answers at PATH, and completes what the token endpoint answers to codes that were given out there. */
  middleware(provider) {
    return async (ctx, next) => {
      if (ctx.path === PATH && ctx.method === 'GET') return this.#authorize(provider, ctx);
      await next();
      const key = this.#masterKeys.get(ctx.oidc?.entities?.AuthorizationCode?.jti);
      if (key && ctx.status === 200) ctx.body = FORMS[this.#form](ctx.body, key);
      return undefined;
    };
  }

  async #authorize(provider, ctx) {
    const { query } = ctx;
    const algorithm = query.algorithm ?? 'MD5';
    const client = await provider.Client.find(query.client_id ?? 'sip-proxy');
    const redirectUri = query.redirect_uri ?? REDIRECT;
    const complete = query.response_type === 'code' && typeof query.user_id === 'string' && query.user_id !== '';
    if (!complete || !ALGORITHMS[algorithm] || !client?.redirectUriAllowed(redirectUri)) {
      ctx.status = 400;
      ctx.body = { error: 'invalid_request' };
      return;
    }
    const given = credentials(ctx.get('authorization'));
    if (!given) { this.#challenge(ctx, algorithm); return; }
    const { key, stale } = this.#verify(ctx, given, algorithm, query.user_id);
    if (!key) { this.#challenge(ctx, algorithm, stale); return; }

    const { scope, resource, code_challenge: codeChallenge } = query;
    const code = await newCode(provider, client, given.username, { ...(scope && { scope }), ...(resource && { resource }), redirectUri, codeChallenge });
    this.#masterKeys.set(code, key);
    const location = new URL(redirectUri);
    location.searchParams.set('code', code);
    if (query.state) location.searchParams.set('state', query.state);
    ctx.status = 302;
    ctx.set('Location', location.href);
    ctx.set('Cache-Control', 'no-store');
    ctx.body = new URLSearchParams({ grant_type: 'authorization_code', code }).toString();
    ctx.type = 'application/x-www-form-urlencoded';
  }

  #challenge(ctx, algorithm, stale = false) {
    const nonce = crypto.randomBytes(18).toString('base64url');
    this.#nonces.set(nonce, { until: Date.now() + NONCE_MS, count: 0 });
    ctx.status = 401;
    ctx.set('WWW-Authenticate', `Digest realm="${DOMAIN}", nonce="${nonce}", qop="auth", algorithm=${algorithm}${stale ? ', stale=true' : ''}`);
    ctx.body = { error: 'login_required' };
  }

  /** The master-key, when everything is right; `stale` when only the nonce is not. */
  #verify(ctx, given, algorithm, userId) {
    const hash = (text) => crypto.createHash(ALGORITHMS[algorithm]).update(text).digest('hex');
    const { username = '', nonce = '', nc = '', cnonce = '' } = given;
    const ha1 = hash(`${username}:${DOMAIN}:${passwordOf(username)}`);
    const uri = ctx.req.originalUrl ?? ctx.url;     // the former where the issuer has a path
    const ha2 = hash(`GET:${uri}`);
    const right = [
      equal(hash(`${ha1}:${nonce}:${nc}:${cnonce}:auth:${ha2}`), given.response),
      given.realm === DOMAIN,
      given.uri === uri,
      given.qop === 'auth',
      (given.algorithm ?? 'MD5') === algorithm,
      cnonce !== '',
      hasAccount(username) && username === userOf(userId),
    ].every(Boolean);
    if (!right) return {};
    const known = this.#nonces.get(nonce);
    const count = Number.parseInt(nc, 16);
    if (!known || known.until < Date.now() || !(count > known.count)) return { stale: true };
    known.count = count;
    return { key: crypto.createHmac('sha256', ha1).update(DOMAIN + nonce).digest() };
  }
}
