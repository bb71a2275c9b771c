// SPDX-License-Identifier: MIT OR Apache-2.0
//! The current time, and a number that spreads work over time.

/// Unix milliseconds.
pub fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// True when a time has come that was set at most `longest` milliseconds ahead. One that lies further ahead was set before
/// the clock was set back, so it has come, too.
pub(crate) fn has_come(time: i64, now: i64, longest: i64) -> bool {
    !(1..=longest).contains(&time.saturating_sub(now))
}

/// A number between 0 and 1, different in every process and at every moment. It spreads load and is of no use for
/// security.
pub(crate) fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let hash = RandomState::new().hash_one((std::process::id(), now_millis()));
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::has_come;

    #[test]
    fn a_time_comes_also_when_the_clock_is_set_back() {
        for (now, expected) in [(0, true), (749, true), (750, false), (999, false), (1000, true), (5000, true)] {
            assert_eq!(has_come(1000, now, 250), expected, "{now}");
        }
    }
}
