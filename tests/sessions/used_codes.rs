// SPDX-License-Identifier: MIT OR Apache-2.0

//! A code that was used already, sent again: by its own phone, and by whoever has got hold of a part of its registration.

use crate::endpoint::{VALIDATION, refusal};
use crate::phone::{ALICE, BOB, Sip};
use crate::plant::{Plant, Proxy};
use crate::support::scripted_server::Answer as ServerAnswer;
use crate::support::token::now;
use serde_json::json;
use sipoauth::worker::Handling;
use sipoauth_core::reason::Reason;
use std::time::Duration;

const VERIFIER: &str = "the-verifier-of-the-phone-0123456789-0123456789";
const OTHER_VERIFIER: &str = "the-verifier-of-a-stranger-0123456789-0123456789";
const REDIRECT: &str = "http://127.0.0.1/cb";
/// Seconds for which a lost answer is given again (64*T1).
const RETRANSMITTED: i64 = 32;

/// A phone that shows everything that there is.
fn complete(name: &str, code: &str) -> Sip {
    shown(name, code, Some(VERIFIER), Some(REDIRECT)).instance("1")
}

fn shown(name: &str, code: &str, verifier: Option<&str>, redirect_uri: Option<&str>) -> Sip {
    let mut body = format!("grant_type=authorization_code&code={code}");
    for (field, value) in [("code_verifier", verifier), ("redirect_uri", redirect_uri)] {
        if let Some(value) = value {
            body.push_str(&format!("&{field}={value}"));
        }
    }
    Sip::register(ALICE, name).body(&body)
}

fn from(source: &str, sip: Sip) -> Sip {
    Sip { source: (source.into(), 5060), ..sip }
}

/// What differs in one field from the phone's own, whatever has become of its registration.
fn strangers(code: &str) -> Vec<(&'static str, Sip)> {
    let own = || complete("mallory", code);
    vec![
        ("code_verifier", shown("mallory", code, Some(OTHER_VERIFIER), Some(REDIRECT)).instance("1")),
        ("code_verifier", shown("mallory", code, None, Some(REDIRECT)).instance("1")),
        ("redirect_uri", shown("mallory", code, Some(VERIFIER), Some("http://127.0.0.1/other")).instance("1")),
        ("redirect_uri", shown("mallory", code, Some(VERIFIER), None).instance("1")),
        ("instance", own().instance("2")),
        ("instance", Sip { instance: String::new(), ..own() }),
        ("address", Sip { from: BOB.into(), to: BOB.into(), ..own() }),
        ("address", Sip { from: "sip:sales@example.test".into(), to: "sip:sales@example.test".into(), ..own() }),
    ]
}

/// Removes the fates of all codes, as the end of `code_lifetime` does.
fn forget_records(proxy: &Proxy) {
    let access = proxy.context.sessions().expect("sessions are configured");
    let store = access.open(&proxy.worker.placed().policy).expect("a store");
    for key in proxy.records("c:") {
        assert_eq!(store.store().remove(&key, None), Ok(true));
    }
}

/// A server may take a used code that comes again for a stolen one, and end the session of its owner.
#[test]
fn a_used_code_stays_known_as_long_as_its_session_lives() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    proxy.sign_in(&complete("one", &code));
    forget_records(&proxy);
    for (name, sip) in
        [("stranger", from("203.0.113.9", complete("mallory", &code))), ("owner", complete("two", &code))]
    {
        assert_eq!(proxy.answer(&sip), (401, Reason::CodeRefused), "{name}");
    }
    assert_eq!((plant.endpoint.exchanges(), all_sessions(&proxy).len()), (1, 1));
}

/// It is not sent, so it takes no trial of a server that is left alone from somebody else's code.
#[test]
fn a_used_code_is_refused_while_the_server_is_left_alone() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    proxy.sign_in(&complete("one", &code));
    forget_records(&proxy);
    plant.endpoint.answer_codes(ServerAnswer::Status(503));
    for number in 1..=4 {
        let name = format!("n{number}");
        let sip = from(&format!("198.51.{number}.1"), complete(&name, &plant.endpoint.code("alice")));
        assert_eq!(proxy.answer(&sip), (503, Reason::ExchangeUnavailable), "{number}");
    }
    let asked = plant.endpoint.exchanges();
    for number in 0..4 {
        let copy = from("203.0.113.9", complete(&format!("mallory{number}"), &code));
        assert_eq!(proxy.answer(&copy), (401, Reason::CodeRefused), "{number}");
    }
    assert_eq!(plant.endpoint.exchanges(), asked);
}

