// SPDX-License-Identifier: MIT OR Apache-2.0
//! How texts are written in stored records: UUIDs as 16 octets, tokens without base64url and compressed. What would not
//! come back octet by octet is kept as it is.
//!
//! Compressed is what authorization servers say, no text that a phone chooses; so the length of a record tells nothing
//! to somebody who tries out texts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::session::SecretText;
use super::token_response::MAX_TOKEN;

/// First octet: what follows.
const AS_IT_IS: u8 = 0;
const UUID: u8 = 1;
const URN: u8 = 2;
const PARTS: u8 = 3;
const COMPRESSED: u8 = 4;

const URN_BEGIN: &str = "<urn:uuid:";
/// Places of the hyphens in a UUID.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Compressed data refers back at most 2 to this power octets.
const WINDOW_BITS: u8 = 12;
/// Most parts of a token: a JWE has five.
const MAX_PARTS: usize = 5;

/// What tokens are made of: compressed data refers to it, so it must never change under one version of records.
const DICTIONARY: &[u8] = br#"{"error":"","realm_access":{"roles":["offline_access","uma_authorization","default-roles-"]},"resource_access":{"account":{"roles":["manage-account","view-profile"]}},"preferred_username":"@example.com","email_verified":true,"name":"","given_name":"","family_name":"","acr":"1","allowed-origins":["https://login.microsoftonline.com/","https://sts.windows.net/","appid":"","appidacr":"1","idp":"","oid":"","tid":"","uti":"","ver":"2.0","upn":"","nbf":17,"cid":"","uid":"","scp":["openid","profile","email","offline_access"],"client_id":"","token_use":"refresh","auth_time":17,"nonce":"","at_hash":"","session_state":"","reuse_id":"","enc":"A256GCM","A128CBC-HS256","alg":"dir","alg":"RSA-OAEP","alg":"RSA-OAEP-256","cty":"JWT","x5t":"","zip":"DEF","alg":"HS256","typ":"JWT","alg":"ES256","alg":"RS256","typ":"JWT","kid":"{"alg":"HS512","typ" : "JWT","kid" : "-4"}{"exp":17,"iat":17,"jti":"-4","iss":"https:///realms/","aud":"https:///realms/","sub":"-4","typ":"Offline","typ":"Refresh","azp":"","sid":"-4","scope":"openid web-origins service_account basic acr roles phone address email profile offline_access"}"#;

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

/// For serde: a token, if there is one.
pub mod token {
    use super::*;

    /// Writes it.
    pub fn serialize<S: Serializer>(token: &Option<SecretText>, serializer: S) -> Result<S::Ok, S::Error> {
        let packed = token.as_ref().map_or_else(Zeroizing::default, |token| pack_token(&token.0));
        packed.as_slice().serialize(serializer)
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretText>, D::Error> {
        let packed = <&'de [u8]>::deserialize(deserializer)?;
        if packed.is_empty() {
            return Ok(None);
        }
        let token = unpack_token(packed).ok_or_else(|| de::Error::custom("not a packed token"))?;
        Ok(Some(SecretText(token)))
    }
}

fn uuid_octets(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 36 || HYPHENS.iter().any(|place| text[*place] != b'-') {
        return None;
    }
    let mut digits = text.iter().enumerate().filter(|(place, _)| !HYPHENS.contains(place)).map(|(_, digit)| *digit);
    let mut nibble = || match digits.next()? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut octets = [0; 16];
    for octet in &mut octets {
        *octet = nibble()? << 4 | nibble()?;
    }
    Some(octets)
}

fn push_uuid(out: &mut String, octets: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (index, octet) in octets.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(char::from(DIGITS[usize::from(octet >> 4)]));
        out.push(char::from(DIGITS[usize::from(octet & 15)]));
    }
}

