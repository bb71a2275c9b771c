// SPDX-License-Identifier: MIT OR Apache-2.0

//! Key fetches from servers that are broken, hostile or down.

use crate::plant::{Plant, key_set, old_token, token};
use crate::site::merged;
use crate::support::scripted_server::{Answer, JWKS, OPENID_CONFIGURATION, ScriptedServer, discovery};
use crate::support::token::TestKey;
use serde_json::{Value, json};
use sipoauth_core::check::key_wait::SlotState;
use sipoauth_core::reason::Reason;
use std::time::{Duration, Instant};

/// Answers to a request for keys that bring none.
fn bad_answers(keys: &Value) -> Vec<Answer> {
    let plain = |body: &str| Answer::Full(200, vec![], body.as_bytes().to_vec());
    vec![
        Answer::Html,
        Answer::Empty,
        Answer::NoKeys,
        Answer::Garbage,
        Answer::Truncated(keys.clone()),
        Answer::Reset,
        Answer::Status(500),
        Answer::Status(404),
        Answer::Json(json!({ "foo": 1 })),
        Answer::Json(json!({ "keys": {} })),
        Answer::Json(json!({ "keys": [{ "kty": "RSA", "x5c": [] }] })),
        Answer::Json(json!([])),
        Answer::Json(json!(null)),
        plain("{\"keys\":[]"),
        plain("{\"keys\":[],\"keys\":[]}"),
        plain(&"[".repeat(100_000)),
        Answer::Json(json!({ "keys": vec![json!({ "kty": "EC" }); 1000] })),
    ]
}

fn recovered(state: &SlotState) -> bool {
    state.fetched_at != 0 && state.failures == 0
}

#[test]
fn flexisip_an_odd_answer_does_not_wedge_key_fetching() {
    let key = TestKey::p256("k");
    let keys = key_set(&[&key]);
    for answer in bad_answers(&keys) {
        let server = ScriptedServer::start(keys.clone());
        server.set(JWKS, answer.clone());
        let mut plant = Plant::at(&server, &json!({})).started();
        let verdict = plant.ask(&token(&server, &key));
        assert_eq!((verdict.answer.reason(), verdict.status), (Reason::ProviderUnreachable, 503), "{answer:?}");
        assert!(verdict.retry_after > 0, "{answer:?}");
        server.set_keys(keys.clone());
        plant.until("the keys are fetched after all", recovered);
        assert_eq!(plant.reason(&token(&server, &key)), Reason::Ok, "{answer:?}");
    }
}

#[test]
fn flexisip_an_odd_answer_never_replaces_good_keys() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let keys = key_set(&[&old]);
    for answer in bad_answers(&keys) {
        let server = ScriptedServer::start(keys.clone());
        let mut plant = Plant::at(&server, &json!({})).started();
        assert_eq!(plant.reason(&token(&server, &old)), Reason::Ok);
        server.set(JWKS, answer.clone());
        let verdict = plant.ask(&token(&server, &new));
        assert_eq!((verdict.answer.reason(), verdict.status), (Reason::ProviderUnreachable, 503), "{answer:?}");
        assert_eq!(plant.reason(&token(&server, &old)), Reason::Ok, "{answer:?}");
        server.set_keys(key_set(&[&new]));
        plant.until("the keys are fetched after all", recovered);
        assert_eq!(plant.reason(&token(&server, &new)), Reason::Ok, "{answer:?}");
        assert_eq!(plant.reason(&old_token(&server, &old)), Reason::KeyUnknown, "{answer:?}");
    }
}

#[test]
fn flexisip_an_issuer_mismatch_in_discovery_is_an_error() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    for issuer in ["https://evil.test".to_owned(), format!("{}/", server.issuer()), String::new()] {
        let document = merged(&discovery(&server.issuer()), &json!({ "issuer": issuer }));
        server.set(OPENID_CONFIGURATION, Answer::Json(document));
        let mut plant = Plant::at(&server, &json!({})).started();
        assert_eq!(plant.reason(&token(&server, &key)), Reason::ProviderUnreachable, "{issuer}");
        assert!(plant.site.log.text().contains("the server calls itself issuer"), "{}", plant.site.log.text());
    }
    assert_eq!(server.count(JWKS), 0);
}

#[test]
fn discovery_cannot_lead_to_an_unprotected_address() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    for uri in ["http://as.example.test/jwks", "ftp://127.0.0.1/jwks", "file:///etc/passwd", "", "/jwks"] {
        let document = merged(&discovery(&server.issuer()), &json!({ "jwks_uri": uri }));
        server.set(OPENID_CONFIGURATION, Answer::Json(document));
        let mut plant = Plant::at(&server, &json!({})).started();
        assert_eq!(plant.reason(&token(&server, &key)), Reason::ProviderUnreachable, "{uri}");
    }
}

