// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tokens that the proxy issues itself to users who signed in with a password (sip-oauth section 4; access tokens
//! as in RFC 9068), and the proxy's assertion about a user for a server that issues them (RFC 8693).

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use zeroize::Zeroizing;

use super::exchange::{Granted, TokenError};
use super::verdict::Trouble;
use crate::config::password_sign_in::PasswordSignIn;
use crate::config::provider::{OWN_CLAIM, Provider};
use crate::records::session::Identity;
use crate::text::secret::SecretText;

/// Seconds for which the proxy's assertion about a user is valid.
const ASSERTION_LIFETIME: i64 = 60;

/// Issues an access token and a refresh token for the owner of an address. `now` in Unix seconds.
pub fn issue(
    provider: &Provider,
    sign_in: &PasswordSignIn,
    username: &str,
    aor: &str,
    scope: &str,
    now: i64,
) -> Result<Granted, TokenError> {
    let rules = &provider.rules;
    let audience = match rules.audience.as_slice() {
        [] => json!(provider.issuer),
        [one] => json!(one),
        several => json!(several),
    };
    let client_id = rules.clients.first().or(provider.client.as_ref().map(|c| &c.id)).unwrap_or(&provider.name);
    let expires_at = now.saturating_add(sign_in.lifetime);
    let mut claims = json!({
        "iss": provider.issuer,
        "sub": username,
        "aud": audience,
        "client_id": client_id,
        "iat": now,
        "exp": expires_at,
        "jti": random()?,
        OWN_CLAIM: aor,
    });
    if !scope.is_empty() {
        claims["scope"] = json!(scope);
    }
    let typ = if rules.typ.iter().any(|typ| typ == "at+jwt") { "at+jwt" } else { "JWT" };
    let key = sign_in.keys.first().ok_or_else(|| unavailable("no key is configured"))?;
    let token = key.sign_jwt(typ, &claims).ok_or_else(|| unavailable("the key does not sign"))?;
    Ok(Granted {
        identity: Identity {
            subject: username.to_owned(),
            aors: vec![aor.to_owned()],
            client_id: client_id.clone(),
            scope: scope.to_owned(),
            sid: None,
        },
        access_token: SecretText(token),
        refresh_token: Some(SecretText(random()?)),
        id_token: None,
        expires_at,
        master_key: None,
    })
}

/// The proxy's assertion that this user has signed in, for the token endpoint `audience`. It is a JWT that is
/// valid for one minute.
pub(super) fn assertion(
    sign_in: &PasswordSignIn,
    client_id: &str,
    username: &str,
    audience: &str,
    now: i64,
) -> Result<Zeroizing<String>, TokenError> {
    let claims = json!({
        "iss": client_id,
        "sub": username,
        "aud": audience,
        "iat": now,
        "exp": now.saturating_add(ASSERTION_LIFETIME),
        "jti": random()?,
    });
    let key = sign_in.keys.first().ok_or_else(|| unavailable("no key is configured"))?;
    key.sign_jwt("JWT", &claims).map(Zeroizing::new).ok_or_else(|| unavailable("the key does not sign"))
}

/// 32 random octets as base64url.
fn random() -> Result<String, TokenError> {
    let mut octets = [0; 32];
    rand::fill(&mut octets).map_err(|_| unavailable("no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}

fn unavailable(what: &str) -> TokenError {
    TokenError::Unavailable(Trouble::answered(format!("signing_key_files: {what}")))
}
