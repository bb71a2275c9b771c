// SPDX-License-Identifier: MIT OR Apache-2.0

//! Encrypted tokens: requirement B5.

use crate::plant::{Plant, key_set};
use crate::site::{ALICE, Site, claims, merged};
use crate::support::encryption::{ALGORITHMS, CURVES, ENCRYPTIONS, Recipient};
use crate::support::scripted_server::ScriptedServer;
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, encode, now};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sipoauth::worker::Handling;
use sipoauth_core::check::Request;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;
use sipoauth_core::reason::Reason;
use std::process::Command;

/// Every algorithm, SHA-1 too.
pub fn all() -> Value {
    json!({ "decryption_algorithms": ALGORITHMS })
}

/// A site for this recipient, its signer, and a good signed token.
pub fn bench(recipient: &Recipient, globals: &Value) -> (Site, TestKey, String) {
    let key = TestKey::p256("k");
    // Most tests forge more tokens than anybody may.
    let globals = merged(&json!({ "source_limit": 65535 }), globals);
    let site = Site::decrypting(&[key.jwk()], &[&recipient.private], &json!({}), &globals);
    let jws = key.token("ES256", &claims(&json!({})));
    (site, key, jws)
}

/// The five parts, decoded.
pub fn parts(token: &str) -> Vec<Vec<u8>> {
    token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url")).collect()
}

pub fn join(parts: &[Vec<u8>]) -> String {
    parts.iter().map(encode).collect::<Vec<_>>().join(".")
}

#[test]
fn jwe_every_algorithm_encryption_and_curve() {
    for alg in ALGORITHMS {
        let curves = if alg.starts_with("ECDH") { &CURVES[..] } else { &CURVES[..1] };
        for curve in curves {
            for enc in ENCRYPTIONS {
                let recipient = Recipient::for_algorithm(alg, enc, curve);
                let (mut site, _, jws) = bench(&recipient, &all());
                let token = recipient.encrypt(alg, enc, &jws);
                assert_eq!(site.token(&token), Reason::Ok, "{alg} {enc} {curve}");
                let header = json!({ "alg": alg, "enc": enc, "apu": "QWxpY2U", "apv": "Qm9i", "typ": "JWT" });
                let parties = recipient.encrypt_with(&header, jws.as_bytes());
                assert_eq!(site.token(&parties), Reason::Ok, "{alg} {enc} {curve}");
            }
        }
    }
}

#[test]
fn jwe_sha_1_only_where_it_is_configured() {
    let recipient = Recipient::rsa();
    let (mut usual, _, jws) = bench(&recipient, &json!({}));
    let token = recipient.encrypt("RSA-OAEP", "A256GCM", &jws);
    assert_eq!(usual.token(&token), Reason::AlgorithmNotAllowed);
    assert_eq!(usual.token(&recipient.encrypt("RSA-OAEP-256", "A256GCM", &jws)), Reason::Ok);
    let (mut only, key, _) = bench(&recipient, &json!({ "decryption_algorithms": "RSA-OAEP" }));
    let jws = key.token("ES256", &claims(&json!({})));
    assert_eq!(only.token(&recipient.encrypt("RSA-OAEP", "A256GCM", &jws)), Reason::Ok);
    assert_eq!(only.token(&recipient.encrypt("RSA-OAEP-256", "A256GCM", &jws)), Reason::AlgorithmNotAllowed);
}

#[test]
fn jwe_the_content_is_judged_by_every_rule() {
    let recipient = Recipient::curve("P-256");
    let (mut site, key, _) = bench(&recipient, &json!({}));
    let mut ask = |jws: &str| site.token(&recipient.encrypt("ECDH-ES", "A128GCM", jws));
    for (change, reason) in [
        (json!({}), Reason::Ok),
        (json!({ "iss": "https://mallory.test" }), Reason::IssuerUnknown),
        (json!({ "aud": "another" }), Reason::AudienceMismatch),
        (json!({ "exp": now() - 60 }), Reason::TokenExpired),
        (json!({ "exp": null }), Reason::ClaimMissing),
    ] {
        assert_eq!(ask(&key.token("ES256", &claims(&change))), reason, "{change}");
    }
    assert_eq!(ask(&TestKey::p256("k").token("ES256", &claims(&json!({})))), Reason::SignatureInvalid);
    assert_eq!(ask(&TestKey::p256("other").token("ES256", &claims(&json!({})))), Reason::KeyUnknown);
}

