// SPDX-License-Identifier: MIT OR Apache-2.0
//! The phones: they begin states at given times, subscribe, change the states, and answer every NOTIFY.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::prctl;

use super::scene::{Act, Line, STATES, SUBSCRIBERS, Story, seat_of};
use crate::proxies::message::{between, read_reply};

/// When nothing comes for so long, the rest is lost.
const LOST: Duration = Duration::from_secs(8);
/// Time between two looks, as in the generator of REGISTER requests.
const LOOK: Duration = Duration::from_micros(40);
/// First time between two copies of a request (RFC 3261 section 17.1.2.2).
const T1: Duration = Duration::from_millis(500);
/// From the answer to the SUBSCRIBEs. Presence answers a PUBLISH before it looks for subscribers, and would tell those twice
/// that come meanwhile.
const SUBSCRIBE: Duration = Duration::from_millis(10);
/// From the NOTIFY of one state to the change to the next. A subscriber of a REFER is told one state a second at most
/// (RFC 3515 section 3.10), but the end at once.
const CHANGES: [Duration; STATES - 1] = [Duration::from_millis(1100), Duration::from_millis(500)];
/// How a subscription ends whose time is over.
const TIMEOUT: &str = "Subscription-State: terminated;reason=timeout";
/// Limits count by source address.
const LINES: u8 = 8;

/// Never twice the same.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// What is to be done.
#[derive(Clone, Copy)]
pub struct Plan {
    /// States that begin.
    pub count: usize,
    /// How many of them in a second.
    pub per_second: f64,
    /// States that are told: 1 only the first, 3 all.
    pub states: usize,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Whose last planned state both subscribers were told.
    pub done: usize,
    /// NOTIFY requests, each counted once.
    pub notifies: usize,
    /// Of them those that say the time is over.
    pub timeouts: usize,
    /// Those that say again what was told before.
    pub again: usize,
    /// Copies of requests that the phones have sent.
    pub repeated: usize,
    /// Copies of NOTIFY requests that came.
    pub repeated_notifies: usize,
}

/// One state and its subscribers.
struct Watched {
    target: String,
    tag: String,
    /// Bits of the states that each subscriber was told.
    told: [u8; SUBSCRIBERS],
    cseq: [u32; SUBSCRIBERS],
}

/// A request without answer.
struct Open {
    text: String,
    sent: Duration,
    copies: u32,
}

struct Socket {
    socket: UdpSocket,
    line: Line,
}

/// All phones of one server.
pub struct Phones {
    story: Story,
    begun: Instant,
    sockets: Vec<Socket>,
    watched: HashMap<u64, Watched>,
    open: HashMap<u64, Open>,
    times: BinaryHeap<Reverse<(Duration, u64, Act)>>,
    states: usize,
    tally: Tally,
    buffer: Vec<u8>,
}

