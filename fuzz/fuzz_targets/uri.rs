// SPDX-License-Identifier: MIT OR Apache-2.0
//! Addresses-of-record: the canonical form is a fixed point, and a claim stays where its template puts it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::sip::uri::{Aor, escape_user};

fuzz_target!(|text: &str| {
    if let Some(aor) = Aor::parse(text) {
        assert_eq!(Aor::parse(aor.as_str()).as_ref(), Some(&aor));
        assert!(!aor.user().is_empty() && !aor.host().is_empty());
    }
    let mut user = String::new();
    escape_user(text, &mut user);
    if let Some(aor) = Aor::parse(&format!("sip:{user}@example.test")) {
        assert_eq!((aor.user(), aor.host()), (user.as_str(), "example.test"));
    }
});
