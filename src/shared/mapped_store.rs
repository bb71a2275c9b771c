// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps an LMDB environment into this process; all else about it is safe code in `store::lmdb`.

use std::path::Path;

use heed::{Env, EnvFlags, EnvOpenOptions};

/// Places for readers: one per thread of every process that has the folder open.
const MAX_READERS: u32 = 4096;
/// Octets of LMDB's lock file for this many readers: its head, which has room for one reader, and 64 for each
/// further one.
pub const LOCK_FILE: u64 = 192 + 64 * (MAX_READERS as u64 - 1);

/// Opens the environment of a folder that exists, of at most `map_size` octets (a multiple of the page size), with
/// room for `databases` named databases. Called after the fork only. Without `durable` commits are not synced.
pub fn open(folder: &Path, map_size: usize, databases: u32, durable: bool) -> heed::Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(map_size).max_dbs(databases).max_readers(MAX_READERS);
    // SAFETY: the map is read-only here and its file is changed by LMDB alone, under LMDB's own locks: the folder
    // belongs to this program and is not on a network file system. NO_SYNC leaves locking and the map as they are;
    // it only moves the time at which the kernel writes to the disk.
    unsafe {
        if !durable {
            options.flags(EnvFlags::NO_SYNC);
        }
        options.open(folder)
    }
}

/// Octets of a page of this machine, which is a page of a new data file, too.
pub fn page_size() -> u64 {
    // SAFETY: no memory is touched.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}
