// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keys and secrets that a configuration names: the empty, the short and the odd ones.

use crate::pem;
use crate::site::{Site, claims, merged};
use crate::support::certificates::{Authority, Certificate};
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, encode};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use sipoauth_core::reason::Reason;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn opensips_and_jsonwebtoken_an_empty_or_short_secret_is_refused_at_configuration() {
    let directory = Directory::new("secrets");
    for secret in ["", "x", "0123456789abcdef0123456789abcde"] {
        let file = directory.write("secret", format!("{secret}\n"));
        let jwks = directory.write("oct.json", json!({ "kty": "oct", "k": encode(secret) }).to_string());
        for provider in [json!({ "secret": secret }), json!({ "secret_file": file }), json!({ "jwks_file": jwks })] {
            let error = Site::refused(&provider);
            assert!(error.starts_with("provider 'as': "), "{error}");
            assert!(secret.len() < 8 || !error.contains(secret), "{error}");
        }
    }
}

#[test]
fn jsonwebtoken_a_secret_serves_its_own_hash_lengths_only() {
    let secret = "0123456789abcdef0123456789abcdef";
    let key = TestKey::hmac("k", secret.as_bytes());
    let mut site = Site::remote(&json!({ "secret": secret }), &json!({}));
    assert_eq!(site.token(&key.token("HS256", &claims(&json!({})))), Reason::Ok);
    for alg in ["HS384", "HS512"] {
        assert_ne!(site.token(&key.token(alg, &claims(&json!({})))), Reason::Ok, "{alg}");
    }
    let rsa = TestKey::rsa("k");
    assert_eq!(site.token(&rsa.token("RS256", &claims(&json!({})))), Reason::AlgorithmNotAllowed);
    let empty = TestKey::hmac("k", b"");
    assert_eq!(site.token(&empty.token("HS256", &claims(&json!({})))), Reason::SignatureInvalid);
}

#[test]
fn none_and_secrets_without_a_secret_cannot_be_configured() {
    let directory = Directory::new("algorithms");
    let jwks = directory.write("keys.json", json!({ "keys": [TestKey::rsa("k").jwk()] }).to_string());
    for algorithm in ["none", "None", "HS256", "HS512", "ES512", ""] {
        let provider = json!({ "jwks_file": jwks, "algorithms": [algorithm] });
        assert!(Site::refused(&provider).contains("algorithms"), "{algorithm}");
    }
    let secret = json!({ "kty": "oct", "k": encode([7; 32]) });
    let mixed = directory.write("mixed.json", json!({ "keys": [TestKey::rsa("k").jwk(), secret] }).to_string());
    assert!(Site::refused(&json!({ "jwks_file": mixed })).contains("mixes"));
}

/// A token of alice, signed by the key of a certificate.
fn token_of(certificate: &Certificate) -> String {
    let pkcs8 = pem::octets(&fs::read_to_string(&certificate.key).expect("a key"));
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).expect("a P-256 key");
    let input = format!("{}.{}", encode(r#"{"alg":"ES256"}"#), encode(claims(&json!({})).to_string()));
    let signature = key.sign(&SystemRandom::new(), input.as_bytes()).expect("randomness");
    format!("{input}.{}", encode(signature))
}

#[test]
fn flexisip_a_certificate_pem_is_a_container_for_a_key() {
    let authority = Authority::new();
    for certificate in [authority.good(), authority.expired(), authority.self_signed()] {
        let mut site = Site::remote(&json!({ "pem_file": certificate.certificate }), &json!({}));
        assert_eq!(site.token(&token_of(&certificate)), Reason::Ok);
        assert_eq!(site.token(&token_of(&authority.good())), Reason::SignatureInvalid);
    }
}

#[test]
fn kamailio_a_key_file_of_10240_octets() {
    let directory = Directory::new("key-file");
    let key = TestKey::rsa("k");
    let block = pem::of_rsa(&key.jwk());
    for length in [10_239, 10_240, 10_241, 200_000] {
        let comment = "#".repeat(length - block.len() - 1);
        let file = directory.write("key.pem", format!("{comment}\n{block}"));
        assert_eq!(fs::metadata(&file).expect("written").len(), length as u64);
        let mut site = Site::remote(&json!({ "pem_file": file }), &json!({}));
        assert_eq!(site.token(&key.token("RS256", &claims(&json!({})))), Reason::Ok, "{length}");
    }
    let file = directory.write("key.pem", format!("{}\n{block}", "#".repeat(300_000)));
    assert!(Site::refused(&json!({ "pem_file": file })).contains("at most"));
}

#[test]
fn a_short_rsa_key_is_refused_at_configuration() {
    let directory = Directory::new("short-key");
    let (private, public) = (directory.file("private.pem"), directory.file("public.pem"));
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out"], &private);
    openssl(&["pkey", "-pubout", "-in", private.to_str().expect("UTF-8"), "-out"], &public);
    let error = Site::refused(&json!({ "pem_file": public }));
    assert!(error.contains("pem_file") && error.contains("too short"), "{error}");
    assert!(Site::refused(&json!({ "pem_file": private })).contains("no PUBLIC KEY"), "a private key is no public one");
}

fn openssl(arguments: &[&str], out: &Path) {
    let output = Command::new("openssl").args(arguments).arg(out).output().expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn kamailio_no_openssl_whose_error_queue_could_be_left_dirty() {
    let lock =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).expect("part of the project");
    for name in ["openssl", "openssl-sys", "native-tls"] {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name}");
    }
}

