// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a check gives its caller.

use std::sync::Arc;

use crate::process::job::Errand;
use sipoauth_core::check::Answer;
use sipoauth_core::check::known_token::KnownToken;
use sipoauth_core::check::verified_token::TokenFacts;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::text::fingerprint::hex_digits;

/// The outcome of a check.
#[derive(Clone, Debug, Default)]
pub struct CheckResult {
    /// Everything that is known of the token, except what `glance` has.
    pub answer: Answer,
    /// What is remembered of the token, if the request was accepted because it is like an earlier one.
    pub glance: Option<Glance>,
    /// The token of such a request.
    pub sent: SentToken,
    /// Suggested SIP status.
    pub status: u32,
    /// Seconds for Retry-After, with status 503.
    pub retry_after: u32,
    /// What must be done first. The host parks the request and submits this as a job.
    pub pending: Option<Errand>,
    /// The policy by which the request was judged.
    pub policy: Option<Arc<Policy>>,
    /// The session of an accepted code or proof, as text.
    pub session: String,
    /// The ticket for the end of a registration with a code.
    pub ticket: String,
    /// What the accepted token or session gives, whatever was required later. Identity, claims and token depend on
    /// this.
    pub granted: Option<Granted>,
    /// The scopes that a token needs for the request, when one was missing.
    pub needed_scope: String,
    /// The check was made in the proxy's role.
    pub proxy: bool,
    /// Where the request came from, for the log.
    pub origin: Origin,
}

/// The octets of a token, which stay out of logs.
#[derive(Clone, Default)]
pub struct SentToken(Vec<u8>);

impl std::fmt::Debug for SentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SentToken(…)")
    }
}

impl SentToken {
    pub(super) fn put(&mut self, token: &[u8]) {
        self.0.clear();
        self.0.extend_from_slice(token);
    }

    /// The token.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The token of a request that was accepted because it is like an earlier one.
#[derive(Clone, Debug)]
pub struct Glance {
    known: KnownToken,
    fingerprint: [u8; 16],
    at: i64,
}

impl Glance {
    /// `at` is the time of the request, Unix seconds.
    #[inline]
    pub(super) fn new(known: &KnownToken, at: i64) -> Glance {
        Glance { known: *known, fingerprint: hex_digits(known.fingerprint()), at }
    }

    /// What is remembered of the token, and the time of the request in Unix seconds.
    pub(super) fn known(&self) -> (&KnownToken, i64) {
        (&self.known, self.at)
    }

    /// What is shown of it. `policy` is that of the check.
    pub(super) fn shown<'a>(&'a self, policy: Option<&'a Policy>) -> TokenFacts<'a> {
        let provider = policy.and_then(|policy| policy.providers.get(self.known.provider()));
        let fingerprint = std::str::from_utf8(&self.fingerprint).unwrap_or_default();
        TokenFacts { fingerprint, ..self.known.shown(provider.map_or("", |provider| &provider.issuer)) }
    }
}

/// What an accepted token or session gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The services, separated by a comma. Empty when the request was accepted at a glance, which names them itself.
    services: String,
    /// Most seconds for which a REGISTER may be bound; 0: no limit.
    pub expires_limit: u32,
}

impl Granted {
    pub(super) fn new(services: String, expires_limit: u32) -> Granted {
        Granted { services, expires_limit }
    }
}

/// Where a request came from. Both are empty when the request was accepted.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Text of the sender's address.
    pub source: String,
    /// The address-of-record that the request was sent for.
    pub address: String,
}

impl CheckResult {
    /// Name of the provider, empty when unknown.
    pub fn provider(&self) -> &str {
        let providers = self.policy.as_ref().map_or(&[][..], |policy| &policy.providers);
        self.answer.provider.and_then(|index| providers.get(index)).map_or("", |provider| &provider.name)
    }

    /// What is shown of the token, once it is verified.
    pub fn shown(&self) -> Option<TokenFacts<'_>> {
        match (&self.glance, &self.answer.token) {
            (Some(glance), _) => Some(glance.shown(self.policy.as_deref())),
            (None, Some(token)) => {
                let services = self.granted.as_ref().map_or("", |granted| &granted.services);
                Some(TokenFacts { services, ..token.shown(self.answer.aor) })
            }
            (None, None) => None,
        }
    }

    /// The scopes of the token or session.
    pub fn granted_scope(&self) -> &str {
        self.glance.as_ref().map_or_else(|| self.answer.granted_scope(), |glance| glance.known.shown("").scope)
    }

    /// The address-of-record of the user whom a check has accepted; empty when there is none.
    pub fn granted_aor(&self) -> &str {
        let answer = &self.answer;
        match (self.granted.is_some(), self.shown(), &answer.account, &answer.session) {
            (false, ..) => "",
            (true, Some(shown), ..) => shown.aor,
            (true, None, Some(account), _) => account,
            (true, None, None, Some(session)) => &session.aor,
            (true, None, None, None) => "",
        }
    }

    /// The services that an accepted token or session gives, separated by a comma.
    pub fn services(&self) -> &str {
        let granted = self.granted.as_ref().map_or("", |granted| &granted.services);
        self.glance.as_ref().map_or(granted, |glance| glance.known.shown("").services)
    }

    /// Most seconds for which an accepted REGISTER may be bound; 0: no limit.
    pub fn expires_limit(&self) -> u32 {
        self.granted.as_ref().map_or(0, |granted| granted.expires_limit)
    }

    /// Makes the result blank. It keeps its buffers, and also the policy, which means nothing without a provider.
    pub fn clear(&mut self) {
        // A new field has to be named here.
        let CheckResult {
            answer,
            glance,
            sent,
            status,
            retry_after,
            pending,
            policy: _,
            session,
            ticket,
            granted,
            needed_scope,
            proxy,
            origin: Origin { source, address },
        } = self;
        *answer = Answer::default();
        (*glance, *pending, *granted) = (None, None, None);
        (*status, *retry_after, *proxy) = (0, 0, false);
        sent.0.clear();
        for text in [session, ticket, needed_scope, source, address] {
            text.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sipoauth_core::check::Attempt;
    use sipoauth_core::records::redemption::Differs;

    #[test]
    fn a_blank_result_has_nothing_of_the_request_before() {
        let mut result = CheckResult::default();
        result.answer.attempt = Some(Box::new(Attempt { differs: Differs::CodeVerifier, short_code_of: None }));
        result.origin.address.push_str("sip:mallory@example.test");
        result.clear();
        let blank = CheckResult { policy: result.policy.clone(), ..CheckResult::default() };
        assert_eq!(format!("{result:?}"), format!("{blank:?}"));
    }
}
