// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The OpenID provider itself: its keys, clients, resources and users.
// Everything is test data; no client secret here opens anything real.

import crypto from 'node:crypto';
import fs from 'node:fs';
import { Provider, errors } from 'oidc-provider';
import { DOMAIN, hasAccount } from './accounts.mjs';
import { REDIRECT, RESOURCE } from './codes.mjs';
import { GRANT_TYPES, registerGrants } from './grants.mjs';
import { generateKeyPair } from './key-pair.mjs';

const DESK = 'sip-desk';
const DESK_CODE_DIGITS = 8;
const HS256_SECRET = 'test-only-hs256-secret-0123456789abcdef';

/** One resource per token format; the last path segment says which. */
const RESOURCES = {
  rs256: { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } },
  es256: { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } },
  eddsa: { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'EdDSA' } } },
  hs256: { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'HS256', key: crypto.createSecretKey(Buffer.from(HS256_SECRET)) } } },
  opaque: { accessTokenFormat: 'opaque' },
};

/** The same, encrypted for the recipient whose public keys are in a folder: rsa.pub, ec.pub. */
const ENCRYPTED_RESOURCES = {
  'rs256-rsaoaep256': { sign: { alg: 'RS256' }, encrypt: { alg: 'RSA-OAEP-256', enc: 'A128CBC-HS256' }, file: 'rsa.pub' },
  'es256-ecdh': { sign: { alg: 'ES256' }, encrypt: { alg: 'ECDH-ES+A256KW', enc: 'A256GCM' }, file: 'ec.pub' },
};

/** Adds the resources whose tokens are encrypted. */
export function encryptFor(folder) {
  for (const [name, { sign, encrypt, file }] of Object.entries(ENCRYPTED_RESOURCES)) {
    const key = crypto.createPublicKey(fs.readFileSync(`${folder}/${file}`));
    RESOURCES[name] = { accessTokenFormat: 'jwt', jwt: { sign, encrypt: { ...encrypt, key } } };
  }
}

/** A resource server: introspects, nothing else. */
function resourceServer(id, settings) {
  return { client_id: id, client_secret: 'rs-secret', grant_types: [], response_types: [], redirect_uris: [], ...settings };
}

const CLIENTS = [
  { // a phone: public, must use PKCE
    client_id: 'sip-ua',
    token_endpoint_auth_method: 'none',
    application_type: 'native',
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    response_types: ['code'],
    redirect_uris: [REDIRECT, 'com.example.sip:/cb'],
  },
  { // a proxy that exchanges codes
    client_id: 'sip-proxy',
    client_secret: 'proxy-secret',
    token_endpoint_auth_method: 'client_secret_basic',
    application_type: 'native',
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials', ...GRANT_TYPES],
    response_types: ['code'],
    redirect_uris: [REDIRECT],
  },
  { // the same with the secret in the form
    client_id: 'sip-proxy-post',
    client_secret: 'proxy-secret',
    token_endpoint_auth_method: 'client_secret_post',
    application_type: 'native',
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials', ...GRANT_TYPES],
    response_types: ['code'],
    redirect_uris: [REDIRECT],
  },
  { // the same with a signed assertion; its key is added in configuration()
    client_id: 'sip-proxy-jwt',
    token_endpoint_auth_method: 'private_key_jwt',
    application_type: 'native',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: [REDIRECT],
  },
  { // public desk phones: their users type the code, so it is short
    client_id: DESK,
    client_secret: 'desk-secret',
    token_endpoint_auth_method: 'client_secret_basic',
    application_type: 'native',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: [REDIRECT],
  },
  { // the sign-in page, once for each provider of a configuration
    client_id: 'sip-page',
    client_secret: 'page-secret',
    token_endpoint_auth_method: 'client_secret_basic',
    application_type: 'native',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: ['http://127.0.0.1/signed-in/corp', 'http://127.0.0.1/signed-in/other'],
    backchannel_logout_session_required: true,
  },
  { // the same with a certificate of the test authority for the name sip-proxy-tls
    client_id: 'sip-proxy-tls',
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_dns: 'sip-proxy-tls',
    application_type: 'native',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: [REDIRECT],
  },
  { // the same with a certificate that is known by itself; it is added in configuration()
    client_id: 'sip-proxy-self-signed',
    token_endpoint_auth_method: 'self_signed_tls_client_auth',
    application_type: 'native',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: [REDIRECT],
  },
  resourceServer('sip-rs'),
  resourceServer('sip-rs-signed', { introspection_signed_response_alg: 'RS256' }),
  resourceServer('sip-rs-es256', { introspection_signed_response_alg: 'ES256' }),
];

