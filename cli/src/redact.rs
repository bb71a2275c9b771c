// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keeps secrets out of the output, also where a server sends them back.

/// A secret with fewer octets is masked completely, because four characters are most of a code typed on a keypad.
pub const LONG: usize = 16;
const SHOWN: usize = 4;

/// Knows the secrets of one run.
pub struct Redactor {
    show: bool,
    /// Each secret and its mask, the longest secret first.
    secrets: Vec<(String, String)>,
}

impl Redactor {
    /// `show` turns masking off.
    pub fn new(show: bool) -> Redactor {
        Redactor { show, secrets: Vec::new() }
    }

    /// Are secrets printed in full?
    pub fn shows(&self) -> bool {
        self.show
    }

    /// Masks a token or code. The first characters stay, so that two can be told apart.
    pub fn hide(&mut self, secret: &str) {
        let mask: String = secret.chars().take(if secret.len() < LONG { 0 } else { SHOWN }).chain(['…']).collect();
        self.push(secret, mask);
    }

    /// Masks a key or a proof completely, because even a part of it could be used to guess the short code behind it.
    pub fn hide_all(&mut self, secret: &str) {
        self.push(secret, "…".to_owned());
    }

    fn push(&mut self, secret: &str, mask: String) {
        for spelling in [secret.to_owned(), form_encode(secret)] {
            if !spelling.is_empty() && !self.secrets.iter().any(|(known, _)| *known == spelling) {
                self.secrets.push((spelling, mask.clone()));
            }
        }
        self.secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
    }

    /// The text with every secret masked.
    pub fn apply(&self, text: &str) -> String {
        if self.show {
            return text.to_owned();
        }
        self.secrets.iter().fold(text.to_owned(), |text, (secret, mask)| {
            if secret.len() < LONG { replace_words(&text, secret, mask) } else { text.replace(secret, mask) }
        })
    }
}

/// Replaces a word where no letter or digit is next to it. So a code such as 5060 does not match in a longer number.
fn replace_words(text: &str, word: &str, mask: &str) -> String {
    let (mut out, mut rest, mut before) = (String::with_capacity(text.len()), text, None);
    while let Some(at) = rest.find(word) {
        let (head, tail) = rest.split_at(at);
        let after = &tail[word.len()..];
        let previous = head.chars().next_back().or(before);
        let inside =
            previous.is_some_and(char::is_alphanumeric) || after.chars().next().is_some_and(char::is_alphanumeric);
        out.push_str(head);
        out.push_str(if inside { word } else { mask });
        before = word.chars().next_back();
        rest = after;
    }
    out + rest
}

/// A value of application/x-www-form-urlencoded.
pub fn form_encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for b in value.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_every_spelling() {
        let mut redactor = Redactor::new(false);
        redactor.hide("code/with+signs-and-length");
        redactor.hide("4711");
        redactor.hide_all("abcdefghijklmnopqrstuvwxyz");
        let text = "code=code%2Fwith%2Bsigns-and-length code/with+signs-and-length 4711 14711 4711x abcdefghijklmnopqrstuvwxyz";
        assert_eq!(redactor.apply(text), "code=code… code… … 14711 4711x …");
        assert_eq!(redactor.apply("4711 4711,4711"), "… …,…");
        assert_eq!(Redactor::new(true).apply("4711"), "4711");
    }

    #[test]
    fn encodes_a_form() {
        assert_eq!(form_encode("a-b._~ c&=+é"), "a-b._~%20c%26%3D%2B%C3%A9");
    }
}
