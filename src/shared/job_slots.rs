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

use super::octets::{self, words};

/// Longest work in a slot, in octets. A token of 3,000 octets fits in.
pub const ROOM: usize = 4088;

/// Room for the work of one request.
#[repr(C)]
pub struct JobSlot {
    /// Words that may hold something.
    used: AtomicU64,
    cells: [AtomicU64; words(ROOM)],
}

const _: () = assert!(size_of::<JobSlot>() == 4096);

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
        let JobSlot { used, cells } = self.0.get(place).filter(|_| octets.len() <= ROOM)?;
        let (before, now) = (used.load(Relaxed) as usize, words(octets.len()));
        used.store(before.max(now) as u64, Relaxed);
        octets::store(cells, octets);
        // Nothing of somebody else's work stays behind this.
        cells[now..before.clamp(now, cells.len())].iter().for_each(|cell| cell.store(0, Relaxed));
        used.store(now as u64, Relaxed);
        Some(Content::of(octets))
    }

    /// Wipes the slot of a place.
    pub fn wipe(&self, place: usize) {
        if let Some(JobSlot { used, cells }) = self.0.get(place) {
            cells.iter().take(used.load(Relaxed) as usize).for_each(|cell| cell.store(0, Relaxed));
            used.store(0, Relaxed);
        }
    }

    /// Takes what is in the slot of a place, and leaves nothing of it there. None if that is not this content.
    pub fn take(&self, place: usize, content: Content) -> Option<Zeroizing<Vec<u8>>> {
        let length = content.length as usize;
        let JobSlot { cells, .. } = self.0.get(place).filter(|_| length <= ROOM)?;
        let octets = Zeroizing::new(octets::load(cells, length));
        if Content::of(&octets) != content {
            return None;
        }
        self.wipe(place);
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
        let longest = vec![7; ROOM];
        for octets in [&b""[..], b"a", b"12345678", b"123456789", &longest] {
            let content = slots.put(1, octets).unwrap();
            assert_eq!(slots.take(1, content).as_deref().map(Vec::as_slice), Some(octets));
            assert!(octets.is_empty() || slots.take(1, content).is_none(), "it is wiped");
        }
        let first = slots.put(0, b"of the first").unwrap();
        let other = slots.put(0, b"of the other").unwrap();
        assert_eq!(slots.take(0, first), None, "the place has come to somebody else");
        assert!(slots.take(0, other).is_some());
        let long = slots.put(0, &[1; 100]).unwrap();
        let short = slots.put(0, b"a").unwrap();
        assert!(slots.take(0, long).is_none() && slots.take(0, short).is_some());
        assert!(slots.0[0].cells.iter().all(|cell| cell.load(Relaxed) == 0), "nothing of the long one is left");
        let left = slots.put(0, b"left").unwrap();
        slots.wipe(0);
        assert_eq!(slots.take(0, left), None);
        assert_eq!(slots.put(2, b"a"), None);
        assert_eq!(slots.put(0, &[0; ROOM + 1]), None);
        assert_eq!(slots.take(9, first), None);
        assert_eq!(slots.take(0, Content { length: u32::MAX, hash: 0 }), None);
    }
}
