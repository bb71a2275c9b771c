// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests like those that were accepted before. Phones send them all day, so nothing of them is parsed again.

use std::ops::Range;
use std::sync::Arc;

use super::connections::is_bound_by;
use super::grants::seconds_left;
use super::result::{CheckResult, Glance, Granted};
use super::tokens::Tokens;
use crate::shared::counters::Counter;
use crate::shared::source_limits::UNIT;
use crate::shared::token_names::TokenName;
use sipoauth_core::check::known_token::{Accepted, KnownToken, RequestKey};
use sipoauth_core::check::verified_token::VerifiedToken;
use sipoauth_core::check::{Carried, KnownKeys, Request};
use sipoauth_core::config::decryption::Encryption;
use sipoauth_core::config::introspection::TokenStrategy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::reason::Reason;
use sipoauth_core::rules::claims::NO_END;
use sipoauth_core::sip::credentials::{bearer_text, stands_alone};

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
    /// Such a request was accepted before, and this one is accepted, too.
    Accepted,
    /// The credentials are this text.
    Text(SentText),
    /// They cannot be a token alone.
    Not,
}

/// Credentials that may be a token alone. A name is never shown.
#[derive(Clone)]
pub struct SentText {
    name: TokenName,
    /// What is remembered of it, if it is a token that was verified.
    pub(super) known: Option<Box<KnownToken>>,
}

/// What the processes remember of accepted requests.
pub(super) struct Repeats<'w> {
    pub tokens: Tokens<'w>,
}

impl<'w> Repeats<'w> {
    /// True when nothing but the bare token and the [`RequestKey`] decides about this request.
    fn is_simple(&self, repeated: &Repeated<'_>) -> bool {
        let policy = &self.tokens.placed.policy;
        (!repeated.has_body || policy.sessions.is_none())
            && !is_bound_by(policy, repeated.transport, repeated.connection)
    }

    /// Looks a request up. It is accepted if such a request was accepted before, with the same token, and if policy,
    /// keys and time still allow it. Otherwise `result` stays blank.
    pub fn recognize(&self, repeated: &Repeated<'_>, proxy: bool, result: &mut CheckResult) -> Recognized {
        let Some(credentials) = bearer_text(repeated.credentials) else {
            return Recognized::Not;
        };
        let Some(name) = self.tokens.name(credentials) else {
            return Recognized::Not;
        };
        let known = self.tokens.find(&name);
        let Some(known) = known.as_ref() else {
            return Recognized::Text(SentText { name, known: None });
        };
        if !known.stands_alone() {
            return Recognized::Not;
        }
        // Once in a while the sender of such a request is noted again as a known one. The clock may be set back.
        let is_noted = self.tokens.now.abs_diff(known.noted_at()) < (UNIT / 1000).unsigned_abs();
        if !is_noted || !self.accepts(known, repeated) {
            return Recognized::Text(SentText { name, known: Some(Box::new(*known)) });
        }
        self.accept(known, repeated, credentials, proxy, result);
        Recognized::Accepted
    }

    /// True when such a request was accepted with this token, and policy, keys and time still allow it.
    pub fn accepts(&self, known: &KnownToken, repeated: &Repeated<'_>) -> bool {
        let provider = &self.tokens.placed.policy.providers[known.provider()];
        // Keys that are too old to verify a token are also too old to vouch for a verified one.
        let keys_are_good = !provider.watches_keys() || self.tokens.keyring.fetched(known.provider()).is_some();
        keys_are_good && known.accepts(&repeated.asking, self.tokens.now) && self.is_simple(repeated)
    }