#[test]
fn a_sign_in_is_for_one_contact() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let two = Sip { contacts: 2, ..complete("one", &plant.endpoint.code("alice")) };
    assert_eq!(proxy.answer(&two), (400, Reason::PopMalformed));
    assert_eq!(plant.endpoint.exchanges(), 0);
}

/// A stranger is refused, and the owner has what he had.
fn is_refused(plant: &Plant, proxy: &mut Proxy, what: &str, sip: &Sip) {
    let (sessions, exchanges, attempts) =
        (all_sessions(proxy), plant.endpoint.exchanges(), proxy.counted("code_attempts"));
    let verdict = proxy.ask(sip);
    let got = (verdict.status, verdict.answer.reason());
    assert_eq!(got, (401, Reason::CodeRefused), "{what}: {sip:?}\n{}", proxy.log.text());
    assert!(verdict.ticket.is_empty() && verdict.session.is_empty(), "{what}");
    assert_eq!(all_sessions(proxy), sessions, "{what}");
    assert_eq!((plant.endpoint.exchanges(), proxy.counted("code_attempts")), (exchanges, attempts + 1), "{what}");
    let log = proxy.log.text();
    let line = log.lines().rfind(|line| line.contains("401 code_refused")).expect("a line");
    assert!(line.contains(&format!(" attempt={what}")) && line.contains(" source="), "{what}: {line}");
}

fn all_sessions(proxy: &Proxy) -> Vec<String> {
    proxy
        .sessions("")
        .iter()
        .map(|listed| format!("{} {:?} {:?}", listed.aor, listed.session, listed.session.keys))
        .collect()
}

fn keys(proxy: &Proxy) -> Vec<[u8; 32]> {
    proxy.sessions(ALICE).iter().flat_map(|listed| listed.session.keys.iter().map(|key| key.0)).collect()
}

#[test]
fn one_wrong_field_makes_a_confirmed_code_worthless() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code_of_many(&["alice", "sales"]);
    let own = complete("one", &code);
    proxy.sign_in(&own);
    for (what, sip) in strangers(&code) {
        is_refused(&plant, &mut proxy, what, &sip);
        is_refused(&plant, &mut proxy, what, &from("198.51.100.9", sip));
    }
    let proof = Sip::register(ALICE, "proof").instance("1").prove_in_body(&own.key(&code, "to-one"));
    assert_eq!(proxy.answer(&proof), (200, Reason::Ok));
    for secret in [VERIFIER, OTHER_VERIFIER, &code] {
        assert!(!proxy.log.text().contains(secret));
    }
}

#[test]
fn before_it_is_confirmed_everything_must_be_the_same() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    for with_key in [false, true] {
        let code = plant.endpoint.code_of_many(&["alice", "sales"]);
        let own = complete("one", &code);
        let own = if with_key { own } else { Sip { reply_to_tag: String::new(), ..own } };
        let verdict = proxy.ask(&own);
        assert_eq!(verdict.answer.reason(), Reason::Ok, "{}", proxy.log.text());
        for (what, sip) in strangers(&code) {
            is_refused(&plant, &mut proxy, what, &sip);
        }
        is_refused(&plant, &mut proxy, "network", &from("198.51.100.9", complete("mallory", &code)));
        is_refused(&plant, &mut proxy, "network", &from("2001:db8::1", own.clone()));
        // The phone itself may come again: with the same request, and with another one.
        assert_eq!(proxy.reason(&own), Reason::Ok);
        assert_eq!(proxy.ask(&complete("two", &code)).session, verdict.session);
        proxy.worker.registrations().confirm(&verdict.ticket, b"to-one").expect("stored");
    }
}

