// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys that are needed only now and then, for signed answers or ID tokens of a provider whose access tokens are
//! opaque. They are fetched when they are needed, and kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::refresh_plan::{Limits, RefreshPlan};
use crate::config::settings::{KEY_REFRESH_INTERVAL, Settings};
use crate::jose::key_set::{KeySet, Origin};

/// The keys by their source.
#[derive(Debug, Default)]
pub struct KeptKeys(Mutex<HashMap<u64, Arc<Place>>>);

/// Keys after an attempt to fetch them anew.
#[derive(Debug)]
pub struct Refetched {
    /// The keys.
    pub keys: KeySet,
    /// Why these keys are older than the attempt, as a sentence for the log. None: they have just come from the
    /// server.
    pub why_old: Option<String>,
}

/// Keys that have just come.
impl From<KeySet> for Refetched {
    fn from(keys: KeySet) -> Refetched {
        Refetched { keys, why_old: None }
    }
}

/// The keys of one source.
#[derive(Debug)]
struct Place {
    /// Held during a fetch, so that there is one at a time.
    fetching: Mutex<()>,
    /// Never held during a fetch, so that keys which are known can be read meanwhile.
    kept: Mutex<KeptKeySet>,
}

#[derive(Debug)]
struct KeptKeySet {
    /// The public keys as a JWK set.
    document: Option<Vec<u8>>,
    /// When the document was fetched, in Unix seconds.
    fetched_at: i64,
    /// Fetches that have ended.
    attempts: u64,
    /// Why the last fetch gave no keys.
    failure: Option<String>,
    /// When the keys may be fetched. Its planned fetches wait until somebody needs the keys.
    plan: RefreshPlan,
}

impl KeptKeys {
    /// Nothing is kept yet.
    pub fn new() -> KeptKeys {
        KeptKeys::default()
    }

    /// Forgets the keys of all other sources than these. For a new configuration, with which the keys of an
    /// unchanged source stay good.
    pub fn keep_only(&self, sources: &[u64]) {
        lock(&self.0).retain(|source, _| sources.contains(source));
    }

    /// The keys, unless they are due to be fetched again. `now` is in Unix seconds.
    pub fn get(&self, source: u64, now: i64) -> Option<KeySet> {
        lock(&self.place(source, now).kept).young(KEY_REFRESH_INTERVAL, now)
    }

    /// Fetches the keys anew. Callers that ask meanwhile wait for the same fetch. The limits are those of other
    /// providers' keys: key_burst fetches, then one per key_cooldown, and after a failure one each two seconds. Keys
    /// that were fetched before stay in use for key_max_stale. The error says why there are none. `now` is in Unix
    /// seconds. The call blocks, so a SIP worker must never make it.
    pub fn fetch(
        &self,
        source: u64,
        settings: &Settings,
        now: i64,
        fetch: impl FnOnce() -> Result<KeySet, String>,
    ) -> Result<Refetched, String> {
        let place = self.place(source, now);
        let seen = lock(&place.kept).attempts;
        place.fetch(seen, settings, now, fetch)
    }

    fn place(&self, source: u64, now: i64) -> Arc<Place> {
        Arc::clone(lock(&self.0).entry(source).or_insert_with(|| Arc::new(Place::new(now))))
    }
}

impl Place {
    fn new(now: i64) -> Place {
        let kept = KeptKeySet {
            document: None,
            fetched_at: 0,
            attempts: 0,
            failure: None,
            plan: RefreshPlan::new(now * 1000),
        };
        Place { fetching: Mutex::default(), kept: Mutex::new(kept) }
    }

    /// Fetches the keys if the limits allow it. A caller who has seen fewer attempts has waited for another's fetch,
    /// and takes what came of that.
    fn fetch(
        &self,
        seen: u64,
        settings: &Settings,
        now: i64,
        fetch: impl FnOnce() -> Result<KeySet, String>,
    ) -> Result<Refetched, String> {
        let _one_at_a_time = lock(&self.fetching);
        let has_waited = lock(&self.kept).attempts != seen;
        let may_fetch = !has_waited && lock(&self.kept).plan.start(true, now * 1000, &Limits::new(settings));
        if may_fetch {
            let fetched = fetch();
            lock(&self.kept).note(fetched, now, &Limits::new(settings));
        }
        lock(&self.kept).after_attempt(has_waited || may_fetch, settings.key_max_stale, now)
    }
}

impl KeptKeySet {
    fn note(&mut self, fetched: Result<KeySet, String>, now: i64, limits: &Limits) {
        self.attempts += 1;
        self.failure = match fetched {
            Ok(keys) => {
                self.document = Some(keys.to_public_jwks());
                self.fetched_at = now;
                self.plan.succeeded(now * 1000, None, 0.0, limits);
                None
            }
            Err(why) => {
                self.plan.failed(now * 1000, now * 1000, 0.0);
                Some(why)
            }
        };
    }

