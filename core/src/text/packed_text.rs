// SPDX-License-Identifier: MIT OR Apache-2.0
//! How texts are written in stored records: a UUID takes 16 octets, and a usual scope takes one. A text that would
//! not come back octet by octet is stored as it is.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::fingerprint::{nibble, push_hex};

/// Values of the first octet, which says what follows.
const AS_IT_IS: u8 = 0;
const UUID: u8 = 1;
const URN: u8 = 2;

const URN_BEGIN: &str = "<urn:uuid:";
/// Places of the hyphens in a UUID.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Length of a UUID in characters.
pub const UUID_LEN: usize = 36;

/// Scopes that many servers know. Records refer to a scope by its index here, so the order must never change under
/// one version of records.
const SCOPES: [&str; 16] = [
    "openid",
    "profile",
    "email",
    "phone",
    "address",
    "offline_access",
    "roles",
    "basic",
    "acr",
    "web-origins",
    "groups",
    "microprofile-jwt",
    "service_account",
    "organization",
    "sip",
    "api",
];
/// The octet of a known scope is this value plus the index of the scope.
const SCOPE: u8 = 0x80;
/// Ends a scope that is not among the known ones.
const SPACE: u8 = b' ';

/// For serde: a text that may be a UUID.
pub mod text {
    use super::*;

    /// Writes it.
    pub fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        pack_uuid(text).serialize(serializer)
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        let packed = <&'de [u8]>::deserialize(deserializer)?;
        unpack_uuid(packed).ok_or_else(|| de::Error::custom("not a packed text"))
    }
}

/// For serde: scopes, separated by a space.
pub mod scope {
    use super::*;

    /// Writes them.
    pub fn serialize<S: Serializer>(scope: &str, serializer: S) -> Result<S::Ok, S::Error> {
        pack_scope(scope).serialize(serializer)
    }

    /// Reads them.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        let packed = <&'de [u8]>::deserialize(deserializer)?;
        unpack_scope(packed).ok_or_else(|| de::Error::custom("no packed scopes"))
    }
}

fn pack_scope(scope: &str) -> Vec<u8> {
    let mut packed = Vec::with_capacity(1 + scope.len());
    if !scope.is_empty() {
        for word in scope.split(' ') {
            match (0..).zip(SCOPES).find(|(_, known)| *known == word) {
                Some((place, _)) => packed.push(SCOPE + place),
                None => packed.extend(word.bytes().chain([SPACE])),
            }
        }
    }
    if unpack_scope(&packed).as_deref() != Some(scope) {
        packed = [&[AS_IT_IS], scope.as_bytes()].concat();
    }
    packed
}

fn unpack_scope(packed: &[u8]) -> Option<String> {
    if let [AS_IT_IS, rest @ ..] = packed {
        return String::from_utf8(rest.to_vec()).ok();
    }
    let mut words = Vec::new();
    let mut rest = packed;
    while let Some((first, after)) = rest.split_first() {
        rest = if let Some(place) = first.checked_sub(SCOPE) {
            words.push(*SCOPES.get(usize::from(place))?);
            after
        } else {
            let end = rest.iter().position(|octet| *octet == SPACE)?;
            words.push(std::str::from_utf8(&rest[..end]).ok()?);
            &rest[end + 1..]
        };
    }
    Some(words.join(" "))
}

/// Reads a UUID that is written in lower case.
pub fn uuid_octets(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != UUID_LEN || HYPHENS.iter().any(|place| text[*place] != b'-') {
        return None;
    }
    let mut digits = text.iter().enumerate().filter(|(place, _)| !HYPHENS.contains(place)).map(|(_, digit)| *digit);
    let mut octets = [0; 16];
    for octet in &mut octets {
        *octet = nibble(digits.next()?)? << 4 | nibble(digits.next()?)?;
    }
    Some(octets)
}

/// Appends a UUID.
pub fn push_uuid(out: &mut String, octets: &[u8]) {
    for (index, octet) in octets.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        push_hex(out, &[*octet]);
    }
}

fn pack_uuid(text: &str) -> Vec<u8> {
    let urn = text.strip_prefix(URN_BEGIN).and_then(|rest| rest.strip_suffix('>'));
    match (uuid_octets(text.as_bytes()), urn.and_then(|urn| uuid_octets(urn.as_bytes()))) {
        (Some(octets), _) => [&[UUID], &octets[..]].concat(),
        (None, Some(octets)) => [&[URN], &octets[..]].concat(),
        (None, None) if text.is_empty() => Vec::new(),
        (None, None) => [&[AS_IT_IS], text.as_bytes()].concat(),
    }
}

fn unpack_uuid(packed: &[u8]) -> Option<String> {
    let Some((kind, octets)) = packed.split_first() else {
        return Some(String::new());
    };
    match (*kind, octets.len()) {
        (AS_IT_IS, _) => String::from_utf8(octets.to_vec()).ok(),
        (UUID, 16) => {
            let mut text = String::with_capacity(36);
            push_uuid(&mut text, octets);
            Some(text)
        }
        (URN, 16) => {
            let mut text = String::with_capacity(URN_BEGIN.len() + 37);
            text.push_str(URN_BEGIN);
            push_uuid(&mut text, octets);
            text.push('>');
            Some(text)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn uuids_take_sixteen_octets() {
        let uuid = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        assert_eq!(pack_uuid(uuid).len(), 17);
        assert_eq!(pack_uuid(&format!("<urn:uuid:{uuid}>")).len(), 17);
        for other in [&uuid.to_uppercase(), &uuid[1..], "f81d4fae+7dec-11d0-a765-00a0c91e6bf6", "é", "alice"] {
            assert_eq!(pack_uuid(other)[0], AS_IT_IS, "{other}");
        }
        for wrong in [&[UUID, 1][..], &[URN], &[7], &[AS_IT_IS, 0xFF]] {
            assert_eq!(unpack_uuid(wrong), None);
        }
    }

    #[test]
    fn usual_scopes_take_one_octet() {
        assert_eq!(pack_scope("openid profile email"), [0x80, 0x81, 0x82]);
        assert_eq!(pack_scope("openid sip.call"), b"\x80sip.call ");
        assert!(pack_scope("").is_empty());
        for odd in [" ", "a  b", "é", "a\0", " openid"] {
            assert_eq!(unpack_scope(&pack_scope(odd)).as_deref(), Some(odd));
        }
        for wrong in [&[0x90][..], b"a", &[AS_IT_IS, 0xFF]] {
            assert_eq!(unpack_scope(wrong), None);
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "\\PC{0,50}") {
            prop_assert_eq!(unpack_uuid(&pack_uuid(&text)), Some(text));
        }

        #[test]
        fn every_scope_comes_back(scope in "((openid|email|sip|[a-z:]{0,5}|\\PC{0,3}) ?){0,6}") {
            prop_assert_eq!(unpack_scope(&pack_scope(&scope)), Some(scope));
        }

        #[test]
        fn anything_else_does_not_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (unpack_scope(&octets), unpack_uuid(&octets));
        }
    }
}
