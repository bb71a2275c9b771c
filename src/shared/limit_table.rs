// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts uses per period for names that strangers choose. The table has a fixed size, and each name an allowance of
//! its own.
//!
//! A name is found by a hash with the random key of this start, so nobody can choose one that shares a place with
//! another. If a set is full of names of the present period, the name with the fewest uses makes room. So invented
//! names, each of which is used once or twice, displace each other and not a name that was used often. A displaced
//! name starts anew, and no name inherits the uses of another, so a full table locks nobody out. To make the table
//! forget a name that was used n times, somebody must use about as many other names as the table has places, each n
//! times in one period.
#![forbid(unsafe_code)]

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::start_key::StartKey;

/// Cells of one set. The hash of a name decides its set.
const WAYS: usize = 8;

/// Uses of names in the present period. `N`, a multiple of 8, is the number of names that are told apart at once.
///
/// Each cell is one atomic word (28 bits of the name's hash, 20 of the period, 16 of uses), so a process that is
/// killed at any instruction leaves no half-written cell. The period wraps around after 2^20; in minutes that is two
/// years.
#[repr(C)]
pub struct LimitTable<const N: usize> {
    key: StartKey,
    cells: [AtomicU64; N],
}

const COUNT_BITS: u32 = 16;
const PERIOD_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const PERIOD_MASK: u64 = ((1 << PERIOD_BITS) - 1) << COUNT_BITS;

/// The cells in which a name of a period may be, and how it is written down.
struct LimitPlace<'a> {
    set: &'a [AtomicU64],
    /// The cell to look at first. It differs from name to name, so that names with equal uses displace each other
    /// evenly.
    first: usize,
    /// The value of a cell of this name and period, without its uses.
    mark: u64,
}

impl LimitPlace<'_> {
    fn ways(&self) -> impl Iterator<Item = &AtomicU64> {
        (0..WAYS).map(|way| &self.set[(self.first + way) % WAYS])
    }

    /// The uses in a cell, if it belongs to this name and period.
    fn own(&self, cell: u64) -> Option<u64> {
        (cell & !COUNT_MASK == self.mark && cell & COUNT_MASK != 0).then_some(cell & COUNT_MASK)
    }

    /// Uses that are forgotten when this cell makes room. Uses of another period are forgotten anyway.
    fn weight(&self, cell: u64) -> u64 {
        if (cell ^ self.mark) & PERIOD_MASK == 0 { cell & COUNT_MASK } else { 0 }
    }
}

impl<const N: usize> LimitTable<N> {
    fn place(&self, name: impl Hash, period: u64) -> LimitPlace<'_> {
        const { assert!(N >= WAYS && N.is_multiple_of(WAYS) && N <= 1 << 24) };
        let hash = self.key.hash(name);
        let set = hash as usize % (N / WAYS) * WAYS;
        let tag = hash & !(PERIOD_MASK | COUNT_MASK);
        LimitPlace {
            set: &self.cells[set..set + WAYS],
            first: (hash >> 32) as usize % WAYS,
            mark: tag | period << COUNT_BITS & PERIOD_MASK,
        }
    }

    /// Uses of a name that were counted in a period.
    pub fn used(&self, name: impl Hash, period: u64) -> u32 {
        let place = self.place(name, period);
        place.ways().find_map(|cell| place.own(cell.load(Relaxed))).unwrap_or(0) as u32
    }

    /// Counts one use of a name in a period; false when it has had `limit` uses already. A limit beyond 65,535
    /// counts as 65,535.
    pub fn allow(&self, name: impl Hash, period: u64, limit: u32) -> bool {
        let limit = u64::from(limit).min(COUNT_MASK);
        if limit == 0 {
            return false;
        }
        let place = self.place(name, period);
        // A turn fails only because another process has completed one.
        loop {
            let mut least: Option<(&AtomicU64, u64)> = None;
            let mut own = None;
            for cell in place.ways() {
                let found = cell.load(Relaxed);
                if let Some(used) = place.own(found) {
                    own = Some((cell, found, used));
                    break;
                }
                if least.is_none_or(|(_, other)| place.weight(found) < place.weight(other)) {
                    least = Some((cell, found));
                }
            }
            let (cell, old, new) = match (own, least) {
                (Some((_, _, used)), _) if used >= limit => return false,
                (Some((cell, old, used)), _) => (cell, old, place.mark | (used + 1)),
                (None, Some((cell, old))) => (cell, old, place.mark | 1),
                (None, None) => return false,
            };
            if cell.compare_exchange_weak(old, new, Relaxed, Relaxed).is_ok() {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table<const N: usize>() -> LimitTable<N> {
        LimitTable { key: StartKey::default(), cells: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    #[test]
    fn each_name_has_its_own_uses_in_each_period() {
        let sources = table::<64>();
        assert!(sources.allow("192.0.2.1", 5, 2) && sources.allow("192.0.2.1", 5, 2));
        assert!(!sources.allow("192.0.2.1", 5, 2));
        assert!(sources.allow("192.0.2.2", 5, 2));
        assert_eq!(
            (sources.used("192.0.2.1", 5), sources.used("192.0.2.1", 6), sources.used("192.0.2.9", 5)),
            (2, 0, 0)
        );
        assert!(sources.allow("192.0.2.1", 6, 2));
    }

    #[test]
    fn the_ends_of_limits_and_periods() {
        let table = table::<8>();
        assert!(!table.allow("a", 1, 0) && table.used("a", 1) == 0);
        for _ in 0..65_535 {
            assert!(table.allow("a", 1, u32::MAX));
        }
        assert!(!table.allow("a", 1, u32::MAX), "the count does not run into the period");
        assert_eq!((table.used("a", 1), table.used("a", 0), table.used("a", 2)), (65_535, 0, 0));
        // Periods come in any order when the clock is set.
        assert!(table.allow("a", 0, 1) && !table.allow("a", 0, 1));
        assert!(table.allow("a", u64::MAX, 1) && !table.allow("a", u64::MAX, 1));
    }

    #[test]
    fn in_a_full_set_the_highest_uses_stay_and_nobody_is_locked_out() {
        let table = table::<8>();
        for way in 0..7 {
            while table.allow(way, 1, 3) {}
        }
        for invented in 100..10_000 {
            assert!(table.allow(invented, 1, 3));
        }
        for way in 0..7 {
            assert!(!table.allow(way, 1, 3), "{way}");
        }
        // All names are used up, and still there is room for a new one.
        while table.allow("eighth", 1, 3) {}
        assert!(table.allow("ninth", 1, 3) && table.used("ninth", 1) == 1);
    }

    #[test]
    fn names_of_another_period_make_room_first() {
        let table = table::<8>();
        for way in 0..8 {
            while table.allow(way, 1, 9) {}
        }
        for way in 10..18 {
            assert!(table.allow(way, 2, 9));
        }
        assert!((10..18).all(|way| table.used(way, 2) == 1), "each has its own place");
    }

    #[test]
    fn many_threads_count_each_use_once() {
        let table = table::<64>();
        let allowed: u32 = std::thread::scope(|scope| {
            let count = || (0..20_000).filter(|_| table.allow("one", 7, 30_000)).count() as u32;
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // Two threads that come first at the same moment may take two places, of which one is forgotten.
        assert!((30_000..=30_004).contains(&allowed), "{allowed}");
    }
}
