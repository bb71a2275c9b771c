// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of an LMDB folder and their room on the disk. LMDB makes its lock file with a hole and maps it. On a
//! full disk, SIGBUS would kill the first process that needs a new page of it. So this module makes the files
//! without holes before LMDB maps them, and sets some room aside for what must be written whatever happens.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::shared::{file_room, mapped_store};
use sipoauth_core::ports::store::StoreError;

const DATA: &str = "data.mdb";
const LOCK: &str = "lock.mdb";
/// Pages that are set aside behind the last one in use. Changes and ends of records need them, and what follows from
/// a claim.
const AHEAD: u64 = 64;
/// Further pages that are set aside together with these, when there is room, so that not each write needs a call.
const AT_ONCE: u64 = 256;
/// Time between two looks at the files, in milliseconds.
const LOOK: i64 = 500;

/// Makes a folder (mode 0700) and its files, where they do not exist, with room for what LMDB will map and write first.
/// `map_size` is the largest size of the data file in octets.
pub fn prepare(folder: &Path, map_size: u64) -> std::result::Result<(), StoreError> {
    make(folder)?;
    within_limit(folder, map_size)?;
    let prepared = lock_file(folder).and_then(|()| data_file(folder));
    prepared.map_err(|e| failure(folder, &e))
}

/// Empties a data file of which the beginning was not finished, because LMDB would take it for a damaged one.
/// `was_empty`: the file was empty before that attempt.
pub fn undo_beginning(folder: &Path, was_empty: bool) {
    let file = OpenOptions::new().write(true).open(folder.join(DATA));
    let unfinished = |file: &File| file.metadata().is_ok_and(|meta| (1..2 * page()).contains(&meta.len()));
    if let Ok(file) = file.as_ref()
        && was_empty
        && unfinished(file)
    {
        let _ = file.set_len(0);
    }
}

/// True when nothing was ever written to the data file.
pub fn is_empty(folder: &Path) -> bool {
    folder.join(DATA).metadata().is_ok_and(|meta| meta.len() == 0)
}

/// Fails when a file may grow beyond the limit of this process, because SIGXFSZ would end the process then.
pub fn within_limit(folder: &Path, map_size: u64) -> std::result::Result<(), StoreError> {
    let largest = file_room::largest_file();
    let needed = map_size.max(mapped_store::LOCK_FILE);
    if largest >= needed {
        return Ok(());
    }
    Err(StoreError::ReadOnly(format!(
        "{}: this process may write files of {largest} octets, and the store may grow to {needed}; raise that limit (LimitFSIZE= of systemd, ulimit -f), or write a smaller store_size",
        folder.display()
    )))
}

fn make(folder: &Path) -> std::result::Result<(), StoreError> {
    let shown = folder.display();
    match DirBuilder::new().mode(0o700).create(folder) {
        // Whatever the umask is, the process must be able to reach its own files.
        Ok(()) => std::fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(|e| failure(folder, &e)),
        Err(_) if folder.is_dir() => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Err(StoreError::Away(format!("{shown} is not a folder; write the path of one in store, or move that away")))
        }
        Err(e) if e.kind() == ErrorKind::NotFound || e.kind() == ErrorKind::NotADirectory => {
            let parent = folder.parent().unwrap_or(folder).display();
            Err(StoreError::Away(format!(
                "{shown} cannot be made: the folder above it does not exist; make that one first: mkdir -p {parent}, and let it belong to the proxy's user"
            )))
        }
        Err(e) => Err(failure(folder, &e)),
    }
}

/// Opens a file of the folder, or makes it. Only its owner may read it, whatever the umask is. A file that root
/// makes in the folder of another user is given to that user, who could not open it otherwise.
fn open(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join(name);
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().create_new(true).open(&path) {
        Ok(file) => make_private(folder, &file).map(|()| file),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => options.open(&path),
        Err(e) => Err(e),
    }
}

/// Makes an empty file in the folder, which only the folder's owner may read. A file of that name loses its content.
pub fn new_file(folder: &Path, name: &str) -> Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(folder.join(name))?;
    make_private(folder, &file).map(|()| file)
}

