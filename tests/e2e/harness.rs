// SPDX-License-Identifier: MIT OR Apache-2.0

//! The test kit tries itself: its servers, its keys, its search for leaks.

use crate::support::authorization_server::{AuthorizationServer, Options, TokenRequest};
use crate::support::certificates::Authority;
use crate::support::leak::{Secrets, assert_no_secret, find_secret};
use crate::support::scripted_server::{self, Answer, JWKS, OPENID_CONFIGURATION, ScriptedServer};
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};
use crate::support::{http, patience, process};
use serde_json::json;
use std::time::Duration;

fn key_ids(issuer: &str) -> Vec<String> {
    let (_, body) = http::request("GET", &format!("{issuer}/jwks")).expect("the key set");
    let jwks: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let keys = jwks["keys"].as_array().expect("a list").iter();
    keys.filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect()
}

#[test]
fn authorization_server_issues_counts_and_rotates() {
    let server = AuthorizationServer::start();
    let issued = server.token("bob", "es256");
    let claims = token::unverified_claims(&issued);
    assert_eq!(claims["iss"], server.issuer());
    assert_eq!(claims["aud"], AuthorizationServer::resource("es256"));
    assert_eq!(claims["sip"], "sip:bob@example.test");
    assert_eq!(token::unverified_header(&issued)["alg"], "ES256");

    let expired = server.issue(&TokenRequest { ttl: -5, claims: json!({"x": 1}), ..Default::default() });
    let claims = token::unverified_claims(&expired);
    assert!(claims["exp"].as_i64().expect("a number") < token::now());
    assert_eq!(claims["x"], 1);
    assert!(!server.token("bob", "opaque").contains('.'));

    let logged_in = server.login("alice", "rs256");
    let claims = token::unverified_claims(logged_in["access_token"].as_str().expect("a token"));
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["scope"], "openid sip");
    assert!(server.login_for_code("alice", "rs256")["code"].is_string());

    server.clear();
    let before = key_ids(server.issuer());
    assert_eq!(server.stats()["/jwks"], 1);
    assert_eq!(server.rotate(1).len(), 6);
    assert!(key_ids(server.issuer()).contains(&before[0]));
    assert_eq!(server.rotate(0).len(), 3);
    assert!(!key_ids(server.issuer()).contains(&before[0]));

    server.fault("/jwks", &[("status", "503"), ("times", "1")]);
    let fetch = || http::request("GET", &format!("{}/jwks", server.issuer())).expect("an answer").0;
    assert_eq!((fetch(), fetch()), (503, 200));
}

#[test]
fn authorization_server_stops_and_comes_back() {
    let options = Options { keep_keys: true, issuer_path: "/realms/sip".to_owned(), ..Default::default() };
    let mut server = AuthorizationServer::start_with(options);
    let issuer = server.issuer().to_owned();
    let before = key_ids(&issuer);
    server.stop();
    assert!(http::request("GET", &issuer).is_err());
    server.restart();
    assert_eq!(key_ids(&issuer), before);
    let logged_in = server.login("alice", "eddsa");
    let claims = token::unverified_claims(logged_in["access_token"].as_str().expect("a token"));
    assert_eq!(claims["iss"], issuer);
}

#[test]
fn authorization_server_speaks_tls() {
    let authority = Authority::new();
    for bad in [authority.wrong_name(), authority.expired(), authority.self_signed()] {
        assert!(bad.certificate.exists() && bad.key.exists());
    }
    let server = AuthorizationServer::start_with(Options {
        tls: Some(authority.good()),
        ca_file: Some(authority.ca_file().to_owned()),
        ..Default::default()
    });
    assert!(server.issuer().starts_with("https://"));
    assert!(server.login("alice", "rs256")["access_token"].is_string());
}

#[test]
fn scripted_server_misbehaves_as_told() {
    let key = TestKey::p256("one");
    let keys = scripted_server::key_set(&[key.jwk()]);
    let mut server = ScriptedServer::start(keys.clone());
    let get = |server: &ScriptedServer| http::request("GET", &server.url(JWKS));
    assert!(http::request("GET", &server.url(OPENID_CONFIGURATION)).expect("an answer").1.contains("jwks_uri"));
    assert!(get(&server).expect("an answer").1.contains("P-256"));
    for (answer, status) in [
        (Answer::Status(500), 500),
        (Answer::Redirect("http://127.0.0.1:9/".to_owned()), 302),
        (Answer::Html, 200),
        (Answer::Huge(100_000), 200),
        (Answer::SlowDrip(json!({}), Duration::from_millis(5)), 200),
    ] {
        server.set(JWKS, answer);
        assert_eq!(get(&server).expect("an answer").0, status);
    }
    for answer in [Answer::Reset, Answer::Garbage] {
        server.set(JWKS, answer);
        assert!(get(&server).is_err());
    }
    assert_eq!(server.count(JWKS), 8);
    server.stop();
    assert!(get(&server).is_err());
    server.set_keys(keys);
    server.restart();
    assert!(get(&server).is_ok());
}

