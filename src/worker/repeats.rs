// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of a worker for requests like those that it has accepted before. Phones send them all day, so nothing
//! of them is parsed again.

use std::ops::Range;
use std::sync::Arc;

use super::connections::is_bound_by;
use super::grants::seconds_left;
use super::{CheckResult, Handling, Worker};
use crate::shared::counters::Counter;
use crate::shared::source_limits::UNIT;
use sipoauth_core::check::acceptance::{Acceptance, RequestKey};
use sipoauth_core::check::token_cache::{Known, VerifiedToken};
use sipoauth_core::check::{Answer, Carried, KnownKeys, Request};
use sipoauth_core::config::decryption::Encryption;
use sipoauth_core::config::introspection::TokenStrategy;
use sipoauth_core::reason::Reason;
use sipoauth_core::rules::claims::NO_END;
use sipoauth_core::sip::credentials::bearer_text;

/// The parts of a request that show whether it is like an earlier one. They need not be UTF-8, because they are
/// only compared.
#[derive(Clone, Copy)]
pub struct Repeated<'a> {
    /// The parts that decide beside the token.
    pub asking: RequestKey<'a>,
    /// The body of the only credential header field; empty when there is none, or more than one.
    pub credentials: &'a [u8],
    /// The request has a body.
    pub has_body: bool,
    /// As in [`Request::transport`].
    pub transport: &'a str,
    /// As in [`Request::connection`].
    pub connection: u64,
}

impl<'a> From<&Request<'a>> for Repeated<'a> {
    fn from(request: &Request<'a>) -> Repeated<'a> {
        let Request { method, from, to, .. } = request;
        Repeated {
            asking: RequestKey { method: method.as_bytes(), from: from.as_bytes(), to: to.as_bytes() },
            credentials: match request.credentials {
                [one] => one.as_bytes(),
                _ => &[],
            },
            has_body: !request.message.body.is_empty(),
            transport: request.transport,
            connection: request.connection,
        }
    }
}

/// How much of a request the worker knows.
pub enum Recognized {
    /// The same request was accepted before, and this one is accepted, too.
    Accepted,
    /// The credentials are this token, which was verified before.
    Token(Arc<VerifiedToken>),
    /// Nothing is known.
    Not,
}

impl Worker {
    /// Every check begins with this, once: it takes over a new configuration and new keys. Returns the time in
    /// Unix milliseconds.
    pub fn begin(&mut self, handling: &Handling<'_>) -> i64 {
        match handling.begun {
            Some(now) => now,
            None => self.prepare(handling.now),
        }
    }

    /// True when nothing but the bare token and the [`RequestKey`] decides about this request.
    fn is_simple(&self, repeated: &Repeated<'_>) -> bool {
        let policy = &self.placed.policy;
        (!repeated.has_body || policy.sessions.is_none())
            && !is_bound_by(policy, repeated.transport, repeated.connection)
    }

    /// Looks a request up. The worker accepts it if it accepted the same request before, with the same token, and if policy,
    /// keys and time still allow it. Otherwise `verdict` stays blank.
    pub fn recognize(
        &mut self,
        repeated: &Repeated<'_>,
        handling: &Handling<'_>,
        verdict: &mut CheckResult,
    ) -> Recognized {
        let now = self.begin(handling) / 1000;
        let Some(credentials) = bearer_text(repeated.credentials) else {
            return Recognized::Not;
        };
        let key = self.is_simple(repeated).then_some(&repeated.asking);
        let acceptance = match self.cache.lookup(credentials, key) {
            Known::Accepted(acceptance) => acceptance,
            Known::Verified(token) => return Recognized::Token(token),
            Known::Nothing => return Recognized::Not,
        };
        let provider = &self.placed.policy.providers[acceptance.provider];
        // Keys that are too old to verify a token are also too old to vouch for a verified one.
        let keys_are_good = !provider.watches_keys() || self.keyring.fetched(acceptance.provider).is_some();
        if !acceptance.holds(now) || !keys_are_good {
            return Recognized::Token(Arc::clone(&acceptance.token));
        }
        let answer = &mut verdict.answer;
        (answer.reason, answer.carried, answer.cached) = (Some(Reason::Ok), Carried::Token, true);
        (answer.provider, answer.aor) = (Some(acceptance.provider), Some(acceptance.aor));
        (verdict.status, verdict.granted, verdict.proxy) = (200, true, handling.proxy);
        // It is usually set already. Comparing pointers is cheaper than cloning the Arc.
        if verdict.policy.as_ref().is_none_or(|policy| !Arc::ptr_eq(policy, &self.placed.policy)) {
            verdict.policy = Some(Arc::clone(&self.placed.policy));
        }
        verdict.services.push_str(acceptance.services());
        let ends = acceptance.expires_at;
        let limited =
            self.placed.policy.settings.limits_expires() && repeated.asking.method.eq_ignore_ascii_case(b"REGISTER");
        if limited && ends != NO_END {
            verdict.expires_limit = seconds_left(ends, now);
        }
        verdict.acceptance = Some(Arc::clone(acceptance));
        let counters = &self.context.arena().shared().counters;
        counters.add(Counter::Accepted);
        counters.add_reason(Reason::Ok);
        counters.add(Counter::CacheHits);
        Recognized::Accepted
    }

    /// Remembers an accepted request whose credentials were a known token, where nothing else decides. `now` is in Unix
    /// milliseconds.
    pub(super) fn note_acceptance(&mut self, verdict: &CheckResult, request: &Request<'_>, now: i64) {
        let answer = &verdict.answer;
        let accepted = verdict.granted && answer.cached && answer.carried == Carried::Token && answer.session.is_none();
        let (Some(token), Some(aor), true) = (&answer.token, answer.aor, accepted) else {
            return;
        };
        let provider = &self.placed.policy.providers[token.provider];
        let judged_alone = provider.strategy == TokenStrategy::Jwt
            && provider.encryption == Encryption::Allowed
            && !provider.pairs_tokens;
        let repeated = Repeated::from(request);
        // A key is proved anew for each request.
        let is_bound = token.claims.confirmation.is_some() && !provider.ignores_binding;
        if !judged_alone || is_bound || !self.is_simple(&repeated) {
            return;
        }
        // A request outside this time is checked in full, so its sender is noted again as a known one. The time is
        // bounded on both sides, because the clock may be set back.
        let (now, Range { start, end }) = (now / 1000, provider.rules.span(&token.claims));
        let span = start.max(now.saturating_sub(UNIT / 1000))..end.min(now.saturating_add(UNIT / 1000));
        if let Some(acceptance) = Acceptance::new(&repeated.asking, span, token, aor, &verdict.services) {
            self.cache.accept(&token.token, acceptance);
        }
    }
}

impl CheckResult {
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
            services,
            needed_scope,
            expires_limit,
            granted,
            proxy,
            source,
            address,
        } = self;
        *answer = Answer::default();
        (*acceptance, *pending) = (None, None);
        (*status, *retry_after, *expires_limit) = (0, 0, 0);
        (*granted, *proxy) = (false, false);
        for text in [session, ticket, services, needed_scope, source, address] {
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
        result.address.push_str("sip:mallory@example.test");
        result.clear();
        let blank = CheckResult { policy: result.policy.clone(), ..CheckResult::default() };
        assert_eq!(format!("{result:?}"), format!("{blank:?}"));
    }
}
