// SPDX-License-Identifier: MIT OR Apache-2.0

//! Made-up tokens against the answers about good ones.

use crate::plant::{Plant, key_set};
use crate::site::{AUDIENCE, merged};
use crate::support::scripted_server::{Answer, Received, ScriptedServer};
use crate::support::token::{TestKey, now};
use serde_json::{Value, json};
use sipoauth::worker::{Handling, Worker};
use sipoauth_core::reason::Reason;
use sipoauth_core::text::form;
use std::sync::Arc;

pub const INTROSPECT: &str = "/introspect";
const GOOD: &str = "the-opaque-token-of-alice-0123456789";
const FLOOD: &str = "203.0.113.9";

/// A server that knows one token.
pub fn server() -> ScriptedServer {
    let server = ScriptedServer::start(key_set(&[&TestKey::p256("k")]));
    server.set(INTROSPECT, knows_one());
    server
}

fn knows_one() -> Answer {
    Answer::computed(|request: &Received| {
        let pairs = form::parse(request.body.as_bytes()).unwrap_or_default();
        let good = pairs.iter().any(|(name, value)| name == "token" && value == GOOD);
        if !good {
            return Answer::Json(json!({ "active": false }));
        }
        Answer::Json(json!({
            "active": true, "aud": AUDIENCE, "client_id": "phone", "exp": now() + 300, "scope": "sip", "sub": "1234",
            "preferred_username": "alice",
        }))
    })
}

pub fn provider(server: &ScriptedServer) -> Value {
    json!({
        "issuer": server.issuer(),
        "tokens": "opaque",
        "client_id": "sip-proxy",
        "client_secret": "secret-of-the-proxy",
        "introspection_endpoint": server.url(INTROSPECT),
    })
}

fn plant(server: &ScriptedServer, globals: &Value) -> Plant {
    let usual = json!({ "source_limit": 1 });
    let mut plant = Plant::new(&provider(server), &merged(&usual, globals));
    assert_eq!(plant.reason(GOOD), Reason::Ok, "{}", plant.site.log.text());
    plant
}

/// A worker that remembers nothing itself finds the answer where all processes find it.
fn is_known(plant: &Plant) -> bool {
    let mut worker = Worker::new(Arc::clone(&plant.site.context)).expect("a worker");
    let verdict = worker.check_token(GOOD, &Handling { source: "192.0.2.7", ..Handling::default() });
    verdict.answer.reason() == Reason::Ok && verdict.pending.is_none()
}

#[test]
fn fifty_thousand_made_up_tokens_of_one_source_leave_a_good_answer_in_place() {
    let server = server();
    let mut plant = plant(&server, &json!({}));
    for number in 0..50_000 {
        let verdict = plant.ask_from(FLOOD, &format!("a-made-up-token-{number:06}"));
        let reason = verdict.answer.reason();
        assert!(matches!(reason, Reason::TokenInactive | Reason::IntrospectionLimited), "{number}: {reason:?}");
    }
    assert!(is_known(&plant));
    // Each minute has its allowance.
    assert!(server.count(INTROSPECT) < 100, "{}", server.count(INTROSPECT));
}

#[test]
fn inactive_tokens_of_many_sources_leave_good_answers_in_place_and_all_hear_their_own_verdict() {
    let server = server();
    let mut plant = plant(&server, &json!({ "users": 32 }));
    for number in 0..1000 {
        let (source, token) =
            (format!("203.0.{}.{}", number / 250, number % 250), format!("another-token-{number:06}"));
        assert_eq!(plant.ask_from(&source, &token).answer.reason(), Reason::TokenInactive, "{number}");
    }
    assert!(is_known(&plant));
}

#[test]
fn failed_questions_leave_good_answers_in_place_and_all_hear_their_own_verdict() {
    let server = server();
    let mut plant = plant(&server, &json!({ "users": 32 }));
    let refused = json!({ "error": "invalid_client" }).to_string().into_bytes();
    server.set(INTROSPECT, Answer::Full(401, vec![], refused));
    for number in 0..1000 {
        let (source, token) =
            (format!("203.0.{}.{}", number / 250, number % 250), format!("another-token-{number:06}"));
        assert_eq!(plant.ask_from(&source, &token).answer.reason(), Reason::ClientRefused, "{number}");
    }
    assert!(is_known(&plant));
}

#[test]
fn many_that_wait_at_once_hear_their_own_verdicts() {
    let server = server();
    let mut plant = plant(&server, &json!({ "users": 32, "max_pending": 2000 }));
    let source = |number: u32| format!("203.0.{}.{}", number / 250, number % 250);
    let mut parked = Vec::new();
    for number in 0..400 {
        let (source, token) = (source(number), format!("another-token-{number:06}"));
        let verdict = plant.site.worker.check_token(&token, &Handling { source: &source, ..Handling::default() });
        parked.push((source, token, plant.park(&verdict).expect("the server must be asked")));
    }
    let mut heard = Vec::new();
    while heard.len() < parked.len() {
        for cookie in plant.steps_once() {
            let (source, token, _) = parked.iter().find(|(.., own)| *own == cookie).expect("one of them");
            let handling = Handling { source, resumed: true, ..Handling::default() };
            heard.push(plant.site.worker.check_token(token, &handling).answer.reason());
        }
    }
    assert!(heard.iter().all(|reason| *reason == Reason::TokenInactive), "{heard:?}");
    assert!(is_known(&plant));
}

#[test]
fn a_token_that_was_revoked_is_no_more_good_however_many_others_there_are() {
    let server = server();
    let limits = json!({ "users": 32 });
    let mut plant = Plant::new(&merged(&provider(&server), &json!({ "introspection_cache": 0 })), &limits);
    assert_eq!(plant.reason(GOOD), Reason::Ok);
    server.set(INTROSPECT, Answer::Json(json!({ "active": false })));
    assert_eq!(plant.reason(GOOD), Reason::TokenInactive);
    for number in 0..200 {
        plant.ask_from(&format!("203.0.113.{number}"), &format!("another-token-{number:06}"));
    }
    let resumed = Handling { resumed: true, source: "192.0.2.1", ..Handling::default() };
    assert_ne!(plant.site.worker.check_token(GOOD, &resumed).answer.reason(), Reason::Ok);
}
