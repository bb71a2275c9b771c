// SPDX-License-Identifier: MIT OR Apache-2.0
//! What distinguishes one use of a proof of possession from another.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Answer;
use crate::reason::Reason;

/// One use of a proof.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// Hash of what makes the proof unique: the key that made it, Call-ID and CSeq.
    pub proof: u64,
    /// Hash of how the request came and of what it contained: its proof, the branch of its Via, its source, its
    /// request line and the rest of the message. The sender chooses these, so the sender must not be able to
    /// compute the hash.
    pub path: u64,
    /// Date of the request, Unix seconds.
    pub date: i64,
    /// Now, Unix seconds.
    pub now: i64,
}

/// The verdict of the replay guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The first use.
    First,
    /// The same request again, as it happens over UDP.
    Again,
    /// Another request with the same proof.
    Replayed,
    /// The proof is older than what the guard remembers, so it may have been used.
    TooOld,
}

/// The verdict of this proxy's replay guard about a proof that is correct. `note` asks the guard. The first name
/// that was seen before decides, so that a retransmission of a refused request is refused.
pub fn judge_uses(mut answer: Answer, uses: &[Use], note: impl Fn(&Use) -> Seen) -> Answer {
    let refusal = uses.iter().find_map(|used| match note(used) {
        Seen::First | Seen::Again => None,
        Seen::Replayed => Some(Reason::PopReplayed),
        Seen::TooOld => Some(Reason::ReplayGuardYoung),
    });
    answer.reason = Some(refusal.unwrap_or(Reason::Ok));
    answer
}

/// A hash that all processes agree on and that nobody without the key can compute.
pub fn hash_of(key: &[u8; 16], value: impl Hash) -> u64 {
    let mut gathered = Gathered::default();
    key.hash(&mut gathered);
    value.hash(&mut gathered);
    gathered.finish()
}

/// A hash like that of [`hash_of`], for many octets in one piece.
pub fn hash_of_octets(key: &[u8; 16], octets: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.write(octets);
    hasher.finish()
}

/// Most octets that are gathered.
const ROOM: usize = 256;

/// Gathers small pieces, because hashing them one by one takes twice as long.
struct Gathered {
    octets: [u8; ROOM],
    length: usize,
    hasher: DefaultHasher,
}

impl Default for Gathered {
    fn default() -> Gathered {
        Gathered { octets: [0; ROOM], length: 0, hasher: DefaultHasher::new() }
    }
}

impl Hasher for Gathered {
    #[inline]
    fn write(&mut self, octets: &[u8]) {
        let end = self.length + octets.len();
        match self.octets.get_mut(self.length..end) {
            Some(room) => {
                room.copy_from_slice(octets);
                self.length = end;
            }
            None => {
                self.hasher.write(&self.octets[..self.length]);
                self.hasher.write(octets);
                self.length = 0;
            }
        }
    }

    fn finish(&self) -> u64 {
        let mut hasher = self.hasher.clone();
        hasher.write(&self.octets[..self.length]);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_is_hashed_like_one_piece() {
        let key = [7; 16];
        let whole: Vec<u8> = (0..2000).map(|octet| octet as u8).collect();
        for sizes in [&[1][..], &[3, 250, 7], &[255, 1, 1], &[256], &[300, 5], &[2000]] {
            let (mut gathered, mut rest, mut sizes) = (Gathered::default(), &whole[..], sizes.iter().cycle());
            gathered.write(&key);
            while let Some(size) = sizes.next().filter(|_| !rest.is_empty()) {
                let (piece, others) = rest.split_at((*size).min(rest.len()));
                gathered.write(piece);
                rest = others;
            }
            assert_eq!(gathered.finish(), hash_of_octets(&key, &whole));
        }
        assert_ne!(hash_of(&key, ("a", "bc")), hash_of(&key, ("ab", "c")));
        assert_ne!(hash_of(&key, "a"), hash_of(&[8; 16], "a"));
    }
}
