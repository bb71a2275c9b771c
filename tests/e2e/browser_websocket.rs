// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/browser-websocket.cfg: real browsers over WebSocket.

use crate::stack::Stack;
use crate::support::browser::{self, Phone, Settings};
use crate::support::sip::{Client, Request};

#[test]
fn browsers_follow_the_challenge_and_register() {
    let (_server, stack) = Stack::with_server("browser-websocket.cfg");
    for phone in [Phone::JssipInChromium, Phone::SipjsInChromium, Phone::JssipInNode] {
        // Without a token at hand the phone signs in at the authz_server of the challenge.
        let outcome = browser::register(phone, stack.kamailio.port(), &Settings::default());
        assert!(outcome.registered, "{phone:?}: {:?}\n{}", outcome.json, stack.module_log());
        assert_eq!(outcome.statuses, [401, 200], "{phone:?}: {:?}", outcome.json);
        assert!(outcome.challenges[0].starts_with("Bearer "), "{phone:?}: {:?}", outcome.challenges);
    }
    assert_eq!((stack.counter("accepted"), stack.counter("denied")), (3, 0));
    stack.finish();
}

#[test]
fn a_browser_with_a_refused_token_is_challenged_again() {
    let (server, stack) = Stack::with_server("browser-websocket.cfg");
    let token = stack.secrets.keep(server.token("alice", "opaque"));
    let settings = Settings { token: Some(token), ..Settings::default() };
    let outcome = browser::register(Phone::JssipInChromium, stack.kamailio.port(), &settings);
    assert!(!outcome.registered);
    assert!(outcome.challenges.last().is_some_and(|c| c.contains("invalid_token")), "{:?}", outcome.json);
    stack.finish();
}

#[test]
fn two_browser_phones_exchange_a_message() {
    let (server, stack) = Stack::with_server("browser-websocket.cfg");
    let (mut alice, mut bob) = (Client::ws(stack.kamailio.port()), Client::ws(stack.kamailio.port()));
    let (a, b) = (server.token("alice", "es256"), server.token("bob", "es256"));
    for (phone, aor, token) in [(&mut alice, "sip:alice@example.test", &a), (&mut bob, "sip:bob@example.test", &b)] {
        let mut register = Request::register(aor);
        register.set("Contact", "<sip:x@y.invalid;transport=ws>");
        register.set("Authorization", format!("Bearer {}", stack.secrets.keep(token)));
        assert_eq!(stack.request(phone, &register).status, 200, "{}", stack.module_log());
    }
    let mut message = Request::new("MESSAGE", "sip:bob@example.test", "sip:alice@example.test");
    message.set("Authorization", format!("Bearer {a}"));
    alice.send(&message).expect("sent");
    let received = bob.receive_octets(std::time::Duration::from_secs(5)).expect("the message arrives");
    let received = String::from_utf8(received).expect("text");
    assert!(received.starts_with("MESSAGE sip:x@y.invalid") && !received.contains("Bearer"), "{received}");
    stack.finish();
}
