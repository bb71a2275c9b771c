// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers of servers that do not write UTF-8 (RFC 8259 section 8.1), although they say what they write.

use zeroize::Zeroizing;

/// The characters of windows-1252 from 0x80 to 0x9F. The others are those of ISO-8859-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];
/// The characters in which ISO-8859-15 differs from ISO-8859-1.
const ISO_8859_15: [(u8, char); 8] =
    [(0xA4, '€'), (0xA6, 'Š'), (0xA8, 'š'), (0xB4, 'Ž'), (0xB8, 'ž'), (0xBC, 'Œ'), (0xBD, 'œ'), (0xBE, 'Ÿ')];

/// Returns a body in UTF-8. Text that is UTF-8 stays as it is, because some servers name another charset for it in
/// their Content-Type. What is in a charset that is not known here stays as it is, too.
pub fn to_utf8(body: Vec<u8>, content_type: &str) -> Vec<u8> {
    if let Some(unit) = utf_16_unit(&body) {
        let body = Zeroizing::new(body);
        return from_utf_16(&body, unit).into_bytes();
    }
    let mut parameters = content_type.split(';').filter_map(|parameter| parameter.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let charset = charset.map_or("", |(_, value)| value.trim_matches(['"', '\'', ' '])).to_ascii_lowercase();
    let Some(character) = single_octets(&charset).filter(|_| std::str::from_utf8(&body).is_err()) else {
        return body;
    };
    let body = Zeroizing::new(body);
    body.iter().map(|octet| character(*octet)).collect::<String>().into_bytes()
}

type Octets = [u8; 2];

/// How the octets of a UTF-16 unit make its number; None: the body is no UTF-16. JSON has no NUL, and begins with an
/// ASCII character.
fn utf_16_unit(body: &[u8]) -> Option<fn(Octets) -> u16> {
    match body {
        [0xFF, 0xFE, ..] | [1..=0xFF, 0, ..] => Some(u16::from_le_bytes),
        [0xFE, 0xFF, ..] | [0, 1..=0xFF, ..] => Some(u16::from_be_bytes),
        _ => None,
    }
}

/// Half of a surrogate pair that stands alone becomes the escape of JSON for it, because UTF-8 cannot write it.
fn from_utf_16(body: &[u8], unit: fn(Octets) -> u16) -> String {
    let units = body.chunks(2).map(|octets| unit([octets[0], octets.get(1).copied().unwrap_or(0)]));
    let mut text = String::with_capacity(body.len());
    for character in char::decode_utf16(units) {
        match character {
            Ok(character) => text.push(character),
            Err(half) => text.push_str(&format!("\\u{:04x}", half.unpaired_surrogate())),
        }
    }
    text
}

/// How a charset whose characters have one octet each is read.
fn single_octets(charset: &str) -> Option<fn(u8) -> char> {
    match charset {
        "iso-8859-1" | "iso_8859-1" | "iso8859-1" | "latin1" | "latin-1" | "l1" => Some(char::from),
        "windows-1252" | "cp1252" | "cp-1252" => Some(|octet| match octet {
            0x80..=0x9F => WINDOWS_1252[usize::from(octet - 0x80)],
            other => char::from(other),
        }),
        "iso-8859-15" | "iso_8859-15" | "iso8859-15" | "latin9" | "latin-9" => Some(|octet| {
            let other = ISO_8859_15.iter().find(|(written, _)| *written == octet);
            other.map_or(char::from(octet), |(_, character)| *character)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::Json;
    use super::*;

    fn read(body: &[u8], content_type: &str) -> String {
        String::from_utf8(to_utf8(body.to_vec(), content_type)).unwrap()
    }

    #[test]
    fn a_charset_that_the_server_names_counts() {
        let latin = b"{\"name\":\"Zo\xeb \xa4\x80\"}";
        assert_eq!(read(latin, "application/json;charset=iso-8859-1"), "{\"name\":\"Zoë ¤\u{80}\"}");
        assert_eq!(read(latin, "text/html; x=y; Charset = \"ISO-8859-1\""), "{\"name\":\"Zoë ¤\u{80}\"}");
        assert_eq!(read(latin, "application/json; charset=Windows-1252"), "{\"name\":\"Zoë ¤€\"}");
        assert_eq!(read(latin, "application/json;charset=iso-8859-15"), "{\"name\":\"Zoë €\u{80}\"}");
        for other in ["", "application/json", "a/b;charset", "a/b;charset=utf-8", "a/b;charset=koi8-r", "iso-8859-1"] {
            assert_eq!(to_utf8(latin.to_vec(), other), latin, "{other}");
        }
        let utf_8 = "{\"name\":\"Zoë\"}";
        assert_eq!(read(utf_8.as_bytes(), "application/json;charset=iso-8859-1"), utf_8, "the server only says so");
        assert_eq!(read(b"", "application/json;charset=iso-8859-1"), "");
    }

    #[test]
    fn utf_16_is_known_by_its_first_character() {
        let text = "{\"name\":\"Zoë 😀\"}";
        for mark in ["", "\u{feff}"] {
            let units: Vec<u16> = format!("{mark}{text}").encode_utf16().collect();
            let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
            for body in [little, big] {
                let body = to_utf8(body, "application/json");
                assert_eq!(Json::parse(&body).unwrap().to_string(), text);
            }
        }
        let half: Vec<u8> = [0x22, 0xD83D, 0x22].iter().flat_map(|unit: &u16| unit.to_le_bytes()).collect();
        assert_eq!(read(&half, ""), "\"\\ud83d\"");
        assert_eq!(read(&[0x22, 0, 0x41], ""), "\"A", "cut off");
    }
}
