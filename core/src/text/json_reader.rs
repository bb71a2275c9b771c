// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the text of a JSON document (RFC 8259). serde_json checks the grammar of the whole text. Its raw values are then
//! opened level by level, because a number of any size, half of a surrogate pair, or deep nesting somewhere in a document
//! must not cost all of it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Json, MAX_DEPTH};

/// Most members of all objects and arrays of one document, unless it is large.
const MAX_NODES: usize = 4096;
/// A large document may have one member per so many octets. Short names of groups need no more.
const OCTETS_PER_NODE: usize = 4;
/// Up to this many members, comparing the names is faster than hashing them.
const FEW_MEMBERS: usize = 64;
/// Tokens rarely have more members than this.
const USUAL_MEMBERS: usize = 24;

/// Why a text is not the JSON that is accepted here. It repeats nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    problem: Cow<'static, str>,
    line: usize,
    column: usize,
}

impl JsonError {
    /// The line in which the problem is, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The octet of that line, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    fn new(problem: &'static str, text: &[u8], at: usize) -> JsonError {
        let before = &text[..at.min(text.len())];
        let begin = before.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        let line = 1 + before.iter().filter(|octet| **octet == b'\n').count();
        JsonError { problem: problem.into(), line, column: before.len() - begin + 1 }
    }
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> JsonError {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let problem = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
        JsonError { problem: problem.to_owned().into(), line, column }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {}, column {})", self.problem, self.line, self.column)
    }
}

impl std::error::Error for JsonError {}

/// Reads one document.
pub(super) fn read(octets: &[u8]) -> Result<Json<'_>, JsonError> {
    // UTF-8 is checked once for the whole text, and not string by string.
    let text = std::str::from_utf8(octets).map_err(|e| JsonError::new("it is not UTF-8", octets, e.valid_up_to()))?;
    // A large document may have more nodes, because it costs no more per octet.
    let mut reader = Reader { text, nodes: MAX_NODES.max(text.len() / OCTETS_PER_NODE) };
    // Opening an object checks its grammar, too.
    if text.trim_start().starts_with('{') {
        reader.nodes -= 1;
        return reader.object(text, 0);
    }
    reader.value(serde_json::from_str(text)?, 0)
}

/// The text of a string.
enum Text<'a> {
    Whole(Cow<'a, str>),
    /// A half of a surrogate pair stands alone in it. This is what is between the quotes.
    Broken(&'a str),
}

struct Reader<'a> {
    text: &'a str,
    /// How many values and names may still come.
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, problem: &'static str, place: &RawValue) -> Result<T, JsonError> {
        let at = (place.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        Err(JsonError::new(problem, self.text.as_bytes(), at))
    }

    fn value(&mut self, raw: &'a RawValue, depth: usize) -> Result<Json<'a>, JsonError> {
        let Some(left) = self.nodes.checked_sub(1) else { return self.fail("there are too many members", raw) };
        self.nodes = left;
        // No rule looks so deep.
        if depth > MAX_DEPTH {
            return Ok(Json::Null);
        }
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'{') => return self.object(text, depth),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                let items: Result<_, _> = items.into_iter().map(|item| self.value(item, depth + 1)).collect();
                Json::Array(items?)
            }
            Some(b'"') => match string(text) {
                Text::Whole(text) => Json::Str(text),
                Text::Broken(raw) => Json::BrokenStr(Cow::Borrowed(raw)),
            },
            Some(b't') => Json::Bool(true),
            Some(b'f') => Json::Bool(false),
            Some(b'n') => Json::Null,
            _ => text.parse().map_or(Json::Number(Cow::Borrowed(text)), Json::Int),
        })
    }

    fn object(&mut self, text: &'a str, depth: usize) -> Result<Json<'a>, JsonError> {
        let Members(raw) = serde_json::from_str(text)?;
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::with_capacity(raw.len());
        let (mut names, mut has_null) = (SeenNames::default(), false);
        for (name, value) in raw {
            // The name counts as a node as well.
            self.nodes = self.nodes.saturating_sub(1);
            let Text::Whole(key) = string(name.get()) else {
                // No rule can name this member.
                self.value(value, depth + 1)?;
                continue;
            };
            if !names.add(key.clone(), &members) {
                return self.fail("a name stands twice in an object", name);
            }
            let value = self.value(value, depth + 1)?;
            has_null |= value == Json::Null;
            members.push((key, value));
        }
        // Nulls are removed only now, because a name that stands twice is refused whatever its values are.
        if has_null {
            members.retain(|(_, value)| *value != Json::Null);
        }
        Ok(Json::Object(members))
    }
}

/// A string whose grammar was checked.
fn string(raw: &str) -> Text<'_> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Text::Whole(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).map_or(Text::Broken(inner), |text: String| Text::Whole(Cow::Owned(text)))
}

