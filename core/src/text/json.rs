// SPDX-License-Identifier: MIT OR Apache-2.0
//! Strict JSON for what a server says: no duplicate members, bounded depth, nothing after the value. The reader is
//! liberal where the meaning is plain, in the same way for tokens, key sets, metadata and answers: a member that
//! is null counts as absent, a list may hold null, and a byte order mark is skipped. The answer of an endpoint may
//! have numbers as digits in a string. A signed token may not, because RFC 7519 gives each claim its type.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use smallvec::{SmallVec, smallvec};

/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 16;
/// Most members of all objects and arrays of one document, unless it is large.
const MAX_NODES: usize = 4096;
/// A large document may have one member per so many octets. Short names of groups need no more.
const OCTETS_PER_NODE: usize = 4;
/// Up to this many members, comparing the names is faster than hashing them.
const FEW_MEMBERS: usize = 64;

/// Some servers write this mark before JSON (RFC 8259 section 8.1 lets readers skip it).
const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

/// The texts of a member.
pub type Texts<'a> = SmallVec<[Cow<'a, str>; 2]>;

/// Tokens rarely have more members than this.
const USUAL_MEMBERS: usize = 24;

/// A JSON value that borrows from the text where no escape stands in the way.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// null: the whole document, or an element of an array.
    Null,
    /// true or false
    Bool(bool),
    /// A number that fits an i64.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Str(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object; names are unique, and none is null.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Parses one document.
    pub fn parse(text: &'a [u8]) -> Result<Json<'a>, serde_json::Error> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        // UTF-8 is checked once for the whole text, and not string by string.
        let text = std::str::from_utf8(text).map_err(serde_json::Error::custom)?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        // A large answer may have more nodes, because it costs no more per octet.
        let mut nodes = MAX_NODES.max(text.len() / OCTETS_PER_NODE);
        let value = Seed { depth: 0, nodes: &mut nodes }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
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

    /// The text of a string, or an integer in decimal.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Json::Str(s) => Some(Cow::Borrowed(s)),
            Json::Int(i) => Some(Cow::Owned(i.to_string())),
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
            Json::Int(_) | Json::Float(_) => "a number",
            Json::Str(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    /// Seconds since the epoch (RFC 7519 NumericDate), rounded down. None for any other type.
    pub fn as_numeric_date(&self) -> Option<i64> {
        match self {
            Json::Int(i) => Some(*i),
            Json::Float(f) if f.is_finite() && f.abs() < 1e15 => Some(f.floor() as i64),
            _ => None,
        }
    }

    /// Like [`Json::as_numeric_date`], for an answer of a server, where the number may also be digits in a string.
    pub fn as_seconds(&self) -> Option<i64> {
        match self {
            Json::Str(s) if s.bytes().all(|octet| octet.is_ascii_digit()) => s.parse().ok(),
            other => other.as_numeric_date(),
        }
    }
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(b) => write!(f, "{b}"),
            Json::Int(i) => write!(f, "{i}"),
            // 100.0 must not become 100, which is an integer.
            Json::Float(x) => write!(f, "{x:?}"),
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

struct Seed<'n> {
    depth: usize,
    nodes: &'n mut usize,
}

impl Seed<'_> {
    fn child(&mut self) -> Seed<'_> {
        Seed { depth: self.depth + 1, nodes: self.nodes }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        let left = self.nodes.checked_sub(1).filter(|_| self.depth <= MAX_DEPTH);
        *self.nodes = left.ok_or_else(|| D::Error::custom("nested too deeply or too many members"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Json<'de>, E> {
        Ok(Json::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(v).map_or(Json::Float(v as f64), Json::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Json<'de>, E> {
        Ok(Json::Float(v))
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Str(Cow::Borrowed(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Json<'de>, E> {
        Ok(Json::Str(Cow::Owned(v.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.child())? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Json<'de>)> = Vec::with_capacity(USUAL_MEMBERS);
        let (mut names, mut has_null) = (SeenNames::default(), false);
        while let Some(name) = map.next_key_seed(Name)? {
            if !names.add(name.clone(), &members) {
                return Err(A::Error::custom("duplicate member"));
            }
            // The name counts as a node as well.
            *self.nodes = self.nodes.saturating_sub(1);
            let value = map.next_value_seed(self.child())?;
            has_null |= value == Json::Null;
            members.push((name, value));
        }
        // Nulls are removed only now, because a name that stands twice is refused whatever its values are.
        if has_null {
            members.retain(|(_, value)| *value != Json::Null);
        }
        Ok(Json::Object(members))
    }
}

/// The names that an object has so far.
#[derive(Default)]
struct SeenNames<'a> {
    /// The bits of all names.
    marks: u64,
    /// The names of an object with many members. Without them the search would be quadratic.
    many: HashSet<Cow<'a, str>>,
}

impl<'a> SeenNames<'a> {
    /// Adds a name. False: it is one of `members`, which are those so far.
    fn add(&mut self, name: Cow<'a, str>, members: &[(Cow<'a, str>, Json<'a>)]) -> bool {
        if members.len() < FEW_MEMBERS {
            let mark = mark_of(&name);
            let is_twice = self.marks & mark != 0 && members.iter().any(|(other, _)| *other == name);
            self.marks |= mark;
            return !is_twice;
        }
        if self.many.is_empty() {
            self.many.extend(members.iter().map(|(other, _)| other.clone()));
        }
        self.many.insert(name)
    }
}

/// A bit for a name. Names may share a bit, but a name whose bit was not seen was not seen either.
fn mark_of(name: &str) -> u64 {
    let octet = |at: usize| name.as_bytes().get(at).map_or(0, |octet| usize::from(*octet));
    let mixed = name.len() + octet(0) * 3 + octet(name.len() / 2) * 5 + octet(name.len().wrapping_sub(1)) * 7;
    1 << (mixed % 64)
}

/// The name of a member.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(v.to_owned()))
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
    fn refuses_depth_and_trailing_text() {
        let deep = "[".repeat(20) + &"]".repeat(20);
        for text in [deep.as_str(), "{} x", "{}{}", "", "{\"a\":}", "nul"] {
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
        assert_eq!(json.path("g").unwrap().as_numeric_date(), None);
        assert_eq!(json.path("a.x"), None);
        assert_eq!(json.path("a").unwrap().to_string(), r#"{"b":["x","y"]}"#);
    }

    #[test]
    fn null_is_absence_and_still_stands_once_only() {
        let json = Json::parse(br#"{"a":null,"b":{"c":null,"d":[null]},"e":1}"#).unwrap();
        assert_eq!((json.get("a"), json.path("b.c")), (None, None));
        assert_eq!(json.to_string(), r#"{"b":{"d":[null]},"e":1}"#);
        for text in ["100.0", "-0.0", "1e300", "0.1", "12345678901234567890.0", "5e-324"] {
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
            ("\"1.5\"", None),
            ("\" 1\"", None),
            ("\"0x10\"", None),
            ("\"99999999999999999999\"", None),
            ("1e300", None),
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
        for count in [FEW_MEMBERS - 1, FEW_MEMBERS, FEW_MEMBERS + 1, 300] {
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
        for text in [object(300), object(50_000), list("\"g1\"", 200_000), list("1", MAX_NODES - 1)] {
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
