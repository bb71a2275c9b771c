// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a proof covers: a captured one that has not been used yet serves no other request, however it travels.

use crate::key_derivation::{self, NONCE, account, challenge};
use crate::phone::{ALICE, Sip};
use crate::plant::{Plant, Proxy};
use crate::sip_oauth::{PASSWORD, User, issuer, refreshing, with_both};
use serde_json::{Value, json};
use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::keys::shared_key::Key;
use sipoauth_core::reason::Reason;

pub const MALFORMED: (u32, Reason) = (400, Reason::PopMalformed);
pub const OK: (u32, Reason) = (200, Reason::Ok);

/// A proxy with these settings where Alice's phone is in; its key.
pub fn signed_in(plant: &Plant, globals: &Value) -> (Proxy, Key) {
    let mut proxy = plant.proxy(globals);
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "sign-in", &code);
    proxy.sign_in(&sip);
    let key = sip.key(&code, &sip.reply_to_tag);
    (proxy, key)
}

/// Answers a Digest challenge, with a proof in the body.
pub fn password_with_pop(user: &User, sip: Sip) -> Sip {
    let pop = pop_to_text(&make_pop(&*user.key(), &sip.digest(PASSWORD.as_bytes())));
    user.answer(sip.body(&format!("{PASSWORD}&pop={pop}")))
}

pub fn ask_for_tokens(proxy: &mut Proxy, user: &User, sip: &Sip) -> (u32, Reason) {
    let verdict = proxy.ask_for_tokens(sip, user.known());
    (verdict.status, verdict.answer.reason())
}

#[test]
fn a_proof_serves_its_own_method_only() {
    for transport in ["udp", "tcp", "wss"] {
        let plant = Plant::new();
        let (mut proxy, key) = signed_in(&plant, &json!({}));
        for (i, (method, of_cseq)) in [
            ("REGISTER", "SUBSCRIBE"),
            ("INVITE", "MESSAGE"),
            ("MESSAGE", "OPTIONS"),
            ("REGISTER", "register"),
            ("Register", "REGISTER"),
            ("invite", "INVITE"),
            ("INVITE", "invite"),
            ("INVITE", "INVITEX"),
            ("INVITE", "INVIT"),
            ("INVITE", "INVITE\tX"),
            ("ACK", "INVITE"),
        ]
        .into_iter()
        .enumerate()
        {
            let sip = Sip::register(ALICE, &format!("{i}")).over(transport);
            let sip = Sip { method: method.into(), cseq: format!("1 {of_cseq}"), ..sip };
            let unused = if of_cseq.contains('\t') { sip.clone() } else { sip.clone().prove_in_header(&key) };
            let credentials = if unused.credentials.is_empty() {
                let honest = Sip { cseq: "1 INVITE".into(), ..sip.clone() };
                honest.prove_in_header(&key).credentials
            } else {
                unused.credentials
            };
            let stolen = Sip { credentials, ..sip.clone() };
            assert_eq!(proxy.answer(&stolen), MALFORMED, "{method} with the proof of a {of_cseq} over {transport}");
            if method == "REGISTER" {
                assert_eq!(proxy.answer(&sip.clone().prove_in_body(&key)), MALFORMED, "{of_cseq} in the body");
            }
            // The phone's own request is not spoiled by what somebody made of its proof.
            let honest = Sip { cseq: format!("1 {method}"), ..sip }.prove_in_header(&key);
            assert_eq!((proxy.answer(&honest), proxy.answer(&honest)), (OK, OK), "{method} over {transport}");
        }
    }
}

#[test]
fn a_proof_beside_other_credentials_serves_its_own_method_only() {
    let plant = Plant::new();
    let mut proxy = issuer(&plant, &json!({}));
    let alice = User::new("alice", "n1");
    let wrong = |name: &str| Sip { cseq: "1 SUBSCRIBE".into(), ..Sip::register(ALICE, name) };
    assert_eq!(ask_for_tokens(&mut proxy, &alice, &password_with_pop(&alice, wrong("p"))), MALFORMED);
    let good = password_with_pop(&alice, Sip::register(ALICE, "q"));
    let tokens = alice.sign_in(&mut proxy, &good);
    assert_eq!(proxy.answer(&with_both(wrong("b"), &tokens["access_token"], &alice.key())), MALFORMED);
    assert_eq!(proxy.answer(&refreshing(wrong("r"), &tokens["refresh_token"], &alice.key())), MALFORMED);
    let right = |name: &str| Sip::register(ALICE, name);
    assert_eq!(proxy.answer(&with_both(right("c"), &tokens["access_token"], &alice.key())), OK);
    assert_eq!(proxy.answer(&refreshing(right("s"), &tokens["refresh_token"], &alice.key())), OK);
}

#[test]
fn key_derivation_is_for_one_method_too() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&key_derivation::settings());
    let key = account(&proxy).key;
    let wrong = |name: &str| Sip { method: "INVITE".into(), ..Sip::of_method("MESSAGE", ALICE, name) };
    // Nobody is given a proof of the proxy's over such a request.
    assert_eq!(key_derivation::answer(&mut proxy, &wrong("a")), MALFORMED);
    for (name, nonce) in [("b", Some(NONCE)), ("d", None)] {
        let sip = key_derivation::prove(&key, &wrong(name), nonce);
        assert_eq!(key_derivation::answer(&mut proxy, &sip), MALFORMED, "{nonce:?}");
        let honest = Sip { method: "MESSAGE".into(), ..sip };
        assert_eq!(key_derivation::answer(&mut proxy, &honest), OK, "{nonce:?}");
    }
    challenge(&mut proxy, &Sip::of_method("INVITE", ALICE, "c"));
}

#[test]
fn a_proof_that_is_repeated_is_one_of_a_register() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "allow": "pop_reuse" }));
    let code = plant.endpoint.code("alice");
    // What would be kept to be repeated must be of a REGISTER.
    let odd = Sip { cseq: "1 INVITE".into(), ..Sip::with_code(ALICE, "odd", &code) };
    assert_eq!(proxy.answer(&odd), MALFORMED);
    let sip = Sip::with_code(ALICE, "one", &code);
    proxy.sign_in(&sip);
    let key = sip.key(&code, &sip.reply_to_tag);
    let credentials = vec![format!("Bearer pop=\"{}\"", pop_to_text(&make_pop(&*key, &sip.digest(&sip.body))))];
    let repeated = |sip: Sip| Sip { credentials: credentials.clone(), ..sip };
    assert_eq!(proxy.answer(&repeated(Sip::register(ALICE, "two"))), OK);
    for method in ["INVITE", "MESSAGE", "register", "SUBSCRIBE"] {
        let sip = repeated(Sip::of_method(method, ALICE, method));
        let sip = if method == "register" { Sip { to: ALICE.into(), ..sip } } else { sip };
        assert_eq!(proxy.answer(&sip), (401, Reason::PopInvalid), "{method}");
    }
}
