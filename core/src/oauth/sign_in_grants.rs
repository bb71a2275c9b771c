// SPDX-License-Identifier: MIT OR Apache-2.0
//! Grants that get tokens without a code: a password that the proxy has checked, or a token from elsewhere
//! (sip-oauth sections 4 and 5).

use zeroize::Zeroizing;

use super::exchange::{Granted, TokenError, TokenServer};
use super::grant::{ForeignToken, PasswordGrant};
use super::token_issue::assertion;
use crate::config::password_sign_in::{PasswordSignIn, TokenSource};
use crate::config::provider::Provider;
use crate::reason::Reason;
use crate::records::session::Identity;

/// `grant_type` of RFC 8693.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Asks the server for the tokens of a user whose password the host has checked. `aor` is the user's address.
pub fn for_password(
    server: &TokenServer<'_>,
    sign_in: &PasswordSignIn,
    grant: &PasswordGrant,
    aor: &str,
) -> Result<Granted, TokenError> {
    let provider = server.provider();
    let scope = provider.scope_for(&[]);
    let assertion = match sign_in.source {
        TokenSource::TokenExchange => {
            assertion(sign_in, server.client()?.id.as_str(), &grant.username, server.endpoint, (server.now)())?
        }
        TokenSource::Password | TokenSource::Issue => Zeroizing::default(),
    };
    let password = grant.password.as_ref().map_or("", |password| password.0.as_str());
    let mut form = match sign_in.source {
        TokenSource::TokenExchange => {
            vec![("grant_type", TOKEN_EXCHANGE), ("subject_token", assertion.as_str()), ("subject_token_type", JWT)]
        }
        TokenSource::Password if password.is_empty() => {
            return Err(TokenError::Misconfigured(
                "password_grant = password needs the password, which the script does not give".into(),
            ));
        }
        TokenSource::Password => {
            vec![("grant_type", "password"), ("username", grant.username.as_str()), ("password", password)]
        }
        TokenSource::Issue => return Err(TokenError::Denied(Reason::Internal)),
    };
    if !scope.is_empty() {
        form.push(("scope", &scope));
    }
    let tokens = server.ask(&form, &[password, &assertion])?;
    // Tokens that do not name their user belong to the user whom the request named.
    match server.granted(tokens.clone(), None, false) {
        Err(TokenError::Unfit(Reason::IdentityMissing, _)) => {
            server.granted_to(tokens, identity(provider, &grant.username, aor))
        }
        granted => granted,
    }
}

/// Asks the server to validate a token from elsewhere and to issue another one for it (sip-oauth section 5.2).
pub fn for_foreign_token(
    server: &TokenServer<'_>,
    grant_type: &str,
    grant: &ForeignToken,
    aor: &str,
) -> Result<Granted, TokenError> {
    let provider = server.provider();
    let scope = provider.scope_for(&[]);
    let token = grant.token.0.as_str();
    let mut form = vec![("grant_type", grant_type), ("username", grant.username.as_str()), ("access_token", token)];
    if !scope.is_empty() {
        form.push(("scope", &scope));
    }
    let tokens = server.ask(&form, &[token])?;
    // Where the server's answer names the user ('aor' is configured), the name that the phone gave does not count.
    if provider.aor.is_empty() {
        server.granted_to(tokens, identity(provider, &grant.username, aor))
    } else {
        server.granted(tokens, None, true)
    }
}

/// The identity of a user whom the server has confirmed.
fn identity(provider: &Provider, username: &str, aor: &str) -> Identity {
    Identity {
        subject: username.to_owned(),
        aors: vec![aor.to_owned()],
        client_id: provider.client.as_ref().map_or_else(String::new, |client| client.id.clone()),
        scope: String::new(),
        sid: None,
    }
}
