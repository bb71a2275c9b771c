// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subscribers of REFERs, and when each of them gets a NOTIFY. All NOTIFY requests leave from the process that holds
//! this, so their CSeq rises without a lock.
//!
//! A REFER is looked at when a worker says that it has changed, and when time has done so. What is due is remembered here
//! and sent when the host asks for it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};

use crate::process::job::Subscribe;
use crate::shared::refer_table::{Place, Refer, ReferTable};
use sipoauth_core::refer::progress::Status;
use sipoauth_core::refer::state_id::StateId;
use sipoauth_core::refer::subscriber::{Notice, Step, Subscriber};

/// How often all REFERs are looked at for those whose time is over, in milliseconds.
const SWEEP: i64 = 1000;

/// How long a seat stays taken after the last NOTIFY, in milliseconds. So copies of a SUBSCRIBE find their subscription, and
/// nobody has very many NOTIFYs sent by subscribing again and again.
const LINGER: i64 = 5000;

/// The subscribers of one REFER.
#[derive(Default)]
struct Watched {
    subscribers: Vec<(usize, Subscriber)>,
    /// When they are to be looked at; `i64::MAX`: nothing is due.
    due: i64,
}

/// A NOTIFY that is to be sent.
pub struct Outgoing<'a> {
    /// Names the subscription when the NOTIFY is answered.
    pub subscription: u64,
    /// Its dialog, socket and event id.
    pub subscriber: &'a Subscriber,
    /// What it tells.
    pub notice: Notice,
}

/// A REFER that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferEnd {
    /// Its name.
    pub id: StateId,
    /// The user who sent it; empty when he is not known.
    pub owner: String,
    /// How it ended.
    pub status: Status,
}

/// What came of sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// NOTIFY requests that left.
    pub sent: u64,
    /// Subscriptions that ended because one could not be sent.
    pub failed: u64,
}

/// All subscribers.
#[derive(Default)]
pub struct ReferEvents {
    watched: HashMap<Place, Watched>,
    /// Times at which a REFER is to be looked at. Those that are not the `due` of their REFER any more are passed over.
    times: BinaryHeap<Reverse<(i64, Place)>>,
    /// REFERs to look at now.
    open: BTreeSet<Place>,
    /// REFERs whose end the host was told.
    told: HashSet<Place>,
    ended: VecDeque<ReferEnd>,
    swept: i64,
}

impl ReferEvents {
    /// Takes a subscription, or a refresh of one.
    pub fn subscribe(&mut self, work: Subscribe) {
        let Subscribe { place, seat, dialog, event_id, socket, cseq } = work;
        let watched = self.watched.entry(place).or_insert_with(|| Watched { due: i64::MAX, ..Watched::default() });
        match watched.subscribers.iter_mut().find(|(own, _)| *own == seat) {
            Some((_, subscriber)) if subscriber.is_dialog(&dialog) => subscriber.refresh(dialog, socket),
            // somebody else sat there before
            Some((_, subscriber)) => *subscriber = Subscriber::new(dialog, &event_id, socket, cseq),
            None => watched.subscribers.push((seat, Subscriber::new(dialog, &event_id, socket, cseq))),
        }
        self.open.insert(place);
    }

    /// Finds what is due. `now` is Unix milliseconds.
    pub fn look(&mut self, table: ReferTable<'_>, now: i64) {
        table.take_changed(|refer| {
            self.open.insert(refer.place);
        });
        while let Some(Reverse((due, place))) = self.times.peek().copied().filter(|Reverse((due, _))| *due <= now) {
            self.times.pop();
            if self.watched.get(&place).is_some_and(|watched| watched.due == due) {
                self.open.insert(place);
            }
        }
        if table.live() > 0 && !(0..SWEEP).contains(&(now - self.swept)) {
            self.swept = now;
            self.sweep(table, now);
        }
    }

    fn sweep(&mut self, table: ReferTable<'_>, now: i64) {
        for refer in table.iter().filter(|refer| now >= refer.until()) {
            if refer.status().is_final() {
                self.watched.remove(&refer.place);
                self.told.remove(&refer.place);
                refer.remove();
            } else if refer.update(Status::TIMEOUT, now).is_ok() {
                self.open.insert(refer.place);
            }
        }
    }

