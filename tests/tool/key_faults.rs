// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tool says of the keys of a set that cannot be used.

use serde_json::{Value, json};

use crate::check_config::{check, failed, provider, scripted};
use crate::run;
use crate::support::scripted_server::{JWKS, key_set};
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, encode};

/// Keys, each with a mistake of its own, and the words that name it.
fn faulty() -> Vec<(Value, &'static str)> {
    let with = |mut key: Value, name: &str, value: Value| {
        key[name] = value;
        key
    };
    let p256 = |kid: &str| TestKey::p256(kid).jwk();
    let short = json!({"kty": "RSA", "kid": "short", "n": encode([0xC3; 128]), "e": "AQAB"});
    let mut nameless = p256("x");
    nameless.as_object_mut().expect("a key").retain(|name, _| name != "kid" && name != "y");
    vec![
        (TestKey::secp256k1("curve").jwk(), "the curve 'secp256k1' is not supported"),
        (short, "1024 bits"),
        (nameless, "y is missing"),
        (with(p256("number"), "x", json!(7)), "x is not a text"),
        (with(p256("base64"), "x", json!("@@@")), "x is not base64url"),
        (with(p256("long"), "x", json!(encode([7; 40]))), "x has 40 octets"),
        (with(p256("off-curve"), "x", json!(encode([7; 32]))), "not a point of its curve"),
        (with(p256("use"), "use", json!("enc")), "use is 'enc'"),
        (with(p256("ops"), "key_ops", json!(["encrypt"])), "key_ops"),
        (with(p256("alg"), "alg", json!("RS256")), "alg is RS256"),
        (with(p256("new-alg"), "alg", json!("ML-DSA-44")), "the algorithm 'ML-DSA-44' is not supported"),
        (with(p256("private"), "d", json!("AA")), "private key"),
        (json!({"kty": "oct", "kid": "secret", "k": "AAAA"}), "shared secret"),
        (json!({"kty": "AKP", "kid": "type"}), "the key type 'AKP' is not supported"),
        (json!({"kid": "typeless"}), "kty is missing"),
        (json!(7), "not a JSON object"),
    ]
}

#[test]
fn every_rejected_key_is_named_with_what_is_wrong_with_it() {
    let good = TestKey::p256("good");
    let server = scripted(&good);
    let line = provider(&server.issuer(), "");
    for with_good in [false, true] {
        let faulty = faulty();
        let mut keys: Vec<Value> = faulty.iter().map(|(key, _)| key.clone()).collect();
        keys.extend(with_good.then(|| good.jwk()));
        server.set_keys(key_set(&keys));
        let listed = run(&["jwks", "--json", "--provider", &line]);
        assert_eq!(listed.code, i32::from(!with_good), "{}", listed.out);
        let listed = listed.json()[0]["keys"].as_array().expect("a list").clone();
        let text = run(&["jwks", "--provider", &line]).out;
        let findings = check(&["--provider", &line]);
        assert_eq!(failed(&findings).len(), usize::from(!with_good), "{findings:?}");
        for (index, (key, words)) in faulty.iter().enumerate() {
            let name = key["kid"].as_str().map_or(format!("key {}", index + 1), |kid| format!("'{kid}'"));
            let note = |found: &Value| found["note"].as_str().is_some_and(|note| note.contains(words));
            assert!(listed.iter().any(|found| found["usable"] == false && note(found)), "{words}: {listed:?}");
            assert!(text.contains(words) && text.contains(name.trim_matches('\'')), "{name}: {text}");
            // What is there for encryption is no mistake beside a key that verifies.
            let told = findings.iter().any(|f| {
                f["status"] == "warning"
                    && f["message"].as_str().is_some_and(|m| m.contains(&name) && m.contains(words))
            });
            assert_eq!(told, !(with_good && ["use", "ops"].contains(&name.trim_matches('\''))), "{name}: {findings:?}");
        }
    }
}

#[test]
fn a_server_is_not_advised_to_do_what_it_does() {
    let server = scripted(&TestKey::p256("k"));
    let line = provider(&server.issuer(), "");
    let mut key = TestKey::p256("k").jwk();
    key["use"] = json!("enc");
    server.set_keys(key_set(&[key]));
    let findings = check(&["--provider", &line]);
    let fix = failed(&findings)[0]["fix"].as_str().expect("a text").to_owned();
    assert!(!fix.contains("P-256"), "{fix}");
    server.set_keys(key_set(&[]));
    let findings = check(&["--provider", &line]);
    let (message, fix) = (&failed(&findings)[0]["message"], &failed(&findings)[0]["fix"]);
    assert!(message.as_str().is_some_and(|message| message.contains("it is empty")), "{message}");
    assert!(fix.as_str().is_some_and(|fix| fix.contains("P-256")), "{fix}");
}

/// A key set is somebody else's text.
#[test]
fn names_of_rejected_keys_are_short_and_printable() {
    let server = scripted(&TestKey::p256("k"));
    let line = provider(&server.issuer(), "");
    let odd = |at: usize| json!({"kty": format!("\u{1b}[2J{}", "x".repeat(4999)), "kid": format!("{at}\u{202e}{}", "y".repeat(4999))});
    server.set_keys(key_set(&(0..64).map(odd).collect::<Vec<_>>()));
    for text in [run(&["jwks", "--provider", &line]).out, run(&["check-config", "--provider", &line]).out] {
        assert!(text.lines().all(|line| line.chars().count() < 400), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']) && text.contains("63?y"), "{text}");
    }
    server.set_keys(key_set(&(0..65).map(odd).collect::<Vec<_>>()));
    let text = run(&["jwks", "--uri", &server.url(JWKS)]).out;
    assert!(text.contains("more than 64 keys"), "{text}");
}

/// Keys in a file of the operator's own are judged like a server's.
#[test]
fn rejected_keys_of_a_configured_set_are_named() {
    let directory = Directory::new("key-faults");
    let keys = |keys: &[Value]| directory.write("keys.json", key_set(keys).to_string()).display().to_string();
    let (curve, good) = (TestKey::secp256k1("curve").jwk(), TestKey::p256("good").jwk());
    let line = |file: &str| provider("https://as.example.test", &format!(";jwks_file={file}"));
    let file = keys(&[curve.clone(), good]);
    let findings = check(&["--provider", &line(&file)]);
    let told = |words: &str| findings.iter().any(|f| f["message"].as_str().is_some_and(|m| m.contains(words)));
    assert!(told("1 configured key(s)") && told("key 'curve' is not used: the curve 'secp256k1'"), "{findings:?}");
    let file = keys(&[curve.clone(), curve]);
    let findings = check(&["--offline", "--provider", &line(&file)]);
    let (message, fix) = (&failed(&findings)[0]["message"], &failed(&findings)[0]["fix"]);
    assert!(
        message.as_str().is_some_and(|m| m.contains("key 'curve': the curve") && m.contains("1 more")),
        "{message}"
    );
    assert!(fix.as_str().is_some_and(|fix| fix.contains("sipoauth jwks --file")), "{fix}");
    assert_eq!(run(&["jwks", "--file", &file]).out.matches("secp256k1").count(), 3);
}
