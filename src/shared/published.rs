// SPDX-License-Identifier: MIT OR Apache-2.0
//! A document that one process writes and all read, without locks.
//!
//! Two buffers: the writer fills the one that is not current, then moves the generation on. A reader that was
//! overtaken sees that the generation has changed and reads again.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use super::octets::{self, WORD};

/// The first document lies right behind the generation, mostly in the same page.
fn side_of(generation: u64) -> usize {
    (generation & 1 ^ 1) as usize
}

/// Room for a document of at most this many words of eight octets.
#[repr(C)]
pub struct Published<const WORDS: usize> {
    generation: AtomicU64,
    lengths: [AtomicUsize; 2],
    sides: [[AtomicU64; WORDS]; 2],
}

impl<const WORDS: usize> Published<WORDS> {
    /// Replaces the document. Only one process may do this at a time. False when it is too long.
    pub fn write(&self, document: &[u8]) -> bool {
        if document.len() > WORDS * WORD {
            return false;
        }
        let next = self.generation.load(Ordering::Relaxed) + 1;
        let side = side_of(next);
        // A reader of this side must see the newer generation before any of the octets that follow.
        fence(Ordering::Release);
        octets::store(&self.sides[side], document);
        self.lengths[side].store(document.len(), Ordering::Relaxed);
        self.generation.store(next, Ordering::Release);
        true
    }

    /// How often a document was written; 0 when none is there.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The document and its generation. None when there is none, or when the writer is faster than this reader.
    pub fn read(&self) -> Option<(u64, Vec<u8>)> {
        for _ in 0..16 {
            let generation = self.generation();
            if generation == 0 {
                return None;
            }
            let side = side_of(generation);
            let document = octets::load(&self.sides[side], self.lengths[side].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if self.generation.load(Ordering::Relaxed) == generation {
                return Some((generation, document));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn readers_never_see_half_a_document() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let bundle = &arena.shared().bundle;
        assert_eq!(bundle.read(), None);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !stop.load(Ordering::Relaxed) {
                        if let Some((generation, document)) = bundle.read() {
                            assert!(generation >= last);
                            last = generation;
                            assert!(document.iter().all(|b| *b == document[0]), "torn at {generation}");
                            assert_eq!(document.len(), 100 + usize::from(document[0]));
                        }
                    }
                });
            }
            for i in 0..20_000u32 {
                let octet = (i % 251) as u8;
                assert!(bundle.write(&vec![octet; 100 + usize::from(octet)]));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(bundle.generation(), 20_000);
        assert!(!bundle.write(&vec![0; 512 * 1024 + 1]));
    }
}
