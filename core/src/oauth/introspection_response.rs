// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an introspection endpoint answers (RFC 7662 section 2.2), also as a signed JWT (RFC 9701 section 5).

use super::token_response::ErrorResponse;
use crate::text::json::Json;

/// Media type of a signed answer.
pub const SIGNED_TYPE: &str = "application/token-introspection+jwt";
/// Its `typ` header in the form of [`crate::jose::jws::Header`].
pub const SIGNED_TYP: &str = "token-introspection+jwt";

/// An answer that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntrospectionResponse {
    /// The token is valid as far as the server knows. The rest of the answer must still be judged.
    Active,
    /// The token is not valid: it is unknown, has ended, was revoked, or is not for the client that asks.
    Inactive,
    /// An OAuth error.
    Error(ErrorResponse),
}

impl IntrospectionResponse {
    /// Reads an answer. `active` is never guessed. The error says what is wrong.
    pub fn from_json(json: &Json<'_>) -> Result<IntrospectionResponse, &'static str> {
        if !matches!(json, Json::Object(_)) {
            return Err("the answer is not a JSON object");
        }
        match json.get("active") {
            Some(Json::Bool(true)) => Ok(IntrospectionResponse::Active),
            Some(Json::Bool(false)) => Ok(IntrospectionResponse::Inactive),
            Some(_) => Err("'active' is neither true nor false"),
            None => match ErrorResponse::from_json(json)? {
                Some(error) => Ok(IntrospectionResponse::Error(error)),
                None => Err("the answer has no 'active'; is this the introspection endpoint?"),
            },
        }
    }
}

/// The JWT that an answer is; None when it is something else. The Content-Type says too little: servers call a JWT
/// JSON, JSON a JWT, and write the type twice. What a JWT is for is in its own header.
pub fn jwt_in(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}').trim();
    let is_compact = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet));
    let parts = text.split('.').count();
    (is_compact && (parts == 3 || parts == 5)).then_some(text)
}

/// Returns the answer in the claims of a signed answer, whose signature is checked elsewhere. The signed answer
/// must come from this issuer, be meant for this client, and not be from the future. `leeway` is in seconds, `now`
/// in Unix seconds.
pub fn signed_answer<'j, 'a>(
    claims: &'j Json<'a>,
    issuer: &str,
    client_id: &str,
    leeway: i64,
    now: i64,
) -> Result<&'j Json<'a>, &'static str> {
    if claims.get("iss").and_then(Json::as_str) != Some(issuer) {
        return Err("the signed answer has another 'iss' than the provider's issuer");
    }
    let audience = claims.get("aud").and_then(Json::as_strings).unwrap_or_default();
    if !audience.contains(&client_id) {
        return Err("the signed answer is for another 'aud' than client_id");
    }
    let issued_at = claims.get("iat").and_then(Json::as_numeric_date).ok_or("the signed answer has no 'iat'")?;
    if issued_at > now.saturating_add(leeway) {
        return Err("the signed answer has an 'iat' in the future; check the clocks");
    }
    match claims.get("token_introspection") {
        Some(answer @ Json::Object(_)) => Ok(answer),
        _ => Err("the signed answer has no token_introspection"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<IntrospectionResponse, &'static str> {
        IntrospectionResponse::from_json(&Json::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn active_is_never_guessed() {
        assert_eq!(read(r#"{"active":true,"sub":"a"}"#), Ok(IntrospectionResponse::Active));
        assert_eq!(read(r#"{"active":false,"error":"x"}"#), Ok(IntrospectionResponse::Inactive));
        for text in [
            "{}",
            r#"{"sub":"a"}"#,
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"Active":true}"#,
            "[true]",
            r#"{"error":1}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let error = ErrorResponse { error: "invalid_client".into(), description: "who?".into() };
        let text = r#"{"error":"invalid_client","error_description":"who?"}"#;
        assert_eq!(read(text), Ok(IntrospectionResponse::Error(error)));
    }

    #[test]
    fn a_jwt_is_known_by_its_form() {
        for text in ["e30.e30.c2ln", "\u{feff}e30.e30.c2ln\r\n", " a.b.c.d.e", "e30.e30."] {
            let wanted = text.trim_start_matches('\u{feff}').trim();
            assert_eq!(jwt_in(text.as_bytes()), Some(wanted), "{text:?}");
        }
        for text in ["", "{}", "\u{feff}{\"a\":\"b.c.d\"}", "a.b", "a.b.c.d", "<p>a.b.c</p>", "a. b.c"] {
            assert_eq!(jwt_in(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_signed_answer_is_from_this_issuer_and_for_this_client() {
        let good = r#"{"iss":"https://as","aud":["x","proxy"],"iat":130,"token_introspection":{"active":true}}"#;
        let read = |text: &str| {
            let json = Json::parse(text.as_bytes()).unwrap();
            signed_answer(&json, "https://as", "proxy", 30, 100).map(ToString::to_string)
        };
        assert_eq!(read(good), Ok(r#"{"active":true}"#.into()));
        assert!(read(&good.replace(r#"["x","proxy"]"#, r#""proxy""#)).is_ok());
        for (from, to) in [
            ("https://as", "https://evil"),
            (r#""iss":"https://as","#, ""),
            (r#""proxy""#, r#""other""#),
            (r#""proxy""#, "1"),
            ("130", "131"),
            ("130", r#""130""#),
            (r#""iat":130,"#, ""),
            (r#"{"active":true}"#, "true"),
            ("token_introspection", "introspection"),
        ] {
            assert!(read(&good.replace(from, to)).is_err(), "{from} -> {to}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(value in "\\PC{0,12}", name in "active|error|iss|aud|iat|token_introspection") {
            if let Ok(json) = Json::parse(format!(r#"{{"{name}":{value}}}"#).as_bytes()) {
                let _ = IntrospectionResponse::from_json(&json);
                let _ = signed_answer(&json, "i", "c", 0, 0);
            }
        }
    }
}
