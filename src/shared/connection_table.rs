// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each connection is bound to. Every process can read it, because different workers may serve the requests of
//! one connection.
//!
//! Any process may write, and none takes a lock that it could keep when it dies. Instead each entry carries SHA-256
//! over the connection, its peer and the content. An entry whose digest does not agree (half written, written by two
//! processes at once, of another connection) counts as absent, and the phone is asked for its credentials.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::octets::{self, words};
use super::start_key::StartKey;
use sipoauth_core::sip::sender::Network;

/// Entries of one set. The hash of a connection's number decides its set.
const WAYS: usize = 4;
const WORDS: usize = 505;
/// Longest content in octets. With it an entry fills one page of memory; pages that no entry has reached cost nothing.
pub const CAPACITY: usize = WORDS * 8;
/// From this bit on, the word that has the length holds a hash of the peer's network.
const SOURCE_SHIFT: u32 = 16;
/// How often a reader looks at an entry that is being written just now.
const TRIES: usize = 3;

/// Room for one connection.
#[repr(C)]
pub struct ConnectionEntry {
    /// The connection; 0: free.
    connection: AtomicU64,
    /// Unix milliseconds of the last use, for the choice of the entry that makes room.
    used_at: AtomicI64,
    /// Octets of the content, and from [`SOURCE_SHIFT`] on a hash of the network of the peer.
    length: AtomicU64,
    digest: [AtomicU64; 4],
    content: [AtomicU64; WORDS],
}

/// A connection as the host names it, never 0, and its peer. Hosts number connections, and a number may come again;
/// the peer's address and port tell such connections apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// The host's number.
    pub number: u64,
    /// Address and port of the peer.
    pub peer: (&'a str, u16),
}

/// The table, as one process sees it.
#[derive(Clone, Copy)]
pub struct ConnectionTable<'a> {
    entries: &'a [ConnectionEntry],
    key: &'a StartKey,
}

/// Entries in the arena for at least this many connections.
pub(super) fn rounded(connections: usize) -> usize {
    connections.next_multiple_of(WAYS)
}

fn digest_of(connection: &Connection<'_>, content: &[u8]) -> [u64; 4] {
    let (address, port) = connection.peer;
    let digest = Sha256::new()
        .chain_update(connection.number.to_le_bytes())
        .chain_update(port.to_le_bytes())
        .chain_update((address.len() as u64).to_le_bytes())
        .chain_update(address)
        .chain_update(content)
        .finalize();
    let mut words = [0; 4];
    for (word, octets) in words.iter_mut().zip(digest.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*octets);
    }
    words
}

impl ConnectionEntry {
    fn holds(&self, number: u64) -> bool {
        self.connection.load(Ordering::Acquire) == number
    }

    fn digest(&self) -> [u64; 4] {
        std::array::from_fn(|i| self.digest[i].load(Ordering::Relaxed))
    }

    fn read(&self, connection: &Connection<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let length = Some(self.length.load(Ordering::Relaxed) as usize & ((1 << SOURCE_SHIFT) - 1))
            .filter(|l| *l <= CAPACITY)?;
        let content = Zeroizing::new(octets::load(&self.content, length));
        (digest_of(connection, &content) == self.digest()).then_some(content)
    }

    /// Hash of the network of its peer.
    fn source(&self) -> u64 {
        self.length.load(Ordering::Relaxed) >> SOURCE_SHIFT
    }

    fn write(&self, source: u64, digest: [u64; 4], content: &[u8]) {
        self.length.store(source << SOURCE_SHIFT | content.len() as u64, Ordering::Relaxed);
        // All words are written, so that nothing of a longer token stays behind a shorter one.
        octets::store(&self.content, content);
        self.content[words(content.len())..].iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
        for (cell, word) in self.digest.iter().zip(digest) {
            cell.store(word, Ordering::Relaxed);
        }
    }

    /// Frees the entry. The content may be a token, so it is overwritten.
    fn wipe(&self) {
        self.connection.store(0, Ordering::Release);
        self.digest.iter().chain(&self.content).for_each(|cell| cell.store(0, Ordering::Relaxed));
    }
}

