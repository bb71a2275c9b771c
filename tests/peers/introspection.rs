// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tokens that only their server can judge: caches, one question for many, limits, and a server that is away.

use crate::bound_tokens::{send, thumbprint};
use crate::plant::{Plant, key_set};
use crate::site::{ALICE, AUDIENCE, merged};
use crate::support::certificates::Authority;
use crate::support::patience::{self, PATIENCE};
use crate::support::scripted_server::{Answer, Received, ScriptedServer};
use crate::support::token::{self, TestKey, now};
use serde_json::{Value, json};
use sipoauth::worker::Handling;
use sipoauth::worker::result::CheckResult;
use sipoauth_core::check::Request;
use sipoauth_core::reason::Reason;
use sipoauth_core::text::form;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const INTROSPECT: &str = "/introspect";
const SECRET: &str = "secret-of-the-proxy";
const TOKEN: &str = "an-opaque-access-token-0123456789";

/// A server that says of every token that it is alice's, unless it is revoked.
struct Server {
    server: ScriptedServer,
    revoked: Arc<Mutex<HashSet<String>>>,
}

impl Server {
    fn start() -> Server {
        Server::saying(&json!({}))
    }

    /// With these members beside or instead of the usual ones.
    fn saying(changes: &Value) -> Server {
        let key = TestKey::p256("k");
        let server = ScriptedServer::start(key_set(&[&key]));
        let revoked = Arc::<Mutex<HashSet<String>>>::default();
        let (known, changes) = (Arc::clone(&revoked), changes.clone());
        let answer = move |request: &Received| {
            let pairs = form::parse(request.body.as_bytes()).unwrap_or_default();
            let asked = pairs.iter().find(|(name, _)| name == "token").map_or("", |(_, value)| &**value);
            if known.lock().expect("no panic while held").contains(asked) {
                return Answer::Json(json!({ "active": false }));
            }
            Answer::Json(merged(&active(), &changes))
        };
        server.set(INTROSPECT, Answer::computed(answer));
        Server { server, revoked }
    }

    fn revoke(&self, token: &str) {
        self.revoked.lock().expect("no panic while held").insert(token.to_owned());
    }

    fn asked(&self) -> u64 {
        self.server.count(INTROSPECT)
    }

    /// A proxy whose provider is this server, with these settings.
    fn plant(&self, tokens: &str, provider: &Value, globals: &Value) -> Plant {
        let usual = json!({
            "issuer": self.server.issuer(),
            "tokens": tokens,
            "client_id": "sip-proxy",
            "client_secret": SECRET,
            "introspection_endpoint": self.server.url(INTROSPECT),
        });
        let plant = Plant::new(&merged(&usual, provider), globals);
        if tokens == "opaque" { plant } else { plant.started() }
    }

    fn opaque(&self, provider: &Value) -> Plant {
        self.plant("opaque", provider, &json!({}))
    }
}

fn active() -> Value {
    json!({
        "active": true,
        "aud": AUDIENCE,
        "client_id": "phone",
        "exp": now() + 300,
        "preferred_username": "alice",
        "scope": "sip",
        "sub": "1234",
        "token_type": "Bearer",
    })
}

fn register(plant: &mut Plant, token: &str, resumed: bool) -> CheckResult {
    register_of(plant, ALICE, token, resumed)
}

/// A REGISTER of this address.
fn register_of(plant: &mut Plant, aor: &str, token: &str, resumed: bool) -> CheckResult {
    let credential = format!("Bearer {token}");
    let credentials = [credential.as_str()];
    let request = Request {
        method: "REGISTER",
        from: aor,
        to: aor,
        realm: "example.test",
        credentials: &credentials,
        ..Request::default()
    };
    plant.site.worker.check(&request, &Handling { resumed, source: "192.0.2.1", ..Handling::default() })
}

#[test]
fn an_opaque_token_is_asked_about_once_and_its_user_is_compared() {
    let server = Server::start();
    let mut plant = server.opaque(&json!({}));
    let verdict = register(&mut plant, TOKEN, false);
    let cookie = plant.park(&verdict).expect("the server must be asked");
    plant.wait_for(cookie);
    let verdict = register(&mut plant, TOKEN, true);
    assert_eq!(verdict.answer.reason(), Reason::Ok, "{}", plant.site.log.text());
    let token = verdict.answer.token.as_ref().expect("an accepted one");
    assert_eq!(token.aors[verdict.answer.aor.expect("alice's")].as_str(), ALICE);
    assert_eq!((token.claims.scope.as_str(), token.claims.subject.as_deref()), ("sip", Some("1234")));
    for _ in 0..3 {
        assert_eq!(register(&mut plant, TOKEN, false).answer.reason(), Reason::Ok, "from the worker's cache");
    }
    let mut other = sipoauth::worker::Worker::new(Arc::clone(&plant.site.context)).expect("a worker");
    let verdict = other.check_token(TOKEN, &Handling::default());
    assert_eq!(verdict.answer.reason(), Reason::Ok, "another worker finds it in shared memory");
    assert_eq!(server.asked(), 1);
    let log = plant.site.log.text();
    assert!(!log.contains(TOKEN) && !log.contains(SECRET), "{log}");
}

