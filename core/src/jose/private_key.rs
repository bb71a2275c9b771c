// SPDX-License-Identifier: MIT OR Apache-2.0
//! Private keys and secrets for decryption, as they stand in PKCS #8 and JWK, checked and parsed once.

use aws_lc_rs::agreement::PrivateKey;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, OaepPrivateDecryptingKey, PrivateDecryptingKey, PublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::ephemeral::Curve;
use super::rsa;
use super::thumbprint::of_members;
use crate::text::json::Json;

/// Longest RSA modulus in bits. A longer one would keep a SIP worker busy for too long.
const MAX_RSA_BITS: usize = 4096;
const UNFIT: &str = "is not a key that can be used: RSA of 2048 to 4096 bits, P-256, P-384, P-521 or X25519";

/// A private key or secret. There is no way to get it out again.
pub(super) enum PrivateMaterial {
    Rsa {
        key: OaepPrivateDecryptingKey,
        /// SubjectPublicKeyInfo
        spki: Vec<u8>,
    },
    Agreement(PrivateKey, Curve),
    Secret(Zeroizing<Vec<u8>>),
}

impl PrivateMaterial {
    /// From the DER of PKCS #8. The error says what is wrong.
    pub(super) fn from_pkcs8(der: &[u8]) -> Result<PrivateMaterial, String> {
        let of_curve = |curve: Curve| {
            let key = match curve {
                Curve::X25519 => PrivateKey::from_private_key(curve.algorithm(), x25519_of_pkcs8(der)?),
                _ => PrivateKey::from_private_key_der(curve.algorithm(), der),
            };
            key.ok().map(|key| PrivateMaterial::Agreement(key, curve))
        };
        match Curve::ALL.into_iter().find_map(of_curve) {
            Some(material) => Ok(material),
            None => from_rsa(PrivateDecryptingKey::from_pkcs8(der).map_err(|_| UNFIT)?),
        }
    }

    /// From the members of a JWK. The error says what is wrong.
    pub(super) fn from_jwk(kty: &str, jwk: &Json<'_>) -> Result<PrivateMaterial, String> {
        if kty != "oct" && jwk.get("d").is_none() {
            return Err("is a public key: that one is for the authorization server; write the private key here".into());
        }
        match kty {
            "RSA" => rsa_of_jwk(jwk),
            "oct" => private(jwk, "k").map(PrivateMaterial::Secret),
            _ => agreement_of_jwk(jwk),
        }
    }

    /// The `kty` of its JWK.
    pub(super) fn kty(&self) -> &'static str {
        match self {
            PrivateMaterial::Rsa { .. } => "RSA",
            PrivateMaterial::Agreement(_, curve) => curve.kty(),
            PrivateMaterial::Secret(_) => "oct",
        }
    }

    /// The public key; None for a secret.
    pub(super) fn public_part(&self) -> Result<Option<PublicPart>, String> {
        let members = match self {
            PrivateMaterial::Secret(_) => return Ok(None),
            PrivateMaterial::Rsa { spki, .. } => {
                let (n, e) = rsa::integers_of_spki(spki).ok_or(UNFIT)?;
                vec![("e", encode(e)), ("kty", "RSA".into()), ("n", encode(n))]
            }
            PrivateMaterial::Agreement(key, curve) => {
                let public = key.compute_public_key().map_err(|_| UNFIT)?;
                let mut members = vec![("crv", curve.name().into()), ("kty", curve.kty().into())];
                if *curve == Curve::X25519 {
                    members.push(("x", encode(public.as_ref())));
                } else {
                    let (x, y) = public.as_ref()[1..].split_at(curve.octets());
                    members.extend([("x", encode(x)), ("y", encode(y))]);
                }
                members
            }
        };
        Ok(Some(PublicPart(members)))
    }
}

/// Required members of the public JWK in the order of RFC 7638.
pub(super) struct PublicPart(pub(super) Vec<(&'static str, String)>);

impl PublicPart {
    /// RFC 7638 section 3.
    pub(super) fn thumbprint(&self) -> String {
        of_members(self.0.iter().map(|(name, value)| (*name, value.as_str())))
    }
}

fn encode(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// A private member of a JWK.
fn private(jwk: &Json<'_>, name: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let octets = jwk.get(name).and_then(Json::as_str).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    octets.filter(|octets| !octets.is_empty()).map(Zeroizing::new).ok_or_else(|| {
        let all =
            if ["p", "q", "dp", "dq", "qi"].contains(&name) { "; an RSA key needs d, p, q, dp, dq and qi" } else { "" };
        format!("has no '{name}' in base64url{all}")
    })
}

fn rsa_of_jwk(jwk: &Json<'_>) -> Result<PrivateMaterial, String> {
    let public = |name| {
        private(jwk, name).map(|octets| octets[octets.iter().take_while(|octet| **octet == 0).count()..].to_vec())
    };
    let pair = KeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n: public("n")?, e: public("e")? },
        d: private(jwk, "d")?.as_slice(),
        p: private(jwk, "p")?.as_slice(),
        q: private(jwk, "q")?.as_slice(),
        dP: private(jwk, "dp")?.as_slice(),
        dQ: private(jwk, "dq")?.as_slice(),
        qInv: private(jwk, "qi")?.as_slice(),
    });
    let der: Pkcs8V1Der<'_> = pair.map_err(|_| UNFIT)?.as_der().map_err(|_| UNFIT)?;
    from_rsa(PrivateDecryptingKey::from_pkcs8(der.as_ref()).map_err(|_| UNFIT)?)
}

fn from_rsa(key: PrivateDecryptingKey) -> Result<PrivateMaterial, String> {
    if key.key_size_bits() > MAX_RSA_BITS {
        return Err(format!("has {} bits: an RSA key of more than {MAX_RSA_BITS} is too slow", key.key_size_bits()));
    }
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| UNFIT)?;
    let spki = der.as_ref().to_vec();
    if !rsa::modulus_of_spki(&spki).is_some_and(rsa::is_fit) {
        return Err(UNFIT.into());
    }
    let key = OaepPrivateDecryptingKey::new(key).map_err(|_| UNFIT)?;
    Ok(PrivateMaterial::Rsa { key, spki })
}

fn agreement_of_jwk(jwk: &Json<'_>) -> Result<PrivateMaterial, String> {
    let curve = Curve::of_jwk(jwk).ok_or(UNFIT)?;
    let point = curve.point_of_jwk(jwk).ok_or("has no public key ('x', 'y') of its curve's length")?;
    let key = PrivateKey::from_private_key(curve.algorithm(), &private(jwk, "d")?);
    let key = key.map_err(|_| "has a 'd' that is no private key of its curve")?;
    let own = key.compute_public_key().map_err(|_| UNFIT)?;
    if own.as_ref() != point {
        return Err("has a public key ('x', 'y') that is not the one of its 'd'".into());
    }
    Ok(PrivateMaterial::Agreement(key, curve))
}

/// The key within PKCS #8 (RFC 8410 section 7): version, the algorithm X25519, and 32 octets in two wrappers.
fn x25519_of_pkcs8(der: &[u8]) -> Option<&[u8]> {
    let inner = der.strip_prefix(&[0x30])?.get(1..)?;
    let inner = inner.strip_prefix(&[0x02, 0x01, 0x00]).or_else(|| inner.strip_prefix(&[0x02, 0x01, 0x01]))?;
    let key = inner.strip_prefix(&[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20])?;
    key.get(..32)
}