fn pack_uuid(text: &str) -> Vec<u8> {
    let urn = text.strip_prefix(URN_BEGIN).and_then(|rest| rest.strip_suffix('>'));
    match (uuid_octets(text), urn.and_then(uuid_octets)) {
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

/// Number of parts, the length of each in two octets, the parts.
fn parts_of(token: &str) -> Option<Zeroizing<Vec<u8>>> {
    let count = token.split('.').count();
    let mut out = Zeroizing::new(vec![u8::try_from(count).ok().filter(|c| usize::from(*c) <= MAX_PARTS)?]);
    for part in token.split('.') {
        let octets = Zeroizing::new(URL_SAFE_NO_PAD.decode(part).ok()?);
        out.extend_from_slice(&u16::try_from(octets.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&octets);
    }
    Some(out)
}

fn token_of(parts: &[u8]) -> Option<String> {
    let (count, mut rest) = parts.split_first()?;
    let mut token = String::new();
    for index in 0..*count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (octets, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        if index > 0 {
            token.push('.');
        }
        URL_SAFE_NO_PAD.encode_string(octets, &mut token);
        rest = after;
    }
    rest.is_empty().then_some(token)
}

fn compress(octets: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut compress = Compress::new_with_window_bits(Compression::best(), false, WINDOW_BITS);
    compress.set_dictionary(DICTIONARY).ok()?;
    // Only what becomes shorter is of use.
    let mut out = Zeroizing::new(Vec::with_capacity(octets.len()));
    let status = compress.compress_vec(octets, &mut out, FlushCompress::Finish).ok()?;
    (status == Status::StreamEnd).then_some(out)
}

fn decompress(octets: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut decompress = Decompress::new_with_window_bits(false, WINDOW_BITS);
    decompress.set_dictionary(DICTIONARY).ok()?;
    let mut out = Zeroizing::new(Vec::with_capacity(MAX_TOKEN));
    let status = decompress.decompress_vec(octets, &mut out, FlushDecompress::Finish).ok()?;
    (status == Status::StreamEnd).then_some(out)
}

fn pack_token(token: &str) -> Zeroizing<Vec<u8>> {
    let tagged = |kind: u8, octets: &[u8]| {
        let mut out = Zeroizing::new(Vec::with_capacity(1 + octets.len()));
        out.push(kind);
        out.extend_from_slice(octets);
        out
    };
    let Some(parts) = parts_of(token).filter(|parts| token_of(parts).is_some_and(|again| again == token)) else {
        return tagged(AS_IT_IS, token.as_bytes());
    };
    let compressed = compress(&parts).filter(|octets| decompress(octets).as_ref() == Some(&parts));
    match compressed {
        Some(octets) if octets.len() < parts.len() => tagged(COMPRESSED, &octets),
        _ => tagged(PARTS, &parts),
    }
}

fn unpack_token(packed: &[u8]) -> Option<String> {
    let (kind, octets) = packed.split_first()?;
    match *kind {
        AS_IT_IS => String::from_utf8(octets.to_vec()).ok(),
        PARTS => token_of(octets),
        COMPRESSED => token_of(&decompress(octets)?),
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
    fn a_jwt_becomes_much_shorter() {
        let payload = br#"{"exp":1764392000,"iat":1764390200,"jti":"93b6f7f0-1c1f-4a51-9d20-5f0a8a3c0c11","iss":"https://as.example/realms/corp","aud":"https://as.example/realms/corp","sub":"0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d","typ":"Refresh","azp":"sip-proxy","sid":"11111111-2222-4333-8444-555555555555","scope":"openid profile email"}"#;
        let header = br#"{"alg":"HS512","typ" : "JWT","kid" : "c4a8c9ee-5b8c-4f4f-8f3e-1f2a3b4c5d6e"}"#;
        let parts: Vec<String> =
            [&header[..], payload, &[0xA7; 64]].iter().map(|octets| URL_SAFE_NO_PAD.encode(octets)).collect();
        let token = parts.join(".");
        let packed = pack_token(&token);
        assert_eq!((packed[0], unpack_token(&packed)), (COMPRESSED, Some(token.clone())));
        assert!(packed.len() * 2 < token.len(), "{} of {}", packed.len(), token.len());
    }

    #[test]
    fn damage_is_noticed() {
        let packed = pack_token("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA");
        assert_eq!(packed[0], COMPRESSED);
        for cut in 1..packed.len() {
            assert_eq!(unpack_token(&packed[..cut]), None, "{cut}");
        }
        for wrong in [&[PARTS][..], &[PARTS, 1, 0, 9, 1], &[PARTS, 1, 0, 0, 1], &[9, 1], &[AS_IT_IS, 0xFF]] {
            assert_eq!(unpack_token(wrong), None);
        }
        // More than any token: what it claims is not allocated.
        let bomb = compress(&vec![0; 1 << 20]).unwrap();
        assert_eq!(unpack_token(&[&[COMPRESSED], bomb.as_slice()].concat()), None);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "\\PC{0,50}") {
            prop_assert_eq!(unpack_uuid(&pack_uuid(&text)), Some(text));
        }

        #[test]
        fn every_token_comes_back(token in "(\\PC{1,60}|[A-Za-z0-9_-]{1,90}(\\.[A-Za-z0-9_-]{0,300}){0,5}|[a-f0-9]{8}-[a-f0-9]{4})") {
            prop_assert_eq!(unpack_token(&pack_token(&token)), Some(token));
        }

        #[test]
        fn anything_else_does_not_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (unpack_token(&octets), unpack_uuid(&octets));
        }
    }
}
