// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every process of a proxy has: the context that was made before the fork, jobs for the I/O process, limits.

pub mod caught;
pub(crate) mod charges;
pub mod context;
pub(crate) mod failures;
pub mod job;
pub mod job_queue;
pub(crate) mod known_uses;
pub(crate) mod use_queue;

use sipoauth_core::config::ConfigError;

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
