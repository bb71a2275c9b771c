// SPDX-License-Identifier: MIT OR Apache-2.0
//! A short name for a token that may be logged: it identifies the token and reveals nothing of it.

use sha2::{Digest, Sha256};

/// Length of a fingerprint in characters.
pub const LEN: usize = 16;

/// The first 8 octets of SHA-256(token) in lower-case hex.
pub fn token_fingerprint(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes())[..LEN / 2])
}

/// Names a secret where it is looked up: SHA-256 over each part with its length before it, in hex. The first parts say
/// what it is and whose, so that nothing is taken for something else.
pub fn secret_name(parts: &[&str]) -> String {
    let add = |hash: Sha256, part: &&str| hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part);
    hex(&parts.iter().fold(Sha256::new(), add).finalize())
}

/// Lower-case hex.
pub fn hex(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 2);
    push_hex(&mut out, octets);
    out
}

/// Appends lower-case hex.
pub fn push_hex(out: &mut String, octets: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for octet in octets {
        out.push(char::from(DIGITS[usize::from(octet >> 4)]));
        out.push(char::from(DIGITS[usize::from(octet & 15)]));
    }
}

/// Makes text that a peer controls safe for one log line: control characters become '?', length is capped.
pub fn printable(text: &str, max_chars: usize) -> String {
    let mut out: String = text.chars().take(max_chars).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(max_chars).is_some() {
        out.push('…');
    }
    out
}
