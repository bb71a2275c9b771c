// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests like those that were accepted before. Phones send them all day, so nothing of them is parsed again.

use std::ops::Range;
use std::sync::Arc;

use super::connections::is_bound_by;
use super::grants::seconds_left;
use super::keyring::Keyring;
use super::result::{CheckResult, Granted};
use crate::process::context::{Context, PlacedPolicy};
use crate::shared::counters::Counter;
use crate::shared::source_limits::UNIT;
use sipoauth_core::check::acceptance::{Acceptance, RequestKey};
use sipoauth_core::check::token_cache::{Known, TokenCache, VerifiedToken};
use sipoauth_core::check::{Carried, KnownKeys, Request};
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

/// What one process remembers of accepted requests.
pub(super) struct Repeats<'w> {
    pub context: &'w Context,
    pub placed: &'w PlacedPolicy,
    pub keyring: &'w Keyring,
    pub cache: &'w mut TokenCache,
    /// Unix seconds.
    pub now: i64,
}

impl Repeats<'_> {
    /// True when nothing but the bare token and the [`RequestKey`] decides about this request.
    fn is_simple(&self, repeated: &Repeated<'_>) -> bool {
        let policy = &self.placed.policy;
        (!repeated.has_body || policy.sessions.is_none())
            && !is_bound_by(policy, repeated.transport, repeated.connection)
    }

    /// Looks a request up. It is accepted if the same request was accepted before, with the same token, and if policy,
    /// keys and time still allow it. Otherwise `result` stays blank.
    pub fn recognize(&mut self, repeated: &Repeated<'_>, proxy: bool, result: &mut CheckResult) -> Recognized {
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
        if !acceptance.holds(self.now) || !keys_are_good {
            return Recognized::Token(Arc::clone(&acceptance.token));
        }
        let answer = &mut result.answer;
        (answer.reason, answer.carried, answer.cached) = (Some(Reason::Ok), Carried::Token, true);
        (answer.provider, answer.aor) = (Some(acceptance.provider), Some(acceptance.aor));
        (result.status, result.proxy) = (200, proxy);
        // It is usually set already. Comparing pointers is cheaper than cloning the Arc.
        if result.policy.as_ref().is_none_or(|policy| !Arc::ptr_eq(policy, &self.placed.policy)) {
            result.policy = Some(Arc::clone(&self.placed.policy));
        }
        let ends = acceptance.expires_at;
        let limited =
            self.placed.policy.settings.limits_expires() && repeated.asking.method.eq_ignore_ascii_case(b"REGISTER");
        let limit = if limited && ends != NO_END { seconds_left(ends, self.now) } else { 0 };
        // The acceptance has the services.
        result.granted = Some(Granted::new(String::new(), limit));
        result.acceptance = Some(Arc::clone(acceptance));
        let counters = &self.context.arena().shared().counters;
        counters.add(Counter::Accepted);
        counters.add_reason(Reason::Ok);
        counters.add(Counter::CacheHits);
        Recognized::Accepted
    }

    /// Remembers an accepted request whose credentials were a known token, where nothing else decides.
    pub fn note(&mut self, result: &CheckResult, request: &Request<'_>) {
        let answer = &result.answer;
        let accepted =
            result.granted.is_some() && answer.cached && answer.carried == Carried::Token && answer.session.is_none();
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
        let (now, Range { start, end }) = (self.now, provider.rules.span(&token.claims));
        let span = start.max(now.saturating_sub(UNIT / 1000))..end.min(now.saturating_add(UNIT / 1000));
        if let Some(acceptance) = Acceptance::new(&repeated.asking, span, token, aor, result.services()) {
            self.cache.accept(&token.token, acceptance);
        }
    }
}
