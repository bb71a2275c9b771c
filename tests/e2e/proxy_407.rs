// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/proxy-407.cfg: the proxy role.

use std::time::Duration;

use crate::stack::{Stack, example};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::sip::{Client, Request};

const ALICE: &str = "sip:alice@example.test";
const BOB: &str = "sip:bob@example.test";

/// A server behind the proxy: the next request that reaches it.
struct NextHop(std::net::UdpSocket);

impl NextHop {
    fn new() -> NextHop {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        NextHop(socket)
    }

    fn uri(&self) -> String {
        format!("sip:{}", self.0.local_addr().expect("bound"))
    }

    fn receive(&self) -> String {
        let mut buffer = vec![0; 65536];
        let length = self.0.recv(&mut buffer).expect("the request is forwarded");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }
}

fn start() -> (AuthorizationServer, NextHop, Stack) {
    let (server, next) = (AuthorizationServer::start(), NextHop::new());
    let stack = Stack::new(example("proxy-407.cfg", server.issuer()).define_string("NEXT_HOP", &next.uri()));
    stack.wait_for_keys();
    (server, next, stack)
}

#[test]
fn challenges_with_407_and_forwards_without_the_token() {
    let (server, next, stack) = start();
    let mut phone: Client = stack.udp();
    let mut message = Request::new("MESSAGE", BOB, ALICE);
    let reply = stack.request(&mut phone, &message);
    assert_eq!((reply.status, reply.all("WWW-Authenticate").len()), (407, 0));
    let challenge = reply.header("Proxy-Authenticate").expect("a challenge");
    assert!(challenge.starts_with("Bearer realm=\"example.test\", authz_server="), "{challenge}");

    let token = stack.secrets.keep(server.token("alice", "es256"));
    message.next();
    message.add(
        "Proxy-Authorization",
        "Digest username=\"a\", realm=\"elsewhere\", nonce=\"n\", uri=\"u\", response=\"r\"",
    );
    message.add("Proxy-Authorization", "Bearer another.realms.token, realm=\"elsewhere\"");
    message.add("Proxy-Authorization", format!("Bearer {token}, realm=\"example.test\""));
    message.set("P-Asserted-Identity", "<sip:mallory@example.test>");
    phone.send(&message).expect("sent");
    let forwarded = next.receive();
    assert!(forwarded.starts_with("MESSAGE sip:bob@example.test"), "{forwarded}");
    assert!(forwarded.contains("P-Asserted-Identity: <sip:alice@example.test>"), "{forwarded}");
    assert!(!forwarded.contains("Bearer") && !forwarded.contains("mallory"), "{forwarded}");
    assert!(forwarded.contains("Proxy-Authorization: Digest"), "other credentials stay: {forwarded}");
    stack.finish();
}

#[test]
fn a_refused_token_gets_407_with_the_error() {
    let (server, _next, stack) = start();
    let mut message = Request::new("MESSAGE", BOB, ALICE);
    message.set("Proxy-Authorization", format!("Bearer {}", stack.secrets.keep(server.token("alice", "opaque"))));
    let reply = stack.request(&mut stack.udp(), &message);
    assert_eq!(reply.status, 407);
    assert!(reply.header("Proxy-Authenticate").is_some_and(|c| c.contains("error=\"invalid_token\"")), "{reply:?}");
    stack.finish();
}

#[test]
fn authorization_counts_where_the_phone_knows_no_other() {
    let (server, next, stack) = start();
    let mut message = Request::new("MESSAGE", BOB, ALICE);
    message.set("Authorization", format!("Bearer {}", stack.secrets.keep(server.token("alice", "es256"))));
    stack.udp().send(&message).expect("sent");
    assert!(!next.receive().contains("Bearer"));
    stack.finish();
}
