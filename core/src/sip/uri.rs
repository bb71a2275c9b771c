// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIP URIs as addresses-of-record (RFC 3261 sections 10.3 and 19.1.4).
//!
//! Two addresses are the same exactly when their canonical texts are equal.

use std::net::Ipv6Addr;

/// Longest URI that is looked at, in octets.
pub const MAX_LEN: usize = 1024;

/// The host of a SIP URI as it is written, with or without a user, without port; empty when there is none.
pub fn written_host(uri: &str) -> &str {
    let Some((_, rest)) = uri.split_once(':') else { return "" };
    let rest = rest.split(['?', ';', '>']).next().unwrap_or("");
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    match host.strip_prefix('[').and_then(|inner| inner.find(']')) {
        Some(end) => &host[..end + 2],
        None => host.split(':').next().unwrap_or(""),
    }
}

/// An address-of-record in canonical form: `sip:user@host[:port]`.
///
/// The scheme and host are lower-case, needless escapes are decoded, URI parameters and headers are gone
/// (RFC 3261 section 10.3 step 5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Aor(String);

impl Aor {
    /// Reads an addr-spec. None when it is not a sip or sips URI with a user.
    pub fn parse(text: &str) -> Option<Aor> {
        let mut out = String::with_capacity(text.len());
        canonicalize(text, &mut out).then_some(Aor(out))
    }

    /// Makes an address from a scheme with its colon, a user, which is escaped here, and a canonical host, perhaps
    /// with a port. None when there is no user, or when the result is too long.
    pub fn of_user(scheme: &str, user: &str, host: &str) -> Option<Aor> {
        let mut text = String::with_capacity(scheme.len() + user.len() + 1 + host.len());
        text.push_str(scheme);
        escape_user(user, &mut text);
        text.push('@');
        text.push_str(host);
        (!user.is_empty() && text.len() <= MAX_LEN).then_some(Aor(text))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user part, with escapes as they are in the canonical text.
    pub fn user(&self) -> &str {
        let rest = self.0.split_once(':').map_or("", |p| p.1);
        rest.split_once('@').map_or("", |p| p.0)
    }

    /// True for `sip:user@host`, without a port and not `sips`. A location service takes other spellings for the same
    /// address.
    pub fn is_plain(&self) -> bool {
        self.as_str().strip_prefix("sip:").is_some_and(|rest| rest.len() == self.user().len() + 1 + self.host().len())
    }

    /// The same address with another user, which needs no escapes.
    pub fn with_user(&self, user: &str) -> Option<Aor> {
        let (scheme, rest) = self.0.split_once(':')?;
        Aor::parse(&format!("{scheme}:{user}@{}", rest.split_once('@')?.1))
    }

    /// True when a letter of the user is in upper case. Escapes do not count.
    pub fn has_upper_case(&self) -> bool {
        let user = self.user().as_bytes();
        // Canonical text escapes no letter, so both octets behind a '%' are hex.
        let escaped = |at: usize| (1..=2).any(|back| at >= back && user[at - back] == b'%');
        user.iter().enumerate().any(|(at, octet)| octet.is_ascii_uppercase() && !escaped(at))
    }

    /// The same address with the letters of its user in lower case.
    pub fn in_lower_case(&self) -> Aor {
        let user = self.user();
        let end = self.0.len() - self.0.split_once(':').map_or(0, |(_, rest)| rest.len());
        let mut octets = self.0.clone().into_bytes();
        let mut at = end;
        while at < end + user.len() {
            if octets[at] == b'%' {
                at += 2;
            } else {
                octets[at].make_ascii_lowercase();
            }
            at += 1;
        }
        String::from_utf8(octets).map_or_else(|_| self.clone(), Aor)
    }

    /// The host without port.
    pub fn host(&self) -> &str {
        host_of(&self.0)
    }
}

/// The host of a canonical address.
fn host_of(canonical: &str) -> &str {
    let octets = canonical.as_bytes();
    let begin = octets.iter().position(|octet| *octet == b'@').map_or(octets.len(), |at| at + 1);
    let rest = &octets[begin..];
    let end = match rest.first() {
        Some(b'[') => rest.iter().position(|octet| *octet == b']').map(|end| end + 1),
        _ => rest.iter().position(|octet| *octet == b':'),
    };
    &canonical[begin..begin + end.unwrap_or(rest.len())]
}

/// Appends the canonical form of a sip or sips URI to `out`. Returns false, and leaves `out` unspecified, when the
/// text is no such URI.
pub fn canonicalize(text: &str, out: &mut String) -> bool {
    if text.len() > MAX_LEN {
        return false;
    }
    let text = text.trim_matches([' ', '\t']);
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    if scheme.eq_ignore_ascii_case("sip") {
        out.push_str("sip:");
    } else if scheme.eq_ignore_ascii_case("sips") {
        out.push_str("sips:");
    } else {
        return false;
    }
    // The user part may hold ';' and '?', so '@' is looked for first.
    let Some((userinfo, hostpart)) = rest.rsplit_once('@') else {
        return false;
    };
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    if user.is_empty() || password.contains('@') || !canonical_user(user, out) {
        return false;
    }
    out.push('@');
    let hostport = hostpart.split([';', '?']).next().unwrap_or("");
    canonical_hostport(hostport, out)
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b)
}

