// SPDX-License-Identifier: MIT OR Apache-2.0

//! A code is exchanged once, whoever asks how often and where, and what comes of it belongs to one address.

use crate::phone::{ALICE, BOB, Sip};
use crate::plant::{Plant, Proxy};
use crate::support::scripted_server::JWKS;
use serde_json::json;
use sipoauth::worker::{Handling, Worker};
use sipoauth_core::check::Carried;
use sipoauth_core::reason::Reason;
use std::time::Duration;

/// The text of a code with a verifier behind it.
fn with_verifier(code: &str) -> String {
    format!("{code}&code_verifier=the-verifier-of-the-phone-0123456789-0123456789")
}

#[test]
fn a_code_becomes_a_session() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code).instance("1");
    let first = proxy.look(&sip);
    assert!(first.pending.is_some() && first.ticket.is_empty() && first.session.is_empty());
    let verdict = proxy.sign_in(&sip);
    assert_eq!(verdict.answer.carried, Carried::Code);
    assert_eq!(verdict.provider(), "as");
    let used = verdict.answer.session.as_ref().expect("a session");
    assert_eq!((used.aor.as_str(), used.subject.as_str(), used.instance.as_str()), (ALICE, "alice", "<urn:uuid:1>"));
    assert!(verdict.ticket.len() < 4096 && !verdict.ticket.contains(&code), "{}", verdict.ticket);

    let sessions = proxy.sessions(ALICE);
    assert_eq!(sessions.len(), 1);
    assert!(sessions[0].session.renewable && !sessions[0].session.weak);
    assert_eq!(proxy.records("t:"), [format!("t:{}", verdict.session)]);
    assert!(proxy.sessions(BOB).is_empty());
    assert_eq!(plant.endpoint.exchanges(), 1);

    let key = sip.key(&code, "to-one");
    assert_eq!(proxy.answer(&Sip::register(ALICE, "two").prove_in_body(&key)), (200, Reason::Ok));
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn the_same_code_again_gets_the_same_session() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = |name| Sip::with_code(ALICE, name, &with_verifier(&code)).instance("1");
    let session = proxy.sign_in(&sip("one")).session;
    for name in ["one", "one", "two", "three"] {
        assert_eq!(proxy.sign_in(&sip(name)).session, session);
    }
    assert_eq!(plant.endpoint.exchanges(), 1);
    assert_eq!(proxy.sessions(ALICE).len(), 1);
}

#[test]
fn parallel_requests_of_many_workers_cause_one_exchange() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let mut workers: Vec<Worker> = (0..4).map(|_| proxy.another_worker()).collect();
    let messages: Vec<Sip> =
        (0..20).map(|i| Sip { branch: format!("z9hG4bK-{i}"), ..Sip::with_code(ALICE, "one", &code) }).collect();
    let handling = Handling { source: "192.0.2.1", ..Handling::default() };
    let mut waiting = Vec::new();
    for (i, sip) in messages.iter().enumerate() {
        let verdict = sip.read(|request| workers[i % 4].check(request, &handling));
        waiting.push(proxy.park(&verdict).expect("nothing is known of the code"));
    }
    proxy.until("all are resumed", |proxy| waiting.iter().all(|cookie| proxy.is_done(*cookie)));
    let resumed = Handling { resumed: true, ..handling };
    for (i, sip) in messages.iter().enumerate() {
        let verdict = sip.read(|request| workers[(i + 1) % 4].check(request, &resumed));
        assert_eq!(verdict.answer.reason(), Reason::Ok, "{i}");
    }
    assert_eq!(plant.endpoint.exchanges(), 1);
    let sessions = proxy.sessions(ALICE);
    assert_eq!((sessions.len(), sessions[0].session.keys.len()), (1, 1));
}

