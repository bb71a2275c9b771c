// SPDX-License-Identifier: MIT OR Apache-2.0
//! Forms and token responses: what is read can be written and read again; a parameter comes out alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::oauth::token_response::TokenResponse;
use sipoauth_core::text::form::{octets_without, parse, push_pair};

fuzz_target!(|body: &[u8]| {
    let _ = TokenResponse::parse(body);
    let rest = octets_without(body, "pop");
    let Ok(pairs) = parse(body) else { return };
    let mut written = String::new();
    for (name, value) in &pairs {
        push_pair(&mut written, name, value);
    }
    assert_eq!(parse(written.as_bytes()).as_ref(), Ok(&pairs));
    let others: Vec<_> = pairs.into_iter().filter(|pair| pair.0 != "pop").collect();
    assert_eq!(parse(&rest), Ok(others));
});