/// The octets that stand for themselves in a user.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let others = b"-_.!~*'()&=+$,;?/";
    let mut octet = 0;
    while octet < 128 {
        plain[octet] = (octet as u8).is_ascii_alphanumeric();
        octet += 1;
    }
    let mut index = 0;
    while index < others.len() {
        plain[others[index] as usize] = true;
        index += 1;
    }
    plain
};

fn canonical_user(user: &str, out: &mut String) -> bool {
    let bytes = user.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let run = bytes[i..].iter().take_while(|octet| PLAIN[usize::from(**octet)]).count();
        if run > 0 {
            out.push_str(&user[i..i + run]);
            i += run;
        } else if bytes[i] == b'%' {
            let Some(octet) = user.get(i + 1..i + 3).and_then(|h| {
                h.bytes().all(|c| c.is_ascii_hexdigit()).then(|| u8::from_str_radix(h, 16).ok()).flatten()
            }) else {
                return false;
            };
            push_user_octet(octet, out);
            i += 3;
        } else {
            return false;
        }
    }
    true
}

/// Appends an octet that was escaped, or that comes from a claim. Unreserved octets stand for themselves, and all
/// others are escaped.
fn push_user_octet(octet: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if is_unreserved(octet) {
        out.push(char::from(octet));
    } else {
        out.push('%');
        out.push(char::from(HEX[usize::from(octet >> 4)]));
        out.push(char::from(HEX[usize::from(octet & 15)]));
    }
}

/// Escapes a claim's value so that it can only ever be (part of) a user: an '@', ';' or '?' in it has no meaning.
/// '+' stays, because E.164 numbers begin with it.
pub fn escape_user(value: &str, out: &mut String) {
    for octet in value.bytes() {
        if octet == b'+' {
            out.push('+');
        } else {
            push_user_octet(octet, out);
        }
    }
}

fn canonical_hostport(hostport: &str, out: &mut String) -> bool {
    let (host, port) = if let Some(rest) = hostport.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return false;
        };
        let Ok(address) = address.parse::<Ipv6Addr>() else {
            return false;
        };
        out.push('[');
        out.push_str(&address.to_string());
        out.push(']');
        match after.strip_prefix(':') {
            Some(port) => ("", Some(port)),
            None if after.is_empty() => ("", None),
            None => return false,
        }
    } else {
        match hostport.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (hostport, None),
        }
    };
    if !hostport.starts_with('[') && !push_host(host, out) {
        return false;
    }
    if let Some(port) = port {
        let Ok(number) = port.parse::<u16>() else {
            return false;
        };
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return false;
        }
        out.push(':');
        out.push_str(&number.to_string());
    }
    true
}

