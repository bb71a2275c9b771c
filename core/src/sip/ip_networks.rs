// SPDX-License-Identifier: MIT OR Apache-2.0
//! A list of addresses and networks (RFC 4632, RFC 4291 section 2.3).

use std::net::IpAddr;

use super::sender::address_of;

/// Addresses and networks of IPv4 and IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpNetworks(Vec<(IpAddr, u32)>);

impl IpNetworks {
    /// Reads addresses and networks in CIDR notation. The error says which entry is wrong, and what to write.
    pub fn parse<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<IpNetworks, String> {
        list.into_iter().map(|text| network(text.trim())).collect::<Result<_, _>>().map(IpNetworks)
    }

    /// True when the list has no network.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when the text is an address in one of the networks. An IPv4 address inside an IPv6 address counts as IPv4.
    pub fn contains(&self, text: &str) -> bool {
        let Some(address) = address_of(text) else {
            return false;
        };
        self.0.iter().any(|(first, length)| masked(address, *length) == Some(*first))
    }
}

fn network(text: &str) -> Result<(IpAddr, u32), String> {
    let wrong =
        || format!("'{text}' is no address or network: write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32, no names");
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let written: IpAddr = address.parse().map_err(|_| wrong())?;
    let address = address_of(address).ok_or_else(wrong)?;
    // The number of prefix bits that come on top when a network is written as IPv6 and means IPv4.
    let inside = if written.is_ipv6() && address.is_ipv4() { 96 } else { 0 };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse::<u32>().ok().and_then(|n| n.checked_sub(inside)).ok_or_else(wrong)?
        }
        Some(_) => return Err(wrong()),
    };
    if length > most {
        return Err(format!("'{text}' has too long a prefix: at most /{}", most + inside));
    }
    if length == 0 {
        return Err(format!("'{text}' is everybody: name the proxies in front of this one"));
    }
    match masked(address, length) {
        Some(first) if first == address => Ok((address, length)),
        Some(first) => Err(format!("'{text}' has bits set behind its prefix: write {first}/{length} or {address}")),
        None => Err(wrong()),
    }
}

/// The first address of the network with this prefix; None when there is no such prefix.
fn masked(address: IpAddr, length: u32) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0);
            Some(IpAddr::from((v4.to_bits() & mask).to_be_bytes()))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(length)?).unwrap_or(0);
            Some(IpAddr::from((v6.to_bits() & mask).to_be_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_of_both_kinds() {
        let list =
            ["10.0.0.1", " 192.0.2.0/24", "2001:db8::/32", "2001:dba::1", "::ffff:203.0.113.0/120", "10.9.0.0/31"];
        let networks = IpNetworks::parse(list).unwrap();
        for inside in [
            "10.0.0.1",
            "192.0.2.255",
            "::ffff:192.0.2.9",
            "2001:db8:ffff::1",
            "[2001:db8::1]:5060",
            "2001:dba::1",
            "203.0.113.7",
            "10.9.0.1",
        ] {
            assert!(networks.contains(inside), "{inside}");
        }
        for outside in
            ["10.0.0.2", "192.0.3.0", "2001:db9::", "2001:dba::2", "203.0.114.1", "10.9.0.2", "", "edge", "::"]
        {
            assert!(!networks.contains(outside), "{outside}");
        }
        assert!(!IpNetworks::default().contains("10.0.0.1") && IpNetworks::default().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("edge.example.test", "no names"),
            ("", "no address"),
            ("10.0.0.0/", "no address"),
            ("10.0.0.0/+8", "no address"),
            ("10.0.0.0/33", "at most /32"),
            ("2001:db8::/129", "at most /128"),
            ("::ffff:10.0.0.0/129", "at most /128"),
            ("::ffff:10.0.0.0/95", "no address"),
            ("0.0.0.0/0", "everybody"),
            ("::/0", "everybody"),
            ("10.0.0.5/8", "write 10.0.0.0/8 or 10.0.0.5"),
            ("2001:db8::1/32", "write 2001:db8::/32"),
            ("10.0.0.1:5060", "no address"),
        ] {
            let error = IpNetworks::parse([text]).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
