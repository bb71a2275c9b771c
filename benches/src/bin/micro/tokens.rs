// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys of an authorization server and access tokens such as servers issue: about 1.1 KB with RS256.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// `iss` of every token.
pub const ISSUER: &str = "https://login.example.com/realms/voice";
/// `aud` of every token.
pub const AUDIENCE: &str = "sip";
const KID: &str = "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE";
/// The end of the year 2099.
const END: i64 = 4_102_444_799;

/// A key pair, or a secret, with its one algorithm.
pub enum Key {
    /// RS256, 2048 bits.
    Rsa(rsa::KeyPair),
    /// ES256
    P256(EcdsaKeyPair),
    /// EdDSA
    Ed25519(Ed25519KeyPair),
    /// HS256
    Secret([u8; 32]),
}

/// What a raw verification needs.
pub enum Verifier {
    /// A public key, parsed once.
    Public(ParsedPublicKey),
    /// A secret, its key schedule made once.
    Secret(Box<hmac::Key>),
}

impl Verifier {
    /// Only the cryptography.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
            Verifier::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

impl Key {
    /// One of each.
    pub fn all() -> [Key; 4] {
        [
            Key::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).expect("randomness")),
            Key::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("randomness")),
            Key::Ed25519(Ed25519KeyPair::generate().expect("randomness")),
            Key::Secret([0x5a; 32]),
        ]
    }

    /// Its `alg`.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Key::Rsa(_) => "RS256",
            Key::P256(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
            Key::Secret(_) => "HS256",
        }
    }

    /// The public key, or the secret, as a JWK Set.
    pub fn jwks(&self) -> Value {
        let mut jwk = match self {
            Key::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                json!({ "kty": "RSA", "n": encode(n.big_endian_without_leading_zero()), "e": encode(e.big_endian_without_leading_zero()) })
            }
            Key::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
            Key::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key()) }),
            Key::Secret(secret) => json!({ "kty": "oct", "k": encode(secret) }),
        };
        jwk["kid"] = json!(KID);
        jwk["alg"] = json!(self.algorithm());
        json!({ "keys": [jwk] })
    }

    /// What verifies its signatures, as directly as can be.
    pub fn verifier(&self) -> Verifier {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256};
        let parsed = match self {
            Key::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            }
            Key::P256(pair) => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()),
            Key::Ed25519(pair) => ParsedPublicKey::new(&ED25519, pair.public_key()),
            Key::Secret(secret) => return Verifier::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret))),
        };
        Verifier::Public(parsed.expect("a good key"))
    }

    /// The public key in DER, or nothing: to parse it anew for each signature.
    pub fn spki(&self) -> Option<Vec<u8>> {
        let Key::Rsa(pair) = self else { return None };
        Some(pair.public_key().as_der().expect("a good key").as_ref().to_vec())
    }

    /// An access token of the user with this number.
    pub fn token(&self, user: usize) -> String {
        let header = json!({ "alg": self.algorithm(), "typ": "JWT", "kid": KID });
        let input = format!("{}.{}", encode(header.to_string()), encode(claims(user).to_string()));
        format!("{input}.{}", encode(self.sign(input.as_bytes())))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("a good key");
                signature
            }
            Key::P256(pair) => pair.sign(&random, message).expect("a good key").as_ref().to_vec(),
            Key::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Key::Secret(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec(),
        }
    }
}

/// The address of the user with this number.
pub fn address(user: usize) -> String {
    format!("sip:user{user:06}@example.com")
}

/// What is signed, and the signature, decoded.
pub fn signed_parts(token: &str) -> (Vec<u8>, Vec<u8>) {
    let (input, signature) = token.rsplit_once('.').expect("a compact JWS");
    (input.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(signature).expect("base64url"))
}

fn claims(user: usize) -> Value {
    json!({
        "exp": END,
        "iat": 1_767_225_600,
        "jti": format!("onrtac:8a1c1f0e-52d4-4c1b-9d55-{user:012x}"),
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": format!("f3a2b0d8-7c64-4b1e-a5a7-{user:012x}"),
        "typ": "Bearer",
        "azp": "softphone",
        "sid": format!("5b0a7a52-0a3e-4d59-bb0e-{user:012x}"),
        "acr": "1",
        "scope": "openid sip profile email",
        "email_verified": true,
        "name": "Alice Example",
        "preferred_username": format!("user{user:06}"),
        "given_name": "Alice",
        "family_name": "Example",
        "email": format!("user{user:06}@example.com"),
    })
}

fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}
