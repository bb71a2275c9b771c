// SPDX-License-Identifier: MIT OR Apache-2.0
//! Callers that wait in their own thread or process. The I/O service tells them here that their work is done.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Callers that are told apart at once.
const PLACES: usize = 256;

/// One number per place: the latest wait there that is over. With more callers than places, a caller may be told too
/// early; it then finds that its work is not done.
#[repr(C)]
pub struct Waits {
    next: AtomicU64,
    over: [AtomicU64; PLACES],
}

impl Waits {
    /// The number of a new wait; never 0, never `u64::MAX`.
    pub fn begin(&self) -> u64 {
        self.next.fetch_add(1, SeqCst) + 1
    }

    fn place(&self, wait: u64) -> &AtomicU64 {
        &self.over[wait as usize % PLACES]
    }

    /// Notes that the work of a wait is done.
    pub fn end(&self, wait: u64) {
        self.place(wait).fetch_max(wait, SeqCst);
    }

    /// True when the work of a wait is done.
    pub fn is_over(&self, wait: u64) -> bool {
        self.place(wait).load(SeqCst) >= wait
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Sizes};

    #[test]
    fn each_wait_has_its_own_end() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let waits = &arena.shared().waits;
        let (first, second) = (waits.begin(), waits.begin());
        waits.end(second);
        assert!(!waits.is_over(first) && waits.is_over(second));
        waits.end(first);
        assert!(waits.is_over(first));
    }
}
