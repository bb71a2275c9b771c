// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers to requests that were not accepted: status, phrase and header lines.

use std::time::{Duration, UNIX_EPOCH};

use super::conclusion::Conclusion;
use super::result::CheckResult;
use crate::clock::now_millis;
use crate::process::context::Context;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::oauth::grant::CONTENT_TYPE;
use sipoauth_core::ports::Level;
use sipoauth_core::reason::Reason;
use sipoauth_core::sip::challenge::{Challenge, may_be_challenged};

/// Longest Reason-Phrase in octets.
const MAX_PHRASE: usize = 159;

/// What an answer needs to know of its request.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Its method.
    pub method: &'a str,
    /// The realm that its challenge names; empty: the configured one, else the domain.
    pub realm: &'a str,
    /// Domain of the request's address-of-record.
    pub domain: &'a str,
    /// The request is challenged in the role of a proxy.
    pub proxy: bool,
    /// Its sender's address, for the log.
    pub source: &'a str,
}

/// An answer to a request that was not accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// SIP status; 0: no answer is sent.
    pub status: u32,
    /// Reason-Phrase.
    pub phrase: String,
    /// Header lines, each with CRLF.
    pub headers: String,
}

impl Reply {
    /// An answer with these header lines.
    pub(super) fn new(status: u32, phrase: &str, headers: String) -> Reply {
        Reply { status, phrase: phrase.to_owned(), headers }
    }

    /// An answer that challenges, with these header lines.
    pub fn challenge(status: u32, headers: String) -> Reply {
        let phrase = match status {
            302 => "Moved Temporarily",
            407 => "Proxy Authentication Required",
            _ => "Unauthorized",
        };
        Reply::new(status, phrase, headers)
    }
}

/// Makes the answers of one process.
pub struct Replies<'w> {
    pub(super) context: &'w Context,
    pub(super) policy: &'w Policy,
}

impl Replies<'_> {
    /// The answer for the result of a check, or of a later requirement. None when the request was accepted.
    pub fn to(&self, result: &mut CheckResult, request: &Answered<'_>) -> Option<Reply> {
        let reason = result.answer.reason();
        if reason == Reason::Ok && result.pending.is_none() {
            return None;
        }
        if result.granted.is_some() {
            // The failed requirement refuses the request only now, so it is logged now.
            request.source.clone_into(&mut result.origin.source);
            Conclusion { context: self.context, policy: self.policy }.tell_refusal(result, Level::Info);
        }
        let reply = match result.status {
            401 | 407 | 302 => return Some(self.challenge_reply(result, request)),
            403 if reason == Reason::PopStale => Reply::new(403, "Stale Date", date_line(now_millis())),
            403 => Reply::new(403, "Forbidden", String::new()),
            400 => Reply::new(400, &phrase(reason.text()), String::new()),
            415 => Reply::new(415, "Unsupported Media Type", format!("Accept: {CONTENT_TYPE}\r\n")),
            // A result that is still pending also gets a 503, because a host that answers does not wait.
            _ => {
                let seconds = match result.retry_after {
                    0 => self.policy.settings.retry_after,
                    seconds => seconds,
                };
                Reply::new(503, "Service Unavailable", format!("Retry-After: {seconds}\r\n"))
            }
        };
        Some(reply)
    }

    fn challenge_reply(&self, result: &CheckResult, request: &Answered<'_>) -> Reply {
        if !may_be_challenged(request.method) {
            return Reply::default();
        }
        if let Some(reply) = key_derivation_challenge(result) {
            return reply;
        }
        let challenge = Challenge {
            proxy: match result.status {
                302 => request.proxy,
                status => status == 407,
            },
            realm: request.realm,
            error: result.answer.reason().oauth_error(),
            scope: &result.needed_scope,
            ..Challenge::default()
        };
        let (status, headers) = self.challenge(&challenge, request.domain);
        Reply::challenge(status, headers)
    }

    /// The status and the header lines of a challenge.
    pub fn challenge(&self, challenge: &Challenge<'_>, domain: &str) -> (u32, String) {
        let policy = self.policy;
        let provider = policy.provider_for_domain(domain);
        let or = |given, default| if str::is_empty(given) { default } else { given };
        let challenge = Challenge {
            realm: or(challenge.realm, or(&policy.settings.realm, domain)),
            authz_server: or(challenge.authz_server, &provider.authz_server),
            scope: or(challenge.scope, &provider.challenge_scope),
            location: policy.location,
            ..*challenge
        };
        (challenge.status(), challenge.header_lines())
    }
}

/// The challenge that a check of the Key-Derivation scheme has made.
pub fn key_derivation_challenge(result: &CheckResult) -> Option<Reply> {
    let challenge = result.answer.challenge.as_ref()?;
    let (name, status) = if result.proxy { ("Proxy-Authenticate", 407) } else { ("WWW-Authenticate", 401) };
    Some(Reply::challenge(status, format!("{name}: {}\r\n", challenge.to_text())))
}

/// Lets a phone with a wrong clock correct itself (RFC 4474 section 6).
fn date_line(now: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(now.max(0).unsigned_abs());
    format!("Date: {}\r\n", httpdate::fmt_http_date(time))
}

/// A sentence as Reason-Phrase. It tells a phone's developer what to fix.
fn phrase(sentence: &str) -> String {
    let printable = sentence.chars().filter(|c| matches!(c, ' '..='~'));
    printable.take(MAX_PHRASE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_one_line_of_printable_characters() {
        assert_eq!(phrase("a\r\nb…\u{7f}c"), "abc");
        assert_eq!(phrase(&"x".repeat(500)).len(), MAX_PHRASE);
    }

    #[test]
    fn a_date_is_that_of_rfc_3261() {
        assert_eq!(date_line(784_111_777_123), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    }
}
