// SPDX-License-Identifier: MIT OR Apache-2.0
//! Authenticated decryption of a JWE's content (RFC 7518 section 5). Every failure looks the same.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use aws_lc_rs::iv::FixedLength;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::jwe_algorithm::ContentEncryption;

/// What is decrypted, and what authenticates it.
#[derive(Clone, Copy)]
pub struct Content<'a> {
    /// The initialization vector.
    pub iv: &'a [u8],
    /// The ciphertext.
    pub ciphertext: &'a [u8],
    /// The authentication tag.
    pub tag: &'a [u8],
    /// The encoded protected header, which the tag covers too.
    pub aad: &'a [u8],
}

impl Content<'_> {
    /// Decrypts. None for lengths that are not exactly right, and for a tag that does not fit.
    pub fn decrypt(&self, enc: ContentEncryption, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let lengths = (key.len(), self.iv.len(), self.tag.len());
        if lengths != (enc.key_len(), enc.iv_len(), enc.tag_len()) {
            return None;
        }
        match enc {
            ContentEncryption::A128Gcm => self.gcm(UnboundKey::new(&AES_128_GCM, key).ok()?),
            ContentEncryption::A192Gcm => self.gcm(UnboundKey::new(&AES_192_GCM, key).ok()?),
            ContentEncryption::A256Gcm => self.gcm(UnboundKey::new(&AES_256_GCM, key).ok()?),
            ContentEncryption::A128CbcHs256 => self.cbc(HMAC_SHA256, &AES_128, key),
            ContentEncryption::A192CbcHs384 => self.cbc(HMAC_SHA384, &AES_192, key),
            ContentEncryption::A256CbcHs512 => self.cbc(HMAC_SHA512, &AES_256, key),
        }
    }

    fn gcm(&self, key: UnboundKey) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = Nonce::try_assume_unique_for_key(self.iv).ok()?;
        let mut text = Zeroizing::new(self.ciphertext.to_vec());
        let key = LessSafeKey::new(key);
        key.open_in_place_separate_tag(nonce, Aad::from(self.aad), self.tag, &mut text).ok()?;
        Some(text)
    }

    /// RFC 7518 section 5.2.2.2: nothing is decrypted before the tag is right, so that the padding reveals
    /// nothing.
    fn cbc(
        &self,
        hash: hmac::Algorithm,
        cipher: &'static aws_lc_rs::cipher::Algorithm,
        key: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let (mac_key, enc_key) = key.split_at(key.len() / 2);
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hash, mac_key));
        let aad_bits = 8 * self.aad.len() as u64;
        for part in [self.aad, self.iv, self.ciphertext, &aad_bits.to_be_bytes()] {
            mac.update(part);
        }
        let mac = mac.sign();
        let blocks = !self.ciphertext.is_empty() && self.ciphertext.len().is_multiple_of(16);
        if !bool::from(mac.as_ref()[..mac_key.len()].ct_eq(self.tag)) || !blocks {
            return None;
        }
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(cipher, enc_key).ok()?).ok()?;
        let iv = DecryptionContext::Iv128(FixedLength::from(<[u8; 16]>::try_from(self.iv).ok()?));
        let mut text = Zeroizing::new(self.ciphertext.to_vec());
        let length = key.decrypt(&mut text, iv).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    const PLAIN: &str = "41206369706865722073797374656d206d757374206e6f7420626520726571756972656420746f20626520
        7365637265742c20616e64206974206d7573742062652061626c6520746f2066616c6c20696e746f207468652068616e6473206f66
        2074686520656e656d7920776974686f757420696e636f6e76656e69656e6365";
    const AAD: &str = "546865207365636f6e64207072696e6369706c65206f662041756775737465204b6572636b686f666673";
    const IV: &str = "1af38c2dc2b96ffdd86694092341bc04";

    /// RFC 7518, appendices B.1 to B.3: the keys are 00 01 02 …
    #[test]
    fn rfc_7518_appendix_b() {
        for (enc, ciphertext, tag) in [
            (
                ContentEncryption::A128CbcHs256,
                "c80edfa32ddf39d5ef00c0b468834279a2e46a1b8049f792f76bfe54b903a9c9a94ac9b47ad2655c5f10f9aef71427e2
                 fc6f9b3f399a221489f16362c703233609d45ac69864e3321cf82935ac4096c86e133314c54019e8ca7980dfa4b9cf1b
                 384c486f3a54c51078158ee5d79de59fbd34d848b3d69550a67646344427ade54b8851ffb598f7f80074b9473c82e2db",
                "652c3fa36b0a7c5b3219fab3a30bc1c4",
            ),
            (
                ContentEncryption::A192CbcHs384,
                "ea65da6b59e61edb419be62d19712ae5d303eeb50052d0dfd6697f77224c8edb000d279bdc14c1072654bd30944230c6
                 57bed4ca0c9f4a8466f22b226d1746214bf8cfc2400add9f5126e479663fc90b3bed787a2f0ffcbf3904be2a641d5c21
                 05bfe591bae23b1d7449e532eef60a9ac8bb6c6b01d35d49787bcd57ef484927f280adc91ac0c4e79c7b11efc60054e3",
                "8490ac0e58949bfe51875d733f93ac2075168039ccc733d7",
            ),
            (
                ContentEncryption::A256CbcHs512,
                "4affaaadb78c31c5da4b1b590d10ffbd3dd8d5d302423526912da037ecbcc7bd822c301dd67c373bccb584ad3e9279c2
                 e6d12a1374b77f077553df829410446b36ebd97066296ae6427ea75c2e0846a11a09ccf5370dc80bfecbad28c73f09b3
                 a3b75e662a2594410ae496b2e2e6609e31e6e02cc837f053d21f37ff4f51950bbe2638d09dd7a4930930806d0703b1f6",
                "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5",
            ),
        ] {
            let key: Vec<u8> = (0..enc.key_len() as u8).collect();
            let (iv, aad, ciphertext, tag) = (octets(IV), octets(AAD), octets(ciphertext), octets(tag));
            let content = Content { iv: &iv, ciphertext: &ciphertext, tag: &tag, aad: &aad };
            assert_eq!(content.decrypt(enc, &key).unwrap().as_slice(), octets(PLAIN), "{enc:?}");
            // Every octet counts, and so does every length.
            for (part, length) in [iv.len(), ciphertext.len(), tag.len(), aad.len()].into_iter().enumerate() {
                for at in 0..length {
                    let mut parts = [iv.clone(), ciphertext.clone(), tag.clone(), aad.clone()];
                    parts[part][at] ^= 0x80;
                    let [iv, ciphertext, tag, aad] = &parts;
                    assert!(Content { iv, ciphertext, tag, aad }.decrypt(enc, &key).is_none(), "{part} {at}");
                    let mut parts = [iv.clone(), ciphertext.clone(), tag.clone(), aad.clone()];
                    parts[part].truncate(at);
                    let [iv, ciphertext, tag, aad] = &parts;
                    assert!(Content { iv, ciphertext, tag, aad }.decrypt(enc, &key).is_none(), "{part} cut at {at}");
                }
            }
            assert!(content.decrypt(enc, &key[1..]).is_none());
        }
    }
}
