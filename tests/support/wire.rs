// SPDX-License-Identifier: MIT OR Apache-2.0

//! The captures of `tests/vectors/wire`: what six SIP stacks really send.

use super::kit;
use super::sip::{Client, Reply, unique};
use std::{fs, io};

/// A recorded REGISTER.
pub struct Capture {
    pub name: String,
    pub octets: Vec<u8>,
}

/// All captures, by name.
pub fn captures() -> Vec<Capture> {
    let folder = fs::read_dir(kit::path("tests/vectors/wire")).expect("part of the project");
    let mut all: Vec<Capture> = folder
        .map(|entry| entry.expect("readable").path())
        .map(|path| Capture {
            name: path.file_stem().expect("a file").to_string_lossy().into_owned(),
            octets: fs::read(&path).expect("readable"),
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

impl Capture {
    /// The capture with a fresh token in the place of its own; nothing else changes.
    pub fn with_token(&self, token: &str) -> Vec<u8> {
        let text = self.text();
        let old = self.token();
        assert_eq!(text.matches(old).count(), 1, "{}: one token", self.name);
        text.replace(old, token).into_bytes()
    }

    /// True if it says how long its body is, as it must over a stream.
    pub fn has_length(&self) -> bool {
        self.text()
            .lines()
            .any(|line| line.to_ascii_lowercase().starts_with("content-length:") || line.starts_with("l:"))
    }

    /// The token that was captured.
    pub fn token(&self) -> &str {
        let text = self.text();
        let start = text.find("Bearer ").expect("a Bearer credential");
        let start = start + text[start..].find("eyJ").expect("a JWT");
        let outside = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
        let length = text[start..].find(outside).expect("a line ends");
        &text[start..start + length]
    }

    /// The value of the Authorization header as captured.
    pub fn authorization(&self) -> &str {
        let line = self.text().lines().find_map(|line| line.strip_prefix("Authorization: "));
        line.expect("a REGISTER with credentials")
    }

    /// Sends the capture with a fresh token. A server that has seen it before
    /// must not take it for a retransmission, so Call-ID and branch become new.
    /// Over UDP the server has to use `force_rport()`: some stacks do not ask for it.
    pub fn replay(&self, client: &mut Client, token: &str) -> io::Result<Reply> {
        let message = String::from_utf8(self.with_token(token)).expect("the captures are text");
        let mut fresh = String::new();
        for line in message.split_inclusive("\r\n") {
            match line.split_once("branch=") {
                Some((before, after)) if line.starts_with("Via:") => {
                    let end = after.find([';', '\r']).expect("a line ends");
                    fresh += &format!("{before}branch={}{}", unique("z9hG4bK"), &after[end..]);
                }
                _ if line.starts_with("Call-ID:") => fresh += &format!("Call-ID: {}\r\n", unique("c")),
                _ => fresh += line,
            }
        }
        client.exchange(fresh.as_bytes())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.octets).expect("the captures are text")
    }
}
