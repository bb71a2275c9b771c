// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answers of a token endpoint: tokens (RFC 6749 section 5.1) or an error (section 5.2). Also the answer of
//! this proxy itself to a phone that asked for tokens.

use std::borrow::Cow;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::keys::pop::pop_from_text;
use crate::records::session::MAX_TOKEN;
use crate::rules::scope_rules::add_scopes;
use crate::rules::token_type::needs_proof;
use crate::text::json::Json;
use crate::text::secret::{KeyOctets, SecretText};

/// Longest lifetime in seconds that is believed: ten years.
const MAX_LIFETIME: i64 = 315_360_000;

/// An answer that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenResponse {
    /// Tokens.
    Issued(IssuedTokens),
    /// An OAuth error.
    Error(ErrorResponse),
}

/// The tokens of an answer; none is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedTokens {
    /// `access_token`
    pub access_token: SecretText,
    /// `expires_in`, seconds.
    pub expires_in: Option<i64>,
    /// `refresh_token`
    pub refresh_token: Option<SecretText>,
    /// `id_token`
    pub id_token: Option<SecretText>,
    /// `scope`, separated by one space. Empty when the answer has one that cannot be read: then nobody knows of any
    /// scope, and earlier ones do not stay.
    pub scope: Option<String>,
    /// `master-key` or `master_key` (sip-oauth section 3.5), 32 octets written as base64url, base64 or hex.
    pub master_key: Option<KeyOctets>,
    /// What is wrong with the master-key of the answer.
    pub master_key_problem: Option<&'static str>,
    /// Sentences about members that count as absent because they cannot be read.
    pub odd: Vec<String>,
}

/// Tokens as JSON, as a phone gets them in the 200 to its REGISTER (sip-oauth section 4.3).
pub fn token_response(
    access_token: &str,
    refresh_token: Option<&str>,
    expires_in: i64,
    scope: &str,
) -> Zeroizing<String> {
    #[derive(Serialize)]
    struct Body<'a> {
        access_token: &'a str,
        token_type: &'static str,
        expires_in: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        refresh_token: Option<&'a str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        scope: &'a str,
    }
    let body = Body { access_token, token_type: "Bearer", expires_in, refresh_token, scope };
    // Large enough that the buffer never grows, because growing would leave copies of the tokens in memory.
    let room = 6 * (access_token.len() + refresh_token.map_or(0, str::len) + scope.len()) + 128;
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *text, &body).expect("texts and a number can be written");
    Zeroizing::new(String::from_utf8(std::mem::take(&mut *text)).expect("JSON is UTF-8"))
}

/// An OAuth error. The server controls both texts, and may repeat in them what the proxy sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// `error`
    pub error: String,
    /// `error_description`, empty when absent.
    pub description: String,
}

/// Why an answer is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The answer is not the JSON of RFC 6749. Says what is wrong with it.
    Malformed(&'static str),
    /// The tokens can only be used with a proof, for example those of type DPoP.
    OtherType(String),
}

