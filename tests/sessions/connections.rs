// SPDX-License-Identifier: MIT OR Apache-2.0

//! Connections on which a code or a proof was sent: later requests on them need neither, as long as the session lives.

use crate::phone::{ALICE, BOB, Sip};
use crate::plant::{Plant, Proxy};
use crate::support::redis::{PASSWORD, Redis};
use serde_json::json;
use sipoauth::worker::Handling;
use sipoauth::worker::result::CheckResult;
use sipoauth_core::check::Carried;
use sipoauth_core::keys::shared_key::Key;
use sipoauth_core::reason::Reason;
use std::time::Duration;

/// Alice's phone signs in with a code on this connection; its key.
fn sign_in(plant: &Plant, proxy: &mut Proxy, connection: u64) -> Key {
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, &format!("on-{connection}"), &code).on(connection);
    proxy.sign_in(&sip);
    sip.key(&code, &sip.reply_to_tag)
}

fn bare(method: &str, connection: u64) -> Sip {
    Sip::of_method(method, ALICE, "bare").on(connection)
}

/// The answer to a request that cannot be parked.
fn now_or_never(proxy: &mut Proxy, sip: &Sip) -> CheckResult {
    let handling = Handling { source: &sip.source.0, no_wait: true, ..Handling::default() };
    sip.read(|request| proxy.worker.check(request, &handling))
}

#[test]
fn a_code_and_a_proof_bind_until_the_session_is_ended() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "connection_auth": true }));
    let key = sign_in(&plant, &mut proxy, 5);
    let verdict = proxy.ask(&bare("INVITE", 5));
    assert_eq!((verdict.status, verdict.answer.carried), (200, Carried::Connection), "{}", proxy.log.text());
    let used = verdict.answer.session.as_ref().expect("the session");
    assert_eq!((used.aor.as_str(), used.subject.as_str(), verdict.session.len()), (ALICE, "alice", 32));
    assert!(verdict.ticket.is_empty(), "nothing is to be confirmed");
    assert_eq!(proxy.answer(&bare("INVITE", 6)), (401, Reason::NoCredentials));
    assert_eq!(proxy.answer(&Sip::register(ALICE, "p").prove_in_body(&key).on(6)), (200, Reason::Ok));
    assert_eq!(proxy.answer(&bare("BYE", 6)), (200, Reason::Ok));
    assert_eq!(proxy.answer(&Sip { from: BOB.into(), ..bare("BYE", 6) }), (403, Reason::AorMismatch));
    assert_eq!(proxy.answer(&Sip::register(BOB, "q").on(6)), (401, Reason::NoCredentials));
    // Replays and wrong proofs are no better for the connection.
    assert_eq!(proxy.answer(&bare("BYE", 5).prove_in_header(&Key::default())), (401, Reason::PopInvalid));
    proxy.context.admin().revoke_sessions(ALICE, "").expect("a store");
    for connection in [5, 6] {
        assert_eq!(proxy.answer(&bare("BYE", connection)), (401, Reason::SessionEnded));
    }
}

#[test]
fn a_session_whose_tokens_have_ended_is_refused_as_with_a_proof() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "connection_auth": true, "session_lifetime": 600 }));
    sign_in(&plant, &mut proxy, 5);
    let valid_until = proxy.sessions(ALICE)[0].session.valid_until;
    let ends_at = proxy.sessions(ALICE)[0].session.ends_at;
    let mut at = |now: i64| {
        let sip = bare("INVITE", 5);
        let handling = Handling { now: Some(now), no_wait: true, ..Handling::default() };
        sip.read(|request| proxy.worker.check(request, &handling)).answer.reason()
    };
    assert_eq!(at(valid_until.min(ends_at) - 1), Reason::Ok);
    assert_eq!(at(ends_at + 1), Reason::SessionEnded);
}

#[test]
fn a_session_of_a_provider_that_is_gone_ends() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "connection_auth": true }));
    sign_in(&plant, &mut proxy, 5);
    let globals = json!({ "connection_auth": true, "provider.name": "another" });
    let text = crate::plant::configuration(&plant.endpoint.server.issuer(), &plant.store(), &globals);
    std::fs::write(&proxy.configuration, text).expect("our own file");
    proxy.context.admin().reload().expect("a good configuration");
    assert_eq!(proxy.answer(&bare("INVITE", 5)), (401, Reason::SessionEnded));
}

#[test]
fn with_redis_a_request_waits_for_its_session_and_an_ack_is_sent_again() {
    let plant = Plant::new();
    let redis = Redis::start(&[]);
    let password = plant.directory.write("password", PASSWORD);
    let mut proxy = plant.proxy(&json!({
        "connection_auth": true,
        "store": format!("redis://127.0.0.1:{}/0", redis.port()),
        "store_password_file": password,
        "store_size": null,
        "store_cache": 3,
    }));
    sign_in(&plant, &mut proxy, 5);
    std::thread::sleep(Duration::from_millis(3100));
    let verdict = proxy.look(&bare("INVITE", 5));
    assert!(verdict.pending.is_some(), "the session is asked for: {:?}", verdict.answer);
    assert_eq!(proxy.answer(&bare("INVITE", 5)), (200, Reason::Ok), "{}", proxy.log.text());
    std::thread::sleep(Duration::from_millis(3100));
    // It cannot wait, but what it needs is fetched for the next one.
    let verdict = now_or_never(&mut proxy, &bare("ACK", 5));
    assert_eq!((verdict.status, verdict.answer.reason()), (503, Reason::StoreUnavailable));
    proxy.until("the session is fetched", |proxy| now_or_never(proxy, &bare("ACK", 5)).status == 200);
    proxy.context.admin().revoke_sessions(ALICE, "").expect("a store");
    proxy.until("the end is known", |proxy| {
        now_or_never(proxy, &bare("ACK", 5)).answer.reason() == Reason::SessionEnded
    });
    assert_eq!(proxy.answer(&bare("INVITE", 5)), (401, Reason::SessionEnded));
}
