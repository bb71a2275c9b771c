// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keys over time: rotation, forged key ids, an authorization server that is down, slow or broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::stack::{Stack, configured, example, scripted_provider};
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::patience::{self, PATIENCE};
use crate::support::scripted_server::{self, Answer, JWKS, ScriptedServer};
use crate::support::sip::{Reply, Request};
use crate::support::token::{self, TestKey};

const ALICE: &str = "sip:alice@example.test";

fn claims(server: &ScriptedServer) -> serde_json::Value {
    token::claims(&server.issuer(), "sip", "alice", 300)
}

#[test]
fn a_rotated_key_is_served_after_one_fetch() {
    let (server, stack) = Stack::with_server("registrar-sso.cfg");
    let old = server.token("alice", "es256");
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &old).status, 200);
    server.clear();
    server.rotate(1);
    let new = server.token("alice", "es256");
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &new).status, 200, "{}", stack.module_log());
    assert_eq!(stack.register(&mut stack.tcp(), ALICE, &new).status, 200);
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &old).status, 200, "the old key is still published");
    assert_eq!(server.stats().get("/jwks"), Some(&1));
    assert_eq!((stack.counter("suspended"), stack.counter("resumed")), (1, 1));
    stack.finish();
}

#[test]
fn forged_key_ids_cause_few_fetches_and_no_200() {
    let key = TestKey::p256("good");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    // The limits as configured: a burst of 3, one more per 10 seconds, 2 per minute and source address.
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    let before = server.count(JWKS);
    let minute = || token::now().unsigned_abs() / 60;
    let begun = minute();
    let mut statuses = std::collections::BTreeMap::<u16, u32>::new();
    for i in 0..500 {
        let mut claims = claims(&server);
        // Every other one says that it is older than the proxy's keys.
        claims["iat"] = json!(token::now() - 100 * (i % 2));
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("forged-{i}")});
        let reply = stack.register(&mut stack.udp(), ALICE, &key.jws("ES256", &header, &claims));
        *statuses.entry(reply.status).or_default() += 1;
    }
    let fetches = server.count(JWKS) - before;
    // The allowance counts by the minute, and a new one may begin meanwhile.
    let minutes = minute() - begun + 1;
    assert!((1..=2 * minutes).contains(&fetches), "{fetches} fetches in {minutes} minutes");
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [401, 503], "{statuses:?}");
    assert_eq!(stack.counter("accepted"), 0);
    let good = key.token("ES256", &claims(&server));
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &good).status, 200, "a good token is not disturbed");
    stack.finish();
}

#[test]
fn a_stopped_server_is_an_outage_and_not_a_denial() {
    let mut server = AuthorizationServer::start_with(Options { keep_keys: true, ..Options::default() });
    let stack = Stack::new(example("registrar-sso.cfg", server.issuer()));
    stack.wait_for_keys();
    let (known, other) = (server.token("alice", "es256"), server.token("alice", "rs256"));
    server.rotate(1);
    let unknown = server.token("alice", "es256");
    server.stop();
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &known).status, 200);
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &other).status, 200, "a new token of a known key");
    for _ in 0..3 {
        let reply = stack.register(&mut stack.udp(), ALICE, &unknown);
        assert_eq!(reply.status, 503, "{}", stack.module_log());
        let wait: u32 = reply.header("Retry-After").expect("Retry-After").parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
        assert!(reply.all("WWW-Authenticate").is_empty());
    }
    server.restart();
    stack.wait_until("the proxy recovers", || stack.register(&mut stack.udp(), ALICE, &unknown).status == 200);
    stack.finish();
}

#[test]
fn the_proxy_starts_while_the_server_is_down_and_says_so() {
    let key = TestKey::p256("k");
    let mut server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    server.stop();
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)));
    stack.wait_until("the outage is logged", || stack.module_log().contains("provider 'test': keys cannot be fetched"));
    assert_eq!(stack.udp().register(ALICE, None).expect("an answer").status, 401, "phones are still challenged");
    let good = key.token("ES256", &claims(&server));
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &good).status, 503);
    let state = stack.rpc("auth_oauth.providers", &[]).expect("state");
    assert!(state.contains("last_error") && state.contains("failures"), "{state}");
    server.restart();
    stack.wait_until("it recovers by itself", || stack.register(&mut stack.udp(), ALICE, &good).status == 200);
    stack.finish();
}

