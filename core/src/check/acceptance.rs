// SPDX-License-Identifier: MIT OR Apache-2.0
//! Remembers a request that was accepted with a token. The same request with the same token is accepted again as
//! long as policy and keys stay the same (the cache is emptied when they change) and the time is within the
//! token's bounds.

use std::ops::Range;
use std::sync::Arc;

use super::token_cache::VerifiedToken;

/// Most octets that method, From and To of a remembered request may have together. This bounds the memory of a
/// full cache.
const MAX_ASKED: usize = 256;

/// The parts of a request that decide about it besides its token, if nothing else in the request does.
#[derive(Clone, Copy)]
pub struct RequestKey<'a> {
    /// The method.
    pub method: &'a [u8],
    /// addr-spec of From.
    pub from: &'a [u8],
    /// addr-spec of To.
    pub to: &'a [u8],
}

/// What is shown of an accepted request and its token.
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
}

/// Number of texts: method, From and To come first, then what is shown, then the token.
const TEXTS: usize = 12;

/// An accepted request, with its token and what is shown of both.
pub struct Acceptance {
    /// All texts, one after the other. With many tokens, each access to another place in memory costs more than a
    /// comparison.
    texts: Box<str>,
    /// Where each of the texts ends, in octets.
    ends: [u16; TEXTS],
    /// Unix seconds within which the token's times are good.
    span: Range<i64>,
    /// Its token.
    pub token: Arc<VerifiedToken>,
    /// Which of the token's addresses the request uses.
    pub aor: usize,
    /// Index of the token's provider.
    pub provider: usize,
    /// `exp`
    pub expires_at: i64,
}

/// The token and what it says stay out of logs.
impl std::fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptance").field("span", &self.span).field("token", &self.token).finish_non_exhaustive()
    }
}

impl Acceptance {
    /// None when the request, or what is shown of it, is too long to be remembered. `aor` is the index from the
    /// answer.
    pub fn new(
        asking: &RequestKey<'_>,
        span: Range<i64>,
        token: &Arc<VerifiedToken>,
        aor: usize,
        services: &str,
    ) -> Option<Self> {
        let TokenFacts { issuer, aor: address, subject, client_id, scope, kid, fingerprint, .. } =
            token.shown(Some(aor));
        let shown = [issuer, address, subject, client_id, scope, kid, fingerprint, services, &token.token];
        let (mut texts, mut ends) = (String::new(), [0; TEXTS]);
        let asked = [asking.method, asking.from, asking.to];
        if asked.iter().map(|text| text.len()).sum::<usize>() > MAX_ASKED {
            return None;
        }
        let asked = asked.into_iter().map(|text| std::str::from_utf8(text).ok());
        for (text, end) in asked.chain(shown.into_iter().map(Some)).zip(&mut ends) {
            texts.push_str(text?);
            *end = u16::try_from(texts.len()).ok()?;
        }
        let (provider, expires_at) = (token.provider, token.claims.expires_at);
        Some(Acceptance { texts: texts.into(), ends, span, token: Arc::clone(token), aor, provider, expires_at })
    }

    #[inline]
    fn text(&self, index: usize) -> &str {
        let begin = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.texts[begin.into()..self.ends[index].into()]
    }

    /// True when this token and this request are what was accepted, octet by octet. `token` is the text in the
    /// place of the token.
    #[inline]
    pub fn is_of(&self, token: &[u8], asking: &RequestKey<'_>) -> bool {
        let is = |index, text: &[u8]| *self.text(index).as_bytes() == *text;
        is(11, token) && is(2, asking.to) && is(1, asking.from) && is(0, asking.method)
    }

    /// True when the token's times are good at `now`, in Unix seconds.
    #[inline]
    pub fn holds(&self, now: i64) -> bool {
        self.span.contains(&now)
    }

    /// The services that the token gives, separated by a comma.
    #[inline]
    pub fn services(&self) -> &str {
        self.text(10)
    }

    /// What is shown of the request and its token.
    #[inline]
    pub fn shown(&self) -> TokenFacts<'_> {
        TokenFacts {
            issuer: self.text(3),
            aor: self.text(4),
            subject: self.text(5),
            client_id: self.text(6),
            scope: self.text(7),
            kid: self.text(8),
            fingerprint: self.text(9),
            services: self.services(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::token_answer::Standing;
    use super::super::token_cache::Display;
    use super::*;
    use crate::rules::claims::Claims;
    use crate::sip::uri::Aor;

    fn asking<'a>(method: &'a str, from: &'a str, to: &'a str) -> RequestKey<'a> {
        RequestKey { method: method.as_bytes(), from: from.as_bytes(), to: to.as_bytes() }
    }

    fn token() -> VerifiedToken {
        let claims = Claims {
            issuer: "https://as".into(),
            subject: Some("sub".into()),
            clients: vec!["phone".into(), "other".into()],
            scope: "a b".into(),
            expires_at: 99,
            ..Claims::default()
        };
        VerifiedToken {
            token: "t.secret".into(),
            signed: None,
            provider: 5,
            kid: "k".into(),
            fingerprint: "f".into(),
            display: Display::default(),
            claims,
            aors: vec![Aor::parse("sip:z@x").unwrap(), Aor::parse("sip:a@x").unwrap()],
            payload: Vec::new(),
            standing: Standing::NONE,
            by_domain: false,
        }
    }

    fn accepted(asking: &RequestKey<'_>) -> Option<Acceptance> {
        Acceptance::new(asking, 10..20, &Arc::new(token()), 1, "pstn,fax")
    }

    #[test]
    fn shows_what_the_token_shows() {
        let acceptance = accepted(&asking("INVITE", "sip:a@x", "sip:b@x")).unwrap();
        let token = token();
        let shown = TokenFacts { services: "pstn,fax", ..token.shown(Some(1)) };
        assert_eq!(acceptance.shown(), shown);
        assert_eq!((shown.aor, shown.client_id, shown.scope), ("sip:a@x", "phone", "a b"));
        assert_eq!((acceptance.provider, acceptance.expires_at, acceptance.aor), (5, 99, 1));
        assert_eq!(token.shown(None).aor, "");
    }

    #[test]
    fn only_the_same_request_within_the_same_time() {
        let acceptance = accepted(&asking("INVITE", "sip:a@x", "sip:b@x")).unwrap();
        assert!(acceptance.is_of(b"t.secret", &asking("INVITE", "sip:a@x", "sip:b@x")));
        for token in ["", "t", "t.secreT", "t.secret2"] {
            assert!(!acceptance.is_of(token.as_bytes(), &asking("INVITE", "sip:a@x", "sip:b@x")), "{token}");
        }
        assert!(!format!("{acceptance:?}").contains("secret"));
        for (method, from, to) in [
            ("INVIT", "Esip:a@x", "sip:b@x"),
            ("INVITE", "sip:a@xsip:", "b@x"),
            ("INVITE", "sip:a@x", "sip:b@"),
            ("INVITE", "sip:a@x", "sip:b@xx"),
            ("invite", "sip:a@x", "sip:b@x"),
            ("", "", ""),
        ] {
            assert!(!acceptance.is_of(b"t.secret", &asking(method, from, to)), "{method} {from} {to}");
        }
        assert_eq!([9, 10, 19, 20].map(|now| acceptance.holds(now)), [false, true, true, false]);
        assert!(accepted(&asking("REGISTER", &"x".repeat(300), "")).is_none());
        assert!(accepted(&RequestKey { from: b"\xff", ..asking("REGISTER", "", "") }).is_none());
    }
}
