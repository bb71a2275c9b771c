// SPDX-License-Identifier: MIT OR Apache-2.0

//! Forged key ids and waiting requests: what a stranger can make this proxy do is bounded.

use crate::plant::{Plant, key_set, old_token, token};
use crate::support::scripted_server::{Answer, JWKS, ScriptedServer};
use crate::support::token::TestKey;
use serde_json::json;
use sipoauth::worker::Handling;
use sipoauth_core::reason::Reason;

#[test]
fn flexisip_random_kids_cause_a_bounded_number_of_fetches() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    let limits = json!({ "key_burst": 3, "key_cooldown": 3600 });
    let mut plant = Plant::at(&server, &limits).started();
    for number in 0..100 {
        let forged = token(&server, &TestKey::p256(&format!("random-{number}")));
        let verdict = plant.ask_from(&format!("192.0.2.{number}"), &forged);
        assert!([401, 503].contains(&verdict.status), "{verdict:?}");
        assert!([Reason::KeyUnknown, Reason::KeyRefreshLimited].contains(&verdict.answer.reason()), "{verdict:?}");
    }
    assert_eq!(server.count(JWKS), 1 + 3);
    assert_eq!(plant.reason(&token(&server, &key)), Reason::Ok);
}

#[test]
fn one_unknown_kid_causes_one_fetch_however_often_it_comes() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    let mut plant = Plant::at(&server, &json!({ "key_cooldown": 3600 })).started();
    let stranger = TestKey::p256("unknown");
    for (forged, reason) in
        [(old_token(&server, &stranger), Reason::KeyUnknown), (token(&server, &stranger), Reason::KeyRefreshLimited)]
    {
        for _ in 0..20 {
            assert_eq!(plant.reason(&forged), reason);
        }
    }
    assert_eq!(server.count(JWKS), 2);
}

#[test]
fn liboauth2_failed_verifications_cause_no_more_fetches_than_unknown_kids() {
    let key = TestKey::p256("k");
    let fetches = |forged: &dyn Fn(&ScriptedServer, usize) -> String| {
        let server = ScriptedServer::start(key_set(&[&key]));
        let mut plant = Plant::at(&server, &json!({})).started();
        let reasons: Vec<_> = (0..8).map(|number| plant.reason(&forged(&server, number))).collect();
        (server.count(JWKS), reasons)
    };
    let (of_kids, unknown) = fetches(&|server, number| old_token(server, &TestKey::p256(&format!("k{number}"))));
    let (of_signatures, reasons) = fetches(&|server, _| token(server, &TestKey::p256("k")));
    assert_eq!(of_signatures, of_kids);
    let as_unknown = reasons.iter().map(|reason| match reason {
        Reason::SignatureInvalid => Reason::KeyUnknown,
        other => *other,
    });
    assert_eq!(as_unknown.collect::<Vec<_>>(), unknown);
    assert!(reasons.starts_with(&[Reason::SignatureInvalid; 3]), "{reasons:?}");

    let server = ScriptedServer::start(key_set(&[&key]));
    let mut plant = Plant::at(&server, &json!({})).started();
    let good = token(&server, &key);
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    for _ in 0..10 {
        assert_eq!(plant.reason(&forged), Reason::SignatureInvalid);
    }
    assert_eq!(server.count(JWKS), 2, "the same token again says nothing new");
    assert_eq!(plant.reason(&good), Reason::Ok);
}

