// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an endpoint's answer means when it does not hold what was asked for. This is
//! docs/reference/server-answers.md as code.
//!
//! An answer with a status below 500 never counts as an outage, and what a server says about one code or token
//! never counts as the operator's fault. An answer without a word of OAuth never counts against what was sent, unless
//! the server serves others.

use std::fmt;

use super::token_response::ErrorResponse;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// Tokens for a code, or for another sign-in that is sent once.
    SignIn,
    /// Tokens for a refresh token.
    Refresh,
    /// What the server says about a token.
    Introspection,
}

/// What the answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server says that what was sent is not valid: the code, the refresh token or the token.
    Refused,
    /// The server refuses the request, and does not say that the proxy's client is the cause. If it otherwise
    /// serves that client, the cause is what was sent.
    RequestRefused,
    /// There is an answer, but no word of OAuth in it. A proxy in front of the server, or a wrong address, answers
    /// so to everybody. Only if the server serves others afterwards, the cause is what was sent.
    Unexplained,
    /// The server refuses the proxy's client. The operator must act, unless the server otherwise serves that client.
    ClientRefused,
    /// The address is wrong. The operator must act.
    Elsewhere,
    /// The server certainly did not act on the request, and may be asked again.
    NotNow,
    /// Nobody knows whether the server acted on the request.
    InDoubt,
}

/// Why a question has no usable answer. The server may have been reached all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A sentence for the log, without secrets.
    pub why: String,
    /// True when the server works, so that it need not be left alone for a while.
    pub answered: bool,
    /// True when no answer came, or only a part of one.
    pub silent: bool,
}

impl Trouble {
    /// No answer came, or only a part of one.
    pub fn unanswered(why: String) -> Trouble {
        Trouble { why, answered: false, silent: true }
    }

    /// An answer came, but it is of no use.
    pub fn answered(why: String) -> Trouble {
        Trouble { why, answered: true, silent: false }
    }

