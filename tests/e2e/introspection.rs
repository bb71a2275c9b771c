// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opaque tokens of the real server, and signed ones that their server must confirm.

use crate::stack::{Stack, configured, scripted_provider};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::kamailio::Builder;
use crate::support::scripted_server::{Answer, Received, ScriptedServer, key_set};
use crate::support::sip::{Client, Request};
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};
use serde_json::json;
use sipoauth_core::text::form;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ALICE: &str = "sip:alice@example.test";
const SECRET: &str = "rs-secret";

fn provider(server: &AuthorizationServer, resource: &str, further: &str) -> String {
    let (issuer, audience) = (server.issuer(), AuthorizationServer::resource(resource));
    format!(
        "name=test;issuer={issuer};audience={audience};aor={{sip}};domain=example.test;\
         client_id=sip-rs;client_secret={SECRET};{further}"
    )
}

fn start(server: &AuthorizationServer, resource: &str, further: &str, change: impl Fn(Builder) -> Builder) -> Stack {
    let stack = Stack::new(change(configured("registrar-sso.cfg", &provider(server, resource, further))));
    stack.secrets.keep(SECRET);
    stack
}

/// The same for opaque tokens, with so many places for requests that wait. One source has a quarter of them.
fn start_with_places(server: &AuthorizationServer, places: usize) -> (Directory, Stack) {
    let directory = Directory::new("limits");
    let limits = directory.write("limits.toml", format!("max_pending = {places}\n"));
    let limits = limits.to_str().expect("UTF-8");
    let stack = start(server, "opaque", "tokens=opaque", |b| b.workers(4).define_string("CONFIG_FILE", limits));
    (directory, stack)
}

#[test]
fn an_opaque_token_registers_and_calls_after_one_introspection() {
    let server = AuthorizationServer::start();
    let stack = start(&server, "opaque", "tokens=opaque", |b| b.workers(4));
    let token = server.token("alice", "opaque");
    let reply = stack.register(&mut stack.udp(), ALICE, &token);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    for _ in 0..8 {
        assert_eq!(stack.register(&mut stack.udp(), ALICE, &token).status, 200);
        assert_eq!(stack.register(&mut stack.tcp(), ALICE, &token).status, 200);
    }
    let reply = stack.register(&mut stack.udp(), "sip:bob@example.test", &token);
    assert_eq!(reply.status, 403, "another user's address: {reply:?}");
    let message = Request::new("MESSAGE", "sip:nobody@example.test", ALICE)
        .with("Authorization", format!("Bearer {token}"))
        .with_body("text/plain", "hello");
    assert_eq!(stack.request(&mut stack.udp(), &message).status, 404, "accepted, but nobody is there");
    assert_eq!(server.stats().get("/token/introspection"), Some(&1));
    let counters = ["introspections", "introspection_errors", "suspended", "resumed"].map(|name| stack.counter(name));
    assert_eq!(counters, [1, 0, 1, 1]);

    let unknown = stack.register(&mut stack.udp(), ALICE, "no-token-of-this-server-0123456789");
    assert_eq!(unknown.status, 401, "{unknown:?}");
    assert!(unknown.header("WWW-Authenticate").expect("a challenge").contains("error=\"invalid_token\""));
    assert_eq!(stack.counter("reason_token_inactive"), 1);
    stack.finish();
}

#[test]
fn a_revoked_token_is_refused_when_its_answer_is_old() {
    let server = AuthorizationServer::start();
    let stack = start(&server, "opaque", "tokens=opaque;introspection_cache=3", |b| b);
    let token = server.token("alice", "opaque");
    let begin = Instant::now();
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &token).status, 200, "{}", stack.module_log());
    server.revoke(&token);
    let again = stack.register(&mut stack.udp(), ALICE, &token).status;
    assert!(again == 200 || begin.elapsed() >= Duration::from_secs(3), "the answer is not old yet: {again}");
    std::thread::sleep(Duration::from_secs(5));
    let reply = stack.register(&mut stack.udp(), ALICE, &token);
    assert_eq!(reply.status, 401, "{reply:?}\n{}", stack.module_log());
    assert_eq!(stack.counter("reason_token_inactive"), 1);
    stack.finish();
}

#[test]
fn with_the_strict_strategy_a_revocation_counts_at_once() {
    let server = AuthorizationServer::start();
    let stack = start(&server, "opaque", "tokens=opaque;introspection_cache=0", |b| b);
    let token = server.token("alice", "opaque");
    for _ in 0..3 {
        let reply = stack.register(&mut stack.udp(), ALICE, &token);
        assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    }
    server.revoke(&token);
    let reply = stack.register(&mut stack.udp(), ALICE, &token);
    assert_eq!(reply.status, 401, "{reply:?}\n{}", stack.module_log());
    assert_eq!(server.stats().get("/token/introspection"), Some(&4));
    stack.finish();
}

#[test]
fn a_wrong_client_secret_is_the_operators_trouble_and_not_the_users() {
    let server = AuthorizationServer::start();
    let wrong = provider(&server, "opaque", "tokens=opaque").replace(SECRET, "not-the-secret-of-this-client");
    let stack = Stack::new(configured("registrar-sso.cfg", &wrong));
    stack.secrets.keep("not-the-secret-of-this-client");
    let reply = stack.register(&mut stack.udp(), ALICE, &server.token("alice", "opaque"));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("Retry-After").is_some() && reply.all("WWW-Authenticate").is_empty(), "{reply:?}");
    stack.wait_until("the log says so", || stack.module_log().contains("a token cannot be introspected (1 in a row)"));
    let log = stack.module_log();
    assert!(log.contains("invalid_client"), "{log}");
    assert!(log.contains("client_refused") && log.contains("client_id, client_secret"), "{log}");
    stack.finish();
}