/// The server has lost its keys, for example, and gives the new key the old name.
#[test]
fn a_new_key_under_the_old_kid_is_taken_at_once() {
    let old = TestKey::p256("k");
    for (new, algorithm) in [(TestKey::p256("k"), "ES256"), (TestKey::rsa("k"), "RS256")] {
        let server = ScriptedServer::start(key_set(&[&old]));
        let mut plant = Plant::at(&server, &json!({})).started();
        assert_eq!(plant.reason(&token(&server, &old)), Reason::Ok);
        let stranger = token(&server, &TestKey::p256("k"));
        assert_eq!(plant.reason(&stranger), Reason::SignatureInvalid);
        server.set_keys(key_set(&[&new]));
        let claims = crate::support::token::claims(&server.issuer(), "sip", "alice", 300);
        assert_eq!(
            plant.reason(&new.token(algorithm, &claims)),
            Reason::Ok,
            "what a stranger has sent before changes nothing"
        );
        assert_ne!(plant.reason(&token(&server, &old)), Reason::Ok);
        assert!(server.count(JWKS) <= 4);
    }
}

/// Phones keep their tokens for an hour. After the keys were fetched, older tokens of the earlier key show nothing new.
#[test]
fn tokens_that_are_older_than_the_keys_are_refused_and_cause_no_fetch() {
    let (old, new) = (TestKey::p256("k"), TestKey::p256("k"));
    let server = ScriptedServer::start(key_set(&[&new]));
    let mut plant = Plant::at(&server, &json!({ "leeway": 30 })).started();
    let aged = |key: &TestKey, user: usize, age: i64| {
        let mut claims = crate::support::token::claims(&server.issuer(), "sip", &format!("user{user}"), 300);
        claims["iat"] = json!(crate::support::token::now() - age);
        key.token("ES256", &claims)
    };
    for user in 0..30 {
        assert_eq!(plant.reason(&aged(&old, user, 400)), Reason::SignatureInvalid);
        assert_eq!(plant.reason(&aged(&new, user, 400)), Reason::Ok);
    }
    assert_eq!(server.count(JWKS), 1);
    // A younger one may be of a newer key, which a cache on the way has not had yet.
    assert_eq!(plant.reason(&aged(&old, 0, 200)), Reason::SignatureInvalid);
    assert_eq!(server.count(JWKS), 2);
    // The same where keys have no names.
    let mut nameless = new.jwk();
    nameless.as_object_mut().expect("an object").remove("kid");
    let server = ScriptedServer::start(json!({ "keys": [nameless] }));
    let mut plant = Plant::at(&server, &json!({ "leeway": 30 })).started();
    for user in 0..30 {
        let mut claims = crate::support::token::claims(&server.issuer(), "sip", &format!("user{user}"), 300);
        claims["iat"] = json!(crate::support::token::now() - 400);
        assert_eq!(plant.reason(&old.token("ES256", &claims)), Reason::KeyUnknown);
    }
    assert_eq!(server.count(JWKS), 1);
}

/// A key set without names: what a stranger writes as a token's kid says nothing of the others that have it.
#[test]
fn a_forged_token_does_not_make_the_kid_of_nameless_keys_unknown() {
    let (old, new) = (TestKey::p256("k"), TestKey::p256("k"));
    let nameless = |key: &TestKey| {
        let mut jwk = key.jwk();
        jwk.as_object_mut().expect("an object").remove("kid");
        json!({ "keys": [jwk] })
    };
    let server = ScriptedServer::start(nameless(&old));
    let mut plant = Plant::at(&server, &json!({})).started();
    assert_eq!(plant.reason(&token(&server, &old)), Reason::Ok);
    assert_eq!(plant.reason(&token(&server, &TestKey::p256("k"))), Reason::KeyUnknown);
    server.set_keys(nameless(&new));
    assert_eq!(plant.reason(&token(&server, &new)), Reason::Ok);
}

#[test]
fn a_token_that_would_be_refused_anyway_causes_no_fetch() {
    let server = ScriptedServer::start(key_set(&[&TestKey::p256("k")]));
    let mut plant = Plant::at(&server, &json!({})).started();
    let stranger = TestKey::p256("unknown");
    let claims = |audience, ttl| crate::support::token::claims(&server.issuer(), audience, "alice", ttl);
    assert_eq!(plant.reason(&stranger.token("ES256", &claims("sip", -60))), Reason::TokenExpired);
    assert_eq!(plant.reason(&stranger.token("ES256", &claims("other", 60))), Reason::AudienceMismatch);
    assert_eq!(server.count(JWKS), 1);
}

