// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared memory between the forked processes: small, hot, losable state of fixed size.
//!
//! It is made before the fork and never grows. Everything in it is an atomic, so a reader or writer that is killed
//! at any instruction leaves no lock behind. This room and `capi` are the only ones with unsafe code.
#![allow(unsafe_code)]

pub mod connection_table;
pub mod counters;
pub mod file_room;
pub mod job_slots;
pub mod limit_table;
pub mod mapped_store;
pub mod memory_table;
mod octets;
pub mod process_id;
pub mod provider_slot;
pub mod published;
pub mod record_cache;
pub mod refer_table;
pub mod replay_guard;
pub mod source_limits;
pub mod start_key;
pub mod token_names;
pub mod token_table;
pub mod waiting_room;
pub mod waits;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use connection_table::{ConnectionEntry, ConnectionTable};
use counters::{Counters, Gauge};
use job_slots::{JobSlot, JobSlots};
use limit_table::LimitTable;
use memory_table::MemoryTable;
use octets::words;
use provider_slot::ProviderSlot;
use published::Published;
use record_cache::{CacheTag, CachedRecord, RecordCache, rounded};
use refer_table::{ReferCounts, ReferEntry, ReferTable};
use replay_guard::{ReplayGuard, ReplaySet, sets_for};
use source_limits::{ShownSenders, SourceLimits};
use start_key::StartKey;
use token_table::{TokenSet, TokenTable};
use waiting_room::WaitingRoom;
use waits::Waits;

/// Slots beyond the providers of the first configuration, for those that a reload adds.
const SPARE_SLOTS: usize = 16;

/// The part that exists once.
#[repr(C)]
pub struct Shared {
    /// Statistics.
    pub counters: Counters,
    /// Requests that wait for the I/O service.
    pub waiting: WaitingRoom,
    /// 1 while the I/O service cannot take the workers' jobs.
    pub deaf: AtomicU32,
    /// Id of the process that reloads the configuration now; 0 when none does.
    reloading: AtomicU64,
    /// Process id of the I/O service, 0 when there is none.
    serving: AtomicU64,
    /// The configuration in force, as JSON.
    pub bundle: Published<{ words(512 * 1024) }>,
    /// Hash key that decides the places of records and connections, and names sources.
    pub places: StartKey,
    /// Key ids that the last fetch did not bring.
    pub missing_keys: MemoryTable<4096>,
    /// Fetches that a source has caused in the present minute.
    pub source_fetches: SourceLimits<16_384>,
    /// Code exchanges that a source has caused in the present minute.
    pub source_exchanges: SourceLimits<16_384>,
    /// Introspections that a source has caused in the present minute.
    pub source_introspections: SourceLimits<16_384>,
    /// Requests per source that were refused after a look-up in a store over the network.
    pub source_look_ups: SourceLimits<16_384>,
    /// Encrypted tokens of a source on which the proxy has used a private key in vain in the present minute.
    pub source_decryptions: SourceLimits<16_384>,
    /// Short codes that a source has tried in the present ten minutes.
    pub short_code_sources: SourceLimits<16_384>,
    /// Short codes that were tried for an address-of-record in the present ten minutes.
    pub short_code_addresses: LimitTable<65_536>,
    /// Senders of datagrams from which something was accepted lately.
    pub shown_senders: ShownSenders,
    /// Why the last exchange of a code failed: a reason and a time, see `process::failures`.
    pub exchange_failures: MemoryTable<16384>,
    /// Why the last introspection of a token failed: a reason and a time, see `process::failures`.
    pub introspection_failures: MemoryTable<16384>,
    /// When a request that waits for a code arrived: the low 24 bits of Unix milliseconds.
    pub arrivals: MemoryTable<16384>,
    /// When a use of a phone was handed over last, see `process::known_uses`.
    pub known_uses: MemoryTable<65536>,
    /// Uses of phones that lie in the queue, see `process::use_queue`.
    pub queued_uses: AtomicU32,
    /// Not 0 while the session store fails.
    pub store_failing: AtomicU32,
    /// Callers that wait in a thread or process of their own.
    pub waits: Waits,
    /// Unix milliseconds of the last successful key fetch of the provider with the oldest keys. A provider that has
    /// no keys yet counts with the time at which it was configured. 0: no keys are fetched. Written by the I/O
    /// service only.
    pub oldest_keys: AtomicI64,
    /// Key for the marks of dialogs if no `store_key` is configured.
    pub dialog_key: StartKey,
    /// Key for the names of tokens.
    pub token_key: StartKey,
    /// Hash key that decides the places of tokens.
    token_places: StartKey,
    /// REFERs that the event server has accepted from a source in the present minute.
    pub source_refers: SourceLimits<16_384>,
    /// Subscriptions and publications that a source has begun, or tried to, in the present minute.
    pub source_subscriptions: SourceLimits<16_384>,
    /// REFERs that the event server has accepted from an address-of-record in the present minute.
    pub address_refers: LimitTable<65_536>,
    /// What all REFERs share.
    refers: ReferCounts,
}

