// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine put to work in forked processes: one context before the fork, a worker in each process after it,
//! and one I/O service that does all network work.
#![forbid(unsafe_code)]

mod account_cache;
pub mod accounts;
pub mod caught;
pub mod changes;
mod charges;
mod client_standings;
pub mod context;
pub mod exchange_task;
pub mod exchanges;
mod failures;
pub mod intake;
pub mod introspection_task;
pub mod introspections;
pub mod job;
pub mod key_fetches;
pub mod keyring;
pub mod line_buffer;
pub mod pool;
pub mod provider_load;
pub mod refresh_task;
pub mod refreshes;
mod senders;
pub mod service;
pub mod session_admin;
pub mod session_tokens;
pub mod session_view;
pub mod sessions;
pub mod store_access;
pub mod waiters;
pub mod worker;
mod worker_connections;
pub mod worker_dialogs;
pub mod worker_grants;
pub mod worker_key_derivation;
pub mod worker_repeats;
mod worker_sessions;
mod worker_tokens;
mod worker_waits;

use crate::config::ConfigError;
use crate::engine::breaker::Patience;

/// Why a context or an I/O service cannot be made.
#[derive(Debug)]
pub enum StartError {
    /// The configuration is wrong.
    Config(ConfigError),
    /// The operating system refused memory, a thread or a socket.
    System(std::io::Error),
    /// The I/O service runs already.
    Running,
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> StartError {
        StartError::Config(error)
    }
}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> StartError {
        StartError::System(error)
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Config(error) => error.fmt(f),
            StartError::System(error) => {
                write!(f, "the operating system refused memory, a thread or a socket: {error}")
            }
            StartError::Running => {
                f.write_str("the I/O service of this context runs already; one process makes it, once")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// Unix milliseconds.
pub(crate) fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// When an authorization server that does not answer is left alone.
pub(crate) const PATIENCE: Patience = Patience { failures: 3, first_pause: 500, longest_pause: 4000 };

/// Between 0 and 1, different in every process and moment; spreads load, protects nothing.
pub(crate) fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let hash = RandomState::new().hash_one((std::process::id(), now_millis()));
    (hash >> 11) as f64 / (1u64 << 53) as f64
}
