// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tokens are refreshed before they end, once by all proxies; what becomes of a session when they are not.

use crate::endpoint::refusal;
use crate::phone::{ALICE, BOB, Sip};
use crate::plant::{Plant, Proxy};
use crate::support::scripted_server::Answer;
use crate::support::token::now;
use serde_json::json;
use sipoauth_core::keys::shared_key::Key;
use sipoauth_core::reason::Reason;
use std::time::{Duration, Instant};

/// Makes one proof after the other.
struct Prover {
    aor: &'static str,
    key: Key,
    count: u32,
}

impl Prover {
    fn sign_in(plant: &Plant, proxy: &mut Proxy, name: &str) -> Prover {
        Prover::sign_in_as(plant, proxy, ("alice", ALICE), name)
    }

    fn sign_in_as(plant: &Plant, proxy: &mut Proxy, (user, aor): (&str, &'static str), name: &str) -> Prover {
        let code = plant.endpoint.code(user);
        let sip = Sip::with_code(aor, name, &code).instance(name);
        proxy.sign_in(&sip);
        Prover { aor, key: sip.key(&code, &sip.reply_to_tag), count: 0 }
    }

    fn answer(&mut self, proxy: &mut Proxy) -> (u32, Reason) {
        self.count += 1;
        proxy.answer(&Sip::register(self.aor, &format!("proof-{}-{}", self.aor, self.count)).prove_in_body(&self.key))
    }

    /// Proves now and then for this time.
    fn is_accepted_for(&mut self, proxies: &mut [Proxy], time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            for proxy in &mut *proxies {
                proxy.run_for(Duration::from_millis(20));
            }
            assert_eq!(self.answer(&mut proxies[0]), (200, Reason::Ok), "{:?}", start.elapsed());
        }
    }

    fn until(&mut self, proxy: &mut Proxy, wanted: (u32, Reason)) {
        let mut last = (0, Reason::Internal);
        proxy.until(&format!("{wanted:?}"), |proxy| {
            last = self.answer(proxy);
            last == wanted
        });
    }
}

/// Lifetime in seconds: short, but a machine with much else to do may take a second or two for a refresh.
const LIFETIME: i64 = 8;

/// Each of these sessions had its tokens refreshed, and not before half of their life had passed.
fn assert_refreshes(plant: &Plant, sessions: u64, start: Instant) {
    let refreshes = plant.endpoint.refreshes();
    let most = start.elapsed().as_secs() / (LIFETIME as u64 / 2) + 1;
    assert!((2 * sessions..=most * sessions).contains(&refreshes), "{refreshes}, {most} each at most");
}

#[test]
fn short_tokens_are_refreshed_for_several_lifetimes() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(LIFETIME);
    let mut proxy = plant.proxy(&json!({}));
    let start = Instant::now();
    let mut prover = Prover::sign_in(&plant, &mut proxy, "one");
    prover.is_accepted_for(&mut [proxy], Duration::from_secs(3 * LIFETIME as u64));
    assert_refreshes(&plant, 1, start);
    assert!(plant.endpoint.misused().is_empty());
}

#[test]
fn two_proxies_refresh_once_each_time() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(LIFETIME);
    let mut proxies = [plant.proxy(&json!({})), plant.proxy(&json!({}))];
    let start = Instant::now();
    let mut prover = Prover::sign_in(&plant, &mut proxies[0], "one");
    let _second = Prover::sign_in(&plant, &mut proxies[1], "two");
    prover.is_accepted_for(&mut proxies, Duration::from_secs(3 * LIFETIME as u64));
    assert_refreshes(&plant, 2, start);
    assert!(plant.endpoint.misused().is_empty(), "a refresh token was used twice");
}

#[test]
fn the_refresh_comes_well_before_the_end() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(20);
    let mut proxy = plant.proxy(&json!({}));
    let start = Instant::now();
    let _prover = Prover::sign_in(&plant, &mut proxy, "one");
    let endpoint = &plant.endpoint;
    proxy.until("the tokens are refreshed", |_| endpoint.refreshes() > 0);
    let took = start.elapsed().as_secs_f64();
    assert!((11.0..20.0).contains(&took), "{took}: from a third of 20 seconds before the end, or a little earlier");
}

#[test]
fn a_refused_refresh_ends_the_session() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(LIFETIME);
    plant.endpoint.answer_refreshes(refusal(400, "invalid_grant"));
    let mut proxy = plant.proxy(&json!({}));
    let mut prover = Prover::sign_in(&plant, &mut proxy, "one");
    assert_eq!(prover.answer(&mut proxy), (200, Reason::Ok));
    prover.until(&mut proxy, (401, Reason::SessionEnded));
    assert_eq!(plant.endpoint.refreshes(), 1);
    assert!(proxy.records("t:").is_empty());
    assert!(proxy.log.text().contains("its tokens were not refreshed"), "{}", proxy.log.text());
    proxy.run_for(Duration::from_secs(2));
    assert_eq!(plant.endpoint.refreshes(), 1, "once is enough");
    assert_eq!(prover.answer(&mut proxy), (401, Reason::SessionEnded));
}

