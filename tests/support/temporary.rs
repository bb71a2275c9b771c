// SPDX-License-Identifier: MIT OR Apache-2.0

//! A directory that goes away with its owner. `KEEP_TEST_FILES=1` keeps it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("sipoauth-{}-{count}-{name}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // A test program that was killed has left it, and its process id has come round.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("the temporary directory is not writable: {error}"),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, content).expect("the temporary directory is writable");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if std::env::var_os("KEEP_TEST_FILES").is_none() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
