// SPDX-License-Identifier: MIT OR Apache-2.0
//! A SIP message as it came: its first line, its header fields and its body (RFC 3261 section 7). Nothing is copied.
//!
//! Lines end with CRLF or LF. A line that begins with a space or a tab goes on with the field before it.

/// Most header fields that are read.
const MAX_FIELDS: usize = 512;

/// A message.
#[derive(Clone, Debug)]
pub struct MessageView<'a> {
    octets: &'a [u8],
    first_line: &'a [u8],
    fields: Vec<Field<'a>>,
    body: usize,
}

/// A header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name as written.
    pub name: &'a [u8],
    /// Its value without white space at both ends. Folded lines are still in it.
    pub value: &'a [u8],
    /// Where its value begins in the message.
    pub value_at: usize,
    /// Where its first line begins in the message, and how long it is with all line ends.
    pub place: (usize, usize),
}

/// A header field that has a short name, too (RFC 3261 section 7.3.3).
#[derive(Clone, Copy, Debug)]
pub struct Name(pub &'static str, pub &'static str);

/// Names of header fields.
pub mod names {
    use super::Name;

    /// RFC 3261 section 20.1
    pub const ACCEPT: Name = Name("Accept", "");
    /// RFC 3261 section 20.8
    pub const CALL_ID: Name = Name("Call-ID", "i");
    /// RFC 3261 section 20.10
    pub const CONTACT: Name = Name("Contact", "m");
    /// RFC 3261 section 20.15
    pub const CONTENT_TYPE: Name = Name("Content-Type", "c");
    /// RFC 3261 section 20.16
    pub const CSEQ: Name = Name("CSeq", "");
    /// RFC 6665 section 8.2.1
    pub const EVENT: Name = Name("Event", "o");
    /// RFC 3261 section 20.19
    pub const EXPIRES: Name = Name("Expires", "");
    /// RFC 3261 section 20.20
    pub const FROM: Name = Name("From", "f");
    /// RFC 3261 section 20.30
    pub const RECORD_ROUTE: Name = Name("Record-Route", "");
    /// RFC 7614 section 4.8
    pub const REFER_EVENTS_AT: Name = Name("Refer-Events-At", "");
    /// RFC 3515 section 2.1
    pub const REFER_TO: Name = Name("Refer-To", "r");
    /// RFC 3261 section 20.32
    pub const REQUIRE: Name = Name("Require", "");
    /// RFC 3903 section 11.3.2
    pub const SIP_IF_MATCH: Name = Name("SIP-If-Match", "");
    /// RFC 3261 section 20.37
    pub const SUPPORTED: Name = Name("Supported", "k");
    /// RFC 4538 section 7
    pub const TARGET_DIALOG: Name = Name("Target-Dialog", "");
    /// RFC 3261 section 20.39
    pub const TO: Name = Name("To", "t");
    /// RFC 3261 section 20.42
    pub const VIA: Name = Name("Via", "v");
}

impl Name {
    /// True for a name in this or its short form.
    pub fn is(self, written: &[u8]) -> bool {
        let Name(long, short) = self;
        written.eq_ignore_ascii_case(long.as_bytes())
            || !short.is_empty() && written.eq_ignore_ascii_case(short.as_bytes())
    }
}

impl<'a> MessageView<'a> {
    /// Divides a message. A line that is no header field is left out. None when the message has no first line, nothing
    /// that ends its header fields, or more than 512 of them.
    pub fn new(octets: &'a [u8]) -> Option<MessageView<'a>> {
        let mut at = end_of_line(octets, 0)?;
        let first_line = octets[..at].trim_ascii();
        let mut fields = Vec::with_capacity(24);
        loop {
            let begin = at;
            at = end_of_line(octets, at)?;
            if octets[begin..at].trim_ascii().is_empty() {
                return Some(MessageView { octets, first_line, fields, body: at });
            }
            while matches!(octets.get(at), Some(b' ' | b'\t')) {
                at = end_of_line(octets, at)?;
            }
            let line = &octets[begin..at];
            let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
            if fields.len() == MAX_FIELDS {
                return None;
            }
            let (name, value) = (line[..colon].trim_ascii_end(), line[colon + 1..].trim_ascii());
            let value_at = at - line[colon + 1..].trim_ascii_start().len();
            fields.push(Field { name, value, value_at, place: (begin, at - begin) });
        }
    }

    /// The first line without its end.
    pub fn first_line(&self) -> &'a [u8] {
        self.first_line
    }

