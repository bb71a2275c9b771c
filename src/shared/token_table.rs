// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tokens that were verified, for all processes: a table of fixed size without locks.
//!
//! A token has a name of 128 bits. What decides its place is the name mixed with another key, because time may tell
//! somebody that two tokens share a set: two sets, in either of which it may be, and a tag by which it is found there.
//! The name is always compared whole. Places may be shared, which costs nothing but room.
//!
//! Every process may write. A writer puts its process id into the entry's control word first, and a new version
//! without an id last. A reader reads that word before and after all others, so it never uses what a writer has begun.
//! If a writer is killed in between, its id stays, and the next writer who finds that this process is dead takes the
//! entry over. An entry whose writer is alive is left to that writer.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use super::process_id;
use super::start_key::StartKey;
use super::token_names::TokenName;
use sipoauth_core::check::known_token::WORDS;

/// Entries of one set.
const WAYS: usize = 8;
/// The time of the last use is kept in units of this many seconds.
const UNIT: i64 = 64;
/// An odd number that makes the second set independent of the first one.
const SECOND: u64 = 0x9E37_79B9_7F4A_7C15;
/// Bits of a place. In the build for fault injection there are few places, so that tokens share them.
const PLACE_BITS: u32 = if cfg!(feature = "fault-injection") { 4 } else { u64::BITS };

/// Room for one token.
#[repr(C)]
struct TokenEntry {
    /// Low half: the process that writes, 0 if none does. High half: the version.
    control: AtomicU64,
    name: [AtomicU64; 2],
    content: [AtomicU64; WORDS],
}

/// Entries that share a place, with their tags.
#[repr(C, align(64))]
pub struct TokenSet {
    /// For each entry: the tag in the high half, the time of its last use in the low half; 0: free.
    ways: [AtomicU64; WAYS],
    entries: [TokenEntry; WAYS],
}

const _: () = assert!(size_of::<TokenSet>() == 31 * 64, "a million tokens take 248 MB");

/// How many sets this many tokens need.
pub(super) fn sets_for(tokens: usize) -> usize {
    tokens.div_ceil(WAYS)
}

/// The table, as one process sees it.
#[derive(Clone, Copy)]
pub struct TokenTable<'a> {
    sets: &'a [TokenSet],
    places: &'a StartKey,
    place_bits: u32,
}

impl TokenEntry {
    /// The content, if this is the entry of that name, and is whole.
    #[inline]
    fn read(&self, name: &TokenName) -> Option<[u64; WORDS]> {
        let control = self.control.load(Acquire);
        let [first, second] = &self.name;
        // Both halves are always compared, so the time tells nothing about either.
        let differs = first.load(Relaxed) ^ name[0] | second.load(Relaxed) ^ name[1];
        if differs != 0 || control as u32 != 0 {
            return None;
        }
        let content = std::array::from_fn(|index| self.content[index].load(Relaxed));
        fence(Acquire);
        (self.control.load(Relaxed) == control).then_some(content)
    }

    /// Replaces the content. False if another process writes here.
    fn write(&self, name: &TokenName, content: &[u64; WORDS]) -> bool {
        let Some(version) = self.take() else {
            return false;
        };
        // Who sees any of the octets that follow must see that somebody writes.
        fence(Release);
        for (cell, word) in self.name.iter().zip(name).chain(self.content.iter().zip(content)) {
            cell.store(*word, Relaxed);
        }
        self.control.store((version + 1) << 32, Release);
        true
    }

    /// Takes the right to write, from nobody or from a dead process. Returns the version.
    fn take(&self) -> Option<u64> {
        let control = self.control.load(Relaxed);
        let writer = control as u32;
        if writer != 0 && process_id::is_alive(writer) {
            return None;
        }
        let version = control >> 32;
        let own = version << 32 | u64::from(process_id::id());
        self.control.compare_exchange(control, own, Acquire, Relaxed).is_ok().then_some(version & 0x7FFF_FFFF)
    }
}