#[test]
fn test_keys_sign_what_their_public_keys_verify() {
    use aws_lc_rs::signature::{self as s, UnparsedPublicKey, VerificationAlgorithm};
    use base64::Engine as _;
    let claims = token::claims("http://127.0.0.1", "aud", "alice", 300);
    let octets = |text: &serde_json::Value| {
        let text = text.as_str().expect("a text");
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).expect("base64url")
    };
    let check = |alg: &'static dyn VerificationAlgorithm, public: &[u8], token: &str| {
        let (input, signature) = token.rsplit_once('.').expect("a compact JWS");
        UnparsedPublicKey::new(alg, public).verify(input.as_bytes(), &octets(&json!(signature))).is_ok()
    };

    for (key, alg, verifier) in [
        (TestKey::p256("a"), "ES256", &s::ECDSA_P256_SHA256_FIXED),
        (TestKey::p384("b"), "ES384", &s::ECDSA_P384_SHA384_FIXED),
        (TestKey::p521("c"), "ES512", &s::ECDSA_P521_SHA512_FIXED),
    ] {
        let jwk = key.jwk();
        let point = [vec![4], octets(&jwk["x"]), octets(&jwk["y"])].concat();
        assert!(check(verifier, &point, &key.token(alg, &claims)), "{alg}");
    }
    let key = TestKey::ed25519("d");
    assert!(check(&s::ED25519, &octets(&key.jwk()["x"]), &key.token("EdDSA", &claims)));

    let key = TestKey::rsa("e");
    let jwk = key.jwk();
    let (n, e) = (octets(&jwk["n"]), octets(&jwk["e"]));
    assert_eq!((n.len(), e.len()), (256, 3));
    let public = s::RsaPublicKeyComponents { n, e };
    let token = key.token("PS256", &claims);
    let (input, signature) = token.rsplit_once('.').expect("a compact JWS");
    public
        .verify(&s::RSA_PSS_2048_8192_SHA256, input.as_bytes(), &octets(&json!(signature)))
        .expect("our own signature");
    assert_ne!(jwk["n"], TestKey::other_rsa("e").jwk()["n"]);
    assert!(token::unsigned(&json!({"alg": "none"}), &claims).ends_with('.'));
    assert_eq!(TestKey::hmac("f", b"secret").sign("HS256", b"x").len(), 32);
}

#[test]
fn leaks_are_found_even_cut_off() {
    let token = TestKey::p256("leak").token("ES256", &token::claims("i", "a", "alice", 60));
    let header = token.split('.').next().expect("a header");
    assert_no_secret(&format!("kid and header are fine: {header}."), &[&token]);
    let leaks = |text: &str| find_secret(text, &[&token]).is_some();
    assert!(leaks(&format!("whole {token}")));
    assert!(leaks(&format!("cut {}", &token[..header.len() + 20])));
    assert!(leaks(&token[token.len() - 20..]));
    let secrets = Secrets::new();
    secrets.keep("proxy-secret");
    secrets.assert_absent("nothing", "a line without it");
}

#[test]
fn what_a_process_has_printed_is_there_when_it_answers() {
    let place = Directory::new("printed");
    let mut command = process::command("sh");
    let script = r#"while read -r n; do printf "half $n " >&2; echo "whole $n" >&2; : > "$0/$n"; done"#;
    command.args(["-c", script]).arg(place.path());
    let mut printer = process::Process::start("printer", command, place.path());
    for n in 0..300 {
        printer.send_line(&n.to_string());
        let answer = place.file(&n.to_string());
        assert!(patience::until(patience::PATIENCE, || answer.exists()));
        assert!(printer.output().ends_with(&format!("half {n} whole {n}\n")), "{}", printer.tail());
    }
    assert!(!printer.output().contains('\x01'));
    printer.stop();
    assert_eq!(printer.settled_output().lines().count(), 300);
}

#[test]
fn children_end_with_their_guard() {
    let server = AuthorizationServer::start();
    let issuer = server.issuer().to_owned();
    drop(server);
    assert!(http::request("GET", &issuer).is_err());
    let mut sleeper = process::Process::start(
        "sleeper",
        {
            let mut command = process::command("sleep");
            command.arg("60");
            command
        },
        &std::env::temp_dir(),
    );
    assert!(!process::crashed(sleeper.stop()));
}