    /// When there is something to do without anybody's asking, in Unix milliseconds.
    pub fn next(&self, table: ReferTable<'_>) -> Option<i64> {
        if !self.open.is_empty() {
            return Some(0);
        }
        let sweep = (table.live() > 0).then_some(self.swept + SWEEP);
        self.times.peek().map(|Reverse((due, _))| *due).into_iter().chain(sweep).min()
    }

    /// Sends what is due. `send` returns false when a request could not be sent.
    pub fn send(&mut self, table: ReferTable<'_>, now: i64, send: &mut dyn FnMut(&Outgoing<'_>) -> bool) -> Sent {
        let mut sent = Sent::default();
        for place in std::mem::take(&mut self.open) {
            let Some(refer) = table.get(place) else {
                self.watched.remove(&place);
                continue;
            };
            if refer.status().is_final() && self.told.insert(place) {
                self.ended.push_back(ReferEnd { id: refer.id(), owner: refer.owner(), status: refer.status() });
            }
            let Some(watched) = self.watched.get_mut(&place) else { continue };
            let due = watched.send(refer, now, &mut sent, send);
            if watched.subscribers.is_empty() {
                self.watched.remove(&place);
            } else if due < watched.due || watched.due <= now {
                watched.due = due;
                self.times.push(Reverse((due, place)));
            }
        }
        sent
    }

    /// The REFERs that have ended since the last call.
    pub fn take_ended(&mut self) -> impl Iterator<Item = ReferEnd> {
        self.ended.drain(..)
    }
}

