// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which algorithm with which key: no confusion, no `none`, nothing that the header may choose.

use crate::pem;
use crate::site::{Site, claims};
use crate::support::token::{TestKey, encode, unsigned};
use serde_json::{Value, json};
use sipoauth_core::reason::Reason;

#[test]
fn opensips_hs256_keyed_with_public_key_is_refused() {
    let key = TestKey::rsa("k");
    let pem = pem::of_rsa(&key.jwk());
    let n = key.jwk()["n"].as_str().expect("a modulus").to_owned();
    let secrets: [Vec<u8>; 6] = [
        pem.clone().into(),
        pem.trim_end().into(),
        pem::rsa_spki(&key.jwk()),
        n.clone().into(),
        pem::decode(&n),
        key.jwk().to_string().into(),
    ];
    let mut site = Site::new(&[key.jwk()], &json!({}));
    for secret in secrets {
        let forged = TestKey::hmac("k", &secret);
        for alg in ["HS256", "HS384", "HS512"] {
            assert_eq!(site.token(&forged.token(alg, &claims(&json!({})))), Reason::AlgorithmNotAllowed);
        }
    }
    assert_eq!(site.token(&key.token("RS256", &claims(&json!({})))), Reason::Ok);
}

#[test]
fn opensips_none_is_refused_in_every_spelling() {
    let mut site = Site::new(&[TestKey::p256("k").jwk()], &json!({}));
    for alg in ["none", "None", "NONE", "nOnE", "none ", " none", "", "null", "hs256", "es256", "ES256 ", "ES256\u{0}"]
    {
        for header in [json!({ "alg": alg, "kid": "k" }), json!({ "alg": alg }), json!({ "alg": alg, "typ": "at+jwt" })]
        {
            let token = unsigned(&header, &claims(&json!({})));
            assert_eq!(site.token(&token), Reason::AlgorithmNotAllowed, "{header}");
            assert_eq!(site.token(&format!("{token}{}", encode([0; 64]))), Reason::AlgorithmNotAllowed, "{header}");
        }
    }
    for header in [json!({}), json!({ "alg": null }), json!({ "alg": ["ES256"] }), json!({ "alg": 0 }), json!([])] {
        assert_eq!(site.token(&unsigned(&header, &claims(&json!({})))), Reason::TokenMalformed, "{header}");
    }
}

#[test]
fn opensips_a_token_without_signature_is_refused() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let header = json!({ "alg": "ES256", "kid": "k", "typ": "at+jwt" });
    assert_eq!(site.token(&unsigned(&header, &claims(&json!({})))), Reason::SignatureInvalid);
}

#[test]
fn every_algorithm_of_b2_is_accepted_and_the_allow_list_holds() {
    let keys = [
        (TestKey::rsa("r"), &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..]),
        (TestKey::p256("e"), &["ES256"]),
        (TestKey::p384("f"), &["ES384"]),
        (TestKey::ed25519("d"), &["EdDSA", "Ed25519"]),
    ];
    let public: Vec<Value> = keys.iter().map(|(key, _)| key.jwk()).collect();
    let mut open = Site::new(&public, &json!({}));
    let mut narrow = Site::new(&public, &json!({ "algorithms": ["PS256"] }));
    for (key, algorithms) in &keys {
        for alg in *algorithms {
            let token = key.token(alg, &claims(&json!({})));
            assert_eq!(open.token(&token), Reason::Ok, "{alg}");
            let expected = if *alg == "PS256" { Reason::Ok } else { Reason::AlgorithmNotAllowed };
            assert_eq!(narrow.token(&token), expected, "{alg}");
        }
    }
}

#[test]
fn a_curve_outside_b2_is_refused() {
    let (p521, k1) = (TestKey::p521("a"), TestKey::secp256k1("b"));
    let mut site = Site::new(&[TestKey::p256("k").jwk(), p521.jwk(), k1.jwk()], &json!({}));
    assert_eq!(site.token(&p521.token("ES512", &claims(&json!({})))), Reason::AlgorithmNotAllowed);
    assert_eq!(site.token(&k1.token("ES256K", &claims(&json!({})))), Reason::AlgorithmNotAllowed);
    let header = json!({ "alg": "ES256", "kid": "b" });
    assert_eq!(site.token(&k1.jws("ES256", &header, &claims(&json!({})))), Reason::KeyUnknown);
}

#[test]
fn the_header_and_the_key_must_agree() {
    let rsa = TestKey::rsa("r");
    let mut pinned = rsa.jwk();
    pinned["alg"] = json!("RS256");
    let mut site = Site::new(&[pinned, TestKey::p256("e").jwk()], &json!({}));
    assert_eq!(site.token(&rsa.token("RS256", &claims(&json!({})))), Reason::Ok);
    assert_eq!(site.token(&rsa.token("PS256", &claims(&json!({})))), Reason::KeyUnsuitable);
    let other_type = json!({ "alg": "ES256", "kid": "r" });
    assert_eq!(site.token(&rsa.jws("RS256", &other_type, &claims(&json!({})))), Reason::KeyUnsuitable);
}

