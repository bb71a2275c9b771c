// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/browser-websocket.cfg: real browsers over WebSocket.

use crate::stack::Stack;
use crate::support::browser::{self, Phone, Settings};
use crate::support::host::is_opensips;
use crate::support::patience::PATIENCE;
use crate::support::sip::{Client, Request};

#[test]
fn browsers_follow_the_challenge_and_register() {
    let (_server, stack) = Stack::with_server("browser-websocket.cfg");
    for phone in [Phone::JssipInChromium, Phone::SipjsInChromium, Phone::JssipInNode] {
        // Without a token at hand the phone signs in at the authz_server of the challenge.
        let outcome = browser::register(phone, stack.kamailio.websocket_port(), &Settings::default());
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
    let outcome = browser::register(Phone::JssipInChromium, stack.kamailio.websocket_port(), &settings);
    assert!(!outcome.registered);
    assert!(outcome.challenges.last().is_some_and(|c| c.contains("invalid_token")), "{:?}", outcome.json);
    stack.finish();
}

#[test]
fn two_browser_phones_exchange_a_message() {
    let (server, stack) = Stack::with_server("browser-websocket.cfg");
    let (mut alice, mut bob) = (stack.ws(), stack.ws());
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
    let received = bob.receive_request(PATIENCE).expect("the message arrives");
    let received = String::from_utf8(received).expect("text");
    assert!(received.starts_with("MESSAGE sip:x@y.invalid") && !received.contains("Bearer"), "{received}");
    stack.finish();
}

#[test]
fn a_call_between_browsers_is_confirmed_and_ended() {
    let (server, stack) = Stack::with_server("browser-websocket.cfg");
    let (mut alice, mut bob) = (stack.ws(), stack.ws());
    let (a, b) = (server.token("alice", "es256"), server.token("bob", "es256"));
    let contact = "<sip:x@y.invalid;transport=ws>";
    let mut register = Request::register("sip:bob@example.test");
    register.set("Contact", contact).set("Authorization", format!("Bearer {}", stack.secrets.keep(&b)));
    assert_eq!(stack.request(&mut bob, &register).status, 200, "{}", stack.module_log());

    let mut invite = Request::new("INVITE", "sip:bob@example.test", "sip:alice@example.test");
    invite.set("Contact", contact).set("Authorization", format!("Bearer {}", stack.secrets.keep(&a)));
    alice.send(&invite).expect("sent");
    let received = text(&mut bob);
    assert!(received.starts_with("INVITE sip:x@y.invalid"), "{received}");
    bob.send_octets(answer(&received, contact).as_bytes()).expect("sent");
    let accepted = loop {
        let reply = alice.receive().expect("a reply");
        if reply.status >= 200 {
            break reply;
        }
    };
    assert_eq!(accepted.status, 200);

    let target = accepted.header("Contact").expect("a Contact").trim_matches(['<', '>']).to_owned();
    let mut ack = Request { method: "ACK".to_owned(), uri: target, ..invite.clone() };
    ack.headers.retain(|(name, _)| name != "Authorization");
    ack.set("To", accepted.header("To").expect("a To")).set("CSeq", "1 ACK");
    for route in accepted.all("Record-Route").iter().rev() {
        ack.add("Route", *route);
    }
    alice.send(&ack).expect("sent");
    // Kamailio's alias names the connection. OpenSIPS writes the connection's address into the Contact.
    let callee = if is_opensips() { "sip:x@127.0.0.1:" } else { "sip:x@y.invalid" };
    assert!(text(&mut bob).starts_with(&format!("ACK {callee}")));
    let mut bye = Request { method: "BYE".to_owned(), ..ack };
    bye.set("CSeq", "2 BYE");
    alice.send(&bye).expect("sent");
    let received = text(&mut bob);
    assert!(received.starts_with(&format!("BYE {callee}")), "{received}");
    bob.send_octets(answer(&received, contact).as_bytes()).expect("sent");
    assert_eq!(alice.receive().expect("a reply").status, 200);
    stack.finish();
}

pub fn text(phone: &mut Client) -> String {
    let octets = phone.receive_request(PATIENCE).expect("a request");
    String::from_utf8(octets).expect("text")
}

/// 200 to a request, with the headers that a reply copies.
pub fn answer(request: &str, contact: &str) -> String {
    let copied =
        |line: &&str| ["Via:", "From:", "Call-ID:", "CSeq:", "Record-Route:"].iter().any(|name| line.starts_with(name));
    let mut reply = String::from("SIP/2.0 200 OK\r\n");
    request.split("\r\n").filter(copied).for_each(|line| reply += &format!("{line}\r\n"));
    let to = request.split("\r\n").find(|line| line.starts_with("To:")).expect("a To");
    let tag = if to.contains(";tag=") { "" } else { ";tag=callee" };
    reply + &format!("{to}{tag}\r\nContact: {contact}\r\nContent-Length: 0\r\n\r\n")
}
