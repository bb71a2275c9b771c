// SPDX-License-Identifier: MIT OR Apache-2.0

//! One provider, one source or the store in trouble against all others: who may wait.

use crate::answers::{INTROSPECT, server};
use crate::phone::{ALICE, Sip};
use crate::plant::{Plant, key_set};
use crate::records;
use crate::support::patience;
use crate::support::redis::Redis;
use crate::support::scripted_server::{Answer, JWKS, ScriptedServer};
use crate::support::token::{self, TestKey, now};
use serde_json::json;
use sipoauth::process::job::{Errand, Work};
use sipoauth::worker::Handling;
use sipoauth::worker::result::CheckResult;
use sipoauth_core::check::Request;
use sipoauth_core::reason::Reason;
use sipoauth_core::sip::sender::Network;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const FLOOD: &str = "203.0.113.9";

/// Users of hung.test, whose server does as it is told, and of well.test.
fn plant(hung: &ScriptedServer, well: &ScriptedServer) -> Plant {
    let line = |server: &ScriptedServer, name: &str| {
        format!(
            "name={name};issuer={};audience=sip;aor=sip:{{preferred_username}}@{name}.test;domains={name}.test;\
             tokens=opaque;client_id=sip-proxy;client_secret=secret-of-the-proxy;introspection_endpoint={}",
            server.issuer(),
            server.url(INTROSPECT)
        )
    };
    let plant = Plant::new(&crate::answers::provider(hung), &json!({}));
    plant.site.reload_lines(&[&line(hung, "hung"), &line(well, "well")]);
    plant
}

fn check(plant: &mut Plant, domain: &str, token: &str, handling: &Handling<'_>) -> CheckResult {
    let (aor, credential) = (format!("sip:alice@{domain}"), format!("Bearer {token}"));
    let credentials = [credential.as_str()];
    let request = Request {
        method: "REGISTER",
        from: &aor,
        to: &aor,
        realm: domain,
        credentials: &credentials,
        ..Request::default()
    };
    plant.site.worker.check(&request, handling)
}

fn from(source: &str) -> Handling<'_> {
    Handling { source, ..Handling::default() }
}

fn active() -> Answer {
    Answer::Json(json!({
        "active": true, "aud": "sip", "client_id": "phone", "exp": now() + 300, "scope": "sip", "sub": "1234",
        "preferred_username": "alice",
    }))
}

/// A user of the other provider is served, however many wait.
fn others_are_served(plant: &mut Plant, token: &str) {
    let verdict = check(plant, "well.test", token, &from("192.0.2.1"));
    let cookie = plant.park(&verdict).unwrap_or_else(|| panic!("no room: {:?}", verdict.answer.reason()));
    plant.wait_for(cookie);
    let resumed = Handling { resumed: true, ..from("192.0.2.1") };
    let verdict = check(plant, "well.test", token, &resumed);
    assert_eq!(verdict.answer.reason(), Reason::Ok, "{}", plant.site.log.text());
}

#[test]
fn one_source_that_names_a_hung_provider_has_a_quarter_of_the_places() {
    let (hung, well) = (server(), server());
    hung.set(INTROSPECT, Answer::Hang);
    well.set(INTROSPECT, active());
    let mut plant = plant(&hung, &well);
    let mut reasons = BTreeMap::<String, u32>::new();
    for number in 0..600 {
        let verdict = check(&mut plant, "hung.test", &format!("a-made-up-token-{number}"), &from(FLOOD));
        let parked = plant.park(&verdict).is_some();
        let reason = if parked { "parked".into() } else { format!("{:?}", verdict.answer.reason()) };
        *reasons.entry(reason).or_default() += 1;
    }
    assert_eq!(reasons.get("parked"), Some(&125), "{reasons:?}");
    assert_eq!(reasons.get("IntrospectionLimited"), Some(&475), "{reasons:?}");
    others_are_served(&mut plant, "a-token-of-alice-0001");
    // Another user of the hung provider is not shut out by that source.
    let verdict = check(&mut plant, "hung.test", "another-users-token", &from("192.0.2.2"));
    assert!(plant.park(&verdict).is_some(), "{:?}", verdict.answer.reason());
}