impl Phones {
    /// Phones for the server on this port, at addresses from 127.0.0.`source` on.
    pub fn new(story: Story, port: u16, source: u8) -> Result<Phones, String> {
        let socket = |number: u8| -> std::io::Result<Socket> {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, source + number), 0))?;
            socket.connect((Ipv4Addr::LOCALHOST, port))?;
            socket.set_nonblocking(true)?;
            let line = Line { local: socket.local_addr()?, port };
            Ok(Socket { socket, line })
        };
        let sockets: std::io::Result<Vec<Socket>> = (0..LINES).map(socket).collect();
        prctl::set_timerslack(1).map_err(|e| format!("sleeping: {e}"))?;
        Ok(Phones {
            story,
            begun: Instant::now(),
            sockets: sockets.map_err(|e| format!("no socket on loopback: {e}"))?,
            watched: HashMap::new(),
            open: HashMap::new(),
            times: BinaryHeap::new(),
            states: 0,
            tally: Tally::default(),
            buffer: vec![0; 65_536],
        })
    }

    /// Plays a plan to its end. An error unless everybody was told everything.
    pub fn play(&mut self, plan: Plan) -> Result<Tally, String> {
        let Plan { count, per_second, states } = plan;
        let first = NUMBER.fetch_add(count as u64, Relaxed);
        let (start, mut sent) = (self.begun.elapsed(), 0);
        (self.states, self.tally) = (states, Tally::default());
        let mut heard = start;
        let mut repeat_at = start + T1 / 4;
        while self.tally.done < count {
            let now = self.begun.elapsed();
            while sent < count && (now - start).as_secs_f64() >= sent as f64 / per_second {
                self.say(Act::Begin, first + sent as u64)?;
                sent += 1;
            }
            while let Some(Reverse((_, number, act))) = self.times.peek().copied().filter(|Reverse(t)| t.0 <= now) {
                self.times.pop();
                self.say(act, number)?;
            }
            if now >= repeat_at {
                self.repeat(now)?;
                repeat_at = now + T1 / 4;
            }
            match self.hear()? {
                true => heard = now,
                false if now > heard + LOST => break,
                false => std::thread::sleep(LOOK),
            }
        }
        let (tally, wanted) = (self.tally, count * SUBSCRIBERS * states);
        match tally.done == count && tally.notifies - tally.timeouts == wanted {
            true => Ok(tally),
            false => Err(format!("{wanted} NOTIFY requests expected, but got {tally:?}")),
        }
    }

    /// Only answers, until `until` says so.
    pub fn attend(&mut self, mut until: impl FnMut(&Tally) -> bool) -> Result<Tally, String> {
        self.tally = Tally::default();
        while !until(&self.tally) {
            if !self.hear()? {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(self.tally)
    }

    /// States that have not ended.
    pub fn watched(&self) -> usize {
        self.watched.len()
    }

    fn say(&mut self, act: Act, number: u64) -> Result<(), String> {
        let (target, tag) = match self.watched.get(&number) {
            Some(watched) => (watched.target.as_str(), watched.tag.as_str()),
            None => (&*self.story.target(number), ""),
        };
        let socket = &self.sockets[number as usize % self.sockets.len()];
        let text = self.story.request(act, number, socket.line, target, tag);
        socket.socket.send(text.as_bytes()).map_err(|e| format!("sending: {e}"))?;
        self.open.insert(act.branch(number), Open { text, sent: self.begun.elapsed(), copies: 1 });
        Ok(())
    }

    fn repeat(&mut self, now: Duration) -> Result<(), String> {
        for (branch, open) in &mut self.open {
            // After T1, 3 T1, 7 T1, …
            if now < open.sent + T1 * (2u32.pow(open.copies) - 1) {
                continue;
            }
            if open.copies > 5 {
                return Err(format!("no answer to {}", open.text));
            }
            open.copies += 1;
            self.tally.repeated += 1;
            let socket = &self.sockets[(branch >> 3) as usize % self.sockets.len()];
            socket.socket.send(open.text.as_bytes()).map_err(|e| format!("sending: {e}"))?;
        }
        Ok(())
    }

    /// Takes what has come to any phone; false when there was nothing.
    fn hear(&mut self) -> Result<bool, String> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut any = false;
        for at in 0..self.sockets.len() {
            loop {
                let length = match self.sockets[at].socket.recv(&mut buffer) {
                    Ok(length) => length,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => return Err(format!("receiving: {e}")),
                };
                any = true;
                let text = std::str::from_utf8(&buffer[..length]).map_err(|e| e.to_string())?;
                if text.starts_with("NOTIFY ") {
                    let answer = answer(text);
                    self.sockets[at].socket.send(answer.as_bytes()).map_err(|e| format!("sending: {e}"))?;
                    self.notified(text)?;
                } else {
                    self.answered(text)?;
                }
            }
        }
        self.buffer = buffer;
        Ok(any)
    }

    fn answered(&mut self, text: &str) -> Result<(), String> {
        let (status, branch) = read_reply(text.as_bytes()).ok_or_else(|| format!("not a reply: {text}"))?;
        if status < 200 {
            return Ok(());
        }
        let Some(open) = self.open.remove(&branch) else { return Ok(()) };
        let (number, act) = Act::of_branch(branch);
        // A copy of a request that tells the end comes too late if the first one has arrived.
        let is_late = self.story == Story::Refer && matches!(act, Act::Change(_)) && open.copies > 1;
        if status >= 300 && !is_late {
            return Err(format!("refused: {text}"));
        }
        let field = |before: &str, after: char| between(text.as_bytes(), before, &[after]).map(str::to_owned);
        let tag = field("SIP-ETag: ", '\r').unwrap_or_default();
        match act {
            Act::Begin => {
                let target = match self.story {
                    Story::Refer => field("Refer-Events-At: <", '>').ok_or_else(|| format!("no URI in {text}"))?,
                    _ => self.story.target(number),
                };
                let (told, cseq) = ([0; SUBSCRIBERS], [0; SUBSCRIBERS]);
                self.watched.insert(number, Watched { target, tag, told, cseq });
                let at = self.begun.elapsed() + SUBSCRIBE;
                self.times.extend((0..SUBSCRIBERS).map(|seat| Reverse((at, number, Act::Subscribe(seat)))));
                Ok(())
            }
            Act::Change(_) if !tag.is_empty() => {
                if let Some(watched) = self.watched.get_mut(&number) {
                    watched.tag = tag;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn notified(&mut self, text: &str) -> Result<(), String> {
        let unknown = || format!("nobody has asked for {text}");
        let field = |before: &str, after: &[char]| between(text.as_bytes(), before, after);
        let (number, seat) = field("Call-ID: ", &['\r']).and_then(seat_of).ok_or_else(unknown)?;
        let cseq = field("CSeq: ", &[' ']).and_then(|cseq| cseq.parse().ok()).ok_or_else(unknown)?;
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        // When its time is over, a subscription or the REFER itself may be the first that is seen to be.
        let is_over = text.contains(TIMEOUT);
        let told = self.story.marks().iter().position(|mark| body.contains(mark)).filter(|_| !is_over);
        let state = if is_over { STATES } else { told.ok_or_else(unknown)? };
        let Some(watched) = self.watched.get_mut(&number) else {
            // the end was told already
            self.tally.repeated_notifies += 1;
            return Ok(());
        };
        if cseq <= watched.cseq[seat] {
            self.tally.repeated_notifies += 1;
            return Ok(());
        }
        watched.cseq[seat] = cseq;
        if watched.told[seat] >> state & 1 != 0 {
            self.tally.again += 1;
            return Ok(());
        }
        if !is_over && !text.contains(self.story.subscription_state(state)) {
            return Err(unknown());
        }
        watched.told[seat] |= 1 << state;
        self.tally.notifies += 1;
        self.tally.timeouts += usize::from(state >= STATES);
        if watched.told.iter().any(|told| told >> state & 1 == 0) {
            return Ok(());
        }
        self.tally.done += usize::from(state + 1 == self.states);
        if state + 1 < self.states {
            self.times.push(Reverse((self.begun.elapsed() + CHANGES[state], number, Act::Change(state + 1))));
        } else if state + 1 >= STATES {
            self.watched.remove(&number);
        }
        Ok(())
    }
}

/// 200 to a NOTIFY.
fn answer(request: &str) -> String {
    let mut text = "SIP/2.0 200 OK\r\n".to_owned();
    for line in request.split("\r\n").skip(1).take_while(|line| !line.is_empty()) {
        if ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)) {
            text.push_str(line);
            text.push_str("\r\n");
        }
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}
