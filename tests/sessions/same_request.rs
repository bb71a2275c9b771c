// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which request is the same one again: a retransmission is, octet for octet. And proofs that cover the Request-URI.

use crate::coverage::{MALFORMED, OK, ask_for_tokens, password_with_pop, signed_in};
use crate::key_derivation::{self, NONCE, account, cluster};
use crate::phone::{ALICE, BOB, Sip};
use crate::plant::Plant;
use crate::sip_oauth::{User, issuer, refreshing, with_both};
use crate::support::redis::Redis;
use serde_json::json;
use sipoauth::worker::Handling;
use sipoauth_core::reason::Reason;

const INVALID: (u32, Reason) = (401, Reason::PopInvalid);
const REPLAYED: (u32, Reason) = (403, Reason::PopReplayed);
const ELSEWHERE: &str = "sip:premium-number@example.test";

fn message(name: &str) -> Sip {
    Sip::of_method("INVITE", ALICE, name).body("v=0")
}

/// To somewhere else, with the same Via and from the same source.
fn redirected(sip: &Sip) -> Sip {
    Sip { uri: ELSEWHERE.into(), ..sip.clone() }
}

/// Everything but the proof that can differ where branch, source and what is covered are the same.
fn altered(sip: &Sip) -> Vec<Sip> {
    vec![
        redirected(sip),
        Sip { uri: sip.uri.to_uppercase(), ..sip.clone() },
        Sip { uri: String::new(), ..sip.clone() },
        Sip { instance: "<urn:uuid:other>".into(), ..sip.clone() },
        Sip { reg_id: 3, ..sip.clone() },
        Sip { from_tag: "other".into(), ..sip.clone() },
        Sip { octets: b"the same but for Route".to_vec(), ..sip.clone() },
        Sip { transport: "sctp", ..sip.clone() },
        Sip { branch: "z9hG4bK-other".into(), ..sip.clone() },
        Sip { source: ("203.0.113.9".into(), 5060), ..sip.clone() },
    ]
}

#[test]
fn a_copy_with_another_request_uri_is_no_retransmission() {
    for transport in ["udp", "tcp", "tls", "ws"] {
        let plant = Plant::new();
        let (mut proxy, key) = signed_in(&plant, &json!({}));
        for (i, proof) in [
            message("m").over(transport).prove_in_header(&key),
            Sip::register(ALICE, "h").over(transport).prove_in_header(&key),
            Sip::register(ALICE, "b").over(transport).prove_in_body(&key),
            Sip { octets: b"INVITE sip:bob@example.test SIP/2.0".to_vec(), ..message("o").over(transport) }
                .prove_in_header(&key),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(proxy.answer(&proof), OK);
            for (j, copy) in altered(&proof).into_iter().enumerate() {
                // Of the host that gives the whole message, the message tells.
                let told = i != 3 || ![3, 4, 5].contains(&j);
                assert_eq!(proxy.answer(&copy), if told { REPLAYED } else { OK }, "{transport}: {i} {j}");
            }
            let mut other = proxy.another_worker();
            let again = proof.read(|request| other.check(request, &Handling::default()));
            assert_eq!(again.answer.reason(), Reason::Ok, "the true request again, in another process");
            // A phone behind a new address of its NAT sends a new request.
            let moved = Sip { source: ("198.51.100.4".into(), 1024), ..message(&format!("n{i}")) };
            assert_eq!(proxy.answer(&moved.prove_in_header(&key)), OK);
        }
    }
}

#[test]
fn nor_beside_a_token_nor_with_a_refresh() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let alice = User::new("alice", "n1");
    let first = password_with_pop(&alice, Sip::register(ALICE, "p"));
    let tokens = alice.sign_in(&mut proxy, &first);
    assert_eq!(ask_for_tokens(&mut proxy, &alice, &redirected(&first)), REPLAYED);
    assert_eq!(ask_for_tokens(&mut proxy, &alice, &first), OK);
    for sip in [
        with_both(message("b"), &tokens["access_token"], &alice.key()),
        refreshing(Sip::register(ALICE, "r"), &tokens["refresh_token"], &alice.key()),
    ] {
        assert_eq!((proxy.answer(&sip), proxy.answer(&redirected(&sip)), proxy.answer(&sip)), (OK, REPLAYED, OK));
    }
}

#[test]
fn nor_with_key_derivation() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&key_derivation::settings());
    let key = account(&proxy).key;
    for (name, nonce) in [("n", Some(NONCE)), ("a", None)] {
        let sip = key_derivation::prove(&key, &message(name), nonce);
        assert_eq!(key_derivation::answer(&mut proxy, &sip), OK);
        for copy in altered(&sip) {
            assert_eq!(key_derivation::answer(&mut proxy, &copy), REPLAYED);
        }
        assert_eq!(key_derivation::answer(&mut proxy, &sip), OK);
    }
}

