// SPDX-License-Identifier: MIT OR Apache-2.0
//! Octets in shared memory, eight in each word.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Octets of a word.
pub const WORD: usize = size_of::<u64>();

/// How many words hold this many octets.
pub const fn words(octets: usize) -> usize {
    octets.div_ceil(WORD)
}

/// Writes octets for which there is room.
pub fn store(cells: &[AtomicU64], octets: &[u8]) {
    for (cell, octets) in cells.iter().zip(octets.chunks(WORD)) {
        let mut word = [0; WORD];
        word[..octets.len()].copy_from_slice(octets);
        cell.store(u64::from_ne_bytes(word), Relaxed);
    }
}

/// Reads the first octets, at most as many as there are.
pub fn load(cells: &[AtomicU64], length: usize) -> Vec<u8> {
    let cells = &cells[..words(length).min(cells.len())];
    let mut octets = Vec::with_capacity(cells.len() * WORD);
    cells.iter().for_each(|cell| octets.extend_from_slice(&cell.load(Relaxed).to_ne_bytes()));
    octets.truncate(length);
    octets
}