impl Prover {
    /// Proves until the first refusal, which it gives with the number of proofs that were accepted.
    fn until_refused(&mut self, proxy: &mut Proxy) -> ((u32, Reason), u32) {
        let start = Instant::now();
        for accepted in 0.. {
            match self.answer(proxy) {
                (200, Reason::Ok) => assert!(start.elapsed() < Duration::from_secs(60), "{}", proxy.log.text()),
                refused => return (refused, accepted),
            }
            proxy.run_for(Duration::from_millis(50));
        }
        unreachable!("that many proofs")
    }
}

/// glewlwyd says nothing but 400, LemonLDAP::NG `invalid_request`, others have words of their own. None is an outage.
#[test]
fn a_refusal_in_any_words_ends_the_session_with_its_access_token() {
    let bare = |status| Answer::Full(status, Vec::new(), Vec::new());
    for (answer, words) in [
        (bare(400), "HTTP status 400"),
        (bare(422), "HTTP status 422"),
        (refusal(500, "invalid_request"), "invalid_request"),
        (refusal(400, "invalid_request"), "invalid_request"),
        (refusal(401, "invalid_token"), "invalid_token"),
        // The word is not in the log: it looks like a part of this server's refresh tokens.
        (refusal(400, "invalid_refresh_token"), "HTTP status 400"),
        (refusal(400, "token_revoked"), "token_revoked"),
        (refusal(422, "unknown_session"), "unknown_session"),
    ] {
        let plant = Plant::new();
        plant.endpoint.set_lifetime(4);
        plant.endpoint.answer_refreshes(answer);
        let mut proxy = plant.proxy(&json!({}));
        let mut prover = Prover::sign_in(&plant, &mut proxy, "one");
        let endpoint = &plant.endpoint;
        proxy.until("the refresh is refused", |_| endpoint.refreshes() == 1);
        assert_eq!(prover.until_refused(&mut proxy).0, (401, Reason::SessionEnded), "{words}");
        proxy.run_for(Duration::from_millis(1500));
        assert_eq!(plant.endpoint.refreshes(), 1, "once is enough: {words}");
        let log = proxy.log.text();
        assert!(log.contains("ends with its access token") && log.contains(words), "{log}");
        assert!(!log.contains("cannot be re"), "{log}");
    }
}

#[test]
fn after_a_refusal_the_access_token_is_good_until_it_ends() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(12);
    plant.endpoint.answer_refreshes(refusal(400, "invalid_request"));
    let mut proxy = plant.proxy(&json!({}));
    let start = Instant::now();
    let mut prover = Prover::sign_in(&plant, &mut proxy, "one");
    let endpoint = &plant.endpoint;
    proxy.until("the refresh is refused", |_| endpoint.refreshes() == 1);
    let (refused, accepted) = prover.until_refused(&mut proxy);
    assert_eq!(refused, (401, Reason::SessionEnded));
    assert!(accepted > 0 && start.elapsed() >= Duration::from_secs(10), "{accepted} {:?}", start.elapsed());
}

/// The operator's fault, or that of a proxy in front of the server, as long as nothing shows that it is not.
#[test]
fn a_client_that_is_refused_ends_no_session_until_others_show_that_it_is_good() {
    let cases = [
        refusal(401, "invalid_client"),
        refusal(400, "unauthorized_client"),
        refusal(500, "invalid_client"),
        refusal(401, "unauthorized"),
        Answer::Full(401, Vec::new(), Vec::new()),
    ];
    // Each takes some seconds of waiting.
    std::thread::scope(|scope| {
        for answer in cases {
            scope.spawn(move || others_show_that_a_refusal_is_the_sessions(answer));
        }
    });
}

/// A page of a proxy in front of the server, for example. For one session it is a refusal, for all of them it is not.
#[test]
fn an_answer_without_a_word_ends_few_sessions_and_not_all() {
    let page = |status| Answer::Full(status, Vec::new(), b"<html>no".to_vec());
    let cases = [
        page(403),
        refusal(404, "Not Found"),
        Answer::Full(204, Vec::new(), Vec::new()),
        Answer::Json(json!({ "success": false })),
        Answer::Redirect("/login".into()),
    ];
    std::thread::scope(|scope| {
        for answer in cases {
            scope.spawn(move || few_sessions_end(&answer));
        }
    });
}

