// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests that were accepted before are compared instead of parsed. Each of these is sent until it is accepted so, and
//! then one thing is different.

use crate::site::{ALICE, Site, claims};
use crate::support::token::{TestKey, now};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};
use sipoauth::worker::grants::Withheld;
use sipoauth::worker::repeats::{Recognized, Repeated};
use sipoauth::worker::result::CheckResult;
use sipoauth::worker::{Handling, Worker, claim_text};
use sipoauth_core::check::known_token::RequestKey;
use sipoauth_core::check::{Message, Request};
use sipoauth_core::reason::Reason;
use sipoauth_core::sip::sender::Network;
use std::sync::{Arc, Mutex, OnceLock};

const BOB: &str = "sip:bob@example.test";

/// A REGISTER of alice.
fn register<'a>(credentials: &'a [&'a str]) -> Request<'a> {
    Request { method: "REGISTER", from: ALICE, to: ALICE, realm: "example.test", credentials, ..Request::default() }
}

fn at(time: i64) -> Handling<'static> {
    Handling { now: Some(time), ..Handling::default() }
}

/// Whether it is accepted at a glance.
fn is_repeated(worker: &mut Worker, request: &Request<'_>, time: i64) -> bool {
    let recognized = worker.recognize(&Repeated::from(request), &at(time), &mut CheckResult::default());
    matches!(recognized, Recognized::Accepted)
}

/// The result without parsing the credentials; None if there is none.
fn judged_at_a_glance(worker: &mut Worker, request: &Request<'_>, handling: &Handling<'_>) -> Option<Reason> {
    match worker.recognize(&Repeated::from(request), handling, &mut CheckResult::default()) {
        Recognized::Accepted => Some(Reason::Ok),
        Recognized::Text(sent) => Some(worker.check_closely(request, Some(sent), handling).answer.reason()),
        Recognized::Not => None,
    }
}

/// Sends it until it is accepted at a glance.
fn settle(site: &mut Site, request: &Request<'_>, time: i64) {
    let reasons = [(); 2].map(|()| site.worker.check(request, &at(time)).answer.reason());
    assert_eq!(reasons, [Reason::Ok; 2]);
    assert!(is_repeated(&mut site.worker, request, time));
}

fn site_and_header(key: &TestKey, provider: &Value, changes: &Value) -> (Site, String) {
    let header = format!("Bearer {}", key.token("ES256", &claims(changes)));
    (Site::new(&[key.jwk()], provider), header)
}

#[test]
fn the_same_answer_as_before() {
    let key = TestKey::p256("k");
    let (mut site, header) = site_and_header(&key, &json!({ "services": "chat=sip" }), &json!({}));
    let credentials = [header.as_str()];
    let request = register(&credentials);
    let time = now();
    settle(&mut site, &request, time);
    let slow = site.worker.check_closely(&request, None, &at(time));
    let fast = site.worker.check(&request, &at(time));
    let shown = |verdict: &CheckResult| {
        let CheckResult { answer, .. } = verdict;
        format!(
            "{:?} {:?} {} {:?} {:?} {} {} {} {} {} {}",
            answer.reason,
            answer.provider,
            answer.cached,
            answer.carried,
            verdict.shown().expect("accepted"),
            verdict.status,
            verdict.provider(),
            verdict.services(),
            verdict.expires_limit(),
            verdict.granted.is_some(),
            verdict.proxy,
        )
    };
    assert_eq!(shown(&fast), shown(&slow));
    assert!(fast.expires_limit() > 0 && fast.services() == "chat" && fast.provider() == "as");
}

/// What one worker has verified and accepted counts for all. Only what is asked for beyond that is read again.
#[test]
fn another_worker_accepts_at_a_glance_and_gives_every_claim() {
    let key = TestKey::p256("k");
    let (mut site, header) = site_and_header(&key, &json!({}), &json!({ "team": { "room": 7 } }));
    let credentials = [header.as_str()];
    let (request, time) = (register(&credentials), now());
    let first = site.worker.check(&request, &at(time));
    let mut other = Worker::new(Arc::clone(&site.context)).expect("a good configuration");
    let second = other.check(&request, &at(time));
    assert_eq!((first.answer.cached, second.answer.cached), (false, true));
    assert!(second.glance.is_some() && second.answer.token.is_none());
    assert_eq!(second.shown(), first.shown());
    let token = other.token_of(&second).expect("it is read again");
    let verified = first.answer.token.as_ref().expect("it was verified");
    assert_eq!((&token.claims, &token.aors), (&verified.claims, &verified.aors));
    assert_eq!((&token.payload, &token.fingerprint), (&verified.payload, &verified.fingerprint));
    assert_eq!(claim_text(&token.payload, "team.room").as_deref(), Some("7"));
    let hop = "sip:as.example.test";
    assert_eq!(other.token_for(&second, hop), Err(Withheld::ForeignNextHop));
    // The same worker has it at hand now.
    assert!(Arc::ptr_eq(&token, &other.token_of(&second).expect("as before")));
}

