// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request to a token endpoint, and what the answer means for whoever asked.

use zeroize::Zeroizing;

use super::client_post::ClientPost;
use super::exchange::TokenError;
use crate::config::client::Client;
use crate::ports::{Post, PostError};
use crate::proto::token_response::{ErrorResponse, IssuedTokens, ResponseError, TokenResponse};

/// Asks for tokens. `grant` holds the parameters of the grant; of these, `secrets` must not be seen in an error.
pub(super) fn ask(
    http: &dyn Post,
    endpoint: &str,
    client: &Client,
    grant: &[(&str, &str)],
    secrets: &[&str],
    now: i64,
) -> Result<IssuedTokens, TokenError> {
    let post = ClientPost::new(client, endpoint, grant, secrets, now).map_err(TokenError::Unavailable)?;
    let answered = post.send(http, "application/json", false).map_err(|error| match error {
        PostError::NotSent(text) => TokenError::Unavailable(text),
        PostError::InDoubt(text) => TokenError::InDoubt(text),
    })?;
    let received = Zeroizing::new(answered.body);
    judge(answered.status, TokenResponse::parse(&received), &|text| post.say(text))
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
        // RFC 6749 section 5.1 has 200; tokens that came are used.
        (200..=299, Ok(TokenResponse::Issued(tokens))) => return Ok(tokens),
        // Only these two say that the request was turned away; after any other failure the code may be spent.
        (429 | 503, Ok(TokenResponse::Error(e))) => Unavailable(say(&format!("{http}, {}", sentence(&e)))),
        (429 | 503, _) => Unavailable(say(&http)),
        (408 | 500..=599, Ok(TokenResponse::Error(e))) => InDoubt(say(&format!("{http}, {}", sentence(&e)))),
        (408 | 500..=599, _) => InDoubt(say(&http)),
        // Some servers say 200 to errors too.
        (200..=299 | 400..=499, Ok(TokenResponse::Error(error))) => judge_error(status, &error, say),
        (400..=499, _) => ClientRefused(say(&format!("{http} without an OAuth error; is this the token endpoint?"))),
        (300..=399, _) => ClientRefused(say(&format!(
            "{http}: redirects are not followed, write the final address in token_endpoint"
        ))),
        (200..=299, Err(ResponseError::Malformed(problem))) => InDoubt(say(problem)),
        (200..=299, Err(ResponseError::OtherType(other))) => {
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

/// What the server says of an error.
pub(super) fn sentence(error: &ErrorResponse) -> String {
    match error.description.as_str() {
        "" => error.error.clone(),
        description => format!("{}: {description}", error.error),
    }
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
        ] {
            assert_eq!(name(outcome(status, body)), wanted, "{status} {body}");
        }
        for status in [200, 201, 203] {
            let tokens = TokenResponse::parse(br#"{"access_token":"a"}"#);
            assert!(judge(status, tokens, &str::to_owned).is_ok(), "{status}");
        }
    }
}