/** The private key of sip-proxy-jwt as PEM; made at the first start, and kept in a file when a path is given. */
export function clientKey(file) {
  if (file && fs.existsSync(file)) return fs.readFileSync(file, 'utf8');
  const { privateKey: pem } = generateKeyPair('ec', { namedCurve: 'P-256' }, { type: 'pkcs8', format: 'pem' });
  if (file) fs.writeFileSync(file, pem, { mode: 0o600 });
  return pem;
}

function certificateJwk(pem) {
  const certificate = new crypto.X509Certificate(pem);
  return { ...certificate.publicKey.export({ format: 'jwk' }), x5c: [certificate.raw.toString('base64')] };
}

function client(settings, keyPem, certificatePem) {
  const jwk = {
    private_key_jwt: () => ({ ...crypto.createPublicKey(keyPem).export({ format: 'jwk' }), use: 'sig', kid: 'proxy-key' }),
    self_signed_tls_client_auth: () => certificateJwk(certificatePem),
  }[settings.token_endpoint_auth_method]?.();
  const logout = settings.client_id === 'sip-page' && process.env.PAGE_LOGOUT_URI;
  return {
    id_token_signed_response_alg: 'RS256',
    ...settings,
    ...(logout && { backchannel_logout_uri: logout }),
    ...(jwk && { jwks: { keys: [jwk] } }),
  };
}

function signingKey(alg, generation, type, options) {
  const { privateKey } = generateKeyPair(type, options, { format: 'jwk' });
  return { ...privateKey, use: 'sig', alg, kid: `${alg.toLowerCase()}-${generation}` };
}

/** Generations of signing keys, newest first; kept in a file when a path is given. */
export class KeyRing {
  #file;
  #sets = [];
  #generation = 0;