#[test]
fn a_hung_provider_leaves_places_and_threads_to_the_others_however_many_sources_there_are() {
    let (hung, well) = (server(), server());
    hung.set(INTROSPECT, Answer::Hang);
    well.set(INTROSPECT, active());
    let mut plant = plant(&hung, &well);
    let mut parked = 0;
    for number in 0..600 {
        let source = format!("203.0.{}.{}", number / 250, number % 250);
        let verdict = check(&mut plant, "hung.test", &format!("a-made-up-token-{number}"), &from(&source));
        match plant.park(&verdict) {
            Some(_) => parked += 1,
            None => assert_eq!(verdict.answer.reason(), Reason::Overloaded),
        }
    }
    assert_eq!(parked, 250);
    for number in 0..20 {
        others_are_served(&mut plant, &format!("a-token-of-alice-{number:04}"));
    }
}

/// One thread serves the phones, and it is busy until all of them wait.
#[test]
fn made_up_tokens_of_one_source_hold_up_neither_tokens_nor_codes_of_others() {
    let (plant, free) = (crate::proxies::Plant::new(), Arc::new(AtomicBool::new(false)));
    let is_free = Arc::clone(&free);
    plant.endpoint.server.set(
        INTROSPECT,
        Answer::computed(move |_| {
            patience::until(Duration::from_secs(20), || is_free.load(Ordering::Relaxed));
            Answer::Json(json!({ "active": false }))
        }),
    );
    let mut proxy = plant.proxy(&json!({
        "http_threads": 2, "source_limit": 100, "provider.tokens": "opaque",
        "provider.introspection_endpoint": plant.endpoint.server.url(INTROSPECT),
    }));
    let look = |proxy: &mut crate::proxies::Proxy, token: &str, source: &str| {
        let verdict = proxy.worker.check_token(token, &from(source));
        proxy.park(&verdict).unwrap_or_else(|| panic!("no room: {:?}", verdict.answer.reason()))
    };
    let flood: Vec<u64> = (0..60).map(|n| look(&mut proxy, &format!("a-made-up-token-{n:02}"), FLOOD)).collect();
    let token = look(&mut proxy, "a-token-of-bob-0001", "192.0.2.2");
    let sip = Sip::with_code(ALICE, "one", &plant.endpoint.code("alice"));
    let verdict = proxy.look(&sip);
    let code = proxy.park(&verdict).expect("its code must be exchanged");
    // Jobs are taken in order, and this one needs no thread.
    let last = Errand::from(Work::Keys(u32::MAX, 0));
    proxy.worker.waits().submit(last, &[], [u64::MAX - 1, 0]).expect("room for one more");
    proxy.until("all of them wait", |proxy| proxy.is_done(u64::MAX - 1));
    free.store(true, Ordering::Relaxed);
    proxy.until("the others are served", |proxy| proxy.is_done(token) && proxy.is_done(code));
    let served = flood.iter().filter(|cookie| proxy.is_done(**cookie)).count();
    assert!(served <= 20, "{served} of the flood were served first");
    assert_eq!(proxy.resume(&sip, code).answer.reason(), Reason::Ok, "{}", proxy.log.text());
}

