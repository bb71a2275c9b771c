// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about upkeep: which tokens are due, and the store's own housekeeping.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use sipoauth_core::oauth::breaker::Breaker;

use super::PATIENCE;
use super::exchange_task::{ReadRecord, TaskEnv};
use super::pool::Pool;
use super::refresh_task::Refresh;
use super::service::ServiceEvent;
use crate::clock::{has_come, now_millis};
use crate::process::context::Worked;
use crate::store::sessions::account_key;

/// Time between two looks at what is due, in milliseconds.
const LOOK: i64 = 250;
/// Time between two housekeepings.
const UPKEEP: i64 = 1000;
/// Tokens taken up at one look.
const BATCH: usize = 256;

/// What came back from a thread.
pub enum RefreshEvent {
    /// The keys of tokens that are due.
    Due(Vec<String>),
    /// Tokens were looked after; the records that changed are for the workers' cache.
    Refreshed(String, Refresh, Vec<ReadRecord>),
    /// The store was looked after.
    Upkeep,
}

impl RefreshEvent {
    /// The records for the workers' cache.
    pub fn take_records(&mut self) -> Vec<ReadRecord> {
        match self {
            RefreshEvent::Refreshed(_, _, records) => std::mem::take(records),
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
    breakers: Arc<Breakers>,
}

/// By provider.
type Breakers = Mutex<HashMap<String, Arc<Breaker>>>;

fn breaker_of(breakers: &Breakers, provider: &str) -> Arc<Breaker> {
    let mut breakers = breakers.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(breakers.entry(provider.to_owned()).or_insert_with(|| Arc::new(Breaker::new(PATIENCE))))
}

impl Refreshes {
    /// When there is something to do.
    pub fn next(&self) -> i64 {
        // What is under way, or waits for a thread, says so by an event.
        let look = if self.looking || !self.queue.is_empty() { i64::MAX } else { self.next_look };
        let upkeep = if self.upkeeping { i64::MAX } else { self.next_upkeep };
        look.min(upkeep)
    }

    /// Starts what is due. At most an eighth of the threads refresh: phones that wait come first.
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
        while self.running.len() < (pool.size() / 8).max(1) {
            let Some(key) = self.queue.pop_front() else { return };
            let (task_env, breakers, task_key, panicked) =
                (env.clone(), Arc::clone(&self.breakers), key.clone(), key.clone());
            let patience = i64::from(env.policy.settings.http_timeout) * 2000;
            let refresh = move || {
                let may_ask = |provider: &str| breaker_of(&breakers, provider).check(now_millis(), patience).is_ok();
                let refresh = task_env.refresh(&task_key, &may_ask);
                let keys: Vec<String> = refresh.aor.iter().map(|aor| account_key(aor)).collect();
                let records = task_env.look_up(&keys);
                ServiceEvent::Kept(RefreshEvent::Refreshed(task_key, refresh, records))
            };
            let panicked =
                move |_| ServiceEvent::Kept(RefreshEvent::Refreshed(panicked, Refresh::default(), Vec::new()));
            if !pool.start(env.task(refresh, panicked)) {
                self.queue.push_front(key);
                return;
            }
            self.running.insert(key);
        }
    }

    /// Something came back.
    pub fn finished(&mut self, kept: RefreshEvent) {
        match kept {
            RefreshEvent::Upkeep => self.upkeeping = false,
            RefreshEvent::Due(keys) => {
                self.looking = false;
                let mut keys: Vec<String> = keys.into_iter().filter(|key| !self.running.contains(key)).collect();
                // All proxies see the same ones: each begins elsewhere.
                let count = keys.len();
                keys.rotate_left(((count as f64 * crate::clock::jitter()) as usize).min(count));
                self.queue.extend(keys);
            }
            RefreshEvent::Refreshed(key, refresh, _) => {
                self.running.remove(&key);
                let Some(provider) = refresh.provider else { return };
                let breaker = breaker_of(&self.breakers, &provider);
                match refresh.answered {
                    Some(true) => breaker.succeeded(),
                    Some(false) => breaker.failed(now_millis(), ""),
                    None => breaker.unused(),
                }
            }
        }
    }
}
