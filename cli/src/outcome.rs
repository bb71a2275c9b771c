// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an answer means for the phone: the exit code, and the sentence that says what to do next.

use std::time::{Duration, SystemTime};

use sipoauth_core::sip::key_derivation::SCHEME;

use crate::header::{self, HeaderChallenge};
use crate::message::Response;

/// Registered, unregistered or accepted.
pub const ACCEPTED: u8 = 0;
/// The user must sign in.
pub const SIGN_IN: u8 = 2;
/// The proxy refuses the request.
pub const REFUSED: u8 = 3;
/// The proxy asks to try again later.
pub const NOT_NOW: u8 = 4;
/// The proxy did not prove that it has the key.
pub const UNPROVEN: u8 = 5;

/// The meaning of a final answer.
#[derive(Debug)]
pub struct RegisterOutcome {
    /// A word or two for programs.
    pub result: &'static str,
    /// The exit code.
    pub exit: u8,
    /// One sentence for people.
    pub sentence: String,
    /// Seconds granted, after a registration.
    pub expires: Option<u32>,
    /// When the registration ends, as an HTTP date.
    pub until: Option<String>,
    /// All challenges, Bearer or not.
    pub challenges: Vec<HeaderChallenge>,
    /// Where a 401 or 302 sends the phone.
    pub location: Option<String>,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
}

/// The parts of the request that the meaning of its answer depends on.
pub struct SentRequest<'a> {
    /// Was it a REGISTER?
    pub register: bool,
    /// The Contact's URI.
    pub contact: &'a str,
    /// Seconds asked for.
    pub expires: u32,
    /// What another challenge means after one has been answered.
    pub refusal: Option<&'static str>,
}

/// Judges a final answer.
pub fn judge(response: &Response, asked: &SentRequest<'_>, now: SystemTime) -> RegisterOutcome {
    let mut outcome = RegisterOutcome {
        result: "refused",
        exit: REFUSED,
        sentence: String::new(),
        expires: None,
        until: None,
        challenges: response.challenges(),
        location: location(response),
        retry_after: response.number("Retry-After"),
    };
    let status = response.status_line();
    match response.status {
        200..=299 => {
            outcome.exit = ACCEPTED;
            accepted(&mut outcome, response, asked, now);
        }
        401 | 407 if asked.refusal.is_some() => {
            outcome.sentence = format!("refused: {status}; {}", asked.refusal.unwrap_or_default());
        }
        401 | 407 | 302 => {
            outcome.exit = SIGN_IN;
            outcome.result = "sign-in needed";
            outcome.sentence = format!("sign-in needed: {status}; {}", sign_in(&outcome));
        }
        503 => {
            outcome.exit = NOT_NOW;
            outcome.result = "not now";
            let hint = match outcome.retry_after {
                Some(seconds) => format!(
                    "try again after {seconds} s with the same credential, or use --retry; the proxy's log has the reason"
                ),
                None => "it does not say when to try again; look into the proxy's log".into(),
            };
            outcome.sentence = format!("not now: {status}; {hint}");
        }
        _ => outcome.sentence = format!("refused: {status}; {}", what_to_do(response)),
    }
    outcome
}

fn accepted(outcome: &mut RegisterOutcome, response: &Response, asked: &SentRequest<'_>, now: SystemTime) {
    let (result, sentence) = if !asked.register {
        ("accepted", format!("accepted: {}", response.status_line()))
    } else if asked.expires == 0 {
        ("unregistered", "unregistered".to_owned())
    } else {
        let seconds = granted(response, asked);
        let until = now.checked_add(Duration::from_secs(seconds.into())).map(httpdate::fmt_http_date);
        let until = until.unwrap_or_default();
        outcome.expires = Some(seconds);
        outcome.until = Some(until.clone());
        ("registered", format!("registered until {until} ({seconds} s)"))
    };
    (outcome.result, outcome.sentence) = (result, sentence);
}

/// Seconds granted to our Contact (RFC 3261 section 10.2.4): its parameter, else the Expires header.
fn granted(response: &Response, asked: &SentRequest<'_>) -> u32 {
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<u32>().ok();
    let contacts: Vec<&[u8]> = response.all("Contact").flat_map(header::list).collect();
    let ours = contacts.iter().find(|value| header::addr_spec(value) == asked.contact.as_bytes());
    let ours = ours.or(if contacts.len() == 1 { contacts.first() } else { None });
    let granted = ours.and_then(|value| header::param(value, "expires")).and_then(number);
    granted.or_else(|| response.number("Expires")).unwrap_or(asked.expires)
}

/// The address of the authorization server outside the challenge: Location, or the Contact of a 302.
fn location(response: &Response) -> Option<String> {
    let contact = if response.status == 302 { response.header("Contact") } else { None };
    let value = response.header("Location").or(contact)?;
    Some(String::from_utf8_lossy(header::addr_spec(value)).into_owned())
}

