// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the files that a configuration includes, and limits how much is read.

use std::path::{Path, PathBuf};

use super::{IncludedFiles, MAX_FILE};
use sipoauth_core::config::ConfigError;

/// Most files that are read in all.
pub(super) const MAX_FILES: usize = 1000;

/// Reads the file that is included as `name` in the file `including`. The result has its path and its octets. The error
/// is a sentence.
///
/// Looks for a relative name beside the including file first. The proxy looks first in the working directory that it is
/// started in, but that is not known here.
pub(super) fn read(name: &str, including: &str, files: &dyn IncludedFiles) -> Result<(String, Vec<u8>), String> {
    let beside = Path::new(including).parent().unwrap_or(Path::new("")).join(name);
    let mut failure = None;
    for path in [beside, PathBuf::from(name)] {
        match files.read(&path) {
            Ok(octets) => return Ok((path.display().to_string(), octets)),
            Err(e) => failure = failure.or(Some(format!("{}: {e}", path.display()))),
        }
    }
    Err(format!("the included file cannot be read: {}", failure.unwrap_or_default()))
}

/// Returns the octets of a file that is not too long.
pub(super) fn limited(name: &str, octets: Vec<u8>) -> Result<Vec<u8>, ConfigError> {
    match octets.len() {
        0..=MAX_FILE => Ok(octets),
        length => Err(ConfigError(format!("{name}: has {length} octets, at most {MAX_FILE} are read"))),
    }
}
