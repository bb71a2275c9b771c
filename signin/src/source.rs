// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who sent a request: the peer of the connection, or what a reverse proxy says.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderValue};
use sipoauth_core::sip::ip_networks::IpNetworks;

/// The sender of a request. None: a reverse proxy has written something that nobody can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(Option<IpAddr>);

impl Source {
    /// The peer itself.
    pub fn of_peer(peer: SocketAddr) -> Source {
        Source(Some(peer.ip().to_canonical()))
    }

    /// The sender. Of X-Forwarded-For only what reverse proxies of the operator have written counts: the last address
    /// that is not one of theirs.
    pub fn new(peer: SocketAddr, headers: &HeaderMap, reverse_proxies: &IpNetworks) -> Source {
        let mut source = Source::of_peer(peer);
        // As octets, because what a stranger has written before must not hide what a reverse proxy has added.
        let fields = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
        let listed: Vec<&[u8]> = fields.flat_map(|field| field.split(|octet| *octet == b',')).collect();
        for entry in listed.into_iter().rev() {
            if !source.is_among(reverse_proxies) {
                break;
            }
            // The reverse proxy itself did not send the request, so its address and its rights do not count.
            source = Source(address(entry).map(|address| address.to_canonical()));
        }
        source
    }

    /// True when it is in one of the networks.
    pub fn is_among(&self, networks: &IpNetworks) -> bool {
        self.0.is_some_and(|address| networks.contains(&address.to_string()))
    }

    /// What counts as one source: an IPv4 address, an IPv6 /64, or all that are unknown.
    pub fn network(&self) -> Option<IpAddr> {
        self.0.map(|address| match address {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            v4 => v4,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("an unknown address"),
        }
    }
}

/// An address with or without a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> IpNetworks {
        IpNetworks::parse(["127.0.0.1", "10.0.0.0/8"]).unwrap()
    }

    fn told(peer: &str, fields: &[&[u8]]) -> Source {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(field).unwrap());
        }
        Source::new(peer.parse().unwrap(), &headers, &proxies())
    }

    fn source(peer: &str, fields: &[&str]) -> String {
        told(peer, &fields.iter().map(|field| field.as_bytes()).collect::<Vec<_>>()).to_string()
    }

    #[test]
    fn only_reverse_proxies_tell_who_sent_a_request() {
        assert_eq!(source("192.0.2.1:5", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(source("127.0.0.1:5", &[]), "127.0.0.1");
        assert_eq!(source("127.0.0.1:5", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(source("127.0.0.1:5", &["1.1.1.1, 198.51.100.1, 10.1.1.1"]), "198.51.100.1");
        assert_eq!(source("127.0.0.1:5", &["1.1.1.1", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(source("[::ffff:127.0.0.1]:5", &["[2001:db8::1]:443"]), "2001:db8::1");
    }

    #[test]
    fn what_cannot_be_read_hides_nobody_and_is_nobody() {
        let proxy = "127.0.0.1:5";
        assert_eq!(told(proxy, &[b"\xff, 198.51.100.1"]).to_string(), "198.51.100.1");
        assert_eq!(told(proxy, &[b"\xff", b"198.51.100.1, 10.1.1.1"]).to_string(), "198.51.100.1");
        for field in
            [&b"198.51.100.1, \xff"[..], b"127.0.0.1\xff", b"198.51.100.1, unknown", b"", b"127.0.0.1,", b"x, 10.1.1.1"]
        {
            let source = told(proxy, &[field]);
            assert_eq!(source, Source(None), "{}", field.escape_ascii());
            assert!(!source.is_among(&proxies()) && source.network().is_none());
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_a_stranger_writes_counts(field in "[ -~]{0,120}") {
            assert_eq!(source("192.0.2.1:5", &[&field]), "192.0.2.1");
            source("127.0.0.1:5", &[&field]);
        }

        #[test]
        fn what_a_reverse_proxy_adds_counts_whatever_is_before_it(mut field in proptest::collection::vec(0x20u8..=0xff, 0..80)) {
            field.retain(|octet| *octet != 0x7f);
            field.extend_from_slice(b", 198.51.100.1");
            assert_eq!(told("127.0.0.1:5", &[&field]).to_string(), "198.51.100.1");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let network = |text: &str| Source(Some(text.parse().unwrap())).network().unwrap().to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
