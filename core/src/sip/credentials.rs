// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bearer credentials in Authorization and Proxy-Authorization header fields.
//!
//! Reads every wire form in use: `Bearer <token>` (RFC 8898, RFC 6750), the same followed by `, realm="…"`,
//! `Bearer access_token="…"` (3rd-party-authentication section 4) and `Bearer token=…, pop=…`
//! (sip-oauth-01 sections 3.7 to 4.6).

use std::borrow::Cow;

pub use super::auth_params::MAX_HEADERS;
use super::auth_params::{Few, after_scheme, for_realm, is_lws, once, read_params, token68_len};
use super::key_derivation;
use crate::reason::Reason;

const SCHEME: &str = "Bearer";

/// One Bearer credential.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bearer<'a> {
    /// The access token.
    pub token: Option<Cow<'a, str>>,
    /// The proof of possession as sent.
    pub pop: Option<Cow<'a, str>>,
    /// The realm, when one was given.
    pub realm: Option<Cow<'a, str>>,
}

/// Token and proof stay out of logs.
impl std::fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given = |value: &Option<Cow<'_, str>>| value.as_ref().map(|_| "…");
        f.debug_struct("Bearer")
            .field("token", &given(&self.token))
            .field("pop", &given(&self.pop))
            .field("realm", &self.realm)
            .finish()
    }
}

/// True when a credential header field has a scheme that sipoauth reads, whether or not the rest can be parsed.
pub fn is_ours(body: &str) -> bool {
    [SCHEME, key_derivation::SCHEME].iter().any(|scheme| {
        let body = body.trim_start_matches(is_lws);
        let named = body.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        named && body[scheme.len()..].chars().next().is_none_or(|next| is_lws(next) || next == ',')
    })
}

/// Finds the Bearer credential for `realm` among the bodies of all credential header fields of a request.
///
/// Header fields of other schemes may stand beside it. A credential that names another realm is passed over,
/// whether this is a registrar or a proxy. A credential without a realm, or with an empty one, counts for any
/// realm (RFC 8898 section 2.3).
pub fn select<'a>(bodies: &[&'a str], realm: &str) -> Result<Bearer<'a>, Reason> {
    if bodies.len() > MAX_HEADERS {
        return Err(Reason::CredentialsMalformed);
    }
    let mut found: Few<Bearer<'a>> = Few::new();
    for body in bodies {
        if let Some(rest) = after_scheme(body, SCHEME) {
            found.push(parse_bearer(rest)?);
        }
    }
    for_realm(found, realm, named_realm)
}

fn named_realm<'a>(bearer: &'a Bearer<'_>) -> Option<&'a str> {
    bearer.realm.as_deref().filter(|realm| !realm.is_empty())
}

/// True for a token that [`select`] takes unchanged from credentials that consist of the token alone.
pub fn stands_alone(token: &str) -> bool {
    !token.is_empty() && token68_len(token) == token.len()
}

/// What stands after the scheme in a credential header body, without the white space around it; None for another
/// scheme. The characters are not checked. The text can be looked up as a known token before [`select`] reads it octet by
/// octet.
#[inline]
pub fn bearer_text(body: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = body.split_at_checked(SCHEME.len())?;
    let is_space = |octet: &u8| is_lws((*octet).into());
    let known = scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) && rest.first().is_some_and(is_space);
    let begin = rest.iter().position(|octet| !is_space(octet))?;
    let end = rest.iter().rposition(|octet| !is_space(octet))?;
    known.then(|| &rest[begin..=end])
}

