// SPDX-License-Identifier: MIT OR Apache-2.0

//! The test kit waits: neither signals nor errors of earlier datagrams end a wait, and no wait is left to chance.

use crate::support::fault_proxy::{FaultProxy, Mode};
use crate::support::patience::{self, PATIENCE, SILENCE};
use crate::support::scripted_server::{Answer, JWKS, OPENID_CONFIGURATION, ScriptedServer, key_set};
use crate::support::sip::{Client, Reply, Request};
use crate::support::temporary::Directory;
use crate::support::{http, kit, ports, process};
use serde_json::json;
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

const STORM: &str = "SIPOAUTH_TEST_SIGNAL_STORM";
const OK: &str = "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";
/// Long enough for many signals, and for receive buffers to be empty when the reading starts.
const LATE: Duration = Duration::from_millis(60);

/// Signals arrive at every thread of this process without end; system calls are not restarted after them.
fn with_signals(work: impl FnOnce()) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    extern "C" fn handler(_: libc::c_int) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler only counts; the action is zeroed otherwise, so that SA_RESTART is not set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()), 0);
    }
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for task in fs::read_dir("/proc/self/task").expect("proc").flatten() {
                    let Some(id) = task.file_name().to_str().and_then(|id| id.parse::<i32>().ok()) else { continue };
                    // SAFETY: a signal with a handler, to a thread of our own; one that has ended is not found.
                    unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), id, libc::SIGUSR2) };
                }
                thread::sleep(Duration::from_micros(300));
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        ended.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(COUNT.load(Ordering::Relaxed) > 100, "there were signals");
}

/// What runs amid signals, in a process of its own; does nothing as an ordinary test.
#[test]
fn amid_signals() {
    if std::env::var_os(STORM).is_none() {
        return;
    }
    with_signals(|| {
        for _ in 0..5 {
            every_client_gets_its_reply();
            the_scripted_server_answers();
            the_fault_proxy_relays();
        }
    });
}

fn every_client_gets_its_reply() {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let ports = [udp.local_addr(), tcp.local_addr()].map(|address| address.expect("bound").port());
    thread::scope(|scope| {
        scope.spawn(|| {
            let (_, from) = patience::receive_from(&udp, PATIENCE).expect("a request");
            thread::sleep(LATE);
            udp.send_to(OK.as_bytes(), from).expect("sent");
            // A stream that brings the reply in pieces, none of them whole.
            let (mut stream, _) = tcp.accept().expect("a connection");
            let mut some = [0; 4096];
            patience::read(&stream, &mut some, Instant::now() + PATIENCE).expect("a request");
            for piece in OK.as_bytes().chunks(7) {
                thread::sleep(LATE / 10);
                stream.write_all(piece).expect("sent");
            }
        });
        for mut client in [Client::udp(ports[0]), Client::tcp(ports[1])] {
            client.send(&Request::register("sip:alice@example.test")).expect("sent");
            assert_eq!(client.receive().expect("a reply").status, 200);
        }
    });
}

fn the_scripted_server_answers() {
    let server = ScriptedServer::start(key_set(&[]));
    server.set("/late", Answer::Late(json!({ "late": true }), LATE));
    server.set("/slow", Answer::SlowDrip(json!({ "slow": true }), LATE / 20));
    for (path, part) in [(OPENID_CONFIGURATION, "issuer"), (JWKS, "keys"), ("/late", "late"), ("/slow", "slow")] {
        let (status, body) = http::request("GET", &server.url(path)).unwrap_or_else(|error| panic!("{error}"));
        assert!(status == 200 && body.contains(part), "{status} {body}");
    }
}

fn the_fault_proxy_relays() {
    let server = ScriptedServer::start(key_set(&[]));
    let upstream = server.issuer().rsplit_once(':').expect("a port").1.parse().expect("a number");
    let proxy = FaultProxy::start(upstream);
    let url = format!("http://127.0.0.1:{}{JWKS}", proxy.port());
    assert_eq!(http::request("GET", &url).expect("an answer").0, 200);
    proxy.set(Mode::Status(500));
    assert_eq!(http::request("GET", &url).expect("an answer").0, 500);
    proxy.set(Mode::Refuse);
    assert!(http::request("GET", &url).is_err(), "the change is in force when it was made");
}