#[test]
fn keys_that_never_come_leave_places_to_the_others() {
    let key = TestKey::p256("k");
    let (hung, well) = (ScriptedServer::start(key_set(&[&key])), ScriptedServer::start(key_set(&[&key])));
    hung.set(JWKS, Answer::Hang);
    let provider = |server: &ScriptedServer, name: &str| {
        json!({ "name": name, "issuer": server.issuer(), "audience": "sip", "aor": "sip:{preferred_username}@{domain}",
                "domain": format!("{name}.test") })
    };
    let globals = json!({
        "max_pending": 40, "http_timeout": 30, "pending_timeout": 30, "multi_issuer": null,
        "provider": [provider(&hung, "hung"), provider(&well, "well")],
    });
    let globals: serde_json::Map<_, _> = globals
        .as_object()
        .expect("an object")
        .iter()
        .filter(|m| !m.1.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let mut plant = Plant::new(&json!({}), &globals.into());
    let token_of = |server: &ScriptedServer, key: &TestKey| {
        key.token("ES256", &token::claims(&server.issuer(), "sip", "alice", 300))
    };
    let hanging = token_of(&hung, &key);
    let mut parked = 0;
    for number in 0..60 {
        let source = format!("203.0.113.{number}");
        let verdict = plant.site.worker.check_token(&hanging, &from(&source));
        parked += u32::from(plant.park(&verdict).is_some());
    }
    assert_eq!(parked, 20);
    assert_eq!(plant.ask_from("192.0.2.1", &token_of(&well, &key)).answer.reason(), Reason::Ok);
    let new = TestKey::p256("new");
    well.set_keys(key_set(&[&key, &new]));
    let verdict = plant.ask_from("192.0.2.1", &token_of(&well, &new));
    assert_eq!(verdict.answer.reason(), Reason::Ok, "{}", plant.site.log.text());
    hung.set(JWKS, Answer::Status(500));
}

#[test]
fn key_servers_that_hang_have_a_quarter_of_the_threads_and_leave_one_to_the_others() {
    let key = TestKey::p256("k");
    let hung: Vec<_> = (0..6).map(|_| ScriptedServer::start(key_set(&[&key]))).collect();
    hung.iter().for_each(|server| server.set(JWKS, Answer::Hang));
    let well = ScriptedServer::start(key_set(&[&key]));
    let servers: Vec<_> = hung.iter().chain([&well]).collect();
    let provider = |(number, server): (usize, &&ScriptedServer)| {
        json!({ "name": format!("p{number}"), "issuer": server.issuer(), "audience": "sip",
                "aor": format!("sip:{{preferred_username}}@p{number}.test"), "domains": [format!("p{number}.test")] })
    };
    let providers: Vec<_> = servers.iter().enumerate().map(provider).collect();
    let globals = json!({ "http_threads": 8, "http_timeout": 1, "key_cooldown": 1, "provider": providers });
    let mut plant = Plant::new(&json!({}), &globals);
    let (mut most, places) = (0, plant.site.worker.placed().places.clone());
    let slots = |plant: &Plant| -> Vec<_> {
        let slots = plant.site.context.arena().slots();
        places.iter().map(|(slot, source)| slots[*slot].state(*source)).collect()
    };
    assert!(patience::until(Duration::from_secs(60), || {
        plant.step();
        let states = slots(&plant);
        most = most.max(states.iter().filter(|state| state.in_flight).count());
        states[6].fetched_at != 0 && states[..6].iter().all(|state| state.failures > 1)
    }));
    assert_eq!(most, 2);
    let new = TestKey::p256("new");
    well.set_keys(key_set(&[&key, &new]));
    let token = new.token("ES256", &token::claims(&well.issuer(), "sip", "alice", 300));
    let asked: u64 = hung.iter().map(|server| server.count(JWKS)).sum();
    assert_eq!(plant.ask_from("192.0.2.1", &token).answer.reason(), Reason::Ok, "{}", plant.site.log.text());
    let meanwhile = hung.iter().map(|server| server.count(JWKS)).sum::<u64>() - asked;
    assert!(meanwhile <= 4, "{meanwhile} were asked first");
}

#[test]
fn a_store_that_hangs_leaves_places_to_those_who_need_none() {
    let (plant, redis) = (crate::proxies::Plant::new(), Redis::start(&[]));
    let (mut proxy, _) = records::signed_in(&plant, &redis, &json!({ "max_pending": 40, "store_timeout": 5000 }));
    // SAFETY: a process that this test has started.
    assert_eq!(unsafe { libc::kill(redis.pid() as i32, libc::SIGSTOP) }, 0);
    let mut parked = 0;
    for number in 0..60 {
        let sip = Sip::register(&format!("sip:nobody{number}@example.test"), &format!("n{number}"));
        let sip = Sip { source: (format!("203.0.113.{number}"), 5060), ..sip.prove_in_body(&[7; 32].into()) };
        let verdict = proxy.look(&sip);
        parked += u32::from(proxy.park(&verdict).is_some());
    }
    assert_eq!(parked, 20);
    // A token whose key is not known yet.
    let new = TestKey::p256("new");
    plant.endpoint.server.set_keys(key_set(&[&new]));
    let token = new.token("ES256", &token::claims(&plant.endpoint.server.issuer(), "sip", "bob", 300));
    let verdict = proxy.worker.check_token(&token, &from("192.0.2.1"));
    let cookie = proxy.park(&verdict).unwrap_or_else(|| panic!("no room: {:?}", verdict.answer.reason()));
    proxy.until("its keys come", |proxy| proxy.is_done(cookie));
    let resumed = Handling { resumed: true, ..from("192.0.2.1") };
    let reason = proxy.worker.check_token(&token, &resumed).answer.reason();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::kill(redis.pid() as i32, libc::SIGCONT) }, 0);
    assert_eq!(reason, Reason::Ok, "{}", proxy.log.text());
}

