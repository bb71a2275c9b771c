// SPDX-License-Identifier: MIT OR Apache-2.0

//! A check that knows the configuration and nothing else: no fetched keys, no answers of servers, no sessions.

use sipoauth_core::check::known_sessions::NoSessions;
use sipoauth_core::check::token_answer::{Asked, KnownAnswers, TokenAnswer, TokenId};
use sipoauth_core::check::{Knowledge, KnownKeys, Unlimited};
use sipoauth_core::jose::key_set::KeySet;

struct Nothing;

pub const KNOWS_NOTHING: Knowledge<'static> =
    Knowledge { keys: &Nothing, answers: &Nothing, sessions: &NoSessions, decryptions: &Unlimited };

impl KnownKeys for Nothing {
    fn fetched(&self, _: usize) -> Option<&KeySet> {
        None
    }

    fn fetched_at(&self, _: usize) -> i64 {
        0
    }
}

impl KnownAnswers for Nothing {
    fn answer(&self, _: &TokenId) -> Option<TokenAnswer> {
        None
    }

    fn asked(&self) -> Asked {
        Asked::No
    }

    fn longest_wait(&self) -> i64 {
        0
    }
}
