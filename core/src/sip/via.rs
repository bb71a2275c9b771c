// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who sent a request to a proxy in front of this one (RFC 3261 section 18.2.1, RFC 3581 section 4).
//!
//! A server writes into the topmost Via where the request really came from. So the Via below a trusted server's
//! own tells where that server got the request. The Vias further below were written by others, and are believed
//! only as far as those are trusted.

use super::ip_networks::IpNetworks;
use super::sender::address_of;

/// Most Vias that are looked at, the topmost one included.
const MAX_VIAS: usize = 10;

/// Where a request came from: address and port. Port 0: not known.
pub type From<'a> = (&'a str, u16);

/// The first sender on the way back from `peer` that is not trusted. It is the last trusted one when a Via does
/// not tell who was before it. `vias` are the bodies of all Via header fields in order.
pub fn sender_of<'a>(peer: From<'a>, vias: &[&'a str], trusted: &IpNetworks) -> From<'a> {
    let mut sender = peer;
    for via in vias.iter().flat_map(|body| values(body)).take(MAX_VIAS).skip(1) {
        if !trusted.contains(sender.0) {
            break;
        }
        match received_from(via) {
            Some(before) => sender = before,
            None => break,
        }
    }
    sender
}

/// The parts between separators. A separator in a quoted string does not count.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let part = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = part.bytes().position(|octet| {
            match octet {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => return octet == separator && !quoted,
            }
            false
        });
        rest = end.map(|end| &part[end + 1..]);
        Some(end.map_or(part, |end| &part[..end]).trim())
    })
}

fn values(body: &str) -> impl Iterator<Item = &str> {
    split(body, b',')
}

/// What the server above has written into a Via about where it got the request from. Without `received`, the
/// sent-by counts, but only when it is an address, because a server must add `received` when the request came from
/// elsewhere. None when the source is missing or ambiguous.
fn received_from(via: &str) -> Option<From<'_>> {
    let mut parts = split(via, b';');
    let (mut received, mut rport) = (None, None);
    let sent_by = parts.next()?;
    for parameter in parts {
        let (name, value) =
            parameter.split_once('=').map_or((parameter, ""), |(name, value)| (name.trim(), value.trim()));
        let place = match name {
            _ if name.eq_ignore_ascii_case("received") => &mut received,
            _ if name.eq_ignore_ascii_case("rport") => &mut rport,
            _ => continue,
        };
        // If there are two, the sender has written one of them.
        if place.replace(value).is_some() {
            return None;
        }
    }
    let address = match received {
        Some(address) => address,
        None => host_of(sent_by)?,
    };
    address_of(address)?;
    // A port that the server has not written is only the sender's word.
    let port = rport.and_then(|port| port.parse().ok()).unwrap_or(0);
    Some((address, port))
}

