// SPDX-License-Identifier: MIT OR Apache-2.0

//! The operator's tool against real and scripted servers: what it says of configurations, tokens, keys, sessions and accounts.

mod accounts;
mod check_config;
mod check_config_opensips;
mod client_probes;
mod key_faults;
mod keys;
mod sessions;
mod store_access;
mod token_details;
mod tokens;

#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use support::tool::tool;

/// What the tool has printed.
pub struct Run {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Run {
    /// What `--json` has printed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }
}

/// Runs the tool with this on its standard input.
pub fn run_with(arguments: &[&str], input: &str) -> Run {
    let mut command = Command::new(tool());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("built");
    // The tool may have ended without reading.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("our own child");
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    let run = Run { code: status.code().expect("no signal ended it"), out: text(stdout), err: text(stderr) };
    assert!(!run.err.contains("panicked"), "{}", run.err);
    run
}

/// Runs the tool.
pub fn run(arguments: &[&str]) -> Run {
    run_with(arguments, "")
}