#[test]
fn a_request_waits_for_a_slow_server_and_others_do_not() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(scripted_server::key_set(&[old.jwk()]));
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    let both = scripted_server::key_set(&[old.jwk(), new.jwk()]);
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    server.set(
        JWKS,
        Answer::computed(move |_| {
            patience::until(PATIENCE, || gate.load(Ordering::Relaxed));
            Answer::Json(both.clone())
        }),
    );
    let token = stack.secrets.keep(new.token("ES256", &claims(&server)));
    let mut slow = stack.udp();
    let register = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
    let octets = slow.send(&register).expect("sent");
    // A copy of the same request, as its sender repeats it, must not start anything new.
    slow.send_octets(&octets).expect("sent");
    for _ in 0..50 {
        let other = old.token("ES256", &claims(&server));
        assert_eq!(stack.register(&mut stack.udp(), ALICE, &other).status, 200);
    }
    assert_eq!(stack.counter("resumed"), 0, "fifty others were served while one waits");
    open.store(true, Ordering::Relaxed);
    assert_eq!(final_reply(&mut slow).status, 200, "{}", stack.module_log());
    assert_eq!((stack.counter("suspended"), stack.counter("resumed")), (1, 1));
    stack.finish();
}

#[test]
fn a_server_that_hangs_costs_a_bounded_wait() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(scripted_server::key_set(&[old.jwk()]));
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    server.set(JWKS, Answer::Hang);
    let token = stack.secrets.keep(new.token("ES256", &claims(&server)));
    let mut phones: Vec<_> = (0..20).map(|_| stack.udp()).collect();
    for phone in &mut phones {
        let register = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
        phone.send(&register).expect("sent");
    }
    let good = old.token("ES256", &claims(&server));
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &good).status, 200);
    for phone in &mut phones {
        let reply = final_reply(phone);
        assert_eq!(reply.status, 503, "{}", stack.module_log());
        assert!(reply.header("Retry-After").is_some());
    }
    assert_eq!(stack.counter("suspended"), stack.counter("resumed"));
    stack.finish();
}

#[test]
fn more_waiting_requests_than_allowed_are_refused_at_once() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(scripted_server::key_set(&[old.jwk()]));
    let directory = crate::support::temporary::Directory::new("limits");
    let limits = directory.write("limits.toml", "max_pending = 20\npending_timeout = 10\n");
    let builder = configured("registrar-sso.cfg", &scripted_provider(&server));
    let stack = Stack::new(builder.define_string("CONFIG_FILE", limits.to_str().expect("UTF-8")));
    stack.wait_for_keys();
    server.set(JWKS, Answer::Hang);
    let token = stack.secrets.keep(new.token("ES256", &claims(&server)));
    let mut phones: Vec<_> = (0..30).map(|_| stack.udp()).collect();
    for phone in &mut phones {
        phone.send(&Request::register(ALICE).with("Authorization", format!("Bearer {token}"))).expect("sent");
    }
    let replies: Vec<Reply> = phones.iter_mut().map(final_reply).collect();
    assert!(replies.iter().all(|r| r.status == 503), "{}", stack.module_log());
    // All of them come from one source, which has a quarter of the places. Of two workers that see the last of them free,
    // one comes too late for it.
    let [suspended, limited, late] =
        ["suspended", "reason_key_refresh_limited", "reason_overloaded"].map(|name| stack.counter(name));
    assert_eq!((suspended, limited + late), (5, 25), "{limited} {late}");
    stack.finish();
}

/// The first reply that is not provisional: tm sends "100 Trying" for a request that waits.
fn final_reply(phone: &mut crate::support::sip::Client) -> Reply {
    loop {
        let reply = phone.receive_for(PATIENCE).expect("a final reply");
        if reply.status >= 200 {
            return reply;
        }
    }
}
