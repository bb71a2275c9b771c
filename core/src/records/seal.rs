// SPDX-License-Identifier: MIT OR Apache-2.0
//! Encryption of what is stored: AES-256-GCM with random nonces, bound to the name of the record.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::keys::shared_key::hmac_sha256;
use crate::text::fingerprint::hex;

/// Seals and opens records under one secret.
pub struct Sealer {
    key: RandomizedNonceKey,
    check: String,
}

impl Sealer {
    /// `secret` is what the operator configured, of any length.
    pub fn new(secret: &[u8]) -> Sealer {
        let derived = hmac_sha256(secret, &[b"sipoauth store sealing key 1"]);
        let check = hmac_sha256(secret, &[b"sipoauth store key check 1"]);
        Sealer {
            key: RandomizedNonceKey::new(&AES_256_GCM, &*derived).expect("AES-256 takes a key of 32 octets"),
            check: hex(&check[..16]),
        }
    }

    /// 32 hex digits that tell whether two secrets are the same and reveal nothing of them.
    pub fn check(&self) -> &str {
        &self.check
    }

    /// Returns the nonce, the ciphertext and the tag, one after the other.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(plain);
        let nonce = self.key.seal_in_place_append_tag(Aad::from(name), &mut sealed);
        let nonce = nonce.expect("a record is shorter than the limit of AES-GCM, and the random generator works");
        sealed.splice(..0, *nonce.as_ref());
        sealed
    }

    /// Opens a record. None when it was sealed under another secret or name, or was changed.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut octets = Zeroizing::new(rest.to_vec());
        let length = self.key.open_in_place(Nonce::from(nonce), Aad::from(name), &mut octets).ok()?.len();
        octets.truncate(length);
        Some(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_it_sealed() {
        let sealer = Sealer::new(b"0123456789abcdef0123456789abcdef");
        let sealed = sealer.seal("a:1", b"a secret");
        assert_eq!(sealer.open("a:1", &sealed).unwrap().as_slice(), b"a secret");
        assert_ne!(sealer.seal("a:1", b"a secret"), sealed, "the nonce is new each time");
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        assert!(sealer.open("a:2", &sealed).is_none());
        assert!(Sealer::new(b"other").open("a:1", &sealed).is_none());
        for cut in [0, 5, 12, sealed.len() - 1] {
            assert!(sealer.open("a:1", &sealed[..cut]).is_none());
        }
        let mut changed = sealed.clone();
        changed[15] ^= 1;
        assert!(sealer.open("a:1", &changed).is_none());
        assert_ne!(sealer.check(), Sealer::new(b"other").check());
    }
}
