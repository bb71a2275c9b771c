// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which records other proxies have changed lately. A record that was read before its change must not be cached
//! after it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// At most this many changes are remembered.
const MOST: usize = 4096;

/// A moment between changes.
pub type Moment = u64;

/// Counts the changes. A thread reads this clock before it reads a record.
#[derive(Clone, Debug, Default)]
pub struct ChangeClock(Arc<AtomicU64>);

impl ChangeClock {
    /// The present moment.
    pub fn now(&self) -> Moment {
        self.0.load(SeqCst)
    }
}

/// The latest changes.
#[derive(Debug, Default)]
pub struct Changes {
    clock: ChangeClock,
    recent: VecDeque<(Moment, String)>,
}

impl Changes {
    /// The clock of these changes.
    pub fn clock(&self) -> ChangeClock {
        self.clock.clone()
    }

    /// Notes that a record was changed. An empty key says that any record may have changed.
    pub fn note(&mut self, key: String) {
        let moment = self.clock.0.fetch_add(1, SeqCst) + 1;
        if self.recent.len() == MOST {
            self.recent.pop_front();
        }
        self.recent.push_back((moment, key));
    }

    /// True when the record may have changed since that moment.
    pub fn since(&self, moment: Moment, key: &str) -> bool {
        let forgotten = self.recent.len() == MOST && self.recent.front().is_some_and(|(first, _)| *first > moment + 1);
        let later = self.recent.iter().rev().take_while(|(at, _)| *at > moment);
        forgotten || later.into_iter().any(|(_, changed)| changed.is_empty() || changed == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_changed_since() {
        let mut changes = Changes::default();
        let start = changes.clock().now();
        assert!(!changes.since(start, "a"));
        changes.note("a".into());
        let then = changes.clock().now();
        changes.note("b".into());
        assert!(changes.since(start, "a") && changes.since(start, "b") && !changes.since(start, "c"));
        assert!(!changes.since(then, "a") && changes.since(then, "b"));
        changes.note(String::new());
        assert!(changes.since(then, "a"));
        let last = changes.clock().now();
        for _ in 0..MOST + 1 {
            changes.note("x".into());
        }
        assert!(changes.since(last, "a"), "what is forgotten may have been it");
        assert!(!changes.since(changes.clock().now(), "x"));
    }
}
