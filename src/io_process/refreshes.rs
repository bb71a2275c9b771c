// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about upkeep: which tokens are due, and the store's own housekeeping.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::backlog::{Backlog, Late};
use super::exchange_task::{ReadRecord, TaskEnv};
use super::pool::Pool;
use super::refresh_shares::{Permit, RefreshShares, ShareRules};
use super::refresh_task::Refresh;
use super::service::ServiceEvent;
use crate::clock::{has_come, now_millis};
use crate::process::context::Worked;
use crate::store::sessions::account_key;
use sipoauth_core::records::session_end::SessionEnd;

/// Time between two looks at what is due, in milliseconds.
const LOOK: i64 = 250;
/// Time between two housekeepings, in milliseconds.
const UPKEEP: i64 = 1000;
/// Tokens taken up at one look.
const BATCH: usize = 256;
/// Ended sessions that are kept for the host. A host that never asks misses nothing by losing the rest.
const ENDED: usize = 1024;

/// What came back from a thread.
pub enum RefreshEvent {
    /// The keys of tokens that are due.
    Due(Vec<String>),
    /// Tokens were looked after.
    Refreshed(Finished),
    /// The store was looked after.
    Upkeep,
}

/// What a thread has done with tokens that were due.
#[derive(Default)]
pub struct Finished {
    key: String,
    refresh: Refresh,
    /// Their server was left alone, and is back.
    recovered: bool,
    /// The records that changed, for the workers' cache.
    records: Vec<ReadRecord>,
}

impl RefreshEvent {
    /// The records for the workers' cache.
    pub fn take_records(&mut self) -> Vec<ReadRecord> {
        match self {
            RefreshEvent::Refreshed(finished) => std::mem::take(&mut finished.records),
            _ => Vec::new(),
        }
    }
}

/// What is due, and what runs.
#[derive(Default)]
pub struct Refreshes {
    next_look: i64,
    next_upkeep: i64,
    looking: bool,
    upkeeping: bool,
    queue: VecDeque<String>,
    running: HashSet<String>,
    /// Due, and not refreshed so far.
    backlog: Backlog,
    late_first: bool,
    shares: Arc<RefreshShares>,
    /// Sessions that have ended, until the host asks for them.
    ended: VecDeque<SessionEnd>,
}

impl Refreshes {
    /// When there is something to do next.
    pub fn next(&self) -> i64 {
        // Work that is under way, or waits for a thread, has no time, because an event wakes the service for it.
        let look = if self.looking || !self.queue.is_empty() { i64::MAX } else { self.next_look };
        let upkeep = if self.upkeeping { i64::MAX } else { self.next_upkeep };
        look.min(upkeep)
    }

    /// Starts what is due. At most an eighth of the threads refresh, because phones that wait come first.
    pub fn dispatch(&mut self, env: &TaskEnv, pool: &Pool<ServiceEvent>, now: i64) {
        if !self.upkeeping && has_come(self.next_upkeep, now, UPKEEP) {
            self.next_upkeep = now + UPKEEP;
            let task_env = env.clone();
            let upkeep = move || {
                if let Ok(store) = task_env.store()
                    && task_env.noted(store.store().upkeep(now_millis())).is_ok()
                {
                    task_env.context.note_worked(&*task_env.lines, Worked::Upkeep);
                }
                ServiceEvent::Kept(RefreshEvent::Upkeep)
            };
            self.upkeeping = pool.start(env.task(upkeep, |_| ServiceEvent::Kept(RefreshEvent::Upkeep)));
        }
        if !self.looking && self.queue.is_empty() && has_come(self.next_look, now, LOOK) {
            self.next_look = now + LOOK;
            let task_env = env.clone();
            let look = move || {
                let store = task_env.store().ok();
                let due = store.and_then(|s| task_env.noted(s.store().due(now_millis(), BATCH)).ok());
                ServiceEvent::Kept(RefreshEvent::Due(due.unwrap_or_default()))
            };
            self.looking = pool.start(env.task(look, |_| ServiceEvent::Kept(RefreshEvent::Due(Vec::new()))));
        }
        let threads = (pool.size() / 8).max(1);
        let trial = i64::from(env.policy.settings.http_timeout) * 2000;
        let rules = ShareRules::new(threads, env.policy.providers.len(), trial);
        while self.running.len() < threads {
            let Some((key, permit)) = self.take(&rules, now) else { return };
            if !self.begin(env, pool, rules, key, permit) {
                return;
            }
        }
    }

