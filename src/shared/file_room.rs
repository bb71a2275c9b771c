// SPDX-License-Identifier: MIT OR Apache-2.0
//! Room on the disk for a file, and how large a file may be. SIGBUS kills a process that touches a mapped page for
//! which the disk has no room, and SIGXFSZ one that writes beyond its file size limit. So both are checked before.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsRawFd as _;

/// Has the file system set room aside for `length` octets from `offset` on. With `grow` the file reaches at least to
/// the end of that room afterwards, else its length stays. ErrorKind::Unsupported says that the file system cannot
/// do that, and that nothing was changed.
///
/// glibc's posix_fallocate is not used, because on such a file system it reads and writes octets that other
/// processes may be changing.
pub fn set_aside(file: &File, offset: u64, length: u64, grow: bool) -> Result<()> {
    let number = |n: u64| libc::off_t::try_from(n).map_err(|_| Error::from(ErrorKind::FileTooLarge));
    let mode = if grow { 0 } else { libc::FALLOC_FL_KEEP_SIZE };
    let (offset, length) = (number(offset)?, number(length)?);
    loop {
        // SAFETY: an open file; the call touches no memory of ours.
        if unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) } == 0 {
            return Ok(());
        }
        let error = Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => return Err(ErrorKind::Unsupported.into()),
            _ => return Err(error),
        }
    }
}

/// The largest file that this process may write, in octets (`ulimit -f`); u64::MAX: there is no limit.
pub fn largest_file() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours, and is written by the call.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) } == 0;
    if known && limit.rlim_cur != libc::RLIM_INFINITY { limit.rlim_cur } else { u64::MAX }
}

/// A lock on a folder. While it lives, no other process has one on the same folder. It ends with its process, too.
pub struct Alone(File);

impl Alone {
    /// Waits for the lock.
    pub fn new(folder: &std::path::Path) -> Result<Alone> {
        let folder = File::open(folder)?;
        // SAFETY: an open file; the call touches no memory of ours.
        while unsafe { libc::flock(folder.as_raw_fd(), libc::LOCK_EX) } != 0 {
            let error = Error::last_os_error();
            if error.kind() != ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(Alone(folder))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // SAFETY: an open file. A child that was forked meanwhile has a copy of it, so closing it may not be enough.
        unsafe { libc::flock(self.0.as_raw_fd(), libc::LOCK_UN) };
    }
}
