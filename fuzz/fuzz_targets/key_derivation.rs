// SPDX-License-Identifier: MIT OR Apache-2.0
//! Challenges, credentials and verifiers of the Key-Derivation scheme: one per line of the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::keys::verifier::Verifier;
use sipoauth_core::sip::key_derivation::{KeyChallenge, KeyResponse};

fuzz_target!(|text: &str| {
    let bodies: Vec<&str> = text.split('\n').collect();
    for body in &bodies {
        if let Some(Ok(challenge)) = KeyChallenge::parse(body) {
            assert_eq!(KeyChallenge::parse(&challenge.to_text()).map(|again| again.is_ok()), Some(true));
        }
        if let Ok(verifier) = Verifier::parse(body) {
            assert_eq!(Verifier::parse(&verifier.to_text()), Ok(verifier));
        }
    }
    if let Ok(response) = KeyResponse::select(&bodies, "example.test") {
        assert!(response.nonce.is_none_or(|nonce| (16..=128).contains(&nonce.len())));
    }
});
