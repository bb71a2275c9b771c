// SPDX-License-Identifier: MIT OR Apache-2.0
//! How keys are written in LMDB. A key of one letter, a colon and hex digits is packed, which takes half the room.
//! The first octet of a packed key has its high bit set, so it is never taken for a plain key, which is printable
//! ASCII. Packed keys come after plain ones.

use smallvec::SmallVec;

use sipoauth_core::text::fingerprint::{nibble, push_hex};

/// Octets of a time, Unix milliseconds.
const TIME: usize = 6;
/// The latest time that can be written; it stands for never.
pub const NEVER: i64 = (1 << (8 * TIME)) - 1;
const MARK: u8 = 0x80;
/// Octets of a packed key that a place holds.
const NAME: usize = 9;

/// The letter of a key, and what comes after the colon.
fn parts(key: &str) -> Option<(u8, &[u8])> {
    match key.as_bytes() {
        [letter, b':', rest @ ..] if letter.is_ascii() => Some((*letter, rest)),
        _ => None,
    }
}

fn push_digits(out: &mut Packed, digits: &[u8]) -> Option<()> {
    for pair in digits.chunks(2) {
        out.push(nibble(pair[0])? << 4 | pair.get(1).map_or(Some(0), |digit| nibble(*digit))?);
    }
    Some(())
}

/// A key as it is stored. The keys of accounts and tokens need no allocation.
pub type Packed = SmallVec<[u8; 40]>;

/// A key as it is stored.
pub fn packed(key: &str) -> Packed {
    let mut out = Packed::new();
    if let Some((letter, digits)) =
        parts(key).filter(|(_, digits)| digits.len().is_multiple_of(2) && !digits.is_empty())
    {
        out.push(letter | MARK);
        if push_digits(&mut out, digits).is_some() {
            return out;
        }
        out.clear();
    }
    out.extend_from_slice(key.as_bytes());
    out
}

/// The key that a stored key stands for.
pub fn unpacked(stored: &[u8]) -> String {
    match stored {
        [letter, octets @ ..] if letter & MARK != 0 => {
            let mut text = String::with_capacity(2 + 2 * octets.len());
            text.push(char::from(letter & !MARK));
            text.push(':');
            push_hex(&mut text, octets);
            text
        }
        _ => String::from_utf8_lossy(stored).into_owned(),
    }
}

/// True for keys that are stored without packing.
pub fn is_plain(stored: &[u8]) -> bool {
    stored.first().is_none_or(|octet| octet & MARK == 0)
}

/// The part of a stored key that its place in the order of time holds: the beginning of a packed key, the whole of a
/// plain one. Packed keys are hashes, or times with random numbers, so few have the same beginning.
pub fn place_name(stored: &[u8]) -> &[u8] {
    if is_plain(stored) { stored } else { &stored[..stored.len().min(NAME)] }
}

/// The first packed key that may begin with a prefix; None when no packed key can.
pub fn first_packed(prefix: &str) -> Option<Packed> {
    let mut first = Packed::new();
    match (prefix.as_bytes(), parts(prefix)) {
        ([], _) => first.push(MARK),
        ([letter], _) => first.push(letter | MARK),
        (_, Some((letter, digits))) => {
            first.push(letter | MARK);
            push_digits(&mut first, digits)?;
        }
        _ => return None,
    }
    Some(first)
}

/// A time as it is stored, at least 0. The octets sort as the times do.
pub fn time_octets(time: i64) -> [u8; TIME] {
    let mut octets = [0; TIME];
    octets.copy_from_slice(&time.clamp(0, NEVER).to_be_bytes()[8 - TIME..]);
    octets
}

/// A stored time, and what comes after it.
pub fn split_time(octets: &[u8]) -> Option<(i64, &[u8])> {
    let (time, rest) = octets.split_first_chunk::<TIME>()?;
    let mut all = [0; 8];
    all[8 - TIME..].copy_from_slice(time);
    Some((i64::from_be_bytes(all), rest))
}

/// The times of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Its end.
    pub expires_at: i64,
    /// When it is due; [`NEVER`] if it is never due.
    pub due_at: i64,
}

/// The latest end that can be written. The high bit of an end says that no due time follows.
const LAST_END: i64 = (1 << (8 * TIME - 1)) - 1;

/// Appends the times that stand before a value. Most records are never due, which the high bit of the end says.
pub fn push_times(out: &mut Vec<u8>, times: Times) {
    let mut end = time_octets(times.expires_at.min(LAST_END));
    if times.due_at >= NEVER {
        end[0] |= MARK;
        out.extend_from_slice(&end);
    } else {
        out.extend_from_slice(&end);
        out.extend_from_slice(&time_octets(times.due_at));
    }
}

/// The times, and what comes after them.
pub fn split_times(octets: &[u8]) -> Option<(Times, &[u8])> {
    let (first, rest) = split_time(octets)?;
    let expires_at = first & LAST_END;
    let (due_at, rest) = if first > LAST_END { (NEVER, rest) } else { split_time(rest)? };
    Some((Times { expires_at, due_at }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hex_takes_half_the_room() {
        assert_eq!(packed("a:00ff").as_slice(), [b'a' | MARK, 0, 255]);
        for plain in ["a", "a:", "a:0", "a:0g", "a:0F", "ab:00", "m:key-check", "u*[a]:1"] {
            assert_eq!(packed(plain).as_slice(), plain.as_bytes(), "{plain}");
        }
        assert_eq!(first_packed("a:0").as_deref(), Some(&[b'a' | MARK, 0][..]));
        assert_eq!(first_packed("a:x"), None);
        assert_eq!(first_packed("").as_deref(), Some(&[MARK][..]));
        assert_eq!(first_packed("a").as_deref(), Some(&[b'a' | MARK][..]));
    }

    #[test]
    fn times_sort() {
        let times = [0, 1, 255, 256, 1_764_300_000_000, NEVER];
        assert!(times.map(time_octets).is_sorted());
        for time in times {
            assert_eq!(split_time(&time_octets(time)), Some((time, &[][..])));
        }
        assert_eq!(time_octets(-1), time_octets(0));
        assert_eq!(time_octets(i64::MAX), time_octets(NEVER));
        assert_eq!(split_time(&[0; 5]), None);
    }

    #[test]
    fn only_due_times_take_room() {
        for (expires_at, due_at, length) in [(1, NEVER, 6), (LAST_END, 0, 12), (0, NEVER - 1, 12), (NEVER, NEVER, 6)] {
            let mut octets = Vec::new();
            push_times(&mut octets, Times { expires_at, due_at });
            assert_eq!(octets.len(), length);
            let times = Times { expires_at: expires_at.min(LAST_END), due_at };
            octets.push(7);
            assert_eq!(split_times(&octets), Some((times, &[7][..])));
        }
        assert_eq!((split_times(&[0; 11]), split_times(&[0x80; 5])), (None, None));
    }

    proptest! {
        #[test]
        fn every_key_comes_back(key in "([a-z]:[0-9a-f]{0,40}|[!-~]{1,128})") {
            prop_assert_eq!(unpacked(&packed(&key)), key);
        }

        #[test]
        fn a_prefix_is_found(key in "[a-c]:[0-9a-f]{2,8}", cut in 0usize..10) {
            let prefix = &key[..cut.min(key.len())];
            let stored = packed(&key);
            prop_assert!(is_plain(&stored) || first_packed(prefix).is_some_and(|first| first <= stored));
        }
    }
}
