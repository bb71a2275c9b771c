// SPDX-License-Identifier: MIT OR Apache-2.0
//! A password from a file, from standard input, or from a terminal that does not show it.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::Command;

use zeroize::Zeroizing;

/// Longest password in octets.
const MAX: usize = 4096;

/// Reads a password: the first line, without its end.
pub fn read(file: Option<&Path>) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::with_capacity(MAX));
    // One octet more shows that the password is too long. A cut password would give another key.
    let most = MAX as u64 + 1;
    match file {
        Some(path) => {
            let read = File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
            read.map_err(|e| format!("{}: cannot be read: {e}", path.display()))?;
        }
        None => {
            let _hidden = io::stdin().is_terminal().then(Hidden::new);
            let read = io::stdin().lock().take(most).read_line(&mut text);
            read.map_err(|e| format!("standard input cannot be read: {e}"))?;
        }
    }
    let end = text.find(['\r', '\n']).unwrap_or(text.len());
    text.truncate(end);
    if text.is_empty() || text.len() > MAX {
        return Err(if text.is_empty() { "the password is empty" } else { "the password is too long" }.into());
    }
    Ok(text)
}

/// Until this is dropped, the terminal does not show what is typed.
struct Hidden;

impl Hidden {
    fn new() -> Hidden {
        let _ = write!(io::stderr(), "Password: ");
        // Without stty the password is visible, but only to the user who types it.
        let _ = Command::new("stty").arg("-echo").status();
        Hidden
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = Command::new("stty").arg("echo").status();
        let _ = writeln!(io::stderr());
    }
}
