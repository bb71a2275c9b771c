// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cache that every process can read, for records from a store over the network, and another one for answers of
//! authorization servers.
//!
//! Entries that a stranger can cause have a room of their own, in which they displace only their own kind.
//!
//! The I/O process writes; all processes read without locks. The content of an entry is one [`Published`] document
//! that holds the whole key, too. So a reader that meets an entry in the middle of a change takes it for an entry of
//! another key, and never gets a wrong value.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::octets::words;
use super::published::Published;
use super::start_key::StartKey;

/// A part of the cache, by who can make its entries. An entry displaces only entries of its own room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// What belongs to users who have signed in: sessions, answers about good tokens.
    Kept,
    /// What users who have signed in can make as much of as they like: uses of proofs.
    Uses,
    /// What anybody can make: absent records, codes, tokens that are not good.
    Passing,
}

const ROOMS: [Room; 3] = [Room::Kept, Room::Uses, Room::Passing];

impl Room {
    /// Entries of one set. The hash of a key decides its set.
    fn ways(self) -> usize {
        match self {
            Room::Kept => 4,
            // A request that waits for such an entry must find it, however many are put at once.
            Room::Uses | Room::Passing => 8,
        }
    }
}

/// Fewest entries of a room other than `Room::Kept`.
const LEAST: usize = 512;
/// Longest document in octets: time, kind, key and value. It has room for the sessions of an address with many
/// devices. Memory that no document has reached is never touched.
pub const CAPACITY: usize = 8192;
/// Octets before the key: when it was fetched (8), kind (1), length of the key (1).
const HEADER: usize = 10;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// An overtaken entry still serves requests that have waited for it, until this many milliseconds after it was put,
/// because these requests came before the change.
const GRACE: u64 = 1000;

/// What is known of an entry without its record. These lie side by side, apart from the records, so that a look into a
/// set touches few pages, and none of an entry that is free.
#[repr(C)]
pub struct CacheTag {
    /// Hash of the key; 0: free.
    tag: AtomicU64,
    /// The time in the document, for the choice of the entry that makes room.
    fetched_at: AtomicI64,
    /// 1 when its record may have changed.
    overtaken: AtomicU64,
}

/// Room for one record.
pub type CachedRecord = Published<{ words(CAPACITY) }>;

/// What is known about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Its value.
    Hit(Vec<u8>),
    /// There is no such record.
    Absent,
    /// Nothing, or nothing that is recent enough.
    Unknown,
}

/// Tags, and as many records.
#[derive(Clone, Copy)]
struct Entries<'a> {
    tags: &'a [CacheTag],
    records: &'a [CachedRecord],
}

impl<'a> Entries<'a> {
    fn split_at(self, middle: usize) -> (Entries<'a>, Entries<'a>) {
        let ((tags, more_tags), (records, more_records)) = (self.tags.split_at(middle), self.records.split_at(middle));
        (Entries { tags, records }, Entries { tags: more_tags, records: more_records })
    }

    fn iter(self) -> impl Iterator<Item = (&'a CacheTag, &'a CachedRecord)> {
        self.tags.iter().zip(self.records)
    }
}

/// The cache, as one process sees it.
#[derive(Clone, Copy)]
pub struct RecordCache<'a> {
    /// Those of each of `ROOMS`.
    entries: [Entries<'a>; 3],
    key: &'a StartKey,
}

/// How many entries each room has for at least `records` kept records. The other rooms have a quarter of that each.
/// There are no entries when nothing is to be kept.
fn sizes(records: usize) -> [usize; 3] {
    ROOMS.map(|room| match room {
        _ if records == 0 => 0,
        Room::Kept => records.next_multiple_of(room.ways()),
        Room::Uses | Room::Passing => (records / 4).max(LEAST).next_multiple_of(room.ways()),
    })
}

/// Entries in the arena for at least this many records.
pub(super) fn rounded(records: usize) -> usize {
    sizes(records).iter().sum()
}

