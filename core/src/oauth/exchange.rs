// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exchanges a code for tokens and an identity, and a refresh token for new tokens (RFC 6749 sections 4.1.3 and 6).
//!
//! A code is sent at most once. If the outcome cannot be known for sure, the error says so, and the code is never
//! tried again.

use std::collections::HashSet;

use super::endpoints::Endpoint;
use super::kept_keys::Refetched;
use super::metadata::{Announced, MetadataError};
use super::token_identity::{identify, unverified_claims};
use super::token_request::{TokenEndpoint, ask};
use super::token_response::IssuedTokens;
use super::verdict::{Question, Trouble};
use crate::config::client::Client;
use crate::config::policy::Policy;
use crate::config::provider::Provider;
use crate::jose::key_set::KeySet;
use crate::ports::{Log, Post};
use crate::reason::Reason;
use crate::records::session::Identity;
use crate::rules::claim_fault::ClaimFault;
use crate::rules::claims::Claims;
use crate::rules::scope_rules::{add_scopes, has_scopes};
use crate::text::secret::{KeyOctets, SecretText};

/// What a phone sends to sign in with a code.
#[derive(Clone, Copy)]
pub struct CodeGrant<'a> {
    /// `code`
    pub code: &'a str,
    /// `code_verifier` (RFC 7636)
    pub code_verifier: Option<&'a str>,
    /// `redirect_uri`; None: the one of the configuration.
    pub redirect_uri: Option<&'a str>,
    /// The `nonce` of the authorization request, which the ID token must have (OpenID Connect Core section 3.1.3.7).
    /// None: none was sent, and an ID token need not come.
    pub nonce: Option<&'a str>,
}

/// What a code, or another sign-in, was exchanged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Who signed in.
    pub identity: Identity,
    /// The access token.
    pub access_token: SecretText,
    /// The refresh token.
    pub refresh_token: Option<SecretText>,
    /// The ID token, verified.
    pub id_token: Option<SecretText>,
    /// The access token is valid until this time, in Unix seconds.
    pub expires_at: i64,
    /// The key for proofs of possession that the server has given (sip-oauth section 3.5).
    pub master_key: Option<KeyOctets>,
}

/// What a refresh token was exchanged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The access token.
    pub access_token: SecretText,
    /// The new refresh token; None: the old one stays.
    pub refresh_token: Option<SecretText>,
    /// The ID token as it came. It is not verified, so nothing may be concluded from it.
    pub id_token: Option<SecretText>,
    /// Granted scopes, when the answer or the access token names them.
    pub scope: Option<String>,
    /// The access token is valid until this time, in Unix seconds.
    pub expires_at: i64,
}

/// Why there are no tokens. The texts are for the log and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The server does not accept the code or the refresh token, so the user must sign in again.
    Refused(String),
    /// The server refuses the request and does not say why. If it otherwise accepts the proxy's client, it does
    /// not accept the code or the refresh token.
    RequestRefused(String),
    /// There is an answer, but no word of OAuth in it. If the server serves others afterwards, it does not accept the
    /// code or the refresh token.
    Unexplained(String),
    /// The server refuses the proxy's own client. The operator must act, unless the server otherwise accepts the
    /// client.
    ClientRefused(String),
    /// The configuration does not suffice to ask the server, or has another address than the server. The operator
    /// must act.
    Misconfigured(String),
    /// The server certainly did not act on the request, so it may be sent again later.
    Unavailable(Trouble),
    /// The answer was lost or cannot be read, so nobody knows whether the code or the refresh token is spent.
    InDoubt(Trouble),
    /// Tokens came, but they do not fit the configuration.
    Denied(Reason),
    /// Tokens came, but they do not fit the configuration, or nothing says which address their user has. The text
    /// says what there was instead.
    Unfit(Reason, String),
}

impl TokenError {
    /// The error for a fault in the claims of what `whose` names, such as "access token".
    pub(super) fn of(fault: ClaimFault, whose: &str) -> TokenError {
        match fault.sentence(whose) {
            Some(sentence) => TokenError::Unfit(fault.reason, sentence),
            None => TokenError::Denied(fault.reason),
        }
    }
}

