// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both sides of REFER over sockets of this machine: with each other, and each with a peer that breaks the rules.

mod rogue_acceptor;
mod rogue_referrer;

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Parser;
use serde_json::Value;

use super::accept_options::AcceptOptions;
use super::send_options::SendOptions;
use super::{accept, send};
use crate::report::Report;

#[derive(Parser)]
struct TypedAccept {
    #[command(flatten)]
    options: AcceptOptions,
}

#[derive(Parser)]
struct TypedSend {
    #[command(flatten)]
    options: SendOptions,
}

/// Starts the accepting side at a free port. Its thread returns the exit code.
fn acceptor(arguments: &[&str]) -> (SocketAddr, JoinHandle<u8>) {
    let usual = ["accept", "--listen", "127.0.0.1:0"];
    let mut options = TypedAccept::try_parse_from([&usual[..], arguments].concat()).unwrap().options;
    options.wait.get_or_insert(PATIENCE);
    let (endpoint, bound) = accept::listen(&options).unwrap();
    let serve = move || accept::serve(&options, &Report::new(false, true, false), endpoint).unwrap();
    (bound, std::thread::spawn(serve))
}

/// Runs the sending side, and returns its exit code, sentence and JSON.
fn refer(server: SocketAddr, arguments: &[&str]) -> (u8, String, Value) {
    let server = server.to_string();
    let usual = ["send", "--server", &server, "--from", "sip:alice@example.test", "--to", "sip:bob@example.test"];
    let target = ["--refer-to", "sip:carol@example.test"];
    let options = TypedSend::try_parse_from([&usual[..], &target, arguments].concat()).unwrap().options;
    let (verdict, object) = send::refer(&options, &mut Report::new(false, true, false)).unwrap();
    (verdict.exit, verdict.sentence, object)
}

/// The status codes and states that the NOTIFYs of a subscription told.
fn told(object: &Value, subscription: usize) -> Vec<(String, String)> {
    let notifies = object["subscriptions"][subscription]["notifies"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let told = |notify: &Value| {
        let state = text(&notify["subscription_state"]);
        let word = state.split(";expires").next().unwrap_or_default().to_owned();
        (text(&notify["status_line"]), word)
    };
    notifies.iter().map(told).collect()
}

/// Nothing on loopback takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test for each of these at the same time, because most of it is waiting.
fn at_once<T: Copy + Send + Sync>(those: &[T], test: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for one in those {
            scope.spawn(|| test(*one));
        }
    });
}

/// The same over each transport.
fn with_each<T: Copy + Send + Sync>(those: &[T], test: impl Fn(&str, T) + Sync) {
    let all: Vec<_> = ["udp", "tcp"].iter().flat_map(|transport| those.iter().map(|one| (*transport, *one))).collect();
    at_once(&all, |(transport, one)| test(transport, one));
}

#[test]
fn explicit_subscribers_hear_of_success_and_failure() {
    with_each(&[("180 Ringing,200 OK", 0), ("180 Ringing,486 Busy Here", 6)], |transport, (status, exit)| {
        let accepting = acceptor(&["--transport", transport, "--once", "--status", status, "--step-ms", "1200"]);
        let (code, sentence, object) = refer(accepting.0, &["--transport", transport, "--subscribers", "3"]);
        assert_eq!((code, accepting.1.join().unwrap()), (exit, 0), "{transport} {status}: {sentence}");
        let last = format!("SIP/2.0 {}", status.split(',').next_back().unwrap());
        assert!(sentence.ends_with(&last), "{sentence}");
        assert!(object["refer_events_at"].as_str().unwrap().starts_with("sip:"));
        for subscription in 0..3 {
            let all = told(&object, subscription);
            assert_eq!(all.last().unwrap(), &(last.clone(), "terminated;reason=noresource".into()));
            let before = &all[..all.len() - 1];
            assert!(before.iter().all(|(line, state)| line.starts_with("SIP/2.0 1") && state == "active"), "{all:?}");
        }
    });
}

