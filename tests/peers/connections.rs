// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests without a token on a connection whose phone has sent one: judged as if it had sent it again.

use crate::site::{ALICE, Site, claims};
use crate::support::token::{TestKey, now};
use serde_json::{Value, json};
use sipoauth::worker::result::CheckResult;
use sipoauth::worker::{Handling, Worker};
use sipoauth_core::check::{Carried, Request};
use sipoauth_core::reason::Reason;

const BOB: &str = "sip:bob@example.test";
const PHONE: (&str, u16) = ("192.0.2.1", 40_000);

/// A proxy with connection_auth, its key, and a good token.
fn site(provider: &Value, globals: Value) -> (Site, TestKey, String) {
    let key = TestKey::p256("k");
    let mut all = json!({ "connection_auth": true, "users": 64 });
    all.as_object_mut().expect("an object").extend(globals.as_object().cloned().expect("an object"));
    let site = Site::with_globals(&[key.jwk()], provider, &all);
    let token = key.token("ES256", &claims(&json!({})));
    (site, key, token)
}

fn request<'a>(method: &'a str, from: &'a str, credentials: &'a [&'a str]) -> Request<'a> {
    let to = if method == "REGISTER" { from } else { BOB };
    Request {
        method,
        from,
        to,
        realm: "example.test",
        credentials,
        transport: "tls",
        connection: 7,
        source: PHONE,
        ..Request::default()
    }
}

fn check(worker: &mut Worker, request: &Request<'_>) -> CheckResult {
    worker.check(request, &Handling::default())
}

fn reason(worker: &mut Worker, request: &Request<'_>) -> Reason {
    check(worker, request).answer.reason()
}

/// The phone registers with its token.
fn bind(site: &mut Site, token: &str) {
    let bearer = format!("Bearer {token}");
    assert_eq!(reason(&mut site.worker, &request("REGISTER", ALICE, &[&bearer])), Reason::Ok, "{}", site.log.text());
}

#[test]
fn every_method_of_its_user_at_every_worker() {
    let (mut site, _, token) = site(&json!({}), json!({}));
    assert_eq!(reason(&mut site.worker, &request("INVITE", ALICE, &[])), Reason::NoCredentials);
    bind(&mut site, &token);
    let mut other = Worker::new(site.context.clone()).expect("in force");
    for method in ["INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "NOTIFY", "MESSAGE", "REGISTER"] {
        for worker in [&mut site.worker, &mut other] {
            let verdict = check(worker, &request(method, ALICE, &[]));
            assert_eq!((verdict.status, verdict.answer.carried), (200, Carried::Connection), "{method}");
            let token = verdict.answer.token.as_ref().expect("the one that was sent");
            assert_eq!(token.claims.subject.as_deref(), Some("alice"));
            assert_eq!(verdict.answer.aor.map(|i| token.aors[i].as_str()), Some(ALICE));
        }
        let verdict = check(&mut other, &request(method, ALICE, &["Digest username=\"a\""]));
        assert_eq!(verdict.status, 200, "{method}: beside credentials of another scheme");
    }
}

#[test]
fn no_other_connection_transport_or_peer() {
    let (mut site, _, token) = site(&json!({}), json!({}));
    bind(&mut site, &token);
    let good = request("INVITE", ALICE, &[]);
    for transport in ["tcp", "ws", "wss"] {
        assert_eq!(reason(&mut site.worker, &Request { transport, ..good }), Reason::Ok, "the number says which it is");
    }
    for other in [
        Request { connection: 8, ..good },
        Request { connection: 0, ..good },
        Request { transport: "udp", ..good },
        Request { transport: "sctp", ..good },
        Request { transport: "", ..good },
        Request { source: ("192.0.2.2", PHONE.1), ..good },
        Request { source: (PHONE.0, 40_001), ..good },
    ] {
        assert_eq!(reason(&mut site.worker, &other), Reason::NoCredentials, "{other:?}");
    }
    // What does not count as a connection does not bind either.
    let bearer = format!("Bearer {token}");
    for other in [Request { connection: 0, ..good }, Request { transport: "udp", connection: 9, ..good }] {
        let with_token = Request { credentials: &[&bearer], ..other };
        assert_eq!(reason(&mut site.worker, &with_token), Reason::Ok);
        assert_eq!(reason(&mut site.worker, &other), Reason::NoCredentials);
        assert_eq!(reason(&mut site.worker, &Request { transport: "tls", ..other }), Reason::NoCredentials);
    }
    site.context.arena().connections().forget(7);
    assert_eq!(reason(&mut site.worker, &good), Reason::NoCredentials, "it has ended");
}

#[test]
fn another_user_is_refused_and_a_register_of_another_is_asked_for_a_token() {
    let (mut site, key, token) = site(&json!({}), json!({}));
    bind(&mut site, &token);
    let verdict = check(&mut site.worker, &request("INVITE", BOB, &[]));
    assert_eq!((verdict.status, verdict.answer.reason()), (403, Reason::AorMismatch));
    let verdict = check(&mut site.worker, &request("REGISTER", BOB, &[]));
    assert_eq!((verdict.status, verdict.answer.reason()), (401, Reason::NoCredentials));
    let third_party = Request { from: ALICE, to: BOB, ..request("REGISTER", BOB, &[]) };
    assert_eq!(reason(&mut site.worker, &third_party), Reason::NoCredentials);
    // The last one to sign in has the connection.
    let bobs = key.token("ES256", &claims(&json!({ "sub": "bob", "preferred_username": "bob" })));
    let bearer = format!("Bearer {bobs}");
    assert_eq!(reason(&mut site.worker, &request("REGISTER", BOB, &[&bearer])), Reason::Ok, "{}", site.log.text());
    assert_eq!(reason(&mut site.worker, &request("INVITE", BOB, &[])), Reason::Ok);
    assert_eq!(reason(&mut site.worker, &request("INVITE", ALICE, &[])), Reason::AorMismatch);
}

#[test]
fn flexisip_a_bad_token_is_refused_on_a_connection_that_has_signed_in_and_unbinds_nothing() {
    let (mut site, key, token) = site(&json!({}), json!({}));
    bind(&mut site, &token);
    let expired = key.token("ES256", &claims(&json!({ "exp": now() - 100 })));
    let forged = TestKey::p256("k").token("ES256", &claims(&json!({})));
    for (bad, expected) in [
        (format!("Bearer {expired}"), Reason::TokenExpired),
        (format!("Bearer {forged}"), Reason::SignatureInvalid),
        ("Bearer x".into(), Reason::TokenOpaque),
        ("Bearer".into(), Reason::CredentialsMalformed),
        ("Bearer pop=\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"".into(), Reason::PopUnsupported),
    ] {
        for method in ["ACK", "BYE", "CANCEL", "INVITE"] {
            assert_eq!(reason(&mut site.worker, &request(method, ALICE, &[&bad])), expected, "{method}");
            assert_eq!(reason(&mut site.worker, &request(method, ALICE, &[])), Reason::Ok, "{method}");
        }
    }
}

#[test]
fn it_ends_with_the_token() {
    let (mut site, key, _) = site(&json!({ "leeway": 10 }), json!({}));
    let time = now();
    let token = key.token("ES256", &claims(&json!({ "exp": time + 100 })));
    bind(&mut site, &token);
    let mut at = |now| {
        let handling = Handling { now: Some(now), ..Handling::default() };
        let verdict = site.worker.check(&request("BYE", ALICE, &[]), &handling);
        (verdict.status, verdict.answer.reason())
    };
    assert_eq!(at(time + 109), (200, Reason::Ok), "with the leeway of tokens");
    assert_eq!(at(time + 110), (401, Reason::ConnectionExpired));
    assert_eq!(at(time + 9999), (401, Reason::ConnectionExpired), "again and again");
    assert_eq!(Reason::ConnectionExpired.oauth_error(), "invalid_token");
    let line = site.log.text();
    assert!(line.contains("connection_expired") && line.contains("sent=earlier on this connection"), "{line}");
    assert!(!line.contains(&token), "{line}");
}

/// Everything that is configured about tokens counts for those that were sent before, too.
#[test]
fn a_reload_judges_connections_anew() {
    for (changed, expected) in [
        (json!({ "leeway": 5 }), Reason::Ok),
        (json!({ "required_scopes": ["sip.call"] }), Reason::InsufficientScope),
        (json!({ "audience": "other" }), Reason::AudienceMismatch),
        (json!({ "clients": ["none"] }), Reason::ClientNotAllowed),
        (json!({ "issuer": "https://other.example.test" }), Reason::IssuerUnknown),
        (json!({ "domain": "other.test" }), Reason::DomainMismatch),
        (json!({ "aor": "sip:{sub}2@{domain}" }), Reason::AorMismatch),
        (json!({ "required_claims": { "sub": "bob" } }), Reason::ClaimMismatch),
    ] {
        let (mut site, _, token) = site(&json!({}), json!({}));
        bind(&mut site, &token);
        site.reload_with(&changed, &json!({ "connection_auth": true }));
        assert_eq!(reason(&mut site.worker, &request("INVITE", ALICE, &[])), expected, "{changed}");
    }
}

#[test]
fn a_key_that_is_taken_away_ends_its_connections() {
    let (mut site, _, token) = site(&json!({}), json!({}));
    bind(&mut site, &token);
    site.replace_keys(&[TestKey::p256("next").jwk()]);
    site.reload_with(&json!({}), &json!({ "connection_auth": true }));
    let verdict = check(&mut site.worker, &request("BYE", ALICE, &[]));
    assert_eq!((verdict.status, verdict.answer.reason()), (401, Reason::KeyUnknown));
}

#[test]
fn off_by_default_and_turned_off_by_a_reload_but_not_on() {
    let key = TestKey::p256("k");
    let mut off = Site::new(&[key.jwk()], &json!({}));
    bind(&mut off, &key.token("ES256", &claims(&json!({}))));
    assert_eq!(reason(&mut off.worker, &request("INVITE", ALICE, &[])), Reason::NoCredentials);
    assert!(off.context.arena().connections().is_empty(), "it costs nothing");
    let error = off.try_reload_with(&json!({}), &json!({ "connection_auth": true })).expect_err("no room was made");
    assert!(error.contains("connection_auth") && error.contains("restart"), "{error}");

    let (mut on, _, token) = site(&json!({}), json!({}));
    bind(&mut on, &token);
    on.reload_with(&json!({}), &json!({ "connection_auth": false }));
    assert_eq!(reason(&mut on.worker, &request("INVITE", ALICE, &[])), Reason::NoCredentials);
}

#[test]
fn a_token_that_is_too_long_to_be_remembered_serves_only_the_request_that_carries_it() {
    let (mut site, key, token) = site(&json!({}), json!({}));
    let long = key.token("ES256", &claims(&json!({ "groups": "g".repeat(4000) })));
    bind(&mut site, &token);
    bind(&mut site, &long);
    assert_eq!(reason(&mut site.worker, &request("INVITE", ALICE, &[])), Reason::NoCredentials);
    assert!(site.log.text().contains("too long to be remembered"), "{}", site.log.text());
}