/// Without the address of its endpoint a server cannot be asked.
impl From<MetadataError> for TokenError {
    fn from(error: MetadataError) -> TokenError {
        match error {
            MetadataError::Failed(why) | MetadataError::Incomplete(why) => {
                TokenError::Unavailable(Trouble::unanswered(why))
            }
            // A server that is still being set up may publish its metadata soon.
            MetadataError::NoDocument(why) => TokenError::Unavailable(Trouble::answered(why)),
            MetadataError::Absent(why) | MetadataError::Unusable(why) => TokenError::Misconfigured(why),
        }
    }
}

impl From<Reason> for TokenError {
    fn from(reason: Reason) -> TokenError {
        TokenError::Denied(reason)
    }
}

/// Assumed lifetime, in seconds, of an access token whose lifetime is not stated.
const UNKNOWN_LIFETIME: i64 = 3600;

/// A server that the proxy asks for the tokens of a user who signs in.
pub struct TokenServer<'a> {
    /// HTTP.
    pub http: &'a dyn Post,
    /// Learns what is odd about an answer that is used.
    pub log: &'a dyn Log,
    /// The token endpoint.
    pub endpoint: &'a str,
    /// The configuration.
    pub policy: &'a Policy,
    /// Index of the provider in the configuration.
    pub provider: usize,
    /// The provider's keys, if they have been fetched.
    pub keys: Option<&'a KeySet>,
    /// Fetches the keys anew. Called at most once, when `keys` do not verify a token.
    pub fetch_keys: &'a dyn Fn() -> Result<Refetched, String>,
    /// Finds the server's other endpoints.
    pub resolve: &'a dyn Fn(Endpoint) -> Result<Announced, MetadataError>,
    /// Returns the time in Unix seconds. It is a function because time passes while the server is asked, and the
    /// server issues its tokens after the question was sent.
    pub now: &'a dyn Fn() -> i64,
}

impl TokenServer<'_> {
    pub(super) fn provider(&self) -> &Provider {
        &self.policy.providers[self.provider]
    }

    pub(super) fn client(&self) -> Result<&Client, TokenError> {
        client_of(self.provider())
    }

    pub(super) fn ask(&self, form: &[(&str, &str)], secrets: &[&str]) -> Result<IssuedTokens, TokenError> {
        let (client, provider) = (self.client()?, &self.provider().name);
        let endpoint = TokenEndpoint { http: self.http, log: self.log, address: self.endpoint, provider, client };
        ask(endpoint, Question::SignIn, form, secrets, (self.now)())
    }

    /// Verifies what the tokens say about their user. If they say nothing and `ask` is set, asks the server. With a
    /// `nonce` there must be an ID token that has it.
    pub(super) fn granted(&self, tokens: IssuedTokens, nonce: Option<&str>, ask: bool) -> Result<Granted, TokenError> {
        let claims = unverified_claims(&self.policy.decryption, &tokens.access_token.0);
        let scope = scope_of(self.provider(), &tokens, claims.as_ref()).unwrap_or_default();
        let identity = identify(self, &tokens, &scope, nonce, ask)?;
        self.granted_to(tokens, identity)
    }

    /// Like [`TokenServer::granted`], for tokens that are known to belong to `identity`.
    pub(super) fn granted_to(&self, tokens: IssuedTokens, mut identity: Identity) -> Result<Granted, TokenError> {
        let claims = unverified_claims(&self.policy.decryption, &tokens.access_token.0);
        identity.scope = scope_of(self.provider(), &tokens, claims.as_ref()).unwrap_or_default();
        check_scope(self.provider(), &identity.scope)?;
        Ok(Granted {
            identity,
            expires_at: expiry(&tokens, claims.as_ref(), (self.now)()),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            id_token: tokens.id_token,
            master_key: tokens.master_key,
        })
    }
}