#[test]
fn many_requests_with_one_new_token_cause_one_introspection() {
    let server = Server::start();
    let body = active();
    server.server.set(INTROSPECT, Answer::Late(body, Duration::from_millis(300)));
    // One source may have a quarter of the places.
    let mut plant = server.plant("opaque", &json!({}), &json!({ "max_pending": 1000 }));
    let cookies: Vec<u64> = (0..200)
        .map(|_| {
            let verdict = register(&mut plant, TOKEN, false);
            plant.park(&verdict).expect("the server must be asked")
        })
        .collect();
    for cookie in cookies {
        plant.wait_for(cookie);
        assert_eq!(register(&mut plant, TOKEN, true).answer.reason(), Reason::Ok);
    }
    assert_eq!(server.asked(), 1);
}

#[test]
fn a_revoked_token_is_refused_after_the_cache_time() {
    let server = Server::start();
    let mut plant = server.opaque(&json!({ "introspection_cache": 2, "introspection_negative_cache": 3600 }));
    assert_eq!(plant.reason(TOKEN), Reason::Ok);
    server.revoke(TOKEN);
    assert!(patience::until(PATIENCE, || plant.reason(TOKEN) != Reason::Ok), "accepted for ever");
    assert_eq!(plant.reason(TOKEN), Reason::TokenInactive);
    assert_eq!(server.asked(), 2, "a negative answer is kept too");
}

#[test]
fn where_each_request_is_asked_for_a_revocation_counts_at_once() {
    for tokens in ["opaque", "jwt_and_introspection"] {
        let server = Server::start();
        let key = TestKey::p256("k");
        let token = if tokens == "opaque" {
            TOKEN.to_owned()
        } else {
            key.token("ES256", &token::claims(&server.server.issuer(), AUDIENCE, "alice", 300))
        };
        server.server.set_keys(key_set(&[&key]));
        let mut plant = server.plant(tokens, &json!({ "introspection_cache": 0 }), &json!({}));
        for round in 1..=3 {
            assert_eq!(plant.reason(&token), Reason::Ok, "{}", plant.site.log.text());
            assert_eq!(server.asked(), round);
        }
        server.revoke(&token);
        assert_eq!(plant.reason(&token), Reason::TokenInactive, "{tokens}");
    }
}

#[test]
fn a_question_that_is_on_its_way_does_not_answer_a_later_request_where_each_is_asked_for() {
    let server = Server::start();
    server.server.set(INTROSPECT, Answer::Late(active(), Duration::from_millis(500)));
    let mut plant = server.opaque(&json!({ "introspection_cache": 0 }));
    let verdict = plant.site.worker.check_token(TOKEN, &Handling::default());
    let first = plant.park(&verdict).expect("the server must be asked");
    while server.asked() == 0 {
        plant.step();
    }
    // The server has decided about the first request; now the token is revoked.
    server.server.set(INTROSPECT, Answer::Json(json!({ "active": false })));
    let verdict = plant.site.worker.check_token(TOKEN, &Handling::default());
    let second = plant.park(&verdict).expect("the server must be asked");
    plant.wait_for(first);
    plant.wait_for(second);
    assert_eq!(server.asked(), 2);
    let resumed = Handling { resumed: true, ..Handling::default() };
    assert_eq!(plant.site.worker.check_token(TOKEN, &resumed).answer.reason(), Reason::TokenInactive);
}

#[test]
fn a_jwt_is_verified_before_its_server_is_asked() {
    let server = Server::start();
    let key = TestKey::p256("k");
    server.server.set_keys(key_set(&[&key]));
    let issuer = server.server.issuer();
    let mut plant = server.plant("jwt_and_introspection", &json!({ "introspection_cache": 60 }), &json!({}));
    let forged = TestKey::p256("k").token("ES256", &token::claims(&issuer, AUDIENCE, "alice", 300));
    let expired = key.token("ES256", &token::claims(&issuer, AUDIENCE, "alice", -300));
    let foreign = key.token("ES256", &token::claims(&issuer, "other", "alice", 300));
    let elsewhere = key.token("ES256", &token::claims("https://other.example", AUDIENCE, "alice", 300));
    assert_eq!(plant.reason(&forged), Reason::SignatureInvalid);
    assert_eq!(plant.reason(&expired), Reason::TokenExpired);
    assert_eq!(plant.reason(&foreign), Reason::AudienceMismatch);
    assert_eq!(plant.reason(&elsewhere), Reason::IssuerUnknown);
    assert_eq!(plant.reason(TOKEN), Reason::TokenOpaque);
    assert_eq!(server.asked(), 0);
    let good = key.token("ES256", &token::claims(&issuer, AUDIENCE, "alice", 300));
    for _ in 0..3 {
        assert_eq!(plant.reason(&good), Reason::Ok, "{}", plant.site.log.text());
    }
    assert_eq!(server.asked(), 1);
}

#[test]
fn the_servers_word_about_scopes_counts() {
    let server = Server::saying(&json!({ "scope": "other" }));
    let key = TestKey::p256("k");
    server.server.set_keys(key_set(&[&key]));
    let mut claims = token::claims(&server.server.issuer(), AUDIENCE, "alice", 300);
    claims["scope"] = "sip".into();
    let token = key.token("ES256", &claims);
    let needs = json!({ "required_scopes": ["sip"] });
    assert_eq!(server.plant("jwt_and_introspection", &needs, &json!({})).reason(&token), Reason::InsufficientScope);
    assert_eq!(server.opaque(&needs).reason(TOKEN), Reason::InsufficientScope);
}

