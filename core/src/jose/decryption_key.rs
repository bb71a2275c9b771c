// SPDX-License-Identifier: MIT OR Apache-2.0
//! One private key, or shared secret, with which tokens are decrypted (RFC 7516, RFC 7518 section 4).
//!
//! It never shows anything but its public part.

use aws_lc_rs::agreement::{self, UnparsedPublicKey};
use aws_lc_rs::key_wrap::{AES_128, AES_256, AesBlockCipher, AesKek, KeyWrap};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::concat_kdf::concat_kdf;
use super::jwe::JweHeader;
use super::jwe_algorithm::{ContentEncryption, KeyManagement};
use super::private_key::{PrivateMaterial, PublicPart};
use crate::text::json::Json;

/// Longest `kid` in octets.
const MAX_KID: usize = 256;

/// A key that decrypts.
pub struct DecryptionKey {
    kid: Option<String>,
    /// The operator gave the key its `kid`, so a token that names another `kid` is for another key.
    named: bool,
    /// The JWK's `alg`: the only one that the key may be used with.
    restriction: Option<Restriction>,
    material: PrivateMaterial,
    public: Option<PublicPart>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Restriction {
    Algorithm(KeyManagement),
    Encryption(ContentEncryption),
}

impl std::fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecryptionKey").field("kid", &self.kid).field("kty", &self.kty()).finish_non_exhaustive()
    }
}

impl DecryptionKey {
    /// Reads a private key in PKCS #8 (the DER of a "PRIVATE KEY" block). Its kid is the RFC 7638 thumbprint. The error
    /// says what is wrong.
    pub fn from_pkcs8(der: &[u8]) -> Result<DecryptionKey, String> {
        DecryptionKey::new(None, None, PrivateMaterial::from_pkcs8(der)?)
    }

