// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request to a token endpoint: client authentication, and what the answer means for whoever asked.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use zeroize::Zeroizing;

use super::exchange::TokenError;
use crate::config::client::{Client, ClientAuth};
use crate::ports::{Form, Post, PostError};
use crate::proto::fingerprint::printable;
use crate::proto::form::{push_pair, push_text};
use crate::proto::token_response::{ErrorResponse, IssuedTokens, ResponseError, TokenResponse};

/// Type of a client assertion (RFC 7523 section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Seconds for which an assertion is good.
const ASSERTION_LIFETIME: i64 = 60;
/// Characters of a peer's text that are logged.
const MAX_TEXT: usize = 200;
/// A part of a secret of this length is not logged either.
const MIN_PART: usize = 6;

/// Asks for tokens. `grant` holds the parameters of the grant; of these, `secrets` must not be seen in an error.
pub(super) fn ask(
    http: &dyn Post,
    endpoint: &str,
    client: &Client,
    grant: &[(&str, &str)],
    secrets: &[&str],
    now: i64,
) -> Result<IssuedTokens, TokenError> {
    let mut body = Zeroizing::new(String::new());
    for (name, value) in grant {
        push_pair(&mut body, name, value);
    }
    let mut hidden: Vec<Zeroizing<String>> = secrets.iter().map(|text| Zeroizing::new((*text).to_owned())).collect();
    let authorization = authenticate(client, endpoint, now, &mut body, &mut hidden)?;
    let form = Form { url: endpoint, authorization: authorization.as_ref().map(|a| a.as_str()), body: &body };
    let say = |text: &str| format!("{endpoint}: {}", printable(&redact(text, &hidden), MAX_TEXT));
    let answered = http.post(&form).map_err(|error| match error {
        PostError::NotSent(text) => TokenError::Unavailable(say(&text)),
        PostError::InDoubt(text) => TokenError::InDoubt(say(&text)),
    })?;
    let received = Zeroizing::new(answered.body);
    judge(answered.status, TokenResponse::parse(&received), &say)
}

/// Says who the client is, in the body or in the Authorization header field that is returned.
fn authenticate(
    client: &Client,
    endpoint: &str,
    now: i64,
    body: &mut String,
    hidden: &mut Vec<Zeroizing<String>>,
) -> Result<Option<Zeroizing<String>>, TokenError> {
    match &client.auth {
        ClientAuth::None => push_pair(body, "client_id", &client.id),
        ClientAuth::Basic(secret) => {
            let secret = Zeroizing::new(String::from_utf8_lossy(secret.expose()).into_owned());
            // Both are form-encoded first (RFC 6749 section 2.3.1), so that neither can hold a ':'.
            let mut pair = Zeroizing::new(String::new());
            push_text(&mut pair, &client.id);
            pair.push(':');
            push_text(&mut pair, &secret);
            let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
            let authorization = Zeroizing::new(format!("Basic {}", encoded.as_str()));
            hidden.extend([secret, encoded]);
            return Ok(Some(authorization));
        }
        ClientAuth::Post(secret) => {
            let secret = Zeroizing::new(String::from_utf8_lossy(secret.expose()).into_owned());
            push_pair(body, "client_id", &client.id);
            push_pair(body, "client_secret", &secret);
            hidden.push(secret);
        }
        ClientAuth::PrivateKeyJwt { key, audience } => {
            let failed = |what: &str| TokenError::Unavailable(format!("client_key_file: {what}"));
            let mut id = [0; 16];
            rand::fill(&mut id).map_err(|_| failed("no random numbers"))?;
            let assertion = key.sign_jwt(&json!({
                "iss": client.id,
                "sub": client.id,
                "aud": audience.as_deref().unwrap_or(endpoint),
                "jti": URL_SAFE_NO_PAD.encode(id),
                "iat": now,
                "exp": now.saturating_add(ASSERTION_LIFETIME),
            }));
            let assertion = Zeroizing::new(assertion.ok_or_else(|| failed("the key does not sign"))?);
            push_pair(body, "client_id", &client.id);
            push_pair(body, "client_assertion_type", JWT_BEARER);
            push_pair(body, "client_assertion", &assertion);
            hidden.push(assertion);
        }
    }
    Ok(None)
}

/// What an answer means. `say` makes a text fit for the log.
fn judge(
    status: u16,
    response: Result<TokenResponse, ResponseError>,
    say: &dyn Fn(&str) -> String,
) -> Result<IssuedTokens, TokenError> {
    use TokenError::{ClientRefused, InDoubt, Unavailable};
    let http = format!("HTTP status {status}");
    Err(match (status, response) {
        (200, Ok(TokenResponse::Issued(tokens))) => return Ok(tokens),
        // Only these two say that the request was turned away; after any other failure the code may be spent.
        (429 | 503, Ok(TokenResponse::Error(e))) => Unavailable(say(&format!("{http}, {}", sentence(&e)))),
        (429 | 503, _) => Unavailable(say(&http)),
        (408 | 500..=599, Ok(TokenResponse::Error(e))) => InDoubt(say(&format!("{http}, {}", sentence(&e)))),
        (408 | 500..=599, _) => InDoubt(say(&http)),
        // Some servers say 200 to errors too.
        (200 | 400..=499, Ok(TokenResponse::Error(error))) => judge_error(status, &error, say),
        (400..=499, _) => ClientRefused(say(&format!("{http} without an OAuth error; is this the token endpoint?"))),
        (300..=399, _) => ClientRefused(say(&format!(
            "{http}: redirects are not followed, write the final address in token_endpoint"
        ))),
        (200, Err(ResponseError::Malformed(problem))) => InDoubt(say(problem)),
        (200, Err(ResponseError::OtherType(other))) => {
            InDoubt(say(&format!("the tokens are of type '{other}', only Bearer is supported")))
        }
        _ => InDoubt(say(&http)),
    })
}