/// A server behind caches publishes its new key a moment after its first token.
#[test]
fn a_key_set_that_lags_behind_the_tokens_refuses_nobody() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(key_set(&[&old]));
    let mut plant = Plant::at(&server, &json!({ "key_cooldown": 4 })).started();
    let start = Instant::now();
    let mut asked = 0;
    let mut ask = |plant: &mut Plant| {
        asked += 1;
        plant.ask_from(&format!("192.0.2.{asked}"), &token(&server, &new))
    };
    while start.elapsed() < Duration::from_secs(2) {
        let verdict = ask(&mut plant);
        assert_eq!((verdict.answer.reason(), verdict.status), (Reason::KeyRefreshLimited, 503));
        assert!((1..=4).contains(&verdict.retry_after), "{}", verdict.retry_after);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.count(JWKS), 2, "one fetch in this time");
    server.set_keys(key_set(&[&old, &new]));
    while ask(&mut plant).answer.reason() != Reason::Ok {
        assert!(start.elapsed() < Duration::from_secs(8), "{}", plant.site.log.text());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.count(JWKS), 3);
    assert_eq!(plant.reason(&old_token(&server, &TestKey::p256("nobody"))), Reason::KeyUnknown);
}

/// Whoever has accepted a connection before the outage ended never answers on it.
#[test]
fn a_server_that_hangs_is_found_within_five_seconds_of_its_return() {
    let key = TestKey::p256("k");
    for hung in [OPENID_CONFIGURATION, JWKS] {
        let server = ScriptedServer::start(key_set(&[&key]));
        let well = match hung {
            JWKS => Answer::Json(key_set(&[&key])),
            _ => Answer::Json(discovery(&server.issuer())),
        };
        server.set(hung, Answer::Hang);
        let mut plant = Plant::at(&server, &json!({ "http_timeout": 20 }));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            plant.step();
        }
        assert!((2..=3).contains(&server.count(hung)), "{} in five seconds", server.count(hung));
        server.set(hung, well);
        let back = Instant::now();
        plant.until("the server is found", recovered);
        assert!(back.elapsed() < Duration::from_secs(5), "{hung}: {:?}", back.elapsed());
        assert_eq!(plant.reason(&token(&server, &key)), Reason::Ok);
        assert_eq!(server.count(JWKS), if hung == JWKS { server.count(OPENID_CONFIGURATION) } else { 1 });
    }
}

#[test]
fn a_slow_server_is_found_after_an_outage() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    server.set(JWKS, Answer::Status(500));
    let mut plant = Plant::at(&server, &json!({})).started();
    server.set(JWKS, Answer::Late(key_set(&[&key]), Duration::from_secs(4)));
    let start = Instant::now();
    plant.until("the keys are fetched after all", recovered);
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
}

#[test]
fn any_status_that_brings_a_whole_document_will_do() {
    let key = TestKey::p256("k");
    let keys = key_set(&[&key]).to_string().into_bytes();
    for (status, is_whole) in [(200, true), (201, true), (203, true), (206, false), (204, false)] {
        let server = ScriptedServer::start(key_set(&[&key]));
        let metadata = discovery(&server.issuer()).to_string().into_bytes();
        server.set(JWKS, Answer::Full(status, vec![], keys.clone()));
        if status != 204 {
            server.set(OPENID_CONFIGURATION, Answer::Full(status, vec![], metadata));
        }
        let mut plant = Plant::at(&server, &json!({})).started();
        let reason = if is_whole { Reason::Ok } else { Reason::ProviderUnreachable };
        assert_eq!(plant.reason(&token(&server, &key)), reason, "{status}: {}", plant.site.log.text());
    }
}

#[test]
fn server_down_is_503_and_a_bad_token_is_401() {
    let (key, new, stranger) = (TestKey::p256("k"), TestKey::p256("new"), TestKey::p256("k"));
    let mut server = ScriptedServer::start(key_set(&[&key]));
    let mut plant = Plant::at(&server, &json!({})).started();
    server.stop();
    let verdict = plant.ask(&token(&server, &new));
    assert_eq!((verdict.answer.reason(), verdict.status), (Reason::ProviderUnreachable, 503));
    assert!(verdict.retry_after > 0);
    assert_eq!(verdict.answer.reason().oauth_error(), "");
    // The server may have another key under this name now.
    assert_eq!(plant.reason(&token(&server, &stranger)), Reason::ProviderUnreachable);
    let late = crate::support::token::claims(&server.issuer(), "sip", "alice", -60);
    let verdict = plant.ask(&stranger.token("ES256", &late));
    assert_eq!((verdict.answer.reason(), verdict.status), (Reason::SignatureInvalid, 401));
    assert_eq!(verdict.answer.reason().oauth_error(), "invalid_token");
    assert_eq!(plant.reason(&token(&server, &key)), Reason::Ok);
    server.restart();
    server.set_keys(key_set(&[&key, &new]));
    plant.until("the server is back", recovered);
    assert_eq!(plant.reason(&token(&server, &new)), Reason::Ok);
}

#[test]
fn a_server_that_is_down_at_the_start_does_not_stop_it() {
    let key = TestKey::p256("k");
    let mut server = ScriptedServer::start(key_set(&[&key]));
    server.stop();
    let mut plant = Plant::at(&server, &json!({})).started();
    assert_eq!(plant.ask(&token(&server, &key)).status, 503);
    assert!(plant.site.log.text().contains("keys cannot be fetched (1 in a row)"));
    server.restart();
    plant.until("the server is there", recovered);
    assert_eq!(plant.ask(&token(&server, &key)).status, 200);
}