#[test]
fn a_key_that_comes_after_its_answer_is_none() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "pending_timeout": 1 }));
    let code = plant.endpoint.code("alice");
    plant.endpoint.delay_codes(Duration::from_secs(3));
    assert_eq!(proxy.answer(&complete("one", &code)).0, 503);
    plant.endpoint.delay_codes(Duration::ZERO);
    // The registration was answered 503, so it has no key, and nothing is confirmed.
    proxy.until("the code comes back", |proxy| !proxy.records("t:").is_empty());
    assert_eq!(keys(&proxy), Vec::<[u8; 32]>::new());
    let again = complete("two", &code);
    proxy.sign_in(&again);
    assert_eq!(keys(&proxy).len(), 1);
    let proof = Sip::register(ALICE, "proof").instance("1").prove_in_body(&again.key(&code, "to-two"));
    assert_eq!(proxy.answer(&proof), (200, Reason::Ok));
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn without_a_verifier_a_confirmed_code_is_worth_nothing() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    for (verifier, instance) in [(None, true), (Some(VERIFIER), false), (None, false)] {
        let code = plant.endpoint.code("alice");
        let sip = |name: &str| {
            let sip = shown(name, &code, verifier, Some(REDIRECT));
            if instance { sip.instance("1") } else { sip }
        };
        proxy.sign_in(&sip("one"));
        is_refused(&plant, &mut proxy, "confirmed", &sip("two"));
        is_refused(&plant, &mut proxy, "confirmed", &from("198.51.100.9", sip("two")));
        is_refused(&plant, &mut proxy, "confirmed", &from("198.51.100.9", sip("one")));
        // A request with another CSeq, Date or Contact is another request.
        is_refused(&plant, &mut proxy, "confirmed", &Sip { cseq: "2 REGISTER".into(), ..sip("one") });
        is_refused(&plant, &mut proxy, "confirmed", &sip("one").dated(now() - 9));
        is_refused(&plant, &mut proxy, "confirmed", &Sip { contact: "sip:mallory@203.0.113.5".into(), ..sip("one") });
    }
    let mut lenient = plant.proxy(&json!({ "allow": "flows_without_verifier" }));
    let code = plant.endpoint.code("alice");
    lenient.sign_in(&shown("one", &code, None, Some(REDIRECT)).instance("1"));
    let other = from("198.51.100.9", shown("two", &code, None, Some(REDIRECT)));
    lenient.sign_in(&other.clone().instance("1"));
    is_refused(&plant, &mut lenient, "instance", &other);
}

#[test]
fn another_flow_of_the_same_phone_shows_its_verifier() {
    let plant = Plant::new();
    let (mut one, mut two) = (plant.proxy(&json!({})), plant.proxy(&json!({})));
    let code = plant.endpoint.code("alice");
    let first = complete("one", &code);
    let session = one.sign_in(&first).session;
    let second = from("198.51.100.9", Sip { reg_id: 2, ..complete("two", &code) });
    let third = from("2001:db8::7", Sip { reg_id: 3, ..complete("three", &code) });
    assert_eq!(one.sign_in(&second).session, session);
    assert_eq!(two.sign_in(&third).session, session);
    for (at_first, sip) in [(true, &third), (false, &second), (false, &first)] {
        let proxy = if at_first { &mut one } else { &mut two };
        let name = format!("p-{}", sip.from_tag);
        let proof = Sip::register(ALICE, &name).instance("1").prove_in_body(&sip.key(&code, &sip.reply_to_tag));
        assert_eq!(proxy.answer(&proof), (200, Reason::Ok), "{name}");
    }
    for (what, sip) in strangers(&code) {
        is_refused(&plant, &mut two, what, &sip);
    }
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn a_lost_answer_is_given_again_for_a_while() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    let session = proxy.sign_in(&sip).session;
    assert_eq!(proxy.sign_in(&sip).session, session);
    // A copy that differs in anything is no retransmission: it would register another phone.
    for copy in [
        Sip { branch: "z9hG4bK-again".into(), ..sip.clone() },
        Sip { uri: "sip:elsewhere.example.test".into(), ..sip.clone() },
        Sip { reg_id: 7, ..sip.clone() },
        Sip { octets: b"REGISTER with another Expires".to_vec(), ..sip.clone() },
    ] {
        assert_eq!(proxy.answer(&copy), (401, Reason::CodeRefused), "{copy:?}");
    }
    // Another port, transport or connection is somebody else's, who may be behind the same address translator.
    for other in
        [Sip { source: ("192.0.2.1".into(), 40_000), ..sip.clone() }, sip.clone().over("wss"), sip.clone().on(7)]
    {
        assert_eq!(proxy.answer(&other), (401, Reason::CodeRefused), "{other:?}");
    }
    let mut at = |seconds: i64| {
        let handling = Handling { now: Some(now() + seconds), source: "192.0.2.1", ..Handling::default() };
        sip.read(|request| proxy.worker.check(request, &handling)).answer.reason()
    };
    assert_eq!(at(RETRANSMITTED - 2), Reason::Ok);
    assert_eq!(at(RETRANSMITTED + 2), Reason::CodeRefused);
}