/// Whom a user calls does not decide, and a second method does not push out the first.
#[test]
fn calls_to_others_are_accepted_at_a_glance_beside_registrations() {
    let key = TestKey::p256("k");
    let (mut site, header) = site_and_header(&key, &json!({}), &json!({}));
    let credentials = [header.as_str()];
    let register = register(&credentials);
    let (invite, time) = (Request { method: "INVITE", to: BOB, ..register }, now());
    settle(&mut site, &register, time);
    settle(&mut site, &invite, time);
    assert!(is_repeated(&mut site.worker, &register, time));
    for to in [ALICE, BOB, "sip:carol@elsewhere.test", "tel:+15550100"] {
        assert!(is_repeated(&mut site.worker, &Request { to, ..invite }, time), "{to}");
    }
    for changed in [
        Request { method: "MESSAGE", ..invite },
        Request { method: "invite", ..invite },
        Request { from: BOB, ..invite },
        Request { to: BOB, ..register },
    ] {
        assert!(!is_repeated(&mut site.worker, &changed, time), "{} {}", changed.method, changed.from);
    }
}

/// What is asked for after a reload belongs to the check before it.
#[test]
fn claims_are_read_by_the_policy_of_their_check() {
    let key = TestKey::p256("k");
    let (mut site, header) = site_and_header(&key, &json!({}), &json!({ "team": 7 }));
    let file = site.file("keys.json");
    let provider = |name: &str, issuer: &str, domain: &str| {
        json!({ "name": name, "issuer": issuer, "audience": "sip", "aor": "sip:{preferred_username}@{domain}",
            "domain": domain, "jwks_file": file })
    };
    let (other, own) = (
        provider("zero", "https://zero.example.test", "zero.test"),
        provider("as", crate::site::ISSUER, "example.test"),
    );
    site.reload_globals(&json!({ "provider": [other, own.clone()] })).expect("a good configuration");
    let credentials = [header.as_str()];
    let (request, time) = (register(&credentials), now());
    assert_eq!(site.worker.check(&request, &at(time)).answer.reason(), Reason::Ok);
    let mut worker = Worker::new(Arc::clone(&site.context)).expect("a good configuration");
    let result = worker.check(&request, &at(time));
    assert!(result.glance.is_some());
    site.reload_globals(&json!({ "provider": [own] })).expect("a good configuration");
    // The same script goes on, and the worker takes the configuration over.
    let _ = worker.replies();
    let token = worker.token_of(&result).expect("it is read again");
    assert_eq!(claim_text(&token.payload, "team").as_deref(), Some("7"));
    assert_eq!(worker.token_for(&result, "sip:as.example.test"), Err(Withheld::ForeignNextHop));
}

/// The last second that a record can hold is not taken for no end at all.
#[test]
fn a_token_with_a_very_late_end_is_judged_each_time() {
    let key = TestKey::p256("k");
    let (mut site, header) = site_and_header(&key, &json!({}), &json!({ "exp": 4_294_967_294i64 }));
    let credentials = [header.as_str()];
    let request = register(&credentials);
    for (time, expected) in [(4_294_967_200, Reason::Ok), (4_295_067_295, Reason::TokenExpired)] {
        for _ in 0..2 {
            assert_eq!(site.worker.check(&request, &at(time)).answer.reason(), expected, "{time}");
        }
    }
}

#[test]
fn a_token_that_ends_between_two_requests_is_refused() {
    let key = TestKey::p256("k");
    let (now, exp) = (now(), now() + 10);
    let (mut site, header) = site_and_header(&key, &json!({}), &json!({ "exp": exp, "nbf": now, "iat": now }));
    let credentials = [header.as_str()];
    let request = register(&credentials);
    settle(&mut site, &request, now);
    for (time, expected) in [
        (exp + 29, Reason::Ok),
        (exp + 30, Reason::TokenExpired),
        (exp + 29, Reason::Ok),
        (now - 31, Reason::TokenNotYetValid),
        (now - 30, Reason::Ok),
    ] {
        assert_eq!(is_repeated(&mut site.worker, &request, time), expected == Reason::Ok, "{time}");
        assert_eq!(site.worker.check(&request, &at(time)).answer.reason(), expected, "{time}");
    }
}

