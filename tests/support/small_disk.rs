// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk that can be filled: a small file system of a test's own.
//!
//! The test runs once more in a process with its own mount namespace. What it mounts is seen by its own processes only,
//! and the kernel takes it away with the last of them, however the test ends.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::command;
use super::temporary::Directory;

const INSIDE: &str = "SIPOAUTH_TEST_MOUNTS";

/// Runs the body of the test with this name where it may mount.
pub fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut run = command("unshare");
    if fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0) {
        run.arg("--map-root-user");
    }
    run.arg("--mount").arg(std::env::current_exe().expect("a running program has a path"));
    run.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
    let status = run.status().expect("unshare is installed");
    assert!(status.success(), "{test}, in a mount namespace of its own: {status}");
}

/// A mounted file system; only within [`alone`].
pub struct SmallDisk {
    directory: Directory,
}

impl SmallDisk {
    /// A tmpfs with these options.
    pub fn new(name: &str, options: &str) -> SmallDisk {
        SmallDisk::of_kind(name, "tmpfs", options)
    }

    /// Another kind of file system without a device.
    pub fn of_kind(name: &str, kind: &str, options: &str) -> SmallDisk {
        assert!(std::env::var_os(INSIDE).is_some(), "a test that mounts runs alone()");
        let directory = Directory::new(name);
        mount(&["-t", kind, "-o", options, kind], directory.path());
        SmallDisk { directory }
    }

    /// Something on it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }

    /// Mounts it again with other options.
    pub fn remount(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], self.directory.path());
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.file("filler")).expect("an inode is left");
        for size in [65_536, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn empty(&self) {
        fs::remove_file(self.file("filler")).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.directory.path()).status();
    }
}

fn mount(arguments: &[&str], place: &Path) {
    let status = Command::new("mount").args(arguments).arg(place).status().expect("mount is installed");
    assert!(status.success(), "mount {arguments:?} {}: {status}", place.display());
}
