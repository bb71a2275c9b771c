// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request to a token endpoint, and what the answer means for the caller.

use zeroize::Zeroizing;

use super::client_post::ClientPost;
use super::exchange::TokenError;
use super::token_response::{IssuedTokens, ResponseError, TokenResponse};
use super::verdict::{Question, Trouble, Verdict, sentence, verdict};
use crate::config::client::Client;
use crate::ports::{Level, Log, Post, PostError};

/// What all requests to one token endpoint need.
#[derive(Clone, Copy)]
pub(super) struct TokenEndpoint<'a> {
    pub http: &'a dyn Post,
    /// Learns what is odd about an answer that is used.
    pub log: &'a dyn Log,
    pub address: &'a str,
    /// The name of the provider.
    pub provider: &'a str,
    pub client: &'a Client,
}

/// Asks for tokens. `grant` holds the parameters of the grant; `secrets` are the values among them that must not
/// appear in an error.
pub(super) fn ask(
    TokenEndpoint { http, log, address, provider, client }: TokenEndpoint<'_>,
    question: Question,
    grant: &[(&str, &str)],
    secrets: &[&str],
    now: i64,
) -> Result<IssuedTokens, TokenError> {
    let not_sent = |text| TokenError::Unavailable(Trouble::unanswered(text));
    let post = ClientPost::new(client, address, grant, secrets, now).map_err(not_sent)?;
    let answered = post.send(http, "application/json", false).map_err(|error| match error {
        PostError::NotSent(text) => not_sent(text),
        PostError::InDoubt(text) => TokenError::InDoubt(Trouble::unanswered(text)),
        PostError::Unreadable(text) if question == Question::Refresh => TokenError::Unexplained(text),
        PostError::Unreadable(text) => TokenError::InDoubt(Trouble::answered(text)),
    })?;
    let received = Zeroizing::new(answered.body);
    let tokens = judge(question, answered.status, TokenResponse::parse(&received), &|text| post.say(text))?;
    // A refresh comes once an hour for each session, so its log lines would be many.
    let level = if question == Question::Refresh { Level::Debug } else { Level::Info };
    for what in &tokens.odd {
        log.log(level, &format!("provider '{provider}': an answer with tokens is odd: {}", post.say(what)));
    }
    Ok(tokens)
}

