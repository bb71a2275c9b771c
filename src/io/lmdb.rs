// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sessions in a folder, by LMDB: every process of one proxy opens it, readers take no lock.
//!
//! A record is its end, its due time and its value under the key. Two further databases hold the keys in the order
//! of their ends and of their due times; all three change in one transaction. A process that is killed in the middle
//! of one leaves the state before it, and the next writer takes over the lock of the dead one.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::ops::Bound;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, MdbError, RoTxn, RwTxn};

use crate::arena::mapped_store;
use crate::ports::store::{MAX_VALUE, Page, Store, StoreError, Usage, Write};

/// Names of the databases: records, keys by their ends, keys by their due times.
const DATABASES: [&str; 3] = ["records", "by_expiry", "by_due"];
/// Most records that one upkeep drops.
const MOST_DROPPED: usize = 4096;
/// End and due time before a value.
const HEADER: usize = 16;
/// Stands for no due time.
const NEVER: i64 = i64::MAX;

type Table = Database<'static, Bytes, Bytes>;

/// A folder with sessions.
pub struct LmdbStore(Arc<Opened>);

struct Opened {
    env: Env,
    folder: PathBuf,
    process: u32,
    durable: bool,
    records: Table,
    by_expiry: Table,
    by_due: Table,
}

/// What this process has open: LMDB must not map a folder twice in one process.
static OPENED: Mutex<Vec<Weak<Opened>>> = Mutex::new(Vec::new());

impl LmdbStore {
    /// Opens a folder, or makes it (mode 0700) when only its parent exists. Called after the fork. Opened again in
    /// the same process it is the same store, with the size it has already.
    pub fn open(folder: &Path, size_mib: u32, durable: bool) -> Result<LmdbStore, StoreError> {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|weak| weak.strong_count() > 0);
        if let Some(same) = opened.iter().filter_map(Weak::upgrade).find(|o| o.folder == folder) {
            if same.process != std::process::id() {
                return Err(StoreError::Away(format!("{} was opened before the fork", folder.display())));
            }
            return Ok(LmdbStore(same));
        }
        let store = Arc::new(Opened::new(folder, size_mib, durable)?);
        opened.push(Arc::downgrade(&store));
        Ok(LmdbStore(store))
    }
}

impl Opened {
    fn new(folder: &Path, size_mib: u32, durable: bool) -> Result<Opened, StoreError> {
        make(folder)?;
        let failed = |e: heed::Error| failure(folder, &e);
        let env = mapped_store::open(folder, (size_mib as usize) << 20, 3, durable).map_err(failed)?;
        make_whole(folder, &env)?;
        let (records, by_expiry, by_due) = match tables(&env).map_err(failed)? {
            Some(tables) => tables,
            None => new_tables(&env).map_err(failed)?,
        };
        let folder = folder.to_path_buf();
        Ok(Opened { env, folder, process: std::process::id(), durable, records, by_expiry, by_due })
    }

    fn failed(&self) -> impl Fn(heed::Error) -> StoreError {
        |e| failure(&self.folder, &e)
    }

