// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which servers may get a user's token (sip-oauth-01 section 3.8). Next hops are compared with a list.
//!
//! A URI that could be read in two ways never fits the list, because the token would go where another reader sends it.

use super::uri::push_host;

/// One application server of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHopRule {
    host: String,
    /// None: any.
    port: Option<u16>,
    /// In lower case. None: any.
    transport: Option<String>,
}

/// Where a URI leads.
#[derive(Debug, PartialEq, Eq)]
struct Hop {
    host: String,
    port: Option<u16>,
    transport: Option<String>,
}

impl NextHopRule {
    /// Reads `host`, `host:port` or a SIP URI with or without `;transport=`. The error says what is wrong.
    pub fn parse(text: &str) -> Result<NextHopRule, String> {
        let wrong = || format!("'{text}' is no next hop: write host, host:port or sip:host:port;transport=tls");
        let has_scheme =
            ["sip:", "sips:"].iter().any(|s| text.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)));
        if text.contains('@') || !has_scheme && text.contains(';') {
            return Err(wrong());
        }
        let uri = if has_scheme { text.to_owned() } else { format!("sip:{text}") };
        let Hop { host, port, transport } = Hop::parse(&uri).ok_or_else(wrong)?;
        Ok(NextHopRule { host, port, transport })
    }

    /// True when the rule allows TLS only: `sips:`, `transport=tls` or `transport=wss`.
    pub fn is_protected(&self) -> bool {
        matches!(self.transport.as_deref(), Some("tls" | "wss"))
    }

    /// True when the host is this very machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// True when a request to this SIP URI goes to the server of this rule.
    pub fn fits(&self, uri: &str) -> bool {
        let Some(hop) = Hop::parse(uri) else {
            return false;
        };
        let transport = hop.transport.as_deref().unwrap_or("udp");
        // The default port is 5061 for TLS (RFC 3261 section 19.1.2).
        let port = hop.port.unwrap_or(if matches!(transport, "tls" | "wss") { 5061 } else { 5060 });
        self.host == hop.host
            && self.port.is_none_or(|p| p == port)
            && self.transport.as_ref().is_none_or(|t| t == transport)
    }
}

impl Hop {
    fn parse(uri: &str) -> Option<Hop> {
        let (scheme, rest) = uri.split_once(':')?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "sip" => false,
            "sips" => true,
            _ => return None,
        };
        // Parsers disagree about headers, and about a user that has a ';' or '?'.
        let server = match rest.split_once('@') {
            Some((user, server)) if !user.is_empty() && !user.contains([';', '?', '<', '>', '"', '[', ' ']) => server,
            Some(_) => return None,
            None => rest,
        };
        if server.contains(['@', '?', '<', '>', '"', ' ', '%', '\t', '\r', '\n']) {
            return None;
        }
        let mut parts = server.split(';');
        let (host, port) = host_and_port(parts.next()?)?;
        let mut transport = None;
        for param in parts {
            let (name, value) = param.split_once('=').unwrap_or((param, ""));
            match name.to_ascii_lowercase().as_str() {
                // The request would go to this address instead.
                "maddr" => return None,
                "transport" if transport.is_none() && !value.is_empty() => transport = Some(value.to_ascii_lowercase()),
                "transport" => return None,
                _ => {}
            }
        }
        let transport = match (secure, transport.as_deref()) {
            (true, None | Some("tcp")) => Some("tls".to_owned()),
            (true, Some("ws")) => Some("wss".to_owned()),
            (true, Some("udp")) => return None,
            _ => transport,
        };
        Some(Hop { host, port, transport })
    }
}

fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let mut host = String::new();
    let port = if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        host = address.parse::<std::net::Ipv6Addr>().ok()?.to_string();
        if after.is_empty() { None } else { Some(after.strip_prefix(':')?) }
    } else {
        let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        if !push_host(name, &mut host) {
            return None;
        }
        port
    };
    let number = |port: &str| port.parse::<u16>().ok().filter(|n| *n > 0 && port.bytes().all(|b| b.is_ascii_digit()));
    match port {
        None => Some((host, None)),
        Some(port) => number(port).map(|port| (host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(rule: &str, uri: &str) -> bool {
        NextHopRule::parse(rule).unwrap().fits(uri)
    }

    #[test]
    fn listed_ones() {
        for (rule, uri) in [
            ("as.example.com", "sip:bob@AS.example.com"),
            ("as.example.com", "sip:as.example.com:5090;transport=tcp;lr"),
            ("as.example.com:5060", "sip:as.example.com"),
            ("as.example.com:5061", "sips:as.example.com"),
            ("10.0.0.5:5080", "sip:10.0.0.5:5080"),
            ("[2001:db8::1]:5080", "sip:bob@[2001:DB8:0::1]:5080"),
            ("sip:as.example.com;transport=tls", "sip:as.example.com;lr;transport=TLS"),
            ("sip:as.example.com;transport=tls", "sips:+4930@as.example.com"),
            ("sips:as.example.com", "sip:as.example.com;transport=tls"),
            ("SIPS:as.example.com:5061", "sips:as.example.com;transport=tcp"),
        ] {
            assert!(fits(rule, uri), "{rule} {uri}");
        }
    }

    #[test]
    fn everyone_else() {
        for (rule, uri) in [
            ("as.example.com", "sip:as.example.com.evil.test"),
            ("as.example.com", "sip:as.example.com@evil.test"),
            ("as.example.com", "sip:x@evil.test;y=@as.example.com"),
            ("as.example.com", "sip:evil.test;y=@as.example.com"),
            ("as.example.com", "sip:x@evil.test?y=@as.example.com"),
            ("as.example.com", "sip:evil.test?y=@as.example.com"),
            ("as.example.com", "sip:evil.test/@as.example.com@evil.test"),
            ("as.example.com", "sip:x@as.example.com;maddr=evil.test"),
            ("as.example.com", "sip:x@as.example.com;MADDR=evil.test"),
            ("as.example.com", "tel:as.example.com"),
            ("as.example.com", "<sip:as.example.com>"),
            ("as.example.com", "sip:x@as.example.com:0"),
            ("as.example.com", "sip:x@as.example.com:99999"),
            ("as.example.com", "sip:x@as.example.com%00.evil.test"),
            ("as.example.com", ""),
            ("as.example.com:5060", "sip:as.example.com:5070"),
            ("as.example.com:5060", "sips:as.example.com"),
            ("sip:as.example.com;transport=tls", "sip:as.example.com"),
            ("sip:as.example.com;transport=tls", "sip:as.example.com;transport=tls;transport=udp"),
            ("sips:as.example.com", "sip:as.example.com;transport=tcp"),
            ("sips:as.example.com", "sips:as.example.com;transport=udp"),
        ] {
            assert!(!fits(rule, uri), "{rule} {uri}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for text in
            ["", "a b", "sip:user@as.example.com", "as.example.com:x", "as.example.com;transport=tls", "*", "http://as"]
        {
            assert!(NextHopRule::parse(text).unwrap_err().contains("is no next hop"), "{text}");
        }
    }

    proptest! {
        /// However a URI is written, it fits only when its host is that of the rule.
        #[test]
        fn nothing_but_the_host_decides(user in "\\PC{0,12}", host in "[a-z.@;?/]{0,12}", tail in "[;?@:=a-z0-9.]{0,16}") {
            let rule = NextHopRule::parse("as.example.com").unwrap();
            let uri = format!("sip:{user}@{host}{tail}");
            prop_assert!(!rule.fits(&uri) || host.starts_with("as.example.com"), "{}", uri);
            let _ = rule.fits(&user);
        }
    }
}
