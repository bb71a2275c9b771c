// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about ends of sessions: what others have ended is heard, and the host is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::exchange_task::TaskEnv;
use super::pool::Pool;
use super::service::ServiceEvent;
use crate::clock::{has_come, now_millis};
use crate::store::session_ends::{HeardEnds, PREFIX};
use crate::store::sessions::SessionStore;
use sipoauth_core::records::session_end::SessionEnd;

/// Time between two looks at all records, in milliseconds.
const LOOK: i64 = 250;
/// Ends that are kept for the host, and keys that wait to be read. More of them stay in the store until the host has taken
/// these; after that many keys everything is read.
const MOST: usize = 3072;

/// What is heard.
pub struct SessionEnds {
    heard: Arc<Mutex<HeardEnds>>,
    /// With a folder nobody tells of new records.
    looks: bool,
    next_look: i64,
    /// A thread reads.
    reading: bool,
    /// All records must be looked at: some may have come unnoticed.
    all: bool,
    /// Records that have come.
    keys: Vec<String>,
    ended: VecDeque<SessionEnd>,
}

impl SessionEnds {
    /// `looks` where the store does not tell of new records.
    pub fn new(looks: bool, now: i64) -> SessionEnds {
        SessionEnds {
            heard: Arc::new(Mutex::new(HeardEnds::new(now))),
            looks,
            next_look: 0,
            reading: false,
            all: false,
            keys: Vec::new(),
            ended: VecDeque::new(),
        }
    }

    /// When there is something to do next; None while nothing is known of.
    pub fn next(&self) -> Option<i64> {
        ((self.looks || self.all) && !self.reading && self.room() > 0).then_some(self.next_look)
    }

    /// The store has told of a new record; an empty key stands for any.
    pub fn changed(&mut self, key: &str) {
        if key.is_empty() || self.keys.len() >= MOST {
            self.all = true;
        } else if key.starts_with(PREFIX) {
            self.keys.push(key.to_owned());
        }
    }

    /// Has a thread read what has come.
    pub fn dispatch(&mut self, env: &TaskEnv, pool: &Pool<ServiceEvent>, now: i64) {
        let most = self.room();
        if self.reading || most == 0 {
            return;
        }
        let all = (self.looks || self.all) && has_come(self.next_look, now, LOOK);
        if !all && self.keys.is_empty() {
            return;
        }
        if all {
            self.next_look = now + LOOK;
        }
        let keys = (!all).then(|| self.keys.clone());
        let (task_env, heard) = (env.clone(), Arc::clone(&self.heard));
        let read = move || {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            let mut ends = Vec::new();
            let into = (&mut ends, most);
            let read = |store: Arc<SessionStore>| store.hear_some(keys.as_deref(), &mut heard, into, now_millis());
            let are_all = task_env.noted(task_env.store().and_then(read)).unwrap_or(false);
            ServiceEvent::Heard(ends, are_all)
        };
        if pool.start(env.task(read, |_| ServiceEvent::Heard(Vec::new(), false))) {
            self.reading = true;
            self.all &= !all;
            self.keys.clear();
        }
    }

    /// A thread has read. If it has not got all, everything is read again.
    pub fn finished(&mut self, ends: Vec<SessionEnd>, are_all: bool, origin: u64) {
        self.reading = false;
        self.all |= !are_all;
        // What this proxy has ended was told already.
        self.ended.extend(ends.into_iter().filter(|end| end.origin != origin));
    }

    /// More sessions have ended, which only this process knows of.
    pub fn extend(&mut self, ends: impl IntoIterator<Item = SessionEnd>) {
        // A host that never asks misses nothing by losing the rest.
        let room = (2 * MOST).saturating_sub(self.ended.len());
        self.ended.extend(ends.into_iter().take(room));
    }

    fn room(&self) -> usize {
        MOST.saturating_sub(self.ended.len())
    }

    /// The sessions that have ended since the last call.
    pub fn take(&mut self) -> impl Iterator<Item = SessionEnd> {
        std::mem::take(&mut self.ended).into_iter()
    }
}