    /// `is_fresh`: a fetch has just ended.
    fn after_attempt(&self, is_fresh: bool, max_stale: u32, now: i64) -> Result<Refetched, String> {
        let why_old = match &self.failure {
            Some(why) => Some(why.clone()),
            None if is_fresh => None,
            None => Some("key_burst and key_cooldown allow no fetch now".into()),
        };
        match self.young(max_stale, now) {
            Some(keys) => Ok(Refetched { keys, why_old }),
            None => Err(why_old.unwrap_or_else(|| "they are too old".into())),
        }
    }

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
    use std::cell::Cell;

    const KEYS: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn keys(works: bool) -> Result<KeySet, String> {
        if works { Ok(KeySet::from_jwks(KEYS.as_bytes(), Origin::Fetched).unwrap()) } else { Err("away".into()) }
    }

    fn settings() -> Settings {
        Settings { key_cooldown: 3600, key_burst: 2, key_max_stale: 10_000, ..Settings::default() }
    }

    /// Keys, and a way to fetch those of source 1 that tells how many fetches there were.
    fn fetcher(kept: &KeptKeys) -> impl Fn(i64, bool) -> (Result<bool, String>, u32) {
        let fetches = Cell::new(0);
        move |now, works| {
            let found = kept.fetch(1, &settings(), now, || {
                fetches.set(fetches.get() + 1);
                keys(works)
            });
            (found.map(|found| found.why_old.is_none()), fetches.get())
        }
    }

    #[test]
    fn a_failed_fetch_is_tried_again_after_two_seconds_whatever_the_cooldown_is() {
        let kept = KeptKeys::new();
        let fetch = fetcher(&kept);
        assert!(kept.get(1, 0).is_none());
        let away = || Err("away".to_owned());
        assert_eq!(fetch(0, false), (away(), 1));
        assert_eq!(fetch(1, true), (away(), 1), "a moment ago there was no answer");
        for failures in 2..50 {
            let now = 2 * i64::from(failures - 1);
            assert_eq!(fetch(now, false), (away(), failures), "as often as it takes");
        }
        assert_eq!(fetch(100, true), (Ok(true), 50), "the server is back");
    }

    #[test]
    fn changed_keys_are_fetched_within_the_burst_and_then_once_per_cooldown() {
        let kept = KeptKeys::new();
        let fetch = fetcher(&kept);
        assert_eq!(fetch(0, true), (Ok(true), 1));
        assert_eq!(fetch(1, true), (Ok(true), 2));
        assert_eq!(fetch(2, true), (Ok(true), 3));
        assert_eq!(fetch(3, true), (Ok(false), 3), "the burst is over");
        let words = kept.fetch(1, &settings(), 3, || keys(true)).unwrap().why_old.unwrap();
        assert!(words.contains("key_cooldown"), "{words}");
        assert_eq!(fetch(3602, true), (Ok(true), 4));
    }

    #[test]
    fn old_keys_serve_while_the_server_is_away() {
        let kept = KeptKeys::new();
        let fetch = fetcher(&kept);
        assert_eq!(fetch(0, true), (Ok(true), 1));
        assert!(kept.get(1, 899).is_some() && kept.get(2, 899).is_none());
        assert!(kept.get(1, 900).is_none(), "due");
        assert_eq!(fetch(900, false), (Ok(false), 2));
        assert_eq!(kept.fetch(1, &settings(), 901, || keys(true)).unwrap().why_old.as_deref(), Some("away"));
        assert_eq!(fetch(9999, false), (Ok(false), 3));
        assert_eq!(fetch(10_001, false), (Err("away".into()), 4), "too old");
    }

    #[test]
    fn a_new_configuration_keeps_the_keys_of_a_source_that_stays() {
        let kept = KeptKeys::new();
        kept.fetch(1, &settings(), 0, || keys(true)).unwrap();
        kept.fetch(2, &settings(), 0, || keys(true)).unwrap();
        kept.keep_only(&[2, 3]);
        assert!(kept.get(1, 1).is_none() && kept.get(2, 1).is_some());
    }

    #[test]
    fn who_asks_during_a_fetch_waits_for_it_and_known_keys_can_be_read_meanwhile() {
        let kept = KeptKeys::new();
        kept.fetch(1, &settings(), 0, || keys(true)).unwrap();
        let seen = lock(&kept.place(1, 1).kept).attempts;
        let first = kept.fetch(1, &settings(), 1, || {
            assert!(kept.get(1, 1).is_some(), "nobody waits to read");
            keys(false)
        });
        assert_eq!(first.unwrap().why_old.as_deref(), Some("away"));
        let second = kept.place(1, 1).fetch(seen, &settings(), 500, || panic!("a second fetch"));
        assert_eq!(second.unwrap().why_old.as_deref(), Some("away"));
    }
}
