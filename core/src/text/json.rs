// SPDX-License-Identifier: MIT OR Apache-2.0
//! Strict JSON for what a server says: no duplicate members, bounded depth, nothing after the value. The reader is
//! liberal where the meaning is plain, in the same way for tokens, key sets, metadata and answers: a member that
//! is null counts as absent, a list may hold null, a byte order mark is skipped, and a value that no rule can use
//! spoils nothing but itself. The answer of an endpoint may have numbers as digits in a string. A signed token may
//! not, because RFC 7519 gives each claim its type.

use std::borrow::Cow;
use std::fmt;

use smallvec::{SmallVec, smallvec};

pub use super::json_reader::JsonError;
use super::json_reader::read;

/// Deepest nesting of arrays and objects. What lies deeper counts as null.
pub const MAX_DEPTH: usize = 16;
/// Up to this number each integer has a floating-point number of its own.
const MAX_EXACT: i64 = (1 << 53) - 1;

/// Some servers write this mark before JSON (RFC 8259 section 8.1 lets readers skip it).
const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

/// The texts of a member.
pub type Texts<'a> = SmallVec<[Cow<'a, str>; 2]>;

/// A JSON value that borrows from the text where no escape stands in the way.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// null: the whole document, or an element of an array.
    Null,
    /// true or false
    Bool(bool),
    /// A number that fits an i64.
    Int(i64),
    /// Any other number, as it is written.
    Number(Cow<'a, str>),
    /// A string.
    Str(Cow<'a, str>),
    /// A string with half of a surrogate pair, as it is written between the quotes. It is no text for any rule, so
    /// it never equals another text.
    BrokenStr(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object; names are unique, and none is null.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Parses one document.
    pub fn parse(text: &'a [u8]) -> Result<Json<'a>, JsonError> {
        read(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text))
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Follows a dotted path; a member whose whole name is the path wins ("https://x.example/roles").
    pub fn path(&self, path: &str) -> Option<&Json<'a>> {
        if let Some(value) = self.get(path) {
            return Some(value);
        }
        let (first, rest) = path.split_once('.')?;
        self.get(first)?.path(rest)
    }

    /// Like [`Json::path`], for a change.
    pub fn path_mut(&mut self, path: &str) -> Option<&mut Json<'a>> {
        let Json::Object(members) = self else { return None };
        if let Some(index) = members.iter().position(|(name, _)| name == path) {
            return Some(&mut members[index].1);
        }
        let (first, rest) = path.split_once('.')?;
        members.iter_mut().find(|(name, _)| name == first)?.1.path_mut(rest)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The text of a string, or an integer of any size in decimal. `1001.0` is the integer 1001. A larger one with a
    /// fraction, or one with an exponent, is none, because two integers may have been rounded to it.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Json::Str(s) => Some(Cow::Borrowed(s)),
            Json::Int(i) => Some(Cow::Owned(i.to_string())),
            Json::Number(literal) => integer_in(literal).map(Cow::Borrowed),
            _ => None,
        }
    }

    /// A string, or each string of an array. A null in the array is skipped. None for any other type, even within
    /// the array.
    pub fn as_strings(&self) -> Option<SmallVec<[&str; 2]>> {
        match self {
            Json::Str(s) => Some(smallvec![&**s]),
            Json::Array(items) => items.iter().filter(|item| **item != Json::Null).map(Json::as_str).collect(),
            _ => None,
        }
    }

    /// A text, or each text of an array; what is neither string nor integer is skipped.
    pub fn texts_within(&self) -> Texts<'_> {
        match self {
            Json::Array(items) => items.iter().filter_map(Json::as_text).collect(),
            other => other.as_text().into_iter().collect(),
        }
    }

    /// The type of the value, for people: "a string", "null" and so on.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(literal) if integer_in(literal).is_none() => "a number with a fraction or an exponent",
            Json::Int(_) | Json::Number(_) => "a number",
            Json::Str(_) => "a string",
            Json::BrokenStr(_) => "a string with half a character (a lone surrogate)",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    /// Seconds since the epoch (RFC 7519 NumericDate), rounded down. What no i64 can hold is the greatest or the least
    /// one. None for any other type.
    pub fn as_numeric_date(&self) -> Option<i64> {
        match self {
            Json::Int(i) => Some(*i),
            Json::Number(literal) => literal.parse().ok().map(|seconds: f64| seconds.floor() as i64),
            _ => None,
        }
    }

    /// Like [`Json::as_numeric_date`], for an answer of a server, where the number may also be digits in a string.
    pub fn as_seconds(&self) -> Option<i64> {
        match self {
            Json::Str(text) => seconds_in(text),
            other => other.as_numeric_date(),
        }
    }
}