impl TokenResponse {
    /// Reads the body of an answer. Tokens that came are used if the access token can be: the code is spent, and asking
    /// again would not help. Any other member of a wrong type or size counts as absent, and `odd` names it.
    pub fn parse(body: &[u8]) -> Result<TokenResponse, ResponseError> {
        use ResponseError::Malformed;
        let text = readable(body);
        let json = Json::parse(&text).map_err(|_| Malformed("the answer is not JSON"))?;
        if !matches!(json, Json::Object(_)) {
            return Err(Malformed("the answer is not a JSON object"));
        }
        let mut odd = Vec::new();
        match ErrorResponse::from_json(&json) {
            Ok(Some(error)) => return Ok(TokenResponse::Error(error)),
            Ok(None) => {}
            Err(_) => odd.push(absent(&json, "error")),
        }
        let token = |name: &str| match json.get(name) {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some("") => Ok(None),
                Some(text) if is_token(text) => Ok(Some(SecretText(text.to_owned()))),
                _ => Err(absent(&json, name)),
            },
        };
        let mut optional = |name: &str| {
            token(name).unwrap_or_else(|what| {
                odd.push(what);
                None
            })
        };
        let id_token = optional("id_token");
        // The second spelling is that of sip-oauth section 3.5.
        let refresh_token = optional("refresh_token").or_else(|| optional("token_refresh"));
        let (master_key, master_key_problem) = match master_key(&json) {
            Ok(key) => (key, None),
            Err(problem) => (None, Some(problem)),
        };
        let access_token = token("access_token").map_err(|_| Malformed("access_token is not a text, or too long"))?;
        // By sip-oauth section 3.5 a server may give only an ID token and the master-key. The ID token then takes
        // the place of the access token.
        let access_token = match (access_token, &id_token, &master_key) {
            (None, Some(id_token), Some(_)) => id_token.clone(),
            (access_token, ..) => access_token.ok_or(Malformed("access_token is missing"))?,
        };
        if let Some(token_type) = json.get("token_type") {
            let named = token_type.texts_within();
            if let Some(other) = named.iter().find(|text| needs_proof(text)) {
                return Err(ResponseError::OtherType(other.to_string()));
            }
            if !named.iter().any(|text| text.is_empty() || text.trim().eq_ignore_ascii_case("Bearer")) {
                odd.push(match token_type.as_str() {
                    Some(other) => format!("token_type is '{other}', and is read as Bearer"),
                    None => absent(&json, "token_type"),
                });
            }
        }
        let lifetimes = ["expires_in", "expires"].into_iter().filter(|name| json.get(name).is_some());
        let mut expires_in = None;
        for name in lifetimes {
            match json.get(name).and_then(lifetime) {
                Some(seconds) => expires_in = expires_in.or(Some(seconds)),
                None => odd.push(absent(&json, name)),
            }
        }
        let scope = json.get("scope").and_then(|value| {
            let (scope, all) = scopes_in(value);
            if !all {
                odd.push(format!("scope is {}, and only texts in it are read", value.kind()));
            }
            // What says nothing, such as "" or [], counts as absent.
            Some(scope).filter(|scope| !scope.is_empty() || !all)
        });
        Ok(TokenResponse::Issued(IssuedTokens {
            access_token,
            expires_in,
            refresh_token,
            id_token,
            scope,
            master_key,
            master_key_problem,
            odd,
        }))
    }
}

/// An answer of a token endpoint as UTF-8. Some servers write descriptions as ISO 8859-1. A token with such an octet is
/// still refused.
pub(super) fn readable(body: &[u8]) -> Zeroizing<Vec<u8>> {
    match String::from_utf8_lossy(body) {
        Cow::Borrowed(text) => Zeroizing::new(text.as_bytes().to_vec()),
        Cow::Owned(text) => Zeroizing::new(text.into_bytes()),
    }
}

/// Says that a member counts as absent, and why.
fn absent(json: &Json<'_>, name: &str) -> String {
    match json.get(name) {
        Some(Json::Str(_)) => format!("{name} cannot be read or is too long, and counts as absent"),
        Some(value @ (Json::Int(_) | Json::Number(_))) => format!("{name} is {value}, and counts as absent"),
        value => format!("{name} is {}, and counts as absent", value.map_or("missing", Json::kind)),
    }
}

/// Seconds that are a number, or one in a text, with or without a fraction; ten years at most.
fn lifetime(value: &Json<'_>) -> Option<i64> {
    let seconds = match value {
        Json::Str(text) => Json::Str(text.trim().into()).as_seconds(),
        other => other.as_numeric_date(),
    };
    seconds.filter(|seconds| *seconds >= 0).map(|seconds| seconds.min(MAX_LIFETIME))
}

