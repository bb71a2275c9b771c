// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which proofs of possession were used already, over all processes of this proxy.
//!
//! The table has a fixed size. It loses entries but never forgets that it did: where an entry had to make room, or was
//! removed because of its age, proofs as old as that entry count as seen. So they stay used when a reload makes
//! `pop_window` longer. There are no locks; one atomic word decides which process came first.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use sipoauth_core::check::replay::{Seen, Use};
use sipoauth_core::config::settings::MOST_LEEWAY;

/// Words of one set: a floor, and the entries that share it.
const WAYS: usize = 8;
/// How long a retransmission may follow its request: 64 times T1 (RFC 3261 section 17).
const RETRANSMISSIONS: u64 = 32;

/// A set of entries.
///
/// An entry has 38 bits of the proof's hash (never 0), 14 bits of its Date in seconds and 12 bits of the time at
/// which it was noted in units of 4 seconds. Both times wrap around after 4.5 hours, so old entries must be swept
/// before that.
#[repr(C)]
#[derive(Default)]
pub struct ReplaySet {
    /// Proofs with a Date up to this time count as seen, Unix seconds.
    floor: AtomicU64,
    entries: [AtomicU64; WAYS - 1],
    /// How the request of each entry came. It is written after the entry. Until then a retransmission of that
    /// request looks like a replay, never the reverse.
    paths: [AtomicU64; WAYS],
}

/// The guard: as many sets as were made, and since when it remembers.
pub struct ReplayGuard<'a> {
    /// The sets.
    pub sets: &'a [ReplaySet],
    /// Unix seconds at which all of them were empty.
    pub since: i64,
}

/// Number of sets for this many proofs.
pub fn sets_for(proofs: usize) -> usize {
    proofs.div_ceil(WAYS - 1)
}

const PROOF_SHIFT: u32 = 26;
const DATE_SHIFT: u32 = 12;
const UNIT: i64 = 4;
/// No proof was accepted that was dated more seconds ahead: such an entry is left from before the clock was set.
const AHEAD: i64 = MOST_LEEWAY as i64;

fn entry(used: &Use) -> u64 {
    let bits = |value: i64, count: u32| value.cast_unsigned() & ((1 << count) - 1);
    (used.proof >> PROOF_SHIFT).max(1) << PROOF_SHIFT | bits(used.date, 14) << DATE_SHIFT | bits(used.now / UNIT, 12)
}

fn same_proof(a: u64, b: u64) -> bool {
    a >> PROOF_SHIFT == b >> PROOF_SHIFT
}

/// Seconds from the Date of an entry to `now`; negative for one in the future.
fn age(entry: u64, now: i64) -> i64 {
    let turned = (now - (entry >> DATE_SHIFT).cast_signed()) & 0x3FFF;
    if turned >= 0x2000 { turned - 0x4000 } else { turned }
}

impl ReplayGuard<'_> {
    /// Notes a use of a proof that is right in itself.
    pub fn note(&self, used: &Use) -> Seen {
        if self.sets.is_empty() || used.date <= self.since {
            return Seen::TooOld;
        }
        let set = &self.sets[used.proof as usize % self.sets.len()];
        let new = entry(used);
        loop {
            let mut place: Option<(usize, u64, i64)> = None;
            for (index, cell) in set.entries.iter().enumerate() {
                let old = cell.load(SeqCst);
                if old != 0 && same_proof(old, new) {
                    return compare(old, new, set.paths[index].load(SeqCst) == used.path);
                }
                let old_age = if old == 0 { i64::MAX } else { age(old, used.now) };
                if place.is_none_or(|(_, _, oldest)| old_age > oldest) {
                    place = Some((index, old, old_age));
                }
            }
            // The floor is read after the entries, because a process that removes an entry raises the floor first.
            if used.date <= set.floor.load(SeqCst).cast_signed() {
                return Seen::TooOld;
            }
            let Some((index, old, old_age)) = place else {
                return Seen::TooOld;
            };
            if old != 0 && old_age < 0 {
                // All entries are dated in the future. A floor there would shut out everybody.
                return Seen::TooOld;
            }
            if old != 0 && used.date <= set.raise_floor(old_age, used.now) {
                return Seen::TooOld;
            }
            if set.entries[index].compare_exchange(old, new, SeqCst, SeqCst).is_err() {
                continue;
            }
            set.paths[index].store(used.path, SeqCst);
            // Two processes may have noted the same proof at once in different places: then neither was the first,
            // unless it is one request that came twice.
            let twin = |(i, cell): (usize, &AtomicU64)| {
                let other = cell.load(SeqCst);
                (i != index && other != 0 && same_proof(other, new)).then_some((i, other))
            };
            return match set.entries.iter().enumerate().find_map(twin) {
                None => Seen::First,
                Some((i, other)) => compare(other, new, set.paths[i].load(SeqCst) == used.path),
            };
        }
    }

    /// Removes proofs that are too old for this window, in seconds. Called by one process every few minutes.
    pub fn sweep(&self, window: i64, now: i64) {
        for (set, cell) in self.sets.iter().flat_map(|set| set.entries.iter().map(move |cell| (set, cell))) {
            let old = cell.load(SeqCst);
            let old_age = age(old, now);
            if old == 0 || (-AHEAD..=window).contains(&old_age) {
                continue;
            }
            if old_age > window {
                set.raise_floor(old_age, now);
            }
            // If another process has just noted something new here, that stays.
            let _ = cell.compare_exchange(old, 0, SeqCst, SeqCst);
        }
    }
}

