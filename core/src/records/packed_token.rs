// SPDX-License-Identifier: MIT OR Apache-2.0
//! How tokens are written in stored records. A JWT is stored without base64url, with its random octets as they are
//! and the rest compressed. A token that would not come back octet by octet is stored as it is.
//!
//! Only texts of authorization servers are compressed, never a text that a phone chooses. So the length of a
//! record tells nothing to an attacker who tries out texts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::session::MAX_TOKEN;
use crate::text::packed_text::{UUID_LEN, push_uuid, uuid_octets};
use crate::text::secret::SecretText;

/// Values of the first octet, which says what follows.
const AS_IT_IS: u8 = 0;
const COMPRESSED: u8 = 1;

/// Mark of a UUID in the text. The octets of the UUID are among the raw ones.
const UUID: u8 = 1;
/// Mark of a time, or of another number of ten digits. Its four octets are among the raw ones.
const NUMBER: u8 = 2;
/// Mark at the end of a part that is text.
const END: u8 = 3;
/// Mark of a part that is no text. Its length in two octets and the part itself are among the raw ones.
const RAW: u8 = 4;
/// This value plus the index of an earlier UUID is the mark of the same UUID.
const AGAIN: u8 = 0x10;
/// At most this many UUIDs get an index.
const MAX_AGAIN: usize = 8;

/// Number of digits of a number that gets a mark.
const DIGITS: usize = 10;
/// Compressed data refers back at most 2 to this power octets.
const WINDOW_BITS: u8 = 12;
/// Most parts of a token: a JWE has five.
const MAX_PARTS: usize = 5;

/// What tokens are made of, with '%' for a UUID, '#' for a number and '~' for the end of a part. Compressed data
/// refers to this text, so it must never change under one version of records.
const WORDS: &[u8] = br#"{"error":"","realm_access":{"roles":["offline_access","uma_authorization","default-roles-"]},"resource_access":{"account":{"roles":["manage-account","view-profile"]}},"preferred_username":"@example.com","email_verified":true,"name":"","given_name":"","family_name":"","acr":"1","allowed-origins":["https://login.microsoftonline.com/","https://sts.windows.net/","appid":"","appidacr":"1","idp":"","oid":"","tid":"","uti":"","ver":"2.0","upn":"","nbf":#,"cid":"","uid":"","scp":["openid","profile","email","offline_access"],"client_id":"","token_use":"refresh","auth_time":#,"nonce":"","at_hash":"","session_state":"","reuse_id":"","enc":"A256GCM","A128CBC-HS256","alg":"dir","alg":"RSA-OAEP","alg":"RSA-OAEP-256","cty":"JWT","x5t":"","zip":"DEF","alg":"HS256","typ":"JWT","alg":"ES256","alg":"RS256","typ":"JWT","kid":""}~{"alg":"HS512","typ" : "JWT","kid" : "%"}~{"exp":#,"iat":#,"jti":"%","iss":"https:///realms/","aud":"https:///realms/","sub":"%","typ":"Offline","typ":"Refresh","azp":"","session_state":"%","scope":"openid web-origins service_account basic acr roles phone address email profile offline_access","reuse_id":"%","sid":"%"}~"#;

/// `WORDS` with the marks themselves.
const DICTIONARY: [u8; WORDS.len()] = {
    let mut dictionary = [0; WORDS.len()];
    let mut place = 0;
    while place < dictionary.len() {
        dictionary[place] = match WORDS[place] {
            b'%' => UUID,
            b'#' => NUMBER,
            b'~' => END,
            other => other,
        };
        place += 1;
    }
    dictionary
};

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

/// True for an octet of text, which is no mark.
fn is_text(octet: &u8) -> bool {
    *octet >= b' ' || matches!(octet, b'\t' | b'\n' | b'\r')
}

/// A token in two halves: text with marks, and the octets for which the marks stand. No compression makes these
/// octets shorter.
#[derive(Default)]
struct Parted {
    text: Zeroizing<Vec<u8>>,
    raw: Zeroizing<Vec<u8>>,
    uuids: Vec<[u8; 16]>,
}

impl Parted {
    fn of(token: &str) -> Option<Parted> {
        let mut parted = Parted::default();
        if token.split('.').count() > MAX_PARTS {
            return None;
        }
        for part in token.split('.') {
            let octets = Zeroizing::new(URL_SAFE_NO_PAD.decode(part).ok()?);
            if !octets.is_empty() && octets.iter().all(is_text) {
                parted.push_text(&octets);
            } else {
                parted.text.push(RAW);
                parted.raw.extend(u16::try_from(octets.len()).ok()?.to_be_bytes());
                parted.raw.extend_from_slice(&octets);
            }
        }
        Some(parted)
    }