    /// What the store says is due, and what could not be refreshed before, take turns.
    fn take(&mut self, rules: &ShareRules, now: i64) -> Option<(String, Option<Permit>)> {
        self.late_first = !self.late_first;
        let shares = &self.shares;
        let mut late = || {
            let may_ask = |provider: &str| shares.permit(provider, rules, now);
            let (key, permit) = self.backlog.next(|provider| shares.is_left_alone(provider), may_ask)?;
            Some((key, Some(permit)))
        };
        let due = |queue: &mut VecDeque<String>| Some((queue.pop_front()?, None));
        if self.late_first { late().or_else(|| due(&mut self.queue)) } else { due(&mut self.queue).or_else(late) }
    }

    /// Gives a thread these tokens. With a permit they come from the backlog. False when there is no thread.
    fn begin(
        &mut self,
        env: &TaskEnv,
        pool: &Pool<ServiceEvent>,
        rules: ShareRules,
        key: String,
        permit: Option<Permit>,
    ) -> bool {
        if self.running.contains(&key) {
            return true;
        }
        let late_at = permit.as_ref().map(|permit| permit.provider().to_owned());
        let (task_env, shares, task_key, panicked) = (env.clone(), Arc::clone(&self.shares), key.clone(), key.clone());
        let refresh = move || {
            let early = permit.is_some();
            // It ends with this task, also when that panics.
            let permit = RefCell::new(permit);
            let may_ask = |provider: &str| {
                let mut permit = permit.borrow_mut();
                if permit.as_ref().is_none_or(|permit| permit.provider() != provider) {
                    *permit = shares.permit(provider, &rules, now_millis());
                }
                permit.is_some()
            };
            let refresh = task_env.refresh(&task_key, early, &may_ask);
            let recovered = permit.into_inner().is_some_and(|permit| permit.end(refresh.answered, now_millis()));
            let keys: Vec<String> = refresh.aor.iter().map(|aor| account_key(aor)).collect();
            let records = task_env.look_up(&keys);
            ServiceEvent::Kept(RefreshEvent::Refreshed(Finished { key: task_key, refresh, recovered, records }))
        };
        let panicked = move |_| {
            let finished = Finished { key: panicked, ..Finished::default() };
            ServiceEvent::Kept(RefreshEvent::Refreshed(finished))
        };
        if pool.start(env.task(refresh, panicked)) {
            self.running.insert(key);
            return true;
        }
        match late_at {
            Some(provider) => self.backlog.add(&provider, key, Late::Waits),
            None => self.queue.push_front(key),
        }
        false
    }

    /// The sessions that have ended since the last call.
    pub fn take_ended(&mut self) -> impl Iterator<Item = SessionEnd> {
        std::mem::take(&mut self.ended).into_iter()
    }

    /// Something came back.
    pub fn finished(&mut self, kept: RefreshEvent) {
        match kept {
            RefreshEvent::Upkeep => self.upkeeping = false,
            RefreshEvent::Due(keys) => {
                self.looking = false;
                let mut keys: Vec<String> = keys.into_iter().filter(|key| !self.running.contains(key)).collect();
                // All proxies see the same keys, so each begins at a random one.
                let count = keys.len();
                keys.rotate_left(((count as f64 * crate::clock::jitter()) as usize).min(count));
                self.queue.extend(keys);
            }
            RefreshEvent::Refreshed(Finished { key, refresh, recovered, .. }) => {
                self.running.remove(&key);
                self.backlog.forget(&key);
                let room = ENDED.saturating_sub(self.ended.len());
                self.ended.extend(refresh.ended.into_iter().take(room));
                let Some(provider) = refresh.provider else { return };
                if let Some(late) = refresh.late {
                    self.backlog.add(&provider, key, late);
                }
                if recovered {
                    self.backlog.recovered(&provider);
                }
            }
        }
    }
}
