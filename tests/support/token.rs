// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keys and tokens that no honest server would issue: forged, odd, or broken
//! in exactly one place.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

enum Key {
    Rsa(&'static rsa::KeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed25519(Ed25519KeyPair),
    Hmac(Vec<u8>),
}

/// A signing key of a test.
pub struct TestKey {
    pub kid: String,
    key: Key,
}

impl TestKey {
    /// RSA with 2048 bits. All of them share one key pair, since making one is slow.
    pub fn rsa(kid: &str) -> Self {
        static PAIR: OnceLock<rsa::KeyPair> = OnceLock::new();
        Self::new(kid, Key::Rsa(PAIR.get_or_init(rsa_pair)))
    }

    /// A second RSA key pair, of somebody else.
    pub fn other_rsa(kid: &str) -> Self {
        static PAIR: OnceLock<rsa::KeyPair> = OnceLock::new();
        Self::new(kid, Key::Rsa(PAIR.get_or_init(rsa_pair)))
    }

    pub fn p256(kid: &str) -> Self {
        Self::ec(kid, "P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub fn p384(kid: &str) -> Self {
        Self::ec(kid, "P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    pub fn p521(kid: &str) -> Self {
        Self::ec(kid, "P-521", &signature::ECDSA_P521_SHA512_FIXED_SIGNING)
    }

    /// The curve of ES256K, which few servers should accept.
    pub fn secp256k1(kid: &str) -> Self {
        Self::ec(kid, "secp256k1", &signature::ECDSA_P256K1_SHA256_FIXED_SIGNING)
    }

    pub fn ed25519(kid: &str) -> Self {
        Self::new(kid, Key::Ed25519(Ed25519KeyPair::generate().expect("randomness")))
    }

    pub fn hmac(kid: &str, secret: &[u8]) -> Self {
        Self::new(kid, Key::Hmac(secret.to_vec()))
    }

    fn ec(kid: &str, curve: &'static str, algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        Self::new(kid, Key::Ec(EcdsaKeyPair::generate(algorithm).expect("randomness"), curve))
    }

    fn new(kid: &str, key: Key) -> Self {
        Self { kid: kid.to_owned(), key }
    }

    /// The public key (for HMAC the secret) as a JWK with `kid` and `use`, without `alg`.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            Key::Rsa(pair) => {
                let [n, e] = rsa_integers(pair.public_key().as_ref());
                json!({ "kty": "RSA", "n": encode(n), "e": encode(e) })
            }
            Key::Ec(pair, curve) => {
                let public = pair.public_key().as_ref(); // 4, x, y
                let (x, y) = public[1..].split_at(public.len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Key::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
            Key::Hmac(secret) => json!({ "kty": "oct", "k": encode(secret) }),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token with the usual header: this `alg`, `typ` at+jwt, and `kid`.
    pub fn token(&self, alg: &str, claims: &Value) -> String {
        self.jws(alg, &json!({ "alg": alg, "typ": "at+jwt", "kid": self.kid }), claims)
    }

    /// Any header: what is signed with `alg` need not be what the header says.
    pub fn jws(&self, alg: &str, header: &Value, claims: &Value) -> String {
        self.jws_octets(alg, header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Any octets in the place of header and claims.
    pub fn jws_octets(&self, alg: &str, header: &[u8], payload: &[u8]) -> String {
        let input = format!("{}.{}", encode(header), encode(payload));
        let signature = self.sign(alg, input.as_bytes());
        format!("{input}.{}", encode(signature))
    }

    /// The raw JWS signature of these octets.
    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa_padding(alg), &random, message, &mut signature).expect("a fit key");
                signature
            }
            // The hash belongs to the key; `alg` only says what the header claims.
            Key::Ec(pair, _) => pair.sign(&random, message).expect("a fit key").as_ref().to_vec(),
            Key::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Key::Hmac(secret) => {
                let algorithm = match alg {
                    "HS256" => hmac::HMAC_SHA256,
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    other => panic!("an HMAC key cannot do {other}"),
                };
                hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
            }
        }
    }
}

/// Header and claims with an empty signature, as `alg` none has it.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}.", encode(header.to_string()), encode(claims.to_string()))
}

/// The claims of an ordinary access token for this user, valid for `ttl` seconds from now.
pub fn claims(issuer: &str, audience: &str, user: &str, ttl: i64) -> Value {
    let now = now();
    json!({
        "iss": issuer,
        "aud": audience,
        "sub": user,
        "sip": format!("sip:{user}@example.test"),
        "preferred_username": user,
        "client_id": "sip-ua",
        "scope": "openid sip",
        "jti": format!("{user}-{now}"),
        "iat": now,
        "exp": now + ttl,
    })
}

/// Claims of a token as they stand, without any check.
pub fn unverified_claims(token: &str) -> Value {
    part(token, 1)
}

/// Header of a token as it stands, without any check.
pub fn unverified_header(token: &str) -> Value {
    part(token, 0)
}

/// A new private key for signing_key_files (P-256, PEM).
pub fn signing_key() -> String {
    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("randomness");
    let der = pair.to_pkcs8v1().expect("a new key");
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

pub fn now() -> i64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(time.as_secs()).expect("before the year 292 billion")
}

pub fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn part(token: &str, index: usize) -> Value {
    let segment = token.split('.').nth(index).expect("a compact JWS");
    let octets = URL_SAFE_NO_PAD.decode(segment).expect("base64url");
    serde_json::from_slice(&octets).expect("JSON")
}

fn rsa_pair() -> rsa::KeyPair {
    rsa::KeyPair::generate(KeySize::Rsa2048).expect("randomness")
}

fn rsa_padding(alg: &str) -> &'static dyn RsaEncoding {
    match alg {
        "RS256" => &signature::RSA_PKCS1_SHA256,
        "RS384" => &signature::RSA_PKCS1_SHA384,
        "RS512" => &signature::RSA_PKCS1_SHA512,
        "PS256" => &signature::RSA_PSS_SHA256,
        "PS384" => &signature::RSA_PSS_SHA384,
        "PS512" => &signature::RSA_PSS_SHA512,
        other => panic!("an RSA key cannot do {other}"),
    }
}

/// Modulus and exponent from the DER of an RSAPublicKey (RFC 8017, A.1.1).
fn rsa_integers(der: &[u8]) -> [&[u8]; 2] {
    let (sequence, _) = der_value(der);
    let (n, rest) = der_value(sequence);
    let (e, _) = der_value(rest);
    [n, e].map(|integer| &integer[usize::from(integer[0] == 0)..])
}

/// The content of the first DER element, and what follows the element.
fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (start, length) = match usize::from(der[1]) {
        short @ 0..0x80 => (2, short),
        long => {
            let end = 2 + (long & 0x7f);
            (end, der[2..end].iter().fold(0, |length, octet| length << 8 | usize::from(*octet)))
        }
    };
    der[start..].split_at(length)
}
