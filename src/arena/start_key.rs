// SPDX-License-Identifier: MIT OR Apache-2.0
//! A random key that all processes share from the first use of it until the proxy ends.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

const WORDS: usize = 4;

/// Each word is set once, by whichever process comes first: nobody waits for another, and a process that is killed
/// meanwhile leaves words that the next one sets.
#[repr(C)]
pub struct StartKey([AtomicU64; WORDS]);

impl StartKey {
    /// The key, made at first use: no random numbers before the fork. None when there are no random numbers.
    pub fn get(&self, random: impl FnOnce(&mut [u8]) -> Option<()>) -> Option<Zeroizing<[u8; 8 * WORDS]>> {
        if self.0.iter().any(|word| word.load(Ordering::Acquire) == 0) {
            let mut octets = Zeroizing::new([0; 8 * WORDS]);
            random(&mut *octets)?;
            for (word, octets) in self.0.iter().zip(octets.chunks_exact(8)) {
                let octets = octets.try_into().expect("chunks of eight");
                // 0 stands for "not set yet".
                let value = u64::from_be_bytes(octets).max(1);
                let _ = word.compare_exchange(0, value, Ordering::AcqRel, Ordering::Acquire);
            }
        }
        let mut key = Zeroizing::new([0; 8 * WORDS]);
        for (word, octets) in self.0.iter().zip(key.chunks_exact_mut(8)) {
            octets.copy_from_slice(&word.load(Ordering::Acquire).to_be_bytes());
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(with: u8) -> impl FnOnce(&mut [u8]) -> Option<()> {
        move |octets| {
            octets.fill(with);
            Some(())
        }
    }

    #[test]
    fn the_first_user_makes_the_key() {
        let key = StartKey(Default::default());
        assert_eq!(key.get(|_| None), None);
        assert_eq!(*key.get(filled(7)).unwrap(), [7; 32]);
        assert_eq!(*key.get(|_| panic!("it is there")).unwrap(), [7; 32]);
    }

    #[test]
    fn a_key_that_was_begun_is_completed() {
        let key = StartKey(Default::default());
        key.0[2].store(u64::from_be_bytes([9; 8]), Ordering::Relaxed);
        let made = key.get(filled(7)).unwrap();
        assert_eq!((&made[..16], &made[16..24], &made[24..]), (&[7; 16][..], &[9; 8][..], &[7; 8][..]));
        assert_eq!(key.get(filled(1)), Some(made));
    }

    #[test]
    fn zeros_are_a_key_too() {
        let key = StartKey(Default::default());
        let made = key.get(filled(0)).unwrap();
        assert_eq!(key.get(|_| panic!("it is there")), Some(made));
    }

    #[test]
    fn all_processes_have_the_same_one() {
        let key = StartKey(Default::default());
        let all: Vec<_> = std::thread::scope(|scope| {
            let users: Vec<_> = (1..=8)
                .map(|i| {
                    scope.spawn({
                        let key = &key;
                        move || key.get(filled(i))
                    })
                })
                .collect();
            users.into_iter().map(|user| user.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| one.is_some() && *one == all[0]));
    }
}
