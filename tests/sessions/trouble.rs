// SPDX-License-Identifier: MIT OR Apache-2.0

//! Token endpoints that refuse, fail or are away: the phone is told apart what is its fault and what is not, and no code
//! is ever sent twice without the certainty that the first time did not count.

use crate::endpoint::{TOKEN, refusal};
use crate::phone::{ALICE, Sip};
use crate::plant::{Plant, Proxy};
use crate::support::scripted_server::{Answer, OPENID_CONFIGURATION, discovery};
use crate::support::token::now;
use serde_json::json;
use sipoauth::process::job::Work;
use sipoauth_core::check::registration::CodeId;
use sipoauth_core::reason::Reason;
use sipoauth_core::records::redemption::Redemption;
use sipoauth_core::records::session::{CodeRecord, CodeState};
use std::time::{Duration, Instant};

#[test]
fn a_refused_code_is_challenged_and_remembered() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let sip = Sip::with_code(ALICE, "one", "a-code-that-nobody-has-ever-given-out");
    for _ in 0..3 {
        let verdict = proxy.ask(&sip);
        let reason = verdict.answer.reason();
        assert_eq!((verdict.status, reason, reason.oauth_error()), (401, Reason::CodeRefused, "invalid_token"));
    }
    assert_eq!(plant.endpoint.exchanges(), 1);
    assert!(proxy.sessions("").is_empty() && proxy.records("t:").is_empty());
    let code = plant.endpoint.code("alice");
    proxy.sign_in(&Sip::with_code(ALICE, "two", &code));
}

#[test]
fn a_server_that_refuses_the_proxy_is_the_operators_affair() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    plant.endpoint.answer_codes(refusal(401, "invalid_client"));
    for _ in 0..5 {
        let verdict = proxy.ask(&sip);
        assert_eq!((verdict.status, verdict.answer.reason(), verdict.retry_after), (503, Reason::ClientRefused, 5));
    }
    assert!(proxy.log.text().contains("provider 'as': a code cannot be exchanged"), "{}", proxy.log.text());
    assert!(proxy.log.text().contains("invalid_client"), "{}", proxy.log.text());
    plant.endpoint.answer_codes(None);
    proxy.sign_in(&sip);
}

#[test]
fn a_server_that_turns_a_code_away_gets_it_again_later() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    plant.endpoint.answer_codes(Answer::Status(503));
    assert_eq!(proxy.answer(&sip), (503, Reason::ExchangeUnavailable));
    plant.endpoint.answer_codes(None);
    proxy.sign_in(&sip);
    assert_eq!(plant.endpoint.exchanges(), 2);
    assert!(plant.endpoint.misused().is_empty());
}

#[test]
fn after_an_error_of_the_server_the_code_is_not_sent_again() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    for status in [500, 502, 504] {
        let sip = Sip::with_code(ALICE, "one", &plant.endpoint.code("alice"));
        let before = plant.endpoint.exchanges();
        plant.endpoint.answer_codes(Answer::Status(status));
        assert_eq!(proxy.answer(&sip), (503, Reason::CodeInDoubt));
        plant.endpoint.answer_codes(None);
        assert_eq!(proxy.answer(&sip), (401, Reason::CodeSpent), "the user must sign in anew");
        assert_eq!(plant.endpoint.exchanges(), before + 1);
    }
    assert!(plant.endpoint.misused().is_empty());
}

#[test]
fn the_breaker_opens_and_closes() {
    let mut plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "http_timeout": 3 }));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    plant.endpoint.server.stop();
    for _ in 0..10 {
        assert_eq!(proxy.answer(&sip), (503, Reason::ExchangeUnavailable));
    }
    for i in 0..20 {
        let sip = Sip::with_code(ALICE, "other", &format!("another-code-of-a-phone-{i:08}"));
        assert_eq!(proxy.answer(&sip), (503, Reason::ExchangeUnavailable));
    }
    proxy.run_for(Duration::from_secs(3));
    plant.endpoint.server.restart();
    proxy.until("the server is found", |proxy| proxy.reason(&sip) == Reason::Ok);
    assert_eq!(plant.endpoint.exchanges(), 1);
    assert!(plant.endpoint.misused().is_empty());
}

