// SPDX-License-Identifier: MIT OR Apache-2.0
//! What limits take for one sender.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

/// What is limited as one source: an IPv4 address, or the 64 bits that an IPv6 host chooses freely below.
pub(super) fn network_of(source: &str) -> String {
    match source.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => source.to_owned(),
    }
}

/// The same as a number; 0 where the host does not tell the source.
pub(super) fn source_tag(source: &str) -> u32 {
    if source.is_empty() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    network_of(source).hash(&mut hasher);
    (hasher.finish() as u32).max(1)
}
