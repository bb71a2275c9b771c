// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Authorization codes without the login pages: what the provider makes after them, made by its own models.

export const RESOURCE = 'https://sip.example.test/';
export const REDIRECT = 'http://127.0.0.1/cb';
export const SCOPE = 'openid sip profile offline_access';

/** The authorization code of a user who has signed in for this client. */
export async function newCode(provider, client, user, { scope = SCOPE, resource = `${RESOURCE}es256`, redirectUri = REDIRECT, codeChallenge } = {}) {
  const grant = new provider.Grant({ accountId: user, clientId: client.clientId });
  grant.addOIDCScope(scope);
  grant.addResourceScope(resource, scope);
  const code = new provider.AuthorizationCode({
    accountId: user,
    authTime: Math.floor(Date.now() / 1000),
    claims: {},
    client,
    grantId: await grant.save(),
    redirectUri,
    ...(codeChallenge && { codeChallenge, codeChallengeMethod: 'S256' }),
    resource,
    scope,
  });
  return code.save();
}
