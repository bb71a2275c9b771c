// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tokens that end after five seconds: phones notice nothing while the proxy can refresh them, are challenged when the
//! server refuses, and come back later while it is away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::phones::{ALICE, aor, proxy_provider, registered, registration_with_proof, run, sign_in, stored};
use crate::stack::Stack;
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::fault_proxy::{FaultProxy, Mode};
use crate::support::temporary::Directory;

const TTL: u32 = 5;
const SECONDS: u64 = 60;
const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

struct Plant {
    _directory: Directory,
    server: AuthorizationServer,
    faults: FaultProxy,
    stack: Stack,
}

/// The proxy reaches the token endpoint through the faults, and tolerates three seconds only.
fn start() -> Plant {
    let directory = Directory::new("refresh");
    let options = Options { access_token_ttl: Some(TTL), ..Options::default() };
    let server = AuthorizationServer::start_with(options);
    let port = server.issuer().rsplit(':').next().and_then(|port| port.parse().ok());
    let faults = FaultProxy::start(port.expect("the issuer has a port"));
    let endpoint = format!("http://127.0.0.1:{}/token", faults.port());
    let provider = format!("{};leeway=3;token_endpoint={endpoint}", proxy_provider(&server));
    let stack = run(stored("public-ua.cfg", &provider, &directory).workers(4));
    Plant { _directory: directory, server, faults, stack }
}

impl Plant {
    fn phone(&self, user: &str) -> Vec<u8> {
        registered(&self.stack, &aor(user), &sign_in(&self.stack, &self.server, user))
    }
}

#[test]
fn phones_notice_nothing_of_a_minute_of_short_tokens() {
    let plant = start();
    let Plant { server, stack, .. } = &plant;
    let keys = USERS.map(|user| plant.phone(user));
    let start = Instant::now();
    let mut proofs = 0;
    while start.elapsed() < Duration::from_secs(SECONDS) {
        for (user, key) in USERS.iter().zip(&keys) {
            let reply = registration_with_proof(stack, &aor(user), key);
            assert_eq!(reply.status, 200, "{:?}: {reply:?}\n{}", start.elapsed(), stack.module_log());
            proofs += 1;
        }
        std::thread::sleep(Duration::from_millis(1700));
    }
    // One may be under way.
    let asked = |stats: &BTreeMap<String, u64>| stats.get("/token refresh_token").copied().unwrap_or(0);
    stack.wait_until("both count the same", || asked(&server.stats()) == stack.counter("refreshes"));
    let stats = server.stats();
    let refreshes = asked(&stats);
    println!("{proofs} proofs, {refreshes} refreshes of {} sessions in {SECONDS} s: {stats:?}", USERS.len());
    let refused: Vec<_> = stats.keys().filter(|name| name.starts_with("/token refresh_token ")).collect();
    assert!(refused.is_empty(), "{stats:?}");
    // One at a time: at most one in three seconds, and one before each end.
    let sessions = USERS.len() as u64;
    assert!(refreshes <= sessions * SECONDS / 2, "{refreshes}");
    assert!(refreshes >= sessions * (SECONDS / u64::from(TTL + 2)), "{refreshes}");
    assert_eq!(stack.counter("refresh_errors"), 0);
    assert_eq!((stack.counter("reason_session_ended"), stack.counter("reason_refresh_overdue")), (0, 0));
    plant.stack.finish();
}

#[test]
fn a_refused_refresh_ends_the_session_with_a_challenge() {
    let plant = start();
    let Plant { server, stack, .. } = &plant;
    let key = plant.phone("alice");
    assert_eq!(registration_with_proof(stack, ALICE, &key).status, 200);
    let refusal = r#"{"error":"invalid_grant","error_description":"grant request is invalid"}"#;
    server.fault("/token", &[("status", "400"), ("body", refusal)]);
    let start = Instant::now();
    let challenged = loop {
        let reply = registration_with_proof(stack, ALICE, &key);
        if reply.status != 200 {
            break reply;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "no end\n{}", stack.module_log());
        std::thread::sleep(Duration::from_millis(300));
    };
    assert_eq!(challenged.status, 401, "{challenged:?}\n{}", stack.module_log());
    let challenge = challenged.header("WWW-Authenticate").expect("a challenge");
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    assert_eq!(stack.counter("reason_session_ended"), 1, "{}", stack.module_log());
    println!("challenged after {:?}", start.elapsed());
    server.clear();
    let key = plant.phone("alice");
    assert_eq!(registration_with_proof(stack, ALICE, &key).status, 200, "signed in again");
    plant.stack.finish();
}

#[test]
fn while_the_server_is_away_phones_come_back_later() {
    let plant = start();
    let Plant { server, faults, stack, .. } = &plant;
    let keys = USERS.map(|user| plant.phone(user));
    let proofs = || USERS.iter().zip(&keys).map(|(user, key)| registration_with_proof(stack, &aor(user), key));
    assert!(proofs().all(|reply| reply.status == 200));
    faults.set(Mode::Refuse);
    let start = Instant::now();
    let mut away = 0;
    while start.elapsed() < Duration::from_secs(12) {
        for reply in proofs() {
            assert!([200, 503].contains(&reply.status), "{reply:?}\n{}", stack.module_log());
            if reply.status == 503 {
                assert!(reply.header("Retry-After").is_some(), "{reply:?}");
                away += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(proofs().all(|reply| reply.status == 503), "the tokens have ended\n{}", stack.module_log());
    assert!(stack.counter("reason_refresh_overdue") >= away);
    server.clear();
    faults.set(Mode::Pass);
    let start = Instant::now();
    while !proofs().all(|reply| reply.status == 200) {
        assert!(start.elapsed() < Duration::from_secs(20), "not in time\n{}", stack.module_log());
        std::thread::sleep(Duration::from_millis(300));
    }
    println!("all five again after {:?}; {away} times 503 before", start.elapsed());
    assert!(!server.stats().contains_key("/token refresh_token invalid_grant"), "{:?}", server.stats());
    assert_eq!(stack.counter("reason_session_ended"), 0);
    plant.stack.finish();
}
