// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about keys: when the keys of each provider are fetched, and how they are published.

use std::collections::HashMap;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::waiters::{Ticket, Waiters};
use crate::clock::{has_come, jitter};
use crate::process::context::{Context, PlacedPolicy};
use crate::shared::counters::Counter;
use crate::shared::provider_slot::WantedFetch;
use sipoauth_core::config::key_source::KeySource;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::jose::key_set::{KeySet, Rejected};
use sipoauth_core::oauth::endpoint_guard::{HURRY, Pace};
use sipoauth_core::oauth::key_fetch::{FetchedKeys, KeyPlan, NoKeys, fetch_keys};
use sipoauth_core::oauth::refresh_plan::{Limits, RefreshPlan};
use sipoauth_core::ports::{Fetch, Level};
use sipoauth_core::text::fingerprint::printable;

/// A hurried fetch that could not begin is tried again after this time, in milliseconds.
const SOON: i64 = 100;

/// The providers whose keys are fetched.
#[derive(Default)]
pub struct KeyFetches {
    /// By the id of the key source.
    remotes: HashMap<u64, Remote>,
    waiting: Vec<(u32, Ticket)>,
    /// Fetches that threads have, by their number.
    running: HashMap<u64, Fetching>,
    begun: u64,
}

/// A fetch that a thread has.
struct Fetching {
    source: u64,
    /// The one before failed.
    fails: bool,
    pace: Pace,
}

/// What bounds the threads that fetch keys.
#[derive(Clone, Copy, Debug)]
pub struct KeyThreads {
    /// Threads for patient fetches.
    pub patient: usize,
    /// Threads for hurried ones.
    pub hurried: usize,
}

struct Remote {
    name: String,
    slot: usize,
    key_plan: KeyPlan,
    refresh: RefreshPlan,
    /// The numbers of the fetches that are under way. What comes of any other fetch is too old.
    patient: Option<u64>,
    hurried: Option<u64>,
    /// When its last fetch began, Unix milliseconds.
    begun: i64,
    /// When a hurried fetch may begin, Unix milliseconds.
    hurry_at: i64,
    /// When it was configured, Unix milliseconds.
    since: i64,
}

/// What to fetch for a provider; None when its keys are configured.
pub fn key_plan(provider: &Provider, policy: &Policy) -> Option<KeyPlan> {
    let (jwks_uri, discovery) = match &provider.keys {
        KeySource::Static(_) => return None,
        KeySource::Jwks(uri) => (Some(uri.clone()), Vec::new()),
        KeySource::Discovery(urls) => (None, urls.clone()),
    };
    Some(KeyPlan { issuer: provider.issuer.clone(), jwks_uri, discovery, allow_http: policy.settings.allows_http() })
}

/// Fetches the keys of a provider now. The error is a sentence that says why there are none. The call blocks, so a SIP
/// worker must never make it.
pub fn fetch_provider_keys(fetch: &dyn Fetch, provider: &Provider, policy: &Policy) -> Result<KeySet, String> {
    let plan = key_plan(provider, policy).ok_or("the keys are configured")?;
    fetch_keys(fetch, &plan).map(|fetched| fetched.keys).map_err(|no_keys| printable(&no_keys.to_string(), 600))
}

impl Remote {
    fn is_in_flight(&self) -> bool {
        self.patient.is_some() || self.hurried.is_some()
    }
}

/// Patient fetches leave one of several threads to servers that do not fail.
fn has_room(running: &HashMap<u64, Fetching>, pace: Pace, fails: bool, threads: &KeyThreads) -> bool {
    let count = |fails: bool| running.values().filter(|f| f.pace == pace && (f.fails || !fails)).count();
    match pace {
        Pace::Hurried => count(false) < threads.hurried,
        Pace::Patient => {
            let most = threads.patient;
            count(false) < most && (!fails || count(true) < most.saturating_sub(1).max(1))
        }
    }
}

impl KeyFetches {
    /// Takes a configuration over. Fetches that are under way go on, but nobody waits any more for the keys of a
    /// provider that is gone.
    pub fn adopt(&mut self, context: &Context, placed: &PlacedPolicy, waiters: &mut Waiters, now: i64) {
        let mut remotes = HashMap::new();
        for (provider, &(slot, source)) in placed.policy.providers.iter().zip(&placed.places) {
            let Some(key_plan) = key_plan(provider, &placed.policy).filter(|_| provider.watches_keys()) else {
                continue;
            };
            context.arena().slots()[slot].assign(source);
            let name = provider.name.clone();
            let remote = match self.remotes.remove(&source) {
                Some(old) => Remote { name, slot, key_plan, ..old },
                None => {
                    let refresh = RefreshPlan::new(now);
                    let (patient, hurried) = (None, None);
                    Remote { name, slot, key_plan, refresh, patient, hurried, begun: 0, hurry_at: now, since: now }
                }
            };
            remotes.insert(source, remote);
        }
        for gone in std::mem::replace(&mut self.remotes, remotes).into_values() {
            self.release(gone.slot, waiters);
        }
        self.note_age(context);
    }

