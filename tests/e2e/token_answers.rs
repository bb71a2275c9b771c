// SPDX-License-Identifier: MIT OR Apache-2.0

//! A phone finds its tokens in the 2xx to its REGISTER, and in no other answer.

use crate::password_attacks::{challenge, credentials};
use crate::passwords::{hash, issuing, ready, wish_of};
use crate::phones::stored;
use crate::stack::Stack;
use crate::support::host::is_opensips;
use crate::support::sip::{Client, Reply};
use crate::support::temporary::Directory;
use crate::support::token::signing_key;

fn start() -> (Directory, Stack) {
    let directory = Directory::new("answers");
    let key = directory.write("signing.pem", signing_key());
    let builder = stored("tests/e2e/answers.cfg", &issuing(&key), &directory).define_string("DESK_HA1", &hash("alice"));
    (directory, ready(builder))
}

/// Alice asks for tokens: the octets that answered the challenge.
fn ask(stack: &Stack, phone: &mut Client, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut request = wish_of("alice");
    for (name, value) in headers {
        request.set(name, *value);
    }
    let offered = challenge(&stack.request(phone, &request));
    request.next();
    request.set("Authorization", credentials(&offered, "alice", &hash("alice"), &request, Some((1, "c"))));
    phone.send(&request).expect("sent")
}

fn is_bare(reply: &Reply) {
    assert!(reply.body.is_empty() && reply.header("Content-Type").is_none(), "{reply:?}");
    assert_eq!(reply.header("Content-Length"), Some("0"), "{reply:?}");
}

fn has_tokens(reply: &Reply) {
    assert_eq!((reply.status, reply.header("Content-Type")), (200, Some("application/json")), "{reply:?}");
    let tokens: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert!(tokens["access_token"].is_string() && tokens["refresh_token"].is_string());
    assert_eq!(reply.header("Content-Length"), Some(&*reply.body.len().to_string()));
}

#[test]
fn no_answer_but_the_2xx_has_tokens() {
    for stateless in [false, true] {
        let (_directory, stack) = start();
        let mode: &[(&str, &str)] = if stateless { &[("X-Stateless", "1")] } else { &[] };
        for (how, status) in [
            ("scope", 401),
            ("error", 500),
            ("silence", 408),
            ("save", if stateless || is_opensips() { 400 } else { 500 }),
        ] {
            for mut phone in [stack.udp(), stack.tcp()] {
                let refused = [("Contact", "*"), ("X-Answer", "save")];
                let headers = if how == "save" { &refused[..] } else { &[("X-Answer", how)] };
                let octets = ask(&stack, &mut phone, &[mode, headers].concat());
                let reply = stack.note(phone.receive().expect("an answer"));
                assert_eq!(reply.status, status, "{how}: {reply:?}\n{}", stack.module_log());
                is_bare(&reply);
                if !stateless || how == "silence" {
                    // A retransmission gets the same.
                    for _ in 0..2 {
                        let again = stack.note(phone.exchange(&octets).expect("an answer"));
                        assert_eq!(again.status, status, "{how}");
                        is_bare(&again);
                    }
                }
            }
        }
        stack.finish();
    }
}

#[test]
fn the_2xx_has_them_also_after_a_stateless_1xx() {
    for mode in [&[][..], &[("X-Stateless", "1")]] {
        let (_directory, stack) = start();
        let mut phone = stack.udp();
        let octets = ask(&stack, &mut phone, &[mode, &[("X-Answer", "none")]].concat());
        let first = stack.note(phone.receive().expect("an answer"));
        assert_eq!(first.status, 183);
        is_bare(&first);
        let reply = phone.receive().expect("an answer");
        has_tokens(&reply);
        if mode.is_empty() {
            let again = phone.exchange(&octets).expect("an answer");
            assert_eq!(again.body, reply.body, "a retransmission");
        }
        stack.finish();
    }
}

/// tm would send a provisional answer as it is, so it sends none.
#[test]
fn no_1xx_of_the_transaction_comes_before_the_2xx() {
    let (_directory, stack) = start();
    for mut phone in [stack.udp(), stack.tcp()] {
        let octets = ask(&stack, &mut phone, &[("X-Answer", "provisional")]);
        let reply = phone.receive().expect("an answer");
        has_tokens(&reply);
        assert_eq!(phone.exchange(&octets).expect("an answer").body, reply.body, "a retransmission");
    }
    stack.finish();
}

#[test]
fn who_reads_the_tokens_answers_with_them_himself() {
    let (_directory, stack) = start();
    let mut phone = stack.udp();
    for headers in [&[("X-Answer", "read")][..], &[("X-Answer", "changed"), ("X-Stateless", "1")]] {
        ask(&stack, &mut phone, headers);
        let reply = stack.note(phone.receive().expect("an answer"));
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.header("X-Tokens").is_some_and(|len| len.parse::<u32>().is_ok_and(|len| len > 300)), "{reply:?}");
        is_bare(&reply);
    }
    ask(&stack, &mut phone, &[]);
    has_tokens(&phone.receive().expect("an answer"));
    stack.finish();
}
