// SPDX-License-Identifier: MIT OR Apache-2.0
//! Accounts that this process has opened lately. What counts is what is stored: a record that was changed has another
//! nonce and another tag, and is opened anew.

use std::sync::Arc;

use crate::engine::known_account::KnownAccount;

/// Accounts that compete for a place, and how many such sets there are.
const WAYS: usize = 4;
const SETS: usize = 1024;

/// Names an account: what its key in the store is made of.
pub type AccountName = [u8; 16];

/// Nonce and tag of a sealed record; None when it is too short to have both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal([u8; 12], [u8; 16]);

impl Seal {
    /// That of a sealed record.
    pub fn of(sealed: &[u8]) -> Option<Seal> {
        let (nonce, rest) = sealed.split_first_chunk()?;
        Some(Seal(*nonce, *rest.last_chunk()?))
    }
}

struct Entry {
    name: AccountName,
    seal: Seal,
    account: Arc<KnownAccount>,
}

/// A bounded number of opened accounts.
#[derive(Default)]
pub struct AccountCache {
    entries: Vec<Option<Entry>>,
}

impl AccountCache {
    fn set(&mut self, name: &AccountName) -> &mut [Option<Entry>] {
        if self.entries.is_empty() {
            self.entries.resize_with(SETS * WAYS, || None);
        }
        let first = usize::from(u16::from_le_bytes([name[0], name[1]])) % SETS * WAYS;
        &mut self.entries[first..first + WAYS]
    }

    /// The account, if this is the record from which it was opened.
    pub fn get(&mut self, name: &AccountName, seal: Seal) -> Option<Arc<KnownAccount>> {
        let entry = self.set(name).iter().flatten().find(|entry| entry.name == *name && entry.seal == seal)?;
        Some(Arc::clone(&entry.account))
    }

    /// Remembers an account, in place of what was known of it, else of the one that came first.
    pub fn put(&mut self, name: AccountName, seal: Seal, account: Arc<KnownAccount>) {
        let set = self.set(&name);
        let same = |entry: &Option<Entry>| entry.as_ref().is_none_or(|entry| entry.name == name);
        let place = set.iter().position(same).unwrap_or(WAYS - 1);
        set[..=place].rotate_right(1);
        set[0] = Some(Entry { name, seal, account });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::session::Account;

    fn account(aor: &str) -> Arc<KnownAccount> {
        Arc::new(KnownAccount::new(Account { aor: aor.into(), sessions: Vec::new() }))
    }

    fn seal(number: u8) -> Seal {
        Seal::of(&[number; 40]).unwrap()
    }

    #[test]
    fn only_the_same_record_counts() {
        let mut cache = AccountCache::default();
        assert!(cache.get(&[1; 16], seal(1)).is_none());
        cache.put([1; 16], seal(1), account("a"));
        assert_eq!(cache.get(&[1; 16], seal(1)).unwrap().aor, "a");
        assert!(cache.get(&[1; 16], seal(2)).is_none() && cache.get(&[2; 16], seal(1)).is_none());
        cache.put([1; 16], seal(2), account("b"));
        assert_eq!(cache.get(&[1; 16], seal(2)).unwrap().aor, "b");
        assert!(cache.get(&[1; 16], seal(1)).is_none());
        let mut changed = [1; 40];
        changed[39] = 2;
        assert_ne!(Seal::of(&changed), Some(seal(1)));
        assert_eq!(Seal::of(&[0; 27]), None);
    }

    #[test]
    fn the_first_one_makes_room() {
        let mut cache = AccountCache::default();
        let name = |number: u8| {
            let mut name = [7; 16];
            name[15] = number;
            name
        };
        for number in 0..5 {
            cache.put(name(number), seal(number), account("x"));
        }
        let left: Vec<u8> = (0..5).filter(|n| cache.get(&name(*n), seal(*n)).is_some()).collect();
        assert_eq!(left, [1, 2, 3, 4]);
        assert_eq!(cache.entries.len(), SETS * WAYS);
    }
}