/// Provider settings with keys that `changes` describe.
fn site_of(changes: &[Value]) -> Site {
    let keys: Vec<Value> = changes.iter().map(|change| merged(&TestKey::rsa("k").jwk(), change)).collect();
    let keys: Vec<Value> = keys.into_iter().map(without_nulls).collect();
    Site::new(&keys, &json!({}))
}

fn without_nulls(mut value: Value) -> Value {
    value.as_object_mut().expect("an object").retain(|_, v| !v.is_null());
    value
}

#[test]
fn flexisip_keys_need_no_x5c_alg_use_or_kid() {
    let key = TestKey::rsa("k");
    let token = key.token("RS256", &claims(&json!({})));
    let without_kid = key.jws("RS256", &json!({ "alg": "RS256" }), &claims(&json!({})));
    for changes in [
        json!({}),
        json!({ "use": null }),
        json!({ "kid": null }),
        json!({ "kid": null, "use": null }),
        json!({ "alg": "RS256", "x5t": "abc", "x5c": ["MIIB"], "issuer": "https://login.example" }),
        json!({ "x5c": [] }),
        json!({ "x5c": 7 }),
        json!({ "key_ops": ["verify"], "use": null }),
    ] {
        let mut site = site_of(std::slice::from_ref(&changes));
        assert_eq!([site.token(&token), site.token(&without_kid)], [Reason::Ok; 2], "{changes}");
    }
}

#[test]
fn one_unknown_or_odd_key_does_not_spoil_the_set() {
    let token = TestKey::rsa("k").token("RS256", &claims(&json!({})));
    for odd in [
        json!({ "kid": "o", "kty": "AKP", "alg": "ML-DSA-44" }),
        json!({ "kid": "o", "kty": "EC", "crv": "P-521" }),
        json!({ "kid": "o", "n": "AA" }),
        json!({ "kid": "o", "n": "not base64!" }),
        json!({ "kid": "o", "n": 7 }),
        json!({ "kid": 7 }),
        json!({ "kid": "o", "use": ["sig"] }),
        json!({ "kid": "o", "alg": "RSA-OAEP", "use": "enc" }),
        json!({ "kid": "o", "e": "AQ" }),
        json!({ "kid": "o", "kty": null }),
        json!({ "kid": "x".repeat(5000) }),
        json!({ "kid": "k", "use": "enc" }),
    ] {
        assert_eq!(site_of(&[odd.clone(), json!({})]).token(&token), Reason::Ok, "{odd}");
    }
}

#[test]
fn a_key_for_encryption_or_signing_only_does_not_verify() {
    let token = TestKey::rsa("k").token("RS256", &claims(&json!({})));
    for odd in [
        json!({ "use": "enc" }),
        json!({ "key_ops": ["encrypt"] }),
        json!({ "key_ops": ["wrapKey"] }),
        json!({ "alg": "RSA-OAEP" }),
    ] {
        let mut site = site_of(&[odd.clone(), json!({ "kid": "other", "alg": "PS256" })]);
        assert_eq!(site.token(&token), Reason::KeyUnknown, "{odd}");
    }
}
