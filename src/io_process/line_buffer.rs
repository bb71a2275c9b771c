// SPDX-License-Identifier: MIT OR Apache-2.0
//! Log lines that threads have written. The service's own thread hands them to the host.

use std::sync::{Mutex, PoisonError};

use sipoauth_core::ports::{Level, Log};

/// At most this many lines wait; further ones are dropped.
const MOST: usize = 256;

/// The lines.
#[derive(Debug, Default)]
pub struct LineBuffer(Mutex<Vec<(Level, String)>>);

impl LineBuffer {
    /// Hands the lines to the host's log.
    pub fn drain_to(&self, log: &dyn Log) {
        let lines = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (level, line) in lines {
            log.log(level, &line);
        }
    }
}

impl Log for LineBuffer {
    fn log(&self, level: Level, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < MOST {
            lines.push((level, line.to_owned()));
        }
    }
}
