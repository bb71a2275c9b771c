// SPDX-License-Identifier: MIT OR Apache-2.0

//! Proofs of possession: where they travel, how they are written, and whose key makes them.

use crate::phone::{ALICE, BOB, Sip};
use crate::plant::{Plant, Proxy};
use serde_json::json;
use sipoauth_core::check::Carried;
use sipoauth_core::keys::pop::{make_pop, pop_to_text};
use sipoauth_core::keys::shared_key::{Key, KeyOrder, shared_key};
use sipoauth_core::reason::Reason;

/// Alice's phone with this name is in; its key.
fn sign_in(plant: &Plant, proxy: &mut Proxy, name: &str, instance: &str) -> Key {
    let code = plant.endpoint.code("alice");
    let mut sip = Sip::with_code(ALICE, name, &code);
    if !instance.is_empty() {
        sip = sip.instance(instance);
    }
    proxy.sign_in(&sip);
    sip.key(&code, &sip.reply_to_tag)
}

#[test]
fn in_the_body_of_a_register() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let key = sign_in(&plant, &mut proxy, "one", "");
    let verdict = proxy.ask(&Sip::register(ALICE, "p0").prove_in_body(&key));
    assert_eq!((verdict.answer.reason(), verdict.answer.carried), (Reason::Ok, Carried::Proof));
    assert!(verdict.ticket.is_empty() && !verdict.session.is_empty());
    let types = ["proof-of-possession", "proof_of_possession", "proof+of+possession", "proof%20of%20possession"];
    for (i, spelling) in types.iter().enumerate() {
        for (j, (before, after)) in [("", ""), ("x=1&", ""), ("", "&x=%31+"), ("a=&", "&b=")].iter().enumerate() {
            let covered = format!("{before}grant_type={spelling}{after}");
            // Each a request of its own: the same proof in another body is no retransmission.
            for k in 0..3 {
                let sip = Sip::register(ALICE, &format!("p{i}{j}{k}"));
                let pop = pop_to_text(&make_pop(&*key, &sip.digest(covered.as_bytes())));
                let body = match k {
                    0 => format!("{before}grant_type={spelling}&pop={pop}{after}"),
                    1 => format!("pop={pop}&{covered}"),
                    _ => format!("{covered}&p%6fp={pop}"),
                };
                assert_eq!(proxy.answer(&sip.body(&body)), (200, Reason::Ok), "{k}: {body}");
            }
        }
    }
}

#[test]
fn with_an_empty_body_where_that_is_set() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "dialect": "empty_body" }));
    let key = sign_in(&plant, &mut proxy, "one", "");
    let sip = Sip::register(ALICE, "two");
    let pop = pop_to_text(&make_pop(&*key, &sip.digest(b"")));
    let sip = sip.body(&format!("grant_type=proof-of-possession&pop={pop}"));
    assert_eq!(proxy.answer(&sip), (200, Reason::Ok));
    assert_eq!(proxy.answer(&Sip::register(ALICE, "three").prove_in_body(&key)), (401, Reason::PopInvalid));
    // In the header the whole body counts all the same.
    let sip = Sip { content_type: "text/plain".into(), ..Sip::register(ALICE, "four") }.body("hello");
    assert_eq!(proxy.answer(&sip.clone().prove_in_header(&key)), (200, Reason::Ok));
    assert_eq!(proxy.answer(&sip.prove_in_header(&key).body("hullo")), (401, Reason::PopInvalid));
}

#[test]
fn in_the_header_of_any_method() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let key = sign_in(&plant, &mut proxy, "one", "");
    for method in ["MESSAGE", "INVITE", "OPTIONS", "BYE", "SUBSCRIBE"] {
        for body in ["", "v=0\r\n", "grant_type=proof-of-possession&pop=x"] {
            let sip = Sip::of_method(method, ALICE, &format!("{method}{}", body.len())).body(body);
            assert_eq!(proxy.answer(&sip.clone().prove_in_header(&key)), (200, Reason::Ok), "{method} {body}");
            let of_bob = Sip { from: BOB.into(), to: ALICE.into(), ..sip };
            assert_eq!(proxy.answer(&of_bob.prove_in_header(&key)), (401, Reason::SessionUnknown), "{method} {body}");
        }
    }
    let register = Sip::register(ALICE, "r").body("v=0\r\n").prove_in_header(&key);
    assert_eq!(proxy.answer(&Sip { content_type: "application/sdp".into(), ..register }), (200, Reason::Ok));
    // A body is looked at in a REGISTER only.
    let sip = Sip { method: "MESSAGE".into(), cseq: "1 MESSAGE".into(), ..Sip::register(ALICE, "m") };
    assert_eq!(proxy.answer(&sip.prove_in_body(&key)), (401, Reason::NoCredentials));
}

