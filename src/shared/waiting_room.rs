// SPDX-License-Identifier: MIT OR Apache-2.0
//! The places of requests that wait for the I/O service: how many there are, what they wait for, and who sent them.
//!
//! A place ends with its deadline, so a process that dies keeps none. This holds for a worker that dies between
//! taking a place and handing its request over, and for an I/O service that dies with requests in its hands.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Most requests that can be allowed to wait at once.
pub const PLACES: usize = 100_000;
/// One source has at most one in this many places.
const SOURCE_SHARE: usize = 4;
/// Seconds by which the I/O service may be late in giving a request back.
const GRACE: i64 = 5;

const DEADLINE_SHIFT: u32 = 44;
const CAUSE_SHIFT: u32 = 32;
/// The deadline in seconds wraps around after twelve days.
const TURN: i64 = 1 << (64 - DEADLINE_SHIFT);
const CAUSES: u16 = (1 << (DEADLINE_SHIFT - CAUSE_SHIFT)) - 2;

/// Requests that wait. A place is one word: 20 bits of its deadline, 12 of its cause (never 0), 32 of its source.
#[repr(C)]
pub struct WaitingRoom {
    /// Places beyond these were never taken.
    reached: AtomicU32,
    places: [AtomicU64; PLACES],
}

/// What a request waits for, and who sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// 0 is the session store, any other number a provider.
    pub cause: u16,
    /// Hash of the network that it came from; 0: not known.
    pub source: u32,
}

/// How many may wait.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// All requests together.
    pub all: usize,
    /// There are several causes, so none may take the room of the others.
    pub several: bool,
    /// Unix milliseconds.
    pub now: i64,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All places are taken.
    All,
    /// Too many requests wait for the same cause.
    Cause,
    /// Too many requests of the same source wait.
    Source,
}

/// A place that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingPlace {
    index: u32,
    word: u64,
}

impl WaitingPlace {
    /// No place at all.
    pub const NONE: WaitingPlace = WaitingPlace { index: u32::MAX, word: 0 };

    /// Its number, and what says whose it is.
    pub fn parts(&self) -> (u32, u64) {
        (self.index, self.word)
    }

    /// The place with these parts.
    pub fn from_parts(index: u32, word: u64) -> WaitingPlace {
        WaitingPlace { index, word }
    }

    /// Who sent the request that waits there, as [`Party::source`] has it.
    pub fn source(&self) -> u32 {
        self.word as u32
    }
}

impl Party {
    fn bits(self) -> u64 {
        u64::from(self.cause.min(CAUSES) + 1) << CAUSE_SHIFT | u64::from(self.source)
    }
}

fn cause_of(word: u64) -> u64 {
    (word & ((1 << DEADLINE_SHIFT) - 1)) >> CAUSE_SHIFT
}

/// Whether a request still has the place. `now` in Unix milliseconds.
fn is_taken(word: u64, now: i64) -> bool {
    let late = (now / 1000 - (word >> DEADLINE_SHIFT).cast_signed()).rem_euclid(TURN);
    word != 0 && (late <= GRACE || late >= TURN / 2)
}

impl WaitingRoom {
    fn reached(&self, all: usize) -> &[AtomicU64] {
        &self.places[..(self.reached.load(Relaxed) as usize).min(all)]
    }

    /// Tells whether there is a place now.
    pub fn look(&self, party: Party, rules: &Rules) -> Result<(), Full> {
        let own = party.bits();
        let (mut all, mut of_cause, mut of_source) = (0, 0, 0);
        for place in self.reached(PLACES) {
            let word = place.load(Relaxed);
            if is_taken(word, rules.now) {
                all += 1;
                of_cause += usize::from(cause_of(word) == cause_of(own));
                of_source += usize::from(word as u32 == own as u32);
            }
        }
        // A cause may take half of what the others leave. The other half stays free, so that the next cause that
        // hangs finds room, too.
        let most = if rules.several { (rules.all.saturating_sub(all - of_cause) / 2).max(1) } else { rules.all };
        if all >= rules.all {
            Err(Full::All)
        } else if party.source != 0 && of_source >= (rules.all / SOURCE_SHARE).max(1) {
            Err(Full::Source)
        } else if of_cause >= most {
            Err(Full::Cause)
        } else {
            Ok(())
        }
    }