    /// The Request-URI of a request, as written.
    pub fn request_uri(&self) -> Option<&'a str> {
        let line = std::str::from_utf8(self.first_line).ok()?;
        line.split(' ').nth(1).filter(|uri| !uri.is_empty())
    }

    /// Everything behind the header fields. Over UDP it may be longer than Content-Length says.
    pub fn body(&self) -> &'a [u8] {
        &self.octets[self.body..]
    }

    /// All header fields in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> {
        self.fields.iter().copied()
    }

    /// The header fields with this name.
    pub fn named(&self, name: Name) -> impl Iterator<Item = Field<'a>> {
        self.fields().filter(move |field| name.is(field.name))
    }

    /// The values of a header field that may hold several, of all such fields, in order. None stands for one that is
    /// not UTF-8.
    pub fn values(&self, name: Name) -> impl Iterator<Item = Option<&'a str>> {
        let fields = self.named(name).map(|field| std::str::from_utf8(field.value).ok());
        fields.flat_map(|text| match text {
            Some(text) => Values::Some(separated(text, b',')),
            None => Values::Unreadable(false),
        })
    }

    /// The value of a header field that must occur exactly once.
    pub fn only(&self, name: Name) -> Option<&'a str> {
        let mut fields = self.named(name);
        let field = fields.next()?;
        std::str::from_utf8(field.value).ok().filter(|_| fields.next().is_none())
    }

    /// True when a list of tokens, such as that of Require, has this one, in any case.
    pub fn lists(&self, name: Name, token: &str) -> bool {
        self.values(name).flatten().any(|value| value.eq_ignore_ascii_case(token))
    }
}

enum Values<I> {
    Some(I),
    Unreadable(bool),
}

impl<'a, I: Iterator<Item = &'a str>> Iterator for Values<I> {
    type Item = Option<&'a str>;

    fn next(&mut self) -> Option<Option<&'a str>> {
        match self {
            Values::Some(values) => values.next().map(Some),
            Values::Unreadable(told) => (!std::mem::replace(told, true)).then_some(None),
        }
    }
}

/// Where the line that begins at `at` ends, behind its line end.
fn end_of_line(octets: &[u8], at: usize) -> Option<usize> {
    let rest = octets.get(at..)?;
    rest.iter().position(|octet| *octet == b'\n').map(|end| at + end + 1)
}

/// The parts between separators, without white space at their ends. A separator within quotes or angle brackets does
/// not count.
pub fn separated(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let part = rest?;
        let (mut quoted, mut escaped, mut inside) = (false, false, false);
        let end = part.bytes().position(|octet| {
            match octet {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' if !inside => quoted = !quoted,
                b'<' if !quoted => inside = true,
                b'>' if !quoted => inside = false,
                _ => return octet == separator && !quoted && !inside,
            }
            false
        });
        rest = end.map(|end| &part[end + 1..]);
        Some(end.map_or(part, |end| &part[..end]).trim_ascii())
    })
}

/// A URI with the parameters of its header field: `name-addr` or `addr-spec` (RFC 3261 section 25.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The URI without brackets.
    pub uri: &'a str,
    /// What follows, with its first semicolon.
    pub parameters: &'a str,
    /// The URI stood in angle brackets.
    pub bracketed: bool,
}

impl<'a> NameAddr<'a> {
    /// Reads a value. None when there is no URI, or the brackets do not fit.
    pub fn parse(value: &'a str) -> Option<NameAddr<'a>> {
        let value = value.trim_ascii();
        let open = match value.strip_prefix('"') {
            // a display name in quotes may have anything, also brackets
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted.bytes().position(|octet| {
                    let ends = octet == b'"' && !escaped;
                    escaped = octet == b'\\' && !escaped;
                    ends
                })?;
                let after = end + 2;
                Some(after + value[after..].find('<')?)
            }
            None => value.find('<'),
        };
        let (uri, parameters, bracketed) = match open {
            Some(open) => {
                let (uri, after) = value[open + 1..].split_once('>')?;
                (uri, after.trim_ascii_start(), true)
            }
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim_ascii_end(), &value[end..], false)
            }
        };
        let readable = !uri.is_empty() && uri.bytes().all(|octet| octet > b' ' && octet != 0x7F && octet != b'<');
        let ends = parameters.is_empty() || parameters.starts_with(';');
        (readable && ends && uri.contains(':')).then_some(NameAddr { uri, parameters, bracketed })
    }

    /// The value of a header parameter; empty for one without a value.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        parameter(self.parameters, name)
    }

    /// True for a sip or sips URI.
    pub fn is_sip(&self) -> bool {
        is_sip(self.uri)
    }
}

