// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tokens that are bound to a key (`cnf`, RFC 7800): a stolen one is of no use. Only a client certificate can be checked
//! here (RFC 8705).

use crate::site::{ALICE, Site, claims};
use crate::support::certificates::Authority;
use crate::support::token::TestKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sipoauth::worker::result::CheckResult;
use sipoauth::worker::{Handling, Worker};
use sipoauth_core::check::Request;
use sipoauth_core::check::peer_certificate::PeerCertificate;
use sipoauth_core::reason::Reason;
use std::path::Path;
use std::process::Command;

/// The thumbprint as `openssl` finds it, which is not ours.
pub fn thumbprint(certificate: &Path) -> String {
    let der = Command::new("openssl").args(["x509", "-outform", "DER", "-in"]).arg(certificate).output();
    URL_SAFE_NO_PAD.encode(Sha256::digest(der.expect("openssl runs").stdout))
}

fn bound_to(certificate: &Path) -> Value {
    json!({ "cnf": { "x5t#S256": thumbprint(certificate) } })
}

/// Sends it over this transport, from a client that has shown this certificate.
pub fn send(
    worker: &mut Worker,
    token: &str,
    transport: &str,
    certificate: Option<&Path>,
    handling: &Handling<'_>,
) -> CheckResult {
    let header = format!("Bearer {token}");
    let shown = || certificate.map(|file| std::fs::read(file).expect("readable"));
    let request = Request {
        method: "REGISTER",
        from: ALICE,
        to: ALICE,
        realm: "example.test",
        credentials: &[&header],
        transport,
        certificate: PeerCertificate::new(&shown),
        ..Request::default()
    };
    worker.check(&request, handling)
}

fn reason(site: &mut Site, token: &str, transport: &str, certificate: Option<&Path>) -> Reason {
    send(&mut site.worker, token, transport, certificate, &Handling::default()).answer.reason()
}

#[test]
fn a_token_bound_to_a_certificate_counts_only_beside_it() {
    let (key, authority) = (TestKey::p256("k"), Authority::new());
    let (alices, mallorys) = (authority.client("alice").certificate, authority.client("mallory").certificate);
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let token = key.token("ES256", &claims(&bound_to(&alices)));
    // Before and after it is remembered.
    for round in 0..3 {
        for (transport, certificate, expected) in [
            ("tls", None, Reason::TokenBound),
            ("tls", Some(&*mallorys), Reason::TokenBound),
            ("tls", Some(&*alices), Reason::Ok),
            ("wss", Some(&*alices), Reason::Ok),
            ("wss", Some(&*mallorys), Reason::TokenBound),
            ("tcp", Some(&*alices), Reason::TokenBound),
            ("udp", Some(&*alices), Reason::TokenBound),
            ("ws", Some(&*alices), Reason::TokenBound),
            ("", Some(&*alices), Reason::TokenBound),
        ] {
            assert_eq!(reason(&mut site, &token, transport, certificate), expected, "{round}: {transport}");
        }
    }
    // A bare token says nothing of a connection.
    assert_eq!(site.token(&token), Reason::TokenBound);
    let lines = site.log.text();
    assert!(lines.contains("token_bound") && lines.contains("unproved_key=x5t#S256"), "{lines}");
}

#[test]
fn every_other_key_is_refused_and_named() {
    let (key, authority) = (TestKey::p256("k"), Authority::new());
    let alices = authority.client("alice").certificate;
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let both = json!({ "x5t#S256": thumbprint(&alices), "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" });
    for (cnf, expected, name) in [
        (json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }), Reason::TokenBound, "jkt"),
        (json!({ "jwk": key.jwk() }), Reason::TokenBound, "jwk"),
        (json!({ "kid": "k" }), Reason::TokenBound, "kid"),
        (json!({ "x5t": "abc" }), Reason::TokenBound, "x5t"),
        (json!({ "osc": {} }), Reason::TokenBound, "osc"),
        (json!({}), Reason::TokenBound, "nothing known"),
        (both, Reason::TokenBound, "jkt"),
        (json!({ "x5t#S256": 7 }), Reason::ClaimMalformed, ""),
        (json!({ "x5t#S256": "abc" }), Reason::ClaimMalformed, ""),
        (json!("abc"), Reason::ClaimMalformed, ""),
        (json!([]), Reason::ClaimMalformed, ""),
    ] {
        let token = key.token("ES256", &claims(&json!({ "cnf": cnf })));
        let verdict = send(&mut site.worker, &token, "tls", Some(&alices), &Handling::default());
        assert_eq!(verdict.answer.reason(), expected, "{cnf}");
        assert!(verdict.answer.unproved_key.as_deref().unwrap_or_default().contains(name), "{cnf}");
        // A refusal is never remembered as an acceptance.
        assert_eq!(reason(&mut site, &token, "tls", Some(&alices)), expected, "{cnf}");
    }
    let mut absent = claims(&json!({}));
    absent["cnf"] = Value::Null;
    let null = key.token("ES256", &absent);
    assert_eq!(reason(&mut site, &null, "udp", None), Reason::Ok);
}

#[test]
fn an_operator_may_ignore_keys() {
    let (key, authority) = (TestKey::p256("k"), Authority::new());
    let token = key.token("ES256", &claims(&bound_to(&authority.client("alice").certificate)));
    let mut site = Site::new(&[key.jwk()], &json!({ "cnf": "ignore" }));
    for _ in 0..3 {
        assert_eq!(reason(&mut site, &token, "udp", None), Reason::Ok);
    }
    // What was accepted so is refused as soon as the setting is taken back.
    site.reload(None, &json!({}));
    assert_eq!(reason(&mut site, &token, "udp", None), Reason::TokenBound);
    let sentence = Site::refused(&json!({ "cnf": "maybe", "secret": "0123456789abcdef0123456789abcdef" }));
    assert!(sentence.contains("cnf: 'maybe' is not possible, write check or ignore"), "{sentence}");
}

#[test]
fn a_bound_connection_is_judged_by_its_certificate_each_time() {
    let (key, authority) = (TestKey::p256("k"), Authority::new());
    let (alices, mallorys) = (authority.client("alice").certificate, authority.client("mallory").certificate);
    let mut site = Site::with_globals(&[key.jwk()], &json!({}), &json!({ "connection_auth": true, "users": 64 }));
    let header = format!("Bearer {}", key.token("ES256", &claims(&bound_to(&alices))));
    let mut ask = |credentials: &[&str], certificate: &Path| {
        let shown = || Some(std::fs::read(certificate).expect("readable"));
        let request = Request {
            method: "INVITE",
            from: ALICE,
            to: "sip:bob@example.test",
            realm: "example.test",
            credentials,
            transport: "tls",
            connection: 7,
            source: ("192.0.2.1", 40_000),
            certificate: PeerCertificate::new(&shown),
            ..Request::default()
        };
        site.worker.check(&request, &Handling::default()).answer.reason()
    };
    assert_eq!(ask(&[], &alices), Reason::NoCredentials);
    assert_eq!(ask(&[&header], &alices), Reason::Ok);
    assert_eq!(ask(&[], &alices), Reason::Ok);
    assert_eq!(ask(&[], &mallorys), Reason::TokenBound);
}