/// The scopes in a text or a list of texts, and whether that is all there is. False and an empty object are how some
/// languages write an empty list.
fn scopes_in(value: &Json<'_>) -> (String, bool) {
    let mut scope = String::new();
    let all = match value {
        Json::Bool(false) => true,
        Json::Object(members) => members.is_empty(),
        Json::Array(items) => {
            let texts: Vec<&str> = items.iter().filter_map(Json::as_str).collect();
            add_scopes(&mut scope, &texts);
            texts.len() == items.iter().filter(|item| **item != Json::Null).count()
        }
        Json::Str(text) => {
            add_scopes(&mut scope, &[text]);
            true
        }
        _ => false,
    };
    (scope, all)
}

impl ErrorResponse {
    /// The OAuth error that a JSON answer holds (RFC 6749 section 5.2), if any. An empty `error` counts as absent.
    /// On failure the text says what is wrong with the answer.
    pub fn from_json(json: &Json<'_>) -> Result<Option<ErrorResponse>, &'static str> {
        let Some(error) = json.get("error") else { return Ok(None) };
        let error = error.as_str().ok_or("error is not a text")?;
        if error.is_empty() {
            return Ok(None);
        }
        let description = json.get("error_description").and_then(Json::as_str).unwrap_or("");
        Ok(Some(ErrorResponse { error: error.into(), description: description.into() }))
    }
}

/// The master-key of an answer, if any.
fn master_key(json: &Json<'_>) -> Result<Option<KeyOctets>, &'static str> {
    let mut found = None;
    for name in ["master-key", "master_key"] {
        let Some(value) = json.get(name) else { continue };
        let key = value.as_str().and_then(pop_from_text).map(KeyOctets);
        let key = key.ok_or("master-key is not 32 octets written as base64url, base64 or hex")?;
        if found.replace(key.clone()).is_some_and(|other| other != key) {
            return Err("master-key and master_key differ");
        }
    }
    Ok(found)
}

/// Visible ASCII and space (RFC 6749 appendix A.12).
fn is_token(text: &str) -> bool {
    text.len() <= MAX_TOKEN && text.bytes().all(|octet| (0x20..0x7f).contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn issued(text: &str) -> IssuedTokens {
        match TokenResponse::parse(text.as_bytes()) {
            Ok(TokenResponse::Issued(tokens)) => tokens,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn problem(text: &str) -> ResponseError {
        TokenResponse::parse(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn everything() {
        let tokens = issued(
            r#"{"access_token":"a","token_type":"bearer","expires_in":60,"refresh_token":"r","id_token":"i","scope":" x  y ","more":[1]}"#,
        );
        let text = |text: &str| SecretText(text.into());
        assert_eq!(tokens.access_token, text("a"));
        assert_eq!((tokens.refresh_token, tokens.id_token), (Some(text("r")), Some(text("i"))));
        assert_eq!((tokens.expires_in, tokens.scope.as_deref()), (Some(60), Some("x y")));
    }

    #[test]
    fn nothing_but_what_is_needed() {
        let tokens = issued(r#"{"access_token":"a","token_type":"BEARER","refresh_token":null,"scope":""}"#);
        assert_eq!((tokens.expires_in, tokens.refresh_token, tokens.scope), (None, None, None));
        assert_eq!(
            issued(r#"{"access_token":"a","token_type":"Bearer","expires_in":1e14}"#).expires_in,
            Some(MAX_LIFETIME)
        );
    }

    #[test]
    fn plain_meaning_in_every_shape() {
        for members in [r#""token_type":null,"error":"""#, r#""token_type":"","error":null"#, r#""id_token":null"#] {
            let tokens = issued(&format!(
                r#"{{"access_token":"a","expires_in":"3600","scope":["openid",null,"sip x"],{members}}}"#
            ));
            assert_eq!((tokens.expires_in, tokens.scope.as_deref()), (Some(3600), Some("openid sip x")), "{members}");
            assert_eq!(tokens.id_token, None);
        }
        assert_eq!(issued(r#"{"access_token":"a","expires_in":59.9,"scope":[]}"#).expires_in, Some(59));
    }

    #[test]
    fn a_master_key_in_both_spellings() {
        let key = Some(KeyOctets([7; 32]));
        for member in [
            r#""master-key":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc""#,
            r#""master_key":"0707070707070707070707070707070707070707070707070707070707070707""#,
        ] {
            assert_eq!(issued(&format!(r#"{{"access_token":"a","token_type":"Bearer",{member}}}"#)).master_key, key);
            // sip-oauth section 3.5, to the letter.
            let draft = issued(&format!(r#"{{"id_token":"i","token_refresh":"r",{member}}}"#));
            assert_eq!((draft.access_token.0.as_str(), &draft.master_key), ("i", &key));
            assert_eq!(
                (draft.refresh_token, draft.id_token),
                (Some(SecretText("r".into())), Some(SecretText("i".into())))
            );
        }
        assert_eq!(issued(r#"{"access_token":"a","token_type":"Bearer","expires":60}"#).expires_in, Some(60));
        for members in [
            r#""master-key":"BwcH""#,
            r#""master-key":7"#,
            r#""master-key":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc","master_key":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwg""#,
        ] {
            let tokens = issued(&format!(r#"{{"access_token":"a","token_type":"Bearer",{members}}}"#));
            assert!(tokens.master_key.is_none() && tokens.master_key_problem.is_some(), "{members}");
        }
        assert_eq!(problem(r#"{"id_token":"i"}"#), ResponseError::Malformed("access_token is missing"));
    }

    #[test]
    fn what_a_phone_gets_can_be_read_again() {
        let tokens = issued(&token_response("a", Some("r"), 60, "sip x"));
        assert_eq!(
            (tokens.access_token.0.as_str(), tokens.expires_in, tokens.scope.as_deref()),
            ("a", Some(60), Some("sip x"))
        );
        assert_eq!(issued(&token_response("a", None, 60, "")).refresh_token, None);
    }

    #[test]
    fn tokens_are_used_whatever_else_is_odd() {
        let text = |text: &str| Some(SecretText(text.into()));
        let long = "a".repeat(MAX_TOKEN + 1);
        for (members, expires_in) in [
            (r#""expires_in":"""#.to_owned(), None),
            (r#""expires_in":"soon""#.to_owned(), None),
            (r#""expires_in":-1"#.to_owned(), None),
            (r#""expires_in":"-1""#.to_owned(), None),
            (r#""expires_in":true"#.to_owned(), None),
            (r#""expires_in":{},"expires":60"#.to_owned(), Some(60)),
            (r#""error":false"#.to_owned(), None),
            (r#""error":0"#.to_owned(), None),
            (r#""error":[]"#.to_owned(), None),
            (r#""token_type":"BearerToken""#.to_owned(), None),
            (r#""token_type":"JWT""#.to_owned(), None),
            (r#""token_type":"access_token""#.to_owned(), None),
            (r#""token_type":"urn:ietf:params:oauth:token-type:access_token""#.to_owned(), None),
            (r#""token_type":7"#.to_owned(), None),
            (format!(r#""token_refresh":"{long}""#), None),
        ] {
            let tokens = issued(&format!(r#"{{"access_token":"a","refresh_token":"r","id_token":"i",{members}}}"#));
            assert_eq!((&tokens.refresh_token, &tokens.id_token), (&text("r"), &text("i")), "{members:.60}");
            assert_eq!(tokens.expires_in, expires_in, "{members:.60}");
            assert_eq!(
                tokens.odd.len(),
                usize::from(!members.contains("token_refresh")),
                "{members:.60}: {:?}",
                tokens.odd
            );
        }
        for (value, seconds) in [
            ("18446744073709551615", MAX_LIFETIME),
            ("1e16", MAX_LIFETIME),
            (r#""111111111111111111111""#, MAX_LIFETIME),
            (r#""3600.0""#, 3600),
        ] {
            let tokens = issued(&format!(r#"{{"access_token":"a","token_type":"Bearer ","expires_in":{value}}}"#));
            assert_eq!((tokens.expires_in, tokens.odd), (Some(seconds), Vec::new()), "{value}");
        }
        for value in ["false", "{}", "7", "\"\\u00e9\"", &format!("\"{long}\"")] {
            let tokens = issued(&format!(r#"{{"access_token":"a","refresh_token":{value},"id_token":{value}}}"#));
            assert_eq!((tokens.refresh_token, tokens.id_token, tokens.odd.len()), (None, None, 2), "{value:.40}");
        }
        let latin = b"{\"access_token\":\"a\",\"name\":\"J\xf6rg\"}";
        assert!(
            matches!(TokenResponse::parse(latin), Ok(TokenResponse::Issued(tokens)) if tokens.access_token.0 == "a")
        );
    }

    #[test]
    fn a_scope_that_cannot_be_read_gives_nothing() {
        for (value, scope, odd) in [
            ("false", None, 0),
            ("{}", None, 0),
            ("[]", None, 0),
            ("[null]", None, 0),
            (r#"["sip",7]"#, Some("sip"), 1),
            ("[7]", Some(""), 1),
            (r#"[["sip"]]"#, Some(""), 1),
            (r#"{"sip":true}"#, Some(""), 1),
            ("true", Some(""), 1),
            ("7", Some(""), 1),
        ] {
            let tokens = issued(&format!(r#"{{"access_token":"a","scope":{value}}}"#));
            assert_eq!((tokens.scope.as_deref(), tokens.odd.len()), (scope, odd), "{value}");
        }
        let many = "scope-of-a-busy-user ".repeat(1000);
        assert_eq!(issued(&format!(r#"{{"access_token":"a","scope":"{many}"}}"#)).scope.as_deref(), Some(many.trim()));
    }

    #[test]
    fn without_an_access_token_that_can_be_used_there_are_no_tokens() {
        let long = "a".repeat(MAX_TOKEN + 1);
        for value in ["1", "false", r#""a\n""#, r#""""#, "null", &format!("\"{long}\"")] {
            let text = format!(r#"{{"access_token":{value},"token_type":"Bearer"}}"#);
            assert!(matches!(problem(&text), ResponseError::Malformed(_)), "{text:.60}");
        }
        let latin = b"{\"access_token\":\"J\xf6rg\"}";
        assert!(matches!(TokenResponse::parse(latin), Err(ResponseError::Malformed(_))));
        for other in ["DPoP", "PoP", "mac", "N_A", " dpop", "urn:example:pop"] {
            let text = format!(r#"{{"access_token":"a","token_type":"{other}"}}"#);
            assert_eq!(problem(&text), ResponseError::OtherType(other.into()));
        }
        assert_eq!(
            problem(r#"{"access_token":"a","token_type":["Bearer","DPoP"]}"#),
            ResponseError::OtherType("DPoP".into())
        );
        for text in
            ["", "[]", "<html>", r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#, r#"{"error":{}}"#]
        {
            assert!(matches!(problem(text), ResponseError::Malformed(_)), "{text}");
        }
    }

    #[test]
    fn errors() {
        let error = |text: &str| match TokenResponse::parse(text.as_bytes()) {
            Ok(TokenResponse::Error(error)) => (error.error, error.description),
            other => panic!("{other:?}"),
        };
        assert_eq!(error(r#"{"error":"invalid_grant"}"#), ("invalid_grant".into(), String::new()));
        assert_eq!(error(r#"{"error":"x","error_description":"y","access_token":"a"}"#), ("x".into(), "y".into()));
    }

    proptest! {
        #[test]
        fn never_panics(value in "\\PC{0,12}", name in "access_token|token_type|expires_in|scope|id_token|error") {
            let _ = TokenResponse::parse(format!(r#"{{"{name}":{value}}}"#).as_bytes());
            let _ = TokenResponse::parse(value.as_bytes());
        }
    }
}
