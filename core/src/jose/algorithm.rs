// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signature algorithms (RFC 7518 section 3, RFC 8037). There is no "none".

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, VerificationAlgorithm,
};

/// What kind of key an algorithm needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// RSA, at least 2048 bits.
    Rsa,
    /// Elliptic curve P-256.
    P256,
    /// Elliptic curve P-384.
    P384,
    /// Edwards curve Ed25519.
    Ed25519,
    /// A shared secret.
    Secret,
}

impl KeyType {
    /// The `kty` of a JWK of this type.
    pub fn kty(self) -> &'static str {
        match self {
            KeyType::Rsa => "RSA",
            KeyType::P256 | KeyType::P384 => "EC",
            KeyType::Ed25519 => "OKP",
            KeyType::Secret => "oct",
        }
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Rsa => "RSA",
            KeyType::P256 => "P-256",
            KeyType::P384 => "P-384",
            KeyType::Ed25519 => "Ed25519",
            KeyType::Secret => "secret",
        }
    }
}

/// A JWS signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
    HS256,
    HS384,
    HS512,
}

use Algorithm::*;

impl Algorithm {
    /// All that are supported.
    pub const ALL: [Algorithm; 12] =
        [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384, HS512];

    /// The `alg` value.
    pub fn name(self) -> &'static str {
        match self {
            RS256 => "RS256",
            RS384 => "RS384",
            RS512 => "RS512",
            PS256 => "PS256",
            PS384 => "PS384",
            PS512 => "PS512",
            ES256 => "ES256",
            ES384 => "ES384",
            EdDSA => "EdDSA",
            HS256 => "HS256",
            HS384 => "HS384",
            HS512 => "HS512",
        }
    }

    /// Reads an `alg` value; case matters (RFC 7515 section 4.1.1). "Ed25519" is EdDSA's newer name (RFC 9864).
    pub fn from_name(name: &str) -> Option<Algorithm> {
        if name == "Ed25519" {
            return Some(EdDSA);
        }
        Algorithm::ALL.into_iter().find(|a| a.name() == name)
    }

    /// The key it needs.
    pub fn key_type(self) -> KeyType {
        match self {
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => KeyType::Rsa,
            ES256 => KeyType::P256,
            ES384 => KeyType::P384,
            EdDSA => KeyType::Ed25519,
            HS256 | HS384 | HS512 => KeyType::Secret,
        }
    }

    /// True when signer and verifier share one secret.
    pub fn is_symmetric(self) -> bool {
        self.key_type() == KeyType::Secret
    }

    /// True when what is signed is a SHA-256 hash.
    pub fn signs_sha256(self) -> bool {
        matches!(self, RS256 | PS256 | ES256)
    }

    /// Shortest secret in octets (RFC 7518 section 3.2: as long as the hash).
    pub fn min_secret_len(self) -> usize {
        match self {
            HS512 => 64,
            HS384 => 48,
            _ => 32,
        }
    }

    pub(crate) fn rsa_parameters(self) -> Option<&'static RsaParameters> {
        Some(match self {
            RS256 => &RSA_PKCS1_2048_8192_SHA256,
            RS384 => &RSA_PKCS1_2048_8192_SHA384,
            RS512 => &RSA_PKCS1_2048_8192_SHA512,
            PS256 => &RSA_PSS_2048_8192_SHA256,
            PS384 => &RSA_PSS_2048_8192_SHA384,
            PS512 => &RSA_PSS_2048_8192_SHA512,
            _ => return None,
        })
    }

    pub(crate) fn verification(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            ES256 => Some(&ECDSA_P256_SHA256_FIXED),
            ES384 => Some(&ECDSA_P384_SHA384_FIXED),
            EdDSA => Some(&ED25519),
            _ => self.rsa_parameters().map(|p| p as &dyn VerificationAlgorithm),
        }
    }

    pub(crate) fn hmac(self) -> Option<aws_lc_rs::hmac::Algorithm> {
        match self {
            HS256 => Some(aws_lc_rs::hmac::HMAC_SHA256),
            HS384 => Some(aws_lc_rs::hmac::HMAC_SHA384),
            HS512 => Some(aws_lc_rs::hmac::HMAC_SHA512),
            _ => None,
        }
    }
}
