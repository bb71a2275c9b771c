// SPDX-License-Identifier: MIT OR Apache-2.0
//! The work of requests that wait, until the I/O service takes it: a slot for each of the first waiting places.
//!
//! Whoever has a place may write its slot. If a place has come to somebody else before the I/O service reads, or a
//! writer is killed, the content is not what its notice says, so the reader compares the hash that came with the notice.
#![forbid(unsafe_code)]

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foldhash::fast::FixedState;
use zeroize::Zeroizing;

/// Octets of a word.
const WORD: usize = size_of::<u64>();
/// Words of a slot. A token of 3,000 octets fits in.
const WORDS: usize = 512;

/// Room for the work of one request.
#[repr(C)]
pub struct JobSlot([AtomicU64; WORDS]);

/// What a slot held when it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Octets.
    pub length: u32,
    /// Their hash. It is not secret and finds accidents only.
    pub hash: u64,
}

impl Content {
    fn of(octets: &[u8]) -> Content {
        Content { length: octets.len() as u32, hash: FixedState::with_seed(0).hash_one(octets) }
    }
}

/// The slots, as one process sees them.
#[derive(Clone, Copy)]
pub struct JobSlots<'a>(pub(super) &'a [JobSlot]);

impl JobSlots<'_> {
    /// Writes the slot of a place. None if the place has no slot, or if this is too long.
    pub fn put(&self, place: usize, octets: &[u8]) -> Option<Content> {
        let JobSlot(cells) = self.0.get(place).filter(|_| octets.len() <= WORDS * WORD)?;
        for (cell, octets) in cells.iter().zip(octets.chunks(WORD)) {
            let mut word = [0; WORD];
            word[..octets.len()].copy_from_slice(octets);
            cell.store(u64::from_ne_bytes(word), Relaxed);
        }
        Some(Content::of(octets))
    }

    /// Takes what is in the slot of a place, and leaves nothing of it there. None if that is not this content.
    pub fn take(&self, place: usize, content: Content) -> Option<Zeroizing<Vec<u8>>> {
        let length = content.length as usize;
        let JobSlot(cells) = self.0.get(place).filter(|_| length <= WORDS * WORD)?;
        let cells = &cells[..length.div_ceil(WORD)];
        let mut octets = Zeroizing::new(Vec::with_capacity(cells.len() * WORD));
        cells.iter().for_each(|cell| octets.extend_from_slice(&cell.load(Relaxed).to_ne_bytes()));
        octets.truncate(length);
        if Content::of(&octets) != content {
            return None;
        }
        cells.iter().for_each(|cell| cell.store(0, Relaxed));
        Some(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};
    use super::*;

    #[test]
    fn only_what_was_written_is_taken_and_only_once() {
        let arena = Arena::new(&Sizes { jobs: 2, ..Sizes::default() }, 0).unwrap();
        let slots = arena.job_slots();
        let longest = vec![7; WORDS * WORD];
        for octets in [&b""[..], b"a", b"12345678", b"123456789", &longest] {
            let content = slots.put(1, octets).unwrap();
            assert_eq!(slots.take(1, content).as_deref().map(Vec::as_slice), Some(octets));
            assert!(octets.is_empty() || slots.take(1, content).is_none(), "it is wiped");
        }
        let first = slots.put(0, b"of the first").unwrap();
        let other = slots.put(0, b"of the other").unwrap();
        assert_eq!(slots.take(0, first), None, "the place has come to somebody else");
        assert!(slots.take(0, other).is_some());
        assert_eq!(slots.put(2, b"a"), None);
        assert_eq!(slots.put(0, &[0; WORDS * WORD + 1]), None);
        assert_eq!(slots.take(9, first), None);
        assert_eq!(slots.take(0, Content { length: u32::MAX, hash: 0 }), None);
    }
}
