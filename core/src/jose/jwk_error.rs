// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a key is not used, in words for the operator of its server.
//!
//! A stranger has written the key set, so what is repeated from it is short and printable.

use std::fmt;

use super::algorithm::{Algorithm, KeyType};
use crate::text::fingerprint::printable;

/// At most this many characters of a text from the key are repeated.
const MAX_WORD: usize = 32;

/// What is wrong with a JWK or a PEM key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwkError {
    /// The key is something other than a JSON object.
    NotAnObject,
    /// This member is not there.
    Missing(&'static str),
    /// This member is no text, or no list of texts.
    WrongType(&'static str),
    /// This member is not base64url.
    NotBase64(&'static str),
    /// This member has this many octets (first number). The second number is the greatest length that is right, or
    /// the only one.
    Length(&'static str, usize, usize),
    /// A `kty` that is not supported.
    UnknownType(String),
    /// A `crv` that is not supported.
    UnknownCurve(String),
    /// An `alg` that is not supported.
    UnknownAlgorithm(String),
    /// A public key of a type or curve that is not supported, without a name.
    Unsupported,
    /// `use` says that the key does not verify signatures.
    OtherUse(String),
    /// `key_ops` says that the key does not verify signatures.
    OtherOperations,
    /// `alg` and the key's type do not agree.
    AlgorithmMismatch(Algorithm, KeyType),
    /// An RSA key of this many bits, which is too short or too long.
    RsaLength(usize),
    /// An RSA key whose private key can be computed (ROCA, CVE-2017-15361).
    Roca,
    /// A shared secret of fewer octets than its algorithm needs.
    ShortSecret(usize, usize),
    /// The numbers of the key do not make a key.
    Invalid(KeyType),
    /// A shared secret in a place where only public keys belong.
    SecretNotAllowed,
    /// A private key. Because it was published, it is no longer secret.
    PrivateKey,
    /// Another shared secret has the same name.
    SharedName,
    /// So many keys, of which this is the first, are not used or not named, because the set has too many.
    Surplus(usize),
}

impl JwkError {
    /// A text from the key, as it is repeated.
    pub(super) fn word(text: &str) -> String {
        printable(text, MAX_WORD)
    }

    /// True when the key is for something other than signatures, which is no mistake beside a key that verifies.
    pub fn is_other_use(&self) -> bool {
        matches!(self, JwkError::OtherUse(_) | JwkError::OtherOperations)
    }
}

impl fmt::Display for JwkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JwkError::NotAnObject => f.write_str("it is not a JSON object"),
            JwkError::Missing(name) => write!(f, "{name} is missing"),
            JwkError::WrongType("key_ops") => f.write_str("key_ops is not a list of texts"),
            JwkError::WrongType(name) => write!(f, "{name} is not a text"),
            JwkError::NotBase64(name) => write!(f, "{name} is not base64url"),
            JwkError::Length(name, found, most) => write!(f, "{name} has {found} octets, {most} are right at most"),
            JwkError::UnknownType(kty) => write!(f, "the key type '{kty}' is not supported"),
            JwkError::UnknownCurve(crv) if crv.is_empty() => f.write_str("crv is missing"),
            JwkError::UnknownCurve(crv) => {
                write!(f, "the curve '{crv}' is not supported (P-256, P-384 and Ed25519 are)")
            }
            JwkError::UnknownAlgorithm(alg) => write!(f, "the algorithm '{alg}' is not supported"),
            JwkError::Unsupported => f.write_str("its type or curve is not supported"),
            JwkError::OtherUse(usage) => write!(f, "not for verifying signatures: its use is '{usage}', not 'sig'"),
            JwkError::OtherOperations => f.write_str("not for verifying signatures: its key_ops lack 'verify'"),
            JwkError::AlgorithmMismatch(alg, key_type) => {
                write!(f, "its alg is {}, which is not one of {} keys", alg.name(), key_type.name())
            }
            JwkError::RsaLength(bits @ ..2048) => write!(f, "too short: RSA with {bits} bits, 2048 are needed"),
            JwkError::RsaLength(bits) => write!(f, "too long: RSA with {bits} bits, 8192 are accepted"),
            JwkError::Roca => f.write_str("its private key can be computed (ROCA, CVE-2017-15361): replace it"),
            JwkError::ShortSecret(octets, least) => {
                write!(f, "the secret has {octets} octets, its algorithm needs {least}")
            }
            JwkError::Invalid(KeyType::P256 | KeyType::P384) => f.write_str("x and y are not a point of its curve"),
            JwkError::Invalid(_) => f.write_str("its numbers are no public key"),
            JwkError::SecretNotAllowed => f.write_str("a shared secret does not belong in a public key set"),
            JwkError::PrivateKey => {
                f.write_str("a private key in a public key set: everybody can sign with it, replace it")
            }
            JwkError::Surplus(count) => {
                write!(f, "keys left out from here on: {count} (64 at most are used or named)")
            }
            JwkError::SharedName => f.write_str("another shared secret has the same kid"),
        }
    }
}
