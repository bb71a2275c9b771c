// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/proxy-407.cfg: the proxy role.

use crate::phones::{self, prove, proxy_provider, sign_in, stored, with_code};
use crate::stack::{Stack, example};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::patience::{self, PATIENCE};
use crate::support::sip::{Client, Reply, Request};
use crate::support::temporary::Directory;

const ALICE: &str = "sip:alice@example.test";
const BOB: &str = "sip:bob@example.test";

/// A server behind the proxy: the next request that reaches it.
struct NextHop(std::net::UdpSocket);

impl NextHop {
    fn new() -> NextHop {
        NextHop(std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port"))
    }

    fn uri(&self) -> String {
        format!("sip:{}", self.0.local_addr().expect("bound"))
    }

    fn receive(&self) -> String {
        let octets = patience::receive(&self.0, PATIENCE).expect("the request is forwarded");
        String::from_utf8(octets).expect("text")
    }

    /// Accepts the next request: that.
    fn accept(&self) -> String {
        let (octets, from) = patience::receive_from(&self.0, PATIENCE).expect("the request is forwarded");
        let request = String::from_utf8(octets).expect("text");
        let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
        let copied = request.split("\r\n").filter(|line| copied.iter().any(|name| line.starts_with(name)));
        let lines = copied.map(|line| format!("{line}{}\r\n", if line.starts_with("To:") { ";tag=next" } else { "" }));
        let answer = format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", lines.collect::<String>());
        self.0.send_to(answer.as_bytes(), from).expect("sent");
        request
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
    message.set("Proxy-Authorization\t", "Bearer a.third.token, realm=\"elsewhere\"");
    message.set("Authorization\t", "Bearer a.fourth.token");
    message.add("proxy-authorization \t", "bearer a.fifth.token");
    message.add("AUTHORIZATION\t ", "Key-Derivation username=\"alice\"");
    phone.send(&message).expect("sent");
    let forwarded = next.receive();
    assert!(forwarded.starts_with("MESSAGE sip:bob@example.test"), "{forwarded}");
    assert!(forwarded.contains("P-Asserted-Identity: <sip:alice@example.test>"), "{forwarded}");
    assert!(!forwarded.contains("Bearer") && !forwarded.contains("mallory"), "{forwarded}");
    assert!(!forwarded.contains("fifth") && !forwarded.contains("Key-Derivation"), "{forwarded}");
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

/// Whoever has the code and sees the answer can derive the key.
#[test]
fn the_next_hop_sees_neither_codes_nor_proofs() {
    let (server, next, directory) = (AuthorizationServer::start(), NextHop::new(), Directory::new("proxy"));
    let builder = stored("proxy-407.cfg", &proxy_provider(&server), &directory);
    let stack = phones::run(builder.define_string("NEXT_HOP", &next.uri()));
    for mut phone in [stack.udp(), stack.tcp()] {
        let login = sign_in(&stack, &server, "alice");
        let mut answer = |request: &Request| -> (String, Reply) {
            phone.send(request).expect("sent");
            let forwarded = next.accept();
            (forwarded, stack.note(phone.receive().expect("an answer")))
        };
        let request = with_code(ALICE, &login);
        let (forwarded, reply) = answer(&request);
        assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
        let key = phones::key_of(&stack, &login, &request, &reply);
        let (proved, reply) = answer(&prove(&key, Request::register(ALICE)));
        assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
        for text in [forwarded, proved] {
            let (head, body) = text.split_once("\r\n\r\n").expect("a SIP message");
            assert!(head.starts_with("REGISTER ") && head.contains("\r\nContent-Length: 0"), "{text}");
            assert!(body.is_empty() && !head.contains("urlencoded"), "{text}");
        }
    }
    // What is not ours goes on.
    let token = stack.secrets.keep(server.token("alice", "es256"));
    let request = Request::register(ALICE).with("Proxy-Authorization", format!("Bearer {token}"));
    let mut phone = stack.tcp();
    phone.send(&request.with_body("application/x-www-form-urlencoded-not", "code=5")).expect("sent");
    assert!(next.accept().ends_with("\r\n\r\ncode=5"));
    stack.finish();
}