#[test]
fn jwe_keys_roll_over() {
    let (old, new) = (Recipient::other_rsa(), Recipient::rsa());
    let key = TestKey::p256("k");
    let jws = |n: i64| key.token("ES256", &claims(&json!({ "n": n })));
    let mut both = Site::decrypting(&[key.jwk()], &[&new.private, &old.private], &json!({}), &json!({}));
    for (n, recipient) in [&old, &new].into_iter().enumerate() {
        // Without a name every key is tried; the thumbprint names one, and any other name may be the server's own.
        assert_eq!(both.token(&recipient.encrypt("RSA-OAEP-256", "A128GCM", &jws(n as i64))), Reason::Ok);
    }
    let kids: Vec<String> =
        both.worker.placed().policy.decryption.keys().iter().map(|k| k.kid().expect("a name").to_owned()).collect();
    let named = |recipient: &Recipient, kid: &str| {
        let header = json!({ "alg": "RSA-OAEP-256", "enc": "A128GCM", "kid": kid });
        recipient.encrypt_with(&header, jws(1).as_bytes())
    };
    assert_eq!(both.token(&named(&new, &kids[0])), Reason::Ok);
    assert_eq!(both.token(&named(&old, &kids[1])), Reason::Ok);
    assert_eq!(both.token(&named(&old, &kids[0])), Reason::DecryptionFailed, "the name of another key");
    assert_eq!(both.token(&named(&old, "2026-01")), Reason::Ok, "a name of the server's own");
    let mut after = Site::decrypting(&[key.jwk()], &[&new.private], &json!({}), &json!({}));
    assert_eq!(after.token(&old.encrypt("RSA-OAEP-256", "A128GCM", &jws(3))), Reason::DecryptionFailed);
    assert_eq!(after.token(&new.encrypt("RSA-OAEP-256", "A128GCM", &jws(3))), Reason::Ok);
}

#[test]
fn jwe_a_kid_of_the_operators_means_that_key_only() {
    let (a, b) = (Recipient::secret("a", "A128GCM"), Recipient::secret("b", "A128GCM"));
    let curve = Recipient::curve("P-256");
    let key = TestKey::p256("k");
    let jws = key.token("ES256", &claims(&json!({})));
    let mut site = Site::decrypting(&[key.jwk()], &[&a.private, &b.private], &json!({}), &json!({}));
    let named = |recipient: &Recipient, kid: &str, enc: &str| {
        let header = json!({ "alg": "dir", "enc": enc, "kid": kid });
        recipient.encrypt_with(&header, jws.as_bytes())
    };
    assert_eq!(site.token(&named(&b, "b", "A128GCM")), Reason::Ok);
    assert_eq!(site.token(&named(&b, "a", "A128GCM")), Reason::DecryptionFailed);
    assert_eq!(site.token(&named(&b, "c", "A128GCM")), Reason::DecryptionKeyUnknown);
    let longer = Recipient::secret("b", "A256GCM");
    assert_eq!(site.token(&named(&longer, "b", "A256GCM")), Reason::KeyUnsuitable);
    assert_eq!(site.token(&curve.encrypt("ECDH-ES", "A128GCM", &jws)), Reason::DecryptionKeyUnknown);
    assert!(site.log.text().is_empty() || !site.log.text().contains(&jws));
}

#[test]
fn jwe_four_keys_are_tried_at_most() {
    let all: Vec<Recipient> = (0..16).map(|_| Recipient::curve("P-256")).collect();
    let key = TestKey::p256("k");
    let jws = key.token("ES256", &claims(&json!({})));
    let private: Vec<&str> = all.iter().map(|recipient| recipient.private.as_str()).collect();
    let mut site = Site::decrypting(&[key.jwk()], &private, &json!({}), &json!({}));
    for (n, recipient) in all.iter().enumerate() {
        let expected = if n < 4 { Reason::Ok } else { Reason::DecryptionFailed };
        assert_eq!(site.token(&recipient.encrypt("ECDH-ES", "A128GCM", &jws)), expected, "{n}");
    }
}

