// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small lossy map from a hash to a number: what must be remembered for a while, at a fixed price.
//!
//! An entry may be overwritten by another with the same place; every use of it must be harmless then.
#![forbid(unsafe_code)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// 40 bits of the key's hash, 24 bits of value.
#[repr(C)]
pub struct MemoryTable<const N: usize> {
    cells: [AtomicU64; N],
}

const VALUE_BITS: u32 = 24;
const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;

impl<const N: usize> MemoryTable<N> {
    fn place(&self, key: impl Hash) -> (&AtomicU64, u64) {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        // Not zero, so that an empty cell matches no key.
        (&self.cells[hash as usize % N], (hash | 1 << 63) & !VALUE_MASK)
    }

    /// Remembers a value (its low 24 bits) for a key.
    pub fn put(&self, key: impl Hash, value: u64) {
        let (cell, tag) = self.place(key);
        cell.store(tag | value & VALUE_MASK, Ordering::Relaxed);
    }

    /// The value (24 bits) last put for a key, unless another key has taken its place.
    pub fn get(&self, key: impl Hash) -> Option<u64> {
        let (cell, tag) = self.place(key);
        let found = cell.load(Ordering::Relaxed);
        (found & !VALUE_MASK == tag).then_some(found & VALUE_MASK)
    }

    /// Uses of a key that [`MemoryTable::allow`] has counted in a period.
    pub fn used(&self, key: impl Hash, period: u64) -> u32 {
        let found = self.place(key).0.load(Ordering::Relaxed);
        if found >> 16 == period { (found & 0xFFFF) as u32 } else { 0 }
    }

    /// Counts one use of a key in a period; false when it has had `limit` uses already.
    /// Keys that share a place share their allowance.
    pub fn allow(&self, key: impl Hash, period: u64, limit: u32) -> bool {
        let (cell, _) = self.place(key);
        let limit = u64::from(limit.min(0xFFFF));
        cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            let used = if old >> 16 == period { old & 0xFFFF } else { 0 };
            (used < limit).then_some(period << 16 | (used + 1))
        })
        .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};

    #[test]
    fn remembers_and_limits() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let (missing, sources) = (&arena.shared().missing_keys, &arena.shared().source_fetches);
        assert_eq!(missing.get((1, "kid")), None);
        missing.put((1, "kid"), 7);
        assert_eq!(missing.get((1, "kid")), Some(7));
        assert_eq!(missing.get((2, "kid")), None);
        assert!(sources.allow("192.0.2.1", 5, 2) && sources.allow("192.0.2.1", 5, 2));
        assert!(!sources.allow("192.0.2.1", 5, 2));
        assert!(sources.allow("192.0.2.2", 5, 2));
        assert_eq!(
            (sources.used("192.0.2.1", 5), sources.used("192.0.2.1", 6), sources.used("192.0.2.9", 5)),
            (2, 0, 0)
        );
        assert!(sources.allow("192.0.2.1", 6, 2));
    }
}
