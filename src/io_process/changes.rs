// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which records other proxies have changed lately: one that was read before its change must not be remembered after.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Changes that are remembered.
const MOST: usize = 4096;

/// A moment between changes.
pub type Moment = u64;

/// Counts the changes; the threads read it before they read a record.
#[derive(Clone, Debug, Default)]
pub struct ChangeClock(Arc<AtomicU64>);

impl ChangeClock {
    /// Now.
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

    /// A record was changed; with an empty key any may have been.
    pub fn note(&mut self, key: String) {
        let moment = self.clock.0.fetch_add(1, SeqCst) + 1;
        if self.recent.len() == MOST {
            self.recent.pop_front();
        }
        self.recent.push_back((moment, key));
    }

    /// True when the record may have changed since.
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
