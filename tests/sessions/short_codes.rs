// SPDX-License-Identifier: MIT OR Apache-2.0

//! Codes typed on a keypad, and how many codes one source may try.

use crate::phone::{ALICE, BOB, Sip};
use crate::plant::Plant;
use serde_json::json;
use sipoauth_core::reason::Reason;

const CODE: &str = "48151623";

#[test]
fn a_short_code_needs_a_protected_transport() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    plant.endpoint.add_code(CODE, &["alice"]);
    let sip = Sip::with_code(ALICE, "one", CODE);
    for transport in ["udp", "tcp", "ws", "sctp", ""] {
        assert_eq!(proxy.answer(&sip.clone().over(transport)), (403, Reason::ShortCodeUnprotected), "{transport}");
    }
    assert_eq!(plant.endpoint.exchanges(), 0);
    proxy.sign_in(&sip.clone().over("wss"));
    assert!(proxy.sessions(ALICE)[0].session.weak);
    let key = sip.key(CODE, "to-one");
    for (transport, wanted) in [
        ("tls", (200, Reason::Ok)),
        ("wss", (200, Reason::Ok)),
        ("udp", (403, Reason::ShortCodeUnprotected)),
        ("tcp", (403, Reason::ShortCodeUnprotected)),
        ("ws", (403, Reason::ShortCodeUnprotected)),
    ] {
        let proof = Sip::register(ALICE, &format!("p-{transport}")).prove_in_body(&key).over(transport);
        assert_eq!(proxy.answer(&proof), wanted, "{transport}");
    }
}

#[test]
fn a_guessed_code_is_of_no_use_and_does_not_tell_that_it_was_right() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    plant.endpoint.add_code(CODE, &["alice"]);
    let guessed = Sip::with_code(BOB, "mallory", CODE).over("tls");
    assert_eq!(proxy.answer(&guessed), (401, Reason::CodeRefused), "as if it was wrong");
    assert_eq!(proxy.answer(&Sip::with_code(ALICE, "mallory", CODE).over("tls")), (401, Reason::CodeRefused));
    assert_eq!(plant.endpoint.exchanges(), 1);
    assert!(proxy.sessions(ALICE).is_empty() && proxy.sessions(BOB).is_empty());
}

#[test]
fn a_short_code_whose_scopes_allow_no_registration_is_no_attack() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "provider.method_scopes": "REGISTER=sip.register" }));
    plant.endpoint.add_code(CODE, &["alice"]);
    for _ in 0..2 {
        let verdict = proxy.ask(&Sip::with_code(ALICE, "one", CODE).over("tls"));
        assert_eq!((verdict.status, verdict.answer.reason()), (401, Reason::InsufficientScope));
        assert_eq!(verdict.needed_scope, "sip.register");
    }
    assert!(proxy.sessions("").is_empty() && plant.endpoint.exchanges() == 1);
    let log = proxy.log.text();
    assert!(!log.contains("another user's address") && log.contains("401 insufficient_scope"), "{log}");
}

#[test]
fn a_source_is_a_network_of_one_host() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "source_limit": 12 }));
    for i in 0..4 {
        let sip = Sip::with_code(&format!("sip:user{i}@example.test"), "one", &format!("1000000{i}")).over("tls");
        let sip = Sip { source: (format!("2001:db8:0:1::{i:x}"), 5061), ..sip };
        let wanted = if i < 2 { (401, Reason::CodeRefused) } else { (403, Reason::CodeTries) };
        assert_eq!(proxy.answer(&sip), wanted, "{i}");
    }
}

#[test]
fn a_short_code_passes_unprotected_where_that_is_set() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "allow": "unprotected_short_codes" }));
    plant.endpoint.add_code(CODE, &["alice"]);
    let sip = Sip::with_code(ALICE, "one", CODE).over("udp");
    proxy.sign_in(&sip);
    let proof = Sip::register(ALICE, "p").prove_in_body(&sip.key(CODE, "to-one")).over("udp");
    assert_eq!(proxy.answer(&proof), (200, Reason::Ok));
}

#[test]
fn a_long_code_passes_over_udp() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code).over("udp");
    proxy.sign_in(&sip);
    let proof = Sip::register(ALICE, "p").prove_in_body(&sip.key(&code, "to-one")).over("udp");
    assert_eq!(proxy.answer(&proof), (200, Reason::Ok));
}