impl<'a> TokenTable<'a> {
    pub(super) fn new(sets: &'a [TokenSet], places: &'a StartKey) -> TokenTable<'a> {
        TokenTable { sets, places, place_bits: PLACE_BITS }
    }

    /// True when there is room for no token at all.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// The two sets of a name, and its tag, which is not 0.
    #[inline]
    fn place(&self, name: &TokenName) -> Option<([&'a TokenSet; 2], u64)> {
        let key = self.places.words();
        let product = u128::from(name[0] ^ key[0]) * u128::from(name[1] ^ key[1]);
        let mut hash = product as u64 ^ (product >> 64) as u64;
        if self.place_bits < u64::BITS {
            hash &= (1 << self.place_bits) - 1;
        }
        let count = self.sets.len() as u64;
        let set = |hash: u64| self.sets.get(hash.checked_rem(count)? as usize);
        Some(([set(hash)?, set(hash.wrapping_mul(SECOND) >> 32)?], (hash >> 32).max(1)))
    }

    /// What was put for a token. `now` is in Unix seconds.
    #[inline]
    pub fn get(&self, name: &TokenName, now: i64) -> Option<[u64; WORDS]> {
        let (sets, tag) = self.place(name)?;
        for (way, entry) in sets.into_iter().flat_map(|set| set.ways.iter().zip(&set.entries)) {
            let word = way.load(Acquire);
            if word >> 32 != tag {
                continue;
            }
            if let Some(content) = entry.read(name) {
                let used = tag << 32 | unit(now);
                if used != word {
                    // If the entry was replaced meanwhile, that stays.
                    let _ = way.compare_exchange(word, used, Relaxed, Relaxed);
                }
                return Some(content);
            }
        }
        None
    }

    /// Remembers a token, in place of what was put for it before, or of the token of its sets that was not used for the
    /// longest time. Not if another process writes there just now. `now` is in Unix seconds.
    pub fn put(&self, name: &TokenName, content: &[u64; WORDS], now: i64) {
        let Some((sets, tag)) = self.place(name) else {
            return;
        };
        // Looked for in the order of `get`, which must find what is put last.
        let all = |set: &'a TokenSet| (0..WAYS).map(move |way| (&set.ways[way], &set.entries[way]));
        let is_own =
            |(way, entry): &(&AtomicU64, &TokenEntry)| way.load(Acquire) >> 32 == tag && entry.read(name).is_some();
        // Among several that are equally old, the name decides: not always the same one makes room.
        let first = name[1] as usize % WAYS;
        let turned = |set: &'a TokenSet| all(set).cycle().skip(first).take(WAYS);
        // A free one of the emptier set is the first of the oldest: so sets become full at the same time.
        let mut by_room = sets;
        by_room.sort_by_key(|set| set.ways.iter().filter(|way| way.load(Acquire) != 0).count());
        let oldest = || by_room.into_iter().flat_map(turned).min_by_key(|(way, _)| way.load(Acquire) as u32);
        let Some((way, entry)) = sets.into_iter().flat_map(all).find(is_own).or_else(oldest) else {
            return;
        };
        let before = way.load(Acquire);
        if entry.write(name, content) {
            way.store(tag << 32 | unit(now), Release);
        } else {
            // It is not the oldest any more, so whoever has taken it does not keep others from their places.
            let _ = way.compare_exchange(before, before >> 32 << 32 | unit(now), Relaxed, Relaxed);
        }
    }
}

