// SPDX-License-Identifier: MIT OR Apache-2.0
//! The key that a phone and its proxy both derive when a registration with an authorization code
//! completes (draft-ietf-sipcore-sip-authn 3rd-party-authentication section 2.1.2).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A key or a proof: 32 raw octets.
pub type Key = Zeroizing<[u8; 32]>;

/// In which order the parts are concatenated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyOrder {
    /// from-tag ‖ to-tag ‖ call-id without separator (the draft's text).
    #[default]
    Draft,
    /// call-id | from-tag | to-tag with a vertical bar between (the IETF 100 slides).
    Slides,
}

/// HMAC-SHA256(key, concatenation of the parts).
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Derives the shared key from the authorization code and the 200 OK that completes the registration.
///
/// The tags and the Call-ID are the raw octets of the header values, without quotes or brackets.
pub fn shared_key(order: KeyOrder, code: &[u8], from_tag: &[u8], to_tag: &[u8], call_id: &[u8]) -> Key {
    match order {
        KeyOrder::Draft => hmac_sha256(code, &[from_tag, to_tag, call_id]),
        KeyOrder::Slides => hmac_sha256(code, &[call_id, b"|", from_tag, b"|", to_tag]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draft_order_is_plain_concatenation() {
        let key = shared_key(KeyOrder::Draft, b"Jefe", b"what do ya ", b"want for ", b"nothing?");
        // RFC 4231 test case 2, split in three.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn slides_order_differs() {
        let a = shared_key(KeyOrder::Draft, b"c", b"f", b"t", b"i");
        let b = shared_key(KeyOrder::Slides, b"c", b"f", b"t", b"i");
        assert_ne!(a, b);
        assert_eq!(b, hmac_sha256(b"c", &[b"i|f|t"]));
    }
}
