// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads SIP header values: lists, parameters, addresses and challenges. It works on raw octets, because tags go into
//! the shared key exactly as they were sent.

/// Cuts at a separator that is neither in a quoted string nor between angle brackets.
fn split(value: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut parts, mut start, mut i) = (Vec::new(), 0, 0);
    let (mut quoted, mut angle) = (false, false);
    while i < value.len() {
        match value[i] {
            b'\\' if quoted => i += 1,
            b'"' if !angle => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b if b == separator && !quoted && !angle => {
                parts.push(value[start..i].trim_ascii());
                start = i + 1;
            }
            _ => {}
        }
        i += 1;
    }
    parts.push(value[start..].trim_ascii());
    parts
}

/// The values of a header field that may hold several, separated by commas.
pub fn list(value: &[u8]) -> Vec<&[u8]> {
    split(value, b',')
}

/// A header parameter as sent; a parameter without a value is empty.
pub fn param<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    split(value, b';').into_iter().skip(1).find_map(|part| {
        let cut = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
        let (known, rest) = part.split_at(cut);
        known.trim_ascii().eq_ignore_ascii_case(name.as_bytes()).then(|| rest.get(1..).unwrap_or_default().trim_ascii())
    })
}

/// The tag of a From or To.
pub fn tag(value: &[u8]) -> Option<&[u8]> {
    param(value, "tag").filter(|tag| !tag.is_empty())
}

/// The URI of a From, To or Contact, without brackets and header parameters.
pub fn addr_spec(value: &[u8]) -> &[u8] {
    let first = split(value, b';')[0];
    // A '<' in a quoted display name does not open the URI, so the last one counts.
    match first.iter().rposition(|b| *b == b'<') {
        Some(open) => {
            let inner = &first[open + 1..];
            let end = inner.iter().position(|b| *b == b'>').unwrap_or(inner.len());
            inner[..end].trim_ascii()
        }
        None => first,
    }
}

/// One challenge of a WWW-Authenticate or Proxy-Authenticate.
#[derive(Debug, PartialEq, Eq)]
pub struct HeaderChallenge {
    /// The scheme as sent.
    pub scheme: String,
    /// The parameters in order.
    pub params: Vec<(String, String)>,
}

impl HeaderChallenge {
    /// Is the challenge of this scheme?
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The value of a parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// This challenge as header text, with every value in quotes.
    pub fn to_text(&self) -> String {
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
        let params = self.params.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value)));
        format!("{} {}", self.scheme, params.collect::<Vec<_>>().join(", "))
    }
}

/// The challenges of one header value; HTTP allows several, separated by commas. Unreadable parts are skipped.
pub fn challenges(value: &[u8]) -> Vec<HeaderChallenge> {
    let mut found: Vec<HeaderChallenge> = Vec::new();
    for item in list(value) {
        let text = String::from_utf8_lossy(item);
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        // "Bearer realm" opens a challenge, "realm" continues one.
        let mut words = name.split_ascii_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next());
        let name = match second {
            Some(name) => {
                found.push(HeaderChallenge { scheme: first.to_owned(), params: Vec::new() });
                name
            }
            None if !text.contains('=') && !first.is_empty() => {
                found.push(HeaderChallenge { scheme: first.to_owned(), params: Vec::new() });
                continue;
            }
            None => first,
        };
        if let Some(challenge) = found.last_mut()
            && !name.is_empty()
        {
            challenge.params.push((name.to_owned(), unquote(value.trim())));
        }
    }
    found
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_tag_and_nothing_that_looks_like_one() {
        for (value, expected) in [
            ("<sip:a@x>;tag=abc", Some("abc")),
            ("\"A;tag=no \\\" <sip:b@y>;tag=no\" <sip:a@x;tag=no> ; TAG = a.b-c!", Some("a.b-c!")),
            ("sip:a@x;tag=abc;x=y", Some("abc")),
            ("<sip:a@x;tag=no>", None),
            ("<sip:a@x>;tag=", None),
            ("<sip:a@x>;x=\"a;tag=no\";tag=yes", Some("yes")),
            ("", None),
        ] {
            assert_eq!(tag(value.as_bytes()), expected.map(str::as_bytes), "{value}");
        }
        assert_eq!(tag(b"<sip:a@x>;tag=\xff\xfe"), Some(&b"\xff\xfe"[..]));
    }

    #[test]
    fn finds_the_uri() {
        for (value, uri) in [
            ("<sip:a@x;p=q>;tag=t", "sip:a@x;p=q"),
            ("\"a < b\" <sip:a@x>", "sip:a@x"),
            ("sip:a@x;expires=3", "sip:a@x"),
            ("*", "*"),
        ] {
            assert_eq!(addr_spec(value.as_bytes()), uri.as_bytes(), "{value}");
        }
    }

    #[test]
    fn lists_keep_commas_in_quotes_and_brackets() {
        let parts = list(b"\"a,b\" <sip:a,b@x>;expires=1, <sip:c@x>");
        assert_eq!(parts, [&b"\"a,b\" <sip:a,b@x>;expires=1"[..], b"<sip:c@x>"]);
        assert_eq!(param(parts[0], "Expires"), Some(&b"1"[..]));
    }

    #[test]
    fn reads_challenges() {
        let found = challenges(
            b"Digest realm=\"x\", nonce=\"a=,b\", bearer  realm = \"say \\\"hi\\\"\", authz_server=\"https://as/x?y=z\", Negotiate",
        );
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].param("nonce"), Some("a=,b"));
        assert!(found[1].is("Bearer") && !found[0].is("Bearer"));
        assert_eq!(challenges(found[1].to_text().as_bytes()), found[1..2]);
        assert_eq!(found[1].param("Realm"), Some("say \"hi\""));
        assert_eq!(found[1].param("authz_server"), Some("https://as/x?y=z"));
        assert_eq!(found[2], HeaderChallenge { scheme: "Negotiate".into(), params: Vec::new() });
        assert_eq!(challenges(b"=, ,"), []);
    }

    proptest! {
        #[test]
        fn never_panics(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (tag(&value), addr_spec(&value), list(&value), challenges(&value));
        }
    }
}
