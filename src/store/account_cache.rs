// SPDX-License-Identifier: MIT OR Apache-2.0
//! Accounts that this process has opened lately. The stored record decides: a record that was changed has another
//! nonce and another tag, so it is opened anew.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use sipoauth_core::check::known_account::KnownAccount;

/// Places of one set. The address decides which set an account belongs to.
const WAYS: usize = 8;
/// Octets that the accounts of one set may take together; a single account may take more. An account with one device
/// takes 2.5 kB.
const MAX_SET: usize = WAYS * 3072;

/// Nonce and tag of a sealed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Seal([u8; 12], [u8; 16]);

impl Seal {
    /// The seal of a record; None when the record is too short to have both parts.
    pub fn of(sealed: &[u8]) -> Option<Seal> {
        let (nonce, rest) = sealed.split_first_chunk()?;
        Some(Seal(*nonce, *rest.last_chunk()?))
    }
}

/// An account that was opened.
pub struct OpenedAccount {
    /// Where it is stored.
    pub key: String,
    /// The seal of the record that was opened.
    pub seal: Seal,
    /// The content of the record.
    pub account: Arc<KnownAccount>,
}

struct AccountEntry {
    hash: u64,
    octets: usize,
    opened: Arc<OpenedAccount>,
}

/// A bounded number of opened accounts, by their addresses.
#[derive(Default)]
pub struct AccountCache {
    places: usize,
    random: RandomState,
    entries: Vec<Option<AccountEntry>>,
}

impl AccountCache {
    /// Makes room for about `places` accounts. When that number changes, the cache is emptied.
    pub fn set_places(&mut self, places: usize) {
        if self.places != places {
            *self = AccountCache { places, ..AccountCache::default() };
        }
    }

    /// The set for a hash; None when the cache has no places.
    fn set(&mut self, hash: u64) -> Option<&mut [Option<AccountEntry>]> {
        if self.entries.is_empty() {
            self.entries.resize_with(self.places.next_multiple_of(WAYS), || None);
        }
        let sets = self.entries.len() / WAYS;
        let first = (hash as usize).checked_rem(sets)? * WAYS;
        Some(&mut self.entries[first..first + WAYS])
    }

    /// The account that was last opened for this address. It is valid only if its seal is still that of the record.
    pub fn get(&mut self, aor: &str) -> Option<Arc<OpenedAccount>> {
        let hash = self.random.hash_one(aor);
        let mut known = self.set(hash)?.iter().flatten();
        known.find(|entry| entry.hash == hash && entry.opened.account.aor == aor).map(|entry| Arc::clone(&entry.opened))
    }

    /// Remembers an account. It takes the place of what was known of its address, or else of the oldest accounts in
    /// the set.
    pub fn put(&mut self, opened: OpenedAccount) {
        let aor = &opened.account.aor;
        let hash = self.random.hash_one(aor);
        let Some(set) = self.set(hash) else { return };
        let same = |entry: &Option<AccountEntry>| {
            entry.as_ref().is_none_or(|e| e.hash == hash && e.opened.account.aor == *aor)
        };
        let place = set.iter().position(same).unwrap_or(WAYS - 1);
        let octets = opened.account.octets();
        set[..=place].rotate_right(1);
        set[0] = Some(AccountEntry { hash, octets, opened: Arc::new(opened) });
        let mut room = MAX_SET.saturating_sub(octets);
        for entry in &mut set[1..] {
            match room.checked_sub(entry.as_ref().map_or(0, |entry| entry.octets)) {
                Some(left) => room = left,
                None => *entry = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sipoauth_core::records::session::Account;

    fn opened(aor: &str, seal: Seal) -> OpenedAccount {
        let account = Account { aor: aor.into(), ..Account::default() };
        OpenedAccount { key: format!("a:{aor}"), seal, account: Arc::new(KnownAccount::new(account)) }
    }

    fn cache(places: usize) -> AccountCache {
        let mut cache = AccountCache::default();
        cache.set_places(places);
        cache
    }

    fn seal(number: u8) -> Seal {
        Seal::of(&[number; 40]).unwrap()
    }

    #[test]
    fn an_account_is_known_by_its_address() {
        let mut cache = cache(64);
        assert!(cache.get("a").is_none());
        cache.put(opened("a", seal(1)));
        cache.put(opened("b", seal(2)));
        let known = |cache: &mut AccountCache, aor: &str| cache.get(aor).map(|known| (known.key.clone(), known.seal));
        assert_eq!(known(&mut cache, "a"), Some(("a:a".into(), seal(1))));
        cache.put(opened("a", seal(3)));
        assert_eq!(known(&mut cache, "a"), Some(("a:a".into(), seal(3))));
        assert_eq!(known(&mut cache, "b"), Some(("a:b".into(), seal(2))));
        cache.set_places(64);
        assert!(cache.get("a").is_some());
        cache.set_places(128);
        assert!(cache.get("a").is_none());
    }

    #[test]
    fn every_change_of_a_record_changes_its_seal() {
        for place in [0, 11, 39] {
            let mut changed = [1; 40];
            changed[place] = 2;
            assert_ne!(Seal::of(&changed), Some(seal(1)), "{place}");
        }
        assert_eq!(Seal::of(&[0; 27]), None);
    }

    #[test]
    fn the_first_one_makes_room() {
        let mut cache = cache(1);
        let names: Vec<String> = (0..=WAYS).map(|number| number.to_string()).collect();
        for name in &names {
            cache.put(opened(name, seal(1)));
        }
        let left: Vec<bool> = names.iter().map(|name| cache.get(name).is_some()).collect();
        assert_eq!((left[0], left[1..].iter().all(|there| *there)), (false, true));
        assert_eq!(cache.entries.len(), WAYS);
    }

    #[test]
    fn large_ones_make_more_room() {
        let mut cache = cache(1);
        let large = |letter: &str| letter.repeat(MAX_SET / 4);
        for letter in ["a", "b", "c", "d"] {
            cache.put(opened(&large(letter), seal(1)));
        }
        let left = ["a", "b", "c", "d"].map(|letter| cache.get(&large(letter)).is_some());
        assert_eq!(left, [false, true, true, true]);
        cache.put(opened(&"e".repeat(2 * MAX_SET), seal(1)));
        assert_eq!(cache.entries.iter().flatten().count(), 1);
    }

    #[test]
    fn no_room_is_no_cache() {
        let mut cache = cache(0);
        cache.put(opened("a", seal(1)));
        assert!(cache.get("a").is_none());
    }
}
