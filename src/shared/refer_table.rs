// SPDX-License-Identifier: MIT OR Apache-2.0
//! The REFERs that the event server follows: how far each has come, and who has subscribed. Workers add REFERs and
//! subscriptions, any process may tell progress, and the I/O service alone removes.
//!
//! A REFER is found by its name, which holds the place where it lies, so guessing costs a look at one place.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::octets::{self, words};
use super::start_key::StartKey;
use sipoauth_core::refer::progress::{RETENTION, Status};
use sipoauth_core::refer::state_id::{self, StateId};

/// Subscriptions of one REFER.
pub const SEATS: usize = 4;
/// Longest owner that is kept, in octets. A longer one counts as not known.
pub const MOST_OWNER: usize = 128;
/// Places that are looked at for a free one.
const PROBES: usize = 4096;

/// Stages of a place. The rest of the word counts how often the place was used.
const FREE: u64 = 0;
const TAKEN: u64 = 1;
const LIVE: u64 = 2;
const STAGE: u64 = 3;

/// A REFER. All zero is a free place.
#[repr(C)]
pub struct ReferEntry {
    stage: AtomicU64,
    secret: [AtomicU64; 2],
    /// Unix milliseconds.
    created: AtomicI64,
    /// When its time is over: the lifetime, or the retention once it has ended. Unix milliseconds.
    until: AtomicI64,
    /// The status in the low 16 bits; the rest counts the changes.
    progress: AtomicU64,
    owner_length: AtomicU64,
    owner: [AtomicU64; words(MOST_OWNER)],
    seats: [Seat; SEATS],
}

/// A subscription.
#[repr(C)]
pub struct Seat {
    /// Hash of its dialog; 0: nobody sits here.
    dialog: AtomicU64,
    /// When it ends, in Unix milliseconds.
    until: AtomicI64,
    /// The subscriber's last CSeq.
    cseq: AtomicU64,
    /// Lowest bit: a NOTIFY was refused, so it is over. The rest counts who has sat here.
    turn: AtomicU64,
}

/// The words that all places share.
#[repr(C)]
#[derive(Default)]
pub struct ReferCounts {
    /// Places that are not free.
    live: AtomicU32,
    /// Places beyond these were never used.
    reached: AtomicU32,
    /// Where the next search begins.
    next: AtomicU32,
    /// Not 0: a bit of `changed` may be set. Whoever is woken for something else has no bits to look for.
    has_changed: AtomicU32,
    /// Hides in a name where its REFER lies.
    places: StartKey,
    /// Makes the names by which a state may be changed.
    publishers: StartKey,
}

/// All places. A word of `changed` has a bit for each of 64 of them, which says that the I/O service must look at it.
#[derive(Clone, Copy)]
pub struct ReferTable<'a> {
    pub(super) entries: &'a [ReferEntry],
    pub(super) changed: &'a [AtomicU64],
    pub(super) counts: &'a ReferCounts,
}

/// What a REFER is known by inside the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct Place {
    /// Its index.
    pub index: u32,
    /// How often the place was used before.
    pub use_number: u32,
}

impl Place {
    /// In one word, with a subscription of it, for the host.
    pub fn with_seat(self, SeatTurn { seat, turn }: SeatTurn) -> u64 {
        u64::from(self.use_number) << 32 | u64::from(turn & TURNS) << 22 | u64::from(self.index) << 2 | seat as u64
    }

    /// The place and the subscription in such a word.
    pub fn and_seat(word: u64) -> (Place, SeatTurn) {
        let low = word as u32;
        let place = Place { index: low >> 2 & MOST_PLACES, use_number: (word >> 32) as u32 };
        (place, SeatTurn { seat: (low & 3) as usize, turn: low >> 22 })
    }
}

/// A million places have numbers of 20 bits, which leaves 10 in the low half of a word.
const MOST_PLACES: u32 = 0xF_FFFF;
const TURNS: u32 = 0x3FF;

/// One subscription: a seat, and how many others sat there before, modulo 1024. So an answer to a NOTIFY that comes late is
/// not taken for one of whoever sits there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatTurn {
    /// The number of the seat.
    pub seat: usize,
    /// The turn.
    pub turn: u32,
}

/// A REFER at its place.
#[derive(Clone, Copy)]
pub struct Refer<'a> {
    /// Where it lies.
    pub place: Place,
    entry: &'a ReferEntry,
    table: ReferTable<'a>,
}

/// Why a status was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl ReferCounts {
    /// How many REFERs are followed now.
    pub fn live(&self) -> u32 {
        self.live.load(Relaxed)
    }
}

