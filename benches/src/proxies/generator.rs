// SPDX-License-Identifier: MIT OR Apache-2.0
//! Load over UDP: a bounded number of requests on their way at once, or requests at given times. Every reply is looked at.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;

use super::message::{Message, read_reply};

/// A request without final reply for so long is lost.
const LOST: Duration = Duration::from_secs(8);
/// Time between two looks for replies. Whoever sleeps until one comes is woken by the proxy, in the proxy's CPU time, and
/// the more often the slower the proxy is.
const LOOK: Duration = Duration::from_micros(40);
/// Requests that are sent at once at first; a reply makes room for two, until the window is open. All of it in one burst
/// would be something else than what is measured.
const FIRST: usize = 64;
/// First time between two copies of a request (RFC 3261 section 17.1.2.2).
const T1: Duration = Duration::from_millis(500);

/// Never twice the same, so that no reply is taken for another's.
static BRANCH: AtomicU64 = AtomicU64::new(1);

/// How it went.
#[derive(Default)]
pub struct Outcome {
    /// Final replies by status, one for each request.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a final reply.
    pub lost: u64,
    /// Copies that were sent because no reply had come.
    pub repeated: u64,
    /// From the first request to the last reply.
    pub took: Duration,
    /// Of each answered request: its number, milliseconds to the reply.
    pub times: Vec<(usize, f64)>,
}

impl Outcome {
    /// An error unless all requests were answered with this status, the first time they were sent.
    pub fn expect(self, status: u16, count: usize) -> Result<Outcome, String> {
        self.expect_repeated(status, count, 0)
    }

    /// The same when so many copies at most may have been sent.
    pub fn expect_repeated(self, status: u16, count: usize, most: u64) -> Result<Outcome, String> {
        let right = self.statuses.get(&status).copied().unwrap_or(0);
        if right == count as u64 && self.lost == 0 && self.repeated <= most {
            return Ok(self);
        }
        let (statuses, lost, repeated) = (&self.statuses, self.lost, self.repeated);
        Err(format!("{count} times {status} expected, but got {statuses:?}, {lost} lost, {repeated} repeated"))
    }
}

/// Hears of replies: the number of the request, and the datagram.
pub type Heard<'a> = &'a mut dyn FnMut(usize, &[u8]);

struct Open {
    number: usize,
    sent: Instant,
    copies: u32,
    answered: bool,
}

/// A socket of its own.
pub struct Generator {
    socket: UdpSocket,
    local: SocketAddr,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    first: u64,
    open: Vec<Open>,
    outcome: Outcome,
}

