// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a provider's keys are fetched: planned ahead, on request within limits, and every few seconds while
//! fetches fail.

use crate::config::settings::{KEY_REFRESH_INTERVAL, Settings};

/// The limits, from the configuration. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest time between two planned fetches.
    pub interval: i64,
    /// Time after which one more fetch on request becomes allowed.
    pub cooldown: i64,
    /// Fetches on request that are allowed in a row.
    pub burst: u32,
}

impl Limits {
    /// The limits that the settings give.
    pub fn new(settings: &Settings) -> Limits {
        Limits {
            interval: i64::from(KEY_REFRESH_INTERVAL) * 1000,
            cooldown: i64::from(settings.key_cooldown) * 1000,
            burst: settings.key_burst,
        }
    }
}

/// Shortest time between two planned fetches, whatever the server's cache headers say.
const MIN_INTERVAL: i64 = 60_000;
/// Milliseconds after which a fetch that could not begin is tried again.
const SOON: i64 = 100;
/// Milliseconds between the starts of two fetches after a failure, however many there were. A server that is back is
/// asked within five seconds, and a server that is still down is asked at most every two seconds.
const RETRY: i64 = 2000;
/// Longest such time.
const LONGEST_RETRY: i64 = RETRY * 3 / 2;

/// The longest time for which requests may cause no fetch. A time that lies further ahead was set before the clock was
/// set back, so it has passed.
pub fn longest_pause(cooldown: i64) -> i64 {
    cooldown.max(LONGEST_RETRY)
}

/// The plan of one provider. Times are Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshPlan {
    /// The next planned fetch.
    pub next: i64,
    /// Before this time no request may cause a fetch.
    pub not_before: i64,
    /// Failures in a row.
    pub failures: u32,
    spent: u32,
    refilled: i64,
}

impl RefreshPlan {
    /// A plan whose first fetch is due now.
    pub fn new(now: i64) -> RefreshPlan {
        RefreshPlan { next: now, not_before: 0, failures: 0, spent: 0, refilled: now }
    }

    /// The clock may have been set back. A time that lies further ahead than it can has passed, because nobody must
    /// wait until the old time comes round again.
    fn follow_clock(&mut self, now: i64, limits: &Limits) {
        let longest = if self.failures > 0 { LONGEST_RETRY } else { limits.interval.max(MIN_INTERVAL) };
        if self.next.saturating_sub(now) > longest {
            self.next = now;
        }
        if self.not_before.saturating_sub(now) > longest_pause(limits.cooldown) {
            self.not_before = 0;
        }
        if self.refilled > now {
            (self.refilled, self.spent) = (now, 0);
        }
    }

    /// True when a fetch is due, because it was planned, or because it is asked for and allowed. A fetch that was
    /// asked for counts against the allowance.
    pub fn start(&mut self, asked: bool, now: i64, limits: &Limits) -> bool {
        self.follow_clock(now, limits);
        if now >= self.next {
            return true;
        }
        let refills = ((now - self.refilled) / limits.cooldown).max(0);
        self.refilled += refills * limits.cooldown;
        self.spent = self.spent.saturating_sub(u32::try_from(refills).unwrap_or(u32::MAX));
        if !asked || now < self.not_before || self.spent >= limits.burst {
            return false;
        }
        if self.spent == 0 {
            self.refilled = now;
        }
        self.spent += 1;
        if self.spent >= limits.burst {
            self.not_before = self.refilled + limits.cooldown;
        }
        true
    }

    /// The fetch that `start` allowed could not begin. It is tried again soon.
    pub fn put_off(&mut self, asked: bool, now: i64) {
        if now >= self.next {
            self.next = now + SOON;
        } else if asked {
            self.spent = self.spent.saturating_sub(1);
            self.not_before = now + SOON;
        }
    }