impl<'a> ReferTable<'a> {
    /// How many words `changed` needs.
    pub const fn words(entries: usize) -> usize {
        entries.div_ceil(64)
    }

    /// How many REFERs are followed now.
    pub fn live(&self) -> u32 {
        self.counts.live()
    }

    /// True when one more may be followed.
    pub fn has_room(&self) -> bool {
        (self.live() as usize) < self.entries.len()
    }

    /// Adds a REFER. `now` and `until` are Unix milliseconds; a longer `owner` than 128 octets is not kept. None when
    /// there is no room.
    pub fn add(&self, owner: &str, now: i64, until: i64) -> Option<(Refer<'a>, StateId)> {
        let all = self.entries.len();
        if !self.has_room() {
            return None;
        }
        let mut id = [0; state_id::LEN];
        aws_lc_rs::rand::fill(&mut id).expect("the operating system has random numbers");
        let first = self.counts.next.load(Relaxed) as usize;
        let found = (0..all.min(PROBES)).find_map(|step| {
            let index = (first + step) % all;
            let stage = &self.entries[index].stage;
            let before = stage.load(Relaxed);
            let is_free = before & STAGE == FREE;
            let taken = is_free && stage.compare_exchange(before, before | TAKEN, AcqRel, Relaxed).is_ok();
            taken.then_some((index, before))
        });
        let next = found.map_or(first + PROBES, |(index, _)| index + 1) % all;
        self.counts.next.store(next as u32, Relaxed);
        let (index, before) = found?;
        self.counts.live.fetch_add(1, Relaxed);
        self.counts.reached.fetch_max(index as u32 + 1, Relaxed);
        let entry = &self.entries[index];
        let secret = &id[..16];
        octets::store(&entry.secret, secret);
        let hidden = index as u32 ^ self.mask(secret);
        id[16..].copy_from_slice(&hidden.to_be_bytes());
        entry.created.store(now, Relaxed);
        entry.until.store(until, Relaxed);
        entry.progress.store(Status::TRYING.code().into(), Relaxed);
        let owner = if owner.len() <= MOST_OWNER { owner } else { "" };
        octets::store(&entry.owner, owner.as_bytes());
        entry.owner_length.store(owner.len() as u64, Relaxed);
        for seat in &entry.seats {
            seat.dialog.store(0, Relaxed);
        }
        entry.stage.store(before | LIVE, Release);
        let place = Place { index: index as u32, use_number: (before >> 2) as u32 };
        Some((Refer { place, entry, table: *self }, StateId(id)))
    }

    /// What whoever may change a state has beside its name.
    pub fn publisher_key(&self, id: &StateId) -> [u8; state_id::KEY] {
        let secret = self.counts.publishers.octets();
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*secret), &id.0);
        std::array::from_fn(|at| mac.as_ref()[at])
    }

    fn mask(&self, secret: &[u8]) -> u32 {
        self.counts.places.hash(secret) as u32
    }

    /// The REFER with this name.
    pub fn find(&self, id: &StateId) -> Option<Refer<'a>> {
        let (secret, hidden) = id.0.split_at(16);
        let hidden = hidden.try_into().map(u32::from_be_bytes).ok()?;
        let refer = self.at(hidden ^ self.mask(secret))?;
        let mut known = [0; 16];
        for (octets, word) in known.chunks_exact_mut(8).zip(&refer.entry.secret) {
            octets.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        // the time of the comparison must not tell how much was guessed
        aws_lc_rs::constant_time::verify_slices_are_equal(&known, secret).ok()?;
        Some(refer)
    }

    fn at(&self, index: u32) -> Option<Refer<'a>> {
        let entry = self.entries.get(index as usize)?;
        let stage = entry.stage.load(Acquire);
        let place = Place { index, use_number: (stage >> 2) as u32 };
        (stage & STAGE == LIVE).then_some(Refer { place, entry, table: *self })
    }

    /// The REFER that lies at a place, if it still is the same.
    pub fn get(&self, place: Place) -> Option<Refer<'a>> {
        self.at(place.index).filter(|refer| refer.place == place)
    }

    /// All REFERs.
    pub fn iter(self) -> impl Iterator<Item = Refer<'a>> {
        (0..self.counts.reached.load(Relaxed)).filter_map(move |index| self.at(index))
    }

    /// Takes the places that the I/O service must look at, in ascending order.
    pub fn take_changed(&self, mut look: impl FnMut(Refer<'a>)) {
        if self.counts.has_changed.swap(0, AcqRel) == 0 {
            return;
        }
        for (word, at) in self.changed.iter().zip(0u32..) {
            if word.load(Relaxed) == 0 {
                continue;
            }
            let mut bits = word.swap(0, AcqRel);
            while bits != 0 {
                let bit = bits.trailing_zeros();
                bits &= bits - 1;
                if let Some(refer) = self.at(at * 64 + bit) {
                    look(refer);
                }
            }
        }
    }
}

