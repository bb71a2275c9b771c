// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answers of a token endpoint: tokens (RFC 6749 section 5.1) or an error (section 5.2). Also the answer of
//! this proxy itself to a phone that asked for tokens.

use serde::Serialize;
use zeroize::Zeroizing;

use crate::keys::pop::pop_from_text;
use crate::records::session::MAX_TOKEN;
use crate::rules::scope_rules::add_scopes;
use crate::text::json::Json;
use crate::text::secret::{KeyOctets, SecretText};

/// Longest list of scopes in octets.
const MAX_SCOPE: usize = 4096;
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
    /// `scope`, separated by one space.
    pub scope: Option<String>,
    /// `master-key` or `master_key` (sip-oauth section 3.5), 32 octets written as base64url, base64 or hex.
    pub master_key: Option<KeyOctets>,
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
    /// The tokens are of another type than Bearer, for example DPoP.
    OtherType(String),
}

impl TokenResponse {
    /// Reads the body of an answer. Without `token_type` the tokens count as Bearer tokens, because no server that
    /// issues others leaves it out. A member of the wrong JSON type never counts as absent.
    pub fn parse(body: &[u8]) -> Result<TokenResponse, ResponseError> {
        use ResponseError::Malformed;
        let json = Json::parse(body).map_err(|_| Malformed("the answer is not JSON"))?;
        if !matches!(json, Json::Object(_)) {
            return Err(Malformed("the answer is not a JSON object"));
        }
        if let Some(error) = ErrorResponse::from_json(&json).map_err(Malformed)? {
            return Ok(TokenResponse::Error(error));
        }
        let token = |name: &str, problem: &'static str| match json.get(name) {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some("") => Ok(None),
                Some(text) if is_token(text) => Ok(Some(SecretText(text.to_owned()))),
                _ => Err(Malformed(problem)),
            },
        };
        let master_key = master_key(&json).map_err(Malformed)?;
        let id_token = token("id_token", "id_token is not a text, or too long")?;
        let access_token = token("access_token", "access_token is not a text, or too long")?;
        // By sip-oauth section 3.5 a server may give only an ID token and the master-key. The ID token then takes
        // the place of the access token.
        let access_token = match (access_token, &id_token, &master_key) {
            (None, Some(id_token), Some(_)) => id_token.clone(),
            (access_token, ..) => access_token.ok_or(Malformed("access_token is missing"))?,
        };
        let token_type =
            json.get("token_type").map(|value| value.as_str().ok_or(Malformed("token_type is not a text")));
        let token_type = token_type.transpose()?.filter(|text| !text.is_empty()).unwrap_or("Bearer");
        if !token_type.eq_ignore_ascii_case("Bearer") {
            return Err(ResponseError::OtherType(token_type.to_owned()));
        }
        let expires_in = json
            .get("expires_in")
            .or_else(|| json.get("expires"))
            .map(|value| value.as_seconds().filter(|seconds| *seconds >= 0))
            .map(|seconds| seconds.ok_or(Malformed("expires_in is not a number of seconds")))
            .transpose()?
            .map(|seconds| seconds.min(MAX_LIFETIME));
        let mut scope = String::new();
        if let Some(value) = json.get("scope") {
            add_scopes(
                &mut scope,
                &value.as_strings().ok_or(Malformed("scope is neither a text nor a list of texts"))?,
            );
        }
        if scope.len() > MAX_SCOPE {
            return Err(Malformed("scope is too long"));
        }
        Ok(TokenResponse::Issued(IssuedTokens {
            access_token,
            expires_in,
            // The second spelling is that of sip-oauth section 3.5.
            refresh_token: match token("refresh_token", "refresh_token is not a text, or too long")? {
                None => token("token_refresh", "token_refresh is not a text, or too long")?,
                refresh_token => refresh_token,
            },
            id_token,
            scope: Some(scope).filter(|scope| !scope.is_empty()),
            master_key,
        }))
    }
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
            let text = format!(r#"{{"access_token":"a","token_type":"Bearer",{members}}}"#);
            assert!(matches!(problem(&text), ResponseError::Malformed(_)), "{text}");
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
    fn a_wrong_type_is_not_absence() {
        for members in [
            r#""access_token":1"#,
            r#""access_token":"a","expires_in":"soon""#,
            r#""access_token":"a","expires_in":"""#,
            r#""access_token":"a","expires_in":-1"#,
            r#""access_token":"a","expires_in":true"#,
            r#""access_token":"a","refresh_token":{}"#,
            r#""access_token":"a","id_token":false"#,
            r#""access_token":"a","scope":{"x":1}"#,
            r#""access_token":"a","scope":[["x"]]"#,
            r#""access_token":"a\n""#,
            r#""access_token":"""#,
        ] {
            let text = format!(r#"{{{members},"token_type":"Bearer"}}"#);
            assert!(matches!(problem(&text), ResponseError::Malformed(_)), "{text}");
        }
        assert_eq!(problem(r#"{"access_token":"a","token_type":"DPoP"}"#), ResponseError::OtherType("DPoP".into()));
        for text in
            ["", "[]", "<html>", r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#, r#"{"error":{}}"#]
        {
            assert!(matches!(problem(text), ResponseError::Malformed(_)), "{text}");
        }
        let long = "a".repeat(MAX_TOKEN + 1);
        problem(&format!(r#"{{"access_token":"{long}","token_type":"Bearer"}}"#));
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