/// A phone whose requests are all compared instead of parsed stays known to the limits.
#[test]
fn a_phone_that_is_recognized_all_day_is_no_stranger() {
    let key = TestKey::p256("k");
    let start = now();
    let (mut site, header) = site_and_header(&key, &json!({}), &json!({ "exp": start + 86_400 }));
    let (credentials, source) = ([header.as_str()], "192.0.2.1");
    let request = Request { transport: "udp", source: (source, 5060), ..register(&credentials) };
    let mut recognized = 0;
    for time in (start..start + 6 * 3600).step_by(300) {
        recognized += u32::from(is_repeated(&mut site.worker, &request, time));
        let verdict = site.worker.check(&request, &Handling { source, ..at(time) });
        assert_eq!(verdict.answer.reason(), Reason::Ok);
        let shown = &site.context.arena().shared().shown_senders;
        assert!(shown.knows(&Network::of(source), 5060, time * 1000), "{} s later", time - start);
    }
    assert!(recognized > 36, "{recognized} of 72");
}

#[test]
fn another_request_is_looked_at() {
    let key = TestKey::p256("k");
    let rules = json!({ "method_scopes": ["INVITE=sip.call"] });
    let (mut site, header) = site_and_header(&key, &rules, &json!({}));
    let (other, named) = (format!("{header}w"), format!("{header}, realm=\"elsewhere\""));
    let [credentials, others, realms, two] =
        [vec![header.as_str()], vec![other.as_str()], vec![named.as_str()], vec![header.as_str(), header.as_str()]];
    let request = register(&credentials);
    let time = now();
    settle(&mut site, &request, time);
    for (changed, expected) in [
        (Request { to: BOB, ..request }, Reason::ThirdPartyRegistration),
        (Request { from: BOB, ..request }, Reason::ThirdPartyRegistration),
        (Request { from: BOB, to: BOB, ..request }, Reason::AorMismatch),
        (Request { method: "INVITE", ..request }, Reason::InsufficientScope),
        (Request { credentials: &[], ..request }, Reason::NoCredentials),
        (Request { credentials: &others, ..request }, Reason::SignatureInvalid),
        (Request { credentials: &realms, ..request }, Reason::NoCredentials),
        (Request { credentials: &two, ..request }, Reason::SeveralTokens),
    ] {
        assert!(!is_repeated(&mut site.worker, &changed, time), "{expected:?}");
        assert_eq!(site.worker.check(&changed, &at(time)).answer.reason(), expected);
        settle(&mut site, &request, time);
    }
    let asking = RequestKey { method: b"REGISTER", from: ALICE.as_bytes(), to: ALICE.as_bytes() };
    let repeated = Repeated { asking, credentials: b"\xff", has_body: false, transport: "udp", connection: 0 };
    let recognized = site.worker.recognize(&repeated, &at(time), &mut CheckResult::default());
    assert!(matches!(recognized, Recognized::Not));
}

#[test]
fn a_reload_and_other_keys_end_it() {
    let key = TestKey::p256("k");
    for (keys, changes, expected) in [
        (None, json!({ "audience": "other" }), Reason::AudienceMismatch),
        (None, json!({ "required_scopes": ["sip.call"] }), Reason::InsufficientScope),
        (Some(TestKey::p256("k").jwk()), json!({}), Reason::SignatureInvalid),
        (Some(TestKey::p256("l").jwk()), json!({}), Reason::KeyUnknown),
    ] {
        let (mut site, header) = site_and_header(&key, &json!({}), &json!({}));
        let credentials = [header.as_str()];
        let request = register(&credentials);
        settle(&mut site, &request, now());
        site.reload(keys.as_ref().map(std::slice::from_ref), &changes);
        assert!(!is_repeated(&mut site.worker, &request, now()), "{changes}");
        assert_eq!(site.worker.check(&request, &at(now())).answer.reason(), expected, "{changes}");
    }
}

/// What is judged together with something else is looked at each time.
#[test]
fn nothing_is_remembered_where_more_than_the_request_decides() {
    let key = TestKey::p256("k");
    let (mut site, header) = site_and_header(&key, &json!({}), &json!({}));
    let spelled = format!("Bearer token=\"{}\"", header.strip_prefix("Bearer ").expect("put there"));
    let credentials = [spelled.as_str()];
    let request = register(&credentials);
    for _ in 0..3 {
        assert_eq!(site.worker.check(&request, &at(now())).answer.reason(), Reason::Ok);
    }
    assert!(!is_repeated(&mut site.worker, &request, now()));

    let credentials = [header.as_str()];
    let tls = Request { transport: "tls", connection: 7, ..register(&credentials) };
    let mut bound = Site::with_globals(&[key.jwk()], &json!({}), &json!({ "connection_auth": true }));
    for _ in 0..3 {
        assert_eq!(bound.worker.check(&tls, &at(now())).answer.reason(), Reason::Ok);
    }
    assert!(!is_repeated(&mut bound.worker, &tls, now()), "each binds its connection");

    // Without sessions a body means nothing.
    settle(&mut site, &register(&credentials), now());
    let message = Message { content_type: "text/plain", body: b"x", ..Message::default() };
    assert!(is_repeated(&mut site.worker, &Request { message, ..register(&credentials) }, now()));
}