impl Watched {
    /// Tells every subscriber what is due, and returns when the next one is.
    fn send(
        &mut self,
        refer: Refer<'_>,
        now: i64,
        sent: &mut Sent,
        send: &mut dyn FnMut(&Outgoing<'_>) -> bool,
    ) -> i64 {
        let mut next = i64::MAX;
        self.subscribers.retain_mut(|(seat, subscriber)| {
            let goes_on = loop {
                if refer.seat_has_failed(*seat) {
                    break false;
                }
                match subscriber.step(refer.status(), refer.seat_until(*seat), now) {
                    Step::Over if now >= subscriber.told_at() + LINGER => break false,
                    Step::Over => {
                        next = next.min(subscriber.told_at() + LINGER);
                        break true;
                    }
                    Step::Wait(until) => {
                        next = next.min(until);
                        break true;
                    }
                    Step::Notify(notice) => {
                        let subscription = refer.place.with_seat(refer.seat_turn(*seat));
                        if !send(&Outgoing { subscription, subscriber, notice }) {
                            sent.failed += 1;
                            break false;
                        }
                        sent.sent += 1;
                    }
                }
            };
            if !goes_on {
                refer.leave(*seat);
            }
            goes_on
        });
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{Arena, Sizes};
    use sipoauth_core::refer::dialog::{NotifyDialog, Side};
    use sipoauth_core::refer::progress::RETENTION;
    use sipoauth_core::sip::message::MessageView;

    const NOW: i64 = 2_000_000_000_000;

    struct Bench {
        arena: Arena,
        events: ReferEvents,
    }

    impl Bench {
        fn new() -> Bench {
            let arena = Arena::new(&Sizes { refers: 8, ..Sizes::default() }, NOW).unwrap();
            Bench { arena, events: ReferEvents::default() }
        }

        fn refer(&self) -> Refer<'_> {
            self.arena.refers().add("sip:a@x", NOW, NOW + 60_000).unwrap().0
        }

        fn subscribe(&mut self, place: Place, call_id: &str) -> usize {
            let text = format!(
                "SUBSCRIBE sip:i@h SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:i@h>\r\nCall-ID: {call_id}\r\nContact: <sip:a@x>\r\n\r\n"
            );
            let side = Side { tag: "2", contact: "sip:i@h;gr", source: "sip:1.2.3.4:5" };
            let dialog = NotifyDialog::new(&MessageView::new(text.as_bytes()).unwrap(), &side).unwrap();
            let hash = call_id.len() as u64;
            let seat = self.arena.refers().get(place).unwrap().sit(hash, NOW + 60_000, 1).unwrap();
            self.events.subscribe(Subscribe { place, seat, dialog, event_id: String::new(), socket: 0, cseq: 0 });
            seat
        }

        /// Call-ID, status and CSeq of what leaves.
        fn at(&mut self, millis: i64) -> Vec<(String, u16, u32)> {
            let (table, mut out) = (self.arena.refers(), Vec::new());
            self.events.look(table, NOW + millis);
            self.events.send(table, NOW + millis, &mut |outgoing| {
                let call_id = outgoing.subscriber.dialog.view().call_id.to_owned();
                out.push((call_id, outgoing.notice.status.code(), outgoing.notice.cseq));
                true
            });
            out
        }
    }

    fn told(call_id: &str, status: u16, cseq: u32) -> (String, u16, u32) {
        (call_id.to_owned(), status, cseq)
    }

    fn status(code: u16) -> Status {
        Status::new(code).unwrap()
    }

    #[test]
    fn every_subscriber_is_told_and_at_most_once_a_second() {
        let mut bench = Bench::new();
        let place = bench.refer().place;
        bench.subscribe(place, "c");
        assert_eq!(bench.at(0), [told("c", 100, 1)]);
        bench.subscribe(place, "dd");
        assert_eq!(bench.at(10), [told("dd", 100, 1)]);
        let refer = |bench: &Bench, code| {
            bench.arena.refers().get(place).unwrap().update(status(code), NOW + 20).unwrap();
        };
        refer(&bench, 180);
        assert_eq!(bench.at(20), []);
        assert_eq!(bench.events.next(bench.arena.refers()), Some(NOW + 1000));
        assert_eq!(bench.at(1000), [told("c", 180, 2)]);
        refer(&bench, 200);
        assert_eq!(bench.at(1001), [told("c", 200, 3), told("dd", 200, 2)]);
        assert_eq!(bench.at(1001), []);
        let ended: Vec<_> = bench.events.take_ended().map(|end| (end.owner, end.status)).collect();
        assert_eq!(ended, [("sip:a@x".to_owned(), status(200))]);
    }

    #[test]
    fn a_refer_without_an_end_is_timed_out_and_then_forgotten() {
        let mut bench = Bench::new();
        let place = bench.refer().place;
        bench.subscribe(place, "c");
        bench.at(0);
        assert_eq!(bench.at(60_000), [told("c", 408, 2)]);
        bench.subscribe(place, "dd");
        assert_eq!(bench.at(60_000 + 63_000), [told("dd", 408, 1)]);
        bench.at(60_000 + RETENTION);
        bench.at(60_000 + RETENTION + LINGER);
        assert!(bench.arena.refers().get(place).is_none());
        assert_eq!(bench.events.next(bench.arena.refers()), None);
        assert!(bench.events.watched.is_empty() && bench.events.told.is_empty() && bench.events.open.is_empty());
    }

    #[test]
    fn whoever_does_not_take_a_notify_is_told_nothing_more() {
        let mut bench = Bench::new();
        let place = bench.refer().place;
        let seat = bench.subscribe(place, "c");
        bench.at(0);
        let refer = bench.arena.refers().get(place).unwrap();
        assert!(refer.fail(refer.seat_turn(seat)));
        assert_eq!(bench.at(1), []);
        assert_eq!(bench.arena.refers().get(place).unwrap().seats_taken(), 0);
        bench.subscribe(place, "dd");
        let (table, mut left) = (bench.arena.refers(), 0);
        bench.events.look(table, NOW + 2);
        let sent = bench.events.send(table, NOW + 2, &mut |_| {
            left += 1;
            false
        });
        assert_eq!((left, sent), (1, Sent { sent: 0, failed: 1 }));
        assert_eq!((table.get(place).unwrap().seats_taken(), bench.at(5000).len()), (0, 0));
    }

    #[test]
    fn a_seat_that_comes_to_somebody_else_is_a_new_subscription() {
        let mut bench = Bench::new();
        let place = bench.refer().place;
        let seat = bench.subscribe(place, "c");
        bench.at(0);
        bench.arena.refers().get(place).unwrap().leave(seat);
        assert_eq!(bench.subscribe(place, "dd"), seat);
        assert_eq!(bench.at(1), [told("dd", 100, 1)]);
    }
}
