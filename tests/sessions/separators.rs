// SPDX-License-Identifier: MIT OR Apache-2.0

//! One proof is one use: no part of the request is read in two ways, however the proof is carried or written.

use crate::coverage::{MALFORMED, OK, ask_for_tokens, password_with_pop, signed_in};
use crate::key_derivation::{self, NONCE, account};
use crate::phone::{ALICE, Sip};
use crate::plant::Plant;
use crate::sip_oauth::{PASSWORD, User, issuer, with_both};
use serde_json::json;
use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::reason::Reason;

const INVALID: (u32, Reason) = (401, Reason::PopInvalid);
const REPLAYED: (u32, Reason) = (403, Reason::PopReplayed);

fn message(name: &str) -> Sip {
    Sip { contact: "sip:a@192.0.2.1".into(), ..Sip::of_method("MESSAGE", ALICE, name) }
}

/// A call to an address with this in it, and other requests with the same digest-string, each with a new branch.
fn readings() -> Vec<(&'static str, Sip, Vec<Sip>)> {
    let moved = |sip: Sip, name: &str| Sip { branch: format!("z9hG4bK-{name}"), ..sip };
    let mut all = Vec::new();

    let to = Sip { to: "sip:mallory@evil.test|x|y".into(), ..message("to") };
    let one = Sip { to: "sip:mallory@evil.test".into(), call_id: format!("x|y|{}", to.call_id), ..to.clone() };
    let two = Sip { to: "sip:mallory@evil.test|x".into(), call_id: format!("y|{}", to.call_id), ..to.clone() };
    all.push(("To", to, vec![moved(one, "1"), moved(two, "2")]));

    let from = Sip { from: format!("{ALICE};x|sip:bob@example.test"), ..message("from") };
    let one = Sip { from: format!("{ALICE};x"), to: format!("sip:bob@example.test|{}", from.to), ..from.clone() };
    all.push(("From", from, vec![moved(one, "3")]));

    let call = Sip { call_id: "a|b".into(), ..message("call") };
    let one = Sip { to: format!("{}|a", call.to), call_id: "b".into(), ..call.clone() };
    all.push(("Call-ID", call, vec![moved(one, "4")]));

    let contact = Sip { contact: "sip:a@192.0.2.1|x".into(), ..message("contact").body("y") };
    let one = Sip { contact: format!("{}|y", contact.contact), ..contact.clone() }.body("");
    all.push(("Contact", contact, vec![moved(one, "5")]));
    all
}

/// From is the sender's address, and no address has such a character.
fn refused(what: &str, answer: (u32, Reason)) {
    assert!(answer == MALFORMED || (what == "From" && answer == (400, Reason::AorMissing)), "{what}: {answer:?}");
}

#[test]
fn a_separator_within_a_part_is_refused() {
    for transport in ["udp", "tcp"] {
        let plant = Plant::new();
        let (mut proxy, key) = signed_in(&plant, &json!({}));
        for (what, lured, others) in readings() {
            let lured = lured.over(transport).prove_in_header(&key);
            refused(what, proxy.answer(&lured));
            for other in others {
                let stolen = Sip { credentials: lured.credentials.clone(), ..other.over(transport) };
                refused(what, proxy.answer(&stolen));
            }
        }
        let method = Sip { method: "MESS|AGE".into(), cseq: "1 MESS|AGE".into(), ..message("method") };
        assert_eq!(proxy.answer(&method.prove_in_header(&key)), MALFORMED);
        // A body may have any octets, and no part of it becomes a part of the request.
        let honest = message("body").body("x|y").prove_in_header(&key);
        let stolen = Sip { contact: format!("{}|x", honest.contact), ..honest.clone() }.body("y");
        assert_eq!((proxy.answer(&stolen), proxy.answer(&honest)), (MALFORMED, OK));
        // What is escaped is other octets.
        let honest = Sip { to: "sip:bob%7Cx@example.test".into(), ..message("escaped") }.prove_in_header(&key);
        let stolen = Sip { to: "sip:bob%7cx@example.test".into(), ..honest.clone() };
        assert_eq!((proxy.answer(&stolen), proxy.answer(&honest)), (INVALID, OK));
    }
}

#[test]
fn nor_beside_a_token_nor_with_key_derivation() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let alice = User::new("alice", "n1");
    let odd = |name: &str| Sip { call_id: format!("{name}|x"), ..Sip::register(ALICE, name) };
    assert_eq!(ask_for_tokens(&mut proxy, &alice, &password_with_pop(&alice, odd("p"))), MALFORMED);
    let tokens = alice.sign_in(&mut proxy, &alice.register("q"));
    for (what, lured, others) in readings() {
        let lured = with_both(lured, &tokens["access_token"], &alice.key());
        refused(what, proxy.answer(&lured));
        for other in others {
            refused(what, proxy.answer(&Sip { credentials: lured.credentials.clone(), ..other }));
        }
    }
    let plant = Plant::new();
    let mut proxy = plant.proxy(&key_derivation::settings());
    let key = account(&proxy).key;
    for (what, lured, _) in readings() {
        refused(what, key_derivation::answer(&mut proxy, &lured));
        for nonce in [Some(NONCE), None] {
            let lured = key_derivation::prove(&key, &lured, nonce);
            refused(what, key_derivation::answer(&mut proxy, &lured));
        }
    }
}

