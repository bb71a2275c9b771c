// SPDX-License-Identifier: MIT OR Apache-2.0

//! A proof serves one request: a retransmission is that request again, everything else is a replay.

use crate::key_derivation::cluster;
use crate::phone::{ALICE, Sip};
use crate::plant::{Plant, Proxy};
use crate::support::redis::Redis;
use crate::support::token::now;
use serde_json::json;
use sipoauth::worker::Handling;
use sipoauth_core::config::settings::{MOST_LEEWAY, MOST_POP_WINDOW};
use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::keys::shared_key::Key;
use sipoauth_core::reason::Reason;

fn signed_in(plant: &Plant, globals: &serde_json::Value) -> (Proxy, Sip, Key) {
    let mut proxy = plant.proxy(globals);
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    proxy.sign_in(&sip);
    let key = sip.key(&code, "to-one");
    (proxy, sip, key)
}

#[test]
fn a_retransmission_is_no_replay() {
    let plant = Plant::new();
    let (mut proxy, _, key) = signed_in(&plant, &json!({}));
    for proof in [Sip::register(ALICE, "b").prove_in_body(&key), Sip::register(ALICE, "h").prove_in_header(&key)] {
        for _ in 0..3 {
            assert_eq!(proxy.answer(&proof), (200, Reason::Ok));
        }
        let mut other = proxy.another_worker();
        assert_eq!(proof.read(|request| other.check(request, &Handling::default())).answer.reason(), Reason::Ok);
        for replayed in [
            Sip { branch: "z9hG4bK-another".into(), ..proof.clone() },
            Sip { source: ("192.0.2.1".into(), 5061), ..proof.clone() },
            Sip { source: ("203.0.113.9".into(), 5060), ..proof.clone() },
        ] {
            assert_eq!(proxy.answer(&replayed), (403, Reason::PopReplayed));
        }
        assert_eq!(proxy.answer(&proof), (200, Reason::Ok), "the true request again");
        let late = Handling { now: Some(now() + 60), ..Handling::default() };
        let verdict = proof.read(|request| proxy.worker.check(request, &late));
        assert_eq!((verdict.status, verdict.answer.reason()), (403, Reason::PopReplayed), "nobody sends so late again");
    }
}

#[test]
fn other_spellings_of_a_used_proof_are_replays() {
    let plant = Plant::new();
    let (mut proxy, _, key) = signed_in(&plant, &json!({}));
    let sip = Sip::register(ALICE, "p");
    let pop = make_pop(&*key, &sip.digest(b"grant_type=proof-of-possession"));
    let hex: String = pop.iter().map(|octet| format!("{octet:02x}")).collect();
    let url = sip.clone().body(&format!("grant_type=proof-of-possession&pop={}", pop_to_text(&pop)));
    let hex = sip.body(&format!("grant_type=proof-of-possession&pop={hex}"));
    assert_eq!(proxy.reason(&url), Reason::Ok);
    assert_eq!(proxy.reason(&Sip { branch: "z9hG4bK-x".into(), ..hex }), Reason::PopReplayed);
    for cseq in ["01 REGISTER", "1  REGISTER", " 1 REGISTER ", "1\tREGISTER"] {
        let sip = Sip { cseq: cseq.into(), branch: "z9hG4bK-y".into(), ..url.clone() };
        assert_eq!(proxy.reason(&sip), Reason::PopReplayed, "{cseq:?}");
    }
}

#[test]
fn the_window_of_the_date() {
    let plant = Plant::new();
    let (mut proxy, _, key) = signed_in(&plant, &json!({ "pop_window": 100 }));
    let start = now();
    for (i, (offset, wanted)) in [
        (-101, (403, Reason::PopStale)),
        (-3600, (403, Reason::PopStale)),
        // Into the future only clocks may differ: such a proof would outlive the proxy's memory at a restart.
        (90, (403, Reason::PopStale)),
        (1, (200, Reason::Ok)),
        (0, (200, Reason::Ok)),
        // The proxy does not know whether it was used before the proxy began.
        (-60, (503, Reason::ReplayGuardYoung)),
    ]
    .into_iter()
    .enumerate()
    {
        let sip = Sip::register(ALICE, &format!("p{i}")).dated(start + offset).prove_in_body(&key);
        assert_eq!(proxy.answer(&sip), wanted, "{offset}");
    }
}

