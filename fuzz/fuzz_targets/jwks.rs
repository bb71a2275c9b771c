// SPDX-License-Identifier: MIT OR Apache-2.0
//! Key sets and PEM files. What is published to the workers must be readable again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::jose::key_set::{KeySet, MAX_KEYS, Origin};
use sipoauth_core::jose::pem::keys_from_pem;
use sipoauth_core::jose::rsa::modulus_of_spki;

fuzz_target!(|octets: &[u8]| {
    if let Ok(set) = KeySet::from_jwks(octets, Origin::Fetched) {
        assert!((1..=MAX_KEYS).contains(&set.keys().len()));
        let published = KeySet::from_jwks(&set.to_public_jwks(), Origin::Fetched).expect("our own writing");
        assert_eq!(published.keys().len(), set.keys().len());
    }
    let _ = KeySet::from_jwks(octets, Origin::Configured);
    let _ = keys_from_pem(octets);
    let _ = modulus_of_spki(octets);
});
