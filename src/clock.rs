// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time, and what spreads work over it.

/// Unix milliseconds.
pub(crate) fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Between 0 and 1, different in every process and moment; spreads load, protects nothing.
pub(crate) fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let hash = RandomState::new().hash_one((std::process::id(), now_millis()));
    (hash >> 11) as f64 / (1u64 << 53) as f64
}
