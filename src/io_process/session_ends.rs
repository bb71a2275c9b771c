// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about ends of sessions: what others have ended is heard, and the host is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::exchange_task::TaskEnv;
use super::pool::Pool;
use super::service::ServiceEvent;
use crate::clock::{has_come, now_millis};
use crate::store::session_ends::{HeardEnds, PREFIX};
use sipoauth_core::records::session_end::SessionEnd;

/// Time between two looks into a folder, in milliseconds.
const LOOK: i64 = 250;
/// Ends that are kept for the host, and keys that wait to be read. A host that never asks misses nothing by losing the rest;
/// after that many keys everything is read.
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
    /// `looks` where the store does not tell of new records. What has ended before `now` is not heard.
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
        (self.looks && !self.reading).then_some(self.next_look)
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
        if self.reading {
            return;
        }
        let looks = self.looks && has_come(self.next_look, now, LOOK);
        if !looks && !self.all && self.keys.is_empty() {
            return;
        }
        self.next_look = now + LOOK;
        let (all, keys) = (looks || self.all, self.keys.clone());
        let (task_env, heard) = (env.clone(), Arc::clone(&self.heard));
        let read = move || {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            let now = now_millis();
            let ends = task_env.store().and_then(|store| {
                let read = |key: &String| store.hear(key, &mut heard, now).transpose();
                let ends = if all { store.hear_all(&mut heard, now) } else { keys.iter().filter_map(read).collect() };
                task_env.noted(ends)
            });
            ServiceEvent::Heard(ends.ok())
        };
        if pool.start(env.task(read, |_| ServiceEvent::Heard(None))) {
            self.reading = true;
            self.all = false;
            self.keys.clear();
        }
    }

    /// A thread has read. None: the store could not be read, so everything is read again when it can.
    pub fn finished(&mut self, ends: Option<Vec<SessionEnd>>, origin: u64) {
        self.reading = false;
        match ends {
            None => self.all = !self.looks,
            // What this proxy has ended was told already.
            Some(ends) => self.extend(ends.into_iter().filter(|end| end.origin != origin)),
        }
    }

    /// More sessions have ended.
    pub fn extend(&mut self, ends: impl IntoIterator<Item = SessionEnd>) {
        let room = MOST.saturating_sub(self.ended.len());
        self.ended.extend(ends.into_iter().take(room));
    }

    /// The sessions that have ended since the last call.
    pub fn take(&mut self) -> impl Iterator<Item = SessionEnd> {
        std::mem::take(&mut self.ended).into_iter()
    }
}