fn judge_error(status: u16, error: &ErrorResponse, say: &dyn Fn(&str) -> String) -> TokenError {
    let text = say(&format!("HTTP status {status}, {}", sentence(error)));
    match (status, error.error.as_str()) {
        (_, "temporarily_unavailable" | "slow_down") => TokenError::Unavailable(text),
        (_, "server_error") => TokenError::InDoubt(text),
        // Auth0 says so of a wrong client secret.
        (401, "access_denied") => TokenError::ClientRefused(text),
        // The codes beside RFC 6749: of GitHub and others, RFC 8628, OpenID Connect Core section 3.1.2.6.
        (
            _,
            "invalid_grant"
            | "invalid_code"
            | "bad_verification_code"
            | "access_denied"
            | "expired_token"
            | "login_required"
            | "interaction_required"
            | "consent_required"
            | "account_selection_required",
        ) => TokenError::Refused(text),
        _ => TokenError::ClientRefused(text),
    }
}

fn sentence(error: &ErrorResponse) -> String {
    match error.description.as_str() {
        "" => error.error.clone(),
        description => format!("{}: {description}", error.error),
    }
}

/// A peer's text without the secrets that it was sent, whole, form-encoded or in part.
fn redact(text: &str, secrets: &[Zeroizing<String>]) -> String {
    let mut text = text.to_owned();
    let present = || secrets.iter().filter(|secret| !secret.is_empty());
    for secret in present() {
        let mut encoded = Zeroizing::new(String::new());
        push_text(&mut encoded, secret);
        text = text.replace(secret.as_str(), "…").replace(encoded.as_str(), "…");
    }
    let is_part = |word: &str| {
        let start = |secret: &str| secret.get(..MIN_PART).is_some_and(|start| word.contains(start));
        word.len() >= MIN_PART && present().any(|secret| secret.contains(word) || start(secret))
    };
    let in_word = |c: char| c.is_ascii_alphanumeric() || "-._~+/=%".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| in_word(c) != in_word(first)).unwrap_or(rest.len());
        out.push_str(if is_part(&rest[..end]) { "…" } else { &rest[..end] });
        rest = &rest[end..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, body: &str) -> TokenError {
        judge(status, TokenResponse::parse(body.as_bytes()), &str::to_owned).expect_err(body)
    }

    #[test]
    fn what_answers_mean() {
        use TokenError::{ClientRefused, InDoubt, Refused, Unavailable};
        let name = |error: TokenError| match error {
            Refused(_) => "refused",
            ClientRefused(_) => "client",
            Unavailable(_) => "unavailable",
            InDoubt(_) => "doubt",
            TokenError::Denied(_) => "denied",
        };
        for (status, body, wanted) in [
            (400, r#"{"error":"invalid_grant"}"#, "refused"),
            (401, r#"{"error":"invalid_grant"}"#, "refused"),
            (403, r#"{"error":"invalid_grant"}"#, "refused"),
            (400, r#"{"error":"invalid_code"}"#, "refused"),
            (200, r#"{"error":"bad_verification_code"}"#, "refused"),
            (403, r#"{"error":"access_denied"}"#, "refused"),
            (401, r#"{"error":"access_denied"}"#, "client"),
            (401, r#"{"error":"invalid_client"}"#, "client"),
            (400, r#"{"error":"invalid_client"}"#, "client"),
            (400, r#"{"error":"unauthorized_client"}"#, "client"),
            (400, r#"{"error":"unsupported_grant_type"}"#, "client"),
            (400, r#"{"error":"invalid_request"}"#, "client"),
            (400, r#"{"error":"something_new"}"#, "client"),
            (401, "", "client"),
            (403, "<html>", "client"),
            (404, "", "client"),
            (302, "", "client"),
            (200, r#"{"access_token":"a","token_type":"DPoP"}"#, "doubt"),
            (429, r#"{"error":"invalid_grant"}"#, "unavailable"),
            (429, "", "unavailable"),
            (400, r#"{"error":"temporarily_unavailable"}"#, "unavailable"),
            (500, r#"{"error":"server_error"}"#, "doubt"),
            (400, r#"{"error":"server_error"}"#, "doubt"),
            (408, "", "doubt"),
            (504, "<html>", "doubt"),
            (502, "<html>", "doubt"),
            (503, r#"{"access_token":"a","token_type":"Bearer"}"#, "unavailable"),
            (200, "<html>", "doubt"),
            (200, "", "doubt"),
            (200, r#"{"token_type":"Bearer"}"#, "doubt"),
            (204, "", "doubt"),
            (201, r#"{"access_token":"a","token_type":"Bearer"}"#, "doubt"),
        ] {
            assert_eq!(name(outcome(status, body)), wanted, "{status} {body}");
        }
    }

    #[test]
    fn an_echo_does_not_leak() {
        let secrets = ["SplxlOBeZQQYbYS6WxSbIA", "12345678", "s&cret wörd", ""];
        let secrets = secrets.map(|text| Zeroizing::new(text.to_owned()));
        for (text, wanted) in [
            ("code SplxlOBeZQQYbYS6WxSbIA is used", "code … is used"),
            ("code=SplxlOBe…", "……"),
            ("(YbYS6WxSbIA)", "(…)"),
            ("12345678: unknown", "…: unknown"),
            ("s%26cret+w%C3%B6rd, s&cret wörd", "…, …"),
            ("invalid_grant: expired", "invalid_grant: expired"),
        ] {
            assert_eq!(redact(text, &secrets), wanted);
        }
    }
}