#[test]
fn a_signal_ends_no_wait() {
    let output = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "harness_waits::amid_signals", "--nocapture"])
        .env(STORM, "1")
        .output()
        .expect("this program again");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

/// The ICMP message about a datagram for a port that was closed comes with the next call, whichever it is.
#[test]
fn the_refusal_of_an_earlier_datagram_is_not_that_of_the_next() {
    let port = ports::free();
    let mut client = Client::udp(port);
    let request = Request::register("sip:alice@example.test");
    for _ in 0..3 {
        client.send(&request).expect("a datagram that nobody gets");
    }
    assert!(client.receive_for(SILENCE / 10).is_err());
    client.send(&request).expect("sent");
    let server = UdpSocket::bind(("127.0.0.1", port)).expect("a port of our own");
    client.send(&request).expect("the error of the one before is not its own");
    let (octets, from) = patience::receive_from(&server, PATIENCE).expect("it arrives");
    assert!(Reply::parse(&octets).is_some_and(|request| request.header("Call-ID").is_some()));
    server.send_to(OK.as_bytes(), from).expect("sent");
    assert_eq!(client.receive().expect("a reply").status, 200);
}

/// A program that is being started holds copies of every socket of this process until it runs.
#[test]
fn a_port_is_free_while_other_programs_are_started() {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let _ = Command::new("true").status();
                }
            });
        }
        let bound = (0..100).try_for_each(|_| {
            let port = ports::free();
            UdpSocket::bind(("127.0.0.1", port)).and(TcpListener::bind(("127.0.0.1", port))).map(drop)
        });
        ended.store(true, Ordering::Relaxed);
        bound.expect("a port of our own");
    });
}

#[test]
fn a_folder_that_a_killed_test_has_left_is_not_taken_over() {
    let first = Directory::new("left");
    let name = first.path().file_name().expect("a name").to_str().expect("text").to_owned();
    let count: u32 = name.split('-').nth(2).expect("sipoauth-pid-count-name").parse().expect("a number");
    // Those that come next are there already.
    let next: Vec<_> = (1..200).map(|i| name.replacen(&format!("-{count}-"), &format!("-{}-", count + i), 1)).collect();
    for name in &next {
        let path = first.path().with_file_name(name);
        if fs::create_dir(&path).is_ok() {
            fs::write(path.join("old"), "of another test").expect("writable");
        }
    }
    let second = Directory::new("left");
    assert!(!second.file("old").exists(), "{}", second.path().display());
    for name in next {
        let path = first.path().with_file_name(name);
        if path.join("old").exists() {
            fs::remove_dir_all(path).expect("ours");
        }
    }
}

#[test]
fn what_a_process_printed_last_is_waited_for() {
    let directory = Directory::new("farewell");
    for _ in 0..20 {
        let mut command = process::command("sh");
        command.args(["-c", "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done; echo last"]);
        let mut printer = process::Process::start("printer", command, directory.path());
        printer.wait(PATIENCE).expect("it ends");
        printer.wait_for("last", Duration::ZERO).expect("it was printed before the end");
        assert_eq!(printer.settled_output().lines().count(), 10);
    }
}

/// Whoever sets a time-out himself has to think of signals himself, and forgets them.
#[test]
fn nobody_else_sets_a_read_timeout() {
    let mut files = Vec::new();
    collect(&kit::path("tests"), &mut files);
    assert!(files.len() > 100);
    let others = files.iter().filter(|(name, text)| {
        !name.ends_with("support/patience.rs") && text.contains(&["set_read", "timeout("].join("_"))
    });
    let names: Vec<_> = others.map(|(name, _)| name).collect();
    assert!(names.is_empty(), "these wait for sockets without support::patience: {names:?}");
}

fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("part of the project").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((path.display().to_string(), fs::read_to_string(&path).expect("text")));
        }
    }
}
