// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a worker knows without waiting about encrypted tokens, and about tokens that only their authorization server
//! can judge.

use super::Handling;
use super::senders::sender;
use crate::process::context::Context;
use crate::process::failures::{Failures, NotedFailure};
use crate::shared::record_cache::Lookup;
use crate::shared::source_limits::SourceLimits;
use sipoauth_core::check::Decryptions;
use sipoauth_core::check::token_answer::{Asked, IntrospectionResult, KnownAnswers, TokenAnswer, TokenId};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::records::session::decode;
use sipoauth_core::sip::sender::Sender;

/// The answers about tokens that the I/O service has put into shared memory, as one call sees them.
pub(super) struct AnswerView<'a> {
    context: &'a Context,
    asked: Asked,
    longest_wait: i64,
    now: i64,
}

impl<'a> AnswerView<'a> {
    /// `now` in Unix milliseconds.
    pub fn new(context: &'a Context, policy: &Policy, handling: &Handling<'_>, now: i64) -> AnswerView<'a> {
        let asked = match (handling.resumed, handling.no_wait) {
            (true, _) => Asked::Yes,
            (false, true) => Asked::Never,
            (false, false) => Asked::No,
        };
        AnswerView { context, asked, longest_wait: policy.settings.pending_timeout.into(), now }
    }
}

impl KnownAnswers for AnswerView<'_> {
    fn answer(&self, id: &TokenId) -> Option<TokenAnswer> {
        // A request that has asked first hears whether its question failed.
        let failures = Failures::of_introspections(self.context.arena().shared());
        if self.asked == Asked::Yes
            && let Some(NotedFailure { reason, at }) = failures.get(&id.0, self.now / 1000)
            && self.now / 1000 - at <= self.longest_wait
        {
            return Some(TokenAnswer { said: IntrospectionResult::Failed(reason), asked_at: at });
        }
        match self.context.arena().answers().get(&id.0, self.now, u64::MAX) {
            Lookup::Hit(document) => decode(&document),
            Lookup::Absent | Lookup::Unknown => None,
        }
    }

    fn asked(&self) -> Asked {
        self.asked
    }

    fn longest_wait(&self) -> i64 {
        self.longest_wait
    }
}

/// Counts what forged encrypted tokens of one source have cost in this minute, over all processes.
pub(super) struct DecryptionView<'a> {
    context: &'a Context,
    handling: Handling<'a>,
    now: i64,
    limit: u32,
}

impl<'a> DecryptionView<'a> {
    /// `now` in Unix milliseconds.
    pub fn new(context: &'a Context, policy: &Policy, handling: &Handling<'a>, now: i64) -> DecryptionView<'a> {
        DecryptionView { context, handling: *handling, now, limit: policy.settings.source_limit }
    }

    fn failures(&self) -> &SourceLimits<16_384> {
        &self.context.arena().shared().source_decryptions
    }

    fn sender(&self) -> Sender {
        sender(self.context, &self.handling, self.now)
    }

    fn minute(&self) -> u64 {
        (self.now / 60_000).unsigned_abs()
    }
}

impl Decryptions for DecryptionView<'_> {
    fn allowed(&self) -> bool {
        self.failures().has_room(&self.sender(), self.minute(), self.limit)
    }

    fn failed(&self) {
        self.failures().allow(&self.sender(), self.minute(), self.limit);
    }
}