fn unit(now: i64) -> u64 {
    (now / UNIT) as u32 as u64
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};
    use super::*;

    const NOW: i64 = 2_000_000_000;

    fn arena(tokens: usize) -> Arena {
        Arena::new(&Sizes { tokens, ..Sizes::default() }, 0).unwrap()
    }

    fn content(number: u64) -> [u64; WORDS] {
        std::array::from_fn(|index| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ index as u64)
    }

    fn name(number: u64) -> TokenName {
        [number, !number]
    }

    #[test]
    fn only_the_whole_name_finds_it() {
        let arena = arena(64);
        let table = arena.tokens();
        table.put(&name(7), &content(7), NOW);
        assert_eq!(table.get(&name(7), NOW), Some(content(7)));
        for other in [[7, 7], [!7, !7], [!7, 7], [7 ^ 1, !7], [7, !7 ^ (1 << 63)], [0, 0]] {
            assert_eq!(table.get(&other, NOW), None, "{other:x?}");
        }
        table.put(&name(7), &content(8), NOW);
        assert_eq!(table.get(&name(7), NOW), Some(content(8)), "the last one counts");
    }

    /// With places of so few bits all tokens share sets and tags. None is taken for another.
    #[test]
    fn tokens_that_share_a_place_are_told_apart() {
        let arena = arena(128);
        for bits in [0, 1, 4] {
            let table = TokenTable { place_bits: bits, ..arena.tokens() };
            let mut found = 0;
            for number in 0..2000 {
                table.put(&name(number), &content(number), NOW + number as i64 * UNIT);
                for other in [number, number.wrapping_sub(3), number + 1, number.wrapping_sub(700)] {
                    let got = table.get(&name(other), NOW + number as i64 * UNIT);
                    assert!(got.is_none_or(|got| got == content(other)), "{bits}: {other} after {number}");
                    found += u32::from(got.is_some());
                }
            }
            assert!(found >= 2000, "{bits}: each was there at first, {found}");
        }
    }

    #[test]
    fn the_one_that_was_not_used_for_longest_makes_room() {
        let arena = arena(WAYS);
        let table = arena.tokens();
        let ways = WAYS as u64;
        for number in 0..ways {
            table.put(&name(number), &content(number), NOW + number as i64 * UNIT);
        }
        let later = NOW + 100 * UNIT;
        for number in (0..ways).filter(|number| *number != 3) {
            assert!(table.get(&name(number), later).is_some(), "{number}");
        }
        table.put(&name(99), &content(99), later);
        let there: Vec<_> = (0..ways).filter(|number| table.get(&name(*number), later).is_some()).collect();
        assert_eq!(there, [0, 1, 2, 4, 5, 6, 7]);
        assert_eq!(table.get(&name(99), later), Some(content(99)));
    }

    /// A table that is as large as what it has to keep loses little of it.
    #[test]
    fn a_full_table_has_room_for_most() {
        let mixed = |number: u64| [number.wrapping_mul(SECOND), number.wrapping_mul(SECOND ^ 2)];
        for key in 0..4 {
            let arena = arena(4000);
            let table = TokenTable { places: &StartKey::of_number(key), ..arena.tokens() };
            for (tokens, most) in [(2000, 0), (3200, 8), (4000, 220)] {
                (0..tokens).for_each(|number| table.put(&mixed(number), &content(number), NOW));
                let lost = (0..tokens).filter(|number| table.get(&mixed(*number), NOW).is_none()).count();
                assert!(lost <= most, "{lost} of {tokens}, key {key}");
            }
        }
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let arena = arena(0);
        arena.tokens().put(&name(1), &content(1), NOW);
        assert!(arena.tokens().is_empty() && arena.tokens().get(&name(1), NOW).is_none());
    }

    #[test]
    fn what_another_process_writes_is_left_to_it_until_it_is_dead() {
        let arena = arena(1);
        let table = arena.tokens();
        table.put(&name(1), &content(1), NOW);
        let entry = table.sets[0].entries.iter().find(|entry| entry.control.load(Relaxed) != 0).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let version = entry.control.load(Relaxed);
        entry.control.store(version | u64::from(child.id()), Relaxed);
        // It had begun with other content under the same name.
        entry.content[3].store(0, Relaxed);
        assert_eq!(table.get(&name(1), NOW), None, "it is not whole");
        assert!(!entry.write(&name(1), &content(1)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(table.get(&name(1), NOW), None, "nor when its writer is dead");
        assert!(entry.write(&name(2), &content(2)));
        assert_eq!(entry.read(&name(2)), Some(content(2)));
        assert!(entry.control.load(Relaxed) > version);
    }

    /// The id of a killed writer may be that of another process now. Its entry is lost, and nothing else.
    #[test]
    fn an_entry_that_stays_taken_costs_nobody_else_a_place() {
        let arena = arena(WAYS);
        let table = arena.tokens();
        table.sets[0].entries[3].control.store(5 << 32 | 1, Relaxed);
        let found = (0..1000).filter(|number| {
            let time = NOW + *number as i64 * UNIT;
            table.put(&name(*number), &content(*number), time);
            table.get(&name(*number), time).is_some()
        });
        assert!(found.count() > 800);
    }

    #[test]
    fn what_is_put_last_is_found_also_beside_an_older_twin() {
        for half in 0..WAYS as u64 {
            let arena = arena(WAYS);
            let (table, name) = (arena.tokens(), [1, half]);
            table.put(&name, &content(1), NOW);
            // While another process writes this token, a twin is made.
            let entry = table.sets[0].entries.iter().find(|entry| entry.control.load(Relaxed) != 0).unwrap();
            let control = entry.control.load(Relaxed);
            entry.control.store(control | 1, Relaxed);
            table.put(&name, &content(2), NOW);
            entry.control.store(control + (1 << 32), Relaxed);
            table.put(&name, &content(3), NOW);
            assert_eq!(table.get(&name, NOW), Some(content(3)), "{half}");
        }
    }

    #[test]
    fn a_reader_never_gets_half_an_entry() {
        let arena = arena(1);
        let table = arena.tokens();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        for number in 0..20 {
                            assert!(table.get(&name(number), NOW).is_none_or(|got| got == content(number)));
                        }
                    }
                });
            }
            for round in 0..200_000 {
                table.put(&name(round % 20), &content(round % 20), NOW);
            }
            stop.store(true, Relaxed);
        });
    }
}
