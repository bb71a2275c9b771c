// SPDX-License-Identifier: MIT OR Apache-2.0

//! What happens where OpenSIPS has no more room.

use std::thread;
use std::time::Duration;

use crate::asynchronous::{request, start};
use crate::support::opaque::{INTROSPECTION, server};
use crate::support::patience;
use crate::support::scripted_server::Answer;

/// The core resumes at once what it has no file for. A transaction that could wait is answered in its time.
#[test]
fn beyond_open_files_limit_async_answers_503_at_once() {
    const COUNT: usize = 400;
    let server = server();
    server.set(INTROSPECTION, Answer::Hang);
    let stack = start(&server, |b| b.workers(1).define("OPEN_FILES", 256).define("DEBUG", 2));
    let mut phone = stack.udp();
    for _ in 0..COUNT {
        phone.send(&request(&stack, "MESSAGE", "async")).expect("sent");
    }
    for _ in 0..COUNT {
        let reply = phone.receive().expect("an answer");
        assert_eq!((reply.status, reply.header("Retry-After").is_some()), (503, true), "{reply:?}");
    }
    stack.wait_until("nobody waits", || stack.counter("pending") == 0);
    // A request that needs no file is served all the while.
    server.set(INTROSPECTION, crate::support::opaque::active("alice", std::time::Duration::ZERO));
    let reply = stack.request(&mut phone, &request(&stack, "MESSAGE", "plain"));
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    stack.finish();
}

/// Twice as many answers at once as one worker's pipe may hold. A phone may lose some of that many, so the proxy counts them.
#[test]
fn more_answers_than_a_workers_pipe_holds_all_arrive() {
    const COUNT: u64 = 1200;
    let server = server();
    server.set(INTROSPECTION, Answer::Hang);
    let directory = crate::support::temporary::Directory::new("pipe");
    let limits = directory
        .write("limits.toml", "source_limit = 65535\nmax_pending = 20000\npending_timeout = 20\nhttp_timeout = 20\n");
    let limits = limits.to_str().expect("UTF-8").to_owned();
    for (way, group, name) in [("plain", "sl:", "sl:sent_replies"), ("async", "tm:", "tm:5xx_transactions")] {
        // A server that did not answer before is not asked for a while.
        let stack = start(&server, |b| b.workers(1).define("DEBUG", 2).define_string("CONFIG_FILE", &limits));
        let answered = || {
            let text = stack.rpc("stats.get_statistics", &[group]).expect("a statistic");
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
            line.and_then(|number| number.parse::<u64>().ok()).unwrap_or_else(|| panic!("{text}"))
        };
        let before = answered();
        let mut phone = stack.udp();
        let sent: Vec<_> = (0..COUNT)
            .map(|number| {
                if number % 20 == 0 {
                    thread::sleep(Duration::from_millis(10));
                }
                phone.send(&request(&stack, "MESSAGE", way)).expect("sent")
            })
            .collect();
        // A datagram may get lost, so all of them are sent again.
        stack.wait_until("they wait", || {
            let all = patience::until(Duration::from_secs(2), || stack.counter("pending") == COUNT);
            if !all {
                sent.iter().for_each(|octets| phone.send_octets(octets).expect("sent"));
            }
            all
        });
        stack.wait_until("all are answered", || answered() - before >= COUNT && stack.counter("pending") == 0);
        assert_eq!((answered() - before, stack.counter("resumed")), (COUNT, COUNT), "{way}");
        stack.finish();
    }
}
