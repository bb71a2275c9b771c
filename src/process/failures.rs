// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a question about a token, or an exchange, has failed. Only the requests that waited for it learn this. A
//! failure is no answer, so failures have tables of their own, in which they displace only each other.

use crate::shared::Shared;
use crate::shared::memory_table::MemoryTable;
use sipoauth_core::reason::Reason;

/// A value in the tables has 24 bits: ten for the reason, the others for the time in seconds. The time wraps around
/// after four hours, and no request waits that long.
const TIME_BITS: u32 = 14;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// The failures, as one process sees them.
pub struct Failures<'a>(&'a MemoryTable<16384>);

/// A failure that was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedFailure {
    /// The number of the reason.
    pub reason: u32,
    /// Unix seconds.
    pub at: i64,
}

impl<'a> Failures<'a> {
    /// The failures of questions about tokens, by the id of the token.
    pub fn of_introspections(shared: &'a Shared) -> Failures<'a> {
        Failures(&shared.introspection_failures)
    }

    /// The failures of exchanges, by the id of what was exchanged.
    pub fn of_exchanges(shared: &'a Shared) -> Failures<'a> {
        Failures(&shared.exchange_failures)
    }

    /// Notes a failure for the requests that wait for this. `now` in Unix seconds.
    pub fn note(&self, id: &str, reason: Reason, now: i64) {
        self.0.put(id, u64::from(reason.number()) << TIME_BITS | now.cast_unsigned() & TIME_MASK);
    }

    /// Removes the failure, because there is an answer now.
    pub fn forget(&self, id: &str) {
        if self.0.get(id).is_some_and(|value| value != 0) {
            self.0.put(id, 0);
        }
    }

    /// The last failure. It says nothing to a request that has not waited for it.
    pub fn get(&self, id: &str, now: i64) -> Option<NotedFailure> {
        let value = self.0.get(id).filter(|value| *value != 0)?;
        let reason = u32::try_from(value >> TIME_BITS).ok()?;
        let age = (now.cast_unsigned().wrapping_sub(value)) & TIME_MASK;
        Some(NotedFailure { reason, at: now - age.cast_signed() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{Arena, Sizes};

    #[test]
    fn the_last_failure_until_it_is_forgotten() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let failures = Failures::of_introspections(arena.shared());
        assert_eq!(failures.get("token", 2_000_000_000), None);
        failures.note("token", Reason::ClientRefused, 2_000_000_000);
        failures.note("token", Reason::WaitTimeout, 2_000_000_001);
        let failed = NotedFailure { reason: Reason::WaitTimeout.number(), at: 2_000_000_001 };
        assert_eq!(failures.get("token", 2_000_000_005), Some(failed));
        assert_eq!(failures.get("other", 2_000_000_005), None);
        assert_eq!(Failures::of_exchanges(arena.shared()).get("token", 2_000_000_005), None);
        failures.forget("token");
        assert_eq!(failures.get("token", 2_000_000_005), None);
    }
}
