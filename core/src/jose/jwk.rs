// SPDX-License-Identifier: MIT OR Apache-2.0
//! One verification key: read from a JWK or PEM, checked, and parsed once (RFC 7517).

use std::sync::OnceLock;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, KeyType};
use super::jwk_error::JwkError;
use super::rsa;
use crate::text::json::Json;

/// Longest `kid` in octets.
const MAX_KID: usize = 256;
/// Longest RSA exponent in octets.
const MAX_EXPONENT: usize = 8;

/// A key that may verify signatures.
pub struct VerificationKey {
    kid: Option<String>,
    key_type: KeyType,
    /// The only algorithm this key may be used with, when the key says so.
    algorithm: Option<Algorithm>,
    material: Material,
    /// One parsed key for each RSA algorithm, or a single one for the other key types; parsed at first use.
    parsed: [OnceLock<Option<ParsedPublicKey>>; 6],
    /// A secret made ready for HS256, HS384 and HS512, each at first use.
    prepared: [OnceLock<hmac::Key>; 3],
}

#[derive(PartialEq, Eq)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed point, or the 32 octets of an Ed25519 key.
    Point(Vec<u8>),
    /// DER SubjectPublicKeyInfo, from a PEM file.
    Spki(Vec<u8>),
    Secret(Zeroizing<Vec<u8>>),
}