    /// Trouble with an answer that has this status. A server with an error of its own (500 and above) does not work.
    pub fn of_status(status: u16, why: String) -> Trouble {
        Trouble { why, answered: status < 500, silent: false }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Judges an answer that is an error, or no OAuth answer at all. `error` is the OAuth error in its body.
pub fn verdict(question: Question, status: u16, error: Option<&ErrorResponse>) -> Verdict {
    let word = error.map_or_else(String::new, |error| error.error.to_ascii_lowercase());
    let word = word.as_str();
    match status {
        425 | 429 => return Verdict::NotNow,
        _ if word == "temporarily_unavailable" || word == "slow_down" => return Verdict::NotNow,
        500..=599 if is_standard(word) => {}
        503 => return Verdict::NotNow,
        408 | 500..=599 => return Verdict::InDoubt,
        // 407 comes from an HTTP proxy.
        407 => return Verdict::Elsewhere,
        300..=399 => return Verdict::Unexplained,
        // A refresh can be tried again, so what became of it need not be known.
        ..=399 if error.is_none() && question == Question::Refresh => return Verdict::Unexplained,
        // A status below 300 is no refusal, and there is no error code. So nobody knows whether the server acted
        // on the request.
        ..=399 if error.is_none() => return Verdict::InDoubt,
        _ => {}
    }
    match word {
        "server_error" => Verdict::InDoubt,
        _ if blames_client(status, word) => Verdict::ClientRefused,
        _ if blames_what_was_sent(question, word) => Verdict::Refused,
        // RFC 6749 section 5.2 and RFC 7662 section 2.3 keep this status for clients that are not accepted.
        _ if status == 401 && !["code", "token", "grant"].iter().any(|part| names(word, part)) => {
            Verdict::ClientRefused
        }
        // RFC 6749 section 5.2: the status of a server that has read the request and does not accept it.
        _ if status == 400 || status == 422 || is_word(word) => Verdict::RequestRefused,
        _ => Verdict::Unexplained,
    }
}

/// True when the error code is one of RFC 6749 section 5.2, RFC 6750 section 3.1 or RFC 8628 section 3.5. A server
/// that says it has judged the request, whatever its status is.
fn is_standard(word: &str) -> bool {
    const STANDARD: [&str; 9] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_token",
        "expired_token",
        "access_denied",
    ];
    STANDARD.contains(&word)
}

/// False for what web frameworks write where OAuth has its error code: a sentence, the number of the HTTP status, or
/// its name.
fn is_word(word: &str) -> bool {
    const NAMES: [&str; 12] = [
        "unauthorized",
        "forbidden",
        "notfound",
        "methodnotallowed",
        "conflict",
        "gone",
        "payloadtoolarge",
        "contenttoolarge",
        "unsupportedmediatype",
        "misdirectedrequest",
        "locked",
        "upgraderequired",
    ];
    let letters: String = word.chars().filter(char::is_ascii_alphabetic).collect();
    !letters.is_empty() && !word.trim().contains(' ') && !NAMES.contains(&letters.as_str())
}

/// True when the error code is about the proxy's client, what the client may do, or the way to the server.
fn blames_client(status: u16, word: &str) -> bool {
    // Auth0 answers access_denied with 401 to a wrong client secret.
    let is_known =
        word == "unsupported_grant_type" || word == "invalid_grant_type" || word == "access_denied" && status == 401;
    is_known || ["client", "secret", "https", "ssl", "tls"].iter().any(|part| has_piece(word, part))
}

/// True when the error code is about the code, the refresh token or the token, or about something that the user
/// must do first.
fn blames_what_was_sent(question: Question, word: &str) -> bool {
    let names = |part| names(word, part);
    if question == Question::Introspection {
        // Such an error code is about the token and not about the client: that of RFC 6750 section 3.1, and what
        // other servers have made of it.
        return word == "invalid_grant" || names("token");
    }
    // RFC 6749 section 5.2, RFC 8628 section 3.5, OpenID Connect Core section 3.1.2.6.
    let is_standard = word == "invalid_grant" || word == "access_denied" || word == "expired_token";
    // `refresh_task` handles a refresh token that is refused with other error codes, because its access token is
    // still valid.
    let is_other = question == Question::SignIn && (names("code") || names("token") || names("grant"));
    is_standard || is_other || word.ends_with("_required")
}

/// True when the error code is about the thing itself, such as a token, and not about its type or its absence. The
/// phone has no say in these, and something that is missing is not invalid.
fn names(word: &str, part: &str) -> bool {
    let others = ["type", "hint", "method", "unsupported", "missing"];
    has_piece(word, part) && !others.iter().any(|other| has_piece(word, other))
}

/// True when the error code has this part between separators: `bad_verification_code` has `code`.
fn has_piece(word: &str, part: &str) -> bool {
    word.split(['_', '-', ' ', '.']).any(|piece| piece == part)
}

/// What the server said, for the log.
pub fn sentence(status: u16, error: Option<&ErrorResponse>, setting: &str) -> String {
    let http = format!("HTTP status {status}");
    match (status, error) {
        (300..=399, _) => format!("{http}: redirects are not followed, write the final address in {setting}"),
        (_, Some(ErrorResponse { error, description })) if description.is_empty() => format!("{http}, {error}"),
        (_, Some(ErrorResponse { error, description })) => format!("{http}, {error}: {description}"),
        (404 | 405, None) => format!("{http} without an OAuth error; is this address in {setting} right?"),
        (_, None) => format!("{http} without an OAuth error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 22] = [
        "",
        "temporarily_unavailable",
        "slow_down",
        "server_error",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "access_denied",
        "invalid_grant",
        "invalid_code",
        "bad_verification_code",
        "expired_token",
        "login_required",
        "mfa_required",
        "invalid_token",
        "invalid_refresh_token",
        "token_revoked",
        "invalid_request",
        "invalid_scope",
        "unsupported_token_type",
        "insufficient_scope",
        "something_new",
    ];

    fn of(question: Question, status: u16, word: &str) -> Verdict {
        let error = ErrorResponse { error: word.into(), description: String::new() };
        verdict(question, status, Some(&error).filter(|_| !word.is_empty()))
    }

    /// The table of docs/reference/server-answers.md. Where a status decides alone, every word is tried.
    #[test]
    fn every_cell_of_the_table() {
        use Question::{Introspection, Refresh, SignIn};
        use Verdict::{ClientRefused, Elsewhere, InDoubt, NotNow, Refused, RequestRefused, Unexplained};
        for question in [SignIn, Refresh, Introspection] {
            for word in WORDS {
                for status in [425, 429] {
                    assert_eq!(of(question, status, word), NotNow, "{question:?} {status} {word}");
                }
                let is_pause = ["temporarily_unavailable", "slow_down"].contains(&word);
                for status in [408, 500, 501, 502, 503, 504, 520, 599] {
                    let wanted = match status {
                        500.. if is_standard(word) => of(question, 403, word),
                        503 => NotNow,
                        _ if is_pause => NotNow,
                        _ => InDoubt,
                    };
                    assert_eq!(of(question, status, word), wanted, "{question:?} {status} {word}");
                }
            }
            for status in [200, 400, 403, 404, 422] {
                for (word, wanted) in [
                    ("temporarily_unavailable", NotNow),
                    ("slow_down", NotNow),
                    ("server_error", InDoubt),
                    ("invalid_client", ClientRefused),
                    ("unauthorized_client", ClientRefused),
                    ("unsupported_grant_type", ClientRefused),
                    ("invalid_grant_type", ClientRefused),
                    ("invalid_client_secret", ClientRefused),
                    ("client_secret_required", ClientRefused),
                    ("INVALID_CLIENT", ClientRefused),
                    ("https_required", ClientRefused),
                    ("ssl_required", ClientRefused),
                    ("Invalid_Grant", Refused),
                    ("invalid_grant", Refused),
                    ("invalid_code_challenge_method", RequestRefused),
                    ("invalid_token_type_hint", RequestRefused),
                    ("missing_token", RequestRefused),
                    ("missing_code", RequestRefused),
                    ("token_missing", RequestRefused),
                    ("expired_token", Refused),
                    ("invalid_request", RequestRefused),
                    ("invalid_scope", RequestRefused),
                    ("unsupported_token_type", RequestRefused),
                    ("something_new", RequestRefused),
                ] {
                    assert_eq!(of(question, status, word), wanted, "{question:?} {status} {word}");
                }
            }
            for word in ["", "unauthorized", "Unauthorized", "something_new", "invalid_request", "missing_token", "401"]
            {
                assert_eq!(of(question, 401, word), ClientRefused, "{question:?} {word}");
            }
            for word in ["invalid_grant", "expired_token"] {
                assert_eq!(of(question, 401, word), Refused, "{question:?} {word}");
            }
            for status in [400, 422] {
                assert_eq!(of(question, status, ""), RequestRefused, "{question:?} {status}");
            }
            for status in [403, 404, 405, 410, 413, 415, 421, 423, 426, 451] {
                for word in ["", "Not Found", "forbidden", "METHOD_NOT_ALLOWED", "the page is not here", "404"] {
                    assert_eq!(of(question, status, word), Unexplained, "{question:?} {status} {word}");
                }
            }
            for status in [200, 201, 204, 206, 100] {
                let wanted = if question == Refresh { Unexplained } else { InDoubt };
                assert_eq!(of(question, status, ""), wanted, "{question:?} {status}");
            }
            for word in ["", "invalid_grant", "invalid_client"] {
                for status in [301, 302, 303, 307, 308] {
                    assert_eq!(of(question, status, word), Unexplained, "{question:?} {status} {word}");
                }
                assert_eq!(of(question, 407, word), Elsewhere, "{question:?} {word}");
            }
            assert_eq!(of(question, 401, "access_denied"), ClientRefused);
        }
        for word in ["invalid_token", "invalid_refresh_token", "token_revoked"] {
            assert_eq!(of(SignIn, 400, word), Refused, "{word}");
            assert_eq!(of(Refresh, 401, word), RequestRefused, "{word}");
            assert_eq!(of(Introspection, 401, word), Refused, "{word}");
        }
        for word in ["invalid_code", "bad_verification_code"] {
            assert_eq!(of(SignIn, 200, word), Refused, "{word}");
            assert_eq!(of(Introspection, 400, word), RequestRefused, "{word}");
        }
        for word in ["login_required", "mfa_required", "access_denied"] {
            assert_eq!(of(SignIn, 403, word), Refused, "{word}");
            assert_eq!(of(Refresh, 400, word), Refused, "{word}");
            assert_eq!(of(Introspection, 403, word), RequestRefused, "{word}");
        }
    }

    #[test]
    fn what_is_said_of_them() {
        let error = ErrorResponse { error: "invalid_grant".into(), description: "too old".into() };
        assert_eq!(sentence(400, Some(&error), "token_endpoint"), "HTTP status 400, invalid_grant: too old");
        for (status, part) in [(302, "final address in token_endpoint"), (404, "right?"), (401, "without an OAuth")] {
            let text = sentence(status, None, "token_endpoint");
            assert!(text.contains(part) && text.contains(&status.to_string()), "{text}");
        }
    }
}