#[test]
fn jwe_a_cached_token_is_not_decrypted_again_and_judged_anew() {
    let recipient = Recipient::rsa();
    let (mut site, _, jws) = bench(&recipient, &json!({}));
    let token = recipient.encrypt("RSA-OAEP-256", "A256GCM", &jws);
    let first = site.token_at(&token, now());
    let second = site.token_at(&token, now());
    assert_eq!((first.answer.cached, second.answer.cached), (false, true));
    assert_eq!(second.answer.reason(), Reason::Ok);
    assert_eq!(site.token_at(&token, now() + 3600).answer.reason(), Reason::TokenExpired);
    // The same signed token, encrypted anew, is another token.
    let again = site.token_at(&recipient.encrypt("RSA-OAEP-256", "A256GCM", &jws), now());
    assert_eq!((again.answer.reason(), again.answer.cached), (Reason::Ok, false));
    let verified = |verdict: &sipoauth::worker::result::CheckResult| verdict.answer.token.clone().expect("verified");
    let (outer, other) = (verified(&first), verified(&again));
    assert_ne!(outer.fingerprint, other.fingerprint, "the fingerprint is the outer token's");
    assert_eq!((&*outer.token, &*outer.kid), (token.as_str(), "k"));
}

/// No process keeps what was inside for others: another worker decrypts it again when somebody asks for it.
#[test]
fn jwe_another_worker_accepts_it_at_a_glance_and_reads_what_is_inside_again() {
    let recipient = Recipient::curve("P-256");
    let servers = json!({ "application_servers": ["sip:tls.example.test;transport=tls"] });
    let (mut site, _, jws) = bench(&recipient, &servers);
    let header = format!("Bearer {}", recipient.encrypt("ECDH-ES", "A128GCM", &jws));
    assert_eq!(site.request("MESSAGE", &[&header]).answer.reason(), Reason::Ok);
    site.worker = sipoauth::worker::Worker::new(std::sync::Arc::clone(&site.context)).expect("a good configuration");
    let verdict = site.request("MESSAGE", &[&header]);
    assert!(verdict.glance.is_some() && verdict.answer.reason() == Reason::Ok);
    let token = site.worker.token_of(&verdict).expect("it can be read");
    assert_eq!(token.claims.issuer, "https://as.example.test");
    let inside = site.worker.token_for(&verdict, "sip:tls.example.test;transport=tls").expect("a protected server");
    assert_eq!(inside.as_str(), jws);
}

#[test]
fn jwe_who_must_encrypt() {
    let recipient = Recipient::curve("P-256");
    let key = TestKey::p256("k");
    let jws = key.token("ES256", &claims(&json!({})));
    let jwe = recipient.encrypt("ECDH-ES", "A128GCM", &jws);
    for (rule, unprotected, protected) in [
        ("allowed", Reason::Ok, Reason::Ok),
        ("required_without_tls", Reason::EncryptionRequired, Reason::Ok),
        ("required", Reason::EncryptionRequired, Reason::EncryptionRequired),
    ] {
        let provider = json!({ "encryption": rule });
        let mut site = Site::decrypting(&[key.jwk()], &[&recipient.private], &provider, &json!({}));
        // Twice: the second answer is from the cache, if the first was good.
        for transport in ["tls", "wss", "udp", "tcp", "ws", "", "tls", "wss"] {
            let expected = if ["tls", "wss"].contains(&transport) { protected } else { unprotected };
            for (token, expected) in [(&jws, expected), (&jwe, Reason::Ok)] {
                let header = format!("Bearer {token}");
                let request = Request {
                    method: "REGISTER",
                    from: ALICE,
                    to: ALICE,
                    realm: "example.test",
                    credentials: &[&header],
                    transport,
                    ..Request::default()
                };
                let verdict = site.worker.check(&request, &Handling::default());
                assert_eq!(verdict.answer.reason(), expected, "{rule} {transport}");
            }
        }
        // A bare token: nobody knows how it came.
        assert_eq!((site.token(&jws), site.token(&jwe)), (unprotected, Reason::Ok), "{rule}");
    }
    let needs = Site::refused(&json!({ "encryption": "required", "secret": "0123456789abcdef0123456789abcdef" }));
    assert!(needs.contains("encryption: needs 'decryption_key_files'"), "{needs}");
}

#[test]
fn jwe_an_unknown_signature_key_is_fetched() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(key_set(&[&old]));
    let recipient = Recipient::curve("X25519");
    let directory = Directory::new("encrypted");
    let file = directory.write("private.pem", &recipient.private);
    let mut plant = Plant::at(&server, &json!({ "decryption_key_files": file })).started();
    let encrypted = |key: &TestKey| recipient.encrypt("ECDH-ES", "A128GCM", &crate::plant::token(&server, key));
    assert_eq!(plant.reason(&encrypted(&old)), Reason::Ok);
    server.set_keys(key_set(&[&old, &new]));
    assert_eq!(plant.reason(&encrypted(&new)), Reason::Ok, "{}", plant.site.log.text());
}

