// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a question about a token came to nothing: for the requests that waited for it, and for nobody else. A failure is
//! no answer, so it has a table of its own, in which it displaces other failures only.

use crate::arena::Shared;
use crate::arena::memory_table::MemoryTable;
use crate::engine::token_answer::{Said, TokenAnswer, TokenId};
use crate::proto::reason::Reason;

/// The table has numbers of 24 bits: the reason has ten of them, the time in seconds the others. They turn over after
/// four hours, and no request waits that long.
const TIME_BITS: u32 = 14;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// The failures, as one process sees them.
pub struct IntrospectionFailures<'a>(&'a MemoryTable<16384>);

impl<'a> IntrospectionFailures<'a> {
    /// Those in shared memory.
    pub fn new(shared: &'a Shared) -> IntrospectionFailures<'a> {
        IntrospectionFailures(&shared.introspection_failures)
    }

    /// Those who wait for this token hear this. `now` in Unix seconds.
    pub fn note(&self, id: &TokenId, reason: Reason, now: i64) {
        self.0.put(&id.0, u64::from(reason.number()) << TIME_BITS | now.cast_unsigned() & TIME_MASK);
    }

    /// There is an answer now, or the question is asked anew.
    pub fn forget(&self, id: &TokenId) {
        if self.0.get(&id.0).is_some_and(|value| value != 0) {
            self.0.put(&id.0, 0);
        }
    }

    /// The last failure of this token, as an answer. It says nothing to those who have not waited for it.
    pub fn get(&self, id: &TokenId, now: i64) -> Option<TokenAnswer> {
        let value = self.0.get(&id.0).filter(|value| *value != 0)?;
        let number = u32::try_from(value >> TIME_BITS).ok()?;
        let age = (now.cast_unsigned().wrapping_sub(value)) & TIME_MASK;
        Some(TokenAnswer { said: Said::Failed(number), asked_at: now - age.cast_signed() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{Arena, Sizes};

    #[test]
    fn the_last_failure_of_a_token_until_it_is_forgotten() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let failures = IntrospectionFailures::new(arena.shared());
        let (token, other) = (TokenId::new("i", "token"), TokenId::new("i", "other"));
        assert_eq!(failures.get(&token, 2_000_000_000), None);
        failures.note(&token, Reason::ClientRefused, 2_000_000_000);
        failures.note(&token, Reason::WaitTimeout, 2_000_000_001);
        let failed = |asked_at| TokenAnswer { said: Said::Failed(Reason::WaitTimeout.number()), asked_at };
        assert_eq!(failures.get(&token, 2_000_000_005), Some(failed(2_000_000_001)));
        assert_eq!(failures.get(&other, 2_000_000_005), None);
        failures.forget(&token);
        assert_eq!(failures.get(&token, 2_000_000_005), None);
    }
}