impl ReplaySet {
    /// Notes that an entry of this age is removed: proofs with its Date and earlier ones count as seen. Returns the Date.
    fn raise_floor(&self, age: i64, now: i64) -> i64 {
        let date = (now - age).max(0);
        self.floor.fetch_max(date.cast_unsigned(), SeqCst);
        date
    }
}

/// A use with the same path and Date, not long after the first, is a retransmission.
fn compare(old: u64, new: u64, same_path: bool) -> Seen {
    let same_date = (old >> DATE_SHIFT ^ new >> DATE_SHIFT) & 0x3FFF == 0;
    let since = (new.wrapping_sub(old) & 0xFFF) * UNIT.cast_unsigned();
    if same_path && same_date && since <= RETRANSMISSIONS { Seen::Again } else { Seen::Replayed }
}

#[cfg(test)]
mod tests {
    use sipoauth_core::check::replay::hash_of;

    use super::*;

    const NOW: i64 = 2_000_000_000;

    fn sets(count: usize) -> Vec<ReplaySet> {
        (0..count).map(|_| ReplaySet::default()).collect()
    }

    fn used(name: &str, path: u64, date: i64) -> Use {
        Use { proof: hash_of(&[7; 16], name), path, date, now: NOW }
    }

    #[test]
    fn first_again_replayed() {
        let sets = sets(16);
        let guard = ReplayGuard { sets: &sets, since: NOW - 1000 };
        assert_eq!(guard.note(&used("a", 1, NOW)), Seen::First);
        assert_eq!(guard.note(&used("a", 1, NOW)), Seen::Again);
        assert_eq!(guard.note(&used("a", 2, NOW)), Seen::Replayed);
        assert_eq!(guard.note(&used("a", 1, NOW - 1)), Seen::Replayed);
        let later = Use { now: NOW + 40, ..used("a", 1, NOW) };
        assert_eq!(guard.note(&later), Seen::Replayed);
        assert_eq!(guard.note(&used("b", 1, NOW)), Seen::First);
    }

    #[test]
    fn what_is_older_than_the_guard_is_not_accepted() {
        let sets = sets(1);
        let guard = ReplayGuard { sets: &sets, since: NOW - 10 };
        assert_eq!(guard.note(&used("a", 1, NOW - 10)), Seen::TooOld);
        assert_eq!(guard.note(&used("a", 1, NOW - 9)), Seen::First);
        assert_eq!(ReplayGuard { sets: &[], since: 0 }.note(&used("a", 1, NOW)), Seen::TooOld);
    }

    #[test]
    fn a_lost_entry_fails_closed() {
        let sets = sets(1);
        let guard = ReplayGuard { sets: &sets, since: 0 };
        for i in 0..1000i64 {
            assert_eq!(guard.note(&used(&format!("n{i}"), 1, NOW - 250 + i / 4)), Seen::First, "{i}");
            // Whatever was used before is never a first use again.
            for j in (0..=i).step_by(37) {
                let again = guard.note(&used(&format!("n{j}"), 2, NOW - 250 + j / 4));
                assert!(matches!(again, Seen::Replayed | Seen::TooOld), "{j} after {i}: {again:?}");
            }
        }
    }