#[test]
fn a_key_from_the_header_is_never_used() {
    let (own, mallory) = (TestKey::p256("k"), TestKey::p256("k"));
    let mut site = Site::new(&[own.jwk()], &json!({}));
    for (name, value) in [
        ("jwk", mallory.jwk()),
        ("jku", json!("https://evil.test/jwks")),
        ("x5u", json!("https://evil.test/cert")),
        ("x5c", json!(["AAAA"])),
    ] {
        let header = json!({ "alg": "ES256", "kid": "k", "typ": "at+jwt", name: value });
        assert_eq!(site.token(&mallory.jws("ES256", &header, &claims(&json!({})))), Reason::SignatureInvalid, "{name}");
        assert_eq!(site.token(&own.jws("ES256", &header, &claims(&json!({})))), Reason::Ok, "{name}");
    }
}

#[test]
fn jsonwebtoken_an_unknown_crit_is_refused() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!(["http://example.com/x"])),
        ("crit", json!([])),
        ("crit", json!("b64")),
        ("b64", json!(false)),
        ("b64", json!(true)),
    ] {
        let header = json!({ "alg": "ES256", "kid": "k", "typ": "at+jwt", name: value });
        let token = key.jws("ES256", &header, &claims(&json!({})));
        assert_eq!(site.token(&token), Reason::CriticalUnknown, "{header}");
    }
    // null is absence, in a header, too: nothing is named that one would have to understand.
    let header = json!({ "alg": "ES256", "kid": "k", "typ": "at+jwt", "crit": null, "b64": null, "nonce": null });
    assert_eq!(site.token(&key.jws("ES256", &header, &claims(&json!({})))), Reason::Ok);
}

#[test]
fn an_empty_kid_names_no_key() {
    let (key, other) = (TestKey::p256("k"), TestKey::p256("other"));
    let mut site = Site::new(&[other.jwk(), key.jwk()], &json!({}));
    let header = json!({ "alg": "ES256", "kid": "", "typ": "at+jwt" });
    assert_eq!(site.token(&key.jws("ES256", &header, &claims(&json!({})))), Reason::Ok);
    assert_eq!(
        site.token(&TestKey::p256("stranger").jws("ES256", &header, &claims(&json!({})))),
        Reason::SignatureInvalid
    );
}

#[test]
fn jsonwebtoken_typ_dpop_is_refused() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let mut strict = Site::new(&[key.jwk()], &json!({ "typ": "at+jwt" }));
    for (typ, usual, required) in [
        ("at+jwt", Reason::Ok, Reason::Ok),
        ("application/AT+JWT", Reason::Ok, Reason::Ok),
        ("JWT", Reason::Ok, Reason::TypeNotAccepted),
        ("dpop+jwt", Reason::TypeNotAccepted, Reason::TypeNotAccepted),
        ("logout+jwt", Reason::TypeNotAccepted, Reason::TypeNotAccepted),
        ("secevent+jwt", Reason::TypeNotAccepted, Reason::TypeNotAccepted),
        ("token-introspection+jwt", Reason::TypeNotAccepted, Reason::TypeNotAccepted),
    ] {
        let header = json!({ "alg": "ES256", "kid": "k", "typ": typ });
        let token = key.jws("ES256", &header, &claims(&json!({})));
        assert_eq!((site.token(&token), strict.token(&token)), (usual, required), "{typ}");
    }
    let absent = key.jws("ES256", &json!({ "alg": "ES256", "kid": "k" }), &claims(&json!({})));
    assert_eq!((site.token(&absent), strict.token(&absent)), (Reason::Ok, Reason::TypeNotAccepted));
}

#[test]
fn jwe_is_refused_cleanly_and_never_inflated() {
    let mut site = Site::new(&[TestKey::rsa("k").jwk()], &json!({}));
    for header in [
        json!({ "alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "k" }),
        json!({ "alg": "dir", "enc": "A128CBC-HS256", "zip": "DEF" }),
        json!({ "alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": i64::MAX, "p2s": "AAAA" }),
        json!({ "alg": "none", "enc": "none" }),
    ] {
        for (key, tag) in [(vec![], vec![0; 16]), (vec![0; 32], vec![0; 4]), (vec![0; 256], vec![])] {
            let parts = [header.to_string().into_bytes(), key, vec![0; 12], vec![0; 512], tag];
            let token: Vec<String> = parts.iter().map(encode).collect();
            assert_eq!(site.token(&token.join(".")), Reason::TokenEncrypted, "{header}");
        }
    }
    let key = TestKey::rsa("k");
    let zipped = key.jws("RS256", &json!({ "alg": "RS256", "kid": "k", "zip": "DEF" }), &claims(&json!({})));
    assert_eq!(site.token(&zipped), Reason::TokenMalformed);
}