impl<'a> RecordCache<'a> {
    /// `tags` and `records` are as many as [`rounded`] says for `count` records.
    pub(super) fn new(
        tags: &'a [CacheTag],
        records: &'a [CachedRecord],
        count: usize,
        key: &'a StartKey,
    ) -> RecordCache<'a> {
        let [kept, uses, _] = sizes(count);
        let (kept, rest) = Entries { tags, records }.split_at(kept);
        let (uses, passing) = rest.split_at(uses);
        RecordCache { entries: [kept, uses, passing], key }
    }

    /// The hash of a key. Strangers choose some of the keys and must not be able to choose which other keys these
    /// displace, so the hash has a secret key.
    fn tag(&self, key: &str) -> u64 {
        // Not zero, so that a free entry matches no key.
        self.key.hash(key).max(1)
    }

    fn set(&self, room: Room, tag: u64) -> Entries<'a> {
        let (entries, ways) = (self.entries[room as usize], room.ways());
        let sets = (entries.tags.len() / ways) as u64;
        let Some(first) = tag.checked_rem(sets) else {
            return Entries { tags: &[], records: &[] };
        };
        let places = first as usize * ways..(first as usize + 1) * ways;
        Entries { tags: &entries.tags[places.clone()], records: &entries.records[places] }
    }

    /// What was put for a key at most `max_age_ms` ago. Any process and any thread may call this.
    pub fn get(&self, key: &str, now: i64, max_age_ms: u64) -> Lookup {
        self.look(key, now, max_age_ms, false)
    }

    /// The same, also for a request that `has_waited` until the record was put. If the record is overtaken before
    /// that request can read it, the request is judged by what was true when the record was put, a moment ago.
    pub fn look(&self, key: &str, now: i64, max_age_ms: u64, has_waited: bool) -> Lookup {
        let tag = self.tag(key);
        for (entry, record) in ROOMS.into_iter().flat_map(|room| self.set(room, tag).iter()) {
            if entry.tag.load(Ordering::Acquire) != tag {
                continue;
            }
            // This is read before the document, so that a document that is put meanwhile does not make an old one
            // look new.
            let is_overtaken = entry.overtaken.load(Ordering::Acquire) != 0;
            let Some((_, mut document)) = record.read() else {
                continue;
            };
            let Some((fetched_at, kind)) = header(&document, key) else {
                continue;
            };
            // The clock may have been set back, so a time in the future counts like one as far in the past.
            let age = now.abs_diff(fetched_at);
            if age > max_age_ms || is_overtaken && !(has_waited && age <= GRACE) {
                return Lookup::Unknown;
            }
            if kind == ABSENT {
                return Lookup::Absent;
            }
            document.drain(..HEADER + key.len());
            return Lookup::Hit(document);
        }
        Lookup::Unknown
    }

    /// Remembers a record, or with None that there is none, in the place of the oldest entry of its set. A value
    /// that does not fit is not remembered: false. Only one thread of the I/O process may do this.
    pub fn put(&self, room: Room, key: &str, value: Option<&[u8]>, now: i64) -> bool {
        let tag = self.tag(key);
        // An earlier entry of the key is wrong now, in whichever room it is.
        ROOMS.into_iter().filter(|other| *other != room).for_each(|other| self.forget_in(other, tag));
        let set = self.set(room, tag);
        let age = |(e, _): &(&CacheTag, &CachedRecord)| {
            let is_of_use = e.tag.load(Ordering::Relaxed) != 0 && e.overtaken.load(Ordering::Relaxed) == 0;
            (is_of_use, e.fetched_at.load(Ordering::Relaxed))
        };
        let own = set.iter().find(|(e, _)| e.tag.load(Ordering::Relaxed) == tag);
        let Some((entry, record)) = own.or_else(|| set.iter().min_by_key(age)) else {
            return true;
        };
        let Ok(key_length) = u8::try_from(key.len()) else {
            return false;
        };
        let content = value.unwrap_or_default();
        let mut document = Vec::with_capacity(HEADER + key.len() + content.len());
        document.extend_from_slice(&now.to_le_bytes());
        document.push(if value.is_some() { PRESENT } else { ABSENT });
        document.push(key_length);
        document.extend_from_slice(key.as_bytes());
        document.extend_from_slice(content);
        let fits = record.write(&document);
        if fits {
            entry.fetched_at.store(now, Ordering::Relaxed);
            entry.overtaken.store(0, Ordering::Release);
            entry.tag.store(tag, Ordering::Release);
        } else if own.is_some() {
            entry.tag.store(0, Ordering::Release);
        }
        fits
    }

    fn with_tag(&self, room: Room, tag: u64) -> impl Iterator<Item = &'a CacheTag> {
        self.set(room, tag).tags.iter().filter(move |e| e.tag.load(Ordering::Relaxed) == tag)
    }

    fn forget_in(&self, room: Room, tag: u64) {
        self.with_tag(room, tag).for_each(|entry| entry.tag.store(0, Ordering::Release));
    }

    /// Removes what is known about a key. Only the thread that puts may do this.
    pub fn forget(&self, key: &str) {
        let tag = self.tag(key);
        ROOMS.into_iter().for_each(|room| self.forget_in(room, tag));
    }

    /// Notes that the record under a key may have changed. Its entry then serves only requests that have waited for
    /// it. Only the thread that puts may do this.
    pub fn overtake(&self, key: &str) {
        let tag = self.tag(key);
        for entry in ROOMS.into_iter().flat_map(|room| self.with_tag(room, tag)) {
            entry.overtaken.store(1, Ordering::Release);
        }
    }

    /// Notes that any record may have changed. Only the thread that puts may do this.
    pub fn overtake_all(&self) {
        for entry in self.entries.into_iter().flat_map(|entries| entries.tags) {
            entry.overtaken.store(1, Ordering::Release);
        }
    }
}