    /// Reads a JWK with private members, or of type `oct`. The error says what is wrong.
    pub fn from_jwk(jwk: &Json<'_>) -> Result<DecryptionKey, String> {
        let text = |name: &str| match jwk.get(name).map(Json::as_str) {
            Some(None) => Err(format!("has a '{name}' that is no text")),
            other => Ok(other.flatten()),
        };
        let kty = text("kty")?.ok_or("is no JWK: it has no 'kty'")?;
        let kid = text("kid")?.map(str::to_owned);
        if kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > MAX_KID) {
            return Err(format!("has an empty 'kid', or one of more than {MAX_KID} octets"));
        }
        if text("use")?.is_some_and(|usage| usage != "enc") {
            return Err("is not for encryption: its 'use' is not \"enc\"".into());
        }
        if let Some(operations) = jwk.get("key_ops") {
            let decrypts = ["decrypt", "unwrapKey", "deriveKey", "deriveBits"];
            if !operations.as_strings().is_some_and(|all| all.iter().any(|one| decrypts.contains(one))) {
                return Err("is not for decryption: see its 'key_ops'".into());
            }
        }
        let material = PrivateMaterial::from_jwk(kty, jwk)?;
        let restriction = match text("alg")? {
            None => None,
            Some(name) => {
                let named = KeyManagement::from_name(name).map(Restriction::Algorithm);
                let named = named.or_else(|| ContentEncryption::from_name(name).map(Restriction::Encryption));
                Some(named.ok_or_else(|| format!("has the alg '{name}', which is not supported"))?)
            }
        };
        DecryptionKey::new(kid, restriction, material)
    }

    fn new(
        kid: Option<String>,
        restriction: Option<Restriction>,
        material: PrivateMaterial,
    ) -> Result<DecryptionKey, String> {
        let public = material.public_part()?;
        let (named, kid) = (kid.is_some(), kid.or_else(|| public.as_ref().map(PublicPart::thumbprint)));
        let key = DecryptionKey { kid, named, restriction, material, public };
        if let PrivateMaterial::Secret(secret) = &key.material
            && is_zero(secret)
        {
            return Err("is all zero".into());
        }
        let fits = |alg| ContentEncryption::ALL.into_iter().any(|enc| key.fits(alg, enc));
        if KeyManagement::ALL.into_iter().any(fits) {
            Ok(key)
        } else if matches!(key.material, PrivateMaterial::Secret(_)) {
            Err("must have the length of its encryption's key: 16, 24, 32, 48 or 64 octets".into())
        } else {
            Err("has an alg that does not fit its type".into())
        }
    }

    /// The key's id: the JWK's, else the RFC 7638 thumbprint; None for a secret without an id.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// True when the `kid` was given by the operator, not computed.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The `kty` of its JWK.
    pub fn kty(&self) -> &'static str {
        self.material.kty()
    }

    /// The `alg` (or `enc`, for a secret) that it is restricted to; empty when there is none.
    pub fn algorithm(&self) -> &'static str {
        match self.restriction {
            None => "",
            Some(Restriction::Algorithm(alg)) => alg.name(),
            Some(Restriction::Encryption(enc)) => enc.name(),
        }
    }

    /// The public key as a JWK for the authorization server; None for a secret.
    pub fn public_jwk(&self) -> Option<serde_json::Value> {
        let mut jwk: serde_json::Map<String, serde_json::Value> =
            self.public.as_ref()?.0.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
        jwk.insert("use".into(), "enc".into());
        jwk.extend(self.kid.as_ref().map(|kid| ("kid".to_owned(), kid.as_str().into())));
        if let Some(Restriction::Algorithm(alg)) = self.restriction {
            jwk.insert("alg".into(), alg.name().into());
        }
        Some(jwk.into())
    }

    /// True when a token that is encrypted in this way can be for this key.
    pub fn fits(&self, alg: KeyManagement, enc: ContentEncryption) -> bool {
        let of_type = match &self.material {
            PrivateMaterial::Rsa { .. } => alg.is_rsa(),
            PrivateMaterial::Agreement(..) => alg.is_agreement(),
            PrivateMaterial::Secret(secret) => alg == KeyManagement::Dir && secret.len() == enc.key_len(),
        };
        let allowed = match self.restriction {
            None => true,
            Some(Restriction::Algorithm(only)) => only == alg,
            Some(Restriction::Encryption(only)) => alg == KeyManagement::Dir && only == enc,
        };
        of_type && allowed
    }

    /// True when a token with this header may be for this key.
    pub fn suits(&self, header: &JweHeader) -> bool {
        let same_curve = match (&self.material, &header.ephemeral) {
            (PrivateMaterial::Agreement(_, curve), Some(ephemeral)) => *curve == ephemeral.curve,
            (PrivateMaterial::Agreement(..), None) => false,
            _ => true,
        };
        same_curve && self.fits(header.alg, header.enc)
    }

    /// The content key. None when it cannot be decrypted or derived. For RSA, a failure gives a random key
    /// instead, so that nobody learns at which step a forged token failed (RFC 7516 section 11.5).
    pub fn content_key(&self, header: &JweHeader, encrypted_key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let length = header.enc.key_len();
        let key = match &self.material {
            PrivateMaterial::Secret(secret) => {
                return (encrypted_key.is_empty() && secret.len() == length).then(|| secret.clone());
            }
            PrivateMaterial::Rsa { key, .. } => rsa_unwrap(key, header.alg, encrypted_key, length)?,
            PrivateMaterial::Agreement(key, curve) => {
                let ephemeral = header.ephemeral.as_ref()?;
                let peer = UnparsedPublicKey::new(curve.algorithm(), &ephemeral.point);
                let derive = |algorithm: &str, length| {
                    agreement::agree(key, peer, (), |secret| {
                        Ok(concat_kdf(secret, algorithm, &header.apu, &header.apv, length))
                    })
                    .ok()
                };
                match header.alg {
                    KeyManagement::EcdhEs if encrypted_key.is_empty() => derive(header.enc.name(), length)?,
                    KeyManagement::EcdhEsA128Kw => {
                        aes_unwrap(&AES_128, &derive(header.alg.name(), 16)?, encrypted_key, length)?
                    }
                    KeyManagement::EcdhEsA256Kw => {
                        aes_unwrap(&AES_256, &derive(header.alg.name(), 32)?, encrypted_key, length)?
                    }
                    _ => return None,
                }
            }
        };
        (!is_zero(&key)).then_some(key)
    }
}

fn rsa_unwrap(
    key: &OaepPrivateDecryptingKey,
    alg: KeyManagement,
    encrypted_key: &[u8],
    length: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let padding = match alg {
        KeyManagement::RsaOaep256 => &OAEP_SHA256_MGF1SHA256,
        KeyManagement::RsaOaep => &OAEP_SHA1_MGF1SHA1,
        _ => return None,
    };
    let mut content_key = Zeroizing::new(vec![0; length]);
    aws_lc_rs::rand::fill(&mut content_key).ok()?;
    let mut plain = Zeroizing::new(vec![0; key.min_output_size()]);
    if let Ok(found) = key.decrypt(padding, encrypted_key, &mut plain, None)
        && found.len() == length
        && !is_zero(found)
    {
        content_key.copy_from_slice(found);
    }
    Some(content_key)
}

fn aes_unwrap(
    cipher: &'static AesBlockCipher,
    key: &[u8],
    encrypted_key: &[u8],
    length: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    if encrypted_key.len() != length + 8 {
        return None;
    }
    let mut content_key = Zeroizing::new(vec![0; length]);
    AesKek::new(cipher, key).ok()?.unwrap(encrypted_key, &mut content_key).ok()?;
    Some(content_key)
}

/// True for a key of zeros, which only broken senders and forgers use.
fn is_zero(key: &[u8]) -> bool {
    bool::from(key.ct_eq(&vec![0; key.len()]))
}