fn parse_bearer(text: &str) -> Result<Bearer<'_>, Reason> {
    let mut bearer = Bearer::default();
    let run = token68_len(text);
    let padded = run + text[run..].bytes().take_while(|b| *b == b'=').count();
    let after = text[padded..].trim_start_matches(is_lws);
    let names_a_parameter =
        padded == run + 1 && ["token", "access_token", "pop"].iter().any(|n| n.eq_ignore_ascii_case(&text[..run]));
    let rest = if run > 0 && (after.is_empty() || after.starts_with(',')) && !names_a_parameter {
        bearer.token = Some(Cow::Borrowed(&text[..padded]));
        match after.strip_prefix(',') {
            Some(params) => params,
            None => return Ok(bearer),
        }
    } else {
        text
    };
    let put = |name: &str, value| match name {
        "token" | "access_token" => once(&mut bearer.token, value),
        "pop" => once(&mut bearer.pop, value),
        "realm" => once(&mut bearer.realm, value),
        _ => Some(()),
    };
    read_params(rest, put).ok_or(Reason::CredentialsMalformed)?;
    if bearer.token.is_none() && bearer.pop.is_none() {
        return Err(Reason::CredentialsMalformed);
    }
    Ok(bearer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(body: &str) -> Result<Bearer<'_>, Reason> {
        select(&[body], "example.test")
    }

    fn token(body: &str) -> Option<String> {
        one(body).ok()?.token.map(Cow::into_owned)
    }

    #[test]
    fn reads_every_wire_form() {
        for body in [
            "Bearer a.b-c_d.e",
            "bEARER   a.b-c_d.e  ",
            "Bearer\r\n a.b-c_d.e",
            "Bearer a.b-c_d.e, realm=\"example.test\"",
            "Bearer token=\"a.b-c_d.e\", username=\"alice\", realm=\"example.test\"",
            "Bearer access_token=\"a.b-c_d.e\"",
            "Bearer access_token = a.b-c_d.e",
            "Bearer token=a.b-c_d.e,pop=abc",
            "Bearer realm=\"\", token=\"a.b\\-c_d.e\"",
        ] {
            assert_eq!(token(body).as_deref(), Some("a.b-c_d.e"), "{body}");
        }
        assert_eq!(token("Bearer ab==").as_deref(), Some("ab=="));
        let pop = one("Bearer pop=\"abc\"").unwrap();
        assert_eq!((pop.token, pop.pop.as_deref()), (None, Some("abc")));
    }

    #[test]
    fn the_text_is_what_the_parser_finds() {
        for body in ["Bearer a.b-c_d.e", "bEARER   a.b-c_d.e  ", "Bearer\r\n a.b-c_d.e"] {
            assert_eq!(bearer_text(body.as_bytes()), Some(&b"a.b-c_d.e"[..]), "{body}");
        }
        for body in ["", "Bearer", "Bearer ", "Bearera.b", "Digest a.b", "Bear\u{e9}r a"] {
            assert_eq!(bearer_text(body.as_bytes()), None, "{body}");
        }
        assert_eq!(bearer_text(b"Bearer a.b\x0c"), Some(&b"a.b\x0c"[..]), "no other space is taken off");
    }

    #[test]
    fn debug_shows_neither_token_nor_proof() {
        let shown = format!("{:?}", one("Bearer token=secret-a, pop=secret-b, realm=example.test").unwrap());
        assert!(!shown.contains("secret") && shown.contains("realm"), "{shown}");
    }

    #[test]
    fn refuses_malformed_ones() {
        for body in [
            "Bearer",
            "Bearer ",
            "Bearer token=",
            "Bearer token=\"\"",
            "Bearer token=\"abc",
            "Bearer a b",
            "Bearer a.b, token=c.d",
            "Bearer token=a, access_token=b",
            "Bearer a,",
            "Bearer realm=\"x\"",
            "Bearer a, Bearer b",
            "Bearer =",
            "Bearer é",
            "Bearer a, realm=\"x\", realm=\"y\"",
        ] {
            assert_eq!(one(body), Err(Reason::CredentialsMalformed), "{body}");
        }
    }

    #[test]
    fn other_schemes_are_not_ours() {
        for body in ["Digest username=\"a\"", "", "Bear a", "Bearerx y", "Basic Zm9v"] {
            assert_eq!(one(body), Err(Reason::NoCredentials), "{body}");
        }
        assert_eq!(select(&["Digest realm=\"x\"", "Bearer a.b"], "r").unwrap().token.as_deref(), Some("a.b"));
    }

    #[test]
    fn who_asks_searches_those_of_his_realm() {
        let (ours, other, bare) = ("Bearer a, realm=\"r\"", "Bearer b, realm=\"s\"", "Bearer c");
        let pick = |bodies: &[&str]| select(bodies, "r").map(|b| b.token.unwrap().into_owned());
        assert_eq!(pick(&[other, ours]).as_deref(), Ok("a"));
        assert_eq!(pick(&[other, bare]).as_deref(), Ok("c"));
        assert_eq!(pick(&[bare, ours]).as_deref(), Ok("a"));
        assert_eq!(pick(&[other]), Err(Reason::NoCredentials));
        assert_eq!(pick(&[bare, bare]), Err(Reason::SeveralTokens));
        assert_eq!(select(&["x"; 17], "r"), Err(Reason::CredentialsMalformed));
    }

    proptest! {
        #[test]
        fn never_panics(body in "(?i:bearer)?[ \t]?\\PC{0,60}") {
            let _ = one(&body);
        }

        #[test]
        fn what_stands_alone_is_read_as_it_stands(text in "[A-Za-z0-9._~+/=, \"-]{0,30}", realm in "[a-z]{0,3}") {
            let body = format!("Bearer {text}");
            let token = bearer_text(body.as_bytes()).and_then(|text| std::str::from_utf8(text).ok());
            if let Some(token) = token.filter(|token| stands_alone(token)) {
                let read = select(&[body.as_str()], &realm);
                prop_assert_eq!(read, Ok(Bearer { token: Some(token.into()), pop: None, realm: None }));
            }
        }

        #[test]
        fn long_tokens_end_where_they_end(t in "[A-Za-z0-9._~+/-]{1,100}", after in "[ ,;\"=\\]é]{0,3}") {
            let text = format!("{t}{after}");
            prop_assert_eq!(token68_len(&text), t.len());
        }

        #[test]
        fn a_token_comes_back_unchanged(t in "[A-Za-z0-9._~+/-]{1,60}") {
            prop_assert_eq!(token(&format!("Bearer {t}")), Some(t.clone()));
            let quoted = format!("Bearer token=\"{t}\"");
            prop_assert_eq!(token(&quoted), Some(t));
        }
    }
}
