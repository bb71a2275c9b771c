// SPDX-License-Identifier: MIT OR Apache-2.0

//! A transaction that waits, and what cannot wait.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::time::Duration;

use crate::stack::{Stack, configured};
use crate::support::kamailio::Builder;
use crate::support::opaque::{INTROSPECTION, active, provider, server};
use crate::support::patience::{self, PATIENCE, SILENCE};
use crate::support::scripted_server::{Answer, ScriptedServer};
use crate::support::sip::{Client, Reply, Request, unique};

pub const ALICE: &str = "sip:alice@example.test";

pub fn start(server: &ScriptedServer, change: impl FnOnce(Builder) -> Builder) -> Stack {
    let builder = configured("tests/e2e/async.cfg", &provider(server)).define_string("CALLEE", "sip:127.0.0.1:9");
    let stack = Stack::new(change(builder));
    stack.secrets.keep("secret-of-the-proxy-here");
    stack
}

/// A request with a token that nobody knows yet.
pub fn request(stack: &Stack, method: &str, way: &str) -> Request {
    let token = stack.secrets.keep(unique("an-opaque-token-"));
    Request::new(method, "sip:bob@example.test", ALICE)
        .with("Authorization", format!("Bearer {token}"))
        .with("X-Way", way)
}

fn result(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.header("X-Result").unwrap_or_default())
}

#[test]
fn a_transaction_waits_and_goes_on_in_its_route() {
    let server = server();
    let stack = start(&server, |b| b);
    for mut phone in [stack.udp(), stack.tcp()] {
        let before = stack.counter("suspended");
        let request = request(&stack, "MESSAGE", "async");
        let reply = stack.request(&mut phone, &request);
        assert_eq!(result(&reply), (200, "1 accepted ok"), "{reply:?}\n{}", stack.module_log());
        assert_eq!((stack.counter("suspended"), stack.counter("resumed")), (before + 1, before + 1));
        // The token is known now.
        let mut again = request.clone();
        assert_eq!(result(&stack.request(&mut phone, again.next())), (200, "1 accepted ok"));
        assert_eq!(stack.counter("suspended"), before + 1);
        assert!(phone.receive_for(SILENCE).is_err(), "one answer");
    }
    stack.finish();
}

#[test]
fn copies_of_a_request_whose_transaction_waits_cost_one_question() {
    let server = server();
    let stack = start(&server, |b| b.workers(4));
    server.set(INTROSPECTION, active("alice", Duration::from_millis(800)));
    let mut phone = stack.udp();
    let octets = phone.send(&request(&stack, "MESSAGE", "async")).expect("sent");
    for _ in 0..20 {
        phone.send_octets(&octets).expect("sent");
    }
    assert_eq!(phone.receive().expect("an answer").status, 200);
    assert_eq!(server.count(INTROSPECTION), 1);
    assert_eq!(stack.counter("suspended"), 1);
    stack.finish();
}

/// The server does not answer, and the script waits for one second.
#[test]
fn a_shorter_time_of_the_script_is_kept_and_the_late_answer_thrown_away() {
    let server = server();
    let stack = start(&server, |b| b);
    server.set(INTROSPECTION, active("alice", Duration::from_secs(3)));
    let mut phone = stack.udp();
    let reply = stack.request(&mut phone, &request(&stack, "MESSAGE", "second"));
    assert_eq!((reply.status, reply.header("Retry-After").is_some()), (503, true), "{reply:?}");
    assert!(result(&reply).1.starts_with("-20 not_now "), "{reply:?}");
    stack.wait_until("the late answer has come", || stack.counter("pending") == 0);
    assert!(phone.receive_for(SILENCE).is_err(), "it was answered once");
    stack.finish();
}

/// `TEST_ROUNDS=100` for ten thousand of them.
#[test]
fn requests_whose_time_is_over_leave_no_memory() {
    const AT_ONCE: usize = 100;
    let rounds_of_test = std::env::var("TEST_ROUNDS").map_or(10, |rounds| rounds.parse().expect("a number"));
    let server = server();
    server.set(INTROSPECTION, Answer::Hang);
    let directory = crate::support::temporary::Directory::new("async");
    // One source may have a quarter of the places.
    let limits = directory
        .write("limits.toml", "source_limit = 65535\nmax_pending = 20000\npending_timeout = 2\nhttp_timeout = 2\n");
    let stack = start(&server, |b| b.define("DEBUG", 2).define_string("CONFIG_FILE", limits.to_str().expect("UTF-8")));
    let rounds = |count: usize| {
        let mut phone = stack.udp();
        for _ in 0..count {
            let mut open = HashMap::new();
            for _ in 0..AT_ONCE {
                let request = request(&stack, "MESSAGE", "second");
                let call_id = request.header("Call-ID").expect("our own").to_owned();
                open.insert(call_id, phone.send(&request).expect("sent"));
            }
            while !open.is_empty() {
                let Ok(reply) = phone.receive_for(Duration::from_secs(3)) else {
                    // A datagram may get lost.
                    open.values().for_each(|octets| phone.send_octets(octets).expect("sent"));
                    continue;
                };
                assert_eq!((reply.status, reply.header("Retry-After").is_some()), (503, true), "{reply:?}");
                open.remove(reply.header("Call-ID").expect("a Call-ID"));
            }
        }
        stack.wait_until("nobody waits", || stack.counter("pending") == 0);
    };
    rounds(2);
    let settled = || {
        let transactions = || stack.rpc("tm.stats", &[]).expect("a statistic");
        stack.wait_until("no transaction is left", || transactions().contains("waiting: 0"));
        shared_memory(&stack)
    };
    let before = settled();
    rounds(rounds_of_test);
    let left = settled() - before;
    assert!(left.abs() < 100_000, "{left} octets are left");
    stack.finish();
}

