// SPDX-License-Identifier: MIT OR Apache-2.0
//! Algorithms of encrypted tokens (RFC 7518 sections 4 and 5). There is no RSA1_5, no PBES2 and no compression.

/// How the content key comes to the recipient (`alg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyManagement {
    /// RSA-OAEP with SHA-256.
    RsaOaep256,
    /// RSA-OAEP with SHA-1, only where it is configured.
    RsaOaep,
    /// Key agreement whose result is the content key.
    EcdhEs,
    /// Key agreement whose result unwraps the content key, by AES key wrap with 128 bits.
    EcdhEsA128Kw,
    /// The same with 256 bits.
    EcdhEsA256Kw,
    /// A shared secret is the content key.
    Dir,
}

use KeyManagement::*;

impl KeyManagement {
    /// All that are supported.
    pub const ALL: [KeyManagement; 6] = [RsaOaep256, RsaOaep, EcdhEs, EcdhEsA128Kw, EcdhEsA256Kw, Dir];

    /// Those that are accepted when nothing is configured. Algorithms with SHA-1 are not among them.
    pub const DEFAULT: [KeyManagement; 5] = [RsaOaep256, EcdhEs, EcdhEsA128Kw, EcdhEsA256Kw, Dir];

    /// The `alg` value.
    pub fn name(self) -> &'static str {
        match self {
            RsaOaep256 => "RSA-OAEP-256",
            RsaOaep => "RSA-OAEP",
            EcdhEs => "ECDH-ES",
            EcdhEsA128Kw => "ECDH-ES+A128KW",
            EcdhEsA256Kw => "ECDH-ES+A256KW",
            Dir => "dir",
        }
    }

    /// Reads an `alg` value; case matters.
    pub fn from_name(name: &str) -> Option<KeyManagement> {
        KeyManagement::ALL.into_iter().find(|a| a.name() == name)
    }

    /// True for RSA.
    pub fn is_rsa(self) -> bool {
        matches!(self, RsaOaep256 | RsaOaep)
    }

    /// True for key agreement.
    pub fn is_agreement(self) -> bool {
        matches!(self, EcdhEs | EcdhEsA128Kw | EcdhEsA256Kw)
    }
}

/// How the content is encrypted (`enc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentEncryption {
    /// AES-GCM with 128 bits.
    A128Gcm,
    /// AES-GCM with 192 bits.
    A192Gcm,
    /// AES-GCM with 256 bits.
    A256Gcm,
    /// AES-CBC with 128 bits and HMAC-SHA-256.
    A128CbcHs256,
    /// AES-CBC with 192 bits and HMAC-SHA-384.
    A192CbcHs384,
    /// AES-CBC with 256 bits and HMAC-SHA-512.
    A256CbcHs512,
}

impl ContentEncryption {
    /// All that are supported.
    pub const ALL: [ContentEncryption; 6] = [
        ContentEncryption::A128Gcm,
        ContentEncryption::A192Gcm,
        ContentEncryption::A256Gcm,
        ContentEncryption::A128CbcHs256,
        ContentEncryption::A192CbcHs384,
        ContentEncryption::A256CbcHs512,
    ];

    /// The `enc` value.
    pub fn name(self) -> &'static str {
        match self {
            ContentEncryption::A128Gcm => "A128GCM",
            ContentEncryption::A192Gcm => "A192GCM",
            ContentEncryption::A256Gcm => "A256GCM",
            ContentEncryption::A128CbcHs256 => "A128CBC-HS256",
            ContentEncryption::A192CbcHs384 => "A192CBC-HS384",
            ContentEncryption::A256CbcHs512 => "A256CBC-HS512",
        }
    }

    /// Reads an `enc` value; case matters.
    pub fn from_name(name: &str) -> Option<ContentEncryption> {
        ContentEncryption::ALL.into_iter().find(|e| e.name() == name)
    }

    /// Length of the content key in octets.
    pub fn key_len(self) -> usize {
        match self {
            ContentEncryption::A128Gcm => 16,
            ContentEncryption::A192Gcm => 24,
            ContentEncryption::A256Gcm | ContentEncryption::A128CbcHs256 => 32,
            ContentEncryption::A192CbcHs384 => 48,
            ContentEncryption::A256CbcHs512 => 64,
        }
    }

    /// Length of the initialization vector in octets.
    pub fn iv_len(self) -> usize {
        if self.is_gcm() { 12 } else { 16 }
    }

    /// Length of the authentication tag in octets; a shorter one is never accepted.
    pub fn tag_len(self) -> usize {
        if self.is_gcm() { 16 } else { self.key_len() / 2 }
    }

    /// True for AES-GCM.
    pub fn is_gcm(self) -> bool {
        matches!(self, ContentEncryption::A128Gcm | ContentEncryption::A192Gcm | ContentEncryption::A256Gcm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        for alg in KeyManagement::ALL {
            assert_eq!(KeyManagement::from_name(alg.name()), Some(alg));
            assert_eq!(KeyManagement::from_name(&alg.name().to_lowercase()), (alg == Dir).then_some(Dir));
        }
        for enc in ContentEncryption::ALL {
            assert_eq!(ContentEncryption::from_name(enc.name()), Some(enc));
            assert_eq!(ContentEncryption::from_name(&enc.name().to_lowercase()), None);
        }
        for never in ["RSA1_5", "PBES2-HS256+A128KW", "A128KW", "A128GCMKW", "none", ""] {
            assert_eq!(KeyManagement::from_name(never), None, "{never}");
        }
        assert!(!KeyManagement::DEFAULT.contains(&RsaOaep));
    }
}
