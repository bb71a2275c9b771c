// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which providers may be asked for new tokens now. A server that hangs must leave threads to the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::PATIENCE;
use sipoauth_core::oauth::breaker::Breaker;

/// What bounds the questions.
#[derive(Clone, Copy, Debug)]
pub struct ShareRules {
    /// Threads that one provider may have at once. Providers that failed last have no more together.
    pub most: usize,
    /// Longest time of one question to a server that was left alone, in milliseconds.
    pub trial: i64,
}

impl ShareRules {
    /// The rules for so many threads and providers. One thread is left for the other providers if there are two.
    pub fn new(threads: usize, providers: usize, trial: i64) -> ShareRules {
        let most = if providers > 1 { threads.saturating_sub(1).max(1) } else { threads };
        ShareRules { most, trial }
    }
}

/// The threads that refresh tokens, by provider.
#[derive(Default)]
pub struct RefreshShares(Mutex<Asking>);

#[derive(Default)]
struct Asking {
    providers: HashMap<String, Share>,
    /// Threads at providers that failed last.
    doubtful: usize,
}

#[derive(Clone)]
struct Share {
    breaker: Arc<Breaker>,
    asking: usize,
}

impl Default for Share {
    fn default() -> Share {
        Share { breaker: Arc::new(Breaker::new(PATIENCE)), asking: 0 }
    }
}

/// The right of one thread to ask a provider. It ends when it is dropped.
pub struct Permit {
    shares: Arc<RefreshShares>,
    breaker: Arc<Breaker>,
    provider: String,
    doubtful: bool,
    ended: bool,
}

impl RefreshShares {
    fn lock(&self) -> MutexGuard<'_, Asking> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a provider is left alone because it does not answer.
    pub fn is_left_alone(&self, provider: &str) -> bool {
        self.lock().providers.get(provider).is_some_and(|share| share.breaker.is_open())
    }

    /// Lets a thread ask this provider, unless it has its share of the threads or is left alone. One thread at a time
    /// tries whether a server that was left alone is back. `now` in Unix milliseconds.
    pub fn permit(self: &Arc<Self>, provider: &str, rules: &ShareRules, now: i64) -> Option<Permit> {
        let mut asking = self.lock();
        let Share { breaker, asking: own } = asking.providers.get(provider).cloned().unwrap_or_default();
        let doubtful = breaker.has_failed();
        let most_doubtful = if breaker.is_open() { 1 } else { rules.most };
        if own >= rules.most || doubtful && asking.doubtful >= most_doubtful {
            return None;
        }
        breaker.check(now, rules.trial).ok()?;
        asking.doubtful += usize::from(doubtful);
        asking.providers.insert(provider.to_owned(), Share { breaker: Arc::clone(&breaker), asking: own + 1 });
        Some(Permit { shares: Arc::clone(self), breaker, provider: provider.to_owned(), doubtful, ended: false })
    }
}

impl Permit {
    /// The provider.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The question has ended, and the server answered or did not; None: it was not asked. True when it was left alone
    /// before and is back. `now` in Unix milliseconds.
    pub fn end(mut self, answered: Option<bool>, now: i64) -> bool {
        let Some(answered) = answered else { return false };
        self.ended = true;
        let was_open = self.breaker.is_open();
        if answered {
            self.breaker.succeeded();
        } else {
            self.breaker.failed(now, "");
        }
        answered && was_open
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.doubtful && !self.ended {
            self.breaker.unused();
        }
        let mut asking = self.shares.lock();
        asking.doubtful -= usize::from(self.doubtful);
        if let Some(share) = asking.providers.get_mut(&self.provider) {
            share.asking -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: i64 = 10_000;
    /// The first pause is over.
    const LATER: i64 = PATIENCE.first_pause;

    fn fail(shares: &Arc<RefreshShares>, provider: &str, times: u32) {
        for _ in 0..times {
            shares.permit(provider, &ShareRules::new(1, 1, TRIAL), 0).expect("it may be asked").end(Some(false), 0);
        }
    }

    #[test]
    fn a_server_that_hangs_leaves_a_thread_to_the_others() {
        for (threads, providers, most) in [(1, 1, 1), (2, 1, 2), (1, 3, 1), (2, 3, 1), (8, 2, 7)] {
            let shares = Arc::<RefreshShares>::default();
            let rules = ShareRules::new(threads, providers, TRIAL);
            let permits: Vec<_> = std::iter::from_fn(|| shares.permit("hung", &rules, LATER)).take(100).collect();
            assert_eq!(permits.len(), most, "{threads} {providers}");
            assert!(shares.permit("well", &rules, LATER).is_some());
            drop(permits);
            assert!(shares.permit("hung", &rules, LATER).is_some());
        }
    }

    #[test]
    fn one_thread_at_a_time_tries_servers_that_were_left_alone() {
        let shares = Arc::<RefreshShares>::default();
        let rules = ShareRules::new(8, 5, TRIAL);
        for provider in ["a", "b", "c"] {
            fail(&shares, provider, PATIENCE.failures);
            assert!(shares.is_left_alone(provider));
        }
        assert!(shares.permit("a", &rules, 0).is_none());
        let trial = shares.permit("a", &rules, LATER).expect("its pause is over");
        assert!(shares.permit("a", &rules, LATER).is_none() && shares.permit("b", &rules, LATER).is_none());
        assert!(shares.permit("well", &rules, LATER).is_some());
        drop(trial);
        let again = shares.permit("a", &rules, LATER).expect("a trial that was none keeps nobody away");
        assert!(again.end(Some(true), LATER) && !shares.is_left_alone("a"));
        assert!(!shares.permit("b", &rules, LATER).expect("it is next").end(Some(false), LATER));
        assert!(shares.permit("c", &rules, LATER).is_some());
    }

    /// Before they are left alone, servers that hang have failed a few times.
    #[test]
    fn servers_that_have_failed_leave_a_thread_to_the_others_together() {
        let shares = Arc::<RefreshShares>::default();
        let rules = ShareRules::new(2, 5, TRIAL);
        fail(&shares, "a", 1);
        fail(&shares, "b", 1);
        let first = shares.permit("a", &rules, LATER);
        assert!(first.is_some() && shares.permit("b", &rules, LATER).is_none());
        assert!(shares.permit("well", &rules, LATER).is_some());
        drop(first);
        assert!(shares.permit("b", &rules, LATER).is_some());
    }
}