/// Judges an answer. `say` makes a text fit for the log.
fn judge(
    question: Question,
    status: u16,
    response: Result<TokenResponse, ResponseError>,
    say: &dyn Fn(&str) -> String,
) -> Result<IssuedTokens, TokenError> {
    let no_tokens = |problem: &str| match question {
        Question::Refresh => TokenError::Unexplained(say(&format!("HTTP status {status}, but {problem}"))),
        // The code may be spent.
        _ => TokenError::InDoubt(Trouble::answered(say(problem))),
    };
    let error = match response {
        // RFC 6749 section 5.1 requires status 200, but tokens that come with another 2xx are used, too.
        Ok(TokenResponse::Issued(tokens)) if (200..=299).contains(&status) => {
            return match tokens.master_key_problem {
                // The phone would make its proofs with another key than the proxy. A refresh gives no such key.
                Some(problem) if question != Question::Refresh => Err(no_tokens(problem)),
                _ => Ok(tokens),
            };
        }
        Err(ResponseError::OtherType(other)) if (200..=299).contains(&status) => {
            return Err(no_tokens(&format!("the tokens are of type '{other}', only Bearer is supported")));
        }
        Err(ResponseError::Malformed(problem)) if (200..=299).contains(&status) => return Err(no_tokens(problem)),
        // Some servers send errors with status 200, too.
        Ok(TokenResponse::Error(error)) => Some(error),
        Ok(TokenResponse::Issued(_)) | Err(_) => None,
    };
    let text = say(&sentence(status, error.as_ref(), "token_endpoint"));
    let trouble = |text| Trouble::of_status(status, text);
    Err(match verdict(question, status, error.as_ref()) {
        Verdict::Refused => TokenError::Refused(text),
        Verdict::RequestRefused => TokenError::RequestRefused(text),
        Verdict::Unexplained => TokenError::Unexplained(text),
        Verdict::ClientRefused => TokenError::ClientRefused(text),
        Verdict::Elsewhere => TokenError::Misconfigured(text),
        Verdict::NotNow => TokenError::Unavailable(trouble(text)),
        Verdict::InDoubt => TokenError::InDoubt(trouble(text)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(question: Question, status: u16, body: &str) -> Result<IssuedTokens, TokenError> {
        judge(question, status, TokenResponse::parse(body.as_bytes()), &str::to_owned)
    }

    #[test]
    fn tokens_that_came_are_used_and_nothing_else() {
        const TOKENS: &str = r#"{"access_token":"a"}"#;
        for question in [Question::SignIn, Question::Refresh] {
            for status in [200, 201, 203] {
                assert!(outcome(question, status, TOKENS).is_ok(), "{status}");
            }
            for status in [199, 300, 302, 400, 401, 404, 408, 429, 500, 503] {
                assert!(outcome(question, status, TOKENS).is_err(), "{status}");
            }
        }
    }

    #[test]
    fn a_word_of_oauth_counts_more_than_an_error_of_the_server() {
        for question in [Question::SignIn, Question::Refresh] {
            for status in [500, 502, 503, 504] {
                let say = |word: &str| outcome(question, status, &format!(r#"{{"error":"{word}"}}"#));
                assert!(matches!(say("invalid_grant"), Err(TokenError::Refused(_))), "{question:?} {status}");
                assert!(matches!(say("invalid_client"), Err(TokenError::ClientRefused(_))), "{question:?} {status}");
                let other = say("token_service_down");
                assert!(
                    matches!(other, Err(TokenError::InDoubt(_) | TokenError::Unavailable(_))),
                    "{status}: {other:?}"
                );
            }
        }
    }

    #[test]
    fn a_refresh_whose_answer_has_no_tokens_was_answered() {
        for (status, body) in [
            (200, "<html>"),
            (200, ""),
            (200, "{}"),
            (200, r#"{"success":false}"#),
            (200, r#"{"access_token":"a","token_type":"DPoP"}"#),
            (204, ""),
            (302, ""),
            (404, "404 page not found"),
            (403, "<html>"),
            (413, ""),
            (404, r#"{"status":404,"error":"Not Found"}"#),
        ] {
            let said = outcome(Question::Refresh, status, body);
            assert!(matches!(said, Err(TokenError::Unexplained(_))), "{status} {body}: {said:?}");
        }
        let odd = r#"{"access_token":"a","refresh_token":"r","id_token":false,"master-key":7,"scope":true}"#;
        assert!(outcome(Question::Refresh, 200, odd).is_ok());
        assert!(
            matches!(outcome(Question::SignIn, 200, odd), Err(TokenError::InDoubt(_))),
            "a master-key is for proofs"
        );
    }

    #[test]
    fn answers_are_no_outages_but_those_of_a_server_with_an_error_of_its_own() {
        for (status, body, down) in [
            (200, r#"{"access_token":"a","token_type":"DPoP"}"#, false),
            (200, r#"{"token_type":"Bearer"}"#, false),
            (200, "<html>", false),
            (200, "", false),
            (204, "", false),
            (400, r#"{"error":"server_error"}"#, false),
            (400, r#"{"error":"temporarily_unavailable"}"#, false),
            (408, "", false),
            (425, "", false),
            (429, "", false),
            (500, r#"{"error":"server_error"}"#, true),
            (502, "<html>", true),
            (503, r#"{"access_token":"a"}"#, true),
        ] {
            let (TokenError::Unavailable(trouble) | TokenError::InDoubt(trouble)) =
                outcome(Question::SignIn, status, body).expect_err(body)
            else {
                panic!("{status} {body} is a refusal");
            };
            assert_eq!(trouble.answered, !down, "{status} {body}");
        }
    }
}