#[test]
fn a_host_that_tells_nothing_has_it_confirmed_in_the_end() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    assert_eq!(proxy.reason(&Sip::with_code(ALICE, "one", &code)), Reason::Ok);
    let other = Sip::with_code(ALICE, "two", &code);
    let mut at = |seconds: i64| {
        let handling = Handling { now: Some(now() + seconds), source: "192.0.2.1", ..Handling::default() };
        other.read(|request| proxy.worker.check(request, &handling)).answer.reason()
    };
    assert_eq!((at(RETRANSMITTED - 2), at(RETRANSMITTED + 2)), (Reason::Ok, Reason::CodeRefused));
}

#[test]
fn a_registration_that_was_refused_after_all_may_come_again() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let first = proxy.ask(&Sip::with_code(ALICE, "one", &code));
    proxy.worker.registrations().withdraw(&first.ticket, b"to-one").expect("taken back");
    let later = Handling { now: Some(now() + 300), source: "192.0.2.1", ..Handling::default() };
    let second = Sip::with_code(ALICE, "two", &code);
    let verdict = second.read(|request| proxy.worker.check(request, &later));
    assert_eq!((verdict.answer.reason(), &verdict.session), (Reason::Ok, &first.session));
    // Once an answer has left, that of another copy takes nothing back.
    proxy.worker.registrations().confirm(&verdict.ticket, b"to-two").expect("stored");
    proxy.worker.registrations().withdraw(&verdict.ticket, b"a-copy").expect("nothing to do");
    is_refused(&plant, &mut proxy, "confirmed", &Sip::with_code(ALICE, "three", &code));
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn what_arrived_before_counts_as_before() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let messages = ["one", "two", "three"].map(|name| Sip::with_code(ALICE, name, &code));
    let stranger = from("198.51.100.9", Sip::with_code(ALICE, "mallory", &code));
    let waiting: Vec<u64> = messages
        .iter()
        .map(|sip| {
            let verdict = proxy.look(sip);
            proxy.park(&verdict).expect("nothing is known of the code")
        })
        .collect();
    let verdict = proxy.look(&stranger);
    let mallory = proxy.park(&verdict).expect("nothing is known of the code");
    for (sip, cookie) in messages.iter().zip(waiting) {
        let verdict = proxy.resume(sip, cookie);
        assert_eq!(verdict.answer.reason(), Reason::Ok, "{}", sip.call_id);
        proxy.worker.registrations().confirm(&verdict.ticket, sip.reply_to_tag.as_bytes()).expect("stored");
    }
    let before = keys(&proxy);
    let verdict = proxy.resume(&stranger, mallory);
    assert_eq!((verdict.status, verdict.answer.reason()), (401, Reason::CodeRefused), "he waited with the others");
    assert_eq!((keys(&proxy), before.len()), (before, 3));
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn who_tries_often_pushes_no_key_out() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let own = complete("one", &code);
    proxy.sign_in(&own);
    let before = keys(&proxy);
    for i in 0..10 {
        let sip = shown(&format!("m{i}"), &code, Some(OTHER_VERIFIER), Some(REDIRECT)).instance("1");
        assert_eq!(proxy.reason(&sip), Reason::CodeRefused);
        assert_eq!(proxy.reason(&shown(&format!("n{i}"), &code, None, None)), Reason::CodeRefused);
    }
    assert_eq!(keys(&proxy), before);
}

#[test]
fn a_session_that_was_ended_is_not_brought_back() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code_of_many(&["alice", "sales"]);
    let own = complete("one", &code);
    proxy.sign_in(&own);
    proxy.context.admin().revoke_sessions(ALICE, "").expect("a store");
    for (what, sip) in strangers(&code) {
        is_refused(&plant, &mut proxy, what, &sip);
    }
    assert_eq!(proxy.answer(&own), (401, Reason::SessionEnded));
    assert_eq!(proxy.answer(&complete("two", &code)), (401, Reason::SessionEnded));
    let unused = plant.endpoint.code("alice");
    assert_eq!(proxy.reason(&Sip { reply_to_tag: String::new(), ..complete("one", &unused) }), Reason::Ok);
    proxy.context.admin().revoke_all_sessions().expect("a store");
    assert_eq!(proxy.reason(&from("198.51.100.9", complete("two", &unused))), Reason::CodeRefused);
    assert_eq!(plant.endpoint.exchanges(), 2);
}

