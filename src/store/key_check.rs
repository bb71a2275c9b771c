// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small file beside a local store that tells which key sealed it. Unlike the store, it can be read before the fork.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::lmdb_room;
use sipoauth_core::ports::store::StoreError;

const NAME: &str = "key-check";

/// The content of the file; None when there is none.
pub fn read(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join(NAME)).ok()?;
    // A power cut may have left it without content.
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Writes the file unless it is there.
pub fn write(folder: &Path, check: &str) -> Result<(), StoreError> {
    if read(folder).is_some() {
        return Ok(());
    }
    let name = format!("{NAME}.{}", std::process::id());
    let temporary = folder.join(&name);
    let written = lmdb_room::new_file(folder, &name).and_then(|mut file| {
        file.write_all(format!("{check}\n").as_bytes())?;
        fs::rename(&temporary, folder.join(NAME))
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        lmdb_room::failure(folder, &error)
    })
}