/// The server has an error of its own with the codes of one phone.
#[test]
fn codes_of_one_phone_keep_no_other_from_a_server_that_stumbles_over_them() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    for round in 0..4 {
        plant.endpoint.answer_codes(Answer::Status(500));
        for number in 0..4 {
            let code = format!("a-code-that-the-server-stumbles-over-{round}-{number}");
            let sip = Sip::with_code(ALICE, &format!("bad-{round}-{number}"), &code);
            assert_eq!(proxy.answer(&Sip { source: ("203.0.113.9".into(), 5060), ..sip }).0, 503);
        }
        plant.endpoint.answer_codes(None);
        proxy.sign_in(&Sip::with_code(ALICE, &format!("good-{round}"), &plant.endpoint.code("alice")));
    }
}

/// A try of the breaker that finds nothing to send must not keep the server away from the others.
#[test]
fn a_code_whose_fate_is_known_does_not_keep_the_breaker_open() {
    let mut plant = Plant::new();
    let (mut one, mut two) = (plant.proxy(&json!({ "http_timeout": 5 })), plant.proxy(&json!({})));
    let known = Sip::with_code(ALICE, "known", &plant.endpoint.code("alice"));
    let parked = one.look(&known);
    two.sign_in(&known);
    plant.endpoint.server.stop();
    for i in 0..3 {
        one.ask(&Sip::with_code(ALICE, "x", &format!("a-code-that-is-sent-in-vain-{i:08}")));
    }
    plant.endpoint.server.restart();
    one.run_for(Duration::from_millis(600));
    let cookie = one.park(&parked).expect("it was pending");
    assert_eq!(one.resume(&known, cookie).answer.reason(), Reason::Ok);
    let fresh = Sip::with_code(ALICE, "fresh", &plant.endpoint.code("alice"));
    one.until("the server is found", |proxy| proxy.reason(&fresh) == Reason::Ok);
}

/// Servers call it so when a phone has left out its code_verifier, or sent another redirect_uri.
#[test]
fn a_phones_own_mistake_is_not_the_operators_where_the_client_is_served() {
    for (status, word) in [
        (400, "invalid_request"),
        (401, "invalid_client"),
        (403, "unauthorized_client"),
        (400, "invalid_redirect_uri"),
        (400, ""),
        (401, "Unauthorized"),
    ] {
        let plant = Plant::new();
        let mut proxy = plant.proxy(&json!({}));
        let mut ask = |name: &str, answer: Option<Answer>| {
            plant.endpoint.answer_codes(answer);
            proxy.answer(&Sip::with_code(ALICE, name, &plant.endpoint.code("alice")))
        };
        let mistaken = || match word {
            "" => Answer::Full(status, Vec::new(), Vec::new()),
            word => refusal(status, word),
        };
        assert_eq!(
            ask("one", Some(mistaken())),
            (503, Reason::ClientRefused),
            "{word}: nothing is known of the client"
        );
        assert_eq!(ask("two", None), (200, Reason::Ok));
        for round in 0..10 {
            assert_eq!(ask(&format!("x{round}"), Some(mistaken())), (401, Reason::CodeRefused), "{status} {word}");
        }
        assert_eq!(ask("last", Some(mistaken())), (503, Reason::ClientRefused), "its secret may have changed");
        assert_eq!(ask("three", None), (200, Reason::Ok));
        let log = proxy.log.text();
        assert!(log.contains("accepts the proxy's client at other sign-ins") && log.contains(word), "{log}");
    }
}

/// An ingress without a server behind it says the same to everybody.
#[test]
fn an_answer_without_a_word_of_oauth_blames_a_code_only_if_another_is_served_afterwards() {
    let page = |status| Answer::Full(status, Vec::new(), b"404 page not found".to_vec());
    for answer in [page(404), page(403), page(421), refusal(404, "Not Found"), Answer::Redirect("/login".into())] {
        let plant = Plant::new();
        let mut proxy = plant.proxy(&json!({}));
        proxy.sign_in(&Sip::with_code(ALICE, "before", &plant.endpoint.code("alice")));
        let good = Sip::with_code(ALICE, "good", &plant.endpoint.code("alice"));
        let bad = Sip::with_code(ALICE, "bad", &plant.endpoint.code("alice"));
        for _ in 0..3 {
            plant.endpoint.answer_codes(answer.clone());
            assert_eq!(proxy.answer(&good), (503, Reason::ClientRefused), "{answer:?}");
            assert_eq!(proxy.answer(&bad), (503, Reason::ClientRefused), "{answer:?}");
        }
        plant.endpoint.answer_codes(None);
        proxy.sign_in(&good);
        plant.endpoint.answer_codes(answer.clone());
        assert_eq!(proxy.answer(&bad), (401, Reason::CodeRefused), "{answer:?}");
        assert!(proxy.log.text().contains("accepts the proxy's client at other sign-ins"), "{}", proxy.log.text());
    }
}