impl<'a> ConnectionTable<'a> {
    pub(super) fn new(entries: &'a [ConnectionEntry], key: &'a StartKey) -> ConnectionTable<'a> {
        ConnectionTable { entries, key }
    }

    /// True when no connection can be bound.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn set(&self, number: u64) -> &'a [ConnectionEntry] {
        let sets = (self.entries.len() / WAYS) as u64;
        let Some(set) = self.key.hash(number).checked_rem(sets) else {
            return &[];
        };
        let first = set as usize * WAYS;
        &self.entries[first..first + WAYS]
    }

    /// What a connection is bound to. `now` is Unix milliseconds.
    pub fn get(&self, connection: &Connection<'_>, now: i64) -> Option<Zeroizing<Vec<u8>>> {
        let holds = |entry: &&ConnectionEntry| connection.number != 0 && entry.holds(connection.number);
        let entry = self.set(connection.number).iter().find(holds)?;
        let content = (0..TRIES).find_map(|_| entry.read(connection))?;
        entry.used_at.store(now, Ordering::Relaxed);
        Some(content)
    }

    /// Binds a connection, in place of what it was bound to before. A new connection takes the place of the one that
    /// was not used for the longest time, if possible of one of the same source, so that no source can unbind all
    /// others. True when this changed something. Content that does not fit unbinds the connection.
    pub fn put(&self, connection: &Connection<'_>, content: &[u8], now: i64) -> bool {
        if content.len() > CAPACITY || connection.number == 0 {
            self.forget(connection.number);
            return false;
        }
        let set = self.set(connection.number);
        let own = set.iter().find(|e| e.holds(connection.number));
        let source = match own {
            Some(entry) => entry.source(),
            None => self.key.hash(Network::of(connection.peer.0)) >> SOURCE_SHIFT,
        };
        let age = |e: &&ConnectionEntry| {
            let taken = e.connection.load(Ordering::Relaxed) != 0;
            (taken, taken && e.source() != source, e.used_at.load(Ordering::Relaxed))
        };
        let Some(entry) = own.or_else(|| set.iter().min_by_key(age)) else {
            return false;
        };
        let digest = digest_of(connection, content);
        let changed = own.is_none() || entry.digest() != digest;
        if own.is_none() {
            entry.wipe();
        }
        // Written even when nothing seems to change, because a writer that died may have left the digest and half of
        // the content.
        entry.write(source, digest, content);
        entry.used_at.store(now, Ordering::Relaxed);
        entry.connection.store(connection.number, Ordering::Release);
        // Two writers at once may have taken two entries. Nobody must find the older one later.
        set.iter().filter(|e| e.holds(connection.number) && !std::ptr::eq(*e, entry)).for_each(ConnectionEntry::wipe);
        changed
    }

    /// Wipes entries that were not used for `unused` milliseconds, because hosts do not learn of the end of every
    /// connection. Called by one process now and then. A binding that is put at this very moment may be lost; its
    /// phone is asked again.
    pub fn sweep(&self, unused: i64, now: i64) {
        for entry in self.entries.iter().filter(|e| !e.holds(0)) {
            if now.saturating_sub(entry.used_at.load(Ordering::Relaxed)) > unused {
                entry.wipe();
            }
        }
    }

    /// Unbinds a connection, because it has ended, or because what it was bound to has ended.
    pub fn forget(&self, number: u64) {
        if number != 0 {
            self.set(number).iter().filter(|e| e.holds(number)).for_each(ConnectionEntry::wipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};
    use super::*;

    const PEER: (&str, u16) = ("192.0.2.1", 40000);

    fn arena(connections: usize) -> Arena {
        Arena::new(&Sizes { connections, ..Sizes::default() }, 0).unwrap()
    }

    fn at(number: u64) -> Connection<'static> {
        Connection { number, peer: PEER }
    }

    fn found(table: &ConnectionTable<'_>, connection: &Connection<'_>) -> Option<Vec<u8>> {
        table.get(connection, 0).map(|content| content.to_vec())
    }

    #[test]
    fn an_entry_is_a_page() {
        assert_eq!(size_of::<ConnectionEntry>(), 4096);
    }

    #[test]
    fn bound_replaced_and_forgotten() {
        let arena = arena(16);
        let table = arena.connections();
        assert_eq!(found(&table, &at(1)), None);
        assert!(table.put(&at(1), b"alice", 0));
        assert!(!table.put(&at(1), b"alice", 1), "nothing has changed");
        assert_eq!(found(&table, &at(1)), Some(b"alice".to_vec()));
        assert!(table.put(&at(1), b"bob", 2));
        assert_eq!(found(&table, &at(1)), Some(b"bob".to_vec()));
        assert_eq!(found(&table, &at(2)), None);
        table.forget(1);
        assert_eq!(found(&table, &at(1)), None);
        let left = arena.connections().entries.iter().flat_map(|e| &e.content);
        assert!(left.into_iter().all(|word| word.load(Ordering::Relaxed) == 0), "nothing of it stays in memory");
    }

    #[test]
    fn a_shorter_token_leaves_nothing_of_the_longer_one() {
        let arena = arena(4);
        let table = arena.connections();
        table.put(&at(1), &[7; CAPACITY], 0);
        table.put(&at(1), b"short", 1);
        let entry = table.set(1).iter().find(|e| e.holds(1)).unwrap();
        assert!(entry.content[1..].iter().all(|word| word.load(Ordering::Relaxed) == 0));
        assert_eq!(found(&table, &at(1)), Some(b"short".to_vec()));
    }

    #[test]
    fn what_was_not_used_for_long_is_swept() {
        let arena = arena(16);
        let table = arena.connections();
        for number in 1..=3 {
            table.put(&at(number), b"token", 1000);
        }
        assert!(table.get(&at(2), 4000).is_some(), "used again");
        table.put(&at(3), b"token", 5000);
        table.sweep(3000, 4000);
        assert!(found(&table, &at(1)).is_some(), "exactly so long");
        table.get(&at(1), 1000);
        table.sweep(3000, 4001);
        let left: Vec<u64> = (1..=3).filter(|n| found(&table, &at(*n)).is_some()).collect();
        assert_eq!(left, [2, 3]);
        let swept = table.entries.iter().filter(|e| e.holds(0)).flat_map(|e| &e.content);
        assert!(swept.into_iter().all(|word| word.load(Ordering::Relaxed) == 0), "nothing of it stays in memory");
    }

    #[test]
    fn a_number_that_comes_again_is_not_the_same_connection() {
        let arena = arena(16);
        let table = arena.connections();
        table.put(&at(1), b"alice", 0);
        for peer in [("192.0.2.2", 40000), ("192.0.2.1", 40001), ("192.0.2.", 40000), ("", 0)] {
            assert_eq!(found(&table, &Connection { number: 1, peer }), None, "{peer:?}");
        }
        assert_eq!(found(&table, &at(1)), Some(b"alice".to_vec()));
        let other = Connection { number: 1, peer: ("192.0.2.2", 40000) };
        table.put(&other, b"bob", 1);
        assert_eq!((found(&table, &at(1)), found(&table, &other)), (None, Some(b"bob".to_vec())));
    }

    #[test]
    fn zero_is_no_connection() {
        let arena = arena(4);
        let table = arena.connections();
        assert!(!table.put(&at(0), b"alice", 0));
        assert_eq!(found(&table, &at(0)), None);
        table.forget(0);
    }

    #[test]
    fn what_does_not_fit_unbinds() {
        let arena = arena(4);
        let table = arena.connections();
        assert!(table.put(&at(1), &[7; CAPACITY], 0));
        assert_eq!(found(&table, &at(1)), Some(vec![7; CAPACITY]));
        assert!(!table.put(&at(1), &[7; CAPACITY + 1], 0));
        assert_eq!(found(&table, &at(1)), None);
        assert!(table.put(&at(1), b"", 0));
        assert_eq!(found(&table, &at(1)), Some(Vec::new()));
    }

    #[test]
    fn in_a_full_table_the_one_that_was_not_used_makes_room() {
        let arena = arena(1);
        let table = arena.connections();
        for number in 1..=4 {
            table.put(&at(number), b"x", number as i64);
        }
        assert!(table.get(&at(1), 10).is_some(), "used again");
        table.put(&at(5), b"x", 11);
        let left: Vec<u64> = (1..=5).filter(|n| found(&table, &at(*n)).is_some()).collect();
        assert_eq!(left, [1, 3, 4, 5]);
    }

    #[test]
    fn without_entries_nothing_is_bound() {
        let arena = arena(0);
        assert!(!arena.connections().put(&at(1), b"x", 0));
        assert_eq!(found(&arena.connections(), &at(1)), None);
    }

    /// Wherever a writer dies, the entry is whole or counts as absent, and the next writer mends it.
    #[test]
    fn a_writer_that_died_leaves_nothing_that_counts() {
        let arena = arena(4);
        let table = arena.connections();
        let (old, new) = ([b'o'; 40], [b'n'; 48]);
        let (old_words, new_words) = (digest_of(&at(1), &old), digest_of(&at(1), &new));
        for stores in 0..11 {
            table.put(&at(1), &old, 0);
            let entry = table.set(1).iter().find(|e| e.holds(1)).unwrap();
            // In the order of `write`: the length, six words of content, four of the digest.
            for store in 0..stores {
                match store {
                    0 => entry.length.store(48, Ordering::Relaxed),
                    1..=6 => entry.content[store - 1].store(u64::from_le_bytes([b'n'; 8]), Ordering::Relaxed),
                    _ => entry.digest[store - 7].store(new_words[store - 7], Ordering::Relaxed),
                }
            }
            let expected = (stores == 0).then_some(&old[..]);
            assert_eq!(found(&table, &at(1)).as_deref(), expected, "{stores}");
            table.put(&at(1), &old, 0);
            assert_eq!(found(&table, &at(1)), Some(old.to_vec()), "{stores}");
        }
        assert_ne!(old_words, new_words);
    }

    #[test]
    fn two_writers_and_readers_never_make_a_third_identity() {
        let arena = arena(4);
        let table = arena.connections();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = |first: u8| {
                move || {
                    for round in 0..4000u32 {
                        // Six connections in a set of four: entries change hands all the time.
                        let number = u64::from(round % 6 + 1);
                        let octet = first + number as u8;
                        table.put(&at(number), &vec![octet; 100 + 60 * usize::from(octet)], i64::from(round));
                    }
                }
            };
            let writers = [scope.spawn(writer(0)), scope.spawn(writer(10))];
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        for number in 1..=6u8 {
                            let Some(content) = table.get(&at(u64::from(number)), 0) else { continue };
                            let octet = content[0];
                            assert!([number, number + 10].contains(&octet), "{octet} on {number}");
                            assert!(content.iter().all(|o| *o == octet), "torn");
                            assert_eq!(content.len(), 100 + 60 * usize::from(octet));
                        }
                    }
                });
            }
            for writer in writers {
                writer.join().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