#[test]
fn proxies_that_share_redis_compare_the_request_line() {
    let redis = Redis::start(&[]);
    let plant = Plant::new();
    let [mut one, mut two, mut three] = cluster(&plant, &redis);
    let code = plant.endpoint.code("alice");
    let sign_in = Sip::with_code(ALICE, "sign-in", &code);
    one.sign_in(&sign_in);
    let proof = message("m").prove_in_header(&sign_in.key(&code, &sign_in.reply_to_tag));
    assert_eq!((one.answer(&proof), one.answer(&proof)), (OK, OK), "{}", one.log.text());
    assert_eq!(two.answer(&redirected(&proof)), REPLAYED);
    // One that must fetch the sessions first compares at once.
    assert_eq!(three.answer(&redirected(&proof)), REPLAYED);
    assert_eq!(two.answer(&proof), REPLAYED, "at this proxy the other request came first");
    let key = account(&one).key;
    let sip = key_derivation::prove(&key, &message("k"), Some(NONCE));
    assert_eq!(key_derivation::answer(&mut one, &sip), OK);
    assert_eq!(key_derivation::answer(&mut two, &redirected(&sip)), REPLAYED);
    assert_eq!(key_derivation::answer(&mut three, &sip), OK, "a retransmission that the balancer sends elsewhere");
}

#[test]
fn a_proof_may_cover_the_request_uri() {
    let plant = Plant::new();
    let (mut proxy, key) = signed_in(&plant, &json!({ "dialect": "request_uri" }));
    let bound = |sip: Sip| Sip { covers_uri: true, ..sip };
    for (i, prove) in [Sip::prove_in_header, Sip::prove_in_body].into_iter().enumerate() {
        let unused = prove(bound(Sip::register(ALICE, &format!("r{i}"))), &key);
        assert_eq!(proxy.answer(&redirected(&unused)), INVALID, "also for who is first");
        assert_eq!(proxy.answer(&Sip { uri: unused.uri.to_uppercase(), ..unused.clone() }), INVALID);
        assert_eq!((proxy.answer(&unused), proxy.answer(&unused)), (OK, OK));
        assert_eq!(proxy.answer(&prove(Sip::register(ALICE, &format!("u{i}")), &key)), INVALID, "as RFC 4474 has it");
    }
    for uri in ["", "sip:a|b@example.test", "sip:a b@example.test", "sip:a\tb@example.test"] {
        let odd = bound(Sip { uri: uri.into(), ..message("odd") });
        assert_eq!(proxy.answer(&Sip { credentials: vec![bearer()], ..odd }), MALFORMED, "{uri:?}");
    }
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "kd_iterations": 1000, "dialect": "request_uri" }));
    let key = account(&proxy).key;
    let asked = bound(message("c"));
    let challenge = key_derivation::challenge(&mut proxy, &asked);
    assert!(challenge.is_from_holder(&key, &asked.digest(b"v=0"), None));
    assert!(!challenge.is_from_holder(&key, &redirected(&asked).digest(b"v=0"), None));
    for (name, nonce) in [("n", Some(NONCE)), ("a", None)] {
        let unused = key_derivation::prove(&key, &bound(message(name)), nonce);
        assert_eq!(key_derivation::answer(&mut proxy, &redirected(&unused)), INVALID);
        assert_eq!(key_derivation::answer(&mut proxy, &unused), OK);
    }
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({ "dialect": "request_uri" }));
    let alice = User::new("alice", "n1");
    let first = password_with_pop(&alice, bound(Sip::register(ALICE, "p")));
    assert_eq!(ask_for_tokens(&mut proxy, &alice, &redirected(&first)), INVALID);
    let tokens = alice.sign_in(&mut proxy, &first);
    for unused in [
        with_both(bound(message("b")), &tokens["access_token"], &alice.key()),
        refreshing(bound(Sip::register(ALICE, "r")), &tokens["refresh_token"], &alice.key()),
    ] {
        assert_eq!((proxy.answer(&redirected(&unused)), proxy.answer(&unused)), (INVALID, OK));
    }
}

/// Some proof.
fn bearer() -> String {
    format!("Bearer pop=\"{}\"", "A".repeat(43))
}

#[test]
fn a_proof_without_the_request_uri_is_none_with_it() {
    let plant = Plant::new();
    let (mut proxy, key) = signed_in(&plant, &json!({}));
    let bound = Sip { covers_uri: true, ..message("m") }.prove_in_header(&key);
    assert_eq!(proxy.answer(&bound), INVALID);
    // First to come with a captured proof: the digest-string of RFC 4474 says nothing of the Request-URI.
    let unused = Sip { to: BOB.into(), ..message("first") }.prove_in_header(&key);
    assert_eq!(proxy.answer(&redirected(&unused)), OK);
    assert_eq!(proxy.answer(&unused), REPLAYED, "the phone notices");
}
