// SPDX-License-Identifier: MIT OR Apache-2.0
//! Panics on demand, for tests only. The tests show that a panic costs one request and not the proxy. Without the
//! feature `fault-injection`, which no release enables, nothing here panics.
#![forbid(unsafe_code)]

/// Text that makes the core panic wherever it appears: in a token, in a log line, or in the address of a key set.
#[cfg(feature = "fault-injection")]
pub const MARKER: &str = "panic-now";

/// A place where the core panics when `text` contains the marker.
#[track_caller]
pub fn point(text: &str) {
    #[cfg(feature = "fault-injection")]
    assert!(!text.contains(MARKER), "a fault was asked for by {text}");
    let _ = text;
}
