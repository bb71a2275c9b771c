// SPDX-License-Identifier: MIT OR Apache-2.0
//! What tells one use of a proof of possession from another.

use std::hash::{DefaultHasher, Hash, Hasher};

use smallvec::SmallVec;

/// One use of a proof.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// Hash of what makes the proof unique: the session, Call-ID and CSeq.
    pub proof: u64,
    /// Hash of how the request came and of what it was: its proof, the branch of its Via, its source, its request line and
    /// the rest of it. The sender chooses these, so he must not be able to compute it.
    pub path: u64,
    /// Date of the request, Unix seconds.
    pub date: i64,
    /// Now, Unix seconds.
    pub now: i64,
}

/// What the guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The first use.
    First,
    /// The same request again, as UDP brings it.
    Again,
    /// Another request with the same proof.
    Replayed,
    /// Older than what the guard remembers: it may have been used.
    TooOld,
}

/// A hash that all processes agree on and that nobody without the key can compute.
pub fn hash_of(key: &[u8; 16], value: impl Hash) -> u64 {
    let mut gathered = Gathered::default();
    key.hash(&mut gathered);
    value.hash(&mut gathered);
    gathered.finish()
}

/// The same of many octets in one piece.
pub fn hash_of_octets(key: &[u8; 16], octets: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.write(octets);
    hasher.finish()
}

/// Everything that is hashed, so that it is hashed at once: that costs half as much as piece by piece.
#[derive(Default)]
struct Gathered(SmallVec<[u8; 192]>);

impl Hasher for Gathered {
    fn write(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    fn finish(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.0);
        hasher.finish()
    }
}
