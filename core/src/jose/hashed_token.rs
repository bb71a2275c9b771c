// SPDX-License-Identifier: MIT OR Apache-2.0
//! A short name for a token that may be logged: it identifies the token and reveals nothing of it.

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use smallvec::SmallVec;

use super::jws::CompactJws;
use crate::text::fingerprint::hex;

/// Length of a fingerprint in characters.
pub const LEN: usize = 16;
/// A signature of up to this many characters needs no allocation. That of RSA with 2048 bits has 342.
const USUAL: usize = 512;

/// The first 8 octets of a hash of the token in lower-case hex.
pub fn token_fingerprint(token: &str) -> String {
    HashedToken::new(token).fingerprint
}

/// Fingerprint and hash of a token. They are made together, because hashing is the most expensive part of a check
/// after the signature.
pub struct HashedToken<'a> {
    /// The token.
    pub text: &'a str,
    /// Its name in logs.
    pub fingerprint: String,
    /// Its parts with the hash of what is signed, when it is a JWS.
    pub jws: Option<CompactJws<'a>>,
}

impl HashedToken<'_> {
    /// A token whose fingerprint is known, and whose signature need not be verified.
    pub fn named(text: &str, fingerprint: String) -> HashedToken<'_> {
        HashedToken { text, fingerprint, jws: CompactJws::split(text).ok() }
    }

    /// Hashes a token. For a JWS, it hashes what is signed, and then that hash with every character of the
    /// signature. Any other token is hashed as it is. So a token with a forged signature has another name than the
    /// genuine one.
    pub fn new(text: &str) -> HashedToken<'_> {
        let named = |octets: &[u8]| hex(&digest(&SHA256, octets).as_ref()[..LEN / 2]);
        let Ok(jws) = CompactJws::split(text) else {
            return HashedToken { text, fingerprint: named(text.as_bytes()), jws: None };
        };
        let signed = digest(&SHA256, jws.signing_input().as_bytes());
        let signature = jws.encoded_signature().as_bytes();
        let mut both: SmallVec<[u8; SHA256_OUTPUT_LEN + USUAL]> = SmallVec::from_slice(signed.as_ref());
        both.extend_from_slice(signature);
        let fingerprint = named(&both);
        HashedToken { text, fingerprint, jws: Some(jws.with_hash(signed)) }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn every_octet_of_a_token_is_in_its_name() {
        let token = format!("e30.e30.{}", "Ab0-".repeat(86));
        let genuine = token_fingerprint(&token);
        for at in 0..token.len() {
            let mut octets = token.clone().into_bytes();
            octets[at] = if octets[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(octets).unwrap();
            assert_ne!(token_fingerprint(&changed), genuine, "octet {at}");
            assert_ne!(token_fingerprint(&token[..at]), genuine, "cut at {at}");
        }
    }

    #[test]
    fn every_part_of_a_token_is_in_its_name() {
        let hash = |octets: &[u8]| Sha256::digest(octets).to_vec();
        for text in ["", "opaque", ".", "one.dot", "a.b.c.d.e"] {
            assert_eq!(token_fingerprint(text), hex(&hash(text.as_bytes())[..8]), "{text}");
        }
        let signature = "S".repeat(20) + "0123456789-abcdefghi_tu";
        let all = [hash(b"e30.e30").as_slice(), signature.as_bytes()].concat();
        assert_eq!(token_fingerprint(&format!("e30.e30.{signature}")), hex(&hash(&all)[..8]));
        let short = [hash(b"e30.e30").as_slice(), b"c2ln"].concat();
        assert_eq!(token_fingerprint("e30.e30.c2ln"), hex(&hash(&short)[..8]));
        let names = ["e30.e30.c2ln", "e30.e31.c2ln", "e31.e30.c2ln", "e30.e30.c2lo", "e30.e30.", "e30.e30"];
        let names: std::collections::HashSet<_> = names.map(token_fingerprint).into();
        assert_eq!(names.len(), 6);
    }
}
