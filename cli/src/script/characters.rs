// SPDX-License-Identifier: MIT OR Apache-2.0
//! The octets of a file and of the definitions that are expanded in it, with the current line.

/// One file that is being read.
pub(super) struct Characters {
    /// Its path, for messages. Relative includes start from its directory.
    pub name: String,
    text: Vec<u8>,
    at: usize,
    /// The line of the next octet, from 1.
    pub line: usize,
    /// Octets that were put back, in reverse order. They are read first.
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

    /// Puts the value of a definition where its name stood. The value may end within a line, so a comment in the value
    /// goes on in the text behind it.
    pub fn push_back(&mut self, text: &[u8]) {
        self.pushed.extend(text.iter().rev());
    }

    /// How many octets were put back and are not read yet.
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

    /// Takes octets as long as `fits` accepts them.
    pub fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> Vec<u8> {
        let mut taken = Vec::new();
        while let Some(octet) = self.peek(0).filter(|octet| fits(*octet)) {
            taken.push(octet);
            self.next();
        }
        taken
    }

    /// The word at the cursor. The cursor does not move.
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
