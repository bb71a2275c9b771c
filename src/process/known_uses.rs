// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which registrations of phones of the sign-in page were handed over to be stored. A phone that registers again, as most do
//! all the time, costs its worker no more than a look.

use super::use_queue::Used;
use crate::shared::Shared;

/// A use like the last one is stored again after this time, in seconds.
const AGAIN: u64 = 300;
/// A value in the table has 24 bits of Unix seconds.
const TIME_MASK: u64 = (1 << 24) - 1;

/// True when a use like this one was handed over lately.
pub fn is_known(shared: &Shared, used: &Used) -> bool {
    let known = shared.known_uses.get(name(used)).filter(|value| *value != 0);
    known.is_some_and(|value| used.seen.at.cast_unsigned().wrapping_sub(value) & TIME_MASK < AGAIN)
}

/// Notes that a use was handed over.
pub fn know(shared: &Shared, used: &Used) {
    shared.known_uses.put(name(used), used.seen.at.cast_unsigned() & TIME_MASK);
}

/// A use was not stored after all, so the next one like it counts.
pub fn forget(shared: &Shared, used: &Used) {
    shared.known_uses.put(name(used), 0);
}

fn name(used: &Used) -> impl std::hash::Hash {
    let seen = &used.seen;
    (used.session, &seen.source, &seen.user_agent, seen.call_ids.first())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{Arena, Sizes};
    use sipoauth_core::records::phone_use::PhoneUse;

    #[test]
    fn only_what_is_new_is_handed_over() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let shared = arena.shared();
        let used = |id: u8, at, call_id| Used {
            aor: String::new(),
            session: [id; 16],
            seen: PhoneUse::new(at, "192.0.2.1", "x", [call_id; 8]),
            ends_at: 9,
            account: None,
        };
        let noon = 1_800_000_000;
        assert!(!is_known(shared, &used(1, noon, 1)));
        know(shared, &used(1, noon, 1));
        assert!(is_known(shared, &used(1, noon + 299, 1)));
        for other in [used(1, noon + 300, 1), used(1, noon, 2), used(2, noon, 1), used(1, noon - 1, 1)] {
            assert!(!is_known(shared, &other), "{other:?}");
        }
        forget(shared, &used(1, noon, 1));
        assert!(!is_known(shared, &used(1, noon, 1)));
    }
}
