// SPDX-License-Identifier: MIT OR Apache-2.0
//! Protected headers that were read lately. They are remembered because the tokens of one key have the same
//! header, letter by letter.

use std::sync::Arc;

use super::jws::Header;

/// Most headers that are remembered at a time.
const MAX: usize = 8;
/// Headers of more characters are not remembered.
const MAX_LEN: usize = 1024;

/// Headers by their text. A decoded header depends on nothing but its text, so no entry is ever out of date.
#[derive(Debug, Default)]
pub struct KnownHeaders {
    known: Vec<(Box<str>, Arc<Header>)>,
    oldest: usize,
}

impl KnownHeaders {
    /// The decoded header of an encoded text.
    pub fn get(&self, encoded: &str) -> Option<Arc<Header>> {
        self.known.iter().find(|(text, _)| **text == *encoded).map(|(_, header)| Arc::clone(header))
    }

    /// Remembers a header, in place of the oldest one if there are too many. Call it with headers of good tokens
    /// only, because others must not crowd these out.
    pub fn remember(&mut self, encoded: &str, header: &Arc<Header>) {
        if encoded.len() > MAX_LEN || self.known.iter().any(|(text, _)| **text == *encoded) {
            return;
        }
        let entry = (encoded.into(), Arc::clone(header));
        if self.known.len() < MAX {
            self.known.push(entry);
        } else {
            self.known[self.oldest] = entry;
            self.oldest = (self.oldest + 1) % MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::algorithm::Algorithm;
    use super::*;

    #[test]
    fn the_last_ones_are_known_by_their_whole_text() {
        let header = |i: usize| {
            Arc::new(Header {
                algorithm: Algorithm::RS256,
                kid: Some(i.to_string().into()),
                typ: String::new(),
                has_nonce: false,
            })
        };
        let mut headers = KnownHeaders::default();
        for i in 0..2 * MAX + 1 {
            headers.remember(&format!("e{i:03}"), &header(i));
            headers.remember(&format!("e{i:03}"), &header(1000));
        }
        let kid = |text: &str| headers.get(text).and_then(|header| header.kid.clone());
        assert_eq!(kid("e016").as_deref(), Some("16"));
        assert_eq!(kid("e009").as_deref(), Some("9"));
        for text in ["e008", "e01", "e0160", "E016", ""] {
            assert_eq!(kid(text), None, "{text}");
        }
        headers.remember(&"x".repeat(MAX_LEN + 1), &header(0));
        assert_eq!(headers.known.len(), MAX);
    }
}
