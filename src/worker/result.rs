// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a check gives its caller.

use std::sync::Arc;

use crate::process::job::Errand;
use sipoauth_core::check::Answer;
use sipoauth_core::check::acceptance::Acceptance;
use sipoauth_core::check::token_cache::VerifiedToken;
use sipoauth_core::config::policy::Policy;

/// The outcome of a check.
#[derive(Clone, Debug, Default)]
pub struct CheckResult {
    /// Everything that is known of the token, except what `acceptance` has.
    pub answer: Answer,
    /// The acceptance of an earlier request, if this request was accepted because it is like that one.
    pub acceptance: Option<Arc<Acceptance>>,
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

/// What an accepted token or session gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The services, separated by a comma. Empty when the result has an acceptance, which names them itself.
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

    /// The token, once it is verified.
    pub fn token(&self) -> Option<&Arc<VerifiedToken>> {
        self.answer.token.as_ref().or(self.acceptance.as_ref().map(|acceptance| &acceptance.token))
    }

    /// The scopes of the token or session.
    pub fn granted_scope(&self) -> &str {
        self.acceptance
            .as_ref()
            .map_or_else(|| self.answer.granted_scope(), |acceptance| &acceptance.token.claims.scope)
    }

    /// The services that an accepted token or session gives, separated by a comma.
    pub fn services(&self) -> &str {
        let granted = self.granted.as_ref().map_or("", |granted| &granted.services);
        self.acceptance.as_ref().map_or(granted, |acceptance| acceptance.services())
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
            acceptance,
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
        (*acceptance, *pending, *granted) = (None, None, None);
        (*status, *retry_after, *proxy) = (0, 0, false);
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