    /// Splits what is stored under a key.
    fn record<'t>(&self, octets: &'t [u8]) -> Result<Record<'t>, StoreError> {
        let damaged = || StoreError::Corrupt(format!("{}: a record is too short", self.folder.display()));
        let (expires_at, rest) = octets.split_first_chunk().ok_or_else(damaged)?;
        let (due_at, value) = rest.split_first_chunk().ok_or_else(damaged)?;
        Ok(Record { expires_at: i64::from_le_bytes(*expires_at), due_at: i64::from_le_bytes(*due_at), value })
    }

    fn find<'t>(&self, txn: &'t RoTxn, key: &str) -> Result<Option<Record<'t>>, StoreError> {
        let found = self.records.get(txn, key.as_bytes()).map_err(self.failed())?;
        found.map(|octets| self.record(octets)).transpose()
    }

    /// Deletes a record of which the end and the due time are known, with its places in the order.
    fn delete(&self, txn: &mut RwTxn, key: &[u8], expires_at: i64, due_at: i64) -> heed::Result<()> {
        self.by_expiry.delete(txn, &ordered(expires_at, key))?;
        if due_at != NEVER {
            self.by_due.delete(txn, &ordered(due_at, key))?;
        }
        self.records.delete(txn, key)?;
        Ok(())
    }

    /// Pages of the file that may be in use, pages that are, and those kept back so that a full store can still
    /// delete: LMDB writes new copies of the pages it changes before the old ones are free.
    fn pages(&self, txn: &RoTxn) -> heed::Result<Pages> {
        let main = self.env.unnamed_database_stat();
        let mut used = 2 + main.branch_pages + main.leaf_pages;
        for table in [&self.records, &self.by_expiry, &self.by_due] {
            let stat = table.stat(txn)?;
            used += stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
        }
        let size = main.page_size as usize;
        let all = self.env.info().map_size / size;
        let reserve = (all / 8).clamp(64, 1024);
        Ok(Pages { size, used, limit: all.saturating_sub(reserve), reserve })
    }

    /// Drops at most so many expired records in one transaction.
    fn drop_expired(&self, now: i64, limit: usize) -> Result<usize, StoreError> {
        let end = ordered(now.saturating_add(1), &[]);
        let range: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Excluded(&end));
        {
            let txn = self.env.read_txn().map_err(self.failed())?;
            if self.by_expiry.range(&txn, &range).map_err(self.failed())?.next().is_none() {
                return Ok(0);
            }
        }
        let mut txn = self.env.write_txn().map_err(self.failed())?;
        let mut old = Vec::new();
        for entry in self.by_expiry.range(&txn, &range).map_err(self.failed())?.take(limit) {
            old.push(entry.map_err(self.failed())?.0.to_vec());
        }
        for place in &old {
            let (expires_at, key) = unordered(place);
            let due_at = match self.records.get(&txn, key).map_err(self.failed())? {
                Some(octets) => self.record(octets)?.due_at,
                None => NEVER,
            };
            self.delete(&mut txn, key, expires_at, due_at).map_err(self.failed())?;
        }
        txn.commit().map_err(self.failed())?;
        Ok(old.len())
    }
}

struct Record<'t> {
    expires_at: i64,
    due_at: i64,
    value: &'t [u8],
}

struct Pages {
    size: usize,
    used: usize,
    limit: usize,
    reserve: usize,
}

impl Store for LmdbStore {
    fn get(&self, key: &str, now: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let store = &*self.0;
        let txn = store.env.read_txn().map_err(store.failed())?;
        let found = store.find(&txn, key)?.filter(|r| r.expires_at > now);
        Ok(found.map(|r| r.value.to_vec()))
    }

    fn put(&self, write: &Write<'_>, expected: Option<&[u8]>, now: i64) -> Result<bool, StoreError> {
        let store = &*self.0;
        if write.value.len() > MAX_VALUE {
            return Err(StoreError::Full);
        }
        let key = write.key.as_bytes();
        let mut txn = store.env.write_txn().map_err(store.failed())?;
        let mut room = 0;
        if let Some(old) = store.find(&txn, write.key)? {
            if expected != (old.expires_at > now).then_some(old.value) {
                return Ok(false);
            }
            room = old.value.len();
            let (expires_at, due_at) = (old.expires_at, old.due_at);
            store.delete(&mut txn, key, expires_at, due_at).map_err(store.failed())?;
        } else if expected.is_some() {
            return Ok(false);
        }
        // What takes no more room than before may use the reserve, so that sessions go on in a full store.
        if write.value.len() > room || room == 0 {
            let pages = store.pages(&txn).map_err(store.failed())?;
            let needed = (HEADER + key.len() + write.value.len()).div_ceil(pages.size) + 3;
            if pages.used + needed > pages.limit {
                return Err(StoreError::Full);
            }
        }
        let due_at = write.due_at.unwrap_or(NEVER);
        let mut octets = Vec::with_capacity(HEADER + write.value.len());
        octets.extend_from_slice(&write.expires_at.to_le_bytes());
        octets.extend_from_slice(&due_at.to_le_bytes());
        octets.extend_from_slice(write.value);
        store.records.put(&mut txn, key, &octets).map_err(store.failed())?;
        store.by_expiry.put(&mut txn, &ordered(write.expires_at, key), &[]).map_err(store.failed())?;
        if due_at != NEVER {
            store.by_due.put(&mut txn, &ordered(due_at, key), &[]).map_err(store.failed())?;
        }
        txn.commit().map_err(store.failed())?;
        Ok(true)
    }