/// The metadata names the new address, and is not read again for a quarter of an hour otherwise.
#[test]
fn a_token_endpoint_that_has_moved_is_looked_for() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "key_cooldown": 1 }));
    let server = &plant.endpoint.server;
    proxy.sign_in(&Sip::with_code(ALICE, "one", &plant.endpoint.code("alice")));
    let mut metadata = discovery(&server.issuer());
    metadata["token_endpoint"] = json!(server.url("/moved"));
    server.set(OPENID_CONFIGURATION, Answer::Json(metadata));
    plant.endpoint.move_to("/moved");
    proxy.run_for(Duration::from_millis(1100));
    let sip = Sip::with_code(ALICE, "two", &plant.endpoint.code("alice"));
    assert_eq!(proxy.answer(&sip), (503, Reason::ClientRefused));
    // The metadata is read again meanwhile.
    proxy.run_for(Duration::from_millis(1000));
    proxy.sign_in(&sip);
    assert_eq!((plant.endpoint.exchanges(), plant.endpoint.misused().len()), (2, 0));
}

/// After a restart nobody has signed in yet, but the sessions of before are refreshed.
#[test]
fn a_refresh_shows_that_the_client_is_good_at_sign_ins() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(6);
    drop(plant.proxy(&json!({})).sign_in(&Sip::with_code(ALICE, "one", &plant.endpoint.code("alice"))));
    let mut proxy = plant.proxy(&json!({}));
    proxy.until("the session is refreshed", |_| plant.endpoint.refreshes() > 0);
    proxy.run_for(Duration::from_millis(200));
    plant.endpoint.answer_codes(refusal(400, "invalid_request"));
    let sip = Sip::with_code(ALICE, "two", &plant.endpoint.code("alice"));
    for _ in 0..3 {
        assert_eq!(proxy.answer(&sip), (401, Reason::CodeRefused), "{}", proxy.log.text());
    }
    assert_eq!(plant.endpoint.exchanges(), 2, "a code that is refused is not sent again");
}

/// However odd it is: whoever answers is there.
#[test]
fn answers_keep_nobody_from_the_server() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    for (round, odd) in [
        Answer::Html,
        Answer::Empty,
        Answer::Json(json!({ "token_type": "Bearer" })),
        Answer::Json(json!({ "access_token": "a", "token_type": "DPoP" })),
        Answer::Status(429),
        Answer::Status(408),
        refusal(400, "server_error"),
        Answer::Huge(1_100_000),
    ]
    .into_iter()
    .enumerate()
    {
        for repeat in 0..4 {
            plant.endpoint.answer_codes(odd.clone());
            let sip = Sip::with_code(ALICE, &format!("odd-{round}-{repeat}"), &plant.endpoint.code("alice"));
            assert_eq!(proxy.answer(&sip).0, 503, "{odd:?}");
        }
        plant.endpoint.answer_codes(None);
        proxy.sign_in(&Sip::with_code(ALICE, &format!("good-{round}"), &plant.endpoint.code("alice")));
    }
}

#[test]
fn a_code_whose_answer_was_lost_is_never_sent_again() {
    let truncated = Answer::Truncated(json!({ "access_token": "x".repeat(100), "token_type": "Bearer" }));
    for answer in [Answer::Hang, Answer::Garbage, truncated, Answer::Empty, Answer::Html] {
        let plant = Plant::new();
        let mut proxy = plant.proxy(&json!({ "http_timeout": 2 }));
        let code = plant.endpoint.code("alice");
        let sip = Sip::with_code(ALICE, "one", &code);
        plant.endpoint.answer_codes(answer.clone());
        assert_eq!(proxy.answer(&sip).0, 503, "{answer:?}");
        plant.endpoint.answer_codes(None);
        assert_eq!(proxy.answer(&sip), (401, Reason::CodeSpent), "{answer:?}");
        let mut other = plant.proxy(&json!({}));
        assert_eq!(other.answer(&sip), (401, Reason::CodeSpent), "{answer:?}");
        assert_eq!(plant.endpoint.exchanges(), 1, "{answer:?}");
    }
}