impl Shared {
    /// The value of a statistic at a time in Unix milliseconds; 0 past the end.
    pub fn statistic(&self, index: usize, now: i64) -> u64 {
        match counters::gauge(index) {
            None => self.counters.get(index),
            Some(Gauge::Pending) => self.waiting.count(now) as u64,
            Some(Gauge::Refers) => self.refers.live().into(),
            Some(Gauge::KeyAge) => match self.oldest_keys.load(Ordering::Relaxed) {
                0 => 0,
                oldest => u64::try_from((now - oldest) / 1000).unwrap_or(0),
            },
        }
    }
}

/// How much room the arena has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// Providers of the first configuration.
    pub providers: usize,
    /// Proofs of possession that are remembered.
    pub proofs: usize,
    /// Records from a store over the network.
    pub records: usize,
    /// Answers of authorization servers about tokens.
    pub answers: usize,
    /// Connections that can be bound to the user who signed in on them.
    pub connections: usize,
    /// Tokens that are remembered once they were verified.
    pub tokens: usize,
    /// Requests whose work waits here for the I/O service.
    pub jobs: usize,
    /// REFERs that the event server follows.
    pub refers: usize,
}

/// The mapping: one [`Shared`], then the provider slots, the sets of the replay guard, the tags of the record cache and
/// of the answers, their records, the entries of the connection table, the slots of jobs, the REFERs and
/// the words that say which of them have changed, and from the next page on the sets of the token table.
pub struct Arena {
    base: NonNull<Shared>,
    slots: usize,
    replay_sets: usize,
    since: i64,
    records: usize,
    answers: usize,
    connections: usize,
    jobs: usize,
    refers: usize,
    /// Where the token table begins, in octets.
    token_offset: usize,
    token_sets: usize,
    length: usize,
}

/// The least that the size of a page can be.
const PAGE: usize = 4096;

// SAFETY: the mapping lives as long as the Arena, and everything in it is an atomic or made of atomics.
unsafe impl Send for Arena {}
// SAFETY: as above; &Arena gives out only & to atomics.
unsafe impl Sync for Arena {}

impl Arena {
    /// Maps zeroed memory that forked children share. `now` is Unix milliseconds.
    pub fn new(sizes: &Sizes, now: i64) -> std::io::Result<Arena> {
        let slots = sizes.providers + SPARE_SLOTS;
        let replay_sets = sets_for(sizes.proofs);
        let Sizes { records, answers, jobs, refers, .. } = *sizes;
        let connections = connection_table::rounded(sizes.connections);
        let token_sets = token_table::sets_for(sizes.tokens);
        let before = size_of::<Shared>()
            + slots * size_of::<ProviderSlot>()
            + replay_sets * size_of::<ReplaySet>()
            + (rounded(records) + rounded(answers)) * (size_of::<CacheTag>() + size_of::<CachedRecord>())
            + connections * size_of::<ConnectionEntry>()
            + jobs * size_of::<JobSlot>()
            + refers * size_of::<ReferEntry>()
            + ReferTable::words(refers) * size_of::<AtomicU64>();
        let token_offset = before.next_multiple_of(PAGE);
        let length = token_offset + token_sets * size_of::<TokenSet>();
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        const { assert!(size_of::<Shared>().is_multiple_of(align_of::<ProviderSlot>()) && align_of::<Shared>() <= 4096) };
        const { assert!(size_of::<ProviderSlot>().is_multiple_of(align_of::<ReplaySet>())) };
        const { assert!(size_of::<ReplaySet>().is_multiple_of(align_of::<CacheTag>())) };
        const { assert!(size_of::<CacheTag>().is_multiple_of(align_of::<CachedRecord>())) };
        const { assert!(size_of::<CachedRecord>().is_multiple_of(align_of::<ConnectionEntry>())) };
        const { assert!(size_of::<ConnectionEntry>().is_multiple_of(align_of::<JobSlot>())) };
        const { assert!(size_of::<JobSlot>().is_multiple_of(align_of::<ReferEntry>())) };
        const { assert!(size_of::<ReferEntry>().is_multiple_of(align_of::<AtomicU64>())) };
        const { assert!(align_of::<TokenSet>() <= PAGE) };
        // The mapping has the configuration's secrets, so it must not be in a core file. A failure of this call is
        // ignored.
        // SAFETY: the mapping that was just made.
        unsafe { libc::madvise(address, length, libc::MADV_DONTDUMP) };
        // A look-up in a large table misses the processor's list of pages less often if these are huge. Where the
        // system gives none, this call fails or does nothing.
        // SAFETY: the end of that mapping, which begins with a page of its own.
        unsafe { libc::madvise(address.byte_add(token_offset), length - token_offset, libc::MADV_HUGEPAGE) };
        let base = NonNull::new(address.cast::<Shared>()).ok_or_else(std::io::Error::last_os_error)?;
        let since = now / 1000;
        Ok(Arena {
            base,
            slots,
            replay_sets,
            since,
            records,
            answers,
            connections,
            jobs,
            refers,
            token_offset,
            token_sets,
            length,
        })
    }