impl VerificationKey {
    /// Reads one JWK. `allow_private` lets symmetric keys and private members pass; it is for local files only.
    pub fn from_jwk(jwk: &Json<'_>, allow_private: bool) -> Result<VerificationKey, JwkError> {
        if !matches!(jwk, Json::Object(_)) {
            return Err(JwkError::NotAnObject);
        }
        // An empty text counts as absent, because some servers write it so.
        let text = |name: &'static str| -> Result<Option<&str>, JwkError> {
            let text = jwk.get(name).map(|v| v.as_str().ok_or(JwkError::WrongType(name))).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let octets = |name: &'static str| -> Result<Vec<u8>, JwkError> {
            let value = text(name)?.ok_or(JwkError::Missing(name))?;
            URL_SAFE_NO_PAD.decode(value.trim_end_matches('=')).map_err(|_| JwkError::NotBase64(name))
        };
        let kty = text("kty")?.ok_or(JwkError::Missing("kty"))?;
        let kid = text("kid")?.map(str::to_owned);
        if let Some(kid) = kid.as_ref().filter(|kid| kid.len() > MAX_KID) {
            return Err(JwkError::Length("kid", kid.len(), MAX_KID));
        }
        if let Some(usage) = text("use")?.filter(|usage| *usage != "sig") {
            return Err(JwkError::OtherUse(JwkError::word(usage)));
        }
        if let Some(operations) = jwk.get("key_ops") {
            let mut operations = operations.as_strings().ok_or(JwkError::WrongType("key_ops"))?;
            operations.retain(|operation| !operation.is_empty());
            let signs = allow_private && operations.contains(&"sign");
            let verifies = operations.is_empty() || operations.contains(&"verify") || signs;
            if !verifies {
                return Err(JwkError::OtherOperations);
            }
        }
        if jwk.get("d").is_some_and(|d| d.as_str() != Some("")) && !allow_private {
            return Err(JwkError::PrivateKey);
        }
        let curve = text("crv")?;
        let (key_type, material) = match (kty, curve) {
            ("RSA", _) => {
                let (n, e) = (strip_zeros(&octets("n")?).to_vec(), strip_zeros(&octets("e")?).to_vec());
                if e.len() > MAX_EXPONENT {
                    return Err(JwkError::Length("e", e.len(), MAX_EXPONENT));
                }
                (KeyType::Rsa, Material::Rsa { n, e })
            }
            ("EC", Some("P-256")) => (KeyType::P256, point(&octets("x")?, &octets("y")?, 32)?),
            ("EC", Some("P-384")) => (KeyType::P384, point(&octets("x")?, &octets("y")?, 48)?),
            ("OKP", Some("Ed25519")) => {
                let x = octets("x")?;
                if x.len() != 32 {
                    return Err(JwkError::Length("x", x.len(), 32));
                }
                (KeyType::Ed25519, Material::Point(x))
            }
            ("oct", _) if !allow_private => return Err(JwkError::SecretNotAllowed),
            ("oct", _) => (KeyType::Secret, Material::Secret(Zeroizing::new(octets("k")?))),
            ("EC" | "OKP", curve) => return Err(JwkError::UnknownCurve(JwkError::word(curve.unwrap_or_default()))),
            _ => return Err(JwkError::UnknownType(JwkError::word(kty))),
        };
        let algorithm = match text("alg")? {
            None => None,
            Some(name) => {
                let unknown = || JwkError::UnknownAlgorithm(JwkError::word(name));
                let algorithm = Algorithm::from_name(name).ok_or_else(unknown)?;
                if algorithm.key_type() != key_type {
                    return Err(JwkError::AlgorithmMismatch(algorithm, key_type));
                }
                Some(algorithm)
            }
        };
        VerificationKey::new(kid, key_type, algorithm, material)
    }

    /// A public key as DER SubjectPublicKeyInfo.
    pub fn from_spki(der: &[u8]) -> Result<VerificationKey, JwkError> {
        [KeyType::Rsa, KeyType::P256, KeyType::P384, KeyType::Ed25519]
            .into_iter()
            .find_map(|t| VerificationKey::new(None, t, None, Material::Spki(der.to_vec())).ok())
            .ok_or_else(|| rsa::modulus_of_spki(der).map_or(JwkError::Unsupported, unfit))
    }

    /// A shared secret for HS256, HS384 and HS512.
    pub fn from_secret(secret: &[u8]) -> Result<VerificationKey, JwkError> {
        VerificationKey::new(None, KeyType::Secret, None, Material::Secret(Zeroizing::new(secret.to_vec())))
    }

    fn new(
        kid: Option<String>,
        key_type: KeyType,
        algorithm: Option<Algorithm>,
        material: Material,
    ) -> Result<VerificationKey, JwkError> {
        if let Material::Secret(secret) = &material {
            let least = algorithm.map_or(32, Algorithm::min_secret_len);
            if secret.len() < least {
                return Err(JwkError::ShortSecret(secret.len(), least));
            }
        }
        // An unfit RSA key can be parsed, and the algorithms refuse a short one only at use, so the modulus is
        // checked here.
        let modulus = match &material {
            Material::Rsa { n, .. } => Some(n.as_slice()),
            Material::Spki(der) if key_type == KeyType::Rsa => Some(rsa::modulus_of_spki(der).unwrap_or_default()),
            _ => None,
        };
        if let Some(n) = modulus.filter(|n| !rsa::is_fit(n)) {
            return Err(unfit(n));
        }
        let key = VerificationKey {
            kid,
            key_type,
            algorithm,
            material,
            parsed: Default::default(),
            prepared: Default::default(),
        };
        let probe = algorithm.or_else(|| Algorithm::ALL.into_iter().find(|a| a.key_type() == key_type));
        let usable = key_type == KeyType::Secret || probe.is_some_and(|a| key.parsed(a).is_some());
        if usable { Ok(key) } else { Err(JwkError::Invalid(key_type)) }
    }

    /// The key's id.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key's type.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The only algorithm the key may be used with, when it says so.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// True when both are the same key under the same name and for the same use.
    pub fn is_same(&self, other: &VerificationKey) -> bool {
        self.kid == other.kid && self.algorithm == other.algorithm && self.material == other.material
    }

    /// True when the key may verify signatures of this algorithm.
    pub fn suits(&self, algorithm: Algorithm) -> bool {
        let long_enough = match &self.material {
            Material::Secret(secret) => secret.len() >= algorithm.min_secret_len(),
            _ => true,
        };
        algorithm.key_type() == self.key_type && self.algorithm.is_none_or(|a| a == algorithm) && long_enough
    }

    /// Checks a signature. False for an algorithm that the key does not suit.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.suits(algorithm) {
            return false;
        }
        match &self.material {
            Material::Secret(secret) => {
                self.prepared(algorithm, secret).is_some_and(|key| hmac::verify(key, message, signature).is_ok())
            }
            _ => self.parsed(algorithm).is_some_and(|key| key.verify_sig(message, signature).is_ok()),
        }
    }

    /// Like [`VerificationKey::verify`], for a message of which only the hash is given. It must be the hash that
    /// the algorithm uses. False for HMAC and EdDSA, too.
    pub fn verify_hash(&self, algorithm: Algorithm, hash: &Digest, signature: &[u8]) -> bool {
        let key = self.suits(algorithm).then(|| self.parsed(algorithm)).flatten();
        key.is_some_and(|key| key.verify_digest_sig(hash, signature).is_ok())
    }

    fn prepared(&self, algorithm: Algorithm, secret: &[u8]) -> Option<&hmac::Key> {
        let hash = algorithm.hmac()?;
        let slot = self.prepared.get(algorithm as usize - Algorithm::HS256 as usize)?;
        Some(slot.get_or_init(|| hmac::Key::new(hash, secret)))
    }

    fn parsed(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        let slot = if self.key_type == KeyType::Rsa { algorithm as usize } else { 0 };
        let parse = || match &self.material {
            Material::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(algorithm.rsa_parameters()?).ok()
            }
            Material::Point(octets) | Material::Spki(octets) => {
                ParsedPublicKey::new(algorithm.verification()?, octets).ok()
            }
            Material::Secret(_) => None,
        };
        self.parsed.get(slot)?.get_or_init(parse).as_ref()
    }

    /// The public part as a minimal JWK; None for secrets and PEM keys, which never leave this process.
    pub fn to_public_jwk(&self) -> Option<serde_json::Value> {
        let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let mut jwk = match (&self.material, self.key_type) {
            (Material::Rsa { n, e }, _) => serde_json::json!({"n": encode(n), "e": encode(e)}),
            (Material::Point(x), KeyType::Ed25519) => serde_json::json!({"crv": "Ed25519", "x": encode(x)}),
            (Material::Point(point), key_type) => {
                let (x, y) = point[1..].split_at((point.len() - 1) / 2);
                let curve = if key_type == KeyType::P256 { "P-256" } else { "P-384" };
                serde_json::json!({"crv": curve, "x": encode(x), "y": encode(y)})
            }
            (Material::Spki(_) | Material::Secret(_), _) => return None,
        };
        jwk["kty"] = self.key_type.kty().into();
        if let Some(kid) = &self.kid {
            jwk["kid"] = kid.as_str().into();
        }
        if let Some(algorithm) = self.algorithm {
            jwk["alg"] = algorithm.name().into();
        }
        Some(jwk)
    }
}

