// SPDX-License-Identifier: MIT OR Apache-2.0
//! A short name for a token that may be logged: it identifies the token and reveals nothing of it.

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use sha2::{Digest, Sha256};

use super::jose::jws::CompactJws;

/// Length of a fingerprint in characters.
pub const LEN: usize = 16;
/// Most characters of a signature that are hashed: with a hash before them they fill one block.
const TAIL: usize = 23;

/// The first 8 octets of a hash of the token in lower-case hex.
pub fn token_fingerprint(token: &str) -> String {
    HashedToken::new(token).fingerprint
}

/// Fingerprint and hash of a token in one go: hashing it is the dearest part of its check after its signature.
pub struct HashedToken<'a> {
    /// The token.
    pub text: &'a str,
    /// Its name in logs.
    pub fingerprint: String,
    /// Its parts with the hash of what is signed, when it is a JWS.
    pub jws: Option<CompactJws<'a>>,
}

impl HashedToken<'_> {
    /// Hashes it: a JWS as what is signed, then that hash and the end of the signature; any other token as it is.
    pub fn new(text: &str) -> HashedToken<'_> {
        let named = |octets: &[u8]| hex(&digest(&SHA256, octets).as_ref()[..LEN / 2]);
        let Ok(jws) = CompactJws::split(text) else {
            return HashedToken { text, fingerprint: named(text.as_bytes()), jws: None };
        };
        let signed = digest(&SHA256, jws.signing_input().as_bytes());
        let signature = jws.encoded_signature().as_bytes();
        let end = &signature[signature.len().saturating_sub(TAIL)..];
        let mut both = [0; SHA256_OUTPUT_LEN + TAIL];
        both[..SHA256_OUTPUT_LEN].copy_from_slice(signed.as_ref());
        both[SHA256_OUTPUT_LEN..][..end.len()].copy_from_slice(end);
        let fingerprint = named(&both[..SHA256_OUTPUT_LEN + end.len()]);
        HashedToken { text, fingerprint, jws: Some(jws.with_hash(signed)) }
    }
}

/// Names a secret where it is looked up: SHA-256 over each part with its length before it, in hex. The first parts say
/// what it is and whose, so that nothing is taken for something else.
pub fn secret_name(parts: &[&str]) -> String {
    let add = |hash: Sha256, part: &&str| hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part);
    hex(&parts.iter().fold(Sha256::new(), add).finalize())
}

/// No digit.
const NONE: u8 = 0xFF;
/// What each octet stands for as a hex digit in lower case.
const NIBBLES: [u8; 256] = {
    let mut nibbles = [NONE; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        nibbles[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    nibbles
};
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What a digit of lower-case hex stands for.
pub fn nibble(digit: u8) -> Option<u8> {
    Some(NIBBLES[usize::from(digit)]).filter(|nibble| *nibble != NONE)
}

/// Lower-case hex.
pub fn hex(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 2);
    push_hex(&mut out, octets);
    out
}

/// Appends lower-case hex.
pub fn push_hex(out: &mut String, octets: &[u8]) {
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
    fn every_part_of_a_token_is_in_its_name() {
        let hash = |octets: &[u8]| Sha256::digest(octets).to_vec();
        for text in ["", "opaque", ".", "one.dot", "a.b.c.d.e"] {
            assert_eq!(token_fingerprint(text), hex(&hash(text.as_bytes())[..8]), "{text}");
        }
        let signature = "S".repeat(20) + "0123456789-abcdefghi_tu";
        let end = [hash(b"e30.e30").as_slice(), b"0123456789-abcdefghi_tu"].concat();
        assert_eq!(token_fingerprint(&format!("e30.e30.{signature}")), hex(&hash(&end)[..8]));
        let short = [hash(b"e30.e30").as_slice(), b"c2ln"].concat();
        assert_eq!(token_fingerprint("e30.e30.c2ln"), hex(&hash(&short)[..8]));
        let names = ["e30.e30.c2ln", "e30.e31.c2ln", "e31.e30.c2ln", "e30.e30.c2lo", "e30.e30.", "e30.e30"];
        let names: std::collections::HashSet<_> = names.map(token_fingerprint).into();
        assert_eq!(names.len(), 6);
    }
}
