// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which Contact a proof covers: one, none, or `*`, which are three different things. A proof of a REGISTER that only
//! asks which bindings there are removes none of them.

use crate::coverage::{MALFORMED, OK, ask_for_tokens, password_with_pop, signed_in};
use crate::key_derivation::{self, NONCE, account};
use crate::phone::{ALICE, Sip};
use crate::plant::Plant;
use crate::sip_oauth::{User, issuer, refreshing, with_both};
use serde_json::json;
use sipoauth_core::reason::Reason;

const INVALID: (u32, Reason) = (401, Reason::PopInvalid);

/// A REGISTER with these Contacts.
fn with_contact(name: &str, contact: &str, contacts: u32) -> Sip {
    Sip { contact: contact.into(), contacts, ..Sip::register(ALICE, name) }
}

fn query(name: &str) -> Sip {
    with_contact(name, "", 0)
}

/// The same with `Contact: *`.
fn all_bindings(sip: &Sip) -> Sip {
    Sip { contact: "*".into(), contacts: 1, ..sip.clone() }
}

#[test]
fn a_proof_of_a_query_removes_no_binding() {
    for transport in ["udp", "tcp", "tls"] {
        let plant = Plant::new();
        let (mut proxy, key) = signed_in(&plant, &json!({}));
        for (i, prove) in [Sip::prove_in_body, Sip::prove_in_header].into_iter().enumerate() {
            let unused = prove(query(&format!("q{i}")).over(transport), &key);
            assert_eq!(proxy.answer(&all_bindings(&unused)), INVALID, "{transport}");
            let named = Sip { contact: "sip:mallory@203.0.113.9".into(), contacts: 1, ..unused.clone() };
            assert_eq!(proxy.answer(&named), INVALID);
            assert_eq!((proxy.answer(&unused), proxy.answer(&unused)), (OK, OK), "the query itself, and again");
            // A phone that means all bindings says so.
            let unused = prove(all_bindings(&query(&format!("a{i}")).over(transport)), &key);
            assert_eq!(proxy.answer(&Sip { contact: String::new(), contacts: 0, ..unused.clone() }), INVALID);
            let named = Sip { contact: "sip:phone@192.0.2.1".into(), ..unused.clone() };
            assert_eq!(proxy.answer(&named), INVALID);
            assert_eq!((proxy.answer(&unused), proxy.answer(&unused)), (OK, OK));
        }
    }
}

#[test]
fn nor_does_one_beside_other_credentials() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let alice = User::new("alice", "n1");
    let unused = password_with_pop(&alice, query("p"));
    assert_eq!(ask_for_tokens(&mut proxy, &alice, &all_bindings(&unused)), INVALID);
    let tokens = alice.sign_in(&mut proxy, &unused);
    let unused = with_both(query("b"), &tokens["access_token"], &alice.key());
    assert_eq!(proxy.answer(&all_bindings(&unused)), INVALID);
    assert_eq!(proxy.answer(&unused), OK);
    let unused = refreshing(query("r"), &tokens["refresh_token"], &alice.key());
    assert_eq!(proxy.answer(&all_bindings(&unused)), INVALID);
    assert_eq!(proxy.answer(&unused), OK);
}

#[test]
fn nor_one_of_key_derivation() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&key_derivation::settings());
    let key = account(&proxy).key;
    for (name, nonce) in [("n", Some(NONCE)), ("a", None)] {
        let unused = key_derivation::prove(&key, &query(name), nonce);
        assert_eq!(key_derivation::answer(&mut proxy, &all_bindings(&unused)), INVALID);
        assert_eq!(key_derivation::answer(&mut proxy, &unused), OK);
        let nonce = nonce.map(|_| "another-nonce-0001");
        let all = key_derivation::prove(&key, &all_bindings(&query(&format!("all-{name}"))), nonce);
        assert_eq!(key_derivation::answer(&mut proxy, &all), OK);
    }
    // The proxy's own proof tells them apart, too.
    let asked = all_bindings(&query("c"));
    let challenge = key_derivation::challenge(&mut proxy, &asked);
    assert!(challenge.is_from_holder(&key, &asked.digest(b""), None));
    let none = Sip { contact: String::new(), ..asked };
    assert!(!challenge.is_from_holder(&key, &none.digest(b""), None));
    for (contact, contacts) in [("", 1), ("*", 0), ("*", 2), ("sip:a@192.0.2.1", 0)] {
        let sip = with_contact("d", contact, contacts);
        assert_eq!(key_derivation::answer(&mut proxy, &sip), MALFORMED, "{contact} {contacts}");
    }
}

#[test]
fn a_host_that_does_not_tell_which_is_not_guessed() {
    let plant = Plant::new();
    let (mut proxy, key) = signed_in(&plant, &json!({}));
    for (i, (contact, contacts)) in [
        ("", 1),
        ("", 2),
        ("*", 0),
        ("*", 2),
        ("sip:phone@192.0.2.1", 0),
        ("sip:phone@192.0.2.1", 2),
        ("sip:phone@192.0.2.1", u32::MAX),
    ]
    .into_iter()
    .enumerate()
    {
        let sip = with_contact(&format!("r{i}"), contact, contacts);
        assert_eq!(proxy.answer(&sip.clone().prove_in_header(&key)), MALFORMED, "{contact} {contacts}");
        assert_eq!(proxy.answer(&sip.prove_in_body(&key)), MALFORMED, "{contact} {contacts}");
        let sip = Sip { contact: contact.into(), contacts, ..Sip::of_method("MESSAGE", ALICE, &format!("m{i}")) };
        assert_eq!(proxy.answer(&sip.prove_in_header(&key)), MALFORMED, "{contact} {contacts}");
    }
    let none = Sip { contact: String::new(), contacts: 0, ..Sip::of_method("MESSAGE", ALICE, "none") };
    assert_eq!(proxy.answer(&none.prove_in_header(&key)), OK);
}

#[test]
fn the_text_of_rfc_4474_is_a_dialect() {
    let plant = Plant::new();
    let (mut proxy, key) = signed_in(&plant, &json!({ "dialect": "empty_star" }));
    for (i, prove) in [Sip::prove_in_body, Sip::prove_in_header].into_iter().enumerate() {
        let of_rfc = all_bindings(&prove(query(&format!("a{i}")), &key));
        assert_eq!((proxy.answer(&of_rfc), proxy.answer(&of_rfc)), (OK, OK));
        let query_of_it = Sip { contact: String::new(), contacts: 0, branch: "z9hG4bK-x".into(), ..of_rfc };
        assert_eq!(proxy.answer(&query_of_it), (403, Reason::PopReplayed), "one use all the same");
        assert_eq!(proxy.answer(&prove(all_bindings(&query(&format!("b{i}"))), &key)), INVALID, "as it stands");
        assert_eq!(proxy.answer(&prove(query(&format!("c{i}")), &key)), OK);
    }
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "kd_iterations": 1000, "dialect": "empty_star" }));
    let key = account(&proxy).key;
    let of_rfc = all_bindings(&key_derivation::prove(&key, &query("k"), Some(NONCE)));
    assert_eq!(key_derivation::answer(&mut proxy, &of_rfc), OK);
}