impl std::fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerificationKey")
            .field("kid", &self.kid)
            .field("key_type", &self.key_type)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn strip_zeros(octets: &[u8]) -> &[u8] {
    &octets[octets.iter().take_while(|octet| **octet == 0).count()..]
}

/// Why a modulus is not fit to verify with. If it is fit, the key is invalid for another reason.
fn unfit(n: &[u8]) -> JwkError {
    match n.first() {
        _ if rsa::is_fit(n) => JwkError::Invalid(KeyType::Rsa),
        Some(first) if !rsa::has_fit_length(n) => JwkError::RsaLength(n.len() * 8 - first.leading_zeros() as usize),
        Some(_) => JwkError::Roca,
        None => JwkError::RsaLength(0),
    }
}

fn point(x: &[u8], y: &[u8], len: usize) -> Result<Material, JwkError> {
    let mut point = vec![4];
    for (name, coordinate) in [("x", x), ("y", y)] {
        // RFC 7518 section 6.2.1.2 asks for the full length of the curve, but some servers write coordinates like
        // integers.
        let digits = strip_zeros(coordinate);
        let missing = len.checked_sub(digits.len()).ok_or(JwkError::Length(name, digits.len(), len))?;
        point.resize(point.len() + missing, 0);
        point.extend_from_slice(digits);
    }
    Ok(Material::Point(point))
}