#[test]
fn tries_are_limited_for_each_address() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "short_code_tries": 3 }));
    let guess = |aor: &str, i: u32, source: &str| {
        let sip = Sip::with_code(aor, "one", &format!("{:08}", 10_000_000 + i));
        Sip { source: (source.into(), 5060), ..sip }
    };
    for i in 0..3 {
        let sip = guess(ALICE, i, &format!("192.0.2.{i}"));
        assert_eq!(proxy.answer(&sip), (401, Reason::CodeRefused));
        assert_eq!(proxy.answer(&sip), (401, Reason::CodeRefused), "the same one again is no try");
    }
    assert_eq!(proxy.answer(&guess(ALICE, 3, "192.0.2.9")), (403, Reason::CodeTries));
    let log = proxy.log.text();
    let line = log.lines().rfind(|line| line.contains("code_tries")).expect("a line");
    assert!(line.contains(&format!(" aor={ALICE}")) && line.contains(" source=192.0.2.9"), "{line}");
    assert_eq!(proxy.answer(&guess(BOB, 4, "192.0.2.9")), (401, Reason::CodeRefused));
    let code = plant.endpoint.code("alice");
    proxy.sign_in(&Sip::with_code(ALICE, "long", &code));
    assert_eq!(plant.endpoint.exchanges(), 5);
}

#[test]
fn tries_are_limited_for_each_source() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "source_limit": 24 }));
    for i in 0..6 {
        let sip = Sip::with_code(&format!("sip:user{i}@example.test"), "one", &format!("{}", 20_000_000 + i));
        let wanted = if i < 4 { (401, Reason::CodeRefused) } else { (403, Reason::CodeTries) };
        assert_eq!(proxy.answer(&sip), wanted, "{i}");
    }
    assert_eq!(plant.endpoint.exchanges(), 4);
}

#[test]
fn codes_are_limited_for_each_source() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "source_limit": 3 }));
    let from = |source: &str, i: u32| {
        let sip = Sip::with_code(ALICE, "one", &format!("a-code-that-nobody-has-given-out-{i:04}"));
        Sip { source: (source.into(), 5060), ..sip }
    };
    // The limit counts by the minute; a new one may begin meanwhile.
    let mut answers = (0..8).map(|i| proxy.ask(&from("192.0.2.1", i)));
    let limited = answers.find(|verdict| verdict.answer.reason() != Reason::CodeRefused).expect("a limit");
    assert_eq!((limited.status, limited.answer.reason(), limited.retry_after), (503, Reason::CodeLimited, 5));
    drop(answers);
    assert!((3..=6).contains(&plant.endpoint.exchanges()), "{}", plant.endpoint.exchanges());
    assert_eq!(proxy.reason(&from("192.0.2.2", 100)), Reason::CodeRefused);
}

#[test]
fn a_source_beyond_its_limit_costs_no_address_its_tries() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "source_limit": 12, "short_code_tries": 3 }));
    let guess = |aor: &str, code: u32, source: &str| {
        let sip = Sip::with_code(aor, "one", &format!("{code:08}")).over("tls");
        Sip { source: (source.into(), 5061), ..sip }
    };
    let address = |i: u32| format!("sip:user{i}@example.test");
    for i in 0..2 {
        assert_eq!(proxy.answer(&guess(&address(i), 30_000_000 + i, "192.0.2.66")), (401, Reason::CodeRefused), "{i}");
    }
    // More than any address may be tried, for the two addresses and for others.
    for i in 0..16 {
        let guess = guess(&address(i % 4), 31_000_000 + i, "192.0.2.66");
        assert_eq!(proxy.answer(&guess), (403, Reason::CodeTries), "{i}");
    }
    for i in 0..4 {
        let left = if i < 2 { 2 } else { 3 };
        for turn in 0..left {
            let own = guess(&address(i), 32_000_000 + 10 * i + turn, &format!("198.51.100.{}", 10 * i + turn));
            assert_eq!(proxy.answer(&own), (401, Reason::CodeRefused), "{i}, {turn}");
        }
        let own = guess(&address(i), 33_000_000 + i, &format!("198.51.100.{}", 100 + i));
        assert_eq!(proxy.answer(&own), (403, Reason::CodeTries), "{i}");
    }
}
