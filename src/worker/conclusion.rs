// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a check: the status, the counters and the line in the log.

use super::registrations::ticket_of;
use super::result::CheckResult;
use crate::process::context::Context;
use crate::shared::counters::Counter;
use sipoauth_core::check::{Answer, Carried};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::ports::Level;
use sipoauth_core::reason::{Outcome, Reason};
use sipoauth_core::records::session::id_text;
use sipoauth_core::sip::challenge::Location;
use sipoauth_core::text::fingerprint::printable;

/// Completes the results of checks.
pub struct Conclusion<'w> {
    pub(super) context: &'w Context,
    pub(super) policy: &'w Policy,
}

impl Conclusion<'_> {
    /// Sets the status of a decided request, counts the request and logs it.
    pub(super) fn finish(&self, result: &mut CheckResult, proxy: bool) {
        result.proxy = proxy;
        let settings = &self.policy.settings;
        let counters = &self.context.arena().shared().counters;
        let reason = result.answer.reason();
        result.status = self.status_of(&result.answer, proxy);
        if result.status == 503 && result.retry_after == 0 {
            result.retry_after = settings.retry_after;
        }
        if let Some(session) = &result.answer.session {
            result.session = id_text(&session.id);
        }
        if let Some(registration) = &mut result.answer.registration {
            result.ticket = ticket_of(self.context, registration);
        }
        // The second step decides, and counts.
        if reason == Reason::DigestUnchecked {
            if result.answer.wrong_digest.is_some() {
                counters.add(Counter::Denied);
                counters.add_reason(Reason::DigestMismatch);
                self.context.log().log(Level::Info, &describe(result, Reason::DigestMismatch));
            }
            return;
        }
        counters.add(match reason.outcome() {
            Outcome::Accepted => Counter::Accepted,
            Outcome::NoCredentials => Counter::NoCredentials,
            Outcome::NotNow => Counter::NotNow,
            Outcome::Challenge | Outcome::Forbidden | Outcome::BadRequest | Outcome::UnsupportedMedia => {
                Counter::Denied
            }
        });
        counters.add_reason(reason);
        if result.answer.token.is_some() || result.answer.unverified.is_some() {
            counters.add(if result.answer.cached { Counter::CacheHits } else { Counter::CacheMisses });
        }
        match reason.outcome() {
            Outcome::Accepted | Outcome::NoCredentials => {}
            Outcome::NotNow => self.tell_refusal(result, Level::Warn),
            _ => self.tell_refusal(result, Level::Info),
        }
    }

    /// The SIP status that goes with an answer.
    pub(super) fn status_of(&self, answer: &Answer, proxy: bool) -> u32 {
        let (policy, reason) = (self.policy, answer.reason());
        // A challenge of the Key-Derivation scheme never redirects, because nobody signs in elsewhere with a
        // password of this proxy.
        let redirects = policy.location == Location::Redirect && answer.challenge.is_none();
        match reason.outcome() {
            Outcome::Accepted => 200,
            Outcome::Challenge if reason == Reason::InsufficientScope && policy.settings.scope_status == 403 => 403,
            Outcome::NoCredentials | Outcome::Challenge if proxy => 407,
            Outcome::NoCredentials | Outcome::Challenge if redirects => 302,
            Outcome::NoCredentials | Outcome::Challenge => 401,
            Outcome::Forbidden => 403,
            Outcome::BadRequest => 400,
            Outcome::UnsupportedMedia => 415,
            Outcome::NotNow => 503,
        }
    }

    pub(super) fn tell_refusal(&self, result: &CheckResult, level: Level) {
        self.context.log().log(level, &describe(result, result.answer.reason()));
    }

    /// The result for a request that should have been parked but could not be.
    pub fn overloaded(&self, mut result: CheckResult) -> CheckResult {
        result.pending = None;
        result.answer.reason = Some(Reason::Overloaded);
        self.finish(&mut result, false);
        result
    }

    /// The result for a request that the host cannot parse.
    pub fn malformed(&self) -> CheckResult {
        let answer = Answer { reason: Some(Reason::RequestMalformed), ..Answer::default() };
        let mut result = CheckResult { answer, ..CheckResult::default() };
        self.finish(&mut result, false);
        result
    }

    /// The result for a request that the host failed to handle. The request may have been counted already.
    pub fn failed(&self) -> CheckResult {
        let answer = Answer { reason: Some(Reason::Internal), ..Answer::default() };
        let retry_after = self.policy.settings.retry_after;
        let result = CheckResult { answer, status: 503, retry_after, ..CheckResult::default() };
        self.context.arena().shared().counters.add_reason(Reason::Internal);
        self.tell_refusal(&result, Level::Warn);
        result
    }
}

/// True when the address that the request uses is a part of what is wrong. It identifies a user, so not every log
/// line has it.
fn is_about_address(answer: &Answer) -> bool {
    use Reason::{AorMismatch, DomainMismatch, IdentityMissing, ThirdPartyRegistration};
    let owner = matches!(answer.reason(), AorMismatch | DomainMismatch | IdentityMissing | ThirdPartyRegistration);
    owner || !matches!(answer.carried, Carried::Nothing | Carried::Token | Carried::Connection)
}

fn describe(result: &CheckResult, reason: Reason) -> String {
    let shown = result.shown();
    let (issuer, kid, token) = match (&shown, &result.answer.unverified) {
        (Some(shown), _) => (shown.issuer, shown.kid, shown.fingerprint),
        (None, Some(seen)) => (seen.issuer.as_str(), seen.kid.as_str(), seen.fingerprint.as_str()),
        (None, None) => ("", "", ""),
    };
    let mut line = format!("{} {}: {}", result.status, reason.code(), reason.text());
    let (session, aor) = match &result.answer.session {
        Some(used) => (result.session.as_str(), used.aor.as_str()),
        None if is_about_address(&result.answer) => ("", result.origin.address.as_str()),
        // The check let the request in as this user, but a later requirement was not met.
        None if result.granted.is_some() => ("", shown.map_or("", |shown| shown.aor)),
        None => ("", ""),
    };
    let sent = if result.answer.carried == Carried::Connection { "earlier on this connection" } else { "" };
    let facts = [
        ("provider", result.provider()),
        ("issuer", issuer),
        ("kid", kid),
        ("token", token),
        ("session", session),
        ("aor", aor),
        ("source", result.origin.source.as_str()),
        ("sent", sent),
        ("claim", result.answer.unverified.as_ref().map_or("", |seen| seen.claim_fault.as_str())),
        ("unproved_key", result.answer.unproved_key.as_deref().unwrap_or_default()),
        ("needed_scope", result.needed_scope.as_str()),
        ("digest", result.answer.wrong_digest.as_deref().unwrap_or_default()),
        ("attempt", result.answer.attempt.as_ref().map_or("", |attempt| attempt.differs.name())),
    ];
    for (name, value) in facts.into_iter().filter(|f| !f.1.is_empty()) {
        line.push_str(&format!(" {name}={}", printable(value, 128)));
    }
    line
}