    fn push_text(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some((first, after)) = rest.split_first() {
            rest = if let Some(uuid) = rest.get(..UUID_LEN).and_then(uuid_octets) {
                self.push_uuid(uuid);
                &rest[UUID_LEN..]
            } else if let Some(number) = number_of(&octets[..octets.len() - rest.len()], rest) {
                self.text.push(NUMBER);
                self.raw.extend(number.to_be_bytes());
                &rest[DIGITS..]
            } else {
                self.text.push(*first);
                after
            };
        }
        self.text.push(END);
    }

    fn push_uuid(&mut self, uuid: [u8; 16]) {
        match (AGAIN..).zip(&self.uuids).find(|(_, known)| **known == uuid) {
            Some((mark, _)) => self.text.push(mark),
            None => {
                self.text.push(UUID);
                self.raw.extend(uuid);
                if self.uuids.len() < MAX_AGAIN {
                    self.uuids.push(uuid);
                }
            }
        }
    }

    /// Returns the token; None when these are not the two halves of one token.
    fn joined(text: &[u8], mut raw: &[u8]) -> Option<String> {
        let mut take = |length: usize| {
            let (taken, rest) = raw.split_at_checked(length)?;
            raw = rest;
            Some(taken)
        };
        let (mut token, mut uuids) = (Zeroizing::new(String::new()), Vec::new());
        let mut part = Zeroizing::new(Vec::new());
        let mut shown = String::new();
        let mut end = |part: &[u8]| {
            if !token.is_empty() {
                token.push('.');
            }
            URL_SAFE_NO_PAD.encode_string(part, &mut token);
            (token.len() <= MAX_TOKEN).then_some(())
        };
        for mark in text {
            shown.clear();
            match *mark {
                UUID => {
                    let uuid: [u8; 16] = take(16)?.try_into().ok()?;
                    uuids.push(uuid);
                    push_uuid(&mut shown, &uuid);
                }
                NUMBER => shown = u32::from_be_bytes(take(4)?.try_into().ok()?).to_string(),
                END => {
                    end(&part)?;
                    part.clear();
                }
                RAW if part.is_empty() => {
                    let length = u16::from_be_bytes(take(2)?.try_into().ok()?);
                    end(take(length.into())?)?;
                }
                again if !is_text(&again) => push_uuid(&mut shown, uuids.get(usize::from(again.checked_sub(AGAIN)?))?),
                octet => part.push(octet),
            }
            part.extend_from_slice(shown.as_bytes());
            if part.len() > MAX_TOKEN {
                return None;
            }
        }
        (part.is_empty() && raw.is_empty()).then(|| std::mem::take(&mut *token))
    }
}