#[test]
fn in_every_spelling() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let key = sign_in(&plant, &mut proxy, "one", "");
    type Spelling = fn(&[u8; 32]) -> String;
    let spellings: [Spelling; 6] = [
        |pop| pop_to_text(pop),
        |pop| format!("{}=", pop_to_text(pop)),
        |pop| pop_to_text(pop).replace('-', "+").replace('_', "/"),
        |pop| format!("{}=", pop_to_text(pop).replace('-', "+").replace('_', "/")),
        |pop| pop.iter().map(|octet| format!("{octet:02X}")).collect(),
        |pop| pop.iter().map(|octet| format!("{octet:02x}")).collect(),
    ];
    for number in 0..12 {
        // Each a request of its own: the same proof spelled otherwise is no retransmission.
        for (i, spelling) in spellings.iter().enumerate() {
            let sip = Sip::register(ALICE, &format!("p{number}{i}"));
            let text = spelling(&make_pop(&*key, &sip.digest(b"grant_type=proof-of-possession")));
            let escaped = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
            let in_body = sip.body(&format!("grant_type=proof-of-possession&pop={escaped}"));
            assert_eq!(proxy.reason(&in_body), Reason::Ok, "{text}");
            let sip = Sip::register(ALICE, &format!("h{number}{i}"));
            let text = spelling(&make_pop(&*key, &sip.digest(b"")));
            // In a header field the characters of plain base64 stand between quotes.
            let header = Sip { credentials: vec![format!("bearer pop=\"{text}\"")], ..sip };
            assert_eq!(proxy.reason(&header), Reason::Ok, "{:?}", header.credentials);
        }
    }
}

#[test]
fn a_new_call_id_tag_and_contact_after_a_lost_connection() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let key = sign_in(&plant, &mut proxy, "one", "1");
    for name in ["two", "three"] {
        let sip = Sip::register(ALICE, name).instance("1");
        let sip =
            Sip { contact: format!("sip:{name}@198.51.100.7:4444"), source: ("198.51.100.7".into(), 4444), ..sip };
        assert_eq!(proxy.answer(&sip.prove_in_body(&key)), (200, Reason::Ok));
    }
    // To unregister, a phone sends "*".
    let sip = Sip { contact: "*".into(), ..Sip::register(ALICE, "four") }.prove_in_body(&key);
    assert_eq!(proxy.answer(&sip), (200, Reason::Ok));
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn each_device_has_its_own_key() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let keys: Vec<Key> = ["a", "b", "c"].iter().map(|name| sign_in(&plant, &mut proxy, name, name)).collect();
    assert_eq!(proxy.sessions(ALICE).len(), 3);
    let mut count = 0;
    let mut prove = |proxy: &mut Proxy, key: &Key, instance: &str| {
        count += 1;
        let sip = Sip::register(ALICE, &format!("p{count}"));
        let sip = if instance.is_empty() { sip } else { sip.instance(instance) };
        proxy.reason(&sip.prove_in_body(key))
    };
    for (i, key) in keys.iter().enumerate() {
        for (j, instance) in ["a", "b", "c"].iter().enumerate() {
            let wanted = if i == j { Reason::Ok } else { Reason::PopInvalid };
            assert_eq!(prove(&mut proxy, key, instance), wanted, "{i} {j}");
        }
        assert_eq!(prove(&mut proxy, key, ""), Reason::Ok, "a phone that names no instance may be any");
        assert_eq!(prove(&mut proxy, key, "unknown"), Reason::PopInvalid);
    }
    // A device that signs in again replaces its own session.
    let again = sign_in(&plant, &mut proxy, "again", "b");
    assert_eq!(proxy.sessions(ALICE).len(), 3);
    assert_eq!(prove(&mut proxy, &keys[1], "b"), Reason::PopInvalid);
    assert_eq!(prove(&mut proxy, &again, "b"), Reason::Ok);
    assert_eq!(prove(&mut proxy, &keys[0], "a"), Reason::Ok);
}

#[test]
fn devices_without_instance_live_side_by_side() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let keys: Vec<Key> = ["a", "b"].iter().map(|name| sign_in(&plant, &mut proxy, name, "")).collect();
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(proxy.reason(&Sip::register(ALICE, &format!("p{i}")).prove_in_body(key)), Reason::Ok);
        let named = Sip::register(ALICE, &format!("n{i}")).instance("new").prove_in_body(key);
        assert_eq!(proxy.reason(&named), Reason::Ok);
    }
}

#[test]
fn the_order_of_the_slides() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "dialect": "slides_key" }));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    proxy.sign_in(&sip);
    let [call_id, from_tag] = [sip.call_id.as_bytes(), sip.from_tag.as_bytes()];
    let key = shared_key(KeyOrder::Slides, code.as_bytes(), from_tag, b"to-one", call_id);
    assert_eq!(proxy.reason(&Sip::register(ALICE, "p").prove_in_body(&key)), Reason::Ok);
    assert_eq!(proxy.reason(&Sip::register(ALICE, "q").prove_in_body(&sip.key(&code, "to-one"))), Reason::PopInvalid);
}

#[test]
fn a_scope_that_is_required_later_counts() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let key = sign_in(&plant, &mut proxy, "one", "");
    let configuration = std::fs::read_to_string(&proxy.configuration).expect("ours");
    let stricter = configuration.replace("leeway = 0", "leeway = 0\nrequired_scopes = \"sip.call\"");
    std::fs::write(&proxy.configuration, stricter).expect("ours");
    proxy.context.admin().reload().expect("a good configuration");
    let proof = |name| Sip::register(ALICE, name).prove_in_body(&key);
    assert_eq!(proxy.answer(&proof("a")), (401, Reason::InsufficientScope));
    std::fs::write(&proxy.configuration, configuration).expect("ours");
    proxy.context.admin().reload().expect("a good configuration");
    assert_eq!(proxy.answer(&proof("b")), (200, Reason::Ok));
}