#[test]
fn a_request_that_waited_is_told_of_doubt_even_if_the_time_of_its_arrival_is_forgotten() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let sip = Sip::with_code(ALICE, "one", &plant.endpoint.code("alice"));
    plant.endpoint.answer_codes(Answer::Status(500));
    let verdict = proxy.look(&sip);
    let cookie = proxy.park(&verdict).expect("it must be exchanged");
    for name in 0..1_000_000 {
        proxy.context.arena().shared().arrivals.put(name, 0);
    }
    assert_eq!(proxy.resume(&sip, cookie).answer.reason(), Reason::CodeInDoubt);
    let later = Sip { cseq: "2 REGISTER".into(), ..sip };
    assert_eq!(proxy.answer(&later), (401, Reason::CodeSpent));
}

/// Leaves the claim of a process that has died with this registration.
fn claim(proxy: &mut Proxy, plant: &Plant, code: &str, sip: &Sip, deadline: i64) {
    let Some(Work::Exchange(work)) = proxy.look(sip).pending.map(|errand| errand.work) else {
        panic!("it must be exchanged")
    };
    let redemption = work.registration.claim.map(Redemption::first);
    let store = proxy.context.sessions().expect("sessions").open(&proxy.worker.placed().policy).expect("a store");
    let id = CodeId::of_code(&plant.endpoint.server.issuer(), code);
    let record = CodeRecord { provider: "as".into(), state: CodeState::InFlight(deadline), redemption };
    let now = now() * 1000;
    assert!(store.put_code(&id, &record, None, now + 600_000, now).expect("a store"));
}

#[test]
fn the_claim_of_a_dead_process_is_never_taken_over() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "pending_timeout": 2 }));
    let [past, future] = ["one", "two"].map(|name| (plant.endpoint.code("alice"), name));
    let sip = Sip::with_code(ALICE, past.1, &past.0);
    claim(&mut proxy, &plant, &past.0, &sip, now() * 1000 - 5000);
    assert_eq!(proxy.answer(&sip), (401, Reason::CodeSpent), "it came after that was given up");
    let other = Sip { source: ("198.51.100.7".into(), 5060), ..Sip::with_code(ALICE, "other", &past.0) };
    assert_eq!(proxy.answer(&other), (401, Reason::CodeRefused));

    let start = Instant::now();
    let sip = Sip::with_code(ALICE, future.1, &future.0);
    claim(&mut proxy, &plant, &future.0, &sip, now() * 1000 + 12_000);
    assert_eq!(proxy.answer(&sip), (503, Reason::ExchangeUnavailable));
    assert!(start.elapsed() >= Duration::from_millis(1500), "it waits: {:?}", start.elapsed());
    proxy.until("it is given up", |proxy| proxy.answer(&sip) == (401, Reason::CodeSpent));
    assert!(start.elapsed() >= Duration::from_secs(10), "not before its time: {:?}", start.elapsed());
    assert_eq!(plant.endpoint.exchanges(), 0);
}

#[test]
fn tokens_that_do_not_fit_are_refused_once_and_for_all() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "provider.required_scopes": "sip.call" }));
    let sip = Sip::with_code(ALICE, "one", &plant.endpoint.code("alice"));
    for _ in 0..2 {
        assert_eq!(proxy.answer(&sip), (401, Reason::InsufficientScope));
    }
    assert_eq!(plant.endpoint.exchanges(), 1);
    assert!(proxy.sessions("").is_empty() && proxy.records("t:").is_empty());
}

#[test]
fn without_a_service_a_full_queue_refuses_now() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "max_pending": 2 }));
    proxy.end_service();
    let sip = |i: u16| {
        let sip = Sip::with_code(ALICE, "one", &format!("a-code-that-is-long-enough-{i}"));
        Sip { source: (format!("192.0.2.{i}"), 5060), ..sip }
    };
    let verdict = proxy.look(&sip(9));
    for i in 0..2 {
        let errand = proxy.look(&sip(i)).pending.expect("it must be exchanged");
        assert!(proxy.worker.waits().submit(errand, &[], [i.into(), 0]).is_ok());
    }
    // One that was let through before, and one that comes now.
    let errand = verdict.pending.clone().expect("it must be exchanged");
    assert!(proxy.worker.waits().submit(errand, &[], [9, 0]).is_err());
    for refused in [proxy.worker.conclusion().overloaded(verdict), proxy.look(&sip(10))] {
        assert_eq!((refused.status, refused.answer.reason()), (503, Reason::Overloaded));
    }
    assert_eq!(plant.endpoint.server.count(TOKEN), 0);
}
