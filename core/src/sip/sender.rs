// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who sent a request, in the form in which limits count senders.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Longest text of a source that is no address, in octets. A longer text is cut.
const MAX_TEXT: usize = 255;
/// The IPv6 addresses that a translator makes from IPv4 addresses (RFC 6052 section 2.1), without their last 32 bits.
const TRANSLATED: [u16; 6] = [0x64, 0xFF9B, 0, 0, 0, 0];

/// What counts as one source, however it is written: an IPv4 address, or the 64 bits above those that an IPv6 host
/// chooses freely. An IPv4 address inside an IPv6 address (mapped, or translated by 64:ff9b::/96) is that IPv4
/// address. A source that is no address counts as its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub enum Network {
    /// An IPv4 address.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address.
    V6([u16; 4]),
    /// Something else.
    Text(Box<str>),
}

impl Network {
    /// The network of an address as a host writes it: with or without brackets, zone id (RFC 4007 section 11) and
    /// port.
    pub fn of(source: &str) -> Network {
        match address_of(source) {
            Some(IpAddr::V4(address)) => Network::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Network::V6([a, b, c, d])
            }
            None => {
                let text = source.trim();
                let end = (0..=text.len().min(MAX_TEXT)).rfind(|end| text.is_char_boundary(*end));
                Network::Text(text[..end.unwrap_or(0)].into())
            }
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Network::V4(octets) => Ipv4Addr::from(*octets).fmt(f),
            Network::V6([a, b, c, d]) => write!(f, "{a:x}:{b:x}:{c:x}:{d:x}::/64"),
            Network::Text(text) => f.write_str(text),
        }
    }
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct Sender {
    /// The network that the request came from.
    pub network: Network,
    /// Set when the address may be forged, because the request came over UDP, or because a proxy that tells the
    /// address may have got the request over UDP. Over TCP, TLS and WebSocket it is None, because a handshake
    /// shows that an address can receive.
    pub datagram: Option<Datagram>,
}

/// What else is known of a sender whose address may be forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct Datagram {
    /// The port; 0: not known.
    pub port: u16,
    /// True when something was accepted from this address and port lately.
    pub shown: bool,
}

/// Senders of one network that share one allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Crowd {
    /// The senders with connections.
    Connected,
    /// The senders from whom something was accepted lately.
    Shown,
    /// All others: anybody may send datagrams with this source address.
    Strangers,
}

impl Sender {
    /// A sender whose address is not forged. `source` is the address as a host writes it.
    pub fn new(source: &str) -> Sender {
        Sender { network: Network::of(source), datagram: None }
    }

    /// The senders with which this one shares an allowance.
    pub fn crowd(&self) -> Crowd {
        match self.datagram {
            None => Crowd::Connected,
            Some(Datagram { shown: true, .. }) => Crowd::Shown,
            Some(Datagram { shown: false, .. }) => Crowd::Strangers,
        }
    }
}

/// An address as hosts write it, in its simplest form.
pub fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Some(plain(address));
    }
    if let Some(rest) = text.strip_prefix('[') {
        // A port may follow the bracket.
        let (inside, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        return is_port.then(|| without_zone(inside))?.map(plain);
    }
    match text.parse::<SocketAddr>() {
        Ok(address) => Some(plain(address.ip())),
        Err(_) => without_zone(text).map(plain),
    }
}

fn without_zone(text: &str) -> Option<IpAddr> {
    text.split_once('%').map_or(text, |(address, _)| address).parse().ok()
}

fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.segments() {
            [head @ .., high, low] if head == TRANSLATED => {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                IpAddr::from([a, b, c, d])
            }
            _ => v6.to_canonical(),
        },
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_written() {
        let v4 = Network::V4([192, 0, 2, 1]);
        for text in [
            "192.0.2.1",
            " 192.0.2.1 ",
            "[192.0.2.1]",
            "192.0.2.1:5060",
            "::ffff:192.0.2.1",
            "[::FFFF:c000:201]",
            "[::ffff:192.0.2.1]:5060",
            "0:0:0:0:0:ffff:192.0.2.1",
            "64:ff9b::192.0.2.1",
        ] {
            assert_eq!(Network::of(text), v4, "{text}");
        }
        let v6 = Network::V6([0x2001, 0xDB8, 0, 7]);
        for text in [
            "2001:db8:0:7::1",
            "[2001:DB8:0:7:ffff::]",
            "[2001:db8:0:7::2]:5061",
            "2001:0db8:0000:0007:1:2:3:4%eth0",
            "[2001:db8:0:7::2%25eth0]:5061",
        ] {
            assert_eq!(Network::of(text), v6, "{text}");
        }
        assert_ne!(Network::of("2001:db8:0:8::1"), v6);
        assert_ne!(Network::of("192.0.2.2"), v4);
    }

    #[test]
    fn what_is_no_address_counts_as_its_text() {
        for text in
            ["", "edge.example.test", "192.0.2", "192.0.2.1.5", "[2001:db8::1", "[2001:db8::1]x", "2001:db8::1%"]
        {
            let is_text = matches!(Network::of(text), Network::Text(kept) if &*kept == text);
            assert!(is_text || text.ends_with('%'), "{text}");
        }
        assert_ne!(Network::of("a"), Network::of("b"));
        let long = "ä".repeat(1000);
        assert!(matches!(Network::of(&long), Network::Text(kept) if kept.len() <= MAX_TEXT));
    }
}
