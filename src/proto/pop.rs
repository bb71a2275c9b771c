// SPDX-License-Identifier: MIT OR Apache-2.0
//! Proof of possession: pop = HMAC-SHA256(shared-key, digest-string).

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig as Config};
use subtle::ConstantTimeEq;

use super::shared_key::{Key, hmac_sha256};

/// Length of a proof in octets.
pub const LEN: usize = 32;
/// Length of a proof written as base64url without padding.
pub const TEXT_LEN: usize = 43;

const LENIENT: Config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// The proof for a digest-string (see [`super::digest_string`]), 32 raw octets.
pub fn make_pop(shared_key: &[u8], digest_string: &[u8]) -> Key {
    hmac_sha256(shared_key, &[digest_string])
}

/// A proof as it is sent: base64url without padding, 43 characters.
pub fn pop_to_text(pop: &[u8; LEN]) -> String {
    URL_SAFE_NO_PAD.encode(pop)
}

/// Reads a proof written as base64url, base64 (padded or not) or hex.
pub fn pop_from_text(text: &str) -> Option<[u8; LEN]> {
    let decoded = if text.len() == LEN * 2 {
        decode_hex(text)?
    } else if text.bytes().any(|b| b == b'+' || b == b'/') {
        STANDARD.decode(text).ok()?
    } else {
        URL_SAFE.decode(text).ok()?
    };
    decoded.try_into().ok()
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits?;
    Some(digits.chunks_exact(2).map(|d| (d[0] * 16 + d[1]) as u8).collect())
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
    fn refuses_anything_else() {
        let text = pop_to_text(&make_pop(b"key", b"text"));
        assert!(!verify_pop(b"key", b"texu", &text));
        assert!(!verify_pop(b"kez", b"text", &text));
        assert!(!verify_pop(b"key", b"text", &text[1..]));
        assert!(!verify_pop(b"key", b"text", ""));
        assert!(!verify_pop(b"key", b"text", "é".repeat(32).as_str()));
    }
}
