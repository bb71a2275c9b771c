// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result of one check, and the list of all results.

use serde_json::{Value, json};
use sipoauth_core::text::fingerprint::printable;

use crate::output::Output;

const MAX_TEXT: usize = 1000;

/// The status of a checked item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, but should be looked at.
    Warning,
    /// The proxy does not start, or cannot do its work.
    Failed,
}

/// The result of one check.
struct Finding {
    check: &'static str,
    provider: Option<String>,
    status: Status,
    message: String,
    fix: Option<String>,
}

/// All results. Each is printed when it is added.
pub struct Findings {
    output: Output,
    all: Vec<Finding>,
}

impl Findings {
    /// An empty list.
    pub fn new(output: Output) -> Findings {
        Findings { output, all: Vec::new() }
    }

    /// Adds a check that found nothing wrong.
    pub fn ok(&mut self, check: &'static str, provider: Option<&str>, message: &str) {
        self.add(check, provider, Status::Ok, message, None);
    }

    /// Adds a warning.
    pub fn warning(&mut self, check: &'static str, provider: Option<&str>, message: &str, fix: &str) {
        self.add(check, provider, Status::Warning, message, Some(fix));
    }

    /// Adds a failure.
    pub fn failed(&mut self, check: &'static str, provider: Option<&str>, message: &str, fix: &str) {
        self.add(check, provider, Status::Failed, message, Some(fix));
    }

    /// Adds a failure from a sentence of the library. The sentence says what is wrong, and usually has "; " and the fix
    /// behind it. `otherwise` is the fix when it has none.
    pub fn failed_with(&mut self, check: &'static str, provider: Option<&str>, sentence: &str, otherwise: &str) {
        let (message, fix) = sentence.split_once("; ").unwrap_or((sentence, otherwise));
        self.failed(check, provider, message, fix);
    }

    fn add(&mut self, check: &'static str, provider: Option<&str>, status: Status, message: &str, fix: Option<&str>) {
        let message = printable(message, MAX_TEXT);
        let fix = fix.filter(|fix| !fix.is_empty()).map(|fix| printable(fix, MAX_TEXT));
        let mark = match status {
            Status::Ok => "ok     ",
            Status::Warning => "warning",
            Status::Failed => "FAILED ",
        };
        let who = provider.map(|name| format!("{name}: ")).unwrap_or_default();
        self.output.line(&format!("{mark}  {check:<13}  {who}{message}"));
        if let Some(fix) = &fix {
            self.output.line(&format!("                        fix: {fix}"));
        }
        self.all.push(Finding { check, provider: provider.map(str::to_owned), status, message, fix });
    }

    /// How many have this status.
    pub fn count(&self, status: Status) -> usize {
        self.all.iter().filter(|finding| finding.status == status).count()
    }

    /// The list for machines.
    pub fn to_json(&self) -> Value {
        let status = |status| match status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Failed => "failed",
        };
        let object = |f: &Finding| {
            json!({
                "check": f.check,
                "provider": f.provider,
                "status": status(f.status),
                "message": f.message,
                "fix": f.fix,
            })
        };
        self.all.iter().map(object).collect()
    }
}
