// SPDX-License-Identifier: MIT OR Apache-2.0
//! The octets of a file and of the definitions that are put in their place, with the line they stand in.

/// One file that is being read.
pub(super) struct Characters {
    /// Its name in messages, also the place that relative includes start from.
    pub name: String,
    text: Vec<u8>,
    at: usize,
    /// The line of the next octet, from 1.
    pub line: usize,
    /// Put back to be read first, in reverse.
    pushed: Vec<u8>,
}

impl Characters {
    pub fn new(name: String, text: Vec<u8>) -> Characters {
        Characters { name, text, at: 0, line: 1, pushed: Vec::new() }
    }

    /// The octet after `ahead` others.
    pub fn peek(&self, ahead: usize) -> Option<u8> {
        match self.pushed.len().checked_sub(ahead + 1) {
            Some(index) => Some(self.pushed[index]),
            None => self.text.get(self.at + ahead - self.pushed.len()).copied(),
        }
    }

    pub fn next(&mut self) -> Option<u8> {
        if let Some(octet) = self.pushed.pop() {
            return Some(octet);
        }
        let octet = *self.text.get(self.at)?;
        self.at += 1;
        self.line += usize::from(octet == b'\n');
        Some(octet)
    }

    /// Puts a definition where its name stood. It may end within a line, so a comment in it goes on behind it.
    pub fn push_back(&mut self, text: &[u8]) {
        self.pushed.extend(text.iter().rev());
    }

    /// How much was put back and is not read yet.
    pub fn pending(&self) -> usize {
        self.pushed.len()
    }

    pub fn starts_with(&self, text: &str) -> bool {
        text.bytes().enumerate().all(|(ahead, octet)| self.peek(ahead) == Some(octet))
    }

    pub fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    /// Takes octets as long as they fit.
    pub fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> Vec<u8> {
        let mut taken = Vec::new();
        while let Some(octet) = self.peek(0).filter(|octet| fits(*octet)) {
            taken.push(octet);
            self.next();
        }
        taken
    }

    /// The word under the cursor, which stays there.
    pub fn word(&self) -> Vec<u8> {
        let mut word = Vec::new();
        while let Some(octet) = self.peek(word.len()).filter(|octet| is_word(*octet)) {
            word.push(octet);
        }
        word
    }
}

/// A letter, digit or underscore.
pub(super) fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

/// What separates words within a line.
pub(super) fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | 8)
}
