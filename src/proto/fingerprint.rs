// SPDX-License-Identifier: MIT OR Apache-2.0
//! A short name for a token that may be logged: it identifies the token and reveals nothing of it.

use aws_lc_rs::digest::{Context, Digest as Hash, SHA256};
use sha2::{Digest, Sha256};

/// Length of a fingerprint in characters.
pub const LEN: usize = 16;

/// The first 8 octets of SHA-256(token) in lower-case hex.
pub fn token_fingerprint(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes())[..LEN / 2])
}

/// Fingerprint and hash of a token in one go: hashing it is the dearest part of its check after its signature.
pub struct HashedToken<'a> {
    /// The token.
    pub text: &'a str,
    /// Its name in logs.
    pub fingerprint: String,
    /// SHA-256 of all before the last dot: what is signed of a JWS.
    pub signed: Hash,
}

impl HashedToken<'_> {
    /// Hashes it.
    pub fn new(text: &str) -> HashedToken<'_> {
        let (signed, rest) = text.split_at(text.rfind('.').unwrap_or(0));
        let mut hash = Context::new(&SHA256);
        hash.update(signed.as_bytes());
        let mut whole = hash.clone();
        whole.update(rest.as_bytes());
        HashedToken { text, fingerprint: hex(&whole.finish().as_ref()[..LEN / 2]), signed: hash.finish() }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_hashed_as_a_whole_and_without_its_signature() {
        for (token, signed) in [("e30.e30.c2ln", "e30.e30"), ("opaque", ""), ("", ""), (".", ""), ("a.b.", "a.b")] {
            let hashed = HashedToken::new(token);
            assert_eq!(hashed.fingerprint, token_fingerprint(token), "{token}");
            assert_eq!(hashed.signed.as_ref(), &Sha256::digest(signed)[..], "{token}");
        }
    }
}
