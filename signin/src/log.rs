// SPDX-License-Identifier: MIT OR Apache-2.0
//! Log lines, one for each event, to standard error, which systemd keeps. No line holds a secret.

use sipoauth_core::ports::{Level, Log};

/// Writes lines to standard error.
#[derive(Clone, Copy, Debug, Default)]
pub struct StderrLog;

impl Log for StderrLog {
    fn log(&self, level: Level, line: &str) {
        let word = match level {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => return,
        };
        eprintln!("{word}: {line}");
    }
}