    /// The part that exists once.
    pub fn shared(&self) -> &Shared {
        // SAFETY: page-aligned, mapped for at least size_of::<Shared>(), and all-zero is a valid value of atomics.
        unsafe { self.base.as_ref() }
    }

    /// The provider slots.
    pub fn slots(&self) -> &[ProviderSlot] {
        // SAFETY: the slots follow Shared within the mapping, aligned (asserted in new), zero is a valid value.
        unsafe {
            let first = self.base.as_ptr().add(1).cast::<ProviderSlot>();
            std::slice::from_raw_parts(first, self.slots)
        }
    }

    /// The first of the sets of the replay guard, behind the slots.
    fn first_set(&self) -> *const ReplaySet {
        // SAFETY: the address lies within the mapping, or at its end when there are no sets and no entries.
        unsafe { self.base.as_ptr().add(1).cast::<ProviderSlot>().add(self.slots).cast::<ReplaySet>() }
    }

    /// The proofs that were used since the start.
    pub fn replay_guard(&self) -> ReplayGuard<'_> {
        // SAFETY: the sets follow the slots within the mapping, aligned (asserted in new), zero is a valid value.
        let sets = unsafe { std::slice::from_raw_parts(self.first_set(), self.replay_sets) };
        ReplayGuard { sets, since: self.since }
    }

    /// The first of the tags of both caches, behind the sets.
    fn first_tag(&self) -> *const CacheTag {
        // SAFETY: the address lies within the mapping, or at its end when nothing follows the sets.
        unsafe { self.first_set().add(self.replay_sets).cast::<CacheTag>() }
    }

    /// How many entries both caches have together.
    fn cached(&self) -> usize {
        rounded(self.records) + rounded(self.answers)
    }

    /// The first of the records of both caches, behind the tags.
    fn first_record(&self) -> *const CachedRecord {
        // SAFETY: the address lies within the mapping, or at its end when nothing follows the tags.
        unsafe { self.first_tag().add(self.cached()).cast::<CachedRecord>() }
    }

    /// The tags and the records of the entries from `first` on.
    fn cache(&self, first: usize, count: usize) -> RecordCache<'_> {
        let length = rounded(count);
        debug_assert!(first + length <= self.cached());
        // SAFETY: both lie within the mapping, aligned (asserted in new), zero is a valid value.
        let (tags, records) = unsafe {
            (
                std::slice::from_raw_parts(self.first_tag().add(first), length),
                std::slice::from_raw_parts(self.first_record().add(first), length),
            )
        };
        RecordCache::new(tags, records, count, &self.shared().places)
    }

    /// The record cache; one without entries remembers nothing.
    pub fn records(&self) -> RecordCache<'_> {
        self.cache(0, self.records)
    }

    /// False when there is no room for answers of authorization servers.
    pub fn keeps_answers(&self) -> bool {
        self.answers > 0
    }

    /// What authorization servers have said of tokens.
    pub fn answers(&self) -> RecordCache<'_> {
        self.cache(rounded(self.records), self.answers)
    }

    /// The first of the entries of the connection table, behind the records.
    fn first_connection(&self) -> *const ConnectionEntry {
        // SAFETY: the address lies within the mapping, or at its end when nothing follows the records.
        unsafe { self.first_record().add(self.cached()).cast::<ConnectionEntry>() }
    }

    /// What the connections are bound to; a table without entries binds none.
    pub fn connections(&self) -> ConnectionTable<'_> {
        // SAFETY: these entries follow the records within the mapping, aligned (asserted in new), zero is a valid value.
        let entries = unsafe { std::slice::from_raw_parts(self.first_connection(), self.connections) };
        ConnectionTable::new(entries, &self.shared().places)
    }

    /// The work of requests that wait.
    pub fn job_slots(&self) -> JobSlots<'_> {
        // SAFETY: the slots follow the connections within the mapping, aligned (asserted in new), zero is a valid value.
        JobSlots(unsafe {
            let first = self.first_connection().add(self.connections).cast::<JobSlot>();
            std::slice::from_raw_parts(first, self.jobs)
        })
    }

    /// The REFERs that are followed; a table without entries follows none.
    pub fn refers(&self) -> ReferTable<'_> {
        // SAFETY: the entries follow the slots of jobs within the mapping, and the words follow them, aligned (asserted in
        // new), zero is a valid value.
        let (entries, changed) = unsafe {
            let first = self.first_connection().add(self.connections).cast::<JobSlot>().add(self.jobs);
            let entries = first.cast::<ReferEntry>();
            let words = entries.add(self.refers).cast::<AtomicU64>();
            (
                std::slice::from_raw_parts(entries, self.refers),
                std::slice::from_raw_parts(words, ReferTable::words(self.refers)),
            )
        };
        ReferTable { entries, changed, counts: &self.shared().refers }
    }

    /// The tokens that were verified; a table without sets remembers none.
    pub fn tokens(&self) -> TokenTable<'_> {
        // SAFETY: the sets end the mapping, aligned (asserted in new), zero is a valid value.
        let sets = unsafe {
            let first = self.base.as_ptr().byte_add(self.token_offset).cast::<TokenSet>();
            std::slice::from_raw_parts(first, self.token_sets)
        };
        TokenTable::new(sets, &self.shared().token_places)
    }

    /// Takes the right to replace the configuration; a dead holder does not keep it.
    pub fn begin_reload(&self) -> Option<ReloadGuard<'_>> {
        take(&self.shared().reloading).then_some(ReloadGuard(self))
    }

    /// Takes the right to be the I/O service, the one writer of the provider slots; a dead holder does not keep it.
    pub fn begin_service(&self) -> bool {
        take(&self.shared().serving)
    }

    /// Gives up the right to be the I/O service.
    pub fn end_service(&self) {
        self.shared().serving.store(0, Ordering::Release);
    }
}