/// Appends a host name or IPv4 address in lower case, without a trailing dot.
pub fn push_host(host: &str, out: &mut String) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut label = 0;
    for octet in host.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < 63 => label += 1,
            b'.' if label > 0 => label = 0,
            _ => return false,
        }
    }
    if label == 0 || host.len() > 253 {
        return false;
    }
    let begin = out.len();
    out.push_str(host);
    out[begin..].make_ascii_lowercase();
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(a: &str, b: &str) -> bool {
        match (Aor::parse(a), Aor::parse(b)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        }
    }

    #[test]
    fn a_plain_address_has_neither_port_nor_sips() {
        let is_plain = |text: &str| Aor::parse(text).expect("an address").is_plain();
        assert!(
            ["SIP:a@B.test", "sip:a%20b@b.test;x=y", "sip:a@[2001:db8::1]", "sip:a@b.test."]
                .map(is_plain)
                .iter()
                .all(|plain| *plain)
        );
        for text in ["sips:a@b.test", "sip:a@b.test:5060", "sip:a@[2001:db8::1]:5060"] {
            assert!(!is_plain(text), "{text}");
        }
    }

    #[test]
    fn compares_as_rfc_3261_19_1_4() {
        assert!(same("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"));
        assert!(same("sip:alice@example.com", "SIP:alice:secret@example.com;user=phone?subject=x"));
        assert!(same("sip:a@[2001:db8::9:1]", "sip:a@[2001:DB8:0:0:0:0:9:01]"));
        assert!(same("sip:a@example.com.", "sip:a@example.com"));
        assert!(!same("SIP:ALICE@AtLanTa.CoM", "sip:alice@AtLanTa.CoM"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
        assert!(!same("sip:alice@example.com", "sips:alice@example.com"));
        assert!(!same("sip:a%3Bb@example.com", "sip:a;b@example.com"));
    }

    #[test]
    fn refuses_what_cannot_be_an_address_of_record() {
        for text in [
            "",
            "alice",
            "sip:",
            "sip:example.com",
            "sip:@example.com",
            "tel:+1234",
            "sip:a@",
            "sip:a@b:c",
            "sip:a@b:99999",
            "sip:a b@c",
            "sip:a%4@c",
            "sip:a%zz@c",
            "sip:a@[::1",
            "sip:a@[zz]",
            "sip:a@b c",
            "sip:a@b\r\nX: y",
            "sip:a@-é",
            "sip:a\"b@c",
            "sip:a:b@c@d",
        ] {
            assert!(Aor::parse(text).is_none(), "{text}");
        }
        assert!(Aor::parse(&format!("sip:{}@x", "a".repeat(2000))).is_none());
    }

    #[test]
    fn parts() {
        let aor = Aor::parse("sip:+49%2030@[::1]:5070").unwrap();
        assert_eq!((aor.user(), aor.host()), ("+49%2030", "[::1]"));
        assert_eq!(Aor::parse("sips:x@H.example:1").unwrap().host(), "h.example");
    }

    proptest! {
        #[test]
        fn canonical_form_is_a_fixed_point(text in "\\PC{0,80}") {
            if let Some(aor) = Aor::parse(&format!("sip:{text}@h")).or_else(|| Aor::parse(&text)) {
                prop_assert_eq!(Aor::parse(aor.as_str()), Some(aor));
            }
        }

        #[test]
        fn an_escaped_value_stays_one_user(value in "\\PC{1,40}") {
            let mut user = String::new();
            escape_user(&value, &mut user);
            let aor = Aor::parse(&format!("sip:{user}@h")).unwrap();
            prop_assert_eq!(aor.user(), user.as_str());
            prop_assert_eq!(aor.host(), "h");
            prop_assert_eq!(Aor::of_user("sip:", &value, "h"), Some(aor));
        }
    }
}
