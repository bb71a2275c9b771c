// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a request other than INVITE goes out again over UDP, and when it has failed (RFC 3261 section 17.1.2).

use std::time::{Duration, Instant};

/// The estimate of a round trip, from which the other times are made.
pub const T1: Duration = Duration::from_millis(500);
/// Retransmissions are not further apart.
const T2: Duration = Duration::from_secs(4);
/// Timer F: a request without an answer has failed after this time.
pub const TIMER_F: Duration = T1.saturating_mul(64);

/// The timers of one request.
pub struct Retransmission {
    start: Instant,
    deadline: Instant,
    /// The time until the next copy, and when that is sent. A stream needs no copies.
    next: Option<(Duration, Instant)>,
}

impl Retransmission {
    /// Starts the timers when a request is sent. Copies are for datagrams only.
    pub fn start(now: Instant, timeout: Duration, datagrams: bool) -> Retransmission {
        let next = datagrams.then(|| (T1, now + T1));
        Retransmission { start: now, deadline: now + timeout.min(TIMER_F), next }
    }

    /// The moment at which the request has failed.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long the request may take, in seconds.
    pub fn seconds(&self) -> f64 {
        (self.deadline - self.start).as_secs_f64()
    }

    /// The next moment at which there is something to do.
    pub fn due(&self) -> Instant {
        self.next.map_or(self.deadline, |(_, at)| at.min(self.deadline))
    }

    /// Notes that a 1xx came: copies then follow at the longest distance.
    pub fn provisional(&mut self, now: Instant) {
        self.next = self.next.map(|_| (T2, now + T2));
    }

    /// Notes that a copy went out.
    pub fn sent_again(&mut self, now: Instant) {
        self.next = self.next.map(|(interval, _)| {
            let interval = (interval * 2).min(T2);
            (interval, now + interval)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_go_out_at_growing_distances() {
        let start = Instant::now();
        let mut timers = Retransmission::start(start, Duration::from_secs(60), true);
        let mut seconds = Vec::new();
        while timers.due() < timers.deadline() {
            let now = timers.due();
            seconds.push((now - start).as_secs_f32());
            timers.sent_again(now);
        }
        assert_eq!(seconds, [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]);
        assert_eq!(timers.due() - start, TIMER_F);
    }

    #[test]
    fn a_provisional_answer_slows_them_down_and_a_stream_has_none() {
        let start = Instant::now();
        let mut timers = Retransmission::start(start, Duration::from_secs(10), true);
        timers.provisional(start);
        assert_eq!(timers.due() - start, T2);
        let mut timers = Retransmission::start(start, Duration::from_secs(10), false);
        timers.provisional(start);
        timers.sent_again(start);
        assert_eq!((timers.due(), timers.seconds()), (start + Duration::from_secs(10), 10.0));
    }
}