/// Makes a new file private, and gives it to the owner of the folder.
fn make_private(folder: &Path, file: &File) -> Result<()> {
    file.set_permissions(Permissions::from_mode(0o600))?;
    let (owner, own) = (folder.metadata()?, file.metadata()?);
    if own.uid() == 0 && owner.uid() != 0 {
        std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Makes the lock file without a hole. Its length stays, because a process that has it mapped relies on that length.
fn lock_file(folder: &Path) -> Result<()> {
    let file = open(folder, LOCK)?;
    let length = file.metadata()?.len().max(mapped_store::LOCK_FILE);
    match file_room::set_aside(&file, 0, length, true) {
        Err(e) if e.kind() == ErrorKind::Unsupported => whole_lock_file(folder, &file, length),
        other => other,
    }
}

/// For file systems that cannot set room aside: writes zeros to a file that nobody can have mapped yet.
fn whole_lock_file(folder: &Path, file: &File, length: u64) -> Result<()> {
    if file.metadata()?.len() >= length {
        return Ok(());
    }
    let temporary = format!("{LOCK}.{}", std::process::id());
    let made = new_file(folder, &temporary).and_then(|new| new.write_all_at(&vec![0; length as usize], 0));
    let temporary = folder.join(temporary);
    let _one = file_room::Alone::new(folder)?;
    // Another process may have been faster.
    let renamed = made.and_then(|()| match folder.join(LOCK).metadata()?.len() {
        0 => std::fs::rename(&temporary, folder.join(LOCK)),
        _ => Ok(()),
    });
    let _ = std::fs::remove_file(&temporary);
    renamed
}

/// Makes a data file, still empty, with room for its first pages.
fn data_file(folder: &Path) -> Result<()> {
    let file = open(folder, DATA)?;
    if file.metadata()?.len() > 0 {
        return Ok(());
    }
    match file_room::set_aside(&file, 0, AHEAD * page(), false) {
        Err(e) if e.kind() == ErrorKind::Unsupported => Ok(()),
        other => other,
    }
}

/// The room that one process knows to be set aside for the data file.
pub struct Ahead {
    file: File,
    /// Room is set aside up to this offset.
    until: AtomicU64,
    map_size: u64,
}

impl Ahead {
    /// For a data file of which `used` octets are in use.
    pub fn new(file: File, used: u64, map_size: u64) -> Result<Ahead> {
        // A copy may have holes where the original had unused pages.
        let whole = file.metadata()?.blocks().saturating_mul(512) >= used;
        Ok(Ahead { file, until: AtomicU64::new(if whole { used } else { 0 }), map_size })
    }

    /// Makes sure that what will be written next has room. The process that may write calls this before it writes;
    /// `used` are the octets in use.
    pub fn make(&self, used: u64) -> Result<()> {
        let until = self.until.load(Relaxed);
        let needed = used.saturating_add(AHEAD * page()).min(self.map_size);
        if needed <= until {
            return Ok(());
        }
        let wished = needed.saturating_add(AT_ONCE * page()).min(self.map_size);
        let made = self.set_aside(until, wished, used).map(|()| wished);
        let made = made.or_else(|_| self.set_aside(until, needed, used).map(|()| needed))?;
        self.until.store(made, Relaxed);
        Ok(())
    }

    /// True unless the part in use may have holes.
    pub fn is_whole(&self) -> bool {
        self.until.load(Relaxed) > 0
    }

    fn set_aside(&self, from: u64, to: u64, used: u64) -> Result<()> {
        match file_room::set_aside(&self.file, from, to - from, true) {
            // Behind the part in use there is nothing that zeros could overwrite.
            Err(e) if e.kind() == ErrorKind::Unsupported => {
                let from = from.max(used);
                let zeros = vec![0; to.saturating_sub(from) as usize];
                self.file.write_all_at(&zeros, from)
            }
            other => other,
        }
    }
}

/// The files that were opened. Other files under their names would be another store, and another lock file for the
/// same data would let two processes write at once.
pub struct StoreFiles {
    names: [(u64, u64); 2],
    length: u64,
    /// When they were looked at last, Unix milliseconds.
    looked: AtomicI64,
}

impl StoreFiles {
    /// The files of a folder, just opened.
    pub fn new(folder: &Path) -> Result<StoreFiles> {
        let (names, length) = StoreFiles::look(folder)?;
        Ok(StoreFiles { names, length, looked: AtomicI64::new(i64::MIN) })
    }

    fn look(folder: &Path) -> Result<([(u64, u64); 2], u64)> {
        let (data, lock) = (folder.join(DATA).metadata()?, folder.join(LOCK).metadata()?);
        Ok(([(data.dev(), data.ino()), (lock.dev(), lock.ino())], data.len()))
    }

    /// Looks at the files now and then. False when they were taken away, replaced or cut off. A file that was cut
    /// off must not be read, because SIGBUS would end the process.
    pub fn are_there(&self, folder: &Path, now: i64) -> bool {
        if (0..LOOK).contains(&now.wrapping_sub(self.looked.load(Relaxed))) {
            return true;
        }
        self.looked.store(now, Relaxed);
        StoreFiles::look(folder).is_ok_and(|(names, length)| names == self.names && length >= self.length)
    }
}

/// Octets of a page.
fn page() -> u64 {
    mapped_store::page_size()
}

/// What is wrong with a folder, and what helps.
pub fn failure(folder: &Path, error: &Error) -> StoreError {
    let shown = folder.display();
    let fix = match error.raw_os_error() {
        Some(libc::ENOSPC) => {
            "its file system has no room, or no inodes; remove files there or enlarge it (df -h, df -i). Sessions go on as soon as there is room"
        }
        Some(libc::EIO) => "the disk has failed, or had no room for a whole write; look at dmesg and df -h",
        Some(libc::EDQUOT) => {
            "the quota of the proxy's user is used up; remove files of its own there or raise the quota. Sessions go on as soon as there is room"
        }
        Some(libc::EFBIG) => "the file is larger than it may be; raise the limit (LimitFSIZE= of systemd, ulimit -f)",
        Some(libc::EROFS) => "its file system is mounted read-only; mount it so that the proxy can write",
        Some(libc::EACCES | libc::EPERM) => {
            "the proxy's user may not write there; let the folder and its files belong to that user (chown -R), and let it enter the folders above"
        }
        _ => return StoreError::Away(format!("{shown}: {error}")),
    };
    StoreError::ReadOnly(format!("{shown}: {error}: {fix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_of_a_disk_says_what_helps() {
        let folder = Path::new("/var/lib/kamailio/sipoauth");
        for (number, words) in [
            (libc::ENOSPC, "df -i"),
            (libc::EDQUOT, "raise the quota"),
            (libc::EFBIG, "LimitFSIZE="),
            (libc::EROFS, "mounted read-only"),
            (libc::EACCES, "chown -R"),
            (libc::EPERM, "chown -R"),
            (libc::EIO, "dmesg"),
        ] {
            let StoreError::ReadOnly(text) = failure(folder, &Error::from_raw_os_error(number)) else {
                panic!("{number} is not about writing")
            };
            assert!(text.starts_with("/var/lib/kamailio/sipoauth: ") && text.contains(words), "{text}");
        }
        let other = failure(folder, &Error::from_raw_os_error(libc::EMFILE));
        assert!(matches!(other, StoreError::Away(_)), "{other}");
    }
}
