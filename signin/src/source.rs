// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who sent a request: the peer of the connection, or what a reverse proxy says.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;
use sipoauth_core::sip::ip_networks::IpNetworks;

/// The sender of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(IpAddr);

impl Source {
    /// The peer itself.
    pub fn of_peer(peer: SocketAddr) -> Source {
        Source(peer.ip().to_canonical())
    }

    /// The sender. Of X-Forwarded-For only what reverse proxies of the operator have written counts: the last address
    /// that is not one of theirs.
    pub fn new(peer: SocketAddr, headers: &HeaderMap, reverse_proxies: &IpNetworks) -> Source {
        let mut source = Source::of_peer(peer);
        let fields = headers.get_all("x-forwarded-for").iter().filter_map(|field| field.to_str().ok());
        let listed: Vec<&str> = fields.flat_map(|field| field.split(',')).map(str::trim).collect();
        for text in listed.into_iter().rev() {
            if !source.is_among(reverse_proxies) {
                break;
            }
            let Some(address) = address(text) else { break };
            source = Source(address.to_canonical());
        }
        source
    }

    /// True when it is in one of the networks.
    pub fn is_among(&self, networks: &IpNetworks) -> bool {
        networks.contains(&self.0.to_string())
    }

    /// What counts as one source: an IPv4 address or an IPv6 /64.
    pub fn network(&self) -> IpAddr {
        match self.0 {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            v4 => v4,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, fields: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("x-forwarded-for", field.parse().unwrap());
        }
        let proxies = IpNetworks::parse(["127.0.0.1", "10.0.0.0/8"]).unwrap();
        Source::new(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn only_reverse_proxies_tell_who_sent_a_request() {
        assert_eq!(source("192.0.2.1:5", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(source("127.0.0.1:5", &[]), "127.0.0.1");
        assert_eq!(source("127.0.0.1:5", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(source("127.0.0.1:5", &["1.1.1.1, 198.51.100.1, 10.1.1.1"]), "198.51.100.1");
        assert_eq!(source("127.0.0.1:5", &["1.1.1.1", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(source("[::ffff:127.0.0.1]:5", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(source("127.0.0.1:5", &["198.51.100.1, unknown"]), "127.0.0.1");
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_a_stranger_writes_counts(field in "[ -~]{0,120}") {
            assert_eq!(source("192.0.2.1:5", &[&field]), "192.0.2.1");
            source("127.0.0.1:5", &[&field]);
        }
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let network = |text: &str| Source(text.parse().unwrap()).network().to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
