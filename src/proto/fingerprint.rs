// SPDX-License-Identifier: MIT OR Apache-2.0
//! A short name for a token that may be logged: it identifies the token and reveals nothing of it.

use sha2::{Digest, Sha256};

/// Length of a fingerprint in characters.
pub const LEN: usize = 16;

/// The first 8 octets of SHA-256(token) in lower-case hex.
pub fn token_fingerprint(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes())[..LEN / 2])
}

/// Names a secret of an issuer where it is looked up: SHA-256 over the issuer's length, the issuer and the secret, in hex.
pub fn secret_name(issuer: &str, secret: &str) -> String {
    let length = (issuer.len() as u64).to_be_bytes();
    hex(&Sha256::new().chain_update(length).chain_update(issuer).chain_update(secret).finalize())
}

/// Lower-case hex.
pub fn hex(octets: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).expect("a nibble is a hex digit");
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect()
}

/// Makes text that a peer controls safe for one log line: control characters become '?', length is capped.
pub fn printable(text: &str, max_chars: usize) -> String {
    let mut out: String = text.chars().take(max_chars).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(max_chars).is_some() {
        out.push('…');
    }
    out
}