/// Credentials of a token in every spelling, for this realm, another one, or none.
fn spellings(token: &str) -> Vec<(String, Reason)> {
    let mut all = Vec::new();
    for form in ["Bearer {t}", "bearer  {t} ", "Bearer {t}{r}", "Bearer token=\"{t}\"{r}", "Bearer access_token={t}{r}"]
    {
        for (realm, expected) in [
            ("", Reason::Ok),
            (", realm=\"example.test\"", Reason::Ok),
            (", realm=example.test", Reason::Ok),
            (",realm=\"\"", Reason::Ok),
            (", realm=\"Example.Test\"", Reason::NoCredentials),
            (", realm=\"other.test\"", Reason::NoCredentials),
            (", realm=\"example.test.\"", Reason::NoCredentials),
        ] {
            let expected = if form.contains("{r}") { expected } else { Reason::Ok };
            all.push((form.replace("{t}", token).replace("{r}", realm), expected));
        }
    }
    all
}

/// A credential that names another realm is meant for somebody else, whoever asks, and however often it has come.
#[test]
fn one_rule_about_realms_for_registrar_and_proxy_at_first_and_at_a_glance() {
    let key = TestKey::p256("k");
    let (mut site, header) = site_and_header(&key, &json!({}), &json!({}));
    let token = header.strip_prefix("Bearer ").expect("put there");
    let time = now();
    for settled in [false, true] {
        if settled {
            settle(&mut site, &register(&[header.as_str()]), time);
        }
        for (credentials, expected) in spellings(token) {
            for proxy in [false, true] {
                let credentials = [credentials.as_str()];
                let request = register(&credentials);
                let handling = Handling { proxy, ..at(time) };
                let reasons = [(); 3].map(|()| site.worker.check(&request, &handling).answer.reason());
                assert_eq!(reasons, [expected; 3], "{settled} {proxy} {credentials:?}");
                assert_eq!(site.worker.check_closely(&request, None, &handling).answer.reason(), expected);
                let recognized = judged_at_a_glance(&mut site.worker, &request, &handling);
                assert!(recognized.is_none_or(|reason| reason == expected), "{credentials:?}");
            }
        }
    }
    // Credentials of other realms may stand beside one of this realm. Without a realm, any counts.
    let foreign = "Bearer other.token.x, realm=\"other.test\"";
    for list in [[foreign, &header], [&header, foreign]] {
        assert_eq!(site.worker.check(&register(&list), &at(time)).answer.reason(), Reason::Ok);
    }
    let named = format!("{header}, realm=\"other.test\"");
    let credentials = [named.as_str()];
    let any = Request { realm: "", ..register(&credentials) };
    assert_eq!(site.worker.check(&any, &at(time)).answer.reason(), Reason::Ok);
}

proptest! {
    #[test]
    fn what_is_accepted_at_a_glance_is_accepted_when_it_is_looked_at(
        before in "[ \t]{0,2}(?i:bearer)[ \t]{0,2}",
        after in "( |\t|,|, realm=\"?(example|other)[.]test\"?|, pop=abc|=|x|\\.){0,2}",
        proxy in any::<bool>(),
        realm in "(example|other)[.]test|",
    ) {
        let (site, header) = &mut *shared();
        let token = header.strip_prefix("Bearer ").expect("put there");
        let credentials = format!("{before}{token}{after}");
        let credentials = [credentials.as_str()];
        let request = Request { realm: &realm, ..register(&credentials) };
        let handling = Handling { proxy, ..at(now()) };
        let fast = judged_at_a_glance(&mut site.worker, &request, &handling);
        let slow = site.worker.check_closely(&request, None, &handling).answer.reason();
        let again = site.worker.check(&request, &handling).answer.reason();
        prop_assert!(fast.is_none_or(|fast| fast == slow), "{:?}", credentials);
        prop_assert_eq!(slow, again);
    }
}

/// A site that has accepted alice's token at a glance.
fn shared() -> std::sync::MutexGuard<'static, (Site, String)> {
    static SITE: OnceLock<Mutex<(Site, String)>> = OnceLock::new();
    let made = SITE.get_or_init(|| {
        let (mut site, header) = site_and_header(&TestKey::p256("k"), &json!({}), &json!({}));
        settle(&mut site, &register(&[header.as_str()]), now());
        Mutex::new((site, header))
    });
    made.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
