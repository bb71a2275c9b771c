// SPDX-License-Identifier: MIT OR Apache-2.0
//! Panics and delays on demand, for tests only. The tests show that a panic costs one request and not the proxy. Without the
//! feature `fault-injection`, which no release enables, nothing here happens.
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

/// Text that makes the core take its time, as with a slow disk.
#[cfg(feature = "fault-injection")]
pub const SLOW: &str = "slow-now";

/// A place where the core takes two seconds when `text` contains the other marker.
pub fn slow_point(text: &str) {
    #[cfg(feature = "fault-injection")]
    if text.contains(SLOW) {
        std::thread::sleep(std::time::Duration::from_secs(2));
    }
    let _ = text;
}
