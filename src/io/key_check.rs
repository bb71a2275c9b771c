// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small file beside a local store that tells which key sealed it: it can be read before the fork, the store cannot.

use std::fs;
use std::io;
use std::path::Path;

const NAME: &str = "key-check";

/// What the file says; None when there is none.
pub fn read(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(NAME)).ok().map(|text| text.trim().to_owned())
}

/// Writes the file unless it is there.
pub fn write(folder: &Path, check: &str) -> io::Result<()> {
    if read(folder).is_some() {
        return Ok(());
    }
    let temporary = folder.join(format!("{NAME}.{}", std::process::id()));
    fs::write(&temporary, format!("{check}\n"))?;
    fs::rename(&temporary, folder.join(NAME))
}
