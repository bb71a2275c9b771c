// SPDX-License-Identifier: MIT OR Apache-2.0
//! JSON Object Signing and Encryption: algorithms, keys, signatures and decryption (RFC 7515 to 7518, 8037, 8725).

pub mod algorithm;
pub mod concat_kdf;
pub mod content;
pub mod decryption_key;
pub mod decryption_keys;
pub mod ephemeral;
pub mod hashed_token;
pub mod jwe;
pub mod jwe_algorithm;
pub mod jwk;
pub mod jwk_error;
pub mod jws;
pub mod key_set;
pub mod known_headers;
pub mod pem;
mod private_key;
pub mod rsa;
pub mod signing_key;
pub mod thumbprint;

use memchr::memchr_iter;
use smallvec::SmallVec;

use crate::reason::Reason;

/// Where the first five dots of a text are. They tell the kinds of tokens apart.
fn dots(text: &str) -> SmallVec<[usize; 5]> {
    memchr_iter(b'.', text.as_bytes()).take(5).collect()
}

/// True for a text that begins like a JWS or JWE in compact form. A token that only its server can read does not.
pub fn is_jose(text: &str) -> bool {
    let header = text.split_once('.').and_then(|(header, _)| decode(header).ok());
    header.is_some_and(|header| header.first() == Some(&b'{') && header.last() == Some(&b'}'))
}

/// Strict base64url: no padding, no other characters, no stray bits (RFC 7515 section 2).
fn decode(text: &str) -> Result<Vec<u8>, Reason> {
    base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| Reason::TokenMalformed)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dots_are_found_in_texts_of_any_length() {
        for length in [0, 1, 4, 5, 127, 128, 129, 1000] {
            assert_eq!(dots(&".".repeat(length)).len(), length.min(5));
            assert!(dots(&"a".repeat(length)).is_empty());
            assert_eq!(dots(&("a".repeat(length) + ".")).as_slice(), [length]);
        }
        assert_eq!(dots("a.b..\u{e9}.").as_slice(), [1, 3, 4, 7]);
    }

    #[test]
    fn no_other_character_is_base64url_wherever_it_stands() {
        let good = "AZaz09-_".repeat(13);
        for length in 0..=good.len() {
            assert_eq!(decode(&good[..length]).ok(), URL_SAFE_NO_PAD.decode(&good[..length]).ok(), "{length}");
        }
        for place in 0..good.len() {
            for octet in 0..=0x7F_u8 {
                let mut text = good.clone().into_bytes();
                text[place] = octet;
                let text = String::from_utf8(text).unwrap();
                let is_good = octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
                assert_eq!(decode(&text).is_ok(), is_good, "{octet} at {place}");
            }
            for other in ["\u{e9}", "\u{2012}", "\u{10ffff}"] {
                assert!(decode(&[&good[..place], other, &good[place..]].concat()).is_err(), "{other} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn two_libraries_read_the_same(octets in proptest::collection::vec(any::<u8>(), 0..300), tail in "[A-Za-z0-9_=+/-]{0,3}") {
            let text = URL_SAFE_NO_PAD.encode(&octets);
            prop_assert_eq!(decode(&text), Ok(octets));
            let text = text + &tail;
            prop_assert_eq!(decode(&text).ok(), URL_SAFE_NO_PAD.decode(&text).ok());
        }
    }
}
