// SPDX-License-Identifier: MIT OR Apache-2.0
//! Proof of possession: pop = HMAC-SHA256(shared-key, digest-string).

use aws_lc_rs::hmac as aws_lc;
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig as Config};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::shared_key::{Key, hmac_sha256};
use crate::text::fingerprint::octets_of_hex;

/// Length of a proof in octets.
pub const LEN: usize = 32;

const LENIENT: Config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// A shared key made ready for many proofs.
pub struct PopKey(Prepared);

/// If the processor has instructions for SHA-256, sha2 takes 0.29 µs for 300 octets and AWS-LC, which has more
/// overhead, takes 0.42 µs. Elsewhere sha2 is portable code, and AWS-LC, which has code for AVX, takes half as
/// long.
enum Prepared {
    Sha2(Hmac<Sha256>),
    AwsLc(Box<aws_lc::Key>),
}

impl PopKey {
    /// About how many octets of memory a prepared key takes.
    pub const OCTETS: usize = size_of::<PopKey>() + size_of::<aws_lc::Key>();

    /// Prepares a shared key of any length.
    pub fn new(shared_key: &[u8]) -> PopKey {
        // A build that does without these instructions, to be measured, does so here, too (docs/develop/performance.md).
        let sha = !cfg!(sha2_256_backend = "soft") && has_sha_instructions();
        PopKey(if sha { Prepared::sha2(shared_key) } else { Prepared::aws_lc(shared_key) })
    }

    /// The proof for a digest-string.
    pub fn make_pop(&self, digest_string: &[u8]) -> Key {
        self.0.make_pop(digest_string)
    }
}

impl Prepared {
    fn sha2(shared_key: &[u8]) -> Prepared {
        Prepared::Sha2(Hmac::new_from_slice(shared_key).expect("HMAC takes a key of any length"))
    }

    fn aws_lc(shared_key: &[u8]) -> Prepared {
        Prepared::AwsLc(Box::new(aws_lc::Key::new(aws_lc::HMAC_SHA256, shared_key)))
    }

    fn make_pop(&self, digest_string: &[u8]) -> Key {
        let mut pop = Key::default();
        match self {
            Prepared::Sha2(key) => {
                let mut mac = key.clone();
                mac.update(digest_string);
                pop.copy_from_slice(&mac.finalize().into_bytes());
            }
            Prepared::AwsLc(key) => pop.copy_from_slice(aws_lc::sign(key, digest_string).as_ref()),
        }
        pop
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_sha_instructions() -> bool {
    std::is_x86_feature_detected!("sha")
}

#[cfg(target_arch = "aarch64")]
fn has_sha_instructions() -> bool {
    std::arch::is_aarch64_feature_detected!("sha2")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_sha_instructions() -> bool {
    false
}

/// The proof for a digest-string, 32 raw octets.
pub fn make_pop(shared_key: &[u8], digest_string: &[u8]) -> Key {
    hmac_sha256(shared_key, &[digest_string])
}

/// A proof as it is sent: base64url without padding, 43 characters.
pub fn pop_to_text(pop: &[u8; LEN]) -> String {
    URL_SAFE_NO_PAD.encode(pop)
}

/// Reads a proof written as base64url, base64 (padded or not) or hex.
pub fn pop_from_text(text: &str) -> Option<[u8; LEN]> {
    if text.len() == LEN * 2 {
        return octets_of_hex(text.as_bytes());
    }
    // There is room for a text that is too long, because decoding goes by whole groups.
    let mut room = [0; LEN + 4];
    let is_standard = text.bytes().any(|b| b == b'+' || b == b'/');
    let length = if is_standard { &STANDARD } else { &URL_SAFE }.decode_slice(text, &mut room).ok()?;
    room[..length].try_into().ok()
}

/// Compares a received proof with the expected one in constant time.
pub fn verify_pop(shared_key: &[u8], digest_string: &[u8], received: &str) -> bool {
    let Some(received) = pop_from_text(received) else {
        return false;
    };
    make_pop(shared_key, digest_string).as_slice().ct_eq(&received).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling() {
        let pop = make_pop(b"key", b"text");
        let hex: String = pop.iter().map(|b| format!("{b:02X}")).collect();
        for text in [pop_to_text(&pop), STANDARD.encode(*pop), URL_SAFE.encode(*pop) + "", hex.to_lowercase(), hex] {
            assert!(verify_pop(b"key", b"text", &text), "{text}");
        }
    }

    #[test]
    fn both_ways_make_the_same_proof() {
        for (key, text) in [(&b"key"[..], &b"text"[..]), (&[7; 32], &[9; 300]), (&[7; 100], b"")] {
            let pop = make_pop(key, text);
            assert_eq!(Prepared::sha2(key).make_pop(text), pop);
            assert_eq!(Prepared::aws_lc(key).make_pop(text), pop);
            assert_eq!(PopKey::new(key).make_pop(text), pop);
        }
    }

    #[test]
    fn refuses_anything_else() {
        let text = pop_to_text(&make_pop(b"key", b"text"));
        assert!(!verify_pop(b"key", b"texu", &text));
        assert!(!verify_pop(b"kez", b"text", &text));
        assert!(!verify_pop(b"key", b"text", &text[1..]));
        assert!(!verify_pop(b"key", b"text", ""));
        assert!(!verify_pop(b"key", b"text", "é".repeat(32).as_str()));
    }
}