impl Refer<'_> {
    /// Its name.
    pub fn id(&self) -> StateId {
        let mut id = [0; state_id::LEN];
        id[..16].copy_from_slice(&octets::load(&self.entry.secret, 16));
        let hidden = self.place.index ^ self.table.mask(&id[..16]);
        id[16..].copy_from_slice(&hidden.to_be_bytes());
        StateId(id)
    }

    /// The address-of-record of the user who sent it; empty when it is not known.
    pub fn owner(&self) -> String {
        let length = self.entry.owner_length.load(Relaxed) as usize;
        String::from_utf8(octets::load(&self.entry.owner, length)).unwrap_or_default()
    }

    /// When it was accepted, in Unix milliseconds.
    pub fn created(&self) -> i64 {
        self.entry.created.load(Relaxed)
    }

    /// When its time, or its retention, is over, in Unix milliseconds.
    pub fn until(&self) -> i64 {
        self.entry.until.load(Relaxed)
    }

    /// How far it has come.
    pub fn status(&self) -> Status {
        Status::new(self.entry.progress.load(Acquire) as u16).unwrap_or(Status::UNAVAILABLE)
    }

    /// How often its status was told, for entity-tags.
    pub fn changes(&self) -> u64 {
        self.entry.progress.load(Acquire) >> 16
    }

    /// Takes a status, which subscribers are told. Nothing follows a final one. `now` is Unix milliseconds.
    pub fn update(&self, status: Status, now: i64) -> Result<(), Ended> {
        let next = |before: u64| {
            let is_over = Status::new(before as u16).is_none_or(Status::is_final);
            (!is_over).then(|| ((before >> 16) + 1) << 16 | u64::from(status.code()))
        };
        self.entry.progress.fetch_update(AcqRel, Acquire, next).map_err(|_| Ended)?;
        if status.is_final() {
            self.entry.until.store(now + RETENTION, Relaxed);
        }
        self.note_change();
        Ok(())
    }

    /// Has the I/O service look at it. The caller wakes the service.
    pub fn note_change(&self) {
        let index = self.place.index as usize;
        self.table.changed[index / 64].fetch_or(1 << (index % 64), AcqRel);
        // after the bit, so that it is never missed
        self.table.counts.has_changed.store(1, Release);
    }

    /// The number of the seat of a dialog.
    pub fn seat_of(&self, dialog: u64) -> Option<usize> {
        self.entry.seats.iter().position(|seat| seat.dialog.load(Acquire) == dialog)
    }

    /// How many seats are taken.
    pub fn seats_taken(&self) -> usize {
        self.entry.seats.iter().filter(|seat| seat.dialog.load(Relaxed) != 0).count()
    }

    /// Takes a seat for a dialog, whose hash is not 0. None when all are taken.
    pub fn sit(&self, dialog: u64, until: i64, cseq: u32) -> Option<usize> {
        let free = |seat: &Seat| seat.dialog.compare_exchange(0, dialog, AcqRel, Relaxed).is_ok();
        let number = self.entry.seats.iter().position(free)?;
        if self.seat_of(dialog).is_some_and(|other| other < number) {
            // another process has handled a copy at the same moment
            self.leave(number);
            return None;
        }
        let seat = &self.entry.seats[number];
        seat.until.store(until, Relaxed);
        seat.cseq.store(cseq.into(), Relaxed);
        seat.turn.store(((seat.turn.load(Relaxed) >> 1) + 1) << 1, Relaxed);
        Some(number)
    }

    /// Frees a seat.
    pub fn leave(&self, seat: usize) {
        self.entry.seats[seat].dialog.store(0, Release);
    }

    /// When a subscription ends, in Unix milliseconds.
    pub fn seat_until(&self, seat: usize) -> i64 {
        self.entry.seats[seat].until.load(Relaxed)
    }

    /// The subscription that has a seat now.
    pub fn seat_turn(&self, seat: usize) -> SeatTurn {
        let turn = (self.entry.seats[seat].turn.load(Relaxed) >> 1) as u32 & TURNS;
        SeatTurn { seat, turn }
    }

    /// True when a NOTIFY of this subscription was refused.
    pub fn seat_has_failed(&self, seat: usize) -> bool {
        self.entry.seats[seat].turn.load(Relaxed) & 1 != 0
    }

    /// Sets the end of a subscription.
    pub fn extend(&self, seat: usize, until: i64) {
        self.entry.seats[seat].until.store(until, Relaxed);
    }

    /// Ends a subscription whose NOTIFY was refused. False when it has ended already.
    pub fn fail(&self, SeatTurn { seat, turn }: SeatTurn) -> bool {
        let failing = |word: u64| ((word >> 1) as u32 & TURNS == turn && word & 1 == 0).then_some(word | 1);
        let failed = self.entry.seats[seat].turn.fetch_update(AcqRel, Relaxed, failing).is_ok();
        if failed {
            self.note_change();
        }
        failed
    }

    /// Takes the CSeq of a request in the dialog of a seat, and returns the one before.
    pub fn next_cseq(&self, seat: usize, cseq: u32) -> u32 {
        self.entry.seats[seat].cseq.fetch_max(cseq.into(), AcqRel) as u32
    }

    /// Forgets it. Only the I/O service does this.
    pub fn remove(&self) {
        octets::store(&self.entry.secret, &[0; 16]);
        octets::store(&self.entry.owner, &[0; MOST_OWNER]);
        let next = u64::from(self.place.use_number.wrapping_add(1)) << 2;
        self.entry.stage.store(next | FREE, Release);
        self.table.counts.live.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};
    use super::*;

    const NOW: i64 = 2_000_000_000_000;

    fn arena(refers: usize) -> Arena {
        Arena::new(&Sizes { refers, ..Sizes::default() }, NOW).unwrap()
    }

    #[test]
    fn a_refer_is_found_by_its_name_and_by_no_other() {
        let arena = arena(100);
        let table = arena.refers();
        let ids: Vec<_> = (0..100).map(|_| table.add("sip:a@x", NOW, NOW + 1).unwrap().1).collect();
        assert!(table.add("sip:a@x", NOW, NOW + 1).is_none() && table.live() == 100);
        for id in &ids {
            let refer = table.find(id).unwrap();
            assert_eq!((refer.id(), refer.owner()), (*id, "sip:a@x".to_owned()));
        }
        for octet in 0..state_id::LEN {
            let mut guess = ids[0];
            guess.0[octet] ^= 1;
            assert!(table.find(&guess).is_none(), "octet {octet}");
        }
    }

    #[test]
    fn a_final_status_stays_and_is_kept_for_64_seconds() {
        let arena = arena(10);
        let (refer, id) = arena.refers().add("", NOW, NOW + 5000).unwrap();
        let status = |code| Status::new(code).unwrap();
        assert_eq!(refer.update(status(180), NOW), Ok(()));
        assert_eq!((refer.until(), refer.changes()), (NOW + 5000, 1));
        assert_eq!(refer.update(status(486), NOW + 10), Ok(()));
        assert_eq!(refer.update(status(200), NOW + 20), Err(Ended));
        assert_eq!((refer.status(), refer.until()), (status(486), NOW + 10 + RETENTION));
        refer.remove();
        assert!(arena.refers().find(&id).is_none() && arena.refers().get(refer.place).is_none());
        let (next, _) = arena.refers().add("", NOW, NOW + 5000).unwrap();
        assert_ne!(next.place, refer.place);
    }

    #[test]
    fn there_are_four_seats_and_a_change_is_seen_once() {
        let arena = arena(70);
        let (refer, _) = arena.refers().add("", NOW, NOW + 5000).unwrap();
        let seats: Vec<_> = (1..=5).map(|dialog| refer.sit(dialog, NOW, 1)).collect();
        assert_eq!(seats, [Some(0), Some(1), Some(2), Some(3), None]);
        refer.leave(2);
        assert_eq!((refer.seat_of(3), refer.sit(9, NOW, 7), refer.seat_of(9)), (None, Some(2), Some(2)));
        assert_eq!((refer.next_cseq(2, 8), refer.next_cseq(2, 8), refer.next_cseq(2, 3)), (7, 8, 8));
        let before = refer.seat_turn(2);
        refer.leave(2);
        assert_eq!(refer.sit(10, NOW, 7), Some(2));
        assert!(!refer.fail(before), "somebody else sits there now");
        assert!(refer.fail(refer.seat_turn(2)) && !refer.fail(refer.seat_turn(2)));
        let mut seen = Vec::new();
        arena.refers().take_changed(|refer| seen.push(refer.place));
        arena.refers().take_changed(|_| panic!("it was taken"));
        assert_eq!((seen, refer.seat_has_failed(2)), (vec![refer.place], true));
    }

    #[test]
    fn a_word_names_place_and_seat() {
        let place = Place { index: 999_999, use_number: u32::MAX };
        for turn in [0, 1, TURNS] {
            let seat = SeatTurn { seat: 3, turn };
            assert_eq!(Place::and_seat(place.with_seat(seat)), (place, seat));
        }
    }
}