/// The value of a parameter in `;a=b;c`; empty for one without a value.
pub fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    separated(parameters, b';').skip(1).find_map(|one| {
        let (written, value) = one.split_once('=').unwrap_or((one, ""));
        written.trim_ascii().eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// True for a sip or sips URI.
pub fn is_sip(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| ["sip", "sips"].iter().any(|sip| scheme.eq_ignore_ascii_case(sip)))
}

/// The user of a SIP URI, as written; empty when there is none.
pub fn user_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or("", |(_, rest)| rest);
    rest.split_once('@').map_or("", |(user, _)| user)
}

/// The URI parameters of a SIP URI, with their first semicolon. A semicolon in the user is none of them.
pub fn uri_parameters(uri: &str) -> &str {
    let rest = uri.split_once('@').map_or(uri, |(_, rest)| rest);
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    rest.find(';').map_or("", |at| &rest[at..])
}

/// True for a URI that leads to one certain user agent (GRUU, RFC 5627): it has the parameter `gr`.
pub fn is_gruu(uri: &str) -> bool {
    is_sip(uri) && parameter(uri_parameters(uri), "gr").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFER: &[u8] = b"REFER sip:b@x;gr SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z\r\nREQUIRE : explicitsub ,\r\n\tnosub\r\nr: <sip:c@x>\n\r\nbody";

    #[test]
    fn fields_are_found_by_either_name_and_over_folded_lines() {
        let message = MessageView::new(REFER).unwrap();
        assert_eq!(message.request_uri(), Some("sip:b@x;gr"));
        assert!(message.lists(names::REQUIRE, "NoSub") && message.lists(names::REQUIRE, "explicitsub"));
        assert!(!message.lists(names::REQUIRE, "sub"));
        assert_eq!(message.only(names::REFER_TO), Some("<sip:c@x>"));
        assert_eq!((message.body(), message.fields().count()), (&b"body"[..], 3));
        let place = message.named(names::REQUIRE).next().unwrap().place;
        assert_eq!(&REFER[place.0..place.0 + place.1], b"REQUIRE : explicitsub ,\r\n\tnosub\r\n");
    }

    #[test]
    fn a_message_without_an_end_is_none() {
        for text in ["", "REFER sip:b@x SIP/2.0", "REFER sip:b@x SIP/2.0\r\nTo: x\r\n"] {
            assert!(MessageView::new(text.as_bytes()).is_none(), "{text}");
        }
        assert!(MessageView::new(b"SIP/2.0 200 OK\r\n\r\n").is_some_and(|m| m.fields().next().is_none()));
    }

    #[test]
    fn separators_in_quotes_and_brackets_do_not_divide() {
        let parts: Vec<_> = separated(r#""a,\"b" <sip:c,d@x>, <sip:e@x>,f"#, b',').collect();
        assert_eq!(parts, [r#""a,\"b" <sip:c,d@x>"#, "<sip:e@x>", "f"]);
    }

    #[test]
    fn a_name_addr_has_its_uri_and_its_parameters() {
        let parse = |text| NameAddr::parse(text).map(|one| (one.uri, one.parameters, one.bracketed));
        assert_eq!(parse(r#""<x>" <sip:a@b;gr>;tag=1"#), Some(("sip:a@b;gr", ";tag=1", true)));
        assert_eq!(parse("sip:a@b;tag=1"), Some(("sip:a@b", ";tag=1", false)));
        assert_eq!(parse("Bob <sips:a@b> ; tag = 1 "), Some(("sips:a@b", "; tag = 1", true)));
        assert_eq!(NameAddr::parse("<sip:a@b>; tag = 1").unwrap().parameter("Tag"), Some("1"));
        for text in ["", "<>", "<sip:a@b", "<sip:a b>", "<sip:a@b> x", "bob", "\"a <sip:a@b>"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_gruu_has_the_parameter_gr_of_its_uri() {
        for uri in ["sip:a@b;gr", "SIPS:a@b;x;GR=urn:uuid:1", "sip:a;x@b;gr=1?h=v"] {
            assert!(is_gruu(uri), "{uri}");
        }
        for uri in ["sip:a;gr@b", "sip:a@b;grr", "sip:a@b?h=;gr", "tel:1;gr", "sip:a@b"] {
            assert!(!is_gruu(uri), "{uri}");
        }
    }
}