/// Exchanges a code.
pub fn exchange(server: &TokenServer<'_>, grant: &CodeGrant<'_>) -> Result<Granted, TokenError> {
    let (provider, client) = (server.provider(), server.client()?);
    let mut form = vec![("grant_type", "authorization_code"), ("code", grant.code)];
    if let Some(uri) = grant.redirect_uri.or(client.redirect_uri.as_deref()) {
        form.push(("redirect_uri", uri));
    }
    if let Some(verifier) = grant.code_verifier {
        form.push(("code_verifier", verifier));
    }
    let tokens = server.ask(&form, &[grant.code, grant.code_verifier.unwrap_or("")])?;
    if provider.requires_master_key && tokens.master_key.is_none() {
        return Err(TokenError::InDoubt(Trouble::answered(format!(
            "provider '{}': the answer to a code has no master-key, which require_master_key asks for",
            provider.name
        ))));
    }
    server.granted(tokens, grant.nonce, true)
}

/// Exchanges a refresh token. `now` in Unix seconds.
pub fn refresh(
    http: &dyn Post,
    log: &dyn Log,
    endpoint: &str,
    policy: &Policy,
    provider: usize,
    refresh_token: &str,
    now: i64,
) -> Result<Refreshed, TokenError> {
    let provider = &policy.providers[provider];
    let endpoint =
        TokenEndpoint { http, log, address: endpoint, provider: &provider.name, client: client_of(provider)? };
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    let tokens = ask(endpoint, Question::Refresh, &form, &[refresh_token], now)?;
    let claims = unverified_claims(&policy.decryption, &tokens.access_token.0);
    let scope = scope_of(provider, &tokens, claims.as_ref());
    // If the server says nothing about scopes, the old ones stay (RFC 6749 section 6).
    if let Some(scope) = &scope {
        check_scope(provider, scope)?;
    }
    Ok(Refreshed {
        scope,
        expires_at: expiry(&tokens, claims.as_ref(), now),
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token,
        id_token: tokens.id_token,
    })
}

fn client_of(provider: &Provider) -> Result<&Client, TokenError> {
    let missing = || TokenError::Misconfigured(format!("provider '{}' has no client_id", provider.name));
    provider.client.as_ref().ok_or_else(missing)
}

/// The scopes that the answer or the access token names. If the answer has some that cannot be read, nothing is known of
/// any but those of the access token.
fn scope_of(provider: &Provider, tokens: &IssuedTokens, claims: Option<&Claims>) -> Option<String> {
    let named = |scope: &&str| !scope.is_empty();
    let of_token = claims.map(|claims| claims.scope.as_str()).filter(named);
    let scope = tokens.scope.as_deref();
    scope.filter(named).or(of_token).or(scope).map(|scope| fitted(provider, scope))
}

/// Longest list of scopes, in octets, that a session keeps.
const MAX_SCOPE: usize = 4096;

/// Shortens a long list of scopes. Those that the configuration names come first.
fn fitted(provider: &Provider, scope: &str) -> String {
    if scope.len() <= MAX_SCOPE {
        return scope.to_owned();
    }
    let rules = &provider.rules;
    let needed = rules.scopes.methods.iter().chain(&rules.scopes.services).flat_map(|rule| &rule.scopes);
    let needed: HashSet<&str> = rules.required_scopes.iter().chain(needed).map(String::as_str).collect();
    let (named, others): (Vec<&str>, Vec<&str>) = scope.split(' ').partition(|scope| needed.contains(scope));
    let mut out = String::new();
    for scope in named.into_iter().chain(others) {
        if out.len() + 1 + scope.len() <= MAX_SCOPE {
            add_scopes(&mut out, &[scope]);
        }
    }
    out
}

fn check_scope(provider: &Provider, scope: &str) -> Result<(), Reason> {
    if has_scopes(scope, &provider.rules.required_scopes) { Ok(()) } else { Err(Reason::InsufficientScope) }
}

fn expiry(tokens: &IssuedTokens, claims: Option<&Claims>, now: i64) -> i64 {
    match (tokens.expires_in, claims) {
        (Some(seconds), _) => now.saturating_add(seconds),
        (None, Some(claims)) => claims.expires_at,
        (None, None) => now.saturating_add(UNKNOWN_LIFETIME),
    }
}
