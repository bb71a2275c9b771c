// SPDX-License-Identifier: MIT OR Apache-2.0
//! application/x-www-form-urlencoded: written as browsers do, read strictly.

use std::borrow::Cow;

/// Most parameters of one form.
pub const MAX_PAIRS: usize = 32;

/// Why a text is not taken as a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// A part without name or '=', a broken percent escape, not UTF-8, or a control character.
    Malformed,
    /// More than [`MAX_PAIRS`] parameters.
    TooMany,
}

/// Names and values.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Appends one parameter.
pub fn push_pair(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push('&');
    }
    push_text(out, name);
    out.push('=');
    push_text(out, value);
}

/// Appends a name or a value, encoded. A space is `%20`, which every reader of forms knows. Some readers of client
/// credentials (RFC 6749 section 2.3.1) do not know '+'.
pub fn push_text(out: &mut String, text: &str) {
    for part in form_urlencoded::byte_serialize(text.as_bytes()) {
        out.push_str(if part == "+" { "%20" } else { part });
    }
}

/// Reads a form: names and values in their order, repeated ones too. An empty text has no parameters.
pub fn parse(body: &[u8]) -> Result<Pairs<'_>, FormError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let mut pairs = Vec::new();
    for part in body.split(|octet| *octet == b'&') {
        if pairs.len() == MAX_PAIRS {
            return Err(FormError::TooMany);
        }
        let equals = part.iter().position(|octet| *octet == b'=').ok_or(FormError::Malformed)?;
        let (name, value) = (decode(&part[..equals])?, decode(&part[equals + 1..])?);
        if name.is_empty() {
            return Err(FormError::Malformed);
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// The octets of a form without the parameter `name` and its '&'; every other octet stays as it is.
pub fn octets_without(body: &[u8], name: &str) -> Vec<u8> {
    let is_other = |part: &&[u8]| {
        let end = part.iter().position(|octet| *octet == b'=').unwrap_or(part.len());
        !decode(&part[..end]).is_ok_and(|decoded| decoded == name)
    };
    let mut out = Vec::with_capacity(body.len());
    for (index, part) in body.split(|octet| *octet == b'&').filter(is_other).enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(part);
    }
    out
}

/// True for printable ASCII that stands for itself. There are no branches, so the compiler can check many octets
/// at once.
fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |all, octet| all & matches!(octet, b' '..=b'~') & (*octet != b'%') & (*octet != b'+'))
}

fn decode(text: &[u8]) -> Result<Cow<'_, str>, FormError> {
    if is_plain(text) {
        return std::str::from_utf8(text).map(Cow::from).map_err(|_| FormError::Malformed);
    }
    let decoded = if text.iter().any(|octet| matches!(octet, b'%' | b'+')) {
        String::from_utf8(unescape(text)?).map_err(|_| FormError::Malformed)?.into()
    } else {
        Cow::from(std::str::from_utf8(text).map_err(|_| FormError::Malformed)?)
    };
    if decoded.chars().any(char::is_control) { Err(FormError::Malformed) } else { Ok(decoded) }
}

fn unescape(text: &[u8]) -> Result<Vec<u8>, FormError> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.iter();
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'+' => b' ',
            b'%' => {
                let mut digit = || octets.next().and_then(|octet| char::from(*octet).to_digit(16));
                let (high, low) = (digit(), digit());
                let value = high.zip(low).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
                value.ok_or(FormError::Malformed)?
            }
            other => *other,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &str) -> Result<Vec<(String, String)>, FormError> {
        let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
        Ok(parse(body.as_bytes())?.into_iter().map(owned).collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn reads_what_others_write() {
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("a=1&b="), Ok(vec![pair("a", "1"), pair("b", "")]));
        assert_eq!(read("a=b=c&a=x"), Ok(vec![pair("a", "b=c"), pair("a", "x")]));
        assert_eq!(read("%61=%c3%A9+%2B"), Ok(vec![pair("a", "é +")]));
        assert_eq!(read("a=é"), Ok(vec![pair("a", "é")]));
    }

    #[test]
    fn refuses_what_is_not_a_form() {
        for body in
            ["a", "=1", "a=1&", "&a=1", "a=1&&b=2", "a=%", "a=%4", "a=%4x", "a=%+1", "a=%00", "a=1\r\n", "a=%ff"]
        {
            assert_eq!(read(body), Err(FormError::Malformed), "{body}");
        }
        assert_eq!(parse(b"a=\xff"), Err(FormError::Malformed));
        let many = vec!["a=1"; MAX_PAIRS].join("&");
        assert_eq!(read(&many).unwrap().len(), MAX_PAIRS);
        assert_eq!(read(&format!("{many}&a=1")), Err(FormError::TooMany));
    }

    #[test]
    fn takes_one_parameter_out() {
        for (body, rest) in [
            ("a=1&pop=x&b=2", "a=1&b=2"),
            ("pop=x&b=2", "b=2"),
            ("a=1&pop=x", "a=1"),
            ("pop=x", ""),
            ("a=1&p%6Fp=x&b=%3d+", "a=1&b=%3d+"),
            ("a=pop&pops=1", "a=pop&pops=1"),
            ("", ""),
        ] {
            assert_eq!(octets_without(body.as_bytes(), "pop"), rest.as_bytes(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(pairs in proptest::collection::vec(("[^\\pC]{1,8}", "[^\\pC]{0,20}"), 0..8)) {
            let mut body = String::new();
            for (name, value) in &pairs {
                push_pair(&mut body, name, value);
            }
            prop_assert!(body.is_ascii());
            prop_assert_eq!(read(&body), Ok(pairs));
        }

        #[test]
        fn a_parameter_comes_out_where_it_was_put(before in "([a-o]=[a-z%+]{0,5}&){0,3}", after in "(&[a-o]=[a-z%+]{0,5}){0,3}") {
            let body = format!("{before}pop=abc{after}");
            let rest = match (before.strip_suffix('&'), after.strip_prefix('&')) {
                (Some(_), _) => format!("{}{after}", &before[..before.len() - 1]),
                (None, Some(after)) => after.to_owned(),
                (None, None) => String::new(),
            };
            prop_assert_eq!(octets_without(body.as_bytes(), "pop"), rest.as_bytes());
        }

        #[test]
        fn never_panics_and_keeps_what_it_does_not_know(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&body);
            prop_assert_eq!(octets_without(&body, "a name that is too long to come up"), body);
        }
    }
}
