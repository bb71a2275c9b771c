// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small lossy map from names to numbers, of fixed size, for what must be remembered for a while.
//!
//! The entry of one name may displace that of another, and every use of the table must be harmless then. Nobody can
//! choose a name that displaces a certain other one, because the hash has a random key.
#![forbid(unsafe_code)]

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
    /// The cells of a name, first the one that it displaces, and the name's tag.
    fn place(&self, name: impl Hash) -> (impl Iterator<Item = &AtomicU64>, u64) {
        const { assert!(N >= WAYS && N.is_multiple_of(WAYS)) };
        let hash = self.key.hash(name);
        let set = hash as usize % (N / WAYS) * WAYS;
        let first = (hash >> 32) as usize;
        // Not zero, so that an empty cell matches no name.
        let tag = (hash | 1 << 63) & !VALUE_MASK;
        ((0..WAYS).map(move |way| &self.cells[set + (first + way) % WAYS]), tag)
    }

    /// Remembers a value (its low 24 bits) for a name.
    pub fn put(&self, name: impl Hash, value: u64) {
        let (cells, tag) = self.place(name);
        let (mut free, mut displaced) = (None, None);
        for cell in cells {
            let found = cell.load(Relaxed);
            if found & !VALUE_MASK == tag {
                cell.store(tag | value & VALUE_MASK, Relaxed);
                return;
            }
            if found == 0 {
                free = free.or(Some(cell));
            }
            displaced = displaced.or(Some(cell));
        }
        if let Some(cell) = free.or(displaced) {
            cell.store(tag | value & VALUE_MASK, Relaxed);
        }
    }

    /// The value (24 bits) last put for a name, unless another name has displaced it.
    pub fn get(&self, name: impl Hash) -> Option<u64> {
        let (mut cells, tag) = self.place(name);
        cells.find_map(|cell| {
            let found = cell.load(Relaxed);
            (found & !VALUE_MASK == tag).then_some(found & VALUE_MASK)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};

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
}