fn few_sessions_end(answer: &Answer) {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(6);
    plant.endpoint.answer_refreshes(answer.clone());
    let mut proxy = plant.proxy(&json!({}));
    let users = [
        ("alice", ALICE),
        ("bob", BOB),
        ("carol", "sip:carol@example.test"),
        ("dave", "sip:dave@example.test"),
        ("erin", "sip:erin@example.test"),
    ];
    let mut provers = users.map(|user| Prover::sign_in_as(&plant, &mut proxy, user, user.0));
    let ends = provers.each_mut().map(|prover| prover.until_refused(&mut proxy).0);
    let count = |end: (u32, Reason)| ends.iter().filter(|found| **found == end).count();
    assert_eq!((count((401, Reason::SessionEnded)), count((503, Reason::RefreshOverdue))), (2, 3), "{ends:?}");
    assert!(proxy.log.text().contains("there is an answer, but none of OAuth: "), "{}", proxy.log.text());
    plant.endpoint.answer_refreshes(None);
    for (prover, _) in provers.iter_mut().zip(ends).filter(|(_, end)| end.0 == 503) {
        prover.until(&mut proxy, (200, Reason::Ok));
    }
}

fn others_show_that_a_refusal_is_the_sessions(answer: Answer) {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(4);
    plant.endpoint.answer_refreshes_of("alice", answer);
    let mut proxy = plant.proxy(&json!({}));
    let mut alice = Prover::sign_in(&plant, &mut proxy, "one");
    assert_eq!(alice.until_refused(&mut proxy).0, (503, Reason::RefreshOverdue));
    let words = format!("refuses the proxy's client: {}", plant.endpoint.server.url("/token"));
    assert!(proxy.log.text().contains(&words), "{}", proxy.log.text());
    let mut bob = Prover::sign_in_as(&plant, &mut proxy, ("bob", BOB), "two");
    alice.until(&mut proxy, (401, Reason::SessionEnded));
    assert!(proxy.log.text().contains("accepts the proxy's client otherwise"), "{}", proxy.log.text());
    assert_eq!(bob.answer(&mut proxy), (200, Reason::Ok));
}

/// Where refresh tokens rotate, the old one is spent.
#[test]
fn an_odd_member_costs_no_refreshed_tokens() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(4);
    let mut proxy = plant.proxy(&json!({}));
    let mut prover = Prover::sign_in(&plant, &mut proxy, "one");
    let long = "x".repeat(17 * 1024);
    plant.endpoint.add_to_answers(json!({ "id_token": long, "error": false, "master-key": 7, "token_type": "JWT" }));
    prover.is_accepted_for(std::slice::from_mut(&mut proxy), Duration::from_secs(10));
    assert!(plant.endpoint.refreshes() > 1 && plant.endpoint.misused().is_empty());
}

#[test]
fn without_a_refresh_token_the_session_ends_with_its_tokens() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(LIFETIME);
    plant.endpoint.give_no_refresh_tokens();
    let mut proxy = plant.proxy(&json!({}));
    let mut prover = Prover::sign_in(&plant, &mut proxy, "one");
    assert!(!proxy.sessions(ALICE)[0].session.renewable);
    assert_eq!(prover.answer(&mut proxy), (200, Reason::Ok));
    prover.until(&mut proxy, (401, Reason::SessionEnded));
}

#[test]
fn a_server_that_is_away_is_asked_again_and_the_session_recovers() {
    let mut plant = Plant::new();
    plant.endpoint.set_lifetime(LIFETIME);
    let mut proxy = plant.proxy(&json!({}));
    let start = Instant::now();
    let mut prover = Prover::sign_in(&plant, &mut proxy, "one");
    plant.endpoint.server.stop();
    while start.elapsed() < Duration::from_secs(5) {
        assert_eq!(prover.answer(&mut proxy), (200, Reason::Ok), "the tokens have not ended yet");
        proxy.run_for(Duration::from_millis(50));
    }
    prover.until(&mut proxy, (503, Reason::RefreshOverdue));
    assert!(start.elapsed() > Duration::from_secs(6));
    assert!(proxy.log.text().contains("tokens cannot be refreshed now"), "{}", proxy.log.text());
    plant.endpoint.server.restart();
    prover.until(&mut proxy, (200, Reason::Ok));
    assert!(plant.endpoint.misused().is_empty());
}

