// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tool says of the keys of a set that cannot be used.

use serde_json::{Value, json};

use crate::check_config::{check, failed, provider, scripted};
use crate::run;
use crate::support::scripted_server::{Answer, JWKS, OPENID_CONFIGURATION, discovery, key_set};
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

/// The line of a provider with opaque tokens, and the settings of a store.
fn opaque(issuer: &str, more: &str) -> (String, [String; 2]) {
    let client = "client_id=proxy;client_secret=hush-hush-hush;tokens=opaque";
    let line = provider(issuer, &format!(";{client};introspection_endpoint={issuer}/introspect{more}"));
    (line, ["store=/nonexistent/store".to_owned(), "store_key=0123456789abcdef0123456789abcdef".to_owned()])
}

/// What `check-config` says of keys, of the metadata that leads to them, and of algorithms: status and message.
fn said_of_keys(arguments: &[&str]) -> Vec<(String, String)> {
    let findings = check(&[arguments, &["--no-probe"]].concat());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_keys = findings.iter().filter(|f| ["keys", "metadata", "algorithms"].contains(&&*text(&f["check"])));
    let said: Vec<_> = of_keys.map(|f| (text(&f["status"]), text(&f["message"]))).collect();
    assert!(said.iter().all(|(status, _)| status != "failed"), "a server may give nothing that is signed: {said:?}");
    said
}

/// Opaque tokens need no keys. ID tokens of sign-ins and signed answers do.
#[test]
fn keys_for_id_tokens_and_signed_answers_are_looked_at() {
    let good = TestKey::p256("good");
    let server = scripted(&good);
    let issuer = server.issuer();
    let (line, [store, store_key]) = opaque(&issuer, "");
    let with_store = ["--set", &store, "--set", &store_key];
    let foreign = "client_id=proxy;client_secret=hush-hush-hush;tokens=validation_grant;validation_grant_type=urn:x:y";
    let foreign = format!("name=corp;issuer={issuer};domain=example.test;{foreign}");
    let signed = opaque(&issuer, ";introspection_signed=yes").0;
    let signs_in = [&["--provider", &line][..], &with_store].concat();
    let validates = [&["--provider", &foreign][..], &with_store].concat();
    let is_told = ["--provider", &signed];
    let unused = json!({"keys": [TestKey::secp256k1("curve").jwk()]});
    for arguments in [&signs_in[..], &validates, &is_told] {
        server.set_keys(key_set(&[good.jwk()]));
        let said = said_of_keys(arguments);
        let verifies =
            |(status, message): &(String, String)| status == "ok" && message.contains("they verify ID tokens");
        assert!(said.iter().any(verifies), "{said:?}");
        for (name, answer, words) in [
            ("unusable", Answer::Json(unused.clone()), "no usable signature key"),
            ("none", Answer::NoKeys, "no usable signature key"),
            ("not there", Answer::Status(404), "HTTP status 404"),
            ("a web page", Answer::Html, "not a JSON Web Key Set"),
        ] {
            server.set(JWKS, answer);
            let said = said_of_keys(arguments);
            let warned = said.iter().find(|(_, message)| message.contains("ID tokens and signed answers"));
            let Some((status, message)) = warned else { panic!("{name}: {said:?}") };
            assert!(status == "warning" && message.contains(words), "{name}: {said:?}");
            let text = run(&[&["check-config", "--no-probe"], arguments].concat()).out;
            assert!(!text.contains("Everything is as it should be"), "{name}: {text}");
        }
    }
    // Nothing depends on them.
    assert_eq!(said_of_keys(&["--provider", &line]), []);
}

/// The keys may be nowhere, or fit nothing that the proxy accepts.
#[test]
fn keys_for_id_tokens_and_signed_answers_must_be_found_and_fit() {
    let server = scripted(&TestKey::p256("good"));
    let issuer = server.issuer();
    let warned = |line: &str, words: &str| {
        let [store, store_key] = opaque(&issuer, "").1;
        let said = said_of_keys(&["--provider", line, "--set", &store, "--set", &store_key]);
        let found = |(status, message): &(String, String)| {
            status == "warning" && message.contains(words) && message.contains("ID tokens and signed answers")
        };
        assert!(said.iter().any(found), "{words}: {said:?}");
    };
    let token_endpoint = format!(";token_endpoint={issuer}/token");
    let usual = opaque(&issuer, &token_endpoint).0;
    warned(&opaque(&issuer, ";algorithms=RS256").0, "algorithms accepts RS256, but the server's keys are for ES256");
    let name = usual.replace(&format!("issuer={issuer};"), &format!("issuer=corp;authz_server={issuer};"));
    warned(&name, "nothing says where the server's keys are");
    let mut metadata = discovery(&issuer);
    metadata.as_object_mut().expect("members").remove("jwks_uri");
    server.set(OPENID_CONFIGURATION, Answer::Json(metadata));
    warned(&usual, "the metadata has no jwks_uri");
    server.set(OPENID_CONFIGURATION, Answer::Json(discovery(&format!("{issuer}/"))));
    warned(&usual, "the final slash counts");
    // Keys of the operator's own fit no better.
    let directory = Directory::new("key-purpose");
    let file = directory.write("keys.json", key_set(&[TestKey::p256("own").jwk()]).to_string());
    let own = format!("{token_endpoint};algorithms=RS256;jwks_file={}", file.display());
    warned(&opaque(&issuer, &own).0, "algorithms accepts RS256");
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
    assert!(text.contains("keys left out from here on: 2 ("), "{text}");
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