#[test]
fn two_proxies_with_one_store_cause_one_exchange() {
    let plant = Plant::new();
    let (mut one, mut two) = (plant.proxy(&json!({})), plant.proxy(&json!({})));
    for round in 0..5 {
        let code = plant.endpoint.code("alice");
        let (a, b) = (Sip::with_code(ALICE, "one", &code), Sip::with_code(ALICE, "two", &code));
        let [first, second] = [one.look(&a), two.look(&b)];
        let (first, second) = (one.park(&first).expect("unknown"), two.park(&second).expect("unknown"));
        while !one.is_done(first) || !two.is_done(second) {
            one.step();
            two.step();
        }
        let (x, y) = (one.resume(&a, first), two.resume(&b, second));
        assert_eq!((x.answer.reason(), y.answer.reason()), (Reason::Ok, Reason::Ok));
        assert_eq!(x.session, y.session);
        // Each proxy takes the proof of the key that the other's answer made.
        for (name, key, proxy) in [("p1", b.key(&code, "to-two"), &mut one), ("p2", a.key(&code, "to-one"), &mut two)] {
            let sip = Sip::register(ALICE, &format!("{name}-{round}")).prove_in_body(&key);
            assert_eq!(proxy.reason(&sip), Reason::Ok);
        }
        assert_eq!(plant.endpoint.exchanges(), round + 1);
    }
    assert_eq!(one.records("t:").len(), 5);
}

#[test]
fn everything_survives_a_restart() {
    let plant = Plant::new();
    let code = plant.endpoint.code("alice");
    let phone = |name| Sip::with_code(ALICE, name, &with_verifier(&code)).instance("1");
    let sip = phone("one");
    let session = plant.proxy(&json!({})).sign_in(&sip).session;
    let mut proxy = plant.proxy(&json!({}));
    let proof = Sip::register(ALICE, "two").instance("1").prove_in_body(&sip.key(&code, "to-one"));
    assert_eq!(proxy.answer(&proof), (200, Reason::Ok));
    assert_eq!(proxy.sign_in(&sip).session, session);
    assert_eq!(proxy.sign_in(&phone("three")).session, session);
    let stranger = Sip { source: ("198.51.100.9".into(), 5060), ..Sip::with_code(ALICE, "four", &code) };
    assert_eq!(proxy.answer(&stranger), (401, Reason::CodeRefused));
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn each_answer_makes_a_key_and_four_of_them_are_kept() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = |tag: &str| Sip { reply_to_tag: tag.into(), ..Sip::with_code(ALICE, "one", &code) };
    let tags = ["a", "b", "c", "d", "e"];
    for tag in &tags[..4] {
        proxy.sign_in(&sip(tag));
    }
    let mut count = 0;
    let mut proves = |proxy: &mut Proxy, tag: &str| {
        count += 1;
        proxy.reason(&Sip::register(ALICE, &format!("p{count}")).prove_in_header(&sip(tag).key(&code, tag)))
    };
    for tag in &tags[..4] {
        assert_eq!(proves(&mut proxy, tag), Reason::Ok, "{tag}");
    }
    proxy.sign_in(&sip("e"));
    for (tag, reason) in tags.iter().zip([Reason::PopInvalid, Reason::Ok, Reason::Ok, Reason::Ok, Reason::Ok]) {
        assert_eq!(proves(&mut proxy, tag), reason, "{tag}");
    }
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn confirm_stores_the_key_of_another_to_tag_and_withdraw_forgets_it() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    let ticket = proxy.sign_in(&sip).ticket;
    let proof = |name: &str, tag: &str| Sip::register(ALICE, name).prove_in_header(&sip.key(&code, tag));
    assert_eq!(proxy.reason(&proof("p1", "another")), Reason::PopInvalid);
    proxy.worker.registrations().confirm(&ticket, b"another").expect("stored");
    proxy.worker.registrations().confirm(&ticket, b"another").expect("stored already");
    assert_eq!(proxy.reason(&proof("p2", "another")), Reason::Ok);
    proxy.worker.registrations().withdraw(&ticket, b"another").expect("forgotten");
    proxy.worker.registrations().withdraw(&ticket, b"another").expect("forgotten already");
    assert_eq!(proxy.reason(&proof("p3", "another")), Reason::PopInvalid);
    assert_eq!(proxy.reason(&proof("p4", "to-one")), Reason::Ok);
    for (ticket, tag) in [("", "x"), ("{}", "x"), ("null", "x"), (ticket.as_str(), "")] {
        assert!(proxy.worker.registrations().confirm(ticket, tag.as_bytes()).is_err());
    }
}