#[test]
fn a_new_kid_is_served_after_exactly_one_fetch() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(key_set(&[&old]));
    let mut plant = Plant::at(&server, &json!({})).started();
    assert_eq!(plant.reason(&token(&server, &old)), Reason::Ok);
    server.set_keys(key_set(&[&new, &old]));
    for key in [&new, &old, &new] {
        assert_eq!(plant.reason(&token(&server, key)), Reason::Ok);
    }
    assert_eq!(server.count(JWKS), 2);
}

#[test]
fn an_empty_set_does_not_bypass_the_cooldown() {
    let (key, new) = (TestKey::p256("k"), TestKey::p256("new"));
    let server = ScriptedServer::start(key_set(&[&key]));
    for first in [Answer::NoKeys, Answer::Json(key_set(&[&key]))] {
        server.set(JWKS, first);
        let before = server.count(JWKS);
        let mut plant = Plant::at(&server, &json!({ "key_cooldown": 3600, "key_burst": 1 })).started();
        server.set(JWKS, Answer::NoKeys);
        for number in 0..50 {
            let verdict = plant.ask_from(&format!("192.0.2.{number}"), &token(&server, &new));
            assert_eq!(verdict.status, 503);
        }
        // 1, 2, 4, 8 … seconds between failures: ten need more than eight minutes.
        assert!(server.count(JWKS) - before < 10, "{}", server.count(JWKS) - before);
    }
}

#[test]
fn one_source_address_cannot_use_up_the_budget_of_all() {
    let (key, new) = (TestKey::p256("k"), TestKey::p256("new"));
    let server = ScriptedServer::start(key_set(&[&key]));
    // The allowance counts by the minute: at a turn of the minute it may come twice.
    let limits = json!({ "source_limit": 120, "key_burst": 6, "key_cooldown": 3600 });
    let mut plant = Plant::at(&server, &limits).started();
    for number in 0..50 {
        plant.ask_from("192.0.2.66", &token(&server, &TestKey::p256(&format!("random-{number}"))));
    }
    assert!((3..=5).contains(&server.count(JWKS)), "{}", server.count(JWKS));
    server.set_keys(key_set(&[&key, &new]));
    assert_eq!(plant.ask_from("192.0.2.1", &token(&server, &new)).status, 200);
}

#[test]
fn one_ipv6_network_is_one_source_however_it_is_written() {
    let (key, new) = (TestKey::p256("k"), TestKey::p256("new"));
    let server = ScriptedServer::start(key_set(&[&key]));
    let limits = json!({ "source_limit": 120, "key_burst": 6, "key_cooldown": 3600 });
    let mut plant = Plant::at(&server, &limits).started();
    for number in 0..50 {
        let source = match number % 4 {
            0 => format!("2001:db8:0:7::{number:x}"),
            1 => format!("[2001:DB8:0:7:1:2:3:{number:x}]"),
            2 => format!("2001:db8:0000:0007::{number:x}%eth0"),
            _ => format!("2001:db8:0:7:{number:x}:ffff:ffff:ffff"),
        };
        plant.ask_from(&source, &token(&server, &TestKey::p256(&format!("random-{number}"))));
    }
    // The allowance counts by the minute: at a turn of the minute it may come twice.
    assert!((3..=5).contains(&server.count(JWKS)), "{}", server.count(JWKS));
    server.set_keys(key_set(&[&key, &new]));
    assert_eq!(plant.ask_from("2001:db8:0:8::1", &token(&server, &new)).status, 200);
}

#[test]
fn an_ipv4_address_is_the_same_source_inside_of_ipv6() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    let limits = json!({ "source_limit": 120, "key_burst": 6, "key_cooldown": 3600 });
    let mut plant = Plant::at(&server, &limits).started();
    let sources = ["192.0.2.66", "::ffff:192.0.2.66", "[::FFFF:c000:242]", "0:0:0:0:0:ffff:192.0.2.66"];
    for number in 0..20 {
        plant.ask_from(sources[number % 4], &token(&server, &TestKey::p256(&format!("random-{number}"))));
    }
    assert!((3..=5).contains(&server.count(JWKS)), "{}", server.count(JWKS));
}

