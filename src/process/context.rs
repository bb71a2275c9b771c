// SPDX-License-Identifier: MIT OR Apache-2.0
//! What exists before the fork and is shared by all processes after it.

mod admin;

pub use admin::Admin;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::StartError;
use super::job_queue::JobQueue;
use super::use_queue::UseQueue;
use crate::clock::now_millis;
use crate::shared::counters::Counter;
use crate::shared::{Arena, Sizes};
use crate::store::access::StoreAccess;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::{Bundle, Source};
use sipoauth_core::config::{ConfigError, error};
use sipoauth_core::ports::store::StoreError;
use sipoauth_core::ports::{Level, Log};

/// The configuration as it is published to the processes: complete, with the slot of each provider.
#[derive(Deserialize, Serialize)]
struct Publication {
    bundle: Bundle,
    slots: BTreeMap<String, usize>,
}

/// A policy together with the place of each provider in the arena.
#[derive(Clone, Debug)]
pub struct PlacedPolicy {
    /// The number of the publication.
    pub generation: u64,
    /// The policy.
    pub policy: Arc<Policy>,
    /// For each provider: its slot, and the id of its key source (0 for configured keys).
    pub places: Vec<(usize, u64)>,
}

/// Chooses a slot for each provider whose keys are fetched. A key source keeps the slot that it has. A new one gets
/// a slot that the previous configuration does not use, because the fetches of that configuration may still be under
/// way.
fn place(
    policy: &Policy,
    previous: Option<&PlacedPolicy>,
    slots: usize,
) -> Result<BTreeMap<String, usize>, ConfigError> {
    let mut used: Vec<(usize, u64)> = previous.map(|p| p.places.clone()).unwrap_or_default();
    used.retain(|(_, source)| *source != 0);
    let mut places = BTreeMap::new();
    for provider in &policy.providers {
        let source = provider.key_source_id();
        if source == 0 {
            continue;
        }
        let slot = match used.iter().find(|(_, other)| *other == source) {
            Some((slot, _)) => *slot,
            None => {
                let free = (0..slots).find(|slot| used.iter().all(|(other, _)| other != slot));
                let Some(free) = free else {
                    return error("too many providers are new at once for the shared memory; restart the proxy");
                };
                used.push((free, source));
                free
            }
        };
        places.insert(provider.name.clone(), slot);
    }
    Ok(places)
}

/// What a store has done, the easiest first. A fault has ended when the store has done what the fault prevents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// The store has answered.
    Anything = 1,
    /// The upkeep has succeeded, so the store can be written.
    Upkeep = 2,
    /// A record was added.
    Addition = 3,
}

impl Worked {
    /// What the store must do to show that a fault has ended.
    fn that_ends(error: &StoreError) -> Worked {
        match error {
            StoreError::Away(_) | StoreError::Corrupt(_) => Worked::Anything,
            StoreError::ReadOnly(_) => Worked::Upkeep,
            StoreError::Full => Worked::Addition,
        }
    }
}

