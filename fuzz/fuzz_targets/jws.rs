// SPDX-License-Identifier: MIT OR Apache-2.0
//! A token, from its octets to its claims, against a key that signed none of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::jose::jws::CompactJws;
use sipoauth_core::jose::key_set::{KeySet, Origin};
use sipoauth_core::rules::claims::Claims;
use sipoauth_core::text::json::Json;
use std::sync::OnceLock;

/// The key of RFC 8037, appendix A.
const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fuzz_target!(|octets: &[u8]| {
    static SET: OnceLock<KeySet> = OnceLock::new();
    let keys = SET.get_or_init(|| KeySet::from_jwks(KEYS, Origin::Fetched).expect("a good key"));
    // The payload's rules are out of a fuzzer's reach behind base64, so the octets are tried as they are, too.
    if let Ok(json) = Json::parse(octets) {
        let _ = Claims::from_json(&json);
        let _ = (json.path("a.b.c"), json.to_string());
    }
    let Ok(token) = std::str::from_utf8(octets) else { return };
    let Ok(jws) = CompactJws::split(token) else { return };
    if let Ok(header) = jws.header() {
        assert!(jws.verify(&header, keys).is_err());
    }
    let _ = jws.unverified_payload().map(|payload| Json::parse(&payload).map(|json| Claims::from_json(&json)));
});
