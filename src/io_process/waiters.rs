// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests that wait for the I/O service. Each is given back exactly once: when its work is done, or at its deadline.

use std::collections::{BTreeSet, HashMap};

use crate::process::job::{Asker, NOBODY};
use crate::shared::Shared;
use crate::shared::counters::Counter;

/// Names a waiter.
pub type Ticket = u64;

/// Longest wait of a request, in milliseconds: the most that `pending_timeout` can be.
const LONGEST: i64 = 30_000;

/// The waiting requests.
#[derive(Default)]
pub struct Waiters {
    next: Ticket,
    waiting: HashMap<Ticket, Asker>,
    deadlines: BTreeSet<(i64, Ticket)>,
    done: Vec<Asker>,
}

impl Waiters {
    /// Adds a request.
    pub fn add(&mut self, asker: Asker) -> Ticket {
        self.next += 1;
        self.waiting.insert(self.next, asker);
        self.deadlines.insert((asker.deadline, self.next));
        self.next
    }

    /// True while the request waits.
    pub fn waits(&self, ticket: Ticket) -> bool {
        self.waiting.contains_key(&ticket)
    }

    /// The number of who sent it, while it waits; 0: not known.
    pub fn source(&self, ticket: Ticket) -> Option<u32> {
        self.waiting.get(&ticket).map(|waiter| waiter.place.source())
    }

    /// Its work is done.
    pub fn finish(&mut self, ticket: Ticket) {
        if let Some(waiter) = self.waiting.remove(&ticket) {
            self.deadlines.remove(&(waiter.deadline, ticket));
            self.done.push(waiter);
        }
    }

    /// Those whose time is over. True when there are any. A deadline that lies further ahead than it can was set before the
    /// clock was set back, so it has passed.
    pub fn expire(&mut self, now: i64) -> bool {
        let before = self.done.len();
        while let Some((deadline, ticket)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.remove(&(deadline, ticket));
            self.done.extend(self.waiting.remove(&ticket));
        }
        while let Some((deadline, ticket)) = self.deadlines.last().copied()
            && deadline.saturating_sub(now) > LONGEST
        {
            self.deadlines.remove(&(deadline, ticket));
            self.done.extend(self.waiting.remove(&ticket));
        }
        self.done.len() > before
    }

    /// The next deadline.
    pub fn next_deadline(&self) -> Option<i64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Gives back all requests that are done.
    pub fn release(&mut self, shared: &Shared, give_back: &mut dyn FnMut([u64; 2])) {
        for Asker { cookies, place, .. } in std::mem::take(&mut self.done) {
            shared.waiting.give_back(&place);
            shared.counters.add(Counter::Resumed);
            if cookies[0] == NOBODY[0] {
                shared.waits.end(cookies[1]);
            }
            give_back(cookies);
        }
    }

    /// Frees the places of all requests without giving the requests back, so that they keep nobody out.
    pub fn abandon(&mut self, shared: &Shared) {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.values().chain(&self.done).for_each(|waiter| shared.waiting.give_back(&waiter.place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::waiting_room::WaitingPlace;

    #[test]
    fn a_clock_that_is_set_back_lets_nobody_wait_for_hours() {
        const HOURS: i64 = 10_000_000;
        let mut waiters = Waiters::default();
        let [old, new] = [HOURS + 5000, 5000]
            .map(|deadline| waiters.add(Asker { deadline, cookies: NOBODY, place: WaitingPlace::NONE }));
        assert!(waiters.expire(0));
        assert!(!waiters.waits(old) && waiters.waits(new));
        assert!(!waiters.expire(4999) && waiters.expire(5000));
    }
}