#[test]
fn what_is_over_before_the_subscribe_is_told_once() {
    with_each(&[()], |transport, ()| {
        let accepting = acceptor(&["--transport", transport, "--once", "--status", "603 Decline", "--step-ms", "0"]);
        let (code, sentence, object) = refer(accepting.0, &["--transport", transport]);
        assert_eq!((code, accepting.1.join().unwrap()), (6, 0), "{sentence}");
        assert_eq!(told(&object, 0), [("SIP/2.0 603 Decline".into(), "terminated;reason=noresource".into())]);
    });
}

#[test]
fn without_a_subscription_nothing_comes() {
    with_each(&[()], |transport, ()| {
        let accepting = acceptor(&["--transport", transport, "--once", "--step-ms", "10"]);
        let none = ["--transport", transport, "--subscription", "none", "--wait", "0.7"];
        let (code, sentence, object) = refer(accepting.0, &none);
        assert_eq!((code, accepting.1.join().unwrap()), (0, 0), "{sentence}");
        assert!(sentence.contains("no NOTIFY came") && object["refer_events_at"].is_null(), "{object}");
    });
}

#[test]
fn an_implicit_subscription_is_in_the_dialog_of_the_refer() {
    with_each(&[("200 OK", 0), ("404 Not Found", 6)], |transport, (status, exit)| {
        let accepting = acceptor(&["--transport", transport, "--once", "--status", status, "--step-ms", "300"]);
        let (code, sentence, object) = refer(accepting.0, &["--transport", transport, "--subscription", "implicit"]);
        assert_eq!((code, accepting.1.join().unwrap()), (exit, 0), "{sentence}");
        let last = (format!("SIP/2.0 {status}"), "terminated;reason=noresource".to_owned());
        assert_eq!(told(&object, 0).last(), Some(&last), "{object}");
    });
}

#[test]
fn a_subscription_is_refreshed_and_ended() {
    with_each(&["explicit", "implicit"], |transport, kind| {
        let (server, _) = acceptor(&["--transport", transport, "--step-ms", "60000"]);
        let follow = ["--refresh-after", "0.3", "--unsubscribe-after", "0.6"];
        let arguments = [&["--transport", transport, "--subscription", kind][..], &follow].concat();
        let (code, sentence, object) = refer(server, &arguments);
        assert_eq!((code, sentence.as_str()), (0, "unsubscribed before the end"), "{transport} {kind} {object}");
        let states: Vec<_> = told(&object, 0).into_iter().map(|(_, state)| state).collect();
        assert_eq!(states, ["active", "active", "terminated;reason=timeout"], "{transport} {kind}");
    });
}

#[test]
fn a_subscription_ends_with_its_time() {
    let (server, _) = acceptor(&["--step-ms", "60000"]);
    let (code, sentence, object) = refer(server, &["--expires", "1"]);
    assert_eq!(code, 7, "{sentence}");
    assert!(sentence.contains("terminated;reason=timeout"), "{sentence}");
    assert_eq!(told(&object, 0).last().unwrap().1, "terminated;reason=timeout", "{object}");
}

#[test]
fn an_extension_that_is_not_known_is_named() {
    let (server, _) = acceptor(&[]);
    let (code, sentence, _) = refer(server, &["--require", "norefersub"]);
    assert_eq!(code, 3);
    assert!(sentence.contains("420 Bad Extension; not supported: norefersub"), "{sentence}");
    let dialog = ["--target-dialog", "id;local-tag=a;remote-tag=b", "--subscription", "none", "--wait", "0.2"];
    assert_eq!(refer(server, &dialog).0, 0);
}

#[test]
fn with_once_nobody_referring_is_a_failure() {
    let (_, thread) = acceptor(&["--once", "--wait", "0.2"]);
    assert_eq!(thread.join().unwrap(), 7);
}
