// SPDX-License-Identifier: MIT OR Apache-2.0
//! Curves of key agreement, and the sender's ephemeral public key (`epk`, RFC 7518 section 4.6.1.1).

use aws_lc_rs::agreement;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::text::json::Json;

/// A curve on which keys are agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// P-256
    P256,
    /// P-384
    P384,
    /// P-521
    P521,
    /// X25519 (RFC 8037)
    X25519,
}

impl Curve {
    /// All that are supported.
    pub const ALL: [Curve; 4] = [Curve::P256, Curve::P384, Curve::P521, Curve::X25519];

    /// The `crv` value.
    pub fn name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
            Curve::P521 => "P-521",
            Curve::X25519 => "X25519",
        }
    }

    /// The `kty` value.
    pub fn kty(self) -> &'static str {
        if self == Curve::X25519 { "OKP" } else { "EC" }
    }

    /// Length of a coordinate and of a private key in octets.
    pub fn octets(self) -> usize {
        match self {
            Curve::P256 | Curve::X25519 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    /// The algorithm of the key agreement.
    pub fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Curve::P256 => &agreement::ECDH_P256,
            Curve::P384 => &agreement::ECDH_P384,
            Curve::P521 => &agreement::ECDH_P521,
            Curve::X25519 => &agreement::X25519,
        }
    }

    /// The curve of a JWK. None for others, and for a `kty` that is not the curve's.
    pub fn of_jwk(jwk: &Json<'_>) -> Option<Curve> {
        let text = |name| jwk.get(name).and_then(Json::as_str);
        Curve::ALL.into_iter().find(|curve| text("crv") == Some(curve.name()) && text("kty") == Some(curve.kty()))
    }

    /// The public key of a JWK as an uncompressed point, or the 32 octets of X25519. None unless each coordinate has
    /// the curve's full length. Whether the point lies on the curve is judged where it is used.
    pub fn point_of_jwk(self, jwk: &Json<'_>) -> Option<Vec<u8>> {
        let coordinate = |name| {
            let octets = URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()?;
            (octets.len() == self.octets()).then_some(octets)
        };
        let x = coordinate("x")?;
        if self == Curve::X25519 { Some(x) } else { Some([vec![4], x, coordinate("y")?].concat()) }
    }
}

/// The sender's ephemeral public key.
#[derive(Clone, Debug)]
pub struct Ephemeral {
    /// Its curve.
    pub curve: Curve,
    /// As in [`Curve::point_of_jwk`]; not known to lie on the curve.
    pub point: Vec<u8>,
}

impl Ephemeral {
    /// Reads an `epk`. None when it is not a public key on a supported curve.
    pub fn from_jwk(jwk: &Json<'_>) -> Option<Ephemeral> {
        if jwk.get("d").is_some() {
            return None;
        }
        let curve = Curve::of_jwk(jwk)?;
        Some(Ephemeral { curve, point: curve.point_of_jwk(jwk)? })
    }
}
