// SPDX-License-Identifier: MIT OR Apache-2.0
//! The random key of this start, for hashes of what strangers choose: without it nobody can find two names that share a
//! place in shared memory. It is never shown or logged.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::replay_guard::hash_of;

/// The key; 0 is a word that nobody has drawn yet.
///
/// Shared memory is made before the fork, where nothing may draw random numbers. So the first process that needs a word
/// draws it, and all others find it. Each word is decided by one atomic exchange: who is killed before it has drawn
/// nothing, and who is killed after it has left a whole word.
#[repr(C)]
#[derive(Default)]
pub struct StartKey {
    words: [AtomicU64; 2],
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
        // A pseudo-random function of random numbers of the operating system; no state of it is shared.
        let drawn = RandomState::new().hash_one(index).max(1);
        self.words[index].compare_exchange(0, drawn, SeqCst, SeqCst).map_or_else(|first| first, |_| drawn)
    }

    /// A hash on which all processes agree and which nobody else can compute.
    pub fn hash(&self, value: impl Hash) -> u64 {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.word(0).to_le_bytes());
        key[8..].copy_from_slice(&self.word(1).to_le_bytes());
        hash_of(&key, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_come_at_once_agree() {
        for _ in 0..100 {
            let key = StartKey::default();
            let hashes: Vec<u64> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| key.hash("name"))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
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
}
