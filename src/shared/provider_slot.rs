// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the I/O process tells the workers about one provider.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use serde_json::json;

use super::octets::words;
use super::published::Published;
use sipoauth_core::check::key_wait::SlotState;
use sipoauth_core::jose::key_set::Rejected;

/// Most octets of a published key set.
pub const MAX_KEYS_OCTETS: usize = 64 * 1024;

/// Most octets of a published status. It has room for all keys of a set if all are rejected.
const STATUS_OCTETS: usize = 32 * 1024;

/// One provider's keys and their state. Written by the I/O process only, except `wanted`.
#[repr(C)]
pub struct ProviderSlot {
    /// The key source that the slot belongs to; keys of another source are not used. 0: free.
    pub source: AtomicU64,
    /// Unix milliseconds of the last successful fetch.
    pub fetched_at: AtomicI64,
    /// Unix milliseconds of the next planned fetch.
    pub next_fetch_at: AtomicI64,
    /// Unix milliseconds before which no request may cause a fetch.
    pub not_before: AtomicI64,
    /// Failed fetches since the last successful one.
    pub failures: AtomicU32,
    /// 1 while a fetch is under way.
    pub in_flight: AtomicU32,
    /// Not 0 from the moment a fetch is asked for until it begins. A worker writes 1 more than the generation of the
    /// keys that were not enough, the operator the largest number.
    wanted: AtomicU64,
    /// Fetches that were started.
    pub fetches: AtomicU64,
    /// The key set: public members only, as JSON.
    pub keys: Published<{ words(MAX_KEYS_OCTETS) }>,
    /// Address of the key set, the last error, and the keys that came and could not be used, as JSON.
    pub status: Published<{ words(STATUS_OCTETS) }>,
}

/// `wanted` when the operator has asked.
const BY_OPERATOR: u64 = u64::MAX;

/// Who asks for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedFetch {
    /// Nobody.
    No,
    /// A request; the limits of fetches on request hold.
    ByRequest,
    /// The operator; no limit holds.
    ByOperator,
}

impl ProviderSlot {
    /// The key set of a key source with its generation. None when there is none, or when the slot belongs to another
    /// source, even if that source got the slot just now.
    pub fn keys_of(&self, source: u64) -> Option<(u64, Vec<u8>)> {
        if self.source.load(Acquire) != source {
            return None;
        }
        let keys = self.keys.read();
        // `assign` takes the slot away before it touches the keys. So the keys belong to the source if it still has
        // the slot.
        keys.filter(|_| self.source.load(Acquire) == source)
    }

    /// Asks for a fetch for a request, because the keys of this generation were not enough. If newer keys have come
    /// since, this asks for nothing.
    pub fn want(&self, generation: u64) {
        self.wanted.fetch_max(generation.saturating_add(1), Relaxed);
    }

    /// Asks for a fetch in the operator's name.
    pub fn demand(&self) {
        self.wanted.store(BY_OPERATOR, Relaxed);
    }

    /// Who asks for a fetch.
    pub fn wanted(&self) -> WantedFetch {
        match self.wanted.load(Relaxed) {
            BY_OPERATOR => WantedFetch::ByOperator,
            0 => WantedFetch::No,
            after if self.has_newer(after - 1) => WantedFetch::No,
            _ => WantedFetch::ByRequest,
        }
    }

    /// Whether keys were fetched after those of this generation.
    pub fn has_newer(&self, generation: u64) -> bool {
        self.fetched_at.load(Relaxed) != 0 && self.keys.generation() > generation
    }

    /// Notes that the fetch that was asked for begins.
    pub fn granted(&self) {
        self.wanted.store(0, Relaxed);
    }

    /// The state as one key source sees it: empty when the slot belongs to another source.
    pub fn state(&self, source: u64) -> SlotState {
        if self.source.load(Acquire) != source {
            return SlotState::default();
        }
        SlotState {
            // This time is never later than that of the keys, because tokens are judged by when the keys were fetched.
            fetched_at: self.fetched_at.load(Acquire),
            next_fetch_at: self.next_fetch_at.load(Relaxed),
            not_before: self.not_before.load(Relaxed),
            failures: self.failures.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed) == 1,
            asked: self.wanted() != WantedFetch::No,
            fetches: self.fetches.load(Relaxed),
            generation: self.keys.generation(),
        }
    }

    /// Publishes the result of a fetch. Both texts are short.
    pub fn tell(&self, jwks_uri: &str, error: &str, rejected: &[Rejected]) {
        let status = |rejected: &[Rejected]| {
            let rejected: Vec<_> = rejected.iter().map(Rejected::to_json).collect();
            json!({"jwks_uri": jwks_uri, "error": error, "rejected": rejected}).to_string()
        };
        // The key names may be longer than usual. Then the keys are left out; the error text says how many there are.
        let _ = self.status.write(status(rejected).as_bytes()) || self.status.write(status(&[]).as_bytes());
    }

    /// Gives the slot to a key source and forgets what it knew of another one. Only the I/O process does this.
    pub fn assign(&self, source: u64) {
        if self.source.load(Relaxed) == source {
            return;
        }
        self.source.store(0, Relaxed);
        for number in [&self.fetched_at, &self.next_fetch_at, &self.not_before] {
            number.store(0, Relaxed);
        }
        self.failures.store(0, Relaxed);
        self.in_flight.store(0, Relaxed);
        self.fetches.store(0, Relaxed);
        self.keys.write(b"{}");
        self.status.write(b"{}");
        self.source.store(source, Release);
    }
}
