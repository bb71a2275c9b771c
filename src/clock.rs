// SPDX-License-Identifier: MIT OR Apache-2.0
//! The current time, and a number that spreads work over time.

/// Unix milliseconds.
pub(crate) fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// A number between 0 and 1, different in every process and at every moment. It spreads load and is of no use for
/// security.
pub(crate) fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let hash = RandomState::new().hash_one((std::process::id(), now_millis()));
    (hash >> 11) as f64 / (1u64 << 53) as f64
}
