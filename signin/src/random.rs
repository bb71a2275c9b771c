// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random numbers, and names that are made of them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use sipoauth_core::text::fingerprint::push_hex;

/// Random octets.
pub fn octets<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    aws_lc_rs::rand::fill(&mut octets).expect("the system has random numbers");
    octets
}

/// Octets as text for a URL.
pub fn text(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// The key of a record that is found by a secret. The store does not learn the secret.
pub fn record_key(prefix: &str, secret: &str) -> String {
    let mut key = prefix.to_owned();
    push_hex(&mut key, &Sha256::digest(secret.as_bytes())[..16]);
    key
}

/// Compares secrets in a time that does not tell how much of them is the same.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}
