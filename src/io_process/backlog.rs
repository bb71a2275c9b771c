// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tokens that are due, and whose server could not be asked. The store says that they are due later, so that others are
//! found there. They are taken up from here as soon as their server may be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

/// Most tokens that are remembered. Others wait for the time that the store has.
const MOST: usize = 100_000;

/// Why tokens that are due have not been refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Their server was not asked: it has its share of the threads, or it is left alone.
    Waits,
    /// Their server did not answer.
    Failed,
}

#[derive(Default)]
struct Behind {
    waiting: BTreeSet<String>,
    /// They are tried again when the store says so, or when the server was left alone and is back.
    failed: BTreeSet<String>,
    /// Taken last by a trial.
    last: String,
}

/// By provider.
#[derive(Default)]
pub struct Backlog {
    providers: BTreeMap<String, Behind>,
    /// The provider whose turn it was last.
    last: String,
}

impl Behind {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.failed.is_empty()
    }

    /// A trial takes another one each time, so one that always fails does not hide that the server is back.
    fn for_trial(&self) -> Option<String> {
        let all = [&self.waiting, &self.failed];
        let after = (Excluded(&self.last), Unbounded);
        let next = all.iter().filter_map(|keys| keys.range::<String, _>(after).next()).min();
        next.or_else(|| all.iter().filter_map(|keys| keys.first()).min()).cloned()
    }

    fn take(&mut self, trial: bool) -> Option<String> {
        if !trial {
            return self.waiting.pop_first();
        }
        let key = self.for_trial()?;
        self.waiting.remove(&key);
        self.failed.remove(&key);
        self.last.clone_from(&key);
        Some(key)
    }
}

impl Backlog {
    /// Remembers tokens.
    pub fn add(&mut self, provider: &str, key: String, late: Late) {
        let count: usize = self.providers.values().map(|behind| behind.waiting.len() + behind.failed.len()).sum();
        if count >= MOST {
            return;
        }
        let behind = self.providers.entry(provider.to_owned()).or_default();
        match late {
            Late::Waits => behind.waiting.insert(key),
            Late::Failed => behind.failed.insert(key),
        };
    }

    /// These tokens were looked after.
    pub fn forget(&mut self, key: &str) {
        self.providers.values_mut().for_each(|behind| {
            behind.waiting.remove(key);
            behind.failed.remove(key);
        });
    }

    /// A server that was left alone is back.
    pub fn recovered(&mut self, provider: &str) {
        if let Some(behind) = self.providers.get_mut(provider) {
            behind.waiting.append(&mut behind.failed);
        }
    }

    /// The next tokens, and the right to ask their server. Providers take turns. `is_left_alone` says whether a
    /// question would be a trial.
    pub fn next<P>(
        &mut self,
        is_left_alone: impl Fn(&str) -> bool,
        permit: impl Fn(&str) -> Option<P>,
    ) -> Option<(String, P)> {
        self.providers.retain(|_, behind| !behind.is_empty());
        let (before, after): (Vec<_>, Vec<_>) = self.providers.iter_mut().partition(|(name, _)| **name <= self.last);
        for (name, behind) in after.into_iter().chain(before) {
            let trial = is_left_alone(name);
            if behind.waiting.is_empty() && !trial {
                continue;
            }
            if let Some(permit) = permit(name) {
                self.last.clone_from(name);
                return Some((behind.take(trial)?, permit));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(keys: &[(&str, &str, Late)]) -> Backlog {
        let mut backlog = Backlog::default();
        keys.iter().for_each(|(provider, key, late)| backlog.add(provider, (*key).into(), *late));
        backlog
    }

    fn next(backlog: &mut Backlog, trial: bool, may_ask: &[&str]) -> Option<String> {
        backlog.next(|_| trial, |provider| may_ask.contains(&provider).then_some(())).map(|(key, ())| key)
    }

    #[test]
    fn providers_take_turns_and_one_that_may_not_be_asked_holds_up_nobody() {
        use Late::Waits;
        let mut backlog = backlog(&[("a", "1", Waits), ("a", "2", Waits), ("b", "3", Waits), ("c", "4", Waits)]);
        let taken: Vec<_> = std::iter::from_fn(|| next(&mut backlog, false, &["a", "c"])).collect();
        assert_eq!(taken, ["1", "4", "2"]);
        assert_eq!(next(&mut backlog, false, &["a", "b", "c"]).as_deref(), Some("3"));
        assert!(next(&mut backlog, false, &["a", "b", "c"]).is_none() && backlog.providers.is_empty());
    }

    #[test]
    fn what_failed_is_tried_when_its_server_is_tried_or_back() {
        let mut backlog = backlog(&[("a", "1", Late::Failed), ("a", "2", Late::Failed), ("a", "3", Late::Waits)]);
        assert_eq!(next(&mut backlog, false, &["a"]).as_deref(), Some("3"));
        assert_eq!(next(&mut backlog, false, &["a"]), None);
        for key in ["1", "2", "1", "2"] {
            assert_eq!(next(&mut backlog, true, &["a"]).as_deref(), Some(key), "each trial takes another one");
            backlog.add("a", key.into(), Late::Failed);
        }
        backlog.recovered("a");
        backlog.forget("1");
        assert_eq!(next(&mut backlog, false, &["a"]).as_deref(), Some("2"));
        assert_eq!(next(&mut backlog, false, &["a"]), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut backlog = Backlog::default();
        (0..MOST + 10).for_each(|number| backlog.add("a", number.to_string(), Late::Waits));
        assert_eq!(backlog.providers["a"].waiting.len(), MOST);
    }
}