    /// Takes a place until a deadline in Unix milliseconds. Processes that do this at the same moment may exceed a
    /// share by their number, but never the number of all places.
    pub fn take(&self, party: Party, rules: &Rules, deadline: i64) -> Result<WaitingPlace, Full> {
        self.look(party, rules)?;
        let seconds = (deadline.saturating_add(999) / 1000).rem_euclid(TURN);
        let word = seconds.cast_unsigned() << DEADLINE_SHIFT | party.bits();
        for (index, place) in self.places[..rules.all.min(PLACES)].iter().enumerate() {
            let old = place.load(Relaxed);
            // What was done with the place before is over.
            if !is_taken(old, rules.now) && place.compare_exchange(old, word, Acquire, Relaxed).is_ok() {
                let index = index as u32;
                self.reached.fetch_max(index + 1, Relaxed);
                return Ok(WaitingPlace { index, word });
            }
        }
        Err(Full::All)
    }

    /// Frees a place, because its request goes on. If this is too late and another request has taken the place
    /// meanwhile, that request keeps it.
    pub fn give_back(&self, place: &WaitingPlace) {
        if let Some(cell) = self.places.get(place.index as usize) {
            let _ = cell.compare_exchange(place.word, 0, Release, Relaxed);
        }
    }

    /// How many requests wait.
    pub fn count(&self, now: i64) -> usize {
        self.reached(PLACES).iter().filter(|place| is_taken(place.load(Relaxed), now)).count()
    }

    /// Clears the places that dead processes have left, before their deadlines wrap around.
    pub fn sweep(&self, now: i64) {
        for place in self.reached(PLACES) {
            let word = place.load(Relaxed);
            if word != 0 && !is_taken(word, now) {
                let _ = place.compare_exchange(word, 0, Release, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};
    use super::*;

    const NOW: i64 = 2_000_000_000_000;

    fn rules(all: usize, several: bool) -> Rules {
        Rules { all, several, now: NOW }
    }

    fn fill(room: &WaitingRoom, cause: u16, rules: &Rules) -> (usize, Full) {
        let mut count = 0;
        loop {
            match room.take(Party { cause, source: 1000 + u32::from(cause) * 10_000 + count }, rules, NOW + 5000) {
                Ok(_) => count += 1,
                Err(full) => return (count as usize, full),
            }
        }
    }

    #[test]
    fn whatever_hangs_leaves_room_for_the_others() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let room = &arena.shared().waiting;
        let rules = rules(500, true);
        assert_eq!(fill(room, 1, &rules), (250, Full::Cause));
        assert_eq!(fill(room, 2, &rules), (125, Full::Cause));
        assert_eq!(fill(room, 0, &rules), (62, Full::Cause), "the store is one of them");
        assert_eq!(fill(room, 1, &rules).0, 0);
        assert!(room.take(Party { cause: 4, source: 7 }, &rules, NOW + 5000).is_ok());
        assert_eq!(room.count(NOW), 438);
    }

    #[test]
    fn one_source_has_a_quarter_and_an_unknown_one_is_nobody() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let room = &arena.shared().waiting;
        let take = |source| room.take(Party { cause: 1, source }, &rules(40, false), NOW + 5000);
        assert_eq!((0..40).filter(|_| take(7).is_ok()).count(), 10);
        assert_eq!(take(7), Err(Full::Source));
        let others: Vec<_> = (0..30).map(|_| take(0).unwrap()).collect();
        assert_eq!((take(0), take(8)), (Err(Full::All), Err(Full::All)));
        room.give_back(&others[3]);
        assert_eq!(take(7), Err(Full::Source));
        let place = take(8).unwrap();
        room.give_back(&others[3]);
        assert_eq!(take(0), Err(Full::All), "who comes too late gives nothing back that is not his");
        room.give_back(&place);
        assert!(take(9).is_ok());
    }

    #[test]
    fn the_dead_keep_no_place() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let room = &arena.shared().waiting;
        assert_eq!(fill(room, 1, &rules(40, false)).0, 40);
        assert_eq!((room.count(NOW + 10_000), room.count(NOW + 11_000)), (40, 0));
        let later = Rules { now: NOW + 11_000, ..rules(40, false) };
        assert!(room.take(Party::default(), &later, NOW + 16_000).is_ok());
        room.sweep(NOW + 11_000);
        assert_eq!(room.count(NOW + 11_000), 1);
    }

    #[test]
    fn one_provider_alone_may_have_all() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        assert_eq!(fill(&arena.shared().waiting, 1, &rules(33, false)), (33, Full::All));
        assert_eq!(fill(&Arena::new(&Sizes::default(), 0).unwrap().shared().waiting, 1, &rules(1, true)).0, 1);
    }
}