#[test]
fn a_proxy_that_predicts_no_to_tag_confirms_it() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip { reply_to_tag: String::new(), ..Sip::with_code(ALICE, "one", &code) };
    let verdict = proxy.ask(&sip);
    assert_eq!(verdict.answer.reason(), Reason::Ok);
    assert_eq!(proxy.sessions(ALICE)[0].session.keys.len(), 0);
    proxy.worker.registrations().confirm(&verdict.ticket, b"final").expect("stored");
    let proof = Sip::register(ALICE, "two").prove_in_body(&sip.key(&code, "final"));
    assert_eq!(proxy.reason(&proof), Reason::Ok);
}

#[test]
fn a_code_of_somebody_else_registers_nothing() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    assert_eq!(proxy.answer(&Sip::with_code(BOB, "one", &code)), (403, Reason::AorMismatch));
    assert!(proxy.sessions("").is_empty());
    // It was not bound: alice herself still can.
    proxy.sign_in(&Sip::with_code(ALICE, "two", &code));
    assert_eq!(proxy.answer(&Sip::with_code(BOB, "three", &code)), (401, Reason::CodeRefused));
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn a_code_serves_the_address_that_used_it_first() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code_of_many(&["alice", "sales"]);
    proxy.sign_in(&Sip::with_code(ALICE, "one", &code));
    let other = Sip::with_code("sip:sales@example.test", "two", &code);
    assert_eq!(proxy.answer(&other), (401, Reason::CodeRefused));
    assert!(proxy.sessions(&other.to).is_empty());
    let code = plant.endpoint.code_of_many(&["alice", "sales"]);
    proxy.sign_in(&Sip { body: Sip::with_code(ALICE, "", &code).body, ..other });
}

#[test]
fn two_addresses_that_race_for_a_code_get_one_session() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    for round in 0..10 {
        let code = plant.endpoint.code_of_many(&["alice", "sales"]);
        let messages = [ALICE, "sip:sales@example.test"].map(|aor| Sip::with_code(aor, &format!("r{round}"), &code));
        // The exchange binds nothing without a To tag, so that both workers come to it at once.
        proxy.ask(&Sip { reply_to_tag: String::new(), from: BOB.into(), to: BOB.into(), ..messages[0].clone() });
        let reasons: Vec<Reason> = std::thread::scope(|scope| {
            let ask = |sip| {
                let mut worker = proxy.another_worker();
                scope.spawn(move || Sip::read(sip, |r| worker.check(r, &Handling::default())).answer.reason())
            };
            messages.each_ref().map(ask).map(|thread| thread.join().expect("no panic")).into()
        });
        assert_eq!(reasons.iter().filter(|reason| **reason == Reason::Ok).count(), 1, "{reasons:?}");
        for (sip, reason) in messages.iter().zip(&reasons) {
            assert_eq!(proxy.sessions(&sip.to).len(), usize::from(*reason == Reason::Ok), "{reasons:?}");
        }
        proxy.context.admin().revoke_all_sessions().expect("a store");
    }
}

#[test]
fn a_third_party_registration_makes_no_key_even_with_a_rule() {
    let plant = Plant::new();
    for settings in [json!({}), json!({ "provider.third_party": ALICE })] {
        let mut proxy = plant.proxy(&settings);
        for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
            let sip = Sip { from: from.into(), ..Sip::with_code(to, "one", &plant.endpoint.code("alice")) };
            assert_eq!(proxy.answer(&sip), (403, Reason::ThirdPartyRegistration));
            assert_eq!(proxy.answer(&sip), (403, Reason::ThirdPartyRegistration), "again");
        }
        assert!(proxy.sessions("").is_empty());
    }
}

#[test]
fn a_host_that_cannot_wait_gets_the_result_with_the_next_request() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    let handling = Handling { source: "192.0.2.1", no_wait: true, ..Handling::default() };
    let first = sip.read(|request| proxy.worker.check(request, &handling));
    assert!(first.pending.is_none());
    assert_eq!((first.status, first.retry_after), (503, 1));
    let endpoint = &plant.endpoint;
    proxy.until("the code is exchanged", |_| endpoint.exchanges() == 1);
    proxy.until("the phone is in", |proxy| {
        // Each try takes a place, so a phone that asks without a pause is told to wait longer.
        proxy.run_for(Duration::from_millis(100));
        let verdict = sip.read(|request| proxy.worker.check(request, &handling));
        assert!(verdict.status == 200 || verdict.status == 503 && verdict.retry_after > 0, "{verdict:?}");
        verdict.status == 200
    });
    assert_eq!(plant.endpoint.exchanges(), 1);
    assert_eq!(proxy.reason(&Sip::register(ALICE, "p").prove_in_body(&sip.key(&code, "to-one"))), Reason::Ok);
}

