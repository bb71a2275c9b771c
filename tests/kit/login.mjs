// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Logs a user in at the authorization server as a phone's browser would: authorization
// code with PKCE, cookies, the login and the consent page. Prints the token response.
//
//   node login.mjs --issuer http://127.0.0.1:9400 [--user alice] [--resource URI] [--scope "openid sip"] [--client sip-ua] [--code-only]
//
// --code-only prints {code, code_verifier, redirect_uri} and leaves the exchange to others.

import crypto from 'node:crypto';
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const REDIRECT = 'http://127.0.0.1/cb';
const MAX_PAGES = 20;

class Cookies {
  #jar = new Map();

  keep(response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(';');
      const [name, value] = pair.split(/=(.*)/s);
      const expires = attributes.find((a) => /^\s*expires=/i.test(a))?.split('=')[1];
      if (value === '' || (expires && Date.parse(expires) < Date.now())) this.#jar.delete(name);
      else this.#jar.set(name, value);
    }
  }

  get header() { return [...this.#jar].map(([name, value]) => `${name}=${value}`).join('; '); }
}

const attribute = (tag, name) => new RegExp(`\\b${name}="?([^"\\s>]*)`, 'i').exec(tag)?.[1];

/** The fields a user would send from this page: the login form, or the consent button. */
function fillForm(page, user) {
  const form = /<form\b[^>]*>.*?<\/form>/is.exec(page)?.[0];
  if (!form) throw new Error(`a page without a form: ${page.slice(0, 300)}`);
  const fields = new URLSearchParams();
  for (const [input] of form.matchAll(/<input\b[^>]*>/gi)) {
    const name = attribute(input, 'name');
    const type = attribute(input, 'type') ?? 'text';
    if (!name) continue;
    if (type === 'password') fields.set(name, 'any password');
    else if (type === 'text') fields.set(name, user);
    else fields.set(name, attribute(input, 'value') ?? '');
  }
  return { action: attribute(form, 'action'), fields };
}

async function getJson(url, init) {
  const response = await fetch(url, init);
  const body = await response.json();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${body.error ?? ''} ${body.error_description ?? ''}`);
  return body;
}

/** Walks the pages and returns the authorization code. */
async function authorize(url, user) {
  const cookies = new Cookies();
  let body;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const response = await fetch(url, { method: body ? 'POST' : 'GET', body, redirect: 'manual', headers: { cookie: cookies.header, accept: 'text/html' } });
    cookies.keep(response);
    const location = response.headers.get('location');
    if (location) {
      await response.body?.cancel();
      url = new URL(location, url);
      body = undefined;
      if (url.href.startsWith(REDIRECT)) return url.searchParams;
    } else {
      const { action, fields } = fillForm(await response.text(), user);
      url = new URL(action, url);
      body = fields;
    }
  }
  throw new Error(`no end after ${MAX_PAGES} pages`);
}

export async function login({ issuer, user = 'alice', resource, scope = 'openid sip', client = 'sip-ua', codeOnly = false }) {
  const metadata = await getJson(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
  const verifier = crypto.randomBytes(32).toString('base64url');
  const state = crypto.randomBytes(12).toString('base64url');
  const url = new URL(metadata.authorization_endpoint);
  url.search = new URLSearchParams({
    client_id: client,
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope,
    state,
    code_challenge: crypto.createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...(resource && { resource }),
    ...(scope.includes('offline_access') && { prompt: 'consent' }),
  });

  const answer = await authorize(url, user);
  if (answer.get('state') !== state || !answer.get('code')) throw new Error(`login failed: ${answer}`);
  const exchange = { code: answer.get('code'), code_verifier: verifier, redirect_uri: REDIRECT };
  if (codeOnly) return exchange;
  return getJson(metadata.token_endpoint, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'authorization_code', client_id: client, ...exchange, ...(resource && { resource }) }),
  });
}

if (fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      issuer: { type: 'string', default: process.env.ISSUER ?? 'http://127.0.0.1:9400' },
      user: { type: 'string', default: process.env.LOGIN_USER ?? 'alice' },
      resource: { type: 'string', default: process.env.RESOURCE },
      scope: { type: 'string', default: process.env.SCOPE ?? 'openid sip' },
      client: { type: 'string', default: 'sip-ua' },
      'code-only': { type: 'boolean', default: false },
    },
  });
  try {
    console.log(JSON.stringify(await login({ ...values, codeOnly: values['code-only'] })));
  } catch (error) {
    console.error(`login: ${error.message}${error.cause ? ` (${error.cause.message})` : ''}`);
    process.exitCode = 1;
  }
}