#[test]
fn liboauth2_required_scopes_are_judged_on_a_cache_hit_of_an_introspected_token() {
    let server = Server::start();
    let mut plant = server.opaque(&json!({ "introspection_cache": 3600 }));
    assert_eq!(plant.reason(TOKEN), Reason::Ok);
    let provider = json!({
        "issuer": server.server.issuer(), "tokens": "opaque", "client_id": "sip-proxy", "client_secret": SECRET,
        "introspection_endpoint": server.server.url(INTROSPECT), "required_scopes": ["sip.call"],
    });
    plant.site.reload_provider(&provider);
    assert_eq!(plant.reason(TOKEN), Reason::InsufficientScope);
    assert_eq!(server.asked(), 1, "judged without asking again");
}

#[test]
fn an_introspected_token_ends_when_its_time_is_over_whatever_the_cache() {
    let server = Server::start();
    let mut plant = server.opaque(&json!({ "introspection_cache": 3600, "leeway": 0 }));
    assert_eq!(plant.reason(TOKEN), Reason::Ok);
    assert_eq!(plant.site.token_at(TOKEN, now() + 301).answer.reason(), Reason::TokenExpired);
}

#[test]
fn answers_in_unusual_shapes_are_used() {
    let end = now() + 300;
    for changes in [
        json!({ "nbf": null, "acr": null, "cnf": null, "at_hash": null, "token_type": null, "token_use": null }),
        json!({ "exp": end.to_string(), "iat": (now() - 9).to_string(), "nbf": (now() - 9).to_string() }),
        json!({ "exp": end as f64 + 0.5, "iat": now() as f64 - 9.25 }),
        json!({ "scope": ["openid", null, "sip"], "aud": [AUDIENCE, null], "sub": 1234 }),
        json!({ "exp": "", "nbf": "", "client_id": 1001, "token_type": "JWT" }),
        json!({ "exp": format!("{end}.5"), "token_type": "urn:ietf:params:oauth:token-type:access_token" }),
        json!({ "sub": 18_446_744_073_709_551_615_u64, "cid": 7, "tid": 7, "exp": 1e16 }),
    ] {
        let server = Server::saying(&changes);
        let verdict = server.opaque(&json!({ "required_scopes": ["sip"] })).ask(TOKEN);
        assert_eq!(verdict.answer.reason(), Reason::Ok, "{changes}");
    }
    for content_type in ["text/json", "text/html;charset=utf-8", "application/json, application/json"] {
        let server = Server::start();
        let headers = vec![("Content-Type", content_type.to_owned())];
        let body = format!("\u{feff}{}", active()).into_bytes();
        server.server.set(INTROSPECT, Answer::Full(200, headers, body));
        assert_eq!(server.opaque(&json!({})).ask(TOKEN).answer.reason(), Reason::Ok, "{content_type}");
    }
    let body = active().to_string();
    let (open, rest) = body.split_at(1);
    let more = format!(
        "{open}\"family_name\":\"Zo\u{eb}\",\"cut\":\"x\\ud83d\",\"deep\":{}1{},\"huge\":1e400,{rest}",
        "[".repeat(40),
        "]".repeat(40)
    );
    let utf_16: Vec<u8> = format!("\u{feff}{more}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin: Vec<u8> = more.chars().map(|character| u8::try_from(character).expect("Latin")).collect();
    for (charset, body) in [("utf-8", more.into_bytes()), ("utf-16", utf_16), ("ISO-8859-1", latin)] {
        let server = Server::start();
        let headers = vec![("Content-Type", format!("application/json; charset={charset}"))];
        server.server.set(INTROSPECT, Answer::Full(200, headers, body));
        let verdict = server.opaque(&json!({})).ask(TOKEN);
        assert_eq!(verdict.answer.reason(), Reason::Ok, "{charset}");
        let token = verdict.answer.token.expect("an accepted one");
        assert_eq!(sipoauth::worker::claim_text(&token.payload, "family_name").as_deref(), Some("Zo\u{eb}"));
    }
    // A token that has ended stays refused, whatever its shape is.
    let server = Server::saying(&json!({ "exp": (now() - 60).to_string() }));
    assert_eq!(server.opaque(&json!({})).ask(TOKEN).answer.reason(), Reason::TokenExpired);
}

#[test]
fn users_in_many_groups_are_served() {
    for count in [300, 3000, 30_000] {
        let groups: Vec<String> = (0..count).map(|number| format!("group-of-many-people-{number}")).collect();
        let server = Server::saying(&json!({ "groups": groups, "picture": "x".repeat(8000) }));
        let mut plant = server.opaque(&json!({ "required_claims": { "groups": ["group-of-many-people-299"] } }));
        for _ in 0..2 {
            assert_eq!(plant.reason(TOKEN), Reason::Ok, "{count}\n{}", plant.site.log.text());
        }
        assert_eq!(server.asked(), 1, "{count}: and the answer is kept");
        let mut other = server.opaque(&json!({ "required_claims": { "groups": ["nobody"] } }));
        assert_eq!(other.reason(TOKEN), Reason::ClaimMismatch);
    }
}

#[test]
fn a_token_for_another_audience_user_or_without_them_is_refused() {
    for (changes, reason) in [
        (json!({ "aud": "other" }), Reason::AudienceMismatch),
        (json!({ "aud": null }), Reason::ClaimMissing),
        (json!({ "exp": now() - 60 }), Reason::TokenExpired),
        (json!({ "exp": "soon" }), Reason::ClaimMalformed),
        (json!({ "iss": "https://other.example" }), Reason::IssuerUnknown),
        (json!({ "token_type": "DPoP" }), Reason::ProofNeeded),
    ] {
        let server = Server::saying(&changes);
        let verdict = server.opaque(&json!({})).ask(TOKEN);
        assert_eq!(verdict.answer.reason(), reason, "{changes}");
    }
    let server = Server::saying(&json!({ "preferred_username": "bob" }));
    let mut plant = server.opaque(&json!({}));
    assert_eq!(plant.reason(TOKEN), Reason::Ok);
    assert_eq!(register(&mut plant, TOKEN, false).answer.reason(), Reason::AorMismatch);
}

#[test]
fn a_missing_active_and_other_odd_answers_are_an_outage_and_no_denial() {
    let mut without = active();
    without.as_object_mut().expect("an object").remove("active");
    let error = |status, code: &str| Answer::Full(status, vec![], json!({ "error": code }).to_string().into_bytes());
    for (answer, reason) in [
        (Answer::Json(without), Reason::IntrospectionUnavailable),
        (Answer::Json(merged(&active(), &json!({ "active": "true" }))), Reason::IntrospectionUnavailable),
        // Scopes count, and these have no room.
        (Answer::Json(merged(&active(), &json!({ "scope": "y".repeat(9000) }))), Reason::IntrospectionUnavailable),
        (Answer::Html, Reason::IntrospectionUnavailable),
        (Answer::Status(500), Reason::IntrospectionUnavailable),
        (Answer::Garbage, Reason::IntrospectionUnavailable),
        (Answer::Reset, Reason::IntrospectionUnavailable),
        (error(401, "invalid_client"), Reason::ClientRefused),
        (error(403, "forbidden"), Reason::ClientRefused),
        (error(401, "Unauthorized"), Reason::ClientRefused),
        (Answer::Full(404, vec![], b"404 page not found".to_vec()), Reason::ClientRefused),
    ] {
        let server = Server::start();
        server.server.set(INTROSPECT, answer.clone());
        let mut plant = server.opaque(&json!({}));
        let verdict = plant.ask(TOKEN);
        assert_eq!((verdict.answer.reason(), verdict.status), (reason, 503), "{answer:?}\n{}", plant.site.log.text());
        assert!(verdict.retry_after > 0);
        assert!(plant.site.log.text().contains("a token cannot be introspected (1 in a row)"), "{answer:?}");
        // A failure is not kept.
        server.server.set(INTROSPECT, Answer::Json(active()));
        let again = patience::until(PATIENCE, || plant.reason(TOKEN) == Reason::Ok);
        assert!(again, "{answer:?}: never again\n{}", plant.site.log.text());
    }
}

/// A server that says that alice's token is active, and gives this answer about others.
fn refusing(others: Answer) -> Server {
    let server = Server::start();
    let answer = move |request: &Received| {
        if request.body.contains("a-good-token") { Answer::Json(active()) } else { others.clone() }
    };
    server.server.set(INTROSPECT, Answer::computed(answer));
    server
}

#[test]
fn a_dead_token_that_is_refused_without_a_word_is_not_active() {
    let status = |status, body: &str| Answer::Full(status, vec![], body.into());
    for answer in [status(400, ""), status(400, "<html>"), status(422, "{}")] {
        let server = refusing(answer.clone());
        let mut plant = server.opaque(&json!({}));
        assert_eq!(plant.reason("a-dead-token-1"), Reason::ClientRefused, "{answer:?}\n{}", plant.site.log.text());
        assert_eq!(plant.reason("a-good-token"), Reason::Ok);
        assert_eq!(plant.reason("a-dead-token-1"), Reason::TokenInactive, "{answer:?}");
        let log = plant.site.log.text();
        assert!(log.contains("a token counts as not active: ") && log.contains("HTTP status 4"), "{log}");
    }
    // A proxy in front of the server says this of every token.
    for answer in [status(404, "<html>"), status(403, ""), status(410, r#"{"error":"Gone"}"#), status(302, "")] {
        let server = refusing(answer.clone());
        let mut plant = server.opaque(&json!({ "introspection_cache": 0 }));
        assert_eq!(plant.reason("a-good-token"), Reason::Ok);
        for _ in 0..3 {
            assert_eq!(plant.reason("a-dead-token-1"), Reason::ClientRefused, "{answer:?}");
        }
        assert_eq!(plant.reason("a-good-token"), Reason::Ok);
        assert_eq!(plant.reason("a-dead-token-1"), Reason::TokenInactive, "{answer:?}");
        assert_eq!(plant.reason("a-dead-token-2"), Reason::ClientRefused, "{answer:?}");
    }
}

/// One changed secret must not log everybody out.
#[test]
fn a_refused_client_costs_no_good_token_whatever_the_word_is() {
    let status = |body: &str| Answer::Full(401, vec![], body.into());
    for body in [
        "",
        "<html>",
        r#"{"error":"unauthorized"}"#,
        r#"{"error":"invalid_request"}"#,
        r#"{"ErrorCode":"invalid_client"}"#,
    ] {
        let server = refusing(status(body));
        let mut plant = server.opaque(&json!({}));
        assert_eq!(plant.reason("a-good-token"), Reason::Ok);
        for user in 0..10 {
            assert_eq!(plant.reason(&format!("token-of-user-{user}")), Reason::ClientRefused, "{body}");
        }
    }
}

#[test]
fn a_server_that_hangs_costs_its_users_503_and_nobody_else_anything() {
    let server = Server::start();
    const KNOWN: &str = "a-token-that-is-known-already";
    let limits = json!({ "pending_timeout": 1, "http_timeout": 2 });
    let mut plant = server.plant("opaque", &json!({ "introspection_cache": 60 }), &limits);
    assert_eq!(plant.reason(KNOWN), Reason::Ok);
    server.server.set(INTROSPECT, Answer::Hang);
    let verdict = plant.ask(TOKEN);
    assert_eq!((verdict.answer.reason(), verdict.status), (Reason::WaitTimeout, 503));
    assert_eq!(plant.reason(KNOWN), Reason::Ok);
    // What was known is not taken for an answer when its time is over.
    let later = Handling { now: Some(token::now() + 61), source: "192.0.2.1", ..Handling::default() };
    let verdict = plant.site.worker.check_token(KNOWN, &later);
    let cookie = plant.park(&verdict).expect("it is asked about again");
    plant.wait_for(cookie);
    let verdict = plant.site.worker.check_token(KNOWN, &Handling { resumed: true, ..later });
    assert_eq!(verdict.status, 503, "{:?}", verdict.answer.reason());
    server.server.set(INTROSPECT, Answer::Json(active()));
    let recovers = patience::until(PATIENCE, || plant.reason(TOKEN) == Reason::Ok);
    assert!(recovers, "{}", plant.site.log.text());
}

#[test]
fn an_old_answer_is_not_taken_for_the_one_that_never_came() {
    let server = Server::start();
    let mut plant = server.plant("opaque", &json!({ "introspection_cache": 0 }), &json!({ "pending_timeout": 1 }));
    assert_eq!(plant.reason(TOKEN), Reason::Ok);
    server.server.set(INTROSPECT, Answer::Hang);
    assert_eq!(plant.reason(TOKEN), Reason::WaitTimeout);
}

#[test]
fn one_source_can_cause_so_many_introspections_and_no_more() {
    let server = Server::start();
    let mut plant = server.plant("opaque", &json!({}), &json!({ "source_limit": 1 }));
    let reasons: Vec<Reason> = (0..32)
        .map(|i| plant.ask_from("203.0.113.9", &format!("a-guessed-opaque-token-{i}")).answer.reason())
        .collect();
    assert!(server.asked() <= 20, "two minutes at most");
    assert!(reasons.contains(&Reason::IntrospectionLimited), "{reasons:?}");
    assert_eq!(plant.ask_from("192.0.2.1", TOKEN).answer.reason(), Reason::Ok, "others are not affected");
}

#[test]
fn a_host_that_cannot_park_gets_the_answer_when_it_asks_again() {
    let server = Server::start();
    for cache in [60, 0] {
        let mut plant = server.opaque(&json!({ "introspection_cache": cache }));
        let handling = Handling { no_wait: true, source: "192.0.2.1", ..Handling::default() };
        let verdict = plant.site.worker.check_token(TOKEN, &handling);
        assert_eq!((verdict.answer.reason(), verdict.retry_after), (Reason::IntrospectionUnavailable, 1));
        let known = patience::until(PATIENCE, || {
            plant.step();
            plant.site.worker.check_token(TOKEN, &handling).answer.reason() == Reason::Ok
        });
        assert!(known, "{}", plant.site.log.text());
    }
}

#[test]
fn introspection_needs_memory_from_the_start() {
    let server = Server::start();
    let key = TestKey::p256("k");
    let site = crate::site::Site::new(&[key.jwk()], &json!({}));
    let provider = json!({
        "issuer": server.server.issuer(), "tokens": "opaque", "client_id": "a", "client_secret": SECRET,
        "introspection_endpoint": server.server.url(INTROSPECT),
    });
    let error = site.try_reload(&provider).expect_err("there is no memory for answers");
    assert!(error.contains("restart the proxy"), "{error}");
}

#[test]
fn with_a_store_an_answer_outlives_a_restart() {
    let server = Server::start();
    let directory = crate::support::temporary::Directory::new("answers");
    let globals =
        json!({ "store": directory.file("store"), "store_key": "0123456789abcdef0123456789abcdef", "store_size": 16 });
    let kept = |provider: &Value, token: &str| {
        let mut plant = server.plant("opaque", provider, &globals);
        (plant.reason(token), server.asked())
    };
    let minute = json!({});
    assert_eq!(kept(&minute, TOKEN), (Reason::Ok, 1));
    assert_eq!(kept(&minute, TOKEN), (Reason::Ok, 1));
    server.revoke("a-token-that-was-revoked-before");
    assert_eq!(kept(&minute, "a-token-that-was-revoked-before"), (Reason::TokenInactive, 2));
    assert_eq!(kept(&minute, "a-token-that-was-revoked-before"), (Reason::TokenInactive, 2));
    assert_eq!(kept(&json!({ "introspection_cache": 0 }), TOKEN), (Reason::Ok, 3), "strict: nothing kept is used");
    // Nobody finds the token in the store.
    let octets = std::fs::read(directory.file("store").join("data.mdb")).expect("the store");
    let found = |text: &str| octets.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(!found(TOKEN) && !found("preferred_username") && !found(SECRET));
}

#[test]
fn what_the_store_knows_is_used_while_the_server_is_left_alone() {
    let server = Server::start();
    let directory = crate::support::temporary::Directory::new("answers");
    let globals =
        json!({ "store": directory.file("store"), "store_key": "0123456789abcdef0123456789abcdef", "store_size": 16 });
    let revoked = "a-token-that-was-revoked-before";
    server.revoke(revoked);
    let mut before = server.plant("opaque", &json!({}), &globals);
    assert_eq!((before.reason(TOKEN), before.reason(revoked)), (Reason::Ok, Reason::TokenInactive));
    drop(before);
    server.server.set(INTROSPECT, Answer::Status(500));
    let mut plant = server.plant("opaque", &json!({}), &globals);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let asked = server.asked();
        assert_eq!(plant.reason("a-token-of-nobody"), Reason::IntrospectionUnavailable);
        if server.asked() == asked {
            break;
        }
        assert!(Instant::now() < until, "it is asked for ever");
    }
    let asked = server.asked();
    assert_eq!((plant.reason(TOKEN), plant.reason(revoked)), (Reason::Ok, Reason::TokenInactive));
    assert_eq!(server.asked(), asked);
}

#[test]
fn one_users_odd_answer_keeps_nobody_else_waiting() {
    let server = Server::start();
    let answer = move |request: &Received| {
        if request.body.contains("an-odd-token") { Answer::Html } else { Answer::Json(active()) }
    };
    server.server.set(INTROSPECT, Answer::computed(answer));
    let mut plant = server.opaque(&json!({}));
    for _ in 0..6 {
        assert_eq!(plant.reason("an-odd-token"), Reason::IntrospectionUnavailable);
    }
    assert_eq!(plant.reason(TOKEN), Reason::Ok, "the server is not left alone");
}

#[test]
fn one_source_leaves_room_for_others_while_the_server_hangs() {
    let server = Server::start();
    server.server.set(INTROSPECT, Answer::Hang);
    let mut plant = server.plant("opaque", &json!({}), &json!({ "max_pending": 40, "pending_timeout": 30 }));
    let from = |source| Handling { source, ..Handling::default() };
    for number in 0..30 {
        let token = format!("a-made-up-token-{number:04}");
        let verdict = plant.site.worker.check_token(&token, &from("203.0.113.9"));
        match plant.park(&verdict) {
            Some(_) => assert!(number < 10, "a quarter"),
            None => assert_eq!((verdict.answer.reason(), number >= 10), (Reason::IntrospectionLimited, true)),
        }
    }
    let verdict = plant.site.worker.check_token(TOKEN, &from("192.0.2.1"));
    assert!(plant.park(&verdict).is_some(), "there is room");
}

/// Tokens that look like JWTs and are none that a proxy could read, beside those of this issuer.
fn unreadable(issuer: &str) -> Vec<(&'static str, String)> {
    let key = TestKey::p256("k");
    let own = token::claims(issuer, AUDIENCE, "alice", 300);
    let header = json!({ "alg": "ES256", "kid": "k", "typ": "at+jwt" });
    let without = |name: &str| {
        let mut claims = own.clone();
        claims.as_object_mut().expect("an object").remove(name);
        key.token("ES256", &claims)
    };
    let with = |changes: &Value| key.token("ES256", &merged(&own, changes));
    let headed = |changes: &Value| key.jws("ES256", &merged(&header, changes), &own);
    let payload = |octets: &[u8]| key.jws_octets("ES256", header.to_string().as_bytes(), octets);
    let encrypted = |header: &str| format!("{}.AAAA.AAAA.AAAA.AAAA", token::encode(header));
    vec![
        ("no exp", without("exp")),
        ("no iss", without("iss")),
        ("another iss", with(&json!({ "iss": "http://internal.example" }))),
        ("iss a number", with(&json!({ "iss": 7 }))),
        ("exp a text", with(&json!({ "exp": "soon" }))),
        ("aud an object", with(&json!({ "aud": {} }))),
        ("alg ES512", headed(&json!({ "alg": "ES512" }))),
        ("alg none", token::unsigned(&json!({ "alg": "none" }), &own)),
        ("kid a number", headed(&json!({ "kid": 5 }))),
        ("crit", headed(&json!({ "crit": ["x"] }))),
        ("no JSON", payload(b"\x01\x02")),
        ("a list", payload(b"[1]")),
        ("no base64url", format!("{}.+.AAAA", token::encode(header.to_string()))),
        ("JWE of the server", encrypted(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#)),
        ("JWE of another kind", encrypted(r#"{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","zip":"DEF"}"#)),
    ]
}

#[test]
fn a_jwt_that_cannot_be_read_is_shown_to_the_server_of_opaque_tokens() {
    let server = Server::start();
    let mut plant = server.opaque(&json!({}));
    for (count, (what, token)) in (1..).zip(unreadable(&server.server.issuer())) {
        assert_eq!(plant.reason(&token), Reason::Ok, "{what}: {}", plant.site.log.text());
        assert_eq!(plant.reason(&token), Reason::Ok, "{what}: from the cache");
        assert_eq!(server.asked(), count, "{what}");
    }
    let (_, revoked) = unreadable(&server.server.issuer()).swap_remove(1);
    let revoked = format!("{revoked}x");
    server.revoke(&revoked);
    assert_eq!(plant.reason(&revoked), Reason::TokenInactive);
}

#[test]
fn an_invalid_jwt_of_another_provider_is_not_shown_to_the_server_of_opaque_tokens() {
    let (server, jwts) = (Server::start(), ScriptedServer::start(key_set(&[&TestKey::p256("k")])));
    let mut plant = server.opaque(&json!({}));
    let opaque = format!(
        "name=opaque;issuer={};audience={AUDIENCE};aor=sip:{{preferred_username}}@example.test;shared_domains=yes;tokens=opaque;\
         client_id=sip-proxy;client_secret={SECRET};introspection_endpoint={}",
        server.server.issuer(),
        server.server.url(INTROSPECT)
    );
    let jwt = format!(
        "name=jwt;issuer={};audience={AUDIENCE};aor=sip:{{preferred_username}}@example.test;shared_domains=yes",
        jwts.issuer()
    );
    plant.site.reload_lines(&[&jwt, &opaque]);
    let nameless = ["no iss", "another iss", "iss a number", "no JSON", "a list", "no base64url"];
    for (what, token) in unreadable(&jwts.issuer()) {
        let reason = plant.reason(&token);
        if nameless.contains(&what) || what.starts_with("JWE") {
            assert_eq!(reason, Reason::Ok, "{what}: it is not one of the other provider");
        } else {
            assert!(
                [Reason::ClaimMissing, Reason::ClaimMalformed, Reason::AlgorithmNotAllowed].contains(&reason)
                    || [Reason::TokenMalformed, Reason::CriticalUnknown].contains(&reason),
                "{what}: {reason:?}"
            );
        }
    }
    assert_eq!(server.asked(), 8);
    let header = json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "iss": jwts.issuer() }).to_string();
    let encrypted = format!("{}.AAAA.AAAA.AAAA.AAAA", token::encode(header));
    assert_eq!(plant.reason(&encrypted), Reason::TokenEncrypted, "its header names the other provider");
    assert_eq!(server.asked(), 8);
}

#[test]
fn an_answer_without_an_end_bounds_no_registration() {
    let mut body = active();
    body.as_object_mut().expect("an object").remove("exp");
    let server = Server::start();
    server.server.set(INTROSPECT, Answer::Json(body));
    let mut plant = server.opaque(&json!({}));
    assert_eq!(plant.reason(TOKEN), Reason::Ok);
    let verdict = register(&mut plant, TOKEN, false);
    assert_eq!((verdict.answer.reason(), verdict.expires_limit()), (Reason::Ok, 0));
}

#[test]
fn a_request_that_waited_for_something_else_has_its_token_asked_about() {
    let server = Server::start();
    let mut plant = server.opaque(&json!({}));
    let resumed = Handling { resumed: true, source: "192.0.2.1", ..Handling::default() };
    let verdict = plant.site.worker.check_token(TOKEN, &resumed);
    assert_eq!((verdict.answer.reason(), verdict.status, verdict.retry_after), (Reason::WaitTimeout, 503, 1));
    let known = patience::until(PATIENCE, || {
        plant.step();
        plant.site.worker.check_token(TOKEN, &Handling::default()).answer.reason() == Reason::Ok
    });
    assert!(known, "{}", plant.site.log.text());
}

/// A proxy with two providers of opaque tokens: a for example.test, b for b.test.
fn told_apart_by_domain(first: &Server, second: &Server) -> Plant {
    let plant = first.opaque(&json!({ "domain": "example.test", "aor": "{preferred_username}" }));
    let provider = |server: &Server, name: &str, domain: &str| {
        format!(
            "name={name};issuer={};audience={AUDIENCE};aor=sip:{{preferred_username}}@{{domain}};domain={domain};\
             tokens=opaque;client_id=sip-proxy;client_secret={SECRET};introspection_endpoint={}",
            server.server.issuer(),
            server.server.url(INTROSPECT)
        )
    };
    plant.site.reload_lines(&[&provider(first, "a", "example.test"), &provider(second, "b", "b.test")]);
    plant
}

/// A REGISTER of this address with the opaque token, once the server has been asked if it must be.
fn register_as(plant: &mut Plant, aor: &str) -> CheckResult {
    let verdict = register_of(plant, aor, TOKEN, false);
    let Some(cookie) = plant.park(&verdict) else { return verdict };
    plant.wait_for(cookie);
    register_of(plant, aor, TOKEN, true)
}

#[test]
fn two_providers_with_opaque_tokens_are_told_apart_by_domain_also_on_a_cache_hit() {
    let (first, second) = (Server::start(), Server::start());
    second.server.set(INTROSPECT, Answer::Json(json!({ "active": false })));
    let mut plant = told_apart_by_domain(&first, &second);
    let mut ask = |aor: &str| register_as(&mut plant, aor).answer.reason();
    assert_eq!(ask(ALICE), Reason::Ok);
    assert_eq!(ask("sip:alice@b.test"), Reason::TokenInactive, "asked at the server of that domain");
    assert_eq!(ask(ALICE), Reason::Ok);
    assert_eq!((first.asked(), second.asked()), (1, 1));
}

/// RFC 8705 section 3.2: the answer names the key, for tokens that nobody else can read and beside those that are read.
#[test]
fn a_key_that_the_server_names_must_be_proved() {
    let authority = Authority::new();
    let (alices, mallorys) = (authority.client("alice").certificate, authority.client("mallory").certificate);
    let bound = json!({ "cnf": { "x5t#S256": thumbprint(&alices) } });
    let ask = |plant: &mut Plant, token: &str, certificate: &Path, resumed| {
        let handling = Handling { resumed, source: "192.0.2.1", ..Handling::default() };
        send(&mut plant.site.worker, token, "tls", Some(certificate), &handling)
    };
    for strategy in ["opaque", "jwt_and_introspection"] {
        let server = Server::saying(&bound);
        let key = TestKey::p256("k");
        server.server.set_keys(key_set(&[&key]));
        let jwt = || key.token("ES256", &token::claims(&server.server.issuer(), AUDIENCE, "alice", 300));
        let token = if strategy == "opaque" { TOKEN.to_owned() } else { jwt() };
        let mut plant = server.plant(strategy, &json!({ "introspection_cache": 60 }), &json!({}));
        let verdict = ask(&mut plant, &token, &mallorys, false);
        let cookie = plant.park(&verdict).expect("the server must be asked");
        plant.wait_for(cookie);
        assert_eq!(ask(&mut plant, &token, &mallorys, true).answer.reason(), Reason::TokenBound, "{strategy}");
        for _ in 0..3 {
            assert_eq!(ask(&mut plant, &token, &alices, true).answer.reason(), Reason::Ok, "{strategy}");
            assert_eq!(ask(&mut plant, &token, &mallorys, true).answer.reason(), Reason::TokenBound, "{strategy}");
            assert_eq!(register(&mut plant, &token, true).answer.reason(), Reason::TokenBound, "{strategy}");
        }
    }
}

/// Whoever has accepted a connection before the outage ended never answers on it.
#[test]
fn a_server_that_hung_is_asked_again_soon_after_its_return() {
    let server = Server::start();
    let limits = json!({ "http_timeout": 8, "pending_timeout": 30 });
    let mut plant = server.plant("opaque", &json!({ "introspection_cache": 0 }), &limits);
    let well = Answer::Json(active());
    server.server.set(INTROSPECT, Answer::Hang);
    let ask = |plant: &mut Plant, number: usize| {
        let (source, token) = (format!("192.0.2.{number}"), format!("a-token-of-phone-{number:04}"));
        let handling = Handling { source: &source, ..Handling::default() };
        let verdict = plant.site.worker.check_token(&token, &handling);
        plant.park(&verdict).expect("it must be asked")
    };
    let hung: Vec<u64> = (1..=3).map(|number| ask(&mut plant, number)).collect();
    hung.into_iter().for_each(|cookie| plant.wait_for(cookie));
    let idle = |plant: &mut Plant| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            plant.step();
        }
    };
    // After a pause this one is tried, and the server is back while it hangs.
    idle(&mut plant);
    let asked = server.asked();
    ask(&mut plant, 4);
    idle(&mut plant);
    assert_eq!(server.asked(), asked + 1);
    server.server.set(INTROSPECT, well);
    let back = Instant::now();
    let mut number = 5;
    while plant.ask_from(&format!("192.0.2.{number}"), &format!("a-token-of-phone-{number:04}")).answer.reason()
        != Reason::Ok
    {
        assert!(back.elapsed() < Duration::from_secs(5), "{}", plant.site.log.text());
        number += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
}

/// Another worker has asked the server again. What this one has at hand does not count any more.
#[test]
fn claims_of_a_token_accepted_at_a_glance_are_those_of_the_answer_that_counts() {
    let server = Server::saying(&json!({ "team": "old" }));
    let mut plant = server.opaque(&json!({ "introspection_cache": 2 }));
    let asked = |plant: &mut crate::plant::Plant| {
        let verdict = register(plant, TOKEN, false);
        let cookie = plant.park(&verdict).expect("the server is asked");
        plant.wait_for(cookie);
        assert_eq!(register(plant, TOKEN, true).answer.reason(), Reason::Ok);
    };
    asked(&mut plant);
    server.server.set(INTROSPECT, Answer::Json(merged(&active(), &json!({ "team": "new" }))));
    let patience = crate::support::patience::until(crate::support::patience::PATIENCE, || {
        register(&mut plant, TOKEN, false).pending.is_some()
    });
    assert!(patience, "the answer ends");
    let other = sipoauth::worker::Worker::new(Arc::clone(&plant.site.context)).expect("a good configuration");
    let first = std::mem::replace(&mut plant.site.worker, other);
    asked(&mut plant);
    plant.site.worker = first;
    let verdict = register(&mut plant, TOKEN, false);
    assert!(verdict.glance.is_some());
    let token = plant.site.worker.token_of(&verdict).expect("the answer is there");
    let team = sipoauth::worker::claim_text(&token.payload, "team");
    assert_eq!(team.as_deref(), Some("new"));
}

/// The same opaque text at two servers, told apart by the domain: each request shows its own server's facts, however
/// often it comes.
#[test]
fn an_opaque_token_of_two_servers_is_never_shown_as_the_other_ones() {
    let (first, second) = (Server::saying(&json!({ "team": "A" })), Server::saying(&json!({ "team": "B" })));
    let mut plant = told_apart_by_domain(&first, &second);
    for aor in [ALICE, "sip:alice@b.test", "sip:alice@b.test", ALICE, ALICE, "sip:alice@b.test"] {
        let verdict = register_as(&mut plant, aor);
        let (server, name, team) = if aor == ALICE { (&first, "a", "A") } else { (&second, "b", "B") };
        assert_eq!((verdict.answer.reason(), verdict.provider()), (Reason::Ok, name), "{aor}");
        assert_eq!(verdict.shown().expect("accepted").issuer, server.server.issuer());
        let token = plant.site.worker.token_of(&verdict).expect("the answer is there");
        assert_eq!(sipoauth::worker::claim_text(&token.payload, "team").as_deref(), Some(team), "{aor}");
    }
}
