// SPDX-License-Identifier: MIT OR Apache-2.0
//! An encrypted token, from its octets to its content, and the text of private keys. No key here has encrypted any of
//! them, but for a secret that everybody knows: what it opens may be anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::jose::content::Content;
use sipoauth_core::jose::decryption_keys::{DecryptionKeys, MAX_KEYS, keys_from_text};
use sipoauth_core::jose::jwe::CompactJwe;
use sipoauth_core::jose::jwe_algorithm::{ContentEncryption, KeyManagement};
use sipoauth_core::jose::jws::CompactJws;
use std::sync::OnceLock;

/// RFC 7520 section 5.6, RFC 8037 appendix A.6, and Bob's key of RFC 7518 appendix C.
const KEYS: &str = r#"{"keys":[
    {"kty":"oct","k":"XctOhJAkA-pD9Lh7ZgW_2A"},
    {"kty":"OKP","crv":"X25519","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08",
     "d":"XasIfmJKikt54X-Lg4AO5m87sSkmGLb9HC-LJ_-I4Os"},
    {"kty":"EC","crv":"P-256","x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
     "y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck","d":"VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"}]}"#;

fuzz_target!(|octets: &[u8]| {
    static SET: OnceLock<DecryptionKeys> = OnceLock::new();
    let keys =
        SET.get_or_init(|| DecryptionKeys::new(keys_from_text(KEYS).expect("good keys"), KeyManagement::ALL.to_vec()));
    // The content is out of a fuzzer's reach behind base64, so the octets are tried as they are, too.
    for enc in ContentEncryption::ALL {
        if let Some((head, ciphertext)) = octets.split_at_checked(enc.iv_len() + enc.tag_len()) {
            let (iv, tag) = head.split_at(enc.iv_len());
            let content = Content { iv, ciphertext, tag, aad: b"fuzz" };
            assert!(content.decrypt(enc, &vec![7; enc.key_len()]).is_none_or(|text| text.len() <= ciphertext.len()));
        }
    }
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Ok(keys) = keys_from_text(text) {
        assert!((1..=MAX_KEYS).contains(&keys.len()));
    }
    if let Some(jwe) = CompactJwe::split(text)
        && let Ok(header) = jwe.header()
    {
        let _ = keys.decrypt(&jwe, &header);
    }
    if let Ok(opened) = keys.open(text) {
        // Never another encrypted token.
        assert!(CompactJwe::split(&opened).is_none());
        let _ = CompactJws::split(&opened).map(|jws| jws.header());
    }
});