#[test]
fn two_hundred_simultaneous_requests_with_one_new_token_cause_one_introspection() {
    let server = AuthorizationServer::start();
    let (_directory, stack) = start_with_places(&server, 1000);
    let token = stack.secrets.keep(server.token("alice", "opaque"));
    server.fault("/token/introspection", &[("delay", "400")]);
    let mut phones: Vec<Client> = (0..200).map(|_| stack.udp()).collect();
    for phone in &mut phones {
        let register = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
        phone.send(&register).expect("sent");
    }
    for phone in &mut phones {
        let reply = stack.note(phone.receive().expect("an answer"));
        assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    }
    assert_eq!(server.stats().get("/token/introspection"), Some(&1));
    assert_eq!(stack.counter("introspections"), 1);
    stack.finish();
}

#[test]
fn a_burst_waits_for_an_io_process_that_has_no_time() {
    const BURST: usize = 400;
    let server = AuthorizationServer::start();
    let (_directory, stack) = start_with_places(&server, 1600);
    let token = stack.secrets.keep(server.token("alice", "opaque"));
    let processes = stack.kamailio.processes();
    let io = processes.iter().find(|(_, name)| name == "auth_oauth io").expect("it runs").0.to_string();
    let mut phones: Vec<Client> = (0..BURST).map(|_| stack.udp()).collect();
    crate::support::process::signal("STOP", &io);
    for (number, phone) in phones.iter_mut().enumerate() {
        phone.send(&Request::register(ALICE).with("Authorization", format!("Bearer {token}"))).expect("sent");
        // The proxy's socket is not what is to be full.
        if (number + 1) % 50 == 0 {
            stack.wait_until("all wait", || stack.counter("pending") == number as u64 + 1);
        }
    }
    crate::support::process::signal("CONT", &io);
    for phone in &mut phones {
        let reply = stack.note(phone.receive().expect("an answer"));
        assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    }
    assert_eq!(server.stats().get("/token/introspection"), Some(&1));
    stack.finish();
}

#[test]
fn a_server_that_is_away_is_an_outage_for_new_tokens_only() {
    let mut server = AuthorizationServer::start();
    let stack = start(&server, "opaque", "tokens=opaque;introspection_cache=3600", |b| b);
    let (known, new) = (server.token("alice", "opaque"), server.token("alice", "opaque"));
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &known).status, 200);
    server.stop();
    for _ in 0..5 {
        let reply = stack.register(&mut stack.udp(), ALICE, &new);
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(reply.header("Retry-After").is_some() && reply.all("WWW-Authenticate").is_empty());
        assert_eq!(stack.register(&mut stack.udp(), ALICE, &known).status, 200);
    }
    stack.finish();
}

/// The real server keeps no JWT, so it confirms none.
#[test]
fn a_signed_token_is_confirmed_for_each_request_and_a_revocation_counts_at_once() {
    let key = TestKey::p256("k");
    let mut server = ScriptedServer::start(key_set(&[key.jwk()]));
    let revoked = Arc::<Mutex<HashSet<String>>>::default();
    let known = Arc::clone(&revoked);
    let confirm = move |request: &Received| {
        let pairs = form::parse(request.body.as_bytes()).unwrap_or_default();
        let asked = pairs.iter().find(|(name, _)| name == "token").map_or("", |(_, value)| &**value);
        Answer::Json(json!({ "active": !known.lock().expect("no panic while held").contains(asked) }))
    };
    server.set("/introspect", Answer::computed(confirm));
    let line = format!(
        "{};tokens=jwt_and_introspection;client_id=sip-proxy;client_secret={SECRET};introspection_endpoint={}",
        scripted_provider(&server),
        server.url("/introspect")
    );
    let stack = Stack::new(configured("registrar-sso.cfg", &line).workers(4));
    stack.secrets.keep(SECRET);
    stack.wait_for_keys();
    let issuer = server.issuer();
    let issued = |key: &TestKey, lifetime| {
        stack.secrets.keep(key.token("ES256", &token::claims(&issuer, "sip", "alice", lifetime)))
    };
    let (first, second) = (issued(&key, 300), issued(&key, 400));
    let status = |token: &str| stack.register(&mut stack.udp(), ALICE, token).status;
    for asked in 1..=3 {
        assert_eq!(status(&first), 200, "{}", stack.module_log());
        assert_eq!(server.count("/introspect"), asked);
    }
    assert_eq!(status(&issued(&TestKey::p256("k"), 300)), 401, "forged");
    assert_eq!(status(&issued(&key, -300)), 401, "expired");
    assert_eq!(server.count("/introspect"), 3, "only good ones are asked about");

    revoked.lock().expect("no panic while held").insert(first.clone());
    let reply = stack.register(&mut stack.udp(), ALICE, &first);
    assert_eq!(reply.status, 401, "{reply:?}\n{}", stack.module_log());
    assert!(reply.header("WWW-Authenticate").expect("a challenge").contains("error=\"invalid_token\""));
    assert_eq!((status(&second), stack.counter("reason_token_inactive")), (200, 1));

    server.stop();
    for token in [&second, &issued(&key, 500)] {
        let reply = stack.register(&mut stack.udp(), ALICE, token);
        assert_eq!(reply.status, 503, "known keys alone accept and refuse nobody: {reply:?}");
        assert!(reply.header("Retry-After").is_some() && reply.all("WWW-Authenticate").is_empty());
    }
    stack.finish();
}