#[test]
fn redirects_are_not_followed() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    server.set("/elsewhere", Answer::Json(key_set(&[&key])));
    let redirect = Answer::Redirect(server.url("/elsewhere"));
    for path in [JWKS, OPENID_CONFIGURATION] {
        server.set(path, redirect.clone());
        let mut plant = Plant::at(&server, &json!({})).started();
        assert_eq!(plant.reason(&token(&server, &key)), Reason::ProviderUnreachable, "{path}");
        assert!(plant.site.log.text().contains("redirects are not followed"), "{}", plant.site.log.text());
    }
    assert_eq!(server.count("/elsewhere"), 0);
}

#[test]
fn a_response_of_more_than_1_mib_is_refused() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    for path in [JWKS, OPENID_CONFIGURATION] {
        let server = ScriptedServer::start(key_set(&[&key]));
        server.set(path, Answer::Huge(1024 * 1024));
        let mut plant = Plant::at(&server, &json!({})).started();
        assert_eq!(plant.reason(&token(&server, &key)), Reason::ProviderUnreachable, "{path}");
        assert!(plant.site.log.text().contains("larger than 1 MiB"), "{}", plant.site.log.text());
    }
    let mut padded = key_set(&[&key]);
    padded["padding"] = json!(" ".repeat(1024 * 1024 - 1000));
    server.set_keys(padded);
    let mut plant = Plant::at(&server, &json!({})).started();
    assert_eq!(plant.reason(&token(&server, &key)), Reason::Ok, "just below the limit");
}

#[test]
fn a_server_that_hangs_or_drips_costs_no_more_than_the_timeout() {
    let key = TestKey::p256("k");
    let keys = key_set(&[&key]);
    for answer in [Answer::Hang, Answer::SlowDrip(keys.clone(), Duration::from_millis(500))] {
        let server = ScriptedServer::start(keys.clone());
        server.set(JWKS, answer.clone());
        let mut plant = Plant::at(&server, &json!({ "http_timeout": 1 })).started();
        assert_eq!(plant.ask(&token(&server, &key)).status, 503, "{answer:?}");
        server.set_keys(keys.clone());
        plant.until("the keys are fetched after all", recovered);
        assert_eq!(plant.ask(&token(&server, &key)).status, 200, "{answer:?}");
    }
}

#[test]
fn envoy_two_tokens_with_a_failed_key_fetch() {
    let (key, other) = (TestKey::p256("a"), TestKey::p256("b"));
    let mut server = ScriptedServer::start(key_set(&[&key, &other]));
    server.stop();
    let mut plant = Plant::at(&server, &json!({})).started();
    let tokens = [token(&server, &key), token(&server, &other)];
    let headers = tokens.clone().map(|token| format!("Bearer {token}"));
    let verdict = plant.site.request("REGISTER", &[&headers[0], &headers[1]]);
    assert_eq!((verdict.answer.reason(), verdict.status, verdict.pending), (Reason::SeveralTokens, 400, None));
    for token in &tokens {
        assert_eq!(plant.ask(token).status, 503);
    }
    server.restart();
    plant.until("the server is back", recovered);
    for token in &tokens {
        assert_eq!(plant.ask(token).status, 200);
    }
}

#[test]
fn one_odd_key_of_a_server_does_not_spoil_its_set() {
    let key = TestKey::p256("k");
    let mut keys = key_set(&[&key, &TestKey::p521("odd"), &TestKey::hmac("secret", &[7; 64])]);
    let list = keys["keys"].as_array_mut().expect("a list");
    list.extend([json!({}), json!(null), json!(7), json!({ "kty": "RSA", "x5c": [] }), json!({ "kty": ["EC"] })]);
    let server = ScriptedServer::start(keys);
    let mut plant = Plant::at(&server, &json!({})).started();
    assert_eq!(plant.reason(&token(&server, &key)), Reason::Ok);
    let forged = TestKey::hmac("secret", &[7; 64]);
    let claims = crate::support::token::claims(&server.issuer(), "sip", "alice", 300);
    assert_eq!(plant.reason(&forged.token("HS256", &claims)), Reason::AlgorithmNotAllowed);
}

#[test]
fn keys_too_old_serve_no_token_not_even_a_cached_one() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    let mut plant = Plant::at(&server, &json!({ "key_max_stale": 3600 })).started();
    let now = crate::support::token::now();
    let claims = crate::support::token::claims(&server.issuer(), "sip", "alice", 86_400);
    let token = key.token("ES256", &claims);
    assert_eq!(plant.site.token_at(&token, now).status, 200);
    assert_eq!(plant.site.token_at(&token, now + 3000).status, 200);
    let verdict = plant.site.token_at(&token, now + 3700);
    assert!(verdict.pending.is_some() || verdict.status == 503, "{verdict:?}");
}
