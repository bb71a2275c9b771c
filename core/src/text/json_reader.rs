// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the text of a JSON document (RFC 8259). Each value must be written as the grammar says. The reader never
//! guesses, and what it keeps is bounded.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use memchr::memchr2;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    problem: &'static str,
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
        JsonError { problem, line, column: before.len() - begin + 1 }
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
    let nodes = MAX_NODES.max(text.len() / OCTETS_PER_NODE);
    let mut reader = Reader { text, at: 0, nodes };
    let document = reader.value(0).and_then(|value| match reader.peek() {
        None => Ok(value),
        Some(_) => Err("the text goes on behind the value"),
    });
    document.map_err(|problem| JsonError::new(problem, octets, reader.at))
}

type Problem = &'static str;

const END: Problem = "the text ends too early";
const UNEXPECTED: Problem = "the text is not JSON";

/// The text of a string.
enum Text<'a> {
    Whole(Cow<'a, str>),
    /// A half of a surrogate pair stands alone in it. This is what is between the quotes.
    Broken(&'a str),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How many values and names may still come.
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn octet(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next octet that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.octet(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.octet()
    }

    /// Takes the next octet that is no white space, if it is this one.
    fn takes(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn unexpected<T>(&self) -> Result<T, Problem> {
        Err(if self.octet().is_none() { END } else { UNEXPECTED })
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, Problem> {
        self.nodes = self.nodes.checked_sub(1).ok_or("there are too many members")?;
        // No rule looks so deep.
        if depth > MAX_DEPTH {
            return self.skip().map(|()| Json::Null);
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(match self.string()? {
                Text::Whole(text) => Json::Str(text),
                Text::Broken(raw) => Json::BrokenStr(Cow::Borrowed(raw)),
            }),
            _ => self.plain(),
        }
    }

    /// A number, or one of the three words.
    fn plain(&mut self) -> Result<Json<'a>, Problem> {
        if matches!(self.octet(), Some(b'-' | b'0'..=b'9')) {
            return self.number();
        }
        let rest = &self.text[self.at..];
        let words = [("true", Json::Bool(true)), ("false", Json::Bool(false)), ("null", Json::Null)];
        let Some((word, value)) = words.into_iter().find(|(word, _)| rest.starts_with(word)) else {
            return self.unexpected();
        };
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Json<'a>, Problem> {
        let begin = self.at;
        self.at += usize::from(self.octet() == Some(b'-'));
        if self.octet() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.octet() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            is_integer = false;
        }
        if matches!(self.octet(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.octet(), Some(b'+' | b'-')));
            self.digits()?;
            is_integer = false;
        }
        let literal = &self.text[begin..self.at];
        let small = if is_integer { literal.parse().ok() } else { None };
        Ok(small.map_or(Json::Number(Cow::Borrowed(literal)), Json::Int))
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Problem> {
        let begin = self.at;
        while self.octet().is_some_and(|octet| octet.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > begin { Ok(()) } else { self.unexpected() }
    }

    /// A string, at whose quote the reader is.
    fn string(&mut self) -> Result<Text<'a>, Problem> {
        self.at += 1;
        let begin = self.at;
        let (mut unescaped, mut is_broken) = (String::new(), false);
        loop {
            let from = self.at;
            let Some(length) = memchr2(b'"', b'\\', &self.text.as_bytes()[from..]) else {
                self.at = self.text.len();
                return Err(END);
            };
            let plain = &self.text[from..from + length];
            if let Some(place) = plain.bytes().position(|octet| octet < 0x20) {
                self.at = from + place;
                return Err("a string has a control character");
            }
            self.at = from + length + 1;
            if self.text.as_bytes()[from + length] == b'"' {
                let whole = if from == begin { Cow::Borrowed(plain) } else { Cow::Owned(unescaped + plain) };
                let raw = &self.text[begin..self.at - 1];
                return Ok(if is_broken { Text::Broken(raw) } else { Text::Whole(whole) });
            }
            unescaped.push_str(plain);
            match self.escaped()? {
                Some(character) => unescaped.push(character),
                None => is_broken = true,
            }
        }
    }

    /// The character that an escape stands for. None: half of a surrogate pair.
    fn escaped(&mut self) -> Result<Option<char>, Problem> {
        let Some(octet) = self.octet() else { return Err(END) };
        let character = match octet {
            b'"' | b'\\' | b'/' => octet as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err("a string has an escape that JSON does not know"),
        };
        self.at += 1;
        Ok(Some(character))
    }

    fn unicode(&mut self) -> Result<Option<char>, Problem> {
        let unit = self.four_digits()?;
        if !(0xD800..0xDC00).contains(&unit) {
            return Ok(char::from_u32(unit));
        }
        let behind = self.at;
        if self.text[behind..].starts_with("\\u") {
            self.at += 2;
            let low = self.four_digits()?;
            if (0xDC00..0xE000).contains(&low) {
                return Ok(char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)));
            }
            // What follows is a character of its own.
            self.at = behind;
        }
        Ok(None)
    }

    fn four_digits(&mut self) -> Result<u32, Problem> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(END)?;
        let unit = digits.iter().try_fold(0, |unit, octet| Some(unit * 16 + (*octet as char).to_digit(16)?));
        let unit = unit.ok_or("a string has an escape that JSON does not know")?;
        self.at += 4;
        Ok(unit)
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, Problem> {
        self.at += 1;
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                _ => return self.unexpected(),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Problem> {
        self.at += 1;
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::with_capacity(USUAL_MEMBERS);
        if self.takes(b'}') {
            return Ok(Json::Object(members));
        }
        let (mut names, mut has_null) = (SeenNames::default(), false);
        loop {
            let name = self.name()?;
            // The name counts as a node as well.
            self.nodes = self.nodes.saturating_sub(1);
            match name {
                Text::Whole(name) => {
                    if !names.add(name.clone(), &members) {
                        return Err("a name stands twice in an object");
                    }
                    let value = self.value(depth + 1)?;
                    has_null |= value == Json::Null;
                    members.push((name, value));
                }
                // No rule can name this member.
                Text::Broken(_) => drop(self.value(depth + 1)?),
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                _ => return self.unexpected(),
            }
        }
        // Nulls are removed only now, because a name that stands twice is refused whatever its values are.
        if has_null {
            members.retain(|(_, value)| *value != Json::Null);
        }
        Ok(Json::Object(members))
    }

    /// The name of a member, and the colon behind it.
    fn name(&mut self) -> Result<Text<'a>, Problem> {
        if self.peek() != Some(b'"') {
            return self.unexpected();
        }
        let name = self.string()?;
        if self.takes(b':') { Ok(name) } else { self.unexpected() }
    }

    /// Passes over a value of any depth. It needs one octet of memory per level, and no stack.
    fn skip(&mut self) -> Result<(), Problem> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.peek() {
                Some(begin @ (b'{' | b'[')) => {
                    self.at += 1;
                    let end = if begin == b'{' { b'}' } else { b']' };
                    if !self.takes(end) {
                        open.push(end);
                        if begin == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => drop(self.string()?),
                _ => drop(self.plain()?),
            }
            loop {
                let Some(end) = open.last().copied() else { return Ok(()) };
                if self.takes(b',') {
                    if end == b'}' {
                        self.name()?;
                    }
                    break;
                }
                if !self.takes(end) {
                    return self.unexpected();
                }
                open.pop();
            }
        }
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
            ("", "the text ends too early (line 1, column 1)"),
            ("{\"a\":", "the text ends too early (line 1, column 6)"),
            ("{\n \"a\":nul}", "the text is not JSON (line 2, column 6)"),
            ("{} x", "the text goes on behind the value (line 1, column 4)"),
            ("{\"a\":1,\"a\":2}", "a name stands twice in an object (line 1, column 12)"),
            ("\"a\tb\"", "a string has a control character (line 1, column 3)"),
            ("\"\\x\"", "a string has an escape that JSON does not know (line 1, column 3)"),
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
        serde_json::from_str(&json.to_string()).unwrap()
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

    fn without_nulls(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::Object(members) => {
                let members = members.into_iter().filter(|(_, value)| !value.is_null());
                Value::Object(members.map(|(name, value)| (name, without_nulls(value))).collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn two_parsers_read_the_same(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let json = Json::parse(text.as_bytes()).unwrap();
            // The other parser may read a float as its neighbour.
            prop_assert_eq!(converted(&json), without_nulls(serde_json::from_str(&text).unwrap()));
        }

        #[test]
        fn two_parsers_refuse_the_same(text in "[\\[\\]{}:,\"\\\\ 01.eE+\\-aubnrtlsf]{0,14}") {
            let ours = Json::parse(text.as_bytes());
            match serde_json::from_str::<serde_json::Value>(&text) {
                // Only the other parser lets a name stand twice.
                Ok(value) => if let Ok(ours) = ours { prop_assert_eq!(converted(&ours), without_nulls(value)) },
                Err(error) => {
                    let text = error.to_string();
                    prop_assert!(ours.is_err() || text.contains("out of range"), "{}", text);
                }
            }
        }
    }
}