/// A stranger is first with a wrong verifier and the server says this. He gets `answer`, and a refusal when he
/// comes again; the server is asked once; then the owner shows another verifier, so it is asked once more.
fn a_stranger_is_first(said: impl Into<Option<ServerAnswer>>, answer: (u32, Reason), second: impl FnOnce(&Sip) -> Sip) {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let stranger = shown("mallory", &code, Some(OTHER_VERIFIER), Some(REDIRECT)).instance("1");
    plant.endpoint.answer_codes(said);
    assert_eq!(proxy.answer(&stranger), answer);
    let again = if answer.1 == Reason::CodeInDoubt { Reason::CodeSpent } else { Reason::CodeRefused };
    assert_eq!(proxy.answer(&second(&stranger)), (401, again), "it is not sent again for him");
    assert_eq!(plant.endpoint.exchanges(), 1);
    plant.endpoint.answer_codes(None);
    proxy.sign_in(&complete("one", &code));
    assert_eq!(plant.endpoint.exchanges(), 2);
    is_refused(&plant, &mut proxy, "code_verifier", &stranger);
}

#[test]
fn who_comes_first_with_a_wrong_verifier_spoils_nothing_here() {
    // With the same verifier it is not asked again, wherever it comes from.
    let elsewhere = |sip: &Sip| from("198.51.100.9", sip.clone());
    a_stranger_is_first(refusal(400, "invalid_grant"), (401, Reason::CodeRefused), elsewhere);
}

/// What came of his try is not known.
#[test]
fn a_lost_answer_to_a_stranger_spoils_nothing_here() {
    let lost = ServerAnswer::Truncated(json!({ "access_token": "lost" }));
    a_stranger_is_first(lost, (503, Reason::CodeInDoubt), Sip::clone);
}

#[test]
fn who_comes_first_with_his_own_address_gets_nothing_and_leaves_everything() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let stranger = from("198.51.100.9", Sip { from: BOB.into(), to: BOB.into(), ..complete("mallory", &code) });
    assert_eq!(proxy.answer(&stranger), (403, Reason::AorMismatch));
    assert_eq!(proxy.answer(&stranger), (403, Reason::AorMismatch), "the same again");
    let carol = "sip:carol@example.test".to_owned();
    is_refused(&plant, &mut proxy, "address", &Sip { from: carol.clone(), to: carol, ..complete("c", &code) });
    let unproved = shown("m", &code, Some(OTHER_VERIFIER), Some(REDIRECT)).instance("1");
    is_refused(&plant, &mut proxy, "code_verifier", &unproved);
    proxy.sign_in(&complete("one", &code));
    is_refused(&plant, &mut proxy, "address", &stranger);
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn a_short_code_that_was_used_looks_like_any_other() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "source_limit": 24, "short_code_tries": 100 }));
    let used = "48151623";
    plant.endpoint.add_code(used, &["alice"]);
    proxy.sign_in(&from("198.51.100.9", Sip::with_code(ALICE, "one", used)));
    let guess = |i: u32| {
        let code = if i == 2 || i > 4 { used.to_owned() } else { format!("1000000{i}") };
        from("192.0.2.66", Sip::with_code(ALICE, &format!("m{i}"), &code))
    };
    let answers: Vec<_> = (0..7).map(|i| proxy.answer(&guess(i))).collect();
    let (refused, limited) = ((401, Reason::CodeRefused), (403, Reason::CodeTries));
    assert_eq!(answers, [refused, refused, refused, refused, limited, limited, limited]);
}

#[test]
fn a_token_from_elsewhere_serves_whoever_holds_it_for_its_own_address() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({
        "provider.tokens": "validation_grant",
        "provider.validation_grant_type": VALIDATION,
        "provider.domain": "example.test",
        "provider.aor": null,
    }));
    let token = plant.endpoint.foreign_token("alice");
    let with = |source: &str, aor: &str, name: &str| {
        from(source, Sip { credentials: vec![format!("Bearer {token}")], ..Sip::register(aor, name) })
    };
    for (source, name) in [("192.0.2.1", "one"), ("198.51.100.9", "two")] {
        assert_eq!(proxy.reason(&with(source, ALICE, name)), Reason::Ok, "a Bearer token is good for its bearer");
    }
    assert_eq!(proxy.answer(&with("192.0.2.1", BOB, "three")), (401, Reason::CodeRefused));
    assert_eq!(proxy.counted("code_attempts"), 0);
}