impl Generator {
    /// For a proxy on this port. Limits count by source address, so each load has another one: `source` is its number.
    pub fn new(port: u16, source: u8) -> Result<Generator, String> {
        let bound = || -> std::io::Result<(UdpSocket, SocketAddr)> {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, source.max(1)), 0))?;
            socket.connect((Ipv4Addr::LOCALHOST, port))?;
            let local = socket.local_addr()?;
            Ok((socket, local))
        };
        let (socket, local) = bound().map_err(|e| format!("no socket on loopback: {e}"))?;
        Ok(Generator {
            socket,
            local,
            buffer: vec![0; 65_536],
            scratch: Vec::with_capacity(4096),
            first: 0,
            open: Vec::new(),
            outcome: Outcome::default(),
        })
    }

    /// Sends `count` requests, each message in turn, with at most `window` on their way.
    pub fn saturate(
        &mut self,
        messages: &mut [Message],
        count: usize,
        window: usize,
        heard: Heard<'_>,
    ) -> Result<Outcome, String> {
        self.socket.set_nonblocking(true).map_err(|e| format!("a socket cannot be set: {e}"))?;
        prctl::set_timerslack(1).map_err(|e| format!("sleeping: {e}"))?;
        self.begin(count);
        let (begun, mut sent, mut done) = (Instant::now(), 0, 0);
        let mut heard_last = begun;
        let length = messages.len();
        while done < count {
            while sent < count && sent - done < window.min(FIRST + done) {
                self.send(&mut messages[sent % length], sent)?;
                sent += 1;
            }
            match self.receive(heard)? {
                Some(answered) => {
                    done += usize::from(answered);
                    heard_last = Instant::now();
                }
                // Nothing at all for so long: what is on its way is lost, and so would be the rest.
                None if heard_last.elapsed() > LOST => break,
                None => std::thread::sleep(LOOK),
            }
        }
        Ok(self.end(begun))
    }

    /// Sends requests at their times, seconds from the start, in order. They are repeated as UDP needs it.
    pub fn paced(&mut self, plan: &mut [(f64, Message)], heard: Heard<'_>) -> Result<Outcome, String> {
        self.socket.set_nonblocking(true).map_err(|e| format!("a socket cannot be set: {e}"))?;
        self.begin(plan.len());
        let (begun, mut sent, mut done) = (Instant::now(), 0, 0);
        let mut repeat_at = T1;
        while done < plan.len() {
            let now = begun.elapsed();
            while sent < plan.len() && plan[sent].0 <= now.as_secs_f64() {
                self.send(&mut plan[sent].1, sent)?;
                sent += 1;
            }
            if now >= repeat_at {
                self.repeat(plan)?;
                repeat_at = now + T1 / 4;
            }
            if sent == plan.len() && self.open.iter().all(|open| open.answered || open.sent.elapsed() > LOST) {
                break;
            }
            let next = plan.get(sent).map_or(repeat_at, |(at, _)| Duration::from_secs_f64(*at).min(repeat_at));
            self.wait(next.saturating_sub(begun.elapsed()))?;
            while let Some(answered) = self.receive(heard)? {
                done += usize::from(answered);
            }
        }
        Ok(self.end(begun))
    }

    fn wait(&self, timeout: Duration) -> Result<(), String> {
        let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut sockets, Some(TimeSpec::from_duration(timeout)), None) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(e) => Err(format!("waiting for replies: {e}")),
        }
    }

    fn begin(&mut self, count: usize) {
        self.first = BRANCH.fetch_add(count as u64, Relaxed);
        self.open.clear();
        self.outcome = Outcome::default();
    }

    fn send(&mut self, message: &mut Message, number: usize) -> Result<(), String> {
        message.render(&mut self.scratch, self.local, self.first + number as u64);
        self.open.push(Open { number, sent: Instant::now(), copies: 1, answered: false });
        self.socket.send(&self.scratch).map(drop).map_err(|e| format!("sending: {e}"))
    }

    fn repeat(&mut self, plan: &mut [(f64, Message)]) -> Result<(), String> {
        for open in self.open.iter_mut().filter(|open| !open.answered) {
            // After T1, 3 T1, 7 T1, …
            if open.sent.elapsed() < T1 * (2u32.pow(open.copies) - 1) {
                continue;
            }
            open.copies += 1;
            self.outcome.repeated += 1;
            let message = &mut plan[open.number].1;
            message.render_again(&mut self.scratch, self.local, self.first + open.number as u64);
            self.socket.send(&self.scratch).map_err(|e| format!("sending: {e}"))?;
        }
        Ok(())
    }

    /// Some(true): a request has its final reply. None: nothing is there.
    fn receive(&mut self, heard: Heard<'_>) -> Result<Option<bool>, String> {
        let length = match self.socket.recv(&mut self.buffer) {
            Ok(length) => length,
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::TimedOut => return Ok(None),
            Err(e) => return Err(format!("receiving: {e}")),
        };
        let datagram = &self.buffer[..length];
        let Some((status, branch)) = read_reply(datagram) else {
            return Err(format!("not a reply: {}", String::from_utf8_lossy(datagram)));
        };
        // Replies to an earlier load's copies may still come.
        let place = branch.checked_sub(self.first).and_then(|place| self.open.get_mut(place as usize));
        let Some(open) = place.filter(|open| !open.answered && status >= 200) else { return Ok(Some(false)) };
        open.answered = true;
        self.outcome.times.push((open.number, open.sent.elapsed().as_secs_f64() * 1000.0));
        *self.outcome.statuses.entry(status).or_default() += 1;
        heard(open.number, datagram);
        Ok(Some(true))
    }

    fn end(&mut self, begun: Instant) -> Outcome {
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.took = begun.elapsed();
        outcome.lost = self.open.iter().filter(|open| !open.answered).count() as u64;
        outcome
    }
}
