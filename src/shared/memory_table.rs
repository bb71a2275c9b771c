// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small lossy map from names to numbers, of fixed size, for what must be remembered for a while.
//!
//! A new name displaces the oldest one of its set, and every use of the table must be harmless then. Nobody can choose a
//! name that displaces a certain other one, because the hash has a random key.
#![forbid(unsafe_code)]

use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::start_key::StartKey;

/// Cells of one set. The hash of a name decides its set.
const WAYS: usize = 4;

/// Each cell holds 40 bits of the name's hash, never 0, and 24 bits of value. `N` is a multiple of 4.
#[repr(C)]
pub struct MemoryTable<const N: usize> {
    key: StartKey,
    cells: [AtomicU64; N],
}

const VALUE_BITS: u32 = 24;
const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;

impl<const N: usize> MemoryTable<N> {
    /// The set of a name, and the name's tag.
    fn place(&self, name: impl Hash) -> (&[AtomicU64], u64) {
        const { assert!(N >= WAYS && N.is_multiple_of(WAYS)) };
        let hash = self.key.hash(name);
        let first = hash as usize % (N / WAYS) * WAYS;
        // Not zero, so that an empty cell matches no name.
        let tag = (hash | 1 << 63) & !VALUE_MASK;
        (&self.cells[first..first + WAYS], tag)
    }

    /// Remembers a value (its low 24 bits) for a name.
    pub fn put(&self, name: impl Hash, value: u64) {
        let (set, tag) = self.place(name);
        let entry = tag | value & VALUE_MASK;
        let mut free = WAYS - 1;
        for (way, cell) in set.iter().enumerate() {
            match cell.load(Acquire) {
                0 => {
                    free = way;
                    break;
                }
                found if found & !VALUE_MASK == tag => return cell.store(entry, Release),
                _ => {}
            }
        }
        // The others move on by one, the oldest ones first, so that somebody who reads from the front misses none.
        for way in (0..free).rev() {
            set[way + 1].store(set[way].load(Acquire), Release);
        }
        set[0].store(entry, Release);
    }

    /// The value (24 bits) last put for a name, unless newer names have displaced it.
    pub fn get(&self, name: impl Hash) -> Option<u64> {
        let (set, tag) = self.place(name);
        set.iter().find_map(|cell| {
            let found = cell.load(Acquire);
            (found & !VALUE_MASK == tag).then_some(found & VALUE_MASK)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};
    use super::{VALUE_MASK, WAYS};

    #[test]
    fn remembers_what_was_put_last() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let missing = &arena.shared().missing_keys;
        assert_eq!(missing.get((1, "kid")), None);
        missing.put((1, "kid"), 7);
        assert_eq!(missing.get((1, "kid")), Some(7));
        assert_eq!(missing.get((2, "kid")), None);
        missing.put((1, "kid"), 1 << 24 | 9);
        assert_eq!(missing.get((1, "kid")), Some(9));
    }

    #[test]
    fn the_name_that_was_put_last_is_there_whatever_was_put_before() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let missing = &arena.shared().missing_keys;
        for name in 0..20_000 {
            missing.put(name, name);
            assert_eq!(missing.get(name), Some(name));
        }
    }

    #[test]
    fn a_new_name_displaces_the_oldest_one() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let missing = &arena.shared().missing_keys;
        let set_of = |name: u64| missing.place(name).0.as_ptr();
        let names: Vec<u64> = (0..).filter(|name| set_of(*name) == set_of(0)).take(WAYS + 1).collect();
        for name in &names[..WAYS] {
            missing.put(name, *name);
        }
        missing.put(names[1], 7);
        missing.put(names[WAYS], 8);
        let found: Vec<_> = names.iter().map(|name| missing.get(name)).collect();
        let kept = |way: usize| Some(names[way] & VALUE_MASK);
        assert_eq!(found, [None, Some(7), kept(2), kept(3), Some(8)]);
    }
}
