// SPDX-License-Identifier: MIT OR Apache-2.0
//! A circuit breaker for a server that does not answer. Callers are refused at once instead of queueing up, and
//! after each pause one of them may try.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Number of failures in a row that open the breaker.
    pub failures: u32,
    /// First pause in milliseconds; each further one is twice as long.
    pub first_pause: i64,
    /// Longest pause: a server that is back is found within this time.
    pub longest_pause: i64,
}

/// The state of one server. Times are Unix milliseconds. Threads may share it.
#[derive(Debug)]
pub struct Breaker {
    patience: Patience,
    state: Mutex<BreakerState>,
}

#[derive(Debug, Default)]
struct BreakerState {
    failures: u32,
    pause: i64,
    until: i64,
    trying: bool,
    why: String,
}

impl Breaker {
    /// A breaker for a server that is assumed to work.
    pub fn new(patience: Patience) -> Breaker {
        Breaker { patience, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ok when the caller may ask the server; otherwise the error says why the server failed. After a pause only one
    /// caller may ask, and the others are refused for at most `trial` milliseconds until it reports the outcome.
    pub fn check(&self, now: i64, trial: i64) -> Result<(), String> {
        let mut state = self.state();
        if state.failures < self.patience.failures {
            return Ok(());
        }
        // A pause that ends later than any pause can was begun before the clock was set back, so it is over.
        let longest = trial.max(self.patience.longest_pause);
        if (1..=longest).contains(&state.until.saturating_sub(now)) {
            return Err(state.why.clone());
        }
        state.until = now + trial;
        state.trying = true;
        Ok(())
    }

    /// Whether the server is left alone, or one caller tries whether it is back.
    pub fn is_open(&self) -> bool {
        self.state().failures >= self.patience.failures
    }

    /// Whether the server did not answer the last time.
    pub fn has_failed(&self) -> bool {
        self.state().failures > 0
    }

    /// The caller sent nothing after all, so another one may try.
    pub fn unused(&self) {
        let mut state = self.state();
        if state.trying {
            state.trying = false;
            state.until = 0;
        }
    }

    /// The server answered.
    pub fn succeeded(&self) {
        *self.state() = BreakerState::default();
    }

    /// The server did not answer.
    pub fn failed(&self, now: i64, why: &str) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        why.clone_into(&mut state.why);
        state.trying = false;
        if state.failures >= self.patience.failures {
            let Patience { first_pause, longest_pause, .. } = self.patience;
            state.pause = if state.pause == 0 { first_pause } else { (state.pause * 2).min(longest_pause) };
            state.until = now + state.pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_ends_every_pause() {
        let breaker = Breaker::new(Patience { failures: 1, first_pause: 500, longest_pause: 4000 });
        let check = |now| breaker.check(now, 5000);
        breaker.failed(10_000_000, "refused");
        assert_eq!(check(0), Ok(()), "one may try");
        assert!(check(4999).is_err(), "while it tries, no other may");
        assert_eq!(check(10_000_000), Ok(()));
        assert_eq!(check(5000), Ok(()), "a trial, too, is over");
        breaker.failed(5000, "refused");
        assert!(check(5999).is_err() && check(6000).is_ok(), "pauses are as long as before");
    }

    #[test]
    fn one_tries_after_each_pause_and_pauses_grow() {
        let breaker = Breaker::new(Patience { failures: 3, first_pause: 500, longest_pause: 4000 });
        let check = |now| breaker.check(now, 5000);
        for _ in 0..3 {
            assert_eq!(check(0), Ok(()));
            breaker.failed(0, "refused");
        }
        assert_eq!(check(499), Err("refused".into()));
        assert!(breaker.is_open() && breaker.has_failed());
        assert_eq!(check(500), Ok(()), "one may try");
        assert!(check(501).is_err(), "while it tries, no other may");
        assert_eq!(check(5500), Ok(()), "one that never came back does not keep it shut");
        breaker.failed(6000, "refused");
        assert!(check(6999).is_err() && check(7000).is_ok());
        for _ in 0..20 {
            breaker.failed(8000, "refused");
        }
        assert_eq!(check(12_000), Ok(()), "at most four seconds");
        assert!(check(12_001).is_err());
        breaker.unused();
        assert_eq!(check(12_001), Ok(()), "a try that was none keeps nobody away");
        breaker.succeeded();
        assert!(!breaker.is_open() && !breaker.has_failed());
        assert!(check(12_001).is_ok() && check(12_001).is_ok());
    }
}
