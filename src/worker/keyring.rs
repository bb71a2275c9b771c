// SPDX-License-Identifier: MIT OR Apache-2.0
//! One process's parsed copy of the published keys.

use aws_lc_rs::digest::{SHA256, digest};

use crate::shared::provider_slot::ProviderSlot;
use sipoauth_core::check::KnownKeys;
use sipoauth_core::check::key_wait::SlotState;
use sipoauth_core::jose::key_set::{KeySet, Origin};

use crate::process::context::{Context, PlacedPolicy};

/// The keys of every provider of a policy.
#[derive(Default)]
pub struct Keyring {
    entries: Vec<KeyringEntry>,
}

struct KeyringEntry {
    slot: usize,
    source: u64,
    generation: u64,
    document: Vec<u8>,
    /// A hash of the document on which all processes agree; 0 for configured keys.
    mark: u64,
    keys: Option<KeySet>,
    young_enough: bool,
    /// Unix milliseconds.
    fetched_at: i64,
}

impl Keyring {
    /// A keyring for a policy, still empty.
    pub fn new(placed: &PlacedPolicy) -> Keyring {
        let entry = |&(slot, source): &(usize, u64)| KeyringEntry {
            slot,
            source,
            generation: 0,
            document: Vec::new(),
            mark: 0,
            keys: None,
            young_enough: false,
            fetched_at: 0,
        };
        Keyring { entries: placed.places.iter().map(entry).collect() }
    }

    /// Takes over the keys that were published since the last call. True when keys have changed, because tokens
    /// that they verified must then be verified again.
    pub fn refresh(&mut self, context: &Context, now: i64, max_stale: i64) -> bool {
        let mut changed = false;
        for entry in self.entries.iter_mut().filter(|e| e.source != 0) {
            let slot = &context.arena().slots()[entry.slot];
            let state = slot.state(entry.source);
            if state.generation != entry.generation {
                changed |= entry.take_over(slot, state.generation);
            }
            entry.fetched_at = state.fetched_at;
            entry.young_enough = state.fetched_at != 0 && now - state.fetched_at <= max_stale;
        }
        changed
    }

    /// The fetch state of a provider.
    pub fn state(&self, context: &Context, provider: usize) -> SlotState {
        let entry = &self.entries[provider];
        context.arena().slots()[entry.slot].state(entry.source)
    }

    /// The generation of the provider's keys that this keyring has taken over.
    pub fn generation(&self, provider: usize) -> u64 {
        self.entries[provider].generation
    }

    /// Stands for the provider's fetched keys, in all processes; 0 if its keys are configured.
    #[inline]
    pub fn mark(&self, provider: usize) -> Option<u64> {
        self.entries.get(provider).map(|entry| entry.mark)
    }

    /// The slot of a provider.
    pub fn slot(&self, provider: usize) -> usize {
        self.entries[provider].slot
    }
}

impl KeyringEntry {
    fn take_over(&mut self, slot: &ProviderSlot, generation: u64) -> bool {
        self.generation = generation;
        let document = slot.keys_of(self.source).filter(|_| generation != 0).map(|(generation, document)| {
            self.generation = generation;
            document
        });
        let document = document.unwrap_or_default();
        if document == self.document {
            return false;
        }
        self.keys = KeySet::from_jwks(&document, Origin::Fetched).ok();
        let hash = digest(&SHA256, &document);
        self.mark = hash.as_ref().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        self.document = document;
        true
    }
}

impl KnownKeys for Keyring {
    fn fetched(&self, provider: usize) -> Option<&KeySet> {
        let entry = self.entries.get(provider)?;
        entry.keys.as_ref().filter(|_| entry.young_enough)
    }

    fn fetched_at(&self, provider: usize) -> i64 {
        self.entries.get(provider).map_or(0, |entry| entry.fetched_at / 1000)
    }
}
