// SPDX-License-Identifier: MIT OR Apache-2.0

//! What servers send in unusual shapes whose meaning is plain.

use crate::plant::{Plant, key_set, token};
use crate::site::{Site, claims};
use crate::support::scripted_server::{Answer, JWKS, OPENID_CONFIGURATION, ScriptedServer, discovery};
use crate::support::token::TestKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sipoauth_core::reason::Reason;

/// The token of this key at a site with these keys.
fn answer(keys: &[Value], key: &TestKey) -> Reason {
    Site::new(keys, &json!({})).token(&key.token("ES256", &claims(&json!({}))))
}

fn coordinate(jwk: &Value, name: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect("a text")).expect("base64url")
}

#[test]
fn kubernetes_keys_that_are_served_as_a_key_set_only() {
    let key = TestKey::p256("k");
    let keys = key_set(&[&key]);
    let server = ScriptedServer::start(keys.clone());
    let metadata = discovery(&server.issuer());
    server.set(
        OPENID_CONFIGURATION,
        Answer::computed(move |request| match request.header("accept") {
            Some(accept) if accept.starts_with("application/json") => Answer::Json(metadata.clone()),
            _ => Answer::Status(406),
        }),
    );
    server.set(
        JWKS,
        Answer::computed(move |request| match request.header("accept") {
            Some(accept) if accept.starts_with("application/jwk-set+json") => Answer::Json(keys.clone()),
            _ => Answer::Status(406),
        }),
    );
    let mut plant = Plant::at(&server, &json!({})).started();
    assert_eq!(plant.reason(&token(&server, &key)), Reason::Ok, "{}", plant.site.log.text());
}

#[test]
fn metadata_and_keys_with_null_and_a_byte_order_mark() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(json!({}));
    let mut jwk = key.jwk();
    for (name, value) in [("alg", json!("")), ("use", json!(null)), ("key_ops", json!(null)), ("x5c", json!(null))] {
        jwk[name] = value;
    }
    let mut metadata = discovery(&server.issuer());
    metadata["mtls_endpoint_aliases"] = json!(null);
    for (path, document) in [(OPENID_CONFIGURATION, metadata), (JWKS, json!({ "keys": [jwk] }))] {
        server.set(path, Answer::Full(200, vec![], format!("\u{feff}{document}").into_bytes()));
    }
    let mut plant = Plant::at(&server, &json!({})).started();
    assert_eq!(plant.reason(&token(&server, &key)), Reason::Ok, "{}", plant.site.log.text());
}

#[test]
fn a_compressed_answer_is_named_so() {
    let server = ScriptedServer::start(key_set(&[&TestKey::p256("k")]));
    server.set(JWKS, Answer::Full(200, vec![("Content-Encoding", "GZIP".into())], vec![0x1f, 0x8b, 8, 0]));
    let plant = Plant::at(&server, &json!({})).started();
    let log = plant.site.log.text();
    assert!(log.contains("the answer is compressed (gzip), which was not asked for"), "{log}");
}

#[test]
fn keycloak_coordinates_are_integers() {
    let (key, jwk, name) = loop {
        let key = TestKey::p256("k");
        let jwk = key.jwk();
        // One zero and no more, so that it is another number without its first two octets.
        let is_short = |name: &&str| coordinate(&jwk, name)[0] == 0 && coordinate(&jwk, name)[1] != 0;
        if let Some(name) = ["x", "y"].into_iter().find(is_short) {
            break (key, jwk, name);
        }
    };
    let with = |octets: &[u8]| {
        let mut jwk = jwk.clone();
        jwk[name] = json!(URL_SAFE_NO_PAD.encode(octets));
        answer(&[jwk, TestKey::p256("other").jwk()], &key)
    };
    let full = coordinate(&jwk, name);
    assert_eq!(with(&full[1..]), Reason::Ok, "31 octets");
    assert_eq!(with(&[&[0], &full[..]].concat()), Reason::Ok, "33 octets");
    assert_eq!(with(&[&[1], &full[..]].concat()), Reason::KeyUnknown, "a longer number");
    assert_eq!(with(&full[2..]), Reason::KeyUnknown, "another number is no point of the curve");
    assert_eq!(with(&[]), Reason::KeyUnknown);
}

#[test]
fn jwx_keys_that_share_a_kid_are_all_tried() {
    let [one, two, stranger] = [(); 3].map(|()| TestKey::p256("k"));
    let mut encryption = TestKey::rsa("k").jwk();
    encryption["use"] = json!("enc");
    for keys in [[one.jwk(), two.jwk(), encryption.clone()], [encryption, two.jwk(), one.jwk()]] {
        assert_eq!(
            [&one, &two, &stranger].map(|key| answer(&keys, key)),
            [Reason::Ok, Reason::Ok, Reason::SignatureInvalid]
        );
    }
    // Of many, four are tried.
    let many: Vec<TestKey> = (0..6).map(|_| TestKey::p256("k")).collect();
    let jwks: Vec<Value> = many.iter().map(TestKey::jwk).collect();
    let accepted = many.iter().filter(|key| answer(&jwks, key) == Reason::Ok).count();
    assert_eq!(accepted, 4);
}

#[test]
fn null_is_absence_in_every_claim_and_in_the_header() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({ "aor": ["{sip}", "sip:{preferred_username}@example.test"] }));
    for name in
        ["nbf", "iat", "acr", "azp", "at_hash", "c_hash", "nonce", "cnf", "tid", "token_use", "gty", "sub", "sip"]
    {
        let token = key.token("ES256", &claims(&json!({ name: null })));
        assert_eq!(site.token(&token), Reason::Ok, "{name}");
    }
    for name in ["jku", "x5t", "cty", "zip", "nonce", "crit"] {
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k", name: null });
        assert_eq!(site.token(&key.jws("ES256", &header, &claims(&json!({})))), Reason::Ok, "{name}");
    }
    for name in ["iss", "exp", "aud"] {
        let token = key.token("ES256", &claims(&json!({ name: null })));
        assert_eq!(site.token(&token), Reason::ClaimMissing, "{name}");
    }
}

#[test]
fn users_that_are_numbers_and_lists_with_odd_values() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({ "aor": ["sip:{extension}@example.test"] }));
    let mut answer = |user: &str, changes: Value| {
        let credential = format!("Bearer {}", key.token("ES256", &claims(&changes)));
        let address = format!("sip:{user}@example.test");
        site.request_of("REGISTER", &address, &address, &[&credential]).answer.reason()
    };
    let mixed = json!(["alice", 1001, null, {}, 1.5]);
    for user in ["alice", "1001"] {
        assert_eq!(answer(user, json!({ "extension": mixed, "sub": 7 })), Reason::Ok, "{user}");
    }
    assert_eq!(answer("1001", json!({ "extension": 1001 })), Reason::Ok);
    for user in ["1", "1.5", "null", "bob"] {
        assert_eq!(answer(user, json!({ "extension": mixed })), Reason::AorMismatch, "{user}");
    }
    for nothing in [json!(null), json!([]), json!([null, true]), json!({ "alice": 1 }), json!(10.5)] {
        assert_eq!(answer("alice", json!({ "extension": nothing })), Reason::IdentityMissing, "{nothing}");
    }
}