#[test]
fn a_service_that_ends_with_requests_in_its_hands_leaves_no_place_taken() {
    let hung = server();
    hung.set(INTROSPECT, Answer::Hang);
    let limits = json!({ "max_pending": 4, "pending_timeout": 30, "http_timeout": 1 });
    let mut plant = Plant::new(&crate::answers::provider(&hung), &limits);
    for round in 0..3 {
        // What was still in the socket is the next one's, and ends with its question. A place that was lost would stay longer.
        let waiting = |plant: &Plant| plant.site.context.arena().shared().waiting.count(now() * 1000);
        assert!(patience::until(Duration::from_secs(20), || {
            plant.step();
            waiting(&plant) == 0
        }));
        for number in 0..4 {
            let (source, token) = (format!("203.0.113.{number}"), format!("a-made-up-token-{round}-{number}"));
            let verdict = plant.site.worker.check_token(&token, &from(&source));
            assert!(plant.park(&verdict).is_some(), "{round} {number}: {:?}", verdict.answer.reason());
        }
        let verdict = plant.site.worker.check_token("one-more-token-0123", &from("192.0.2.1"));
        assert_eq!(verdict.answer.reason(), Reason::Overloaded);
        // Some are in its hands, others in the socket.
        plant.step();
        plant.restart();
    }
}

/// The sender of a token over this transport. Port 5060 is that of a phone, port 6000 a forged one.
fn sender(transport: &'static str, source: &'static str, port: u16) -> Request<'static> {
    Request { transport, source: (source, port), ..Request::default() }
}

#[test]
fn connected_and_known_phones_and_strangers_of_one_address_wait_apart() {
    let server = server();
    server.set(INTROSPECT, Answer::Hang);
    let mut plant =
        Plant::new(&crate::answers::provider(&server), &json!({ "max_pending": 40, "pending_timeout": 30 }));
    plant.site.context.arena().shared().shown_senders.note(&Network::of(FLOOD), 5060, now() * 1000);
    for (transport, port) in [("udp", 6000), ("udp", 5060), ("tls", 7000)] {
        let parked = |number: &u32| {
            let (token, request) = (format!("a-token-{transport}-{port}-{number}"), sender(transport, FLOOD, port));
            let verdict = plant.site.worker.check_token_of(&request, &token, &from(FLOOD));
            plant.park(&verdict).is_some()
        };
        assert_eq!((0..20).filter(parked).count(), 10, "{transport} {port}");
    }
}

#[test]
fn bare_tokens_of_one_source_leave_room_to_those_of_others() {
    let server = server();
    server.set(INTROSPECT, Answer::Hang);
    let mut plant =
        Plant::new(&crate::answers::provider(&server), &json!({ "max_pending": 40, "pending_timeout": 30 }));
    for (source, expected) in [(FLOOD, 10), ("192.0.2.1", 10)] {
        let parked = |number: &u32| {
            let (token, request) = (format!("a-bare-token-{source}-{number}"), sender("udp", source, 5060));
            let verdict = plant.site.worker.check_token_of(&request, &token, &from(source));
            let is_parked = plant.park(&verdict).is_some();
            assert!(is_parked || verdict.answer.reason() == Reason::IntrospectionLimited);
            is_parked
        };
        assert_eq!((0..40).filter(parked).count(), expected, "{source}");
    }
}