    /// Publishes how old the oldest keys are.
    fn note_age(&self, context: &Context) {
        let slots = context.arena().slots();
        let fetched = |remote: &Remote| match slots[remote.slot].fetched_at.load(Relaxed) {
            0 => remote.since,
            at => at,
        };
        let oldest = self.remotes.values().map(fetched).min().unwrap_or(0);
        context.arena().shared().oldest_keys.store(oldest, Relaxed);
    }

    /// Lets the requests that wait for the keys in a slot go on.
    fn release(&mut self, index: usize, waiters: &mut Waiters) {
        self.waiting.retain(|(slot, ticket)| {
            let done = usize::try_from(*slot) == Ok(index);
            if done {
                waiters.finish(*ticket);
            }
            !done && waiters.waits(*ticket)
        });
    }

    /// When the next planned fetch is due.
    pub fn next(&self) -> Option<i64> {
        let next = |remote: &Remote| match (remote.patient, remote.hurried) {
            (None, None) => Some(remote.refresh.next),
            (Some(_), None) => Some(remote.hurry_at),
            (_, Some(_)) => None,
        };
        self.remotes.values().filter_map(next).min()
    }

    /// Has a request wait until a slot has keys that are newer than this generation.
    pub fn wait(&mut self, context: &Context, slot: u32, generation: u64, ticket: Ticket, waiters: &mut Waiters) {
        let has_newer = |r: &Remote| context.arena().slots()[r.slot].has_newer(generation);
        if self.remotes.values().any(|r| Ok(r.slot) == usize::try_from(slot) && !has_newer(r)) {
            self.waiting.push((slot, ticket));
        } else {
            waiters.finish(ticket);
        }
    }

    /// Starts the fetches that are due, planned or asked for. `start` says whether there was room for the fetch with
    /// this number. Servers that fail come last and leave one of several threads to the others.
    pub fn start_due(
        &mut self,
        context: &Context,
        policy: &Policy,
        now: i64,
        threads: &KeyThreads,
        mut start: impl FnMut(u64, Pace, KeyPlan) -> bool,
    ) {
        let limits = Limits::new(&policy.settings);
        // Where no request may take longer, hurried fetches gain nothing.
        let may_hurry = i64::from(policy.settings.http_timeout) * 1000 > HURRY;
        let mut remotes: Vec<_> = self.remotes.iter_mut().filter(|(_, r)| r.hurried.is_none()).collect();
        remotes.sort_unstable_by_key(|(_, remote)| (remote.refresh.failures > 0, remote.begun));
        for (source, remote) in remotes {
            let slot = &context.arena().slots()[remote.slot];
            let fails = remote.refresh.failures > 0;
            let mut begin = |remote: &mut Remote, pace| {
                let number = self.begun + 1;
                if !has_room(&self.running, pace, fails, threads) || !start(number, pace, remote.key_plan.clone()) {
                    return false;
                }
                self.begun = number;
                self.running.insert(number, Fetching { source: *source, fails, pace });
                match pace {
                    Pace::Patient => remote.patient = Some(number),
                    Pace::Hurried => remote.hurried = Some(number),
                }
                (remote.begun, remote.hurry_at) = (now, now + HURRY);
                slot.in_flight.store(1, Relaxed);
                slot.granted();
                slot.fetches.fetch_add(1, Relaxed);
                context.arena().shared().counters.add(Counter::KeyFetches);
                true
            };
            if remote.patient.is_some() {
                if !has_come(remote.hurry_at, now, HURRY) {
                    continue;
                }
                remote.hurry_at = now + SOON;
                let waits = || self.waiting.iter().any(|(slot, _)| usize::try_from(*slot) == Ok(remote.slot));
                let fetched = slot.fetched_at.load(Relaxed) != 0;
                // A fetch beside another one counts like any other where a stranger may be the cause.
                if may_hurry && (fails || !fetched || waits() && remote.refresh.start(true, now, &limits)) {
                    begin(remote, Pace::Hurried);
                }
                continue;
            }
            let asked = match slot.wanted() {
                WantedFetch::No => false,
                WantedFetch::ByRequest => true,
                // The fetch counts as planned for now, so neither the allowance nor the pauses of an outage hold it
                // back.
                WantedFetch::ByOperator => {
                    remote.refresh.next = remote.refresh.next.min(now);
                    true
                }
            };
            if !remote.refresh.start(asked, now, &limits) {
                slot.not_before.store(remote.refresh.not_before, Relaxed);
                continue;
            }
            if !(begin(remote, Pace::Patient) || fails && may_hurry && begin(remote, Pace::Hurried)) {
                remote.refresh.put_off(asked, now);
            }
        }
    }

