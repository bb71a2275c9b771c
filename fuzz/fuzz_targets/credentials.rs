// SPDX-License-Identifier: MIT OR Apache-2.0
//! Credential header fields: one per line of the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth::proto::credentials::{MAX_HEADERS, select};

fuzz_target!(|text: &str| {
    let bodies: Vec<&str> = text.split('\n').collect();
    for proxy in [false, true] {
        if let Ok(bearer) = select(&bodies, "example.test", proxy) {
            assert!(bodies.len() <= MAX_HEADERS);
            assert!(bearer.token.is_some() || bearer.pop.is_some());
            assert!(bearer.token.is_none_or(|token| !token.is_empty()));
        }
    }
});