    /// After a success. `jitter` is between 0 and 1.
    pub fn succeeded(&mut self, now: i64, max_age: Option<u64>, jitter: f64, limits: &Limits) {
        let age = max_age.map_or(limits.interval, |s| i64::try_from(s.saturating_mul(1000)).unwrap_or(i64::MAX));
        let wait = age.clamp(MIN_INTERVAL, limits.interval.max(MIN_INTERVAL));
        self.next = now + wait - (wait as f64 * 0.1 * jitter) as i64;
        self.failures = 0;
        if self.spent < limits.burst {
            self.not_before = 0;
        }
    }

    /// After a failure of a fetch that began at `begun`. A server that hangs until the time is over need not be left
    /// alone any longer.
    pub fn failed(&mut self, begun: i64, now: i64, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        // A start in the future was noted before the clock was set back.
        let begun = begun.min(now);
        self.next = (begun + RETRY + ((LONGEST_RETRY - RETRY) as f64 * jitter) as i64).max(now);
        self.not_before = self.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { interval: 900_000, cooldown: 10_000, burst: 3 };

    fn fresh() -> RefreshPlan {
        let mut plan = RefreshPlan::new(0);
        assert!(plan.start(false, 0, &LIMITS));
        plan.succeeded(0, None, 0.0, &LIMITS);
        plan
    }

    #[test]
    fn requests_cause_a_bounded_number_of_fetches() {
        let mut plan = fresh();
        let mut fetches = 0;
        for now in 0..60_000 {
            if plan.start(true, now, &LIMITS) {
                fetches += 1;
                plan.succeeded(now, None, 0.0, &LIMITS);
            }
        }
        assert_eq!(fetches, 3 + 5);
        assert!(plan.not_before > 50_000);
    }

    #[test]
    fn planned_fetches_obey_cache_headers_within_bounds() {
        let mut plan = fresh();
        assert_eq!(plan.next, 900_000);
        plan.succeeded(0, Some(0), 0.0, &LIMITS);
        assert_eq!(plan.next, 60_000);
        plan.succeeded(0, Some(u64::MAX), 1.0, &LIMITS);
        assert_eq!(plan.next, 810_000);
        assert!(!plan.start(false, 809_999, &LIMITS) && plan.start(false, 810_000, &LIMITS));
    }

    #[test]
    fn a_clock_that_is_set_back_delays_nothing() {
        const HOURS: i64 = 10_000_000;
        let at = |now| {
            let mut plan = RefreshPlan::new(now);
            assert!(plan.start(false, now, &LIMITS));
            plan
        };
        let mut failed = at(HOURS);
        failed.failed(HOURS, HOURS, 1.0);
        assert!(failed.start(false, 0, &LIMITS), "after a failure");
        failed.failed(HOURS, 0, 1.0);
        assert!(!failed.start(true, 0, &LIMITS) && !failed.start(true, 2999, &LIMITS), "the pause is a pause");
        let mut planned = at(HOURS);
        planned.succeeded(HOURS, None, 0.0, &LIMITS);
        assert!(planned.start(false, 0, &LIMITS), "the planned fetch");
        let mut spent = at(HOURS);
        spent.succeeded(HOURS, None, 0.0, &LIMITS);
        while spent.start(true, HOURS, &LIMITS) {}
        spent.succeeded(0, None, 0.0, &LIMITS);
        assert!(spent.start(true, 1, &LIMITS), "the allowance");
        assert_eq!(spent.not_before, 0);
    }

    #[test]
    fn failures_close_the_gate_for_a_moment_however_many_there_were() {
        let mut plan = fresh();
        plan.failed(0, 0, 0.0);
        assert_eq!((plan.next, plan.not_before), (2000, 2000));
        plan.failed(0, 1500, 0.0);
        assert_eq!(plan.next, 2000, "from start to start");
        plan.failed(0, 10_000, 1.0);
        assert_eq!(plan.next, 10_000, "it has hung long enough");
        plan.failed(0, 0, 0.0);
        assert!(!plan.start(true, 1999, &LIMITS));
        for _ in 0..100 {
            plan.failed(0, 0, 1.0);
        }
        assert_eq!(plan.next, 3000);
        plan.succeeded(1, None, 0.0, &LIMITS);
        assert_eq!((plan.failures, plan.not_before), (0, 0));
        assert!(plan.start(true, 2, &LIMITS));
    }
}