    #[test]
    fn entries_out_of_the_window_make_room_and_hinder_no_timely_proof() {
        let sets = sets(1);
        let guard = ReplayGuard { sets: &sets, since: 0 };
        for i in 0..7 {
            assert_eq!(guard.note(&used(&format!("old{i}"), 1, NOW)), Seen::First);
        }
        let later = |name: &str, date| guard.note(&Use { now: NOW + 301, ..used(name, 1, date) });
        assert_eq!(later("x", NOW + 2), Seen::First);
    }

    #[test]
    fn dates_in_the_future_shut_nobody_else_out() {
        let sets = sets(1);
        let guard = ReplayGuard { sets: &sets, since: 0 };
        for i in 0..100 {
            let _ = guard.note(&used(&format!("fast{i}"), 1, NOW + 20));
        }
        let later = |now| guard.note(&Use { now, ..used("x", 1, now) });
        assert_eq!(later(NOW), Seen::TooOld, "as long as the set is full of them");
        assert_eq!(later(NOW + 22), Seen::First);
    }

    #[test]
    fn the_path_counts_in_full() {
        let sets = sets(4);
        let guard = ReplayGuard { sets: &sets, since: 0 };
        assert_eq!(guard.note(&used("a", 0x1234_5678_9ABC, NOW)), Seen::First);
        assert_eq!(guard.note(&used("a", 0xFFFF_5678_9ABC, NOW)), Seen::Replayed);
        assert_eq!(guard.note(&used("a", 0x1234_5678_9ABC, NOW)), Seen::Again);
    }

    #[test]
    fn what_is_swept_was_outside_the_window() {
        let sets = sets(1);
        let guard = ReplayGuard { sets: &sets, since: 0 };
        assert_eq!(guard.note(&used("a", 1, NOW)), Seen::First);
        guard.sweep(300, NOW + 300);
        assert_eq!(guard.note(&used("a", 2, NOW)), Seen::Replayed);
        guard.sweep(300, NOW + 301);
        assert_eq!(sets[0].entries[0].load(SeqCst), 0);
        let later = |name: &str, date| guard.note(&Use { now: NOW + 301, ..used(name, 1, date) });
        assert_eq!(later("b", NOW + 1), Seen::First, "no timely proof is hindered");
    }

    #[test]
    fn a_longer_window_makes_no_used_proof_new() {
        let make_room: [fn(&ReplayGuard<'_>); 2] = [
            |guard| guard.sweep(300, NOW + 301),
            |guard| {
                for i in 0..7 {
                    let fresh = Use { now: NOW + 301, ..used(&format!("b{i}"), 1, NOW + 300) };
                    assert_eq!(guard.note(&fresh), Seen::First);
                }
            },
        ];
        for make_room in make_room {
            let sets = sets(1);
            let guard = ReplayGuard { sets: &sets, since: 0 };
            assert_eq!(guard.note(&used("a", 1, NOW)), Seen::First);
            make_room(&guard);
            // A reload has made the window longer, so the Date does not refuse the proof.
            let again = Use { now: NOW + 302, ..used("a", 2, NOW) };
            assert_eq!(guard.note(&again), Seen::TooOld);
        }
    }

    #[test]
    fn a_leeway_longer_than_the_window_makes_no_used_proof_new() {
        let sets = sets(1);
        let guard = ReplayGuard { sets: &sets, since: 0 };
        let ahead = i64::from(MOST_LEEWAY);
        assert_eq!(guard.note(&used("a", 1, NOW + ahead)), Seen::First);
        guard.sweep(5, NOW);
        assert_eq!(guard.note(&used("a", 2, NOW + ahead)), Seen::Replayed);
    }

    #[test]
    fn one_of_many_threads_is_first() {
        let sets = sets(4);
        for round in 0..200 {
            let name = format!("race{round}");
            let firsts: usize = std::thread::scope(|scope| {
                let spawn = |path: u64| {
                    let (sets, name) = (&sets, &name);
                    scope.spawn(move || {
                        let guard = ReplayGuard { sets, since: 0 };
                        usize::from(guard.note(&used(name, path, NOW)) == Seen::First)
                    })
                };
                let threads: Vec<_> = (0..4).map(spawn).collect();
                threads.into_iter().map(|t| t.join().unwrap()).sum()
            });
            assert!(firsts <= 1, "round {round}: {firsts}");
        }
    }
}
