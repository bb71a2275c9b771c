// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages that are too large or too many.

use crate::stack::{Stack, configured, scripted_provider};
use crate::support::scripted_server::{self, ScriptedServer};
use crate::support::sip::Request;
use crate::support::token::{self, TestKey};
use std::time::Duration;

const ALICE: &str = "sip:alice@example.test";

#[test]
fn a_token_of_28_kilobytes_gets_400_with_the_reason() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    let mut claims = token::claims(&server.issuer(), "sip", "alice", 300);
    let small = key.token("ES256", &claims);
    claims["groups"] = "x".repeat(21_000).into();
    let large = key.token("ES256", &claims);
    assert!(large.len() > 28_000, "{}", large.len());
    let reply = stack.register(&mut stack.tcp(), ALICE, &large);
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.reason.contains("max_token_size"), "{}", reply.reason);
    assert_eq!(stack.counter("reason_token_too_large"), 1);
    assert_eq!(stack.register(&mut stack.tcp(), ALICE, &small).status, 200);
    stack.finish();
}

/// A user with a token cannot fill the memory of the registrar.
#[test]
fn contacts_of_one_user_are_limited() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)).define("MAX_CONTACTS", 64));
    stack.wait_for_keys();
    let token = key.token("ES256", &token::claims(&server.issuer(), "sip", "alice", 300));
    let register = |first: usize, count: usize| {
        let contacts: Vec<_> = (first..first + count).map(|port| format!("<sip:alice@127.0.0.1:{port}>")).collect();
        let mut request = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
        request.set("Contact", contacts.join(", "));
        stack.request(&mut stack.tcp(), &request).status
    };
    assert_eq!([register(10_000, 40), register(11_000, 24), register(12_000, 1)], [200, 200, 503]);
    let mut phone = stack.udp();
    let mut one_more = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
    one_more.set("Contact", "<sip:alice@127.0.0.1:12000>");
    phone.send(&one_more).expect("sent");
    assert_eq!(phone.receive().expect("a reply").status, 503);
    let second = phone.receive_octets(Duration::from_millis(500));
    assert!(second.is_err(), "one final reply: {}", String::from_utf8_lossy(&second.unwrap_or_default()));
    assert_eq!(register(10_000, 40), 200, "the bindings that are there are refreshed");
    stack.finish();
}

#[test]
fn more_credentials_than_are_looked_at_are_refused() {
    let server = ScriptedServer::start(scripted_server::key_set(&[TestKey::p256("k").jwk()]));
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    let credentials =
        [("Bearer a.b.c", 17), ("Bearer a.b.c", 400), ("Digest realm=\"x\"", 17), ("Key-Derivation x", 99)];
    for (credential, count) in credentials {
        let mut request = Request::register(ALICE);
        for _ in 0..count {
            request.add("Authorization", credential);
        }
        let reply = stack.request(&mut stack.tcp(), &request);
        assert_eq!(reply.status, 400, "{count} of {credential}: {reply:?}");
    }
    assert_eq!(stack.counter("reason_credentials_malformed"), 4);
    stack.finish();
}

#[test]
fn a_token_that_is_large_for_udp_is_hinted_at_once() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)).workers(1));
    stack.wait_for_keys();
    let mut claims = token::claims(&server.issuer(), "sip", "alice", 300);
    let small = key.token("ES256", &claims);
    claims["groups"] = "x".repeat(1200).into();
    // A token that is known already is accepted at a glance.
    let [elsewhere, large] = [(); 2].map(|()| key.token("ES256", &claims));
    let hints = || stack.module_log().matches("octets over UDP").count();
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &small).status, 200);
    assert_eq!(stack.register(&mut stack.tcp(), ALICE, &elsewhere).status, 200);
    // As large, but nothing of ours: the credentials are those of another scheme.
    let mut digest = Request::register(ALICE);
    digest.set(
        "Authorization",
        format!("Digest username=\"alice\", realm=\"example.test\", nonce=\"{}\"", "0".repeat(1400)),
    );
    assert_eq!(stack.request(&mut stack.udp(), &digest).status, 401);
    assert_eq!(hints(), 0, "{}", stack.module_log());
    for _ in 0..3 {
        assert_eq!(stack.register(&mut stack.udp(), ALICE, &large).status, 200);
    }
    assert_eq!(hints(), 1, "{}", stack.module_log());
    stack.finish();
}

#[test]
fn a_header_of_one_megabyte_ends_the_connection_and_nothing_else() {
    let (server, mut stack) = Stack::with_server("registrar-sso.cfg");
    let mut phone = stack.tcp();
    let register = Request::register(ALICE).with("Authorization", format!("Bearer {}", "A".repeat(1 << 20)));
    // Kamailio's own limit (tcp_rd_buf_size) is smaller: it closes the connection, at the latest with the answer.
    let answered = phone.request(&register);
    assert!(answered.is_err(), "{answered:?}");
    assert!(stack.kamailio.is_alive());
    assert_eq!(stack.register(&mut stack.tcp(), ALICE, &server.token("alice", "es256")).status, 200);
    stack.finish();
}

#[test]
fn requests_without_the_usual_headers_are_answered() {
    let (server, mut stack) = Stack::with_server("registrar-sso.cfg");
    let token = stack.secrets.keep(server.token("alice", "es256"));
    for missing in ["From", "To", "Call-ID", "CSeq", "Contact"] {
        let mut register = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
        register.headers.retain(|(name, _)| name != missing);
        // sanity_check answers most of them, or drops what cannot be answered.
        let _ = stack.tcp().timeout(std::time::Duration::from_millis(300)).request(&register);
    }
    for odd in ["Bearer", "Bearer \"", "Bearer token=", "Bearer \u{fffd}", "Bearer a,b,c", "bearer\tx y"] {
        let register = Request::register(ALICE).with("Authorization", odd);
        assert_eq!(stack.request(&mut stack.udp(), &register).status, 400, "{odd}");
    }
    assert!(stack.kamailio.is_alive());
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &token).status, 200);
    stack.finish();
}

/// With the module that `tools/test.sh` builds with the feature `fault-injection`.
#[test]
fn a_panic_in_the_core_costs_one_request() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let provider = scripted_provider(&server);
    let mut stack = Stack::new(configured("registrar-sso.cfg", &provider).modules("kamailio-fault"));
    stack.wait_for_keys();
    let good = key.token("ES256", &token::claims(&server.issuer(), "sip", "alice", 300));
    for transport in ["udp", "tcp", "udp", "tcp"] {
        let mut phone = if transport == "udp" { stack.udp() } else { stack.tcp() };
        let reply = stack.register(&mut phone, ALICE, "panic-now.in-the-middle.of-a-check");
        assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("5")), "{reply:?}");
        assert_eq!(stack.register(&mut phone, ALICE, &good).status, 200);
    }
    assert_eq!(stack.counter("panics"), 4);
    assert!(stack.module_log().contains("internal error caught at src/"), "{}", stack.module_log());
    assert!(stack.kamailio.is_alive());
    stack.finish();
}
