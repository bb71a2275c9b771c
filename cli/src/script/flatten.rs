// SPDX-License-Identifier: MIT OR Apache-2.0
//! Puts the files of an OpenSIPS configuration together, line by line. OpenSIPS does the same before it looks for
//! comments and texts: a line that includes a file does so in a comment, too, and a comment may end in another file.

use super::included::{self, MAX_FILES, limited};
use super::{IncludedFiles, MAX_FILE};
use sipoauth_core::config::ConfigError;

/// Deepest nesting of files, with the first one, as in OpenSIPS.
const MAX_DEPTH: usize = 20;
/// Largest configuration in octets.
const MAX_TEXT: usize = 4 * MAX_FILE;

/// The text of all files.
pub(super) struct Flattened {
    pub text: Vec<u8>,
    pub origin: Origin,
}

/// Where the lines of the text are from.
#[derive(Default)]
pub(super) struct Origin {
    files: Vec<String>,
    /// For each line the index of its file, and its line there, from 1.
    lines: Vec<(usize, usize)>,
}

impl Origin {
    /// `FILE:LINE` of a line of the text, from 1. Behind the end it is the last line.
    pub fn place(&self, line: usize) -> String {
        let index = line.saturating_sub(1).min(self.lines.len().saturating_sub(1));
        match self.lines.get(index) {
            Some((file, line)) => format!("{}:{line}", self.files[*file]),
            None => format!("{}:1", self.files.first().map_or("", |file| file)),
        }
    }
}

/// Puts a file and what it includes together.
pub(super) fn flatten(name: String, octets: Vec<u8>, files: &dyn IncludedFiles) -> Result<Flattened, ConfigError> {
    let mut flattener = Flattener { files, text: Vec::new(), origin: Origin::default() };
    flattener.add(name, octets, 1)?;
    Ok(Flattened { text: flattener.text, origin: flattener.origin })
}

struct Flattener<'f> {
    files: &'f dyn IncludedFiles,
    text: Vec<u8>,
    origin: Origin,
}

impl Flattener<'_> {
    fn add(&mut self, name: String, octets: Vec<u8>, depth: usize) -> Result<(), ConfigError> {
        let octets = limited(&name, octets)?;
        let file = self.origin.files.len();
        self.origin.files.push(name.clone());
        for (line, number) in octets.split_inclusive(|octet| *octet == b'\n').zip(1..) {
            let Some(wanted) = included_name(line) else {
                self.origin.lines.push((file, number));
                self.text.extend(line);
                if !line.ends_with(b"\n") {
                    self.text.push(b'\n');
                }
                continue;
            };
            let failed = |sentence: String| ConfigError(format!("{name}:{number}: {sentence}"));
            if depth >= MAX_DEPTH || self.origin.files.len() > MAX_FILES || self.text.len() > MAX_TEXT {
                return Err(failed(format!("too many included files at {wanted}; does a file include itself?")));
            }
            let (path, octets) = included::read(&wanted, &name, self.files).map_err(failed)?;
            self.add(path, octets, depth + 1)?;
        }
        Ok(())
    }
}

/// The name of the file that a line includes. OpenSIPS ignores what stands behind the name. Without a name in quotes the
/// line stays as it is, and the words of it are an error unless it is in a comment.
fn included_name(line: &[u8]) -> Option<String> {
    let line = line.trim_ascii_start();
    let rest = line.strip_prefix(b"include_file").or_else(|| line.strip_prefix(b"import_file"))?.trim_ascii_start();
    let (quote, rest) = rest.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
    let end = rest.iter().position(|octet| octet == quote)?;
    // OpenSIPS takes no name of one letter.
    (end >= 2).then(|| String::from_utf8_lossy(&rest[..end]).into_owned())
}
