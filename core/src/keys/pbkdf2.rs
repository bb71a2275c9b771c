// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys from passwords: PBKDF2 (RFC 8018 section 5.2, NIST SP 800-132), as draft-yusef-sipcore-key-derivation uses it.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use aws_lc_rs::pbkdf2;
use zeroize::{Zeroize, Zeroizing};

/// Iterations of accounts and challenges. Fewer protect nobody, and more would keep a phone busy for a minute.
pub const ITERATIONS: RangeInclusive<u32> = 1000..=10_000_000;
/// Octets of salt.
pub const SALT: RangeInclusive<usize> = 8..=64;
/// Bits of a key, in steps of 8.
pub const KEY_SIZE: RangeInclusive<u32> = 128..=512;
/// Iterations of a challenge that names none (section 3 of the draft).
pub const UNNAMED_ITERATIONS: u32 = 1000;
/// Iterations of new accounts.
pub const DEFAULT_ITERATIONS: u32 = 600_000;
/// Octets of salt of new accounts.
pub const DEFAULT_SALT: usize = 16;

/// The hash function in PBKDF2-HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kdf {
    /// PBKDF2-HMAC-SHA-256
    #[default]
    Sha256,
    /// PBKDF2-HMAC-SHA-512
    Sha512,
}

impl Kdf {
    /// Its name in challenges.
    pub fn name(self) -> &'static str {
        match self {
            Kdf::Sha256 => "PBKDF2-HMAC-SHA-256",
            Kdf::Sha512 => "PBKDF2-HMAC-SHA-512",
        }
    }

    /// Its name in settings.
    pub fn short_name(self) -> &'static str {
        match self {
            Kdf::Sha256 => "sha256",
            Kdf::Sha512 => "sha512",
        }
    }

    /// Length of its result, and of the keys of new accounts, in bits.
    pub fn bits(self) -> u32 {
        match self {
            Kdf::Sha256 => 256,
            Kdf::Sha512 => 512,
        }
    }

    /// Reads a name of a challenge in any case. The draft's own example is HMAC-SHA2-256.
    pub fn from_name(name: &str) -> Option<Kdf> {
        let name = name.to_ascii_uppercase();
        match name.strip_prefix("PBKDF2-").unwrap_or(&name) {
            "HMAC-SHA-256" | "HMAC-SHA256" | "HMAC-SHA2-256" => Some(Kdf::Sha256),
            "HMAC-SHA-512" | "HMAC-SHA512" | "HMAC-SHA2-512" => Some(Kdf::Sha512),
            _ => None,
        }
    }

    /// Reads a name of a setting.
    pub fn from_short_name(name: &str) -> Option<Kdf> {
        [Kdf::Sha256, Kdf::Sha512].into_iter().find(|kdf| kdf.short_name() == name)
    }
}

/// How a key is derived. Made by [`Parameters::new`] only, so always within the bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    kdf: Kdf,
    iterations: u32,
    salt: Vec<u8>,
    key_size: u32,
}

impl Parameters {
    /// Checks the bounds of accounts and challenges. The error says what is outside them. `key_size` in bits.
    pub fn new(kdf: Kdf, iterations: u32, salt: Vec<u8>, key_size: u32) -> Result<Parameters, &'static str> {
        if !ITERATIONS.contains(&iterations) {
            return Err("the iterations must be between 1000 and 10000000");
        }
        if !SALT.contains(&salt.len()) {
            return Err("the salt must have 8 to 64 octets");
        }
        if !is_key_size(key_size) {
            return Err("the key must have 128 to 512 bits, whole octets");
        }
        Ok(Parameters { kdf, iterations, salt, key_size })
    }

    /// The hash function.
    pub fn kdf(&self) -> Kdf {
        self.kdf
    }

    /// The number of iterations.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Length of the key in bits.
    pub fn key_size(&self) -> u32 {
        self.key_size
    }

    /// Derives the master-key. This is slow by design, so never call it in a process that serves others.
    pub fn derive(&self, password: &[u8]) -> MasterKey {
        let mut key = vec![0; self.key_size as usize / 8];
        let iterations = NonZeroU32::new(self.iterations).expect("the bounds begin above zero");
        derive(self.kdf, password, &self.salt, iterations, &mut key);
        MasterKey(Zeroizing::new(key))
    }
}

