// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the library logs in a test.

use sipoauth_core::ports::{Level, Log};
use std::sync::Mutex;

/// The log, kept.
#[derive(Default)]
pub struct Lines(Mutex<String>);

impl Log for Lines {
    fn log(&self, _: Level, line: &str) {
        let mut text = self.0.lock().expect("no panic while held");
        text.push_str(line);
        text.push('\n');
    }
}

impl Lines {
    pub fn text(&self) -> String {
        self.0.lock().expect("no panic while held").clone()
    }
}
