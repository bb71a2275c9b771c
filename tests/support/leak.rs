// SPDX-License-Identifier: MIT OR Apache-2.0

//! Looks for tokens and secrets where none may be: logs, RPC answers, errors.

use std::sync::Mutex;

/// Enough of a token or secret to be one: shorter parts may occur by chance.
const PART: usize = 16;

/// Everything secret that a test run used.
#[derive(Default)]
pub struct Secrets(Mutex<Vec<String>>);

impl Secrets {
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a token (or another secret) and hands it back.
    pub fn keep(&self, secret: impl Into<String>) -> String {
        let secret = secret.into();
        self.0.lock().expect("no panic while held").push(secret.clone());
        secret
    }

    pub fn assert_absent(&self, place: &str, text: &str) {
        let secrets = self.0.lock().expect("no panic while held");
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        if let Some(line) = find_secret(text, &secrets) {
            panic!("{place} shows a token or a secret: {line}");
        }
    }
}

/// Panics when a line of `log` shows one of the secrets; see [`find_secret`].
pub fn assert_no_secret(log: &str, secrets: &[&str]) {
    if let Some(line) = find_secret(log, secrets) {
        panic!("the log shows a token or a secret: {line}");
    }
}

/// The first line that shows a secret. Of a JWT neither the payload nor the
/// signature may appear, whole or cut off; its header is no secret.
pub fn find_secret<'log>(log: &'log str, secrets: &[&str]) -> Option<&'log str> {
    let parts: Vec<&str> = secrets.iter().flat_map(|secret| parts(secret)).collect();
    log.lines().find(|line| parts.iter().any(|part| line.contains(part)))
}

/// What to look for: the beginning and the end of each secret segment.
fn parts(secret: &str) -> Vec<&str> {
    let segments: Vec<&str> = secret.split('.').collect();
    let secret_segments = if segments.len() == 3 { &segments[1..] } else { &[secret][..] };
    let mut parts = Vec::new();
    for segment in secret_segments.iter().filter(|segment| !segment.is_empty()) {
        let length = segment.len().min(PART);
        parts.extend(segment.get(..length));
        parts.extend(segment.get(segment.len() - length..));
    }
    parts
}
