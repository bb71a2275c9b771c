// SPDX-License-Identifier: MIT OR Apache-2.0
//! Challenges: whatever the values, the header lines stay ours.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::sip::challenge::{Challenge, Location};

fuzz_target!(|text: &str| {
    let mut values = text.splitn(4, '\0');
    let mut next = || values.next().unwrap_or("");
    let (realm, authz_server, scope, error) = (next(), next(), next(), next());
    for (proxy, location) in
        [(false, Location::Header), (false, Location::Redirect), (true, Location::Header), (false, Location::No)]
    {
        let lines = Challenge { proxy, realm, authz_server, scope, error, location }.header_lines();
        let mut count = 0;
        for line in lines.strip_suffix("\r\n").expect("whole lines").split("\r\n") {
            let name = line.split_once(": ").expect("a header field").0;
            assert!(["WWW-Authenticate", "Proxy-Authenticate", "Location"].contains(&name));
            assert!(!line.contains(['\r', '\n', '\0']));
            count += 1;
        }
        assert!(count <= if proxy { 1 } else { 1 + location as usize });
    }
});
