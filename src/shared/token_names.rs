// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of tokens: a keyed hash of 128 bits, which stands for the whole token.
//!
//! On processors that multiply without carry it is GHASH with a random key (NIST SP 800-38D section 6.4), reached
//! through AES-128-GCM with the token as additional data and no plaintext. The nonce is always the same one. That is
//! safe here, and only here, because no name ever leaves the shared memory. For any two different tokens of at most
//! 64 KiB, at most 4,098 of the 2^128 values that the hash key can have make their names equal. This holds whatever
//! tokens somebody chooses, because nothing tells him about the key: names are compared in constant time, and where
//! one is kept depends on a mix with another key. So who sends n tokens that are not valid to a proxy that remembers m
//! tokens has one of them taken for another with a probability of at most n × m × 2^-115.
//!
//! On other processors, where GHASH is slow, it is SipHash-1-3 with a result of 128 bits, a pseudorandom function.
#![forbid(unsafe_code)]

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

use super::start_key::StartKey;

/// The name of a token.
pub type TokenName = [u64; 2];

/// Makes names. All processes of a proxy make the same ones.
pub struct TokenNames(Hash);

enum Hash {
    Ghash(LessSafeKey),
    SipHash(SipHasher13),
}

impl TokenNames {
    /// With the key that the processes share.
    pub fn new(key: &StartKey) -> TokenNames {
        TokenNames::with(key, multiplies_without_carry())
    }

    fn with(key: &StartKey, fast: bool) -> TokenNames {
        let octets = key.octets();
        let octets = octets.first_chunk::<16>().expect("a key has 32 octets");
        TokenNames(if fast {
            Hash::Ghash(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, octets).expect("a key of 16 octets")))
        } else {
            Hash::SipHash(SipHasher13::new_with_key(octets))
        })
    }

    /// The name of a token.
    #[inline]
    pub fn name(&self, token: &[u8]) -> TokenName {
        match &self.0 {
            Hash::Ghash(key) => {
                let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(token), &mut []);
                let tag = tag.expect("there is nothing to encrypt");
                let half = |at: usize| tag.as_ref()[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
                [half(0), half(8)]
            }
            Hash::SipHash(hasher) => {
                let mut hasher = *hasher;
                hasher.write(token);
                let hash = hasher.finish128();
                [hash.h1, hash.h2]
            }
        }
    }
}

/// True when the processor has the instructions that make GHASH fast.
fn multiplies_without_carry() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_and_the_length_are_in_the_name() {
        for fast in [false, true] {
            let names = TokenNames::with(&StartKey::default(), fast);
            let token = [b'A'; 100];
            let mut seen = std::collections::HashSet::from([names.name(&token)]);
            for at in 0..token.len() {
                let mut other = token;
                other[at] ^= 1;
                assert!(seen.insert(names.name(&other)), "octet {at}");
                assert!(seen.insert(names.name(&token[..at])), "cut at {at}");
            }
            assert!(seen.insert(names.name(&[b'A'; 101])));
            assert!(seen.insert(names.name(&[&token[..], &[0]].concat())), "padding counts");
            assert!(seen.iter().all(|[first, second]| first != second));
        }
    }

    #[test]
    fn processes_agree_and_starts_do_not() {
        for fast in [false, true] {
            let key = StartKey::default();
            let name = |key: &StartKey| TokenNames::with(key, fast).name(b"token");
            assert_eq!(name(&key), name(&key));
            assert_ne!(name(&key), name(&StartKey::default()));
        }
    }
}