/// The digits of a number that is certainly an integer.
fn integer_in(literal: &str) -> Option<&str> {
    match literal.split_once('.') {
        Some((integer, fraction)) => {
            let is_exact = integer.parse().is_ok_and(|number: i64| number != 0 && number.abs() <= MAX_EXACT);
            (is_exact && fraction.bytes().all(|octet| octet == b'0')).then_some(integer)
        }
        None => (!literal.contains(['e', 'E'])).then_some(literal),
    }
}

/// Digits, and perhaps a fraction, which is left out.
fn seconds_in(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    (is_number(seconds) && is_number(fraction)).then(|| seconds.parse().unwrap_or(i64::MAX))
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(b) => write!(f, "{b}"),
            Json::Int(i) => write!(f, "{i}"),
            Json::Number(literal) => f.write_str(literal),
            Json::BrokenStr(raw) => write!(f, "\"{raw}\""),
            Json::Str(s) => f.write_str(&serde_json::to_string(s).map_err(|_| fmt::Error)?),
            Json::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Json::Object(members) => {
                f.write_str("{")?;
                for (i, (name, value)) in members.iter().enumerate() {
                    let name = serde_json::to_string(name).map_err(|_| fmt::Error)?;
                    write!(f, "{}{name}:{value}", if i > 0 { "," } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_duplicate_members_even_when_escaped() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":{"a":1,"a":1}}"#] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_trailing_text() {
        for text in ["{} x", "{}{}", "", "{\"a\":}", "nul"] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Json::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn paths_and_types() {
        let json = Json::parse(br#"{"a":{"b":["x","y"]},"c.d":1,"e":1.5,"f":"z","g":18446744073709551615}"#).unwrap();
        assert_eq!(json.path("a.b").unwrap().as_strings().unwrap()[..], ["x", "y"]);
        assert_eq!(json.path("c.d").unwrap().as_numeric_date(), Some(1));
        assert_eq!(json.path("e").unwrap().as_numeric_date(), Some(1));
        assert_eq!(json.path("f").unwrap().as_numeric_date(), None);
        assert_eq!(json.path("g").unwrap().as_numeric_date(), Some(i64::MAX));
        assert_eq!(json.path("a.x"), None);
        assert_eq!(json.path("a").unwrap().to_string(), r#"{"b":["x","y"]}"#);
    }

    #[test]
    fn null_is_absence_and_still_stands_once_only() {
        let json = Json::parse(br#"{"a":null,"b":{"c":null,"d":[null]},"e":1}"#).unwrap();
        assert_eq!((json.get("a"), json.path("b.c")), (None, None));
        assert_eq!(json.to_string(), r#"{"b":{"d":[null]},"e":1}"#);
        for text in ["100.0", "-0.0", "1e300", "0.1", "12345678901234567890.0", "5e-324", "1e400"] {
            let json = Json::parse(text.as_bytes()).unwrap();
            let again = json.to_string();
            assert_eq!(Json::parse(again.as_bytes()).unwrap(), json, "{text} {again}");
        }
        for text in [r#"{"a":null,"a":1}"#, r#"{"a":1,"a":null}"#, r#"{"a":null,"a":null}"#] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_texts_and_lists_in_the_shapes_that_servers_send() {
        let value = |text: &'static str| Json::parse(text.as_bytes()).unwrap();
        for (text, seconds) in [
            ("3600", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("3600.9", Some(3600)),
            ("1e3", Some(1000)),
            ("-1", Some(-1)),
            ("\"\"", None),
            ("\"-1\"", None),
            ("\"1.5\"", Some(1)),
            ("\"1.\"", None),
            ("\".5\"", None),
            ("\"1.5.5\"", None),
            ("\"1e3\"", None),
            ("\" 1\"", None),
            ("\"0x10\"", None),
            ("\"99999999999999999999\"", Some(i64::MAX)),
            ("99999999999999999999", Some(i64::MAX)),
            ("1e16", Some(10_000_000_000_000_000)),
            ("1e300", Some(i64::MAX)),
            ("-1e400", Some(i64::MIN)),
            ("true", None),
            ("[1]", None),
        ] {
            assert_eq!(value(text).as_seconds(), seconds, "{text}");
        }
        assert_eq!(value("\"3600\"").as_numeric_date(), None);
        for (text, strict, lenient) in [
            ("\"a\"", Some(&["a"][..]), &["a"][..]),
            ("[\"a\",null]", Some(&["a"]), &["a"]),
            ("[]", Some(&[]), &[]),
            ("7", None, &["7"]),
            ("[\"a\",{},7,1.5,true,[\"b\"]]", None, &["a", "7"]),
            ("1.5", None, &[]),
            ("1001.0", None, &["1001"]),
            ("-7.00", None, &["-7"]),
            ("9007199254740991.0", None, &["9007199254740991"]),
            ("9007199254740992.0", None, &[]),
            ("9223372036854775807", None, &["9223372036854775807"]),
            ("9223372036854775808", None, &["9223372036854775808"]),
            ("-123456789012345678901", None, &["-123456789012345678901"]),
            ("1000.99999999999999999999", None, &[]),
            ("1e3", None, &[]),
            ("1.001e3", None, &[]),
            ("1e400", None, &[]),
            ("-0.0", None, &[]),
            ("{}", None, &[]),
            ("null", None, &[]),
        ] {
            let value = value(text);
            assert_eq!(value.as_strings().as_deref(), strict, "{text}");
            assert_eq!(value.texts_within()[..], *lenient, "{text}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_once() {
        assert_eq!(Json::parse("\u{FEFF}7".as_bytes()).unwrap(), Json::Int(7));
        assert!(Json::parse("\u{FEFF}\u{FEFF}7".as_bytes()).is_err());
        assert!(Json::parse("7\u{FEFF}".as_bytes()).is_err());
    }

    #[test]
    fn finds_a_second_one_among_many() {
        let names: Vec<String> = (0..300).map(|i| format!("{}{i}", ["", "n", "claim-"][i % 3])).collect();
        let text = |names: &[&String]| {
            let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let all: Vec<&String> = names.iter().collect();
        for count in [63, 64, 65, 300] {
            let few = &all[..count];
            assert!(Json::parse(text(few).as_bytes()).is_ok(), "{count}");
            for again in few {
                let twice: Vec<&String> = few.iter().chain([again]).copied().collect();
                assert!(Json::parse(text(&twice).as_bytes()).is_err(), "{count} {again}");
            }
        }
        let escaped = format!("{},\"\\u0063laim-2\":1}}", text(&all).trim_end_matches('}'));
        assert!(Json::parse(escaped.as_bytes()).is_err());
    }

    #[test]
    fn members_and_elements_are_bounded_by_the_length_only() {
        let object = |count: usize| {
            let members: Vec<String> = (0..count).map(|i| format!("\"role-{i:06}\":true")).collect();
            format!("{{{}}}", members.join(","))
        };
        let list = |element: &str, count: usize| format!("[{}]", vec![element; count].join(","));
        for text in [object(300), object(50_000), list("\"g1\"", 200_000), list("1", 4095)] {
            assert!(Json::parse(text.as_bytes()).is_ok(), "{} octets", text.len());
        }
        assert!(Json::parse(list("1", 500_000).as_bytes()).is_err(), "short elements would need much memory");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Json::parse(&bytes);
        }
    }
}
