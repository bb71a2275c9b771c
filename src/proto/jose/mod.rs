// SPDX-License-Identifier: MIT OR Apache-2.0
//! JSON Object Signing and Encryption: algorithms, keys, signatures and decryption (RFC 7515 to 7518, 8037, 8725).

pub mod algorithm;
pub mod concat_kdf;
pub mod content;
pub mod decryption_key;
pub mod decryption_keys;
pub mod ephemeral;
pub mod jwe;
pub mod jwe_algorithm;
pub mod jwk;
pub mod jws;
pub mod key_set;
pub mod pem;
mod private_key;
pub mod rsa;
pub mod signing_key;
pub mod thumbprint;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The number of dots in a text: what tells the kinds of tokens apart.
fn dots(text: &str) -> usize {
    // Octets that add up in an octet are added many at a time.
    let in_chunk = |chunk: &[u8]| chunk.iter().map(|octet| u8::from(*octet == b'.')).sum::<u8>();
    text.as_bytes().chunks(128).map(|chunk| usize::from(in_chunk(chunk))).sum()
}

/// True for what begins as a JWS or JWE in compact form does: a text that only its server can read does not.
pub fn is_jose(text: &str) -> bool {
    let header = text.split_once('.').and_then(|(header, _)| URL_SAFE_NO_PAD.decode(header).ok());
    header.is_some_and(|header| header.first() == Some(&b'{') && header.last() == Some(&b'}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_counted_in_texts_of_any_length() {
        for length in [0, 1, 127, 128, 129, 300, 1000] {
            assert_eq!(dots(&".".repeat(length)), length);
            assert_eq!(dots(&"a".repeat(length)), 0);
        }
        assert_eq!(dots("a.b..\u{e9}."), 4);
    }
}