#[test]
fn flexisip_parked_requests_are_bounded_in_number_and_time() {
    let key = TestKey::p256("k");
    let mut server = ScriptedServer::start(key_set(&[&key]));
    server.set(JWKS, Answer::Hang);
    let limits = json!({ "max_pending": 3, "pending_timeout": 1, "http_timeout": 60 });
    let mut plant = Plant::at(&server, &limits);
    plant.until("a fetch begins", |state| state.in_flight);
    let token = token(&server, &key);
    let check = |plant: &mut Plant, resumed| {
        plant.site.worker.check_token(&token, &Handling { resumed, ..Handling::default() })
    };
    let mut parked = Vec::new();
    let waits = check(&mut plant, false).pending.expect("a request that waits");
    for _ in 0..3 {
        let verdict = check(&mut plant, false);
        parked.push(plant.park(&verdict).expect("a request that waits"));
    }
    // Before the host has made anything for it.
    let verdict = check(&mut plant, false);
    assert!(verdict.pending.is_none());
    assert_eq!((verdict.answer.reason(), verdict.status), (Reason::Overloaded, 503));
    // This request was let through just before.
    assert!(plant.site.worker.waits().submit(waits, &[], [99, 0]).is_err());
    for cookie in parked {
        plant.wait_for(cookie);
        let verdict = check(&mut plant, true);
        assert_eq!((verdict.answer.reason(), verdict.status), (Reason::WaitTimeout, 503));
    }
    let verdict = check(&mut plant, false);
    assert!(plant.park(&verdict).is_some(), "there is room again");
    server.stop(); // The fetch ends, and with it what the service would wait for.
}

#[test]
fn the_service_ends_when_it_is_dropped() {
    let server = ScriptedServer::start(key_set(&[&TestKey::p256("k")]));
    let plant = Plant::at(&server, &json!({})).started();
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(plant);
        sender.send(()).expect("the test waits");
    });
    ended.recv_timeout(std::time::Duration::from_secs(60)).expect("the service's threads end");
}

#[test]
fn many_requests_with_one_new_kid_wait_for_one_fetch() {
    let (key, new) = (TestKey::p256("k"), TestKey::p256("new"));
    let server = ScriptedServer::start(key_set(&[&key]));
    let mut plant = Plant::at(&server, &json!({ "source_limit": 60 })).started();
    server.set_keys(key_set(&[&key, &new]));
    let token = token(&server, &new);
    let mut parked = Vec::new();
    for _ in 0..100 {
        let verdict = plant.site.worker.check_token(&token, &Handling::default());
        parked.push(plant.park(&verdict).expect("each of them waits"));
    }
    for cookie in parked {
        plant.wait_for(cookie);
        let resumed = Handling { resumed: true, ..Handling::default() };
        assert_eq!(plant.site.worker.check_token(&token, &resumed).status, 200);
    }
    assert_eq!(server.count(JWKS), 2);
}

#[test]
fn a_kid_that_was_asked_for_too_early_is_found_later() {
    let (key, new) = (TestKey::p256("k"), TestKey::p256("new"));
    let server = ScriptedServer::start(key_set(&[&key]));
    let mut plant = Plant::at(&server, &json!({})).started();
    assert_eq!(plant.reason(&old_token(&server, &new)), Reason::KeyUnknown);
    server.set_keys(key_set(&[&key, &new]));
    // Any other unknown kid brings the keys anew.
    assert_eq!(plant.reason(&old_token(&server, &TestKey::p256("other"))), Reason::KeyUnknown);
    assert_eq!(plant.reason(&token(&server, &new)), Reason::Ok);
}
