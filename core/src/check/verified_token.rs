// SPDX-License-Identifier: MIT OR Apache-2.0
//! A token whose signature was verified, or which its server has called active.

use std::borrow::Cow;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::token_answer::Standing;
use crate::rules::claims::Claims;
use crate::sip::uri::Aor;
use crate::text::fingerprint::visible;

/// A token whose signature and fixed claims are good.
pub struct VerifiedToken {
    /// The whole token, as it came.
    pub token: Box<str>,
    /// The signed token that was inside, if the token was encrypted for this proxy; wiped when dropped.
    pub signed: Option<Zeroizing<String>>,
    /// Index of its provider in the policy under which it was verified.
    pub provider: usize,
    /// Its key id.
    pub kid: Arc<str>,
    /// Its name in logs.
    pub fingerprint: String,
    /// The claims that are judged on each use.
    pub claims: Claims,
    /// What is shown instead of claims that have invisible characters.
    pub display: Display,
    /// The addresses its user owns.
    pub aors: Vec<Aor>,
    /// The payload, for the script's questions about other claims.
    pub payload: Vec<u8>,
    /// For how long its server need not be asked again. This has no meaning if the server is not asked at all.
    pub standing: Standing,
    /// True when only the domain that the token was used for tells its provider.
    pub by_domain: bool,
}

/// Claims as they are shown, where that differs from their text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Display {
    subject: Option<Box<str>>,
    client_id: Option<Box<str>>,
    scope: Option<Box<str>>,
}

impl Display {
    /// For these claims. Usually there is nothing to change.
    pub fn new(claims: &Claims) -> Display {
        let changed = |text: &str| match visible(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text.into()),
        };
        Display {
            subject: claims.subject.as_deref().and_then(changed),
            client_id: claims.clients.first().and_then(|client| changed(client)),
            scope: changed(&claims.scope),
        }
    }

    /// True when every claim is shown as it is.
    pub fn is_plain(&self) -> bool {
        *self == Display::default()
    }
}

/// What is shown of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenFacts<'a> {
    /// `iss`
    pub issuer: &'a str,
    /// The address-of-record that the request uses.
    pub aor: &'a str,
    /// `sub`
    pub subject: &'a str,
    /// The first client that the token names.
    pub client_id: &'a str,
    /// Scopes, separated by one space.
    pub scope: &'a str,
    /// The token's key id.
    pub kid: &'a str,
    /// The token's name in logs.
    pub fingerprint: &'a str,
    /// The services that the token gives, separated by a comma.
    pub services: &'a str,
    /// `exp`, Unix seconds.
    pub expires_at: i64,
}

impl VerifiedToken {
    /// What is shown of the token, but for the services. `aor` is the index of the address that a request uses.
    pub fn shown(&self, aor: Option<usize>) -> TokenFacts<'_> {
        let claims = &self.claims;
        TokenFacts {
            issuer: &claims.issuer,
            aor: aor.and_then(|index| self.aors.get(index)).map_or("", Aor::as_str),
            subject: self.display.subject.as_deref().or(claims.subject.as_deref()).unwrap_or(""),
            client_id: self.display.client_id.as_deref().or(claims.clients.first().map(String::as_str)).unwrap_or(""),
            scope: self.display.scope.as_deref().unwrap_or(&claims.scope),
            kid: &self.kid,
            fingerprint: &self.fingerprint,
            services: "",
            expires_at: claims.expires_at,
        }
    }

    /// The same token, with what its server has said about it.
    pub fn confirmed(&self, claims: Claims, standing: Standing) -> VerifiedToken {
        VerifiedToken {
            token: self.token.clone(),
            signed: self.signed.clone(),
            provider: self.provider,
            kid: Arc::clone(&self.kid),
            fingerprint: self.fingerprint.clone(),
            display: Display::new(&claims),
            claims,
            aors: self.aors.clone(),
            payload: self.payload.clone(),
            standing,
            by_domain: self.by_domain,
        }
    }
}

/// The token and what it says stay out of logs.
impl std::fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("provider", &self.provider)
            .field("kid", &self.kid)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One that says nothing.
    pub fn blank(token: &str) -> VerifiedToken {
        VerifiedToken {
            token: token.into(),
            signed: None,
            provider: 0,
            kid: Arc::default(),
            fingerprint: String::new(),
            display: Display::default(),
            claims: Claims::default(),
            aors: Vec::new(),
            payload: Vec::new(),
            standing: Standing::NONE,
            by_domain: false,
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let token = VerifiedToken {
            payload: b"{}".to_vec(),
            signed: Some(Zeroizing::new("a secret too".into())),
            ..blank("eyJ.secret.x")
        };
        let shown = format!("{token:?}");
        assert!(!shown.contains("secret") && !shown.contains("payload"), "{shown}");
    }
}
