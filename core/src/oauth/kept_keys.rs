// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys that are needed only now and then, for signed answers or ID tokens of a provider whose access tokens are
//! opaque. They are fetched when they are needed, and kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::settings::{KEY_REFRESH_INTERVAL, Settings};
use crate::jose::key_set::{KeySet, Origin};

/// The keys by their source.
#[derive(Debug, Default)]
pub struct KeptKeys(Mutex<HashMap<u64, Arc<Mutex<KeptKeySet>>>>);

/// Keys after an attempt to fetch them anew.
#[derive(Debug)]
pub struct Refetched {
    /// The keys.
    pub keys: KeySet,
    /// True when the keys have just come from the server. Otherwise the server was not asked or gave no keys, and
    /// these keys are older.
    pub is_current: bool,
}

/// Keys that have just come.
impl From<KeySet> for Refetched {
    fn from(keys: KeySet) -> Refetched {
        Refetched { keys, is_current: true }
    }
}

#[derive(Debug, Default)]
struct KeptKeySet {
    /// The public keys as a JWK set.
    document: Option<Vec<u8>>,
    /// When the document was fetched, in Unix seconds.
    fetched_at: i64,
    /// When the last fetch was tried, in Unix seconds; None: never.
    tried_at: Option<i64>,
}

impl KeptKeys {
    /// Nothing is kept yet.
    pub fn new() -> KeptKeys {
        KeptKeys::default()
    }

    /// The keys, unless they are due to be fetched again. `now` is in Unix seconds.
    pub fn get(&self, source: u64, now: i64) -> Option<KeySet> {
        lock(&self.place(source)).young(KEY_REFRESH_INTERVAL, now)
    }

    /// Fetches the keys anew. Callers that ask meanwhile wait for the same fetch. There is at most one fetch per
    /// key_cooldown, and keys that were fetched before stay in use for key_max_stale. `now` is in Unix seconds.
    /// The call blocks, so a SIP worker must never make it.
    pub fn fetch(
        &self,
        source: u64,
        settings: &Settings,
        now: i64,
        fetch: impl FnOnce() -> Option<KeySet>,
    ) -> Option<Refetched> {
        let place = self.place(source);
        let mut kept = lock(&place);
        let cooldown = i64::from(settings.key_cooldown);
        let mut is_current = false;
        if kept.tried_at.is_none_or(|tried| !(0..cooldown).contains(&now.saturating_sub(tried))) {
            kept.tried_at = Some(now);
            if let Some(keys) = fetch() {
                kept.document = Some(keys.to_public_jwks());
                kept.fetched_at = now;
                is_current = true;
            }
        }
        kept.young(settings.key_max_stale, now).map(|keys| Refetched { keys, is_current })
    }

    fn place(&self, source: u64) -> Arc<Mutex<KeptKeySet>> {
        Arc::clone(lock(&self.0).entry(source).or_default())
    }
}

impl KeptKeySet {
    fn young(&self, seconds: u32, now: i64) -> Option<KeySet> {
        let young = now.saturating_sub(self.fetched_at) < i64::from(seconds);
        KeySet::from_jwks(self.document.as_ref().filter(|_| young)?, Origin::Fetched).ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[test]
    fn fetched_when_needed_and_not_too_often() {
        let settings = Settings { key_cooldown: 10, key_max_stale: 1000, ..Settings::default() };
        let kept = KeptKeys::new();
        let fetches = std::cell::Cell::new(0);
        let fetch = |now, works: bool| {
            let found = kept.fetch(1, &settings, now, || {
                fetches.set(fetches.get() + 1);
                works.then(|| KeySet::from_jwks(KEYS.as_bytes(), Origin::Fetched).unwrap())
            });
            (found.map(|found| found.is_current), fetches.get())
        };
        assert!(kept.get(1, 0).is_none());
        assert_eq!(fetch(0, false), (None, 1));
        assert_eq!(fetch(9, true), (None, 1), "the cool-down");
        assert_eq!(fetch(10, true), (Some(true), 2));
        assert_eq!(fetch(19, false), (Some(false), 2), "the cool-down");
        assert!(kept.get(1, 909).is_some() && kept.get(2, 909).is_none());
        assert!(kept.get(1, 910).is_none(), "due");
        assert_eq!(fetch(910, false), (Some(false), 3), "the old ones serve while the server is away");
        assert_eq!(fetch(911, true), (Some(false), 3), "the last attempt has failed");
        assert_eq!(fetch(1009, false), (Some(false), 4));
        assert_eq!(fetch(1010, false), (None, 4), "too old");
    }
}
