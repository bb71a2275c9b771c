// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads secrets from the command line, a file or standard input, and wipes secret texts from memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const MAX_LEN: u64 = 64 * 1024;

/// A text of the state file that is wiped from memory when it is dropped.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(from = "String", into = "String")]
pub struct Wiped(Zeroizing<String>);

impl Wiped {
    /// The text, which is a secret.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl From<String> for Wiped {
    fn from(text: String) -> Wiped {
        Wiped(Zeroizing::new(text))
    }
}

impl From<Wiped> for String {
    fn from(text: Wiped) -> String {
        text.0.to_string()
    }
}

/// A token or a code as it was typed, or read from standard input if that is `-`.
pub fn typed_or_read(text: &str, what: &str) -> Result<String, String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let read = read_text(io::stdin()).map_err(|e| format!("{what} cannot be read from standard input: {e}"))?;
    Ok(read.trim().to_owned())
}

/// A token from a file.
pub fn token_file(path: &Path) -> Result<String, String> {
    let read = File::open(path).and_then(read_text);
    let text = read.map_err(|e| format!("--token-file {} cannot be read: {e}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// A password from a file, or from standard input if that is `-`. White space may belong to the password, the line end
/// does not.
pub fn password_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let read = if path == Path::new("-") { read_text(io::stdin()) } else { File::open(path).and_then(read_text) };
    let mut text = read.map_err(|e| format!("--password-file {} cannot be read: {e}", path.display()))?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

fn read_text(source: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    source.take(MAX_LEN).read_to_string(&mut text)?;
    Ok(text)
}
