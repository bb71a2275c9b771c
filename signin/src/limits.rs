// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many requests one source may send in a minute. The memory for it does not grow.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::source::Source;

/// Places, of eight octets each. Sources that share one share its limit. Nobody can choose with whom, because the hash
/// has a key.
const PLACES: usize = 1 << 16;

/// What is limited apart.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Kind {
    /// Sign-ins and changes.
    Deed,
    /// Logout tokens that were refused. Good ones have no limit, because many users may log out at once.
    Forgery,
    /// All other requests.
    Look,
}

/// The numbers of this minute.
pub struct SourceLimits {
    /// Minute in the upper half, number in the lower.
    places: Box<[AtomicU64]>,
    hasher: RandomState,
    deeds: u32,
}

impl SourceLimits {
    /// `deeds` in a minute, and ten times as many looks.
    pub fn new(deeds: u32) -> SourceLimits {
        SourceLimits { places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new(), deeds }
    }

    /// Counts a request. False: it is one too many. `now` is in Unix milliseconds.
    pub fn charge(&self, source: &Source, kind: Kind, now: i64) -> bool {
        let (place, minute, most) = self.place(source, kind, now);
        let charged = place.fetch_update(Relaxed, Relaxed, |found| {
            let number = number_in(found, minute);
            (number < most).then_some(minute << 32 | (number + 1))
        });
        charged.is_ok()
    }

    /// False when the source has sent as many as it may. Counts nothing.
    pub fn has_room(&self, source: &Source, kind: Kind, now: i64) -> bool {
        let (place, minute, most) = self.place(source, kind, now);
        number_in(place.load(Relaxed), minute) < most
    }

    /// Where the requests of a source are counted, the minute, and how many there may be in it.
    fn place(&self, source: &Source, kind: Kind, now: i64) -> (&AtomicU64, u64, u64) {
        let most = u64::from(match kind {
            Kind::Deed | Kind::Forgery => self.deeds,
            Kind::Look => self.deeds * 10,
        });
        let minute = (now / 60_000) as u64 & u64::from(u32::MAX);
        let place = self.hasher.hash_one((source.network(), kind)) as usize % PLACES;
        (&self.places[place], minute, most)
    }
}

fn number_in(found: u64, minute: u64) -> u64 {
    if found >> 32 == minute { found & u64::from(u32::MAX) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_own_limit_for_each_kind() {
        let limits = SourceLimits::new(3);
        let source = |text: &str| Source::of_peer(text.parse().unwrap());
        let (one, other) = (source("192.0.2.1:1"), source("192.0.2.2:1"));
        let charge =
            |source: &Source, kind, times: u32, now| (0..times).filter(|_| limits.charge(source, kind, now)).count();
        assert_eq!(charge(&one, Kind::Deed, 9, 0), 3);
        assert_eq!(charge(&one, Kind::Look, 99, 0), 30);
        assert_eq!(charge(&source("192.0.2.1:2"), Kind::Deed, 9, 59_999), 0);
        assert_eq!(charge(&other, Kind::Deed, 9, 0), 3);
        assert!(!limits.has_room(&one, Kind::Deed, 0) && limits.has_room(&one, Kind::Forgery, 0));
        assert!(limits.has_room(&one, Kind::Deed, 60_000));
        assert_eq!(charge(&one, Kind::Deed, 9, 60_000), 3);
    }
}