fn sign_in(outcome: &RegisterOutcome) -> String {
    let Some(bearer) = outcome.challenges.iter().find(|challenge| challenge.is("Bearer")) else {
        return match (&outcome.location, outcome.challenges.first()) {
            (Some(location), _) => format!("sign in at {location}, then use --code or --token"),
            (None, Some(other)) => {
                let answer = match () {
                    () if other.is("Digest") => "--grant password with --password-file answers it",
                    () if other.is(SCHEME) => "--key-derivation with --password-file answers it",
                    () => "check its challenge function",
                };
                format!("the proxy offers {} only, not Bearer; {answer}", other.scheme)
            }
            (None, None) => "but the answer says nothing about where; check the proxy's challenge function".into(),
        };
    };
    let again = match bearer.param("error") {
        Some("invalid_token") => {
            "the credential is wrong, expired, revoked or not for this proxy (its log has the reason): "
        }
        Some("invalid_scope" | "insufficient_scope") => "the token lacks a scope: ",
        _ => "",
    };
    let scope = bearer.param("scope").map(|scope| format!(" with scope {scope:?}")).unwrap_or_default();
    match bearer.param("authz_server").or(outcome.location.as_deref()) {
        Some(server) => format!("{again}sign in at {server}{scope}, then use --code or --token"),
        None => format!("{again}the challenge names no authz_server; sign in{scope} where the operator says"),
    }
}

fn what_to_do(response: &Response) -> String {
    let number = |name: &str, otherwise: &str| response.number(name).map_or(otherwise.to_owned(), |n| n.to_string());
    match response.status {
        300..=399 => "the proxy sends the phone elsewhere, which this tool does not follow; see Contact".into(),
        400 => "the proxy cannot read the request; the reason phrase or its log says which part".into(),
        403 => "the credential is not for this --aor, or policy forbids it; the proxy's log has the reason".into(),
        404 => "the proxy does not know this --aor or --to; check it and the domain".into(),
        405 => "the proxy does not take this --method there".into(),
        413 => "the request is too large for the proxy; use a shorter token".into(),
        415 => "the proxy does not take this body; check --content-type and whether it accepts codes and proofs".into(),
        420 => "the proxy lacks an extension; see Unsupported".into(),
        423 => format!("ask for longer: --expires {}", number("Min-Expires", "N")),
        429 => format!("too many tries; wait {} s", number("Retry-After", "some")),
        500..=599 => "the proxy or what is behind it failed; look into its log".into(),
        _ => "look into the proxy's log".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> RegisterOutcome {
        let asked = SentRequest { register: true, contact: "sip:a@h:1", expires: 3600, refusal: None };
        judge(&Response::parse(text.as_bytes()).unwrap(), &asked, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn takes_the_time_of_its_own_contact() {
        let ok =
            outcome("SIP/2.0 200 OK\r\nExpires: 9\r\nm: <sip:b@h>;expires=5, \"x,y\" <sip:a@h:1>;expires=60\r\n\r\n");
        assert_eq!((ok.exit, ok.result, ok.expires), (ACCEPTED, "registered", Some(60)));
        assert_eq!(ok.sentence, "registered until Thu, 01 Jan 1970 00:01:00 GMT (60 s)");
        assert_eq!(outcome("SIP/2.0 200 OK\r\nExpires: 9\r\n\r\n").expires, Some(9));
        assert_eq!(outcome("SIP/2.0 200 OK\r\n\r\n").expires, Some(3600));
    }

    #[test]
    fn says_where_to_sign_in() {
        let challenge = "Bearer realm=\"r\", authz_server=\"https://as/\", scope=\"sip\", error=\"invalid_token\"";
        let asked = outcome(&format!("SIP/2.0 401 No\r\nWWW-Authenticate: {challenge}\r\n\r\n"));
        assert_eq!(asked.exit, SIGN_IN);
        assert!(asked.sentence.contains("sign in at https://as/ with scope \"sip\""), "{}", asked.sentence);
        let moved = outcome("SIP/2.0 302 Go\r\nContact: <https://as/x;y=z>\r\n\r\n");
        assert_eq!((moved.exit, moved.location.as_deref()), (SIGN_IN, Some("https://as/x;y=z")));
        let derived = outcome("SIP/2.0 401 No\r\nWWW-Authenticate: Key-Derivation realm=\"r\"\r\n\r\n");
        assert!(derived.sentence.contains("Key-Derivation only, not Bearer; --key-derivation"), "{}", derived.sentence);
        let digest = outcome("SIP/2.0 407 No\r\nProxy-Authenticate: Digest realm=\"r\"\r\n\r\n");
        assert!(digest.sentence.contains("Digest only, not Bearer; --grant password"), "{}", digest.sentence);
    }

    #[test]
    fn every_status_has_an_exit_code() {
        for (status, exit) in
            [(202, 0), (300, 3), (302, 2), (400, 3), (403, 3), (407, 2), (423, 3), (500, 3), (503, 4), (603, 3)]
        {
            assert_eq!(outcome(&format!("SIP/2.0 {status} X\r\n\r\n")).exit, exit, "{status}");
        }
        assert_eq!(outcome("SIP/2.0 503 X\r\nRetry-After: 7 (busy);duration=9\r\n\r\n").retry_after, Some(7));
        assert!(outcome("SIP/2.0 423 X\r\nMin-Expires: 60\r\n\r\n").sentence.contains("--expires 60"));
    }
}