  constructor(file) {
    this.#file = file;
    if (file && fs.existsSync(file)) {
      ({ generation: this.#generation, sets: this.#sets } = JSON.parse(fs.readFileSync(file, 'utf8')));
    } else {
      this.rotate(0);
    }
  }

  /** Adds new keys and keeps at most `keep` older generations published. */
  rotate(keep) {
    const n = ++this.#generation;
    const fresh = [
      signingKey('RS256', n, 'rsa', { modulusLength: 2048 }),
      signingKey('ES256', n, 'ec', { namedCurve: 'P-256' }),
      signingKey('EdDSA', n, 'ed25519', {}),
    ];
    this.#sets = [fresh, ...this.#sets.slice(0, keep)];
    if (this.#file) {
      fs.writeFileSync(this.#file, JSON.stringify({ generation: n, sets: this.#sets }), { mode: 0o600 });
    }
  }

  get keys() { return this.#sets.flat(); }

  get kids() { return this.keys.map((key) => key.kid); }
}

function resource(uri, ttl) {
  const format = uri.startsWith(RESOURCE) ? RESOURCES[uri.slice(RESOURCE.length)] : undefined;
  if (!format) throw new errors.InvalidTarget();
  return { scope: 'sip sip.call openid offline_access', audience: uri, accessTokenTTL: ttl, ...format };
}

function userClaims(user) {
  return { sip: `sip:${user}@${DOMAIN}`, preferred_username: user };
}

function certificateOf(ctx) {
  const certificate = ctx.socket.getPeerX509Certificate?.();
  return certificate && `${certificate}`;
}

function configuration(keys, ttl, keyPem, certificatePem) {
  const selfSigned = ({ token_endpoint_auth_method: method }) => method === 'self_signed_tls_client_auth';
  return {
    jwks: { keys },
    cookies: { keys: ['test-only-cookie-key'] },
    clients: CLIENTS.filter((settings) => certificatePem || !selfSigned(settings))
      .map((settings) => client(settings, keyPem, certificatePem)),
    clientAuthMethods: [
      'client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth', 'none',
    ],
    enabledJWA: { introspectionSigningAlgValues: ['RS256', 'ES256'] },
    findAccount: (ctx, user) => (hasAccount(user) ? {
      accountId: user,
      claims: () => ({ sub: user, email: `${user}@${DOMAIN}`, name: user, ...userClaims(user) }),
    } : undefined),
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email'], sip: ['sip'] },
    scopes: ['openid', 'offline_access', 'sip', 'sip.call', 'profile', 'email'],
    conformIdTokenClaims: false,
    extraTokenClaims: (ctx, token) => ({ ...(token.accountId && userClaims(token.accountId)), ...token.testClaims }),
    // Without its guard against addresses of this machine, where all of the test's servers are.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    pkce: { required: (ctx, client) => client.clientId === 'sip-ua' },
    ttl: {
      AccessToken: (ctx, token) => token.resourceServer?.accessTokenTTL ?? ttl,
      AuthorizationCode: 60,
      ClientCredentials: ttl,
      DeviceCode: 300,
      Grant: 3600,
      IdToken: 300,
      Interaction: 300,
      RefreshToken: 3600,
      Session: 600,
    },
    features: {
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
      dPoP: { enabled: true },
      introspection: {
        enabled: true,
        allowedPolicy: (ctx, client) => client.clientAuthMethod !== 'none',
      },
      jwtIntrospection: { enabled: true },
      mTLS: {
        enabled: true,
        tlsClientAuth: true,
        selfSignedTlsClientAuth: true,
        getCertificate: certificateOf,
        certificateAuthorized: (ctx) => ctx.socket.authorized === true,
        certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_san_dns'
          && ctx.socket.getPeerX509Certificate().subjectAltName.split(', ').includes(`DNS:${expected}`),
      },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (ctx, client, oneOf) => oneOf,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, uri) => resource(uri, ttl),
      },
    },
  };
}

/** Keeps the handler of authorization codes, with which the grants of grants.mjs end. */
class ExtendedProvider extends Provider {
  registerGrantType(name, handler, ...rest) {
    if (name === 'authorization_code') this.exchangeCode = handler;
    super.registerGrantType(name, handler, ...rest);
  }
}

/**
 * `count` is called with a text for each grant that is asked for, and for each that is refused with the error too.
 * `signIn` and `grants` are the parts that digest-sign-in.mjs and grants.mjs add.
 */
export function newProvider(issuer, { keyRing, ttl, keyPem, certificatePem, count, signIn, grants }) {
  const provider = new ExtendedProvider(issuer, configuration(keyRing.keys, ttl, keyPem, certificatePem));
  registerGrants(provider, { ...grants, exchangeCode: provider.exchangeCode });
  provider.use(signIn.middleware(provider));
  const { prototype } = provider.AuthorizationCode;
  const { generateTokenId } = prototype;
  prototype.generateTokenId = function shortForDeskPhones() {
    return this.clientId === DESK
      ? String(crypto.randomInt(10 ** DESK_CODE_DIGITS)).padStart(DESK_CODE_DIGITS, '0')
      : generateTokenId.call(this);
  };
  // Its default is to sign answers for every client that takes them; here only for those that name an algorithm.
  const { find } = provider.Client;
  provider.Client.find = async function plainUnlessAsked(id) {
    const found = await find.call(this, id);
    const settings = CLIENTS.find(({ client_id: other }) => other === id);
    if (found && !settings?.introspection_signed_response_alg) found.introspectionSignedResponseAlg = undefined;
    return found;
  };
  const grant = (ctx) => `/token ${ctx.oidc.params?.grant_type}`;
  provider.on('grant.success', (ctx) => count(grant(ctx)));
  provider.on('grant.error', (ctx, error) => { count(grant(ctx)); count(`${grant(ctx)} ${error.error}`); });
  provider.on('backchannel.error', (ctx, error) => console.error('backchannel.error', error));
  provider.on('server_error', (ctx, error) => console.error('server_error', error));
  return provider;
}

/**
 * Issues an access token through the provider's own models, without the login
 * pages. `ttl` may be zero or negative: the token is then expired from birth.
 */
export async function issueToken(provider, { sub, resource: uri = `${RESOURCE}rs256`, scope = 'openid sip', ttl = 300, client: id = 'sip-ua', claims = {} }) {
  const client = await provider.Client.find(id);
  if (!client) throw new Error(`no client ${id}`);
  const grant = new provider.Grant({ accountId: sub, clientId: id });
  grant.addResourceScope(uri, scope);
  const token = new provider.AccessToken({
    accountId: sub,
    client,
    grantId: await grant.save(),
    gty: 'authorization_code',
    scope,
    resourceServer: new provider.ResourceServer(uri, resource(uri, Math.max(ttl, 1))),
  });
  const now = Math.floor(Date.now() / 1000);
  token.testClaims = claims;
  token.iat = ttl > 0 ? now : now + ttl - 300;
  token.exp = now + ttl;
  return token.save();
}

/** Ends an access token before its time, as an operator of the server does. */
export async function revokeToken(provider, value) {
  const token = await provider.AccessToken.find(value);
  if (!token) throw new Error('no such token');
  await token.destroy();
}