    fn remove(&self, key: &str, expected: Option<&[u8]>) -> Result<bool, StoreError> {
        let store = &*self.0;
        let mut txn = store.env.write_txn().map_err(store.failed())?;
        let found = store.find(&txn, key)?.filter(|r| expected.is_none_or(|e| e == r.value));
        let Some((expires_at, due_at)) = found.map(|r| (r.expires_at, r.due_at)) else {
            return Ok(false);
        };
        store.delete(&mut txn, key.as_bytes(), expires_at, due_at).map_err(store.failed())?;
        txn.commit().map_err(store.failed())?;
        Ok(true)
    }

    fn due(&self, now: i64, limit: usize) -> Result<Vec<String>, StoreError> {
        let store = &*self.0;
        let txn = store.env.read_txn().map_err(store.failed())?;
        let end = ordered(now.saturating_add(1), &[]);
        let range: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Excluded(&end));
        let mut keys = Vec::new();
        for entry in store.by_due.range(&txn, &range).map_err(store.failed())? {
            if keys.len() == limit {
                break;
            }
            let (place, _) = entry.map_err(store.failed())?;
            let key = String::from_utf8_lossy(unordered(place).1).into_owned();
            if store.find(&txn, &key)?.is_some_and(|r| r.expires_at > now) {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Page, StoreError> {
        let store = &*self.0;
        let txn = store.env.read_txn().map_err(store.failed())?;
        let start = match from {
            Some(last) => Bound::Excluded(last.as_bytes()),
            None if prefix.is_empty() => Bound::Unbounded,
            None => Bound::Included(prefix.as_bytes()),
        };
        let mut page = Page::default();
        let range: (Bound<&[u8]>, Bound<&[u8]>) = (start, Bound::Unbounded);
        for entry in store.records.range(&txn, &range).map_err(store.failed())? {
            let (key, _) = entry.map_err(store.failed())?;
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            if page.keys.len() == limit.max(1) {
                page.next = page.keys.last().cloned();
                break;
            }
            page.keys.push(String::from_utf8_lossy(key).into_owned());
        }
        Ok(page)
    }

    fn upkeep(&self, now: i64) -> Result<u64, StoreError> {
        let store = &*self.0;
        // A killed reader would keep the pages that it saw from being used again.
        store.env.clear_stale_readers().map_err(store.failed())?;
        let reserve = store.env.read_txn().and_then(|txn| store.pages(&txn)).map_err(store.failed())?.reserve;
        // Few enough for the copies of the changed pages to find room in the reserve.
        let batch = reserve / 16;
        let mut dropped = 0;
        let mut result = Ok(());
        while dropped < MOST_DROPPED {
            match store.drop_expired(now, batch) {
                Ok(count) => dropped += count,
                Err(e) => result = Err(e),
            }
            if result.is_err() || !dropped.is_multiple_of(batch) || dropped == 0 {
                break;
            }
        }
        if !store.durable {
            store.env.force_sync().map_err(store.failed())?;
        }
        result.map(|()| dropped as u64)
    }

    /// Octets are whole pages; beyond the limit records can be changed and removed, but none can be added.
    fn usage(&self) -> Result<Usage, StoreError> {
        let store = &*self.0;
        let txn = store.env.read_txn().map_err(store.failed())?;
        let pages = store.pages(&txn).map_err(store.failed())?;
        let records = store.records.len(&txn).map_err(store.failed())?;
        Ok(Usage { records, bytes: (pages.used * pages.size) as u64, limit: (pages.limit * pages.size) as u64 })
    }
}

/// A key of an index: the time such that octets sort as times do, then the record's key.
fn ordered(time: i64, key: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(8 + key.len());
    octets.extend_from_slice(&(time as u64 ^ 1 << 63).to_be_bytes());
    octets.extend_from_slice(key);
    octets
}

/// The parts of a key of an index.
fn unordered(place: &[u8]) -> (i64, &[u8]) {
    match place.split_first_chunk() {
        Some((time, key)) => ((u64::from_be_bytes(*time) ^ 1 << 63) as i64, key),
        None => (0, &[]),
    }
}

fn make(folder: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Err(StoreError::Away(format!("{} is not a folder", folder.display())))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Err(StoreError::Away(format!(
            "{} cannot be made: the folder above it does not exist; make that one first",
            folder.display()
        ))),
        made => made.map_err(|e| failure(folder, &heed::Error::Io(e))),
    }
}

/// Gives the file its full length, as a hole that takes no room. From then on a file that ends before its last used
/// page was cut off, which is found here: later, reading behind its end would kill the process.
fn make_whole(folder: &Path, env: &Env) -> Result<(), StoreError> {
    let failed = |e: std::io::Error| failure(folder, &heed::Error::Io(e));
    let file = env.try_clone_inner_file().map_err(|e| failure(folder, &e))?;
    let length = file.metadata().map_err(failed)?.len();
    let info = env.info();
    let used = (info.last_page_number as u64 + 1) * u64::from(env.unnamed_database_stat().page_size);
    if length < used {
        return Err(StoreError::Corrupt(format!(
            "{}: data.mdb has {length} octets, but {used} are in use; it was cut off. {REMEDY}",
            folder.display()
        )));
    }
    if length < info.map_size as u64 {
        file.set_len(info.map_size as u64).map_err(failed)?;
    }
    Ok(())
}

const REMEDY: &str = "Restore the folder from a backup, or move it away: a new one is made, and phones sign in again";

type Tables = (Table, Table, Table);

fn tables(env: &Env) -> heed::Result<Option<Tables>> {
    let opened = env.open_databases_and_commit::<_, _, (), heed::Error>(env.read_txn()?, |opener, txn| {
        let [records, by_expiry, by_due] = DATABASES.map(|name| opener.open_database::<Bytes, Bytes>(txn, Some(name)));
        Ok(CommitOrAbort::Commit((records?, by_expiry?, by_due?)))
    })?;
    Ok(match opened.commit() {
        Some((Some(records), Some(by_expiry), Some(by_due))) => Some((records, by_expiry, by_due)),
        _ => None,
    })
}

fn new_tables(env: &Env) -> heed::Result<Tables> {
    let made = env.create_databases_and_commit::<_, _, (), heed::Error>(env.write_txn()?, |opener, txn| {
        let [records, by_expiry, by_due] =
            DATABASES.map(|name| opener.create_database::<Bytes, Bytes>(txn, Some(name)));
        Ok(CommitOrAbort::Commit((records?, by_expiry?, by_due?)))
    })?;
    Ok(made.commit().expect("the closure above never aborts"))
}

fn failure(folder: &Path, error: &heed::Error) -> StoreError {
    let text = format!("{}: {error}", folder.display());
    match error {
        heed::Error::Mdb(MdbError::MapFull | MdbError::TxnFull) => StoreError::Full,
        heed::Error::Mdb(
            MdbError::Invalid
            | MdbError::VersionMismatch
            | MdbError::Corrupted
            | MdbError::PageNotFound
            | MdbError::CursorFull
            | MdbError::PageFull
            | MdbError::Incompatible
            | MdbError::Problem,
        ) => StoreError::Corrupt(format!("{text}. {REMEDY}")),
        // No room on the disk, too: nothing that store_size could help.
        heed::Error::Io(e)
            if matches!(
                e.raw_os_error(),
                Some(libc::EROFS | libc::EACCES | libc::EPERM | libc::ENOSPC | libc::EDQUOT)
            ) =>
        {
            StoreError::ReadOnly(text)
        }
        _ => StoreError::Away(text),
    }
}
