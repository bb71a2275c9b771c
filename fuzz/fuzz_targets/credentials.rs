// SPDX-License-Identifier: MIT OR Apache-2.0
//! Credential header fields: one per line of the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::sip::credentials::{MAX_HEADERS, select};
use sipoauth_core::sip::digest_credentials::DigestCredentials;

fuzz_target!(|text: &str| {
    let bodies: Vec<&str> = text.split('\n').collect();
    if let Ok(digest) = DigestCredentials::select(&bodies, "example.test") {
        assert!(!digest.username.is_empty() && !digest.nonce.is_empty());
        let _ = digest.fits("00000000000000000000000000000000", "REGISTER");
    }
    if let Ok(bearer) = select(&bodies, "example.test") {
        assert!(bodies.len() <= MAX_HEADERS);
        assert!(bearer.token.is_some() || bearer.pop.is_some());
        assert!(bearer.token.is_none_or(|token| !token.is_empty()));
    }
});
