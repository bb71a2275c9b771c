// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of secrets, hex, and how foreign text is shown in logs.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// The name under which a secret is looked up: SHA-256, in hex, over each part with its length before it. The
/// first parts say what the secret is and whose, so that it is never taken for another one.
pub fn secret_name(parts: &[&str]) -> String {
    let add = |hash: Sha256, part: &&str| hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part);
    hex(&parts.iter().fold(Sha256::new(), add).finalize())
}

/// Value of an octet that is no digit.
const NONE: u8 = 0xFF;
/// The value of each octet as a hex digit in lower case.
const NIBBLES: [u8; 256] = {
    let mut nibbles = [NONE; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        nibbles[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    nibbles
};
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The value of a lower-case hex digit.
pub fn nibble(digit: u8) -> Option<u8> {
    Some(NIBBLES[usize::from(digit)]).filter(|nibble| *nibble != NONE)
}

/// Lower-case hex.
pub fn hex(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 2);
    push_hex(&mut out, octets);
    out
}

/// Reads as many octets in hex, in either case. None for anything else.
pub fn octets_of_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    if text.len() != N * 2 {
        return None;
    }
    for (octet, pair) in octets.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| nibble(pair[at].to_ascii_lowercase());
        *octet = digit(0)? << 4 | digit(1)?;
    }
    Some(octets)
}

/// Eight octets in lower-case hex.
pub fn hex_digits(octets: [u8; 8]) -> [u8; 16] {
    std::array::from_fn(|index| DIGITS[usize::from(octets[index / 2] >> (4 * (1 - index % 2)) & 15)])
}

/// Appends lower-case hex.
pub fn push_hex(out: &mut String, octets: &[u8]) {
    for octet in octets {
        out.push(char::from(DIGITS[usize::from(octet >> 4)]));
        out.push(char::from(DIGITS[usize::from(octet & 15)]));
    }
}

/// Characters that are invisible, or change how others are displayed, beside the controls (C0 and C1): the general
/// category Cf, other characters that are ignored by default (both of Unicode 16), and the separators of lines and
/// paragraphs. Each entry is the first and the last character of a range.
const HIDDEN: &[(char, char)] = &[
    ('\u{AD}', '\u{AD}'),
    ('\u{34F}', '\u{34F}'),
    ('\u{600}', '\u{605}'),
    ('\u{61C}', '\u{61C}'),
    ('\u{6DD}', '\u{6DD}'),
    ('\u{70F}', '\u{70F}'),
    ('\u{890}', '\u{891}'),
    ('\u{8E2}', '\u{8E2}'),
    ('\u{115F}', '\u{1160}'),
    ('\u{17B4}', '\u{17B5}'),
    ('\u{180B}', '\u{180F}'),
    ('\u{200B}', '\u{200F}'),
    ('\u{2028}', '\u{202E}'),
    ('\u{2060}', '\u{206F}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{FE00}', '\u{FE0F}'),
    ('\u{FEFF}', '\u{FEFF}'),
    ('\u{FFA0}', '\u{FFA0}'),
    ('\u{FFF0}', '\u{FFFB}'),
    // U+FFFD stands for octets that are no text.
    ('\u{FFFD}', '\u{FFFF}'),
    ('\u{110BD}', '\u{110BD}'),
    ('\u{110CD}', '\u{110CD}'),
    ('\u{13430}', '\u{1343F}'),
    ('\u{1BCA0}', '\u{1BCA3}'),
    ('\u{1D173}', '\u{1D17A}'),
    ('\u{E0000}', '\u{E0FFF}'),
];

/// True when a character must not reach a log, a display or a header as it is.
pub fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control() || HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// The character, or a '?' for one that is hidden.
pub fn shown(c: char) -> char {
    if is_hidden(c) { '?' } else { c }
}

/// Replaces every hidden character of a text that a peer controls with a '?'. Nothing in the result begins a line,
/// changes the direction of writing, or makes two texts look alike.
pub fn visible(text: &str) -> Cow<'_, str> {
    let plain = |octet: u8| (b' '..0x7F).contains(&octet);
    if text.bytes().all(plain) || !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(shown).collect())
}

/// Like [`visible`], for a text that is long-lived and shared.
pub fn visible_arc(text: Arc<str>) -> Arc<str> {
    match visible(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown.into(),
    }
}

/// Makes a text that a peer controls safe for one log line: like [`visible`], but also caps its length.
pub fn printable(text: &str, max_chars: usize) -> String {
    let mut out: String = text.chars().take(max_chars).map(shown).collect();
    if text.chars().nth(max_chars).is_some() {
        out.push('…');
    }
    out
}

/// The beginning of a text that has at most this many octets, in whole characters.
pub fn cut(text: &str, octets: usize) -> &str {
    let mut len = text.len().min(octets);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    &text[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_either_case_and_nothing_else_is_hex() {
        assert_eq!(octets_of_hex(b"00Ff7a"), Some([0, 255, 0x7a]));
        for text in ["", "0", "00ff7", "00ff7a0", "00fg7a", "+0ff7a", "00ff7\u{e9}"] {
            assert_eq!(octets_of_hex::<3>(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn both_ways_to_write_hex_agree() {
        let octets = [0, 0x0f, 0xf0, 0xff, 0x12, 0x34, 0xab, 0xcd];
        assert_eq!(hex_digits(octets).as_slice(), hex(&octets).as_bytes());
    }

    #[test]
    fn a_character_is_cut_as_a_whole() {
        assert_eq!([0, 1, 2, 3, 9].map(|octets| cut("aäb", octets)), ["", "a", "a", "aä", "aäb"]);
    }

    #[test]
    fn what_is_not_seen_becomes_a_question_mark() {
        let hidden = "\0\t\r\n\u{1b}\u{7f}\u{80}\u{85}\u{9b}\u{ad}\u{61c}\u{6dd}\u{180e}\u{200b}\u{200d}\u{200e}\u{200f}\
                      \u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{206f}\u{feff}\u{fff9}\u{fffb}\u{fffd}\u{110bd}\
                      \u{1d173}\u{e0001}\u{e0041}\u{e007f}\u{fe0f}\u{e0100}";
        for c in hidden.chars() {
            assert_eq!(visible(&format!("a{c}b")), "a?b", "{:x}", c as u32);
            assert_eq!(printable(&format!("a{c}b"), 9), "a?b", "{:x}", c as u32);
        }
        for text in
            ["", "alice@example.test", "J\u{fc}rgen \u{674e} \u{645}\u{631}\u{62d}\u{628}\u{627}", "\u{1f4de}", "~|\\"]
        {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text}");
            assert_eq!(printable(text, 99), text);
        }
        assert_eq!(printable("abc", 2), "ab…");
        let kept: Arc<str> = "kid".into();
        assert!(Arc::ptr_eq(&kept, &visible_arc(Arc::clone(&kept))) && &*visible_arc("k\u{2028}".into()) == "k?");
    }
}
