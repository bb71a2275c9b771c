// SPDX-License-Identifier: MIT OR Apache-2.0
//! Transactions of both directions: requests that wait for their answers and are sent again, and requests that were
//! answered, whose copies get the same answer without anybody else's notice. INVITE is not among them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::wire::Wire;
use crate::message::{Response, SipRequest};
use crate::received_request::ReceivedRequest;
use crate::retransmission::Retransmission;
use crate::transport::Transport;

/// How many answers are kept for copies of their requests.
const MAX_ANSWERED: usize = 256;

/// The number of a request that was sent.
pub type RequestId = u64;

/// What happens next.
pub enum Event {
    /// A request got its final answer.
    Answered(RequestId, Response),
    /// A request got none within these seconds.
    Unanswered(RequestId, f64),
    /// A 1xx came.
    Provisional(Response),
    /// A request went out once more.
    SentAgain,
    /// A request came in for the first time.
    Request(ReceivedRequest, SocketAddr),
    /// A copy of a request came in and was answered as before.
    Repeated(ReceivedRequest),
    /// Something came that is neither.
    Ignored(&'static str),
}

struct Pending {
    id: RequestId,
    request: SipRequest,
    octets: Vec<u8>,
    to: SocketAddr,
    timers: Retransmission,
}

struct Answered {
    copy_key: String,
    to: SocketAddr,
    octets: Vec<u8>,
}

/// One side of SIP, over one wire.
pub struct Endpoint {
    wire: Box<dyn Wire>,
    pending: Vec<Pending>,
    answered: VecDeque<Answered>,
    sent: RequestId,
}

impl Endpoint {
    /// An endpoint that has sent nothing yet.
    pub fn new(wire: Box<dyn Wire>) -> Endpoint {
        Endpoint { wire, pending: Vec::new(), answered: VecDeque::new(), sent: 0 }
    }

    /// The own address as this peer sees it.
    pub fn local(&self, peer: SocketAddr) -> SocketAddr {
        self.wire.local(peer)
    }

    /// The transport.
    pub fn transport(&self) -> Transport {
        self.wire.transport()
    }

    /// Sends a request. Its end is an event.
    pub fn send(&mut self, request: SipRequest, to: SocketAddr, timeout: Duration) -> Result<RequestId, String> {
        let octets = request.to_octets();
        self.wire.send(to, &octets)?;
        self.sent += 1;
        let timers = Retransmission::start(Instant::now(), timeout, self.transport() == Transport::Udp);
        self.pending.push(Pending { id: self.sent, request, octets, to, timers });
        Ok(self.sent)
    }

    /// Answers a request, and its copies from now on.
    pub fn answer(&mut self, request: &ReceivedRequest, from: SocketAddr, octets: Vec<u8>) -> Result<(), String> {
        let to = if self.transport() == Transport::Udp { request.answer_address(from) } else { from };
        let sent = self.wire.send(to, &octets);
        if self.answered.len() == MAX_ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back(Answered { copy_key: request.copy_key(), to, octets });
        sent
    }

    /// The next event, or None if there is none before `until`.
    pub fn next(&mut self, until: Instant) -> Result<Option<Event>, String> {
        loop {
            let now = Instant::now();
            if let Some(event) = self.overdue(now) {
                return Ok(Some(event));
            }
            let due = self.pending.iter().map(|pending| pending.timers.due()).min();
            match self.wire.receive(due.map_or(until, |due| due.min(until)))? {
                Some((from, octets)) => return Ok(Some(self.received(from, &octets))),
                None if Instant::now() >= until => return Ok(None),
                None => {}
            }
        }
    }

    /// Sends one copy that is due, or gives one request up.
    fn overdue(&mut self, now: Instant) -> Option<Event> {
        let at = self.pending.iter().position(|pending| pending.timers.due() <= now)?;
        if self.pending[at].timers.deadline() <= now {
            let lost = self.pending.swap_remove(at);
            return Some(Event::Unanswered(lost.id, lost.timers.seconds()));
        }
        let pending = &mut self.pending[at];
        pending.timers.sent_again(now);
        // If the copy cannot be sent, the next one may; at the latest the deadline ends it.
        let _ = self.wire.send(pending.to, &pending.octets);
        Some(Event::SentAgain)
    }

    fn received(&mut self, from: SocketAddr, octets: &[u8]) -> Event {
        if octets.starts_with(b"SIP/") {
            return match Response::parse(octets) {
                Ok(response) => self.response(response),
                Err(why) => Event::Ignored(why),
            };
        }
        match ReceivedRequest::parse(octets) {
            Ok(request) => {
                let copy_key = request.copy_key();
                match self.answered.iter().find(|answered| answered.copy_key == copy_key) {
                    Some(answered) => {
                        let _ = self.wire.send(answered.to, &answered.octets);
                        Event::Repeated(request)
                    }
                    None => Event::Request(request, from),
                }
            }
            Err(why) => Event::Ignored(why),
        }
    }

    fn response(&mut self, response: Response) -> Event {
        let Some(at) = self.pending.iter().position(|pending| pending.request.is_answered_by(&response)) else {
            return Event::Ignored("it answers no request that is waiting");
        };
        if response.status >= 200 {
            return Event::Answered(self.pending.swap_remove(at).id, response);
        }
        self.pending[at].timers.provisional(Instant::now());
        Event::Provisional(response)
    }
}
