// SPDX-License-Identifier: MIT OR Apache-2.0
//! The master-key of sip-oauth (sections 3.4 and 4.3): what a phone and a server share after a Digest authentication,
//! without ever sending it.

use super::shared_key::{Key, hmac_sha256};

/// How H(A1) enters the HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ha1Form {
    /// As lower-case hex text, the form in which Digest itself uses it (RFC 7616 section 3.4.2).
    #[default]
    Hex,
    /// Its raw octets.
    Raw,
}

/// True for H(A1) as hex text: 32 digits (MD5) or 64 (SHA-256, SHA-512/256). A text of zeros is refused, because
/// scripts write it for unknown users, and everybody knows it.
pub fn is_ha1(text: &str) -> bool {
    [32, 64].contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) && text.bytes().any(|b| b != b'0')
}

/// master-key = HMAC-SHA256(H(A1), realm ‖ nonce), plain concatenation. `ha1` is hex text of 32 (MD5) or 64 digits
/// (SHA-256, SHA-512/256) in any case; None when [`is_ha1`] says no. `realm` and `nonce` are as in the challenge,
/// unquoted.
pub fn master_key(form: Ha1Form, ha1: &str, realm: &[u8], nonce: &[u8]) -> Option<Key> {
    if !is_ha1(ha1) {
        return None;
    }
    let hex = zeroize::Zeroizing::new(ha1.to_ascii_lowercase());
    Some(match form {
        Ha1Form::Hex => hmac_sha256(hex.as_bytes(), &[realm, nonce]),
        Ha1Form::Raw => {
            let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
            let octets = hex.as_bytes().chunks_exact(2).map(|two| digit(two[0]) << 4 | digit(two[1]));
            let octets = zeroize::Zeroizing::new(octets.collect::<Vec<u8>>());
            hmac_sha256(&octets, &[realm, nonce])
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_hmac_of_realm_and_nonce() {
        let ha1 = "939e7578ed9e3c518a452acee763bce9";
        let key = master_key(Ha1Form::Hex, ha1, b"example.test", b"n1").unwrap();
        assert_eq!(key, hmac_sha256(ha1.as_bytes(), &[b"example.testn1"]));
        assert_eq!(master_key(Ha1Form::Hex, &ha1.to_uppercase(), b"example.test", b"n1").unwrap(), key);
        let octets = [0x93, 0x9e, 0x75, 0x78, 0xed, 0x9e, 0x3c, 0x51, 0x8a, 0x45, 0x2a, 0xce, 0xe7, 0x63, 0xbc, 0xe9];
        let raw = master_key(Ha1Form::Raw, ha1, b"example.test", b"n1").unwrap();
        assert_eq!(raw, hmac_sha256(&octets, &[b"example.testn1"]));
    }

    #[test]
    fn refuses_what_is_no_hash() {
        let zeros = ["0".repeat(32), "0".repeat(64)];
        let texts = ["", "secret", "939e7578ed9e3c518a452acee763bce", "939e7578ed9e3c518a452acee763bcex"];
        for ha1 in texts.into_iter().chain(zeros.iter().map(String::as_str)) {
            assert!(master_key(Ha1Form::Hex, ha1, b"r", b"n").is_none(), "{ha1}");
        }
    }
}