/// Another proxy may have the longest window that there is, or get it by a reload.
#[test]
fn the_record_of_a_use_outlives_every_window() {
    let (plant, redis) = (Plant::new(), Redis::start(&[]));
    let [mut proxy] = cluster(&plant, &redis);
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    proxy.sign_in(&sip);
    let proof = Sip::register(ALICE, "p").prove_in_body(&sip.key(&code, "to-one"));
    assert_eq!(proxy.answer(&proof), (200, Reason::Ok), "{}", proxy.log.text());
    let keys = redis.cli(&["--scan", "--pattern", "*g:*"]);
    assert_eq!(keys.lines().count(), 1, "{keys}");
    let left: u32 = redis.cli(&["TTL", keys.trim()]).trim().parse().expect("a number");
    // A minute for a slow machine.
    assert!(left >= MOST_LEEWAY + MOST_POP_WINDOW - 60, "{left}");
}

#[test]
fn no_branch_makes_a_replay_look_like_a_retransmission() {
    let plant = Plant::new();
    let (mut proxy, _, key) = signed_in(&plant, &json!({}));
    let proof = Sip::register(ALICE, "p").prove_in_body(&key);
    assert_eq!(proxy.answer(&proof), (200, Reason::Ok));
    // As many as would meet a hash of twelve bits with certainty.
    for i in 0..30_000 {
        let replayed = Sip { branch: format!("z9hG4bK-{i}"), source: ("198.51.100.7".into(), 5062), ..proof.clone() };
        assert_eq!(proxy.reason(&replayed), Reason::PopReplayed, "{i}");
    }
}

#[test]
fn a_proof_does_not_cover_a_second_contact() {
    let plant = Plant::new();
    let (mut proxy, _, key) = signed_in(&plant, &json!({}));
    let proof = Sip { contacts: 2, ..Sip::register(ALICE, "p").prove_in_body(&key) };
    assert_eq!(proxy.answer(&proof), (400, Reason::PopMalformed));
}

#[test]
fn the_first_proof_repeats_where_that_is_set() {
    for reuse in [true, false] {
        let plant = Plant::new();
        let allow = if reuse { vec!["pop_reuse"] } else { Vec::new() };
        let (mut proxy, sip, key) = signed_in(&plant, &json!({ "allow": allow }));
        // Of the registration itself, whose body is the one with the code.
        let first = pop_to_text(&make_pop(&*key, &sip.digest(&sip.body)));
        for i in 0..3 {
            let body = format!("grant_type=proof-of-possession&pop={first}");
            let again = Sip::register(ALICE, &format!("p{i}")).body(&body);
            let wanted = if reuse { (200, Reason::Ok) } else { (401, Reason::PopInvalid) };
            assert_eq!(proxy.answer(&again), wanted);
        }
        let fresh = Sip::register(ALICE, "fresh").prove_in_body(&key);
        assert_eq!(proxy.answer(&fresh), (200, Reason::Ok));
        let replayed = Sip { branch: "z9hG4bK-x".into(), ..fresh };
        assert_eq!(proxy.answer(&replayed), (403, Reason::PopReplayed));
    }
}

#[test]
fn the_first_proof_repeats_when_the_to_tag_was_not_predicted() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "allow": "pop_reuse" }));
    let code = plant.endpoint.code("alice");
    let sip = Sip { reply_to_tag: String::new(), ..Sip::with_code(ALICE, "one", &code) };
    let ticket = proxy.ask(&sip).ticket;
    assert!(!ticket.contains(&code), "{ticket}");
    proxy.worker.registrations().confirm(&ticket, b"final").expect("stored");
    let first = pop_to_text(&make_pop(&*sip.key(&code, "final"), &sip.digest(&sip.body)));
    let proof = Sip::register(ALICE, "p").body(&format!("grant_type=proof-of-possession&pop={first}"));
    assert_eq!(proxy.answer(&proof), (200, Reason::Ok));
    proxy.worker.registrations().withdraw(&ticket, b"final").expect("forgotten");
    assert_eq!(proxy.answer(&proof), (401, Reason::PopInvalid), "a withdrawn registration leaves no proof");
}
