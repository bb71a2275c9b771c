// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests over UDP at a steady rate. Each is sent again as RFC 3261 section 17.1.2.2 says until its final reply is
//! there; what has none after 64 T1 is lost.

use super::patience;
use super::sip::{Reply, Request, unique};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const LOST: Duration = Duration::from_secs(32);
const POLL: Duration = Duration::from_millis(1);
/// Room for replies that come faster than they are read.
static BUFFER: libc::c_int = 8 << 20;

/// How it went.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests, each counted once.
    pub requests: u64,
    /// Datagrams beyond the first of each request.
    pub retransmissions: u64,
    /// Kind of request and status → final replies, those to retransmissions too.
    pub replies: BTreeMap<(&'static str, u16), u64>,
    /// Requests without a final reply.
    pub lost: Vec<String>,
    /// What `judge` said, and replies that belong to no request.
    pub wrong: Vec<String>,
    /// Time from the first datagram of a request to its final reply, at worst.
    pub slowest: Duration,
    pub took: Duration,
}

struct Open {
    kind: &'static str,
    octets: Vec<u8>,
    begun: Instant,
    interval: Duration,
    answered: bool,
}

/// Sends `count` requests, `rate` per second. `make` gives the kind and the request with a number; `judge` says what is
/// wrong with a final reply to a request of that kind.
pub fn run(
    port: u16,
    rate: u32,
    count: u32,
    make: impl Fn(u32) -> (&'static str, Request),
    judge: impl Fn(&'static str, &Reply) -> Option<String>,
) -> Report {
    run_from("127.0.0.1", port, rate, count, make, judge)
}

/// The same from this address of loopback.
pub fn run_from(
    source: &str,
    port: u16,
    rate: u32,
    count: u32,
    make: impl Fn(u32) -> (&'static str, Request),
    judge: impl Fn(&'static str, &Reply) -> Option<String>,
) -> Report {
    let socket = UdpSocket::bind((source, 0)).expect("a port on loopback");
    socket.connect(("127.0.0.1", port)).expect("UDP connects to anything");
    enlarge(&socket);
    let local = socket.local_addr().expect("bound").port();
    let (mut report, start) = (Report::default(), Instant::now());
    let mut open: HashMap<String, Open> = HashMap::new();
    // The next retransmissions, in no order: those of requests that are answered go at the next look.
    let mut timers: VecDeque<(Instant, String)> = VecDeque::new();
    let mut buffer = vec![0; 65536];
    let mut number = 0;
    loop {
        let due = (start.elapsed().as_micros() * u128::from(rate) / 1_000_000).min(u128::from(count)) as u32;
        while number < due {
            let (kind, request) = make(number);
            let via = format!("SIP/2.0/UDP {source}:{local};branch={};rport", unique("z9hG4bK"));
            let (octets, now) = (request.to_octets(&via), Instant::now());
            let id = request.header("Call-ID").expect("every request has one").to_owned();
            patience::send(&socket, &octets).expect("loopback takes what fits into a datagram");
            timers.push_back((now + T1, id.clone()));
            open.insert(id, Open { kind, octets, begun: now, interval: T1, answered: false });
            report.requests += 1;
            number += 1;
        }
        while let Ok((length, _)) = patience::receive_into(&socket, &mut buffer, POLL) {
            receive(&buffer[..length], &mut open, &mut report, &judge);
        }
        let now = Instant::now();
        for _ in 0..timers.len() {
            let Some((at, id)) = timers.pop_front() else { break };
            let request = open.get_mut(&id).expect("kept to the end");
            if request.answered {
                continue;
            }
            if at > now {
                timers.push_back((at, id));
            } else if now - request.begun > LOST {
                report.lost.push(format!("{} {id}", request.kind));
            } else {
                patience::send(&socket, &request.octets).expect("as the first time");
                report.retransmissions += 1;
                request.interval = (request.interval * 2).min(T2);
                timers.push_back((now + request.interval, id));
            }
        }
        if number == count && timers.is_empty() {
            break;
        }
    }
    report.took = start.elapsed();
    // Replies to retransmissions may still be on their way.
    if report.retransmissions > 0 {
        let end = Instant::now() + T1 * 2;
        while Instant::now() < end {
            while let Ok((length, _)) = patience::receive_into(&socket, &mut buffer, POLL) {
                receive(&buffer[..length], &mut open, &mut report, &judge);
            }
        }
    }
    report
}

fn receive(
    octets: &[u8],
    open: &mut HashMap<String, Open>,
    report: &mut Report,
    judge: &impl Fn(&'static str, &Reply) -> Option<String>,
) {
    let reply = Reply::parse(octets);
    let Some((reply, request)) = reply.and_then(|r| open.get_mut(r.header("Call-ID")?).map(|o| (r, o))) else {
        report.wrong.push(format!("no reply to any request: {}", String::from_utf8_lossy(octets)));
        return;
    };
    if reply.status < 200 {
        return;
    }
    *report.replies.entry((request.kind, reply.status)).or_default() += 1;
    report.wrong.extend(judge(request.kind, &reply).map(|fault| format!("{}: {fault}", request.kind)));
    if !request.answered {
        request.answered = true;
        report.slowest = report.slowest.max(request.begun.elapsed());
    }
}

/// As large as the system allows; without the right to more it stays at the usual limit.
fn enlarge(socket: &UdpSocket) {
    for option in [libc::SO_RCVBUFFORCE, libc::SO_RCVBUF] {
        // SAFETY: an open socket, and the address and size of an integer that lives during the call.
        let set = unsafe {
            let value = (&raw const BUFFER).cast();
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                value,
                size_of_val(&BUFFER) as libc::socklen_t,
            )
        };
        if set == 0 {
            return;
        }
    }
}