/// Shared by all processes. Starts nothing.
pub struct Context {
    source: Source,
    started: Vec<(&'static str, u32)>,
    arena: Arena,
    jobs: JobQueue,
    uses: UseQueue,
    sessions: Option<StoreAccess>,
    log: Arc<dyn Log>,
    /// The configuration that this process has parsed last.
    parsed: Mutex<Option<PlacedPolicy>>,
}

impl Context {
    /// Reads and validates the configuration and makes the shared memory. Called before the fork.
    pub fn new(source: Source, log: Arc<dyn Log>) -> Result<Context, StartError> {
        let bundle = source.load()?;
        let policy = Policy::new(&bundle)?;
        let sessions = policy.sessions.as_ref().map(StoreAccess::new).transpose()?;
        let sizes = Sizes {
            providers: policy.providers.len(),
            // A local store is as fast as the cache, so only a store over the network has one.
            records: match &policy.sessions {
                Some(sessions) if !sessions.place.is_local() => policy.settings.shared_records(),
                _ => 0,
            },
            answers: if policy.introspects() { policy.settings.shared_records() } else { 0 },
            connections: if policy.settings.connection_auth { policy.settings.bound_connections() } else { 0 },
            tokens: policy.settings.token_cache_size as usize,
            jobs: policy.settings.max_pending as usize,
            refers: policy.settings.max_refers as usize,
            proofs: if sessions.is_some() { policy.settings.remembered_proofs() } else { 0 },
        };
        let context = Context {
            source,
            started: policy.settings.of_the_start(),
            arena: Arena::new(&sizes, now_millis())?,
            jobs: JobQueue::new(sizes.jobs)?,
            uses: UseQueue::new()?,
            sessions,
            log,
            parsed: Mutex::default(),
        };
        for warning in policy.warnings() {
            context.log.log(Level::Warn, &warning);
        }
        if context.jobs.room() < sizes.jobs {
            let room = context.jobs.room();
            let line =
                format!("max_pending: the system gives room for {room} requests at once only (fs.pipe-max-size)");
            context.log.log(Level::Warn, &line);
        }
        context.publish(bundle, &policy)?;
        Ok(context)
    }

    /// Puts a configuration into force, or changes nothing. Only the I/O service writes the slots themselves, when
    /// it takes the configuration over.
    fn publish(&self, bundle: Bundle, policy: &Policy) -> Result<(), ConfigError> {
        let slots = place(policy, self.policy_after(0).as_ref(), self.arena.slots().len())?;
        let publication = serde_json::to_vec(&Publication { bundle, slots });
        let octets = Zeroizing::new(publication.map_err(|e| ConfigError(e.to_string()))?);
        if self.arena.shared().bundle.write(&octets) {
            Ok(())
        } else {
            error(format!("the configuration with its files has {} octets, at most 524288 are possible", octets.len()))
        }
    }

    /// What an operator does.
    pub fn admin(&self) -> Admin<'_> {
        Admin { context: self }
    }

    /// The configuration in force; None if it still has this generation.
    pub fn policy_after(&self, generation: u64) -> Option<PlacedPolicy> {
        let current = self.arena.shared().bundle.generation();
        if current == generation {
            return None;
        }
        // A status display asks for the configuration with every row, so the parsed one is kept.
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(placed) = parsed.as_ref().filter(|placed| placed.generation == current) {
            return Some(placed.clone());
        }
        parsed.clone_from(&self.parse());
        parsed.clone()
    }

    /// Reads and parses the published configuration.
    fn parse(&self) -> Option<PlacedPolicy> {
        let (generation, octets) = self.arena.shared().bundle.read()?;
        let octets = Zeroizing::new(octets);
        // Only validated configurations are published, so neither step can fail.
        let publication: Publication = serde_json::from_slice(&octets).ok()?;
        let policy = Policy::new(&publication.bundle).ok()?;
        let place = |p: &sipoauth_core::config::provider::Provider| {
            (publication.slots.get(&p.name).copied().unwrap_or(0), p.key_source_id())
        };
        let places = policy.providers.iter().map(place).collect();
        Some(PlacedPolicy { generation, policy: Arc::new(policy), places })
    }

    /// The configuration in force.
    pub fn policy(&self) -> Result<PlacedPolicy, ConfigError> {
        self.policy_after(0).map_or_else(|| error("no configuration is published"), Ok)
    }

    /// The shared memory.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// The queue to the I/O service.
    pub fn jobs(&self) -> &JobQueue {
        &self.jobs
    }

    /// The queue of uses of phones to the I/O service.
    pub fn uses(&self) -> &UseQueue {
        &self.uses
    }

    /// Names this proxy among those that share its store. All its processes agree on the name, which is new at each start.
    pub fn origin(&self) -> u64 {
        self.arena.shared().places.hash("origin of ended sessions").max(1)
    }

