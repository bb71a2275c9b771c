// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine put to work in forked processes: one context before the fork, a worker in each process after it,
//! and one I/O service that does all network work.
#![forbid(unsafe_code)]

pub mod context;
pub mod job;
pub mod keyring;
pub mod service;
pub mod worker;

/// Unix milliseconds.
pub(crate) fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