/// True for a key length, in bits, that is allowed.
pub fn is_key_size(bits: u32) -> bool {
    KEY_SIZE.contains(&bits) && bits.is_multiple_of(8)
}

/// A derived key. Compared in constant time, wiped after use, never shown.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<Vec<u8>>);

impl MasterKey {
    /// A key that was derived before; None when no key has this length.
    pub fn from_octets(mut octets: Vec<u8>) -> Option<MasterKey> {
        if !u32::try_from(octets.len() * 8).is_ok_and(is_key_size) {
            octets.zeroize();
            return None;
        }
        Some(MasterKey(Zeroizing::new(octets)))
    }

    /// Its octets, which are a secret.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &MasterKey) -> bool {
        use subtle::ConstantTimeEq;
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for MasterKey {}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// PBKDF2 itself, without bounds: fills `key`.
pub fn derive(kdf: Kdf, password: &[u8], salt: &[u8], iterations: NonZeroU32, key: &mut [u8]) {
    let algorithm = match kdf {
        Kdf::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Kdf::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
    };
    if !key.is_empty() {
        pbkdf2::derive(algorithm, iterations, salt, password, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::fingerprint::hex;

    fn derived(kdf: Kdf, password: &str, salt: &str, iterations: u32, len: usize) -> String {
        let mut key = vec![0; len];
        derive(kdf, password.as_bytes(), salt.as_bytes(), iterations.try_into().unwrap(), &mut key);
        hex(&key)
    }

    #[test]
    fn rfc_7914_section_11() {
        assert_eq!(
            derived(Kdf::Sha256, "passwd", "salt", 1, 64),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
             49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"
        );
        assert_eq!(
            derived(Kdf::Sha256, "Password", "NaCl", 80_000, 64),
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56\
             a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"
        );
    }

    #[test]
    fn sha_512_is_another_key() {
        // RFC 6070's first case with HMAC-SHA-512.
        assert_eq!(
            derived(Kdf::Sha512, "password", "salt", 1, 64),
            "867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252\
             c02d470a285a0501bad999bfe943c08f050235d7d68b1da55e63f73b60a57fce"
        );
    }

    #[test]
    fn names_are_read_in_every_spelling() {
        for kdf in [Kdf::Sha256, Kdf::Sha512] {
            assert_eq!(Kdf::from_name(kdf.name()), Some(kdf));
            assert_eq!(Kdf::from_name(&kdf.name().to_lowercase()), Some(kdf));
            assert_eq!(Kdf::from_short_name(kdf.short_name()), Some(kdf));
        }
        assert_eq!(Kdf::from_name("HMAC-SHA2-256"), Some(Kdf::Sha256));
        assert_eq!(Kdf::from_name("hmac-sha2-512"), Some(Kdf::Sha512));
        assert_eq!(Kdf::from_name("PBKDF2-HMAC-SHA512"), Some(Kdf::Sha512));
        assert_eq!(Kdf::from_name("PBKDF2-HMAC-SHA-1"), None);
        assert_eq!(Kdf::from_name(""), None);
    }

    #[test]
    fn bounds() {
        let new = |iterations, salt, bits| Parameters::new(Kdf::Sha256, iterations, vec![1; salt], bits).is_ok();
        assert!(new(1000, 8, 128) && new(10_000_000, 64, 512) && new(600_000, 16, 256));
        assert!(!new(999, 16, 256) && !new(10_000_001, 16, 256));
        assert!(!new(1000, 7, 256) && !new(1000, 65, 256));
        assert!(!new(1000, 16, 120) && !new(1000, 16, 520) && !new(1000, 16, 257));
    }

    #[test]
    fn a_key_has_the_length_that_was_asked_for_and_is_not_shown() {
        let parameters = Parameters::new(Kdf::Sha512, 1000, b"saltsalt".to_vec(), 136).unwrap();
        let key = parameters.derive(b"secret");
        assert_eq!(key.octets().len(), 17);
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
        assert!(MasterKey::from_octets(key.octets().to_vec()) == Some(key));
        assert_eq!(MasterKey::from_octets(vec![1; 15]), None);
    }
}