fn shared_memory(stack: &Stack) -> i64 {
    let text = stack.rpc("core.shmmem", &[]).expect("a statistic");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("real_used: "));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn an_ack_a_failure_route_and_launch_come_to_a_decision_at_once_and_let_nobody_in() {
    let server = server();
    server.set(INTROSPECTION, Answer::Hang);
    let callee = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = callee.local_addr().expect("bound");
    let stack = start(&server, |b| b.define_string("CALLEE", &format!("sip:{address}")));

    let mut phone = stack.tcp();
    phone.send(&request(&stack, "ACK", "async")).expect("sent");
    stack.wait_until("the ACK is decided", || stack.kamailio.log().contains("ACKED -20 not_now"));

    for way in ["launch", "launch-in-transaction"] {
        let reply = stack.request(&mut stack.udp(), &request(&stack, "MESSAGE", way));
        assert_eq!((reply.status, &*reply.reason), (200, "Launched"), "{way}: {reply:?}");
    }
    stack.wait_until("both have come to an end", || stack.kamailio.log().matches("LAUNCHED -").count() == 2);
    assert!(!stack.kamailio.log().contains("LAUNCHED 1"), "nobody is let in");

    let mut phone = stack.udp();
    phone.send(&request(&stack, "MESSAGE", "failure")).expect("sent");
    let (octets, proxy) = patience::receive_from(&callee, PATIENCE).expect("the request");
    callee.send_to(busy(&String::from_utf8(octets).expect("text")).as_bytes(), proxy).expect("sent");
    let reply = phone.receive().expect("an answer");
    assert_eq!(reply.status, 480, "{reply:?}");
    assert!(result(&reply).1.starts_with("-20 not_now "), "{reply:?}");
    stack.finish();
}

/// What launch() is told when the token is known: still nothing, because the request has gone.
#[test]
fn launch_lets_nobody_in_whose_request_has_gone() {
    let server = server();
    let stack = start(&server, |b| b);
    let reply = stack.request(&mut stack.udp(), &request(&stack, "MESSAGE", "launch-in-transaction"));
    assert_eq!(&*reply.reason, "Launched");
    stack.wait_until("it has come to an end", || stack.kamailio.log().contains("LAUNCHED -"));
    assert!(!stack.kamailio.log().contains("LAUNCHED 1"), "{}", stack.kamailio.log());
    stack.finish();
}

fn busy(request: &str) -> String {
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let lines = request.split("\r\n").filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let tagged = lines
        .map(|line| if line.starts_with("To:") { format!("{line};tag=callee\r\n") } else { format!("{line}\r\n") });
    format!("SIP/2.0 486 Busy Here\r\n{}Content-Length: 0\r\n\r\n", tagged.collect::<String>())
}

#[test]
fn a_known_token_makes_no_transaction_and_nothing_waits() {
    let server = server();
    let stack = start(&server, |b| b);
    let request = request(&stack, "MESSAGE", "plain");
    let mut phone = stack.udp();
    assert_eq!(result(&stack.request(&mut phone, &request)), (200, "1 accepted ok"));
    let transactions = |stack: &Stack| stack.rpc("tm.stats", &[]).expect("tm has it");
    let before = transactions(&stack);
    for _ in 0..50 {
        let mut again = request.clone();
        assert_eq!(stack.request(&mut phone, again.next()).status, 200);
    }
    assert_eq!(transactions(&stack), before);
    assert!(before.contains("total: 0"), "nor did the one that waited: {before}");
    assert_eq!((stack.counter("suspended"), stack.counter("resumed")), (1, 1));
    stack.finish();
}

#[test]
fn a_cancel_must_come_from_where_its_invite_came() {
    let server = server();
    let callee = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = callee.local_addr().expect("bound");
    let stack = start(&server, |b| b.define_string("CALLEE", &format!("sip:{address}")));
    for (mut phone, mut stranger) in [(stack.udp(), stack.udp()), (stack.tcp(), stack.tcp())] {
        let octets = phone.send(&request(&stack, "INVITE", "failure")).expect("sent");
        patience::receive_from(&callee, PATIENCE).expect("the INVITE");
        let text = String::from_utf8(octets).expect("text");
        let cancel = text.replace("INVITE", "CANCEL").replace("X-Way: failure\r\n", "");
        stranger.send_octets(cancel.as_bytes()).expect("sent");
        assert_eq!(last_of(&mut stranger).status, 481, "{}", stack.module_log());
        phone.send_octets(cancel.as_bytes()).expect("sent");
        assert_eq!(last_of(&mut phone).status, 200, "{}", stack.module_log());
    }
    stack.finish();
}

fn last_of(phone: &mut Client) -> Reply {
    loop {
        let reply = phone.receive().expect("an answer");
        if reply.status >= 200 {
            return reply;
        }
    }
}