#[test]
fn jwe_no_key_or_token_is_logged() {
    let recipient = Recipient::curve("P-256");
    let (mut site, key, jws) = bench(&recipient, &json!({}));
    let good = recipient.encrypt("ECDH-ES+A256KW", "A128GCM", &jws);
    let expired = key.token("ES256", &claims(&json!({ "exp": now() - 600 })));
    let bad = recipient.encrypt("ECDH-ES+A256KW", "A128GCM", &expired);
    let mut broken = parts(&good);
    broken[3][0] ^= 1;
    for token in [&good, &bad, &join(&broken)] {
        site.request("REGISTER", &[&format!("Bearer {token}")]);
    }
    let log = site.log.text();
    assert!(log.contains("token_expired") && log.contains("decryption_failed"), "{log}");
    let pem = recipient.private.lines().nth(1).expect("base64");
    let debug = format!("{:?}", site.worker.placed().policy);
    for secret in [&good, &jws, &expired, &bad, pem] {
        assert!(!log.contains(&secret[..40]) && !debug.contains(&secret[..40]), "{log}");
    }
    let policy_keys = format!("{:?}", site.worker.placed().policy.decryption);
    assert!(policy_keys.contains("EC") && !policy_keys.contains("public"), "{policy_keys}");
}

#[test]
fn jwe_unfit_rsa_keys_are_refused_at_configuration() {
    for (bits, words) in [(1024, "RSA of 2048 to 4096 bits"), (4160, "has 4160 bits: an RSA key of more than 4096")] {
        let directory = Directory::new("unfit");
        let file = directory.file("private.pem");
        let size = format!("rsa_keygen_bits:{bits}");
        let mut command = Command::new("openssl");
        command.args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", &size, "-out"]).arg(&file);
        assert!(command.status().expect("openssl is installed").success());
        let mut source = Source::default();
        source.set("decryption_key_files", file.to_str().expect("our paths are UTF-8")).expect("a path");
        source.add_provider("name=as;issuer=https://as.example.test;audience=sip;aor={sip}").expect("a good line");
        let error = Policy::new(&source.load().expect("readable")).expect_err("unfit").0;
        assert!(error.contains(words) && error.contains("private.pem"), "{error}");
    }
}

#[test]
fn application_servers_get_the_signed_token_and_only_over_tls() {
    use sipoauth::worker::grants::Withheld;
    let recipient = Recipient::curve("P-256");
    let servers = ["as.example.test", "sip:tls.example.test;transport=tls", "sips:sips.example.test", "127.0.0.1"];
    let (mut site, _, jws) = bench(&recipient, &json!({ "application_servers": servers }));
    let jwe = recipient.encrypt("ECDH-ES+A256KW", "A256GCM", &jws);
    // The second time from the cache.
    for cached in [false, true] {
        let verdict = site.request("MESSAGE", &[&format!("Bearer {jwe}")]);
        assert_eq!((verdict.answer.reason(), verdict.answer.cached), (Reason::Ok, cached));
        for uri in
            ["sip:tls.example.test;transport=tls", "sips:sips.example.test", "sip:sips.example.test:5061;transport=tls"]
        {
            assert_eq!(site.worker.token_for(&verdict, uri).expect(uri).as_str(), jws, "{uri}");
        }
        for uri in ["sip:as.example.test", "sip:as.example.test;transport=tls", "sip:127.0.0.1"] {
            assert_eq!(site.worker.token_for(&verdict, uri), Err(Withheld::Unprotected), "{uri}");
        }
        let shown = format!("{verdict:?}");
        assert!(!shown.contains(&jws) && !shown.contains(&jwe), "{shown}");
    }
    let log = site.log.text();
    assert_eq!(log.matches("is not sent to sip:as.example.test").count(), 1, "once: {log}");
    assert!(!log.contains(&jws) && log.contains("'as.example.test' gets users' tokens without protection"), "{log}");
    assert!(!log.contains("'127.0.0.1' gets") && !log.contains("tls.example.test' gets"), "{log}");
    // What was never encrypted goes where the list says.
    let verdict = site.request("MESSAGE", &[&format!("Bearer {jws}")]);
    assert_eq!(site.worker.token_for(&verdict, "sip:as.example.test").expect("the token").as_str(), jws);
}
