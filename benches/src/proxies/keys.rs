// SPDX-License-Identifier: MIT OR Apache-2.0
//! The authorization server's keys, and the tokens that they sign.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{AUDIENCE, address};

/// Octets of an Authorization header's value with a token: so long are those of real servers.
const HEADER: usize = 1100;

/// Signature algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, 2048 bits.
    Rs256,
    /// ECDSA on P-256.
    Es256,
}

impl Algorithm {
    /// As JOSE calls it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        }
    }
}

/// A key of each algorithm.
pub struct Keys {
    rsa: rsa::KeyPair,
    ec: EcdsaKeyPair,
    issuer: String,
}

impl Keys {
    /// New ones, of this issuer.
    pub fn new(issuer: String) -> Result<Keys, String> {
        let made = || {
            let rsa = rsa::KeyPair::generate(KeySize::Rsa2048)?;
            let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
            Ok::<_, aws_lc_rs::error::Unspecified>((rsa, ec))
        };
        let (rsa, ec) = made().map_err(|_| "no keys can be made")?;
        Ok(Keys { rsa, ec, issuer })
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The public keys as a JWK Set.
    pub fn key_set(&self) -> Value {
        let public = self.rsa.public_key();
        let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let point = self.ec.public_key().as_ref(); // 4, x, y
        json!({ "keys": [
            { "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "RS256",
              "n": encode(public.modulus().big_endian_without_leading_zero()),
              "e": encode(public.exponent().big_endian_without_leading_zero()) },
            { "kty": "EC", "use": "sig", "alg": "ES256", "kid": "ES256", "crv": "P-256",
              "x": encode(&point[1..33]), "y": encode(&point[33..65]) },
        ] })
    }

    /// A public key as PEM.
    pub fn public_pem(&self, algorithm: Algorithm) -> Result<String, String> {
        let der: Result<PublicKeyX509Der<'_>, _> = match algorithm {
            Algorithm::Rs256 => self.rsa.public_key().as_der(),
            Algorithm::Es256 => self.ec.public_key().as_der(),
        };
        let text = STANDARD.encode(der.map_err(|_| "a public key cannot be written")?.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Ok(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
    }

    /// A new access token of a user, which makes a header of the usual length. `serial` makes it unlike all others.
    pub fn token(&self, algorithm: Algorithm, user: usize, serial: u64) -> String {
        let signature = if algorithm == Algorithm::Rs256 { 342 } else { 86 };
        // libjwt, which the proxies' own modules use, takes no other type.
        let header = json!({ "alg": algorithm.name(), "typ": "JWT", "kid": algorithm.name() });
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let now = now();
        let mut claims = json!({
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": format!("{user:032x}"),
            "sip": address(user),
            "client_id": "sip-phone",
            "scope": "openid sip profile",
            "jti": format!("{serial:032x}"),
            "iat": now,
            "exp": now + 7200,
            "session_state": "",
        });
        // Base64 makes four characters of three octets; the claims fill what is left.
        let room = (HEADER - "Bearer ".len() - header.len() - signature - 2) * 3 / 4;
        let filling = room.saturating_sub(claims.to_string().len());
        claims["session_state"] = json!("0123456789abcdef".repeat(filling / 16 + 1)[..filling]);
        self.sign(algorithm, &header, &claims)
    }

    /// The ID token of a sign-in of this client; `nonce` is that of a browser.
    pub fn id_token(&self, client: &str, user: usize, nonce: Option<&str>) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"ES256"}"#);
        let now = now();
        let mut claims = json!({
            "iss": self.issuer, "aud": client, "sub": format!("{user:032x}"), "sip": address(user),
            "iat": now, "exp": now + 7200,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
            claims["sid"] = json!(format!("session-of-{user}"));
        }
        self.sign(Algorithm::Es256, &header, &claims)
    }

    fn sign(&self, algorithm: Algorithm, header: &str, claims: &Value) -> String {
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match algorithm {
            Algorithm::Rs256 => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                let signed = self.rsa.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature);
                signed.expect("a key of our own signs");
                signature
            }
            Algorithm::Es256 => {
                self.ec.sign(&random, input.as_bytes()).expect("a key of our own signs").as_ref().to_vec()
            }
        };
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_equally_long() {
        let keys = Keys::new("http://127.0.0.1:1".into()).unwrap();
        for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
            for user in [0, 9999] {
                let token = keys.token(algorithm, user, u64::MAX);
                assert!((HEADER - 2..=HEADER).contains(&(token.len() + "Bearer ".len())), "{algorithm:?}");
                assert_eq!(token.split('.').count(), 3);
            }
            assert_ne!(keys.token(algorithm, 1, 1), keys.token(algorithm, 1, 2));
            assert!(keys.public_pem(algorithm).unwrap().lines().count() > 3);
        }
    }
}