/// The host of `SIP/2.0/UDP host:port`; white space may be around the slashes and the colon.
fn host_of(sent_by: &str) -> Option<&str> {
    let (_, rest) = sent_by.rsplit_once('/')?;
    let (_, host) = rest.trim_start().split_once(|c: char| c.is_ascii_whitespace())?;
    let host = host.trim_start();
    let end = match host.strip_prefix('[') {
        Some(inside) => inside.find(']')? + 2,
        None => host.find(|c: char| c == ':' || c.is_ascii_whitespace()).unwrap_or(host.len()),
    };
    Some(&host[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGE: From<'static> = ("10.0.0.1", 5060);

    fn trusted() -> IpNetworks {
        IpNetworks::parse(["10.0.0.0/24", "2001:db8:e::/48"]).unwrap()
    }

    fn behind_edge<'a>(via: &'a str) -> From<'a> {
        sender_of(EDGE, &["SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1", via], &trusted())
    }

    #[test]
    fn received_and_rport_else_the_address_of_sent_by() {
        for (via, sender) in [
            ("SIP/2.0/UDP 192.168.1.5:5060;received=203.0.113.7;rport=40001;branch=x", ("203.0.113.7", 40001)),
            ("SIP/2.0/TLS phone.invalid;branch=x;RECEIVED = 203.0.113.7 ; rport=9", ("203.0.113.7", 9)),
            ("SIP/2.0/UDP 203.0.113.8:5062;branch=x", ("203.0.113.8", 0)),
            ("SIP/2.0/UDP 203.0.113.8:5062;rport;branch=x", ("203.0.113.8", 0)),
            ("SIP / 2.0 / UDP 203.0.113.8 : 5062 ; rport = 5062", ("203.0.113.8", 5062)),
            ("SIP/2.0/UDP\r\n 203.0.113.8", ("203.0.113.8", 0)),
            ("SIP/2.0/UDP [2001:db8:9::1]:5062;rport=7", ("[2001:db8:9::1]", 7)),
            ("SIP/2.0/UDP phone;received=2001:db8:9::1;rport=7", ("2001:db8:9::1", 7)),
            ("SIP/2.0/UDP phone;x=\"a;received=198.51.100.1,b\\\"\";received=203.0.113.7", ("203.0.113.7", 0)),
        ] {
            assert_eq!(behind_edge(via), sender, "{via}");
        }
    }

    #[test]
    fn what_does_not_tell_leaves_the_trusted_one() {
        for via in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP phone.example.test;branch=x",
            "SIP/2.0/UDP 203.0.113.7;received=phone.example.test",
            "SIP/2.0/UDP 203.0.113.7;received=",
            "SIP/2.0/UDP 203.0.113.7;received",
            "SIP/2.0/UDP 203.0.113.7;received=203.0.113.8;received=203.0.113.9",
            "SIP/2.0/UDP 203.0.113.7;rport=1;rport=2",
            "SIP/2.0/UDP [2001:db8::1",
        ] {
            assert_eq!(behind_edge(via), EDGE, "{via}");
        }
        assert_eq!(sender_of(EDGE, &["SIP/2.0/UDP 10.0.0.1"], &trusted()), EDGE);
        assert_eq!(sender_of(EDGE, &[], &trusted()), EDGE);
    }

    #[test]
    fn a_via_that_a_stranger_wrote_is_never_believed() {
        let forged = "SIP/2.0/UDP 10.0.0.1, SIP/2.0/UDP 10.0.0.2;received=198.51.100.9;rport=5060";
        let stranger = ("203.0.113.66", 40000);
        assert_eq!(sender_of(stranger, &[forged], &trusted()), stranger);
        // Behind an edge: what stands below the stranger's own Via does not count.
        let vias = [
            "SIP/2.0/UDP 10.0.0.1",
            "SIP/2.0/UDP 10.0.0.2;received=203.0.113.66;rport=40000, SIP/2.0/UDP 10.0.0.3;received=198.51.100.9;rport=5060",
        ];
        assert_eq!(sender_of(EDGE, &vias, &trusted()), stranger);
        assert_eq!(sender_of(EDGE, &vias, &IpNetworks::default()), EDGE);
    }

    #[test]
    fn several_trusted_ones_are_passed_and_their_number_is_bounded() {
        let vias = [
            "SIP/2.0/TLS 10.0.0.1",
            "SIP/2.0/TLS edge.example.test;received=10.0.0.2;rport=5061,SIP/2.0/TLS x;received=2001:db8:e::1",
            "SIP/2.0/UDP 192.168.0.9;received=203.0.113.7;rport=40001",
        ];
        assert_eq!(sender_of(EDGE, &vias, &trusted()), ("203.0.113.7", 40001));
        let long: Vec<&str> = std::iter::repeat_n("SIP/2.0/UDP 10.0.0.7;rport=5", 5000).collect();
        assert_eq!(sender_of(EDGE, &long, &trusted()), ("10.0.0.7", 5));
        let mut deep = vec!["SIP/2.0/UDP 10.0.0.7"; MAX_VIAS];
        deep.push("SIP/2.0/UDP 203.0.113.7");
        assert_eq!(sender_of(EDGE, &deep, &trusted()), ("10.0.0.7", 0));
        deep.remove(0);
        assert_eq!(sender_of(EDGE, &deep, &trusted()), ("203.0.113.7", 0));
    }
}
