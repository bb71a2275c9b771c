// SPDX-License-Identifier: MIT OR Apache-2.0
//! What limits take for one sender.

use std::net::IpAddr;

use crate::arena::Shared;

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

/// The same as a number that nobody else can compute; 0 where the host does not tell the source.
pub(super) fn source_tag(shared: &Shared, source: &str) -> u32 {
    if source.is_empty() { 0 } else { (shared.places.hash(network_of(source)) as u32).max(1) }
}