/// The members of an object, in order, also those whose name stands twice.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::with_capacity(USUAL_MEMBERS);
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> String {
        Json::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_error_says_what_is_wrong_and_where() {
        for (text, problem) in [
            ("", "EOF while parsing a value (line 1, column 0)"),
            ("{\"a\":", "EOF while parsing a value (line 1, column 5)"),
            ("{\n \"a\":nul}", "expected ident (line 2, column 9)"),
            ("{} x", "trailing characters (line 1, column 4)"),
            ("{\"a\":1,\"a\":2}", "a name stands twice in an object (line 1, column 8)"),
            ("\"a\tb\"", "control character (\\u0000-\\u001F) found while parsing a string (line 1, column 2)"),
            ("\"\\x\"", "invalid escape (line 1, column 3)"),
        ] {
            assert_eq!(refused(text), problem, "{text}");
        }
        assert_eq!(Json::parse(b"{\"a\":\"\xff\"}").unwrap_err().to_string(), "it is not UTF-8 (line 1, column 7)");
    }

    #[test]
    fn the_grammar_is_kept() {
        for text in [
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "1e+",
            "0x1",
            "NaN",
            "Infinity",
            "--1",
            "1 2",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{,}",
            "{\"a\"}",
            "{\"a\" 1}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[",
            "{",
            "]",
            "}",
            "[}",
            "{]",
            "tru",
            "TRUE",
            "'a'",
            "\"",
            "\"\\",
            "\"\\u",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud83d\\u12\"",
            "\u{a0}1",
            "// x\n1",
        ] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
            let deep = format!("{}{text}{}", "[".repeat(30), "]".repeat(30));
            assert!(Json::parse(deep.as_bytes()).is_err(), "{deep}");
        }
    }

    #[test]
    fn what_lies_too_deep_is_left_out() {
        let nested = |depth: usize| format!("{}7{}", "{\"a\":[".repeat(depth), "]}".repeat(depth));
        for depth in [1, 7, 8] {
            let text = nested(depth);
            assert_eq!(Json::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        for depth in [9, 100, 20_000] {
            let text = format!("{{\"deep\":{},\"sub\":\"alice\"}}", nested(depth));
            let json = Json::parse(text.as_bytes()).unwrap();
            assert_eq!(json.get("sub").and_then(Json::as_str), Some("alice"));
            assert!(json.to_string().len() < 100);
        }
        let open = "[".repeat(1_000_000);
        assert!(Json::parse(open.as_bytes()).is_err());
    }

    #[test]
    fn half_a_character_spoils_only_its_own_text() {
        for half in ["\\ud83d", "x\\udc00y", "\\ud83d\\ud83d\\ude00", "\\ud83dA", "\\ud83d\\n"] {
            let text =
                format!("{{\"name\":\"{half}\",\"{half}\":1,\"{half}\":2,\"sub\":\"alice\",\"x\":[\"{half}\",\"y\"]}}");
            let json = Json::parse(text.as_bytes()).unwrap();
            let name = json.get("name").unwrap();
            assert_eq!((name.as_str(), name.as_text(), name.as_strings()), (None, None, None), "it is nobody's name");
            assert_eq!(json.get("sub").and_then(Json::as_str), Some("alice"));
            assert_eq!(json.get("x").unwrap().texts_within()[..], ["y"]);
            assert_eq!(json.get("x").unwrap().as_strings(), None);
            let again = json.to_string();
            assert_eq!(Json::parse(again.as_bytes()).unwrap(), json, "it stays what it is: {again}");
        }
        let whole = Json::parse(br#""\ud83d\ude00\/\b\f\n\r\t\"\\\u0041\ufffd""#).unwrap();
        assert_eq!(whole.as_str(), Some("\u{1f600}/\u{8}\u{c}\n\r\t\"\\A\u{fffd}"));
    }

    /// Our value as that of another parser.
    fn converted(json: &Json<'_>) -> serde_json::Value {
        as_ours(serde_json::from_str(&json.to_string()).unwrap())
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            "\\PC{0,12}".prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The other parser's value as we read it: null is absence, and `-0` is the integer 0 and not a float.
    fn as_ours(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::Object(members) => {
                let members = members.into_iter().filter(|(_, value)| !value.is_null());
                Value::Object(members.map(|(name, value)| (name, as_ours(value))).collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(as_ours).collect()),
            Value::Number(number) if number.as_f64() == Some(0.0) => 0.into(),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn two_parsers_read_the_same(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let json = Json::parse(text.as_bytes()).unwrap();
            // The other parser may read a float as its neighbour.
            prop_assert_eq!(converted(&json), as_ours(serde_json::from_str(&text).unwrap()));
        }

        #[test]
        fn two_parsers_refuse_the_same(text in "[\\[\\]{}:,\"\\\\ 01.eE+\\-aubnrtlsf]{0,14}") {
            let ours = Json::parse(text.as_bytes());
            match serde_json::from_str::<serde_json::Value>(&text) {
                // Only the other parser lets a name stand twice.
                Ok(value) => if let Ok(ours) = ours { prop_assert_eq!(converted(&ours), as_ours(value)) },
                Err(error) => {
                    let text = error.to_string();
                    prop_assert!(ours.is_err() || text.contains("out of range"), "{}", text);
                }
            }
        }
    }
}