/// The number that a text begins with, if it has ten digits and fits a u32.
fn number_of(before: &[u8], text: &[u8]) -> Option<u32> {
    let is_digit = |octet: Option<&u8>| octet.is_some_and(u8::is_ascii_digit);
    let digits = text.get(..DIGITS)?;
    if digits[0] == b'0' || is_digit(before.last()) || is_digit(text.get(DIGITS)) {
        return None;
    }
    // `parse` would accept a sign, too.
    digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

fn compress(octets: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut compress = Compress::new_with_window_bits(Compression::best(), false, WINDOW_BITS);
    compress.set_dictionary(&DICTIONARY).ok()?;
    // The compressed text never needs more than this.
    let mut out = Zeroizing::new(Vec::with_capacity(octets.len() + 64));
    let status = compress.compress_vec(octets, &mut out, FlushCompress::Finish).ok()?;
    (status == Status::StreamEnd).then_some(out)
}

fn decompress(octets: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut decompress = Decompress::new_with_window_bits(false, WINDOW_BITS);
    decompress.set_dictionary(&DICTIONARY).ok()?;
    let mut out = Zeroizing::new(Vec::with_capacity(MAX_TOKEN));
    let status = decompress.decompress_vec(octets, &mut out, FlushDecompress::Finish).ok()?;
    (status == Status::StreamEnd).then_some(out)
}

fn pack_token(token: &str) -> Zeroizing<Vec<u8>> {
    let shorter = Parted::of(token).and_then(|parted| {
        let mut packed = Zeroizing::new(vec![COMPRESSED]);
        packed.extend(u16::try_from(parted.raw.len()).ok()?.to_be_bytes());
        packed.extend_from_slice(&parted.raw);
        packed.extend_from_slice(&compress(&parted.text)?);
        Some(packed)
    });
    let shorter = shorter.filter(|packed| packed.len() <= token.len());
    shorter.filter(|packed| unpack_token(packed).is_some_and(|again| again == token)).unwrap_or_else(|| {
        let mut packed = Zeroizing::new(Vec::with_capacity(1 + token.len()));
        packed.push(AS_IT_IS);
        packed.extend_from_slice(token.as_bytes());
        packed
    })
}

fn unpack_token(packed: &[u8]) -> Option<String> {
    let (kind, octets) = packed.split_first()?;
    match *kind {
        AS_IT_IS => String::from_utf8(octets.to_vec()).ok(),
        COMPRESSED => {
            let (length, rest) = octets.split_first_chunk::<2>()?;
            let (raw, text) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            Parted::joined(&decompress(text)?, raw)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jwt(header: &str, payload: &str, signature: &[u8]) -> String {
        let parts = [header.as_bytes(), payload.as_bytes(), signature].map(|octets| URL_SAFE_NO_PAD.encode(octets));
        parts.join(".")
    }

    #[test]
    fn a_jwt_becomes_much_shorter() {
        let payload = r#"{"exp":1764392000,"iat":1764390200,"jti":"93b6f7f0-1c1f-4a51-9d20-5f0a8a3c0c11","iss":"https://as.example/realms/corp","aud":"https://as.example/realms/corp","sub":"0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d","typ":"Refresh","azp":"sip-proxy","sid":"11111111-2222-4333-8444-555555555555","scope":"openid profile email"}"#;
        let header = r#"{"alg":"HS512","typ" : "JWT","kid" : "c4a8c9ee-5b8c-4f4f-8f3e-1f2a3b4c5d6e"}"#;
        let token = jwt(header, payload, &[0xA7; 64]);
        let packed = pack_token(&token);
        assert_eq!((packed[0], unpack_token(&packed)), (COMPRESSED, Some(token.clone())));
        assert!(packed.len() * 5 < token.len() * 2, "{} of {}", packed.len(), token.len());
    }

    #[test]
    fn what_looks_like_a_mark_comes_back() {
        let uuid = "c4a8c9ee-5b8c-4f4f-8f3e-1f2a3b4c5d6e";
        let many: String = (0..20).map(|n| format!("c4a8c9ee-5b8c-4f4f-8f3e-1f2a3b4c5d{n:02x}{uuid}")).collect();
        for text in [
            &format!("{uuid}{uuid}"),
            &uuid.to_uppercase(),
            &many,
            "0000000001",
            "4294967295",
            "4294967296",
            "12345678901",
            "1234567890",
            "a1234567890b1234567890",
            "+123456789",
            "\u{1}\u{2}\u{3}\u{4}\u{10}",
            "é~%#",
            "a\r\n\tb",
        ] {
            let token = jwt("{}", text, &[1, 2, 3]);
            assert_eq!(unpack_token(&pack_token(&token)), Some(token), "{text}");
        }
    }

    #[test]
    fn damage_is_noticed() {
        let token = jwt(r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"exp":1764392000}"#, &[7; 32]);
        let packed = pack_token(&token);
        assert_eq!(packed[0], COMPRESSED);
        for cut in 1..packed.len() {
            assert_eq!(unpack_token(&packed[..cut]), None, "{cut}");
        }
        for wrong in [&[COMPRESSED][..], &[COMPRESSED, 0], &[COMPRESSED, 0, 9, 1], &[9, 1], &[AS_IT_IS, 0xFF]] {
            assert_eq!(unpack_token(wrong), None);
        }
        for (text, raw) in [
            (&[UUID][..], &[0; 15][..]),
            (&[UUID, END], &[0; 17]),
            (&[NUMBER, END], &[0; 3]),
            (&[RAW], &[0, 2, 1]),
            (&[b'a', RAW], &[0, 0]),
            (&[AGAIN, END], &[]),
            (&[AGAIN - 1, END], &[]),
            (b"a", &[]),
        ] {
            assert_eq!(Parted::joined(text, raw), None, "{text:?}");
        }
        // Both expand to more than any token has. That much memory is never allocated.
        let bomb = compress(&vec![b'a'; 1 << 20]).unwrap();
        assert_eq!(unpack_token(&[&[COMPRESSED, 0, 0], bomb.as_slice()].concat()), None);
        let bomb = [&[UUID][..], &[AGAIN; 1024], &[END]].concat();
        assert_eq!(Parted::joined(&bomb, &[0; 16]), None);
    }

    proptest! {
        #[test]
        fn every_token_comes_back(token in "(\\PC{1,60}|[A-Za-z0-9_-]{1,90}(\\.[A-Za-z0-9_-]{0,300}){0,5}|[a-f0-9]{8}-[a-f0-9]{4})") {
            prop_assert_eq!(unpack_token(&pack_token(&token)), Some(token));
        }

        #[test]
        fn every_jwt_comes_back(payload in "(\\PC|[0-9]{9,11}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}){0,9}", signature in proptest::collection::vec(any::<u8>(), 0..70)) {
            let token = jwt("{}", &payload, &signature);
            prop_assert_eq!(unpack_token(&pack_token(&token)), Some(token));
        }

        #[test]
        fn anything_else_does_not_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (unpack_token(&octets), Parted::joined(&octets, &octets));
        }
    }
}