    /// Accepts a request at a glance.
    #[inline]
    pub fn accept(
        &self,
        known: &KnownToken,
        repeated: &Repeated<'_>,
        credentials: &[u8],
        proxy: bool,
        result: &mut CheckResult,
    ) {
        let (placed, now) = (self.tokens.placed, self.tokens.now);
        let answer = &mut result.answer;
        (answer.reason, answer.carried, answer.cached) = (Some(Reason::Ok), Carried::Token, true);
        answer.provider = Some(known.provider());
        (result.status, result.proxy) = (200, proxy);
        // It is usually set already. Comparing pointers is cheaper than cloning the Arc.
        if result.policy.as_ref().is_none_or(|policy| !Arc::ptr_eq(policy, &placed.policy)) {
            result.policy = Some(Arc::clone(&placed.policy));
        }
        let ends = known.expires_at();
        let limited =
            placed.policy.settings.limits_expires() && repeated.asking.method.eq_ignore_ascii_case(b"REGISTER");
        let limit = if limited && ends != NO_END { seconds_left(ends, now) } else { 0 };
        // The record has the services.
        result.granted = Some(Granted::new(String::new(), limit));
        result.sent.put(credentials);
        result.glance = Some(Glance::new(known, now));
        let counters = &self.tokens.context.arena().shared().counters;
        counters.add(Counter::Accepted);
        counters.add_reason(Reason::Ok);
        counters.add(Counter::CacheHits);
    }

    /// Notes that the sender of a request with this text was noted now.
    pub fn note_sender(&self, sent: &SentText, known: &mut KnownToken) {
        known.note_sender(self.tokens.now);
        self.tokens.put(&sent.name, known);
    }

    /// Remembers the token of a request for all processes, and the request itself if it was accepted and nothing else
    /// decided. `sent` is the text of its credentials.
    pub fn note(&self, result: &CheckResult, request: &Request<'_>, sent: Option<SentText>) {
        let answer = &result.answer;
        let Some((token, by)) = answer.token.as_ref().and_then(|token| Some((token, self.tokens.by(token.provider)?)))
        else {
            return;
        };
        let repeated = Repeated::from(request);
        let is_alone = bearer_text(repeated.credentials) == Some(token.token.as_bytes());
        let (name, before) = match sent {
            Some(sent) if is_alone => (sent.name, sent.known.map(|known| *known)),
            _ => match self.tokens.name(token.token.as_bytes()) {
                Some(name) => (name, self.tokens.find(&name)),
                None => return,
            },
        };
        let before = before.filter(|known| known.by() == by);
        let mut known = before.unwrap_or_else(|| KnownToken::new(token, by, stands_alone(&token.token)));
        let accepted = if is_alone { self.accepted(result, token, &repeated) } else { None };
        if let Some(accepted) = &accepted {
            // If it does not fit in, what was accepted before must not stay either.
            known.accept(token, accepted);
        }
        if before.is_none() || accepted.is_some() {
            self.tokens.put(&name, &known);
        }
    }

    /// The request as it is remembered, if it was accepted and nothing but the bare token and the [`RequestKey`] decided.
    fn accepted<'a>(
        &self,
        result: &'a CheckResult,
        token: &VerifiedToken,
        repeated: &Repeated<'a>,
    ) -> Option<Accepted<'a>>
    where
        'w: 'a,
    {
        let answer = &result.answer;
        let accepted = result.granted.is_some() && answer.carried == Carried::Token && answer.session.is_none();
        let aor = answer.aor.filter(|_| accepted)?;
        let provider = &self.tokens.placed.policy.providers[token.provider];
        let judged_alone = provider.encryption == Encryption::Allowed && !provider.pairs_tokens;
        // A key is proved anew for each request.
        let is_bound = token.claims.confirmation.is_some() && !provider.ignores_binding;
        if !judged_alone || is_bound || !self.is_simple(repeated) {
            return None;
        }
        Some(Accepted {
            asking: repeated.asking,
            aor,
            services: result.services(),
            issuer: &provider.issuer,
            span: span(provider, token).into(),
            at: self.tokens.now,
        })
    }
}

/// The Unix seconds within which nothing about the token can have changed.
fn span(provider: &Provider, token: &VerifiedToken) -> Range<i64> {
    let Range { start, end } = provider.rules.span(&token.claims);
    let standing = &token.standing;
    match provider.strategy {
        TokenStrategy::Jwt => start..end,
        // An answer from the future does not count.
        _ => start.max(standing.asked_at.saturating_sub(1))..end.min(standing.until),
    }
}
