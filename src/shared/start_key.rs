// SPDX-License-Identifier: MIT OR Apache-2.0
//! A random key that all processes share from its first use until the proxy ends. It hashes names that strangers
//! choose, so that nobody can find two names that share a place in shared memory. It also makes marks that only this
//! proxy can make. It is never shown or logged.
#![forbid(unsafe_code)]

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use zeroize::Zeroizing;

use sipoauth_core::check::replay::hash_of;

const WORDS: usize = 4;

/// The key. A word that nobody has drawn yet is 0.
///
/// Shared memory is made before the fork, where nothing may draw random numbers. So the first process that needs a
/// word draws it, and all others find it. One atomic exchange sets each word: a process that is killed before the
/// exchange has set nothing, and one that is killed after it has left a whole word.
#[repr(C)]
#[derive(Default)]
pub struct StartKey {
    words: [AtomicU64; WORDS],
}

impl StartKey {
    fn word(&self, index: usize) -> u64 {
        match self.words[index].load(SeqCst) {
            0 => self.draw(index),
            word => word,
        }
    }

    #[cold]
    fn draw(&self, index: usize) -> u64 {
        let mut octets = Zeroizing::new([0; 8]);
        aws_lc_rs::rand::fill(&mut *octets).expect("the operating system has random numbers");
        let drawn = u64::from_ne_bytes(*octets).max(1);
        self.words[index].compare_exchange(0, drawn, SeqCst, SeqCst).map_or_else(|first| first, |_| drawn)
    }

    /// A hash on which all processes agree and which nobody else can compute.
    pub fn hash(&self, value: impl Hash) -> u64 {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.word(0).to_le_bytes());
        key[8..].copy_from_slice(&self.word(1).to_le_bytes());
        hash_of(&key, value)
    }

    /// Two words of the key, for another algorithm. A key must have only one use.
    #[inline]
    pub fn words(&self) -> [u64; 2] {
        [self.word(0), self.word(1)]
    }

    /// The whole key, for another algorithm than [`StartKey::hash`]. A key must have only one use.
    pub fn octets(&self) -> Zeroizing<[u8; 8 * WORDS]> {
        let mut key = Zeroizing::new([0; 8 * WORDS]);
        for (index, octets) in key.chunks_exact_mut(8).enumerate() {
            octets.copy_from_slice(&self.word(index).to_le_bytes());
        }
        key
    }
}

#[cfg(test)]
impl StartKey {
    /// Always the same key, for tests that count how names are spread.
    pub fn of_number(number: u64) -> StartKey {
        let word = |index: u64| hash_of(&number.to_le_bytes().repeat(2).try_into().unwrap(), index).max(1);
        StartKey { words: std::array::from_fn(|index| AtomicU64::new(word(index as u64))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_come_at_once_agree() {
        for _ in 0..100 {
            let key = StartKey::default();
            let seen: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (key.hash("name"), key.octets()))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
        }
    }

    #[test]
    fn each_start_has_its_own() {
        let hash = || StartKey::default().hash("name");
        assert_ne!(hash(), hash());
        let key = StartKey::default();
        assert_eq!(key.hash("name"), key.hash("name"));
        assert_ne!(key.hash("name"), key.hash("other"));
        assert_ne!(key.word(0), key.word(1));
    }

    #[test]
    fn a_key_that_was_begun_is_completed() {
        let key = StartKey::default();
        key.words[2].store(9, SeqCst);
        let made = key.octets();
        assert_eq!(made[16..24], 9u64.to_le_bytes());
        assert_eq!(key.octets(), made);
    }
}