/// Writes this process's id over 0 or over that of a dead process; false when a live one holds the right.
fn take(right: &AtomicU64) -> bool {
    let own = u64::from(std::process::id());
    let holder = right.load(Ordering::Acquire);
    let is_held = holder != 0 && u32::try_from(holder).is_ok_and(process_id::is_alive);
    let expected = if is_held { 0 } else { holder };
    right.compare_exchange(expected, own, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in new with this length; nothing borrows from it any more.
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.length);
        }
    }
}

/// The right to replace the configuration.
pub struct ReloadGuard<'a>(&'a Arena);

impl Drop for ReloadGuard<'_> {
    fn drop(&mut self) {
        self.0.shared().reloading.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::waiting_room::{Party, Rules};

    #[test]
    fn one_reload_at_a_time() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let first = arena.begin_reload();
        assert!(first.is_some() && arena.begin_reload().is_none());
        drop(first);
        assert!(arena.begin_reload().is_some());
    }

    #[test]
    fn every_statistic_has_a_name_and_gauges_may_fall() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let shared = arena.shared();
        let index = |name: &str| {
            (0..counters::COUNT).find(|i| counters::name(*i).is_some_and(|n| n.to_bytes() == name.as_bytes())).unwrap()
        };
        assert!((0..counters::COUNT).all(|i| counters::name(i).is_some()));
        assert_eq!((counters::name(counters::COUNT), counters::gauge(counters::COUNT)), (None, None));
        assert_eq!(shared.statistic(counters::COUNT, 0), 0);
        shared.counters.add(counters::Counter::Panics);
        let rules = Rules { all: 10, several: false, now: 0 };
        for _ in 0..3 {
            shared.waiting.take(Party::default(), &rules, 10_000).unwrap();
        }
        let (panics, pending, age) = (index("panics"), index("pending"), index("key_age"));
        assert_eq!(
            (shared.statistic(panics, 0), shared.statistic(pending, 0), shared.statistic(age, 9_000)),
            (1, 3, 0)
        );
        shared.oldest_keys.store(2_500, Ordering::Relaxed);
        assert_eq!((shared.statistic(age, 9_000), shared.statistic(age, 1_000)), (6, 0));
    }

    #[test]
    fn a_dead_holder_does_not_keep_the_right() {
        let arena = Arena::new(&Sizes::default(), 0).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = u64::from(child.id());
        child.wait().unwrap();
        arena.shared().reloading.store(pid, Ordering::Relaxed);
        assert!(arena.begin_reload().is_some());
    }
}