#[test]
fn another_spelling_or_carrier_is_the_same_use() {
    let plant = Plant::new();
    let (mut proxy, key) = signed_in(&plant, &json!({}));
    let covered = "grant_type=proof-of-possession&x=1";
    let sip = Sip::register(ALICE, "p");
    let pop = make_pop(&*key, &sip.digest(covered.as_bytes()));
    let (text, hex) = (pop_to_text(&pop), pop.iter().map(|o| format!("{o:02X}")).collect::<String>());
    let used = sip.clone().body(&format!("{covered}&pop={text}"));
    assert_eq!(proxy.answer(&used), OK);
    let lower = used.date.to_lowercase().replace(", ", ",  ");
    let in_header =
        |text: &str| Sip { credentials: vec![format!("Bearer pop=\"{text}\"")], ..sip.clone().body(covered) };
    for (i, again) in [
        sip.clone().body(&format!("pop={text}&{covered}")),
        sip.clone().body(&format!("grant_type=proof-of-possession&pop={text}&x=1")),
        sip.clone().body(&format!("{covered}&%70op={hex}")),
        sip.clone().body(&format!("{covered}&pop={text}%3D")),
        in_header(&text),
        in_header(&hex),
        Sip { cseq: "0001   REGISTER".into(), ..used.clone() },
        Sip { cseq: "1\r\n REGISTER".into(), ..used.clone() },
        Sip { date: lower, ..used.clone() },
        Sip { instance: "<urn:uuid:other>".into(), ..used.clone() },
        Sip { reg_id: 7, ..used.clone() },
        Sip { from_tag: "other".into(), ..used.clone() },
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(proxy.answer(&Sip { branch: "z9hG4bK-thief".into(), ..again }), REPLAYED, "{i}");
    }
    let twice =
        Sip { credentials: [in_header(&text).credentials, in_header(&text).credentials].concat(), ..sip.clone() };
    assert_eq!(proxy.answer(&twice), (400, Reason::SeveralTokens));
    assert_eq!(proxy.answer(&sip.body(&format!("{covered}&pop={text}&pop={text}"))), (400, Reason::BodyMalformed));
    assert_eq!(proxy.answer(&used), OK, "the true request again");
}

#[test]
fn a_second_request_is_not_the_first_again() {
    // The same Call-ID, CSeq, Date, branch and source, but something else that the proof covers: not a retransmission.
    let plant = Plant::new();
    let (mut proxy, key) = signed_in(&plant, &json!({}));
    let first = message("m").body("one");
    for (sip, wanted) in [
        (first.clone(), OK),
        (first.clone().body("two"), REPLAYED),
        (Sip { to: "sip:carol@example.test".into(), ..first.clone() }, REPLAYED),
        (Sip { contact: "sip:b@192.0.2.1".into(), ..first.clone() }, REPLAYED),
        (first, OK),
    ] {
        assert_eq!(proxy.answer(&sip.prove_in_header(&key)), wanted);
    }
    let plant = Plant::new();
    let mut proxy = plant.proxy(&key_derivation::settings());
    let key = account(&proxy).key;
    let first = message("k").body("one");
    for (sip, wanted) in [(first.clone(), OK), (first.clone().body("two"), REPLAYED), (first, OK)] {
        assert_eq!(key_derivation::answer(&mut proxy, &key_derivation::prove(&key, &sip, None)), wanted);
    }
}

#[test]
fn the_proof_of_a_sign_in_with_a_password_is_used_with_it() {
    for (settings, covered) in [
        (json!({ "provider.token_pop": "optional" }), PASSWORD),
        (json!({ "provider.token_pop": "optional", "dialect": "empty_body" }), ""),
    ] {
        let plant = Plant::new();
        let mut proxy = issuer(&plant, &settings);
        let alice = User::new("alice", "n1");
        let sip = Sip::register(ALICE, "one");
        let pop = pop_to_text(&make_pop(&*alice.key(), &sip.digest(covered.as_bytes())));
        let first = alice.answer(sip.clone().body(&format!("{PASSWORD}&pop={pop}")));
        let tokens = alice.sign_in(&mut proxy, &first);
        let in_header = Sip { credentials: vec![format!("Bearer pop=\"{pop}\"")], ..sip.clone() };
        let in_body = Sip { credentials: Vec::new(), ..sip }.body(&format!("grant_type=proof-of-possession&pop={pop}"));
        for stolen in [in_header.clone(), in_header.body(covered), in_body] {
            let stolen = Sip { branch: "z9hG4bK-thief".into(), ..stolen };
            assert!([REPLAYED, INVALID].contains(&proxy.answer(&stolen)), "{:?}", proxy.answer(&stolen));
        }
        // Its answer was lost: the phone repeats it, and gets the same.
        assert_eq!(alice.sign_in(&mut proxy, &first)["access_token"], tokens["access_token"]);
        let moved = Sip { branch: "z9hG4bK-thief".into(), ..first };
        assert_eq!(ask_for_tokens(&mut proxy, &alice, &moved), REPLAYED);
        let again = password_with_pop(&alice, Sip::register(ALICE, "two"));
        if covered == PASSWORD {
            assert_eq!(ask_for_tokens(&mut proxy, &alice, &again), OK, "the same nonce with a new request");
        }
        assert_eq!(proxy.answer(&Sip::register(ALICE, "h").prove_in_header(&alice.key())), OK);
    }
}