#[test]
fn a_server_of_opaque_tokens_signs_users_in_with_keys_that_are_fetched_when_needed() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "provider.tokens": "opaque" }));
    proxy.run_for(Duration::from_millis(200));
    assert_eq!(plant.endpoint.server.count(JWKS), 0, "nothing needs them yet");
    for name in ["one", "two", "three"] {
        proxy.sign_in(&Sip::with_code(ALICE, name, &plant.endpoint.code("alice")));
    }
    assert_eq!((plant.endpoint.exchanges(), plant.endpoint.server.count(JWKS)), (3, 1));
    let key_fetches = &proxy.context.arena().slots()[0].fetches;
    assert_eq!(key_fetches.load(std::sync::atomic::Ordering::Relaxed), 0, "not by the plan for tokens");
}

#[test]
fn a_proxy_that_only_introspects_takes_no_codes() {
    let plant = Plant::new();
    let globals = json!({ "provider.tokens": "opaque", "store": null, "store_key": null, "store_size": null });
    let mut proxy = plant.proxy(&globals);
    let code = Sip::with_code(ALICE, "one", &plant.endpoint.code("alice"));
    assert_eq!(proxy.answer(&code), (401, Reason::NoCredentials));
    let key = code.key("a-code", "to-one");
    assert_eq!(proxy.answer(&Sip::register(ALICE, "two").prove_in_header(&key)), (401, Reason::PopUnsupported));
    assert_eq!(plant.endpoint.exchanges(), 0);
}

#[test]
fn tokens_that_come_in_an_unusual_shape_are_used() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "provider.required_scopes": "sip" }));
    let shapes = [
        json!({ "expires_in": "3600" }),
        json!({ "expires_in": 3600.5 }),
        json!({ "scope": ["openid", null, "sip"] }),
        json!({ "token_type": null }),
        json!({ "token_type": "" }),
        json!({ "error": "", "error_description": "" }),
        json!({ "error": null, "master-key": null, "expires_in": null }),
        json!({ "expires_in": -1 }),
        json!({ "expires_in": "" }),
        json!({ "expires_in": false, "error": false }),
        json!({ "expires_in": 1e16, "error": [] }),
        json!({ "scope": ["openid", 7, "sip"], "error": 0 }),
        json!({ "scope": format!("{}sip", "scope-of-a-busy-user ".repeat(400)) }),
        json!({ "token_type": "BearerToken", "refresh_token": false }),
        json!({ "token_type": "urn:ietf:params:oauth:token-type:access_token" }),
    ];
    for (i, shape) in shapes.into_iter().enumerate() {
        plant.endpoint.add_to_answers(shape.clone());
        let sip = Sip::with_code(ALICE, &format!("shape-{i}"), &plant.endpoint.code("alice"));
        assert_eq!(proxy.answer(&sip), (200, Reason::Ok), "{shape}\n{}", proxy.log.text());
    }
    let log = proxy.log.text();
    for odd in ["expires_in is -1, and counts as absent", "token_type is 'BearerToken', and is read as Bearer"] {
        assert!(log.contains("provider 'as': an answer with tokens is odd: ") && log.contains(odd), "{odd}: {log}");
    }
}

#[test]
fn azure_long_codes_are_exchanged() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    for length in [2400, 4200, 8192] {
        let code = "+".repeat(length);
        plant.endpoint.add_code(&code, &["alice"]);
        let name = format!("long-{length}");
        let body = format!("grant_type=authorization_code&code={}", "%2B".repeat(length));
        let sip = Sip::register(ALICE, &name).body(&body);
        assert_eq!(proxy.answer(&sip), (200, Reason::Ok), "{length}: {}", proxy.log.text());
    }
}
