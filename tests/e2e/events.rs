// SPDX-License-Identifier: MIT OR Apache-2.0

//! Event routes: a script hears of requests that were denied and of sessions that have ended.

use crate::phones::{ALICE, proxy_provider, registered, registration_with_proof, run, sign_in, stored};
use crate::stack::{Stack, configured, scripted_provider};
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::kit;
use crate::support::scripted_server::{ScriptedServer, key_set};
use crate::support::sip::Request;
use crate::support::temporary::Directory;
use crate::support::token::{TestKey, claims, unverified_header};

/// What the script has written of events of this kind, one line each, from the kind on.
fn events(stack: &Stack, kind: &str) -> Vec<String> {
    let log = stack.kamailio.log();
    let start = format!("EVENT {kind}");
    log.lines()
        .filter(|line| line.contains("NOTICE"))
        .filter_map(|line| line.find(&start).map(|at| line[at + "EVENT ".len()..].to_owned()))
        .collect()
}

fn one(stack: &Stack, kind: &str) -> String {
    stack.wait_until(&format!("the event {kind}"), || !events(stack, kind).is_empty());
    let mut events = events(stack, kind);
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

#[test]
fn a_denied_request_is_an_event_and_others_are_none() {
    let (known, unknown) = (TestKey::p256("known"), TestKey::p256("unknown"));
    let server = ScriptedServer::start(key_set(&[known.jwk()]));
    let directory = Directory::new("events");
    let stack = run(stored("tests/e2e/events.cfg", &scripted_provider(&server), &directory));
    let token = |key: &TestKey, user: &str| key.token("ES256", &claims(&server.issuer(), "sip", user, 300));
    let mut phone = stack.udp();
    assert_eq!(stack.register(&mut phone, ALICE, &token(&known, "alice")).status, 200);
    assert_eq!(stack.request(&mut phone, &Request::register(ALICE)).status, 401, "no credentials");
    assert!(events(&stack, "denied").is_empty(), "{}", stack.module_log());
    let expired = known.token("ES256", &claims(&server.issuer(), "sip", "alice", -300));
    assert_eq!(stack.register(&mut phone, ALICE, &expired).status, 401);
    assert_eq!(one(&stack, "denied"), "denied REGISTER token_expired sip:alice@example.test 127.0.0.1");
    assert_eq!(events(&stack, "checked"), ["checked -1 token_expired"]);
    // One that has waited is denied once, in another process.
    let forged = unknown.jws("ES256", &unverified_header(&expired), &claims(&server.issuer(), "sip", "alice", 300));
    assert_eq!(stack.register(&mut phone, ALICE, &forged).status, 401);
    let all = events(&stack, "denied");
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[1].contains("REGISTER signature_invalid sip:alice@example.test"), "{all:?}");
    assert_eq!(stack.counter("suspended"), 1);
    stack.finish();
}

#[test]
fn the_end_of_a_session_is_an_event() {
    let directory = Directory::new("events");
    let server = AuthorizationServer::start_with(Options { access_token_ttl: Some(5), ..Options::default() });
    let provider = format!("{};leeway=3", proxy_provider(&server));
    let stack = run(stored("tests/e2e/events.cfg", &provider, &directory));
    let key = registered(&stack, ALICE, &sign_in(&stack, &server, "alice"));
    let shown = stack.rpc("auth_oauth.sessions_show", &[ALICE]).expect("the session");
    let id = |shown: &str| {
        let line = shown.lines().find(|line| line.trim().starts_with("id:")).expect("its id");
        line.split(':').nth(1).expect("its id").trim().to_owned()
    };
    let refusal = r#"{"error":"invalid_grant","error_description":"the user is gone"}"#;
    server.fault("/token", &[("status", "400"), ("body", refusal)]);
    let event = one(&stack, "ended");
    let start = format!("ended {ALICE} {} session_ended test <null>: ", id(&shown));
    assert!(event.starts_with(&start) && event.contains("the user is gone"), "{event}");
    assert_eq!(registration_with_proof(&stack, ALICE, &key).status, 401);

    server.clear();
    registered(&stack, ALICE, &sign_in(&stack, &server, "alice"));
    let shown = stack.rpc("auth_oauth.sessions_show", &[ALICE]).expect("the session");
    stack.rpc("auth_oauth.sessions_revoke", &[ALICE, &id(&shown)]).expect("revoked");
    let revoked = events(&stack, "ended").pop().expect("an event");
    assert!(revoked.starts_with(&format!("ended {ALICE} {} session_revoked test", id(&shown))), "{revoked}");
    // Both in the process of RPC commands, which resets nothing by itself.
    registered(&stack, ALICE, &sign_in(&stack, &server, "alice"));
    stack.rpc("auth_oauth.sessions_revoke", &[ALICE]).expect("revoked");
    let before = events(&stack, "before");
    assert!(before.len() >= 3 && before.iter().all(|line| line == "before <null> <null> <null>"), "{before:?}");
    stack.finish();
}

#[test]
fn a_kemi_script_hears_of_events() {
    let known = TestKey::p256("known");
    let server = ScriptedServer::start(key_set(&[known.jwk()]));
    let stack = Stack::new(
        configured("tests/e2e/kemi.cfg", &scripted_provider(&server))
            .define("WITH_LUA", 1)
            .define_string("EVENT_CALLBACK", "on_event")
            .define_string("SCRIPT", kit::path("tests/e2e/events.lua").to_str().expect("UTF-8")),
    );
    stack.wait_for_keys();
    let expired = known.token("ES256", &claims(&server.issuer(), "sip", "alice", -300));
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &expired).status, 401);
    assert_eq!(one(&stack, "oauth"), "oauth:denied token_expired");
    stack.finish();
}
