// SPDX-License-Identifier: MIT OR Apache-2.0
//! What exists before the fork and is shared by all processes after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::StartError;
use super::job::JobQueue;
use crate::arena::Arena;
use crate::arena::counters::Counter;
use crate::config::policy::Policy;
use crate::config::provider::KeySource;
use crate::config::source::{Bundle, Source};
use crate::config::{ConfigError, error};
use crate::ports::{Level, Log};

/// The configuration as it is published to the processes: complete, with the slot of each provider.
#[derive(Deserialize, Serialize)]
struct Publication {
    bundle: Bundle,
    slots: BTreeMap<String, usize>,
}

/// A policy together with the place of each provider in the arena.
#[derive(Debug)]
pub struct PlacedPolicy {
    /// Which publication it is.
    pub generation: u64,
    /// The policy.
    pub policy: Policy,
    /// For each provider: its slot, and the id of its key source (0 for configured keys).
    pub places: Vec<(usize, u64)>,
}

/// Shared by all processes. Starts nothing.
pub struct Context {
    source: Source,
    arena: Arena,
    jobs: JobQueue,
    log: Arc<dyn Log>,
}

impl Context {
    /// Reads and validates the configuration and makes the shared memory. Called before the fork.
    pub fn new(source: Source, log: Arc<dyn Log>) -> Result<Context, StartError> {
        let bundle = source.load()?;
        let policy = Policy::new(&bundle)?;
        let context = Context { source, arena: Arena::new(policy.providers.len())?, jobs: JobQueue::new()?, log };
        for warning in policy.warnings() {
            context.log.log(Level::Warn, &warning);
        }
        context.publish(bundle, &policy)?;
        Ok(context)
    }

    /// Reads the configuration again. A bad one changes nothing.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let Some(_guard) = self.arena.begin_reload() else {
            return error("another reload is under way; try again");
        };
        let bundle = self.source.load()?;
        let policy = Policy::new(&bundle)?;
        self.publish(bundle, &policy)?;
        self.arena.shared().counters.add(Counter::Reloads);
        self.log.log(Level::Info, &format!("configuration reloaded, {} provider(s)", policy.providers.len()));
        Ok(())
    }

    fn publish(&self, bundle: Bundle, policy: &Policy) -> Result<(), ConfigError> {
        let slots = self.arena.slots();
        let source_of = |p: &crate::config::provider::Provider| p.keys.id(&p.issuer);
        let mut taken: Vec<usize> = Vec::new();
        let mut places = BTreeMap::new();
        let remote = || policy.providers.iter().filter(|p| !matches!(p.keys, KeySource::Static(_)));
        let holder = |id: u64| slots.iter().position(|s| s.source.load(std::sync::atomic::Ordering::Relaxed) == id);
        taken.extend(remote().filter_map(|p| holder(source_of(p))));
        for provider in remote() {
            let id = source_of(provider);
            let place = match holder(id) {
                Some(place) => place,
                None => {
                    let Some(free) = (0..slots.len()).find(|i| !taken.contains(i)) else {
                        return error("too many providers for the shared memory; restart the proxy");
                    };
                    slots[free].assign(id);
                    taken.push(free);
                    free
                }
            };
            places.insert(provider.name.clone(), place);
        }
        let publication = serde_json::to_vec(&Publication { bundle, slots: places });
        let octets = Zeroizing::new(publication.map_err(|e| ConfigError(e.to_string()))?);
        if self.arena.shared().bundle.write(&octets) {
            Ok(())
        } else {
            error(format!("the configuration with its files has {} octets, at most 524288 are possible", octets.len()))
        }
    }

    /// The configuration in force, or None when it is the one of this generation already.
    pub fn policy_after(&self, generation: u64) -> Option<PlacedPolicy> {
        if self.arena.shared().bundle.generation() == generation {
            return None;
        }
        let (generation, octets) = self.arena.shared().bundle.read()?;
        let octets = Zeroizing::new(octets);
        // Only validated configurations are published, so neither step can fail.
        let publication: Publication = serde_json::from_slice(&octets).ok()?;
        let policy = Policy::new(&publication.bundle).ok()?;
        let place = |p: &crate::config::provider::Provider| {
            (publication.slots.get(&p.name).copied().unwrap_or(0), p.keys.id(&p.issuer))
        };
        let places = policy.providers.iter().map(place).collect();
        Some(PlacedPolicy { generation, policy, places })
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

    /// Where log lines go.
    pub fn log(&self) -> &dyn Log {
        &*self.log
    }
}