/// Time and kind of a document that is about this key.
fn header(document: &[u8], key: &str) -> Option<(i64, u8)> {
    let (time, rest) = document.split_first_chunk::<8>()?;
    let ([kind, length], rest) = rest.split_first_chunk::<2>()?;
    (rest.get(..usize::from(*length)) == Some(key.as_bytes())).then(|| (i64::from_le_bytes(*time), *kind))
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};
    use super::*;

    const AGE: u64 = 30_000;

    #[test]
    fn present_absent_and_unknown() {
        let arena = Arena::new(&Sizes { records: 16, ..Sizes::default() }, 0).unwrap();
        let cache = arena.records();
        assert_eq!(cache.get("s:a", 1000, AGE), Lookup::Unknown);
        cache.put(Room::Kept, "s:a", Some(b"value"), 1000);
        cache.put(Room::Kept, "s:b", None, 1000);
        assert_eq!(cache.get("s:a", 1000, AGE), Lookup::Hit(b"value".to_vec()));
        assert_eq!(cache.get("s:b", 31_000, AGE), Lookup::Absent);
        assert_eq!(cache.get("s:a", 31_001, AGE), Lookup::Unknown);
        assert_eq!(cache.get("s:a", -29_001, AGE), Lookup::Unknown);
        cache.put(Room::Kept, "s:a", Some(b""), 2000);
        assert_eq!(cache.get("s:a", 2000, AGE), Lookup::Hit(Vec::new()));
        cache.overtake("s:a");
        assert_eq!(cache.get("s:a", 2000, AGE), Lookup::Unknown);
        assert_eq!(cache.get("s:b", 2000, AGE), Lookup::Absent);
        cache.overtake_all();
        assert_eq!(cache.get("s:b", 2000, AGE), Lookup::Unknown);
    }

    #[test]
    fn what_was_overtaken_is_there_for_a_moment_for_those_who_have_waited_for_it() {
        let arena = Arena::new(&Sizes { records: 1, ..Sizes::default() }, 0).unwrap();
        let cache = arena.records();
        cache.put(Room::Kept, "a", Some(b"x"), 1000);
        cache.put(Room::Kept, "b", None, 1001);
        cache.overtake("a");
        cache.overtake_all();
        let waited = |key, now| cache.look(key, now, AGE, true);
        assert_eq!(waited("a", 2000), Lookup::Hit(b"x".to_vec()));
        assert_eq!(waited("b", 2001), Lookup::Absent);
        cache.overtake("a");
        assert_eq!((waited("a", 2001), waited("b", 2002)), (Lookup::Unknown, Lookup::Unknown), "since they were put");
        assert_eq!(cache.get("a", 1001, AGE), Lookup::Unknown, "who has not waited asks");
        cache.put(Room::Kept, "c", Some(b"z"), 900);
        cache.put(Room::Kept, "d", Some(b"z"), 901);
        cache.put(Room::Kept, "e", Some(b"z"), 902);
        assert_eq!(waited("a", 1001), Lookup::Unknown, "it makes room before those that are of use");
        assert_eq!(cache.get("c", 1000, AGE), Lookup::Hit(b"z".to_vec()));
        cache.put(Room::Kept, "b", Some(b"y"), 3000);
        assert_eq!(cache.get("b", 9000, AGE), Lookup::Hit(b"y".to_vec()));
    }

    #[test]
    fn what_does_not_fit_replaces_nothing_but_is_not_answered_stale() {
        let arena = Arena::new(&Sizes { records: 4, ..Sizes::default() }, 0).unwrap();
        let cache = arena.records();
        assert!(cache.put(Room::Kept, "k", Some(&[7; CAPACITY - HEADER - 1]), 1));
        assert_eq!(cache.get("k", 1, AGE), Lookup::Hit(vec![7; CAPACITY - HEADER - 1]));
        assert!(!cache.put(Room::Kept, "other", Some(&[7; CAPACITY]), 1));
        assert!(matches!(cache.get("k", 1, AGE), Lookup::Hit(_)));
        cache.put(Room::Kept, "k", Some(&[7; CAPACITY - HEADER]), 2);
        assert_eq!(cache.get("k", 2, AGE), Lookup::Unknown);
    }

    #[test]
    fn the_oldest_makes_room() {
        let arena = Arena::new(&Sizes { records: 1, ..Sizes::default() }, 0).unwrap();
        let cache = arena.records();
        for (time, key) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
            cache.put(Room::Kept, key, Some(key.as_bytes()), time as i64);
        }
        assert_eq!(cache.get("a", 5, AGE), Lookup::Unknown);
        for key in ["b", "c", "d", "e"] {
            assert_eq!(cache.get(key, 5, AGE), Lookup::Hit(key.as_bytes().to_vec()));
        }
    }

    #[test]
    fn each_room_displaces_its_own_kind_only_and_a_key_is_in_one_of_them() {
        let arena = Arena::new(&Sizes { records: 4, ..Sizes::default() }, 0).unwrap();
        let cache = arena.records();
        cache.put(Room::Kept, "alice", Some(b"sessions"), 1);
        cache.put(Room::Uses, "proof", Some(b"path"), 1);
        for number in 0..5000 {
            cache.put(Room::Passing, &format!("nobody{number}"), None, 2 + number);
        }
        assert_eq!(cache.get("alice", 5, AGE), Lookup::Hit(b"sessions".to_vec()));
        assert_eq!(cache.get("proof", 5, AGE), Lookup::Hit(b"path".to_vec()));
        assert_eq!(cache.get("nobody4999", 5001, AGE), Lookup::Absent);
        cache.put(Room::Passing, "alice", None, 6000);
        assert_eq!(cache.get("alice", 6000, AGE), Lookup::Absent);
        cache.put(Room::Kept, "alice", Some(b"more"), 6001);
        assert_eq!(cache.get("alice", 6001, AGE), Lookup::Hit(b"more".to_vec()));
        cache.overtake("alice");
        assert_eq!(cache.get("alice", 6001, AGE), Lookup::Unknown);
    }

    #[test]
    fn without_entries_nothing_is_remembered() {
        let arena = Arena::new(&Sizes { records: 0, ..Sizes::default() }, 0).unwrap();
        let cache = arena.records();
        cache.put(Room::Kept, "a", Some(b"x"), 1);
        cache.forget("a");
        assert_eq!(cache.get("a", 1, AGE), Lookup::Unknown);
    }

    #[test]
    fn a_reader_never_gets_the_value_of_another_key() {
        let arena = Arena::new(&Sizes { records: 4, ..Sizes::default() }, 0).unwrap();
        let cache = arena.records();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        for number in 0..9u8 {
                            if let Lookup::Hit(value) = cache.get(&format!("key{number}"), 0, u64::MAX) {
                                assert!(value.len() == 500 && value.iter().all(|o| *o == number));
                            }
                        }
                    }
                });
            }
            for round in 0..20_000 {
                let number = (round % 9) as u8;
                cache.put(Room::Kept, &format!("key{number}"), Some(&[number; 500]), round);
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