    /// The store of sessions, when one is configured.
    pub fn sessions(&self) -> Option<&StoreAccess> {
        self.sessions.as_ref()
    }

    /// True when each process may write the store itself. Otherwise only the I/O service may.
    pub fn stores_itself(&self) -> bool {
        self.sessions.as_ref().is_some_and(StoreAccess::is_local)
    }

    /// Opens the store once to find out whether it can be used. Called in a process that ends afterwards.
    pub fn try_store(&self) -> Result<(), StoreError> {
        let Some(access) = &self.sessions else { return Ok(()) };
        let placed = self.policy().map_err(|e| StoreError::Away(e.0))?;
        access.open(&placed.policy).map(drop)
    }

    /// Counts a failure of the store. `log` gets the first failure and its end, whichever process sees them. None
    /// says that the store has answered, which ends only some faults: a store that cannot be written can still be
    /// read.
    pub fn note_store(&self, log: &dyn Log, error: Option<&StoreError>) {
        match error {
            Some(error) => {
                let (shared, trouble) = (self.arena.shared(), Worked::that_ends(error));
                shared.counters.add(Counter::StoreErrors);
                if shared.store_failing.fetch_max(trouble as u32, Relaxed) == 0 {
                    log.log(Level::Error, &format!("sessions: {error}"));
                }
            }
            None => self.note_worked(log, Worked::Anything),
        }
    }

    /// Notes what the store has done, and logs it if that ends a fault.
    pub fn note_worked(&self, log: &dyn Log, worked: Worked) {
        let failing = &self.arena.shared().store_failing;
        let before = failing.load(Relaxed);
        if before != 0 && before <= worked as u32 && failing.compare_exchange(before, 0, Relaxed, Relaxed).is_ok() {
            log.log(Level::Info, "sessions: the store works again");
        }
    }

    /// Where log lines go.
    pub fn log(&self) -> &dyn Log {
        &*self.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Log for Silent {
        fn log(&self, _: Level, _: &str) {}
    }

    fn bundle(issuers: &[&str]) -> (Bundle, Policy) {
        let mut source = Source::default();
        for (i, issuer) in issuers.iter().enumerate() {
            source
                .add_provider(&format!("name=p{i};issuer=https://{issuer};audience=sip;aor={{sip}};domains=p{i}.test"))
                .unwrap();
        }
        let bundle = source.load().unwrap();
        let policy = Policy::new(&bundle).unwrap();
        (bundle, policy)
    }

    fn context(issuers: &[&str]) -> Context {
        let mut source = Source::default();
        source
            .add_provider(&format!("name=p0;issuer=https://{};audience=sip;aor={{sip}};domains=p0.test", issuers[0]))
            .unwrap();
        Context::new(source, Arc::new(Silent)).unwrap()
    }

    #[test]
    fn a_new_provider_never_gets_the_slot_of_the_one_it_replaces() {
        let context = context(&["a"]);
        let slot_of = |context: &Context| context.policy().unwrap().places[0].0;
        let before = slot_of(&context);
        let (next, policy) = bundle(&["b"]);
        context.publish(next, &policy).unwrap();
        assert_ne!(slot_of(&context), before);
        let (same, policy) = bundle(&["b", "c"]);
        let b = slot_of(&context);
        context.publish(same, &policy).unwrap();
        assert_eq!(slot_of(&context), b, "a source keeps its slot");
    }

    #[test]
    fn a_refused_publication_changes_nothing() {
        let context = context(&["a"]);
        let before = context.policy().unwrap();
        let (mut large, policy) = bundle(&["b"]);
        large.files.insert("/x".into(), "x".repeat(600 * 1024));
        assert!(context.publish(large, &policy).unwrap_err().0.contains("524288"));
        let after = context.policy().unwrap();
        assert_eq!((before.generation, before.places), (after.generation, after.places));
    }
}