/// An outage of an hour has put each session off by a minute. The server must not come back to 503 for a minute.
#[test]
fn sessions_that_an_outage_has_put_off_are_refreshed_when_the_server_is_back() {
    let mut plant = Plant::new();
    plant.endpoint.set_lifetime(LIFETIME);
    let mut proxy = plant.proxy(&json!({}));
    for (user, aor, name) in [("alice", ALICE, "one"), ("bob", BOB, "two"), ("alice", ALICE, "three")] {
        let _ = Prover::sign_in_as(&plant, &mut proxy, (user, aor), name);
    }
    plant.endpoint.server.stop();
    let tokens = |proxy: &Proxy| {
        let access = proxy.context.sessions().expect("sessions are configured");
        let store = access.open(&proxy.worker.placed().policy).expect("a store");
        let now = now() * 1000;
        let read = |key: String| store.tokens(&key, now).expect("a readable store").map(|(t, sealed)| (key, t, sealed));
        let all: Vec<_> = proxy.records("t:").into_iter().filter_map(read).collect();
        (store, all)
    };
    proxy.until("all have failed", |proxy| tokens(proxy).1.iter().all(|(_, tokens, _)| tokens.failures > 0));
    // A refresh that is under way may come in between.
    let mut put_off = i64::MAX;
    proxy.until("all are put off", |proxy| {
        let (store, all) = tokens(proxy);
        all.into_iter().all(|(key, mut tokens, sealed)| {
            let now = now() * 1000;
            (tokens.failures, tokens.refresh_at) = (6, now + 60_000);
            put_off = put_off.min(tokens.refresh_at);
            let (end, due) = (tokens.ends_at * 1000, Some(tokens.refresh_at));
            store.put_tokens(&key, &tokens, Some(&sealed), end, due, now).expect("a store that can be written")
        })
    });
    plant.endpoint.server.restart();
    proxy.until("all are refreshed", |proxy| tokens(proxy).1.iter().all(|(_, tokens, _)| tokens.failures == 0));
    assert!(now() * 1000 < put_off, "they waited for the time to which they were put off");
    assert!(plant.endpoint.misused().is_empty(), "a refresh token was used twice");
}

#[test]
fn a_server_error_at_a_refresh_is_no_refusal() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(3);
    let mut proxy = plant.proxy(&json!({}));
    let mut prover = Prover::sign_in(&plant, &mut proxy, "one");
    for answer in [refusal(500, "server_error"), refusal(401, "invalid_client")] {
        plant.endpoint.answer_refreshes(answer);
        prover.until(&mut proxy, (503, Reason::RefreshOverdue));
        plant.endpoint.answer_refreshes(None);
        prover.until(&mut proxy, (200, Reason::Ok));
    }
}

#[test]
fn a_revoked_session_is_unknown_and_its_tokens_are_left_alone() {
    let plant = Plant::new();
    plant.endpoint.set_lifetime(LIFETIME);
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    let session = proxy.sign_in(&sip).session;
    let key = sip.key(&code, "to-one");
    let endpoint = &plant.endpoint;
    proxy.until("a refresh", |_| endpoint.refreshes() > 0);
    proxy.run_for(Duration::from_millis(100));
    assert!(proxy.context.admin().revoke_sessions("", &session).is_err(), "an id alone names nothing");
    assert!(proxy.context.admin().revoke_sessions("", "").is_err(), "no address is not every address");
    assert_eq!(proxy.sessions(ALICE).len(), 1);
    assert!(proxy.context.admin().revoke_sessions(ALICE, &"0".repeat(32)).expect("a store").is_empty());
    let ended = proxy.context.admin().revoke_sessions("SIP:alice@EXAMPLE.test", &session).expect("a store");
    assert_eq!(ended.len(), 1);
    assert!(proxy.sessions("").is_empty());
    assert_eq!(proxy.answer(&Sip::register(ALICE, "p1").prove_in_body(&key)), (401, Reason::SessionUnknown));
    assert_eq!(proxy.answer(&sip), (401, Reason::SessionEnded), "the code does not bring it back");
    assert!(proxy.sessions("").is_empty() && proxy.records("t:").is_empty());
    let before = plant.endpoint.refreshes();
    proxy.run_for(Duration::from_secs(LIFETIME as u64));
    assert_eq!(plant.endpoint.refreshes(), before);
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn revoking_everything_ends_everything() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let users: Vec<String> = (0..130).map(|i| format!("user{i}")).collect();
    for user in &users {
        let code = plant.endpoint.code(user);
        proxy.sign_in(&Sip::with_code(&format!("sip:{user}@example.test"), user, &code));
    }
    let mut listed = 0;
    let mut from = String::new();
    loop {
        let page = proxy.context.admin().list_sessions("", &from).expect("a store");
        listed += page.sessions.len();
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(listed, users.len());
    assert_eq!(proxy.context.admin().revoke_all_sessions().expect("a store").len(), users.len());
    assert!(proxy.sessions("").is_empty() && proxy.records("t:").is_empty());
}