    /// Takes the result of a fetch: publishes the keys, and lets the requests that waited go on.
    pub fn finished(
        &mut self,
        context: &Context,
        policy: &Policy,
        number: u64,
        result: Result<FetchedKeys, NoKeys>,
        waiters: &mut Waiters,
        now: i64,
    ) {
        let (limits, jitter) = (Limits::new(&policy.settings), jitter());
        let Some(Fetching { source, pace, .. }) = self.running.remove(&number) else { return };
        let Some(remote) = self.remotes.get_mut(&source) else {
            return; // A reload has removed the provider meanwhile.
        };
        let own = match pace {
            Pace::Patient => &mut remote.patient,
            Pace::Hurried => &mut remote.hurried,
        };
        if *own != Some(number) {
            return; // Another fetch has brought the keys meanwhile.
        }
        *own = None;
        if result.is_ok() {
            (remote.patient, remote.hurried) = (None, None);
        } else if remote.patient.is_some() {
            return; // The server may be slow.
        }
        let slot = &context.arena().slots()[remote.slot];
        let published = result.and_then(|fetched| {
            if slot.keys.write(&fetched.keys.to_public_jwks()) {
                Ok(fetched)
            } else {
                Err(format!("{}: the usable keys need more than 64 KiB", fetched.jwks_uri).into())
            }
        });
        // Everything is in place before the first log line, so the host's log does not decide what the workers see.
        let first = remote.refresh.failures > 0 || slot.fetched_at.load(Relaxed) == 0;
        let (jwks_uri, error, rejected) = match &published {
            Ok(fetched) => {
                remote.refresh.succeeded(now, fetched.max_age, jitter, &limits);
                slot.fetched_at.store(now, Release);
                (fetched.jwks_uri.as_str(), "", [].as_slice())
            }
            Err(NoKeys { sentence, rejected }) => {
                context.arena().shared().counters.add(Counter::KeyFetchErrors);
                remote.refresh.failed(remote.begun, now, jitter);
                ("", sentence.as_str(), rejected.as_slice())
            }
        };
        let error = printable(error, 250);
        slot.tell(jwks_uri, &error, rejected);
        slot.failures.store(remote.refresh.failures, Relaxed);
        slot.next_fetch_at.store(remote.refresh.next, Relaxed);
        slot.not_before.store(remote.refresh.not_before, Relaxed);
        slot.in_flight.store(u32::from(remote.is_in_flight()), Relaxed);
        for (level, line) in describe(&remote.name, &published, first, remote.refresh.failures) {
            context.log().log(level, &line);
        }
        let index = remote.slot;
        self.note_age(context);
        self.release(index, waiters);
    }
}

/// The log lines about a fetch. `first` says that the fetch before it did not succeed, or that there was none.
fn describe(name: &str, fetch: &Result<FetchedKeys, NoKeys>, first: bool, failures: u32) -> Vec<(Level, String)> {
    let mut lines = Vec::new();
    let not_used = |key: &Rejected| format!("provider '{name}': {} is not used: {}", key.name(), key.error);
    match fetch {
        Ok(fetched) => {
            if first {
                let count = fetched.keys.keys().len();
                lines.push((Level::Info, format!("provider '{name}': {count} key(s) from {}", fetched.jwks_uri)));
            }
            lines.extend(fetched.keys.rejected().iter().map(|key| (Level::Debug, not_used(key))));
        }
        // Logs the first failure and then every power of two, so that an outage of a day is some lines, not thousands.
        Err(NoKeys { sentence, rejected }) if failures.is_power_of_two() => {
            let what = if rejected.is_empty() { "fetched" } else { "used" };
            let line = format!("provider '{name}': keys cannot be {what} ({failures} in a row): {sentence}");
            lines.push((Level::Error, line));
            lines.extend(rejected.iter().map(|key| (Level::Error, not_used(key))));
        }
        Err(_) => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use sipoauth_core::jose::key_set::Origin;

    /// The log names every key of a set that has no usable key. The texts are a stranger's words, so they are short
    /// and printable.
    #[test]
    fn a_key_set_without_a_usable_key_is_told_key_by_key() {
        let document =
            "{\"keys\":[{\"kid\":\"a\u{2028}b\",\"kty\":\"EC\",\"crv\":\"P-521\"},{\"kty\":\"RSA\",\"e\":\"AQAB\"},7]}";
        let error = KeySet::from_jwks(document.as_bytes(), Origin::Fetched).unwrap_err();
        let no_keys = NoKeys { sentence: error.to_string(), rejected: error.rejected().to_vec() };
        let lines = |failures| describe("corp", &Err(no_keys.clone()), true, failures);
        let texts: Vec<String> = lines(1).into_iter().map(|(level, line)| format!("{level:?} {line}")).collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        assert!(texts[0].contains("no usable signature key") && texts[0].contains("and 2 more"), "{texts:?}");
        assert!(texts[1].starts_with("Error provider 'corp': key 'a?b' is not used: the curve 'P-521'"), "{texts:?}");
        assert!(texts[2].contains("key 2 is not used: n is missing"), "{texts:?}");
        assert!(texts[3].contains("key 3 is not used: it is not a JSON object"), "{texts:?}");
        assert_eq!((lines(3).len(), lines(4).len()), (0, 4), "an outage is some lines, not thousands");
    }
}
