// SPDX-License-Identifier: MIT OR Apache-2.0
//! A private key that signs the proxy's own assertions (RFC 7523).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::algorithm::Algorithm;
use super::thumbprint::thumbprint;

/// A private key with the one algorithm that it signs with.
pub struct SigningKey {
    kid: Option<String>,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, Algorithm),
    Ed25519(Ed25519KeyPair),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, …)", self.algorithm().name())
    }
}

impl SigningKey {
    /// Reads a "PRIVATE KEY" block (PKCS #8): RSA, P-256, P-384 or Ed25519. The error says what is wrong with it.
    pub fn from_pem(pem: &[u8], kid: Option<String>) -> Result<SigningKey, String> {
        let Ok(der) = PrivatePkcs8KeyDer::from_pem_slice(pem) else {
            let text = String::from_utf8_lossy(pem);
            return Err(if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
                "is encrypted; write it without a password: openssl pkcs8 -in old.pem -out new.pem".into()
            } else {
                "has no PRIVATE KEY block (PKCS #8); convert it: openssl pkcs8 -topk8 -nocrypt -in old.pem -out new.pem"
                    .into()
            });
        };
        let der = der.secret_pkcs8_der();
        let ec = |signing, algorithm| EcdsaKeyPair::from_pkcs8(signing, der).map(|pair| Pair::Ec(pair, algorithm));
        let pair = ec(&ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::ES256)
            .or_else(|_| ec(&ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::ES384))
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519))
            .or_else(|_| RsaKeyPair::from_pkcs8(der).map(Pair::Rsa))
            .map_err(|_| "is not a key that can be used: RSA of at least 2048 bits, P-256, P-384 or Ed25519")?;
        Ok(SigningKey { kid, pair })
    }

    /// Reads a P-256 key that signs the proxy's own tokens. Its kid is its thumbprint (RFC 7638).
    pub fn for_issuer(pem: &[u8]) -> Result<SigningKey, String> {
        let mut key = SigningKey::from_pem(pem, None)?;
        let Some(jwk) = key.public_jwk() else {
            return Err("is not a P-256 key; 'sipoauth keygen signing' makes one".into());
        };
        key.kid = thumbprint(&jwk);
        Ok(key)
    }

    /// The key's id.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The public part of a P-256 key as a JWK; None for other keys.
    pub fn public_jwk(&self) -> Option<Value> {
        let Pair::Ec(pair, Algorithm::ES256) = &self.pair else {
            return None;
        };
        // The point is 4, x, y (SEC 1 section 2.3.3).
        let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(32)?;
        let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let mut jwk =
            json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y), "alg": "ES256", "use": "sig"});
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        Some(jwk)
    }

    /// The algorithm that the key signs with.
    pub fn algorithm(&self) -> Algorithm {
        match &self.pair {
            Pair::Rsa(_) => Algorithm::RS256,
            Pair::Ec(_, algorithm) => *algorithm,
            Pair::Ed25519(_) => Algorithm::EdDSA,
        }
    }

    /// A compact JWS over these claims with this `typ`; None when the key cannot sign. Draws random numbers.
    pub fn sign_jwt(&self, typ: &str, claims: &Value) -> Option<String> {
        let mut header = json!({"alg": self.algorithm().name(), "typ": typ});
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let input = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.sign(input.as_bytes())?;
        Some(format!("{input}.{}", encode(&signature)))
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok().map(|()| signature)
            }
            Pair::Ec(pair, _) => pair.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec()),
            Pair::Ed25519(pair) => pair.try_sign(message).ok().map(|signature| signature.as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::jwk::VerificationKey;
    use super::super::jws::CompactJws;
    use super::super::key_set::KeySet;
    use super::*;
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaSigningAlgorithm};
    use base64::engine::general_purpose::STANDARD;

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    /// PKCS #8 and SubjectPublicKeyInfo.
    fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> (Vec<u8>, Vec<u8>) {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), public.as_ref().to_vec())
    }

    #[test]
    fn what_it_signs_can_be_verified() {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let rsa_private: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let rsa_public: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        let ed25519_private = ed25519.to_pkcs8v1().unwrap();
        let ed25519_public: PublicKeyX509Der<'_> = ed25519.public_key().as_der().unwrap();
        for (algorithm, (private, public)) in [
            (Algorithm::RS256, (rsa_private.as_ref().to_vec(), rsa_public.as_ref().to_vec())),
            (Algorithm::ES256, ec(&ECDSA_P256_SHA256_FIXED_SIGNING)),
            (Algorithm::ES384, ec(&ECDSA_P384_SHA384_FIXED_SIGNING)),
            (Algorithm::EdDSA, (ed25519_private.as_ref().to_vec(), ed25519_public.as_ref().to_vec())),
        ] {
            let key = SigningKey::from_pem(pem("PRIVATE KEY", &private).as_bytes(), Some("k".into())).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            let jwt = key.sign_jwt("JWT", &json!({"iss": "proxy"})).unwrap();
            let jws = CompactJws::split(&jwt).unwrap();
            let header = jws.header().unwrap();
            assert_eq!((header.algorithm, header.kid.as_deref(), header.typ.as_str()), (algorithm, Some("k"), "jwt"));
            assert_eq!(jws.unverified_payload().unwrap(), br#"{"iss":"proxy"}"#);
            let keys = KeySet::from_keys(vec![VerificationKey::from_spki(&public).unwrap()]);
            assert_eq!(jws.verify(&header, &keys), Ok(()), "{algorithm:?}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_key() {
        let error = |text: &str| SigningKey::from_pem(text.as_bytes(), None).unwrap_err();
        assert!(error("").contains("-topk8"));
        assert!(error(&pem("EC PRIVATE KEY", b"x")).contains("-topk8"));
        assert!(error(&pem("ENCRYPTED PRIVATE KEY", b"x")).contains("without a password"));
        assert!(error(&pem("PRIVATE KEY", b"x")).contains("RSA of at least"));
        assert!(error(&pem("PRIVATE KEY", &ec(&ECDSA_P521_SHA512_FIXED_SIGNING).0)).contains("RSA of at least"));
    }
}
