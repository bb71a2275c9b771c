// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sessions in a folder, by LMDB. Every process of one proxy opens the folder; readers take no lock.
//!
//! A record is its end, its due time and its value, under its key. A second database holds places in the order of
//! time. A place is a time and the beginning of a key. Its time is when there is something to do: when the record is
//! due or, if that comes first, when it ends. Records whose places would be equal share one. A record and its place
//! change in one transaction. A process that is killed in the middle of a transaction leaves the state before it,
//! and the next writer takes over the lock of the dead process.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, MdbError, PutFlags, RoTxn, RwTxn};
use smallvec::SmallVec;

use super::lmdb_keys::{
    NEVER, Times, first_packed, is_plain, packed, place_name, push_times, split_time, split_times, time_octets,
    unpacked,
};
use super::lmdb_room::{self, Ahead, StoreFiles};
use crate::shared::mapped_store;
use sipoauth_core::ports::store::{MAX_VALUE, Page, Store, StoreError, StoreUsage, Swap, Write};

/// Names of the databases: records, and places by time.
const DATABASES: [&str; 2] = ["sessions", "places"];
/// Databases of builds before the first release.
const OUTDATED: [&str; 2] = ["by_expiry", "times"];
/// Most records that one upkeep drops.
const MOST_DROPPED: usize = 4096;
/// Most entries by time that one call looks at.
const MOST_LOOKED: usize = 65_536;
/// Most records that one transaction writes. The copies of the pages that it changes find room in what is set aside.
const MOST_TOGETHER: usize = 16;
/// Most octets of end and due time before a value.
const HEADER: usize = 12;

type Table = Database<'static, Bytes, Bytes>;
type Place = SmallVec<[u8; 24]>;

/// A folder with sessions.
pub struct LmdbStore(Arc<OpenEnvironment>);

struct OpenEnvironment {
    env: Env,
    folder: PathBuf,
    process: u32,
    durable: bool,
    records: Table,
    times: Table,
    ahead: Ahead,
    files: StoreFiles,
    /// Set when the files are gone, or when LMDB writes no more until it is opened again: it could not write the
    /// page that says which pages count.
    given_up: AtomicBool,
    /// Where the next upkeep goes on if the last one has not looked at everything that is overdue.
    upkept: Mutex<Option<Vec<u8>>>,
}

/// The folders that this process has open, because LMDB must not map a folder twice in one process.
static OPENED: Mutex<Vec<Weak<OpenEnvironment>>> = Mutex::new(Vec::new());

impl LmdbStore {
    /// Opens a folder, or makes it (mode 0700) when only its parent exists. Called after the fork. A second call in
    /// the same process returns the same store, with the size that it has already.
    pub fn open(folder: &Path, size_mib: u32, durable: bool) -> Result<LmdbStore, StoreError> {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|weak| weak.upgrade().is_some_and(|opened| !opened.given_up.load(Relaxed)));
        if let Some(same) = opened.iter().filter_map(Weak::upgrade).find(|o| o.folder == folder) {
            if same.process != std::process::id() {
                return Err(StoreError::Away(format!("{} was opened before the fork", folder.display())));
            }
            return Ok(LmdbStore(same));
        }
        let store = Arc::new(OpenEnvironment::new(folder, size_mib, durable)?);
        opened.push(Arc::downgrade(&store));
        Ok(LmdbStore(store))
    }
}

impl OpenEnvironment {
    fn new(folder: &Path, size_mib: u32, durable: bool) -> Result<OpenEnvironment, StoreError> {
        let size = (size_mib as usize) << 20;
        lmdb_room::prepare(folder, size as u64)?;
        let failed = |e: heed::Error| failure(folder, &e);
        let is_new = lmdb_room::is_empty(folder);
        let opened = mapped_store::open(folder, size, 4, durable);
        let env = opened.inspect_err(|_| lmdb_room::undo_beginning(folder, is_new)).map_err(failed)?;
        let ahead = make_whole(folder, &env)?;
        let files = StoreFiles::new(folder).map_err(|e| lmdb_room::failure(folder, &e))?;
        let (records, times) = match tables(&env).map_err(failed)? {
            Some(tables) => tables,
            None if is_outdated(&env).map_err(failed)? => {
                let what = "its sessions were stored by a build before the first release";
                return Err(StoreError::Corrupt(format!("{}: {what}. {REMEDY}", folder.display())));
            }
            None => {
                ahead.make(used(&env)).map_err(|e| lmdb_room::failure(folder, &e))?;
                new_tables(&env).map_err(failed)?
            }
        };
        let (folder, process) = (folder.to_path_buf(), std::process::id());
        let (given_up, upkept) = (AtomicBool::new(false), Mutex::default());
        let opened = OpenEnvironment { env, folder, process, durable, records, times, ahead, files, given_up, upkept };
        if !opened.ahead.is_whole() {
            // If there is no room, sessions can still be read.
            let _ = opened.begin();
        }
        Ok(opened)
    }

    fn failed(&self) -> impl Fn(heed::Error) -> StoreError {
        |e| {
            if matches!(e, heed::Error::Mdb(MdbError::Panic)) {
                self.given_up.store(true, Relaxed);
            }
            failure(&self.folder, &e)
        }
    }

    /// Fails when the files were taken away or replaced while they are in use. The next opening uses the files that
    /// are there then.
    fn still_there(&self, now: i64) -> Result<(), StoreError> {
        if self.files.are_there(&self.folder, now) {
            return Ok(());
        }
        self.given_up.store(true, Relaxed);
        Err(StoreError::Away(format!(
            "{}: its files were removed, replaced or cut off while they are in use; what is there now is opened instead",
            self.folder.display()
        )))
    }

    /// Begins a change and tries to set room aside for it. The inner result says whether there is room. It matters
    /// only for a change that adds a record, because the others use the room that was set aside before.
    fn begin(&self) -> Result<(RwTxn<'_>, Result<(), StoreError>), StoreError> {
        lmdb_room::within_limit(&self.folder, self.env.info().map_size as u64)?;
        let txn = self.env.write_txn().map_err(self.failed())?;
        let room = self.ahead.make(used(&self.env)).map_err(|e| lmdb_room::failure(&self.folder, &e));
        Ok((txn, room))
    }

    /// Splits what is stored under a key.
    fn record<'t>(&self, octets: &'t [u8]) -> Result<LmdbRecord<'t>, StoreError> {
        let damaged = || StoreError::Corrupt(format!("{}: a record is too short", self.folder.display()));
        let (Times { expires_at, due_at }, value) = split_times(octets).ok_or_else(damaged)?;
        Ok(LmdbRecord { expires_at, due_at, value })
    }

    /// The record under a packed key.
    fn find<'t>(&self, txn: &'t RoTxn, key: &[u8]) -> Result<Option<LmdbRecord<'t>>, StoreError> {
        let found = self.records.get(txn, key).map_err(self.failed())?;
        found.map(|octets| self.record(octets)).transpose()
    }

    /// The records of a place.
    fn records_at<'t>(&self, txn: &'t RoTxn, place: &[u8]) -> Result<Vec<(&'t [u8], LmdbRecord<'t>)>, StoreError> {
        let (time, name) = unordered(place);
        let mut found = Vec::new();
        let range: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(name), Bound::Unbounded);
        for entry in self.records.range(txn, &range).map_err(self.failed())? {
            let (key, octets) = entry.map_err(self.failed())?;
            if place_name(key) != name {
                break;
            }
            let record = self.record(octets)?;
            if record.time() == time {
                found.push((key, record));
            }
        }
        Ok(found)
    }

    /// Deletes a record with a known time, and its place if this was the last record there.
    fn delete(&self, txn: &mut RwTxn, key: &[u8], time: i64) -> Result<(), StoreError> {
        self.records.delete(txn, key).map_err(self.failed())?;
        self.leave(txn, &ordered(time, key))
    }

    /// Deletes a place if it has no record any more.
    fn leave(&self, txn: &mut RwTxn, place: &[u8]) -> Result<(), StoreError> {
        if self.records_at(txn, place)?.is_empty() {
            self.times.delete(txn, place).map_err(self.failed())?;
        }
        Ok(())
    }

    /// Adds the place of a record. Most places come in the order of time; appending them fills the pages to their
    /// ends.
    fn note_time(&self, txn: &mut RwTxn, key: &[u8], time: i64) -> heed::Result<()> {
        let place = ordered(time, key);
        let is_last = self.times.last(txn)?.is_none_or(|(last, _)| last < place.as_slice());
        let flags = if is_last { PutFlags::APPEND } else { PutFlags::empty() };
        self.times.put_with_flags(txn, flags, &place, &[])
    }

    /// The pages that may be in use, those that are, and those that are kept back so that a full store can still
    /// delete. Deleting needs pages because LMDB writes new copies of the pages it changes before the old ones are
    /// free.
    fn pages(&self, txn: &RoTxn) -> heed::Result<Pages> {
        let main = self.env.unnamed_database_stat();
        let mut used = 2 + main.branch_pages + main.leaf_pages;
        for table in [&self.records, &self.times] {
            let stat = table.stat(txn)?;
            used += stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
        }
        let size = main.page_size as usize;
        let all = self.env.info().map_size / size;
        let reserve = (all / 8).clamp(64, 1024);
        Ok(Pages { size, used, limit: all.saturating_sub(reserve), reserve })
    }

    /// Places up to the time `now` that come after the place `after`, the earliest first. The number of them is
    /// bounded.
    fn places<'t>(
        &self,
        txn: &'t RoTxn,
        now: i64,
        after: Option<&[u8]>,
    ) -> Result<impl Iterator<Item = heed::Result<&'t [u8]>>, StoreError> {
        let end = ordered(now.saturating_add(1), &[]);
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range: (Bound<&[u8]>, Bound<&[u8]>) = (start, Bound::Excluded(&end));
        let range = self.times.range(txn, &range).map_err(self.failed())?;
        Ok(range.take(MOST_LOOKED).map(|entry| Ok(entry?.0)))
    }

    /// Places of expired records, a bounded number. Records that are only due are passed over; there may be many of
    /// them when no process handles them.
    fn expired(&self, txn: &RoTxn, now: i64) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut upkept = self.upkept.lock().unwrap_or_else(PoisonError::into_inner);
        let after = upkept.take();
        let (mut places, mut looked) = (Vec::new(), 0);
        let mut last = None;
        for place in self.places(txn, now, after.as_deref())? {
            let place = place.map_err(self.failed())?;
            (looked, last) = (looked + 1, Some(place));
            let records = self.records_at(txn, place)?;
            if records.is_empty() || records.iter().any(|(_, record)| record.expires_at <= now) {
                places.push(place.to_vec());
            }
            if places.len() == MOST_DROPPED {
                break;
            }
        }
        if looked == MOST_LOOKED || places.len() == MOST_DROPPED {
            *upkept = last.map(<[u8]>::to_vec);
        }
        Ok(places)
    }

    /// Drops the records of these places, if they are still expired.
    fn drop_expired(&self, places: &[Vec<u8>], now: i64) -> Result<usize, StoreError> {
        let (mut txn, _) = self.begin()?;
        let mut dropped = 0;
        for place in places {
            let records = self.records_at(&txn, place)?;
            let expired = records.iter().filter(|(_, record)| record.expires_at <= now);
            let keys: Vec<Vec<u8>> = expired.map(|(key, _)| key.to_vec()).collect();
            for key in &keys {
                self.records.delete(&mut txn, key).map_err(self.failed())?;
            }
            dropped += keys.len();
            self.leave(&mut txn, place)?;
        }
        txn.commit().map_err(self.failed())?;
        Ok(dropped)
    }
}

struct LmdbRecord<'t> {
    expires_at: i64,
    due_at: i64,
    value: &'t [u8],
}

impl LmdbRecord<'_> {
    /// When there is something to do with the record.
    fn time(&self) -> i64 {
        self.due_at.min(self.expires_at)
    }
}

struct Pages {
    size: usize,
    used: usize,
    limit: usize,
    reserve: usize,
}

impl LmdbStore {
    /// The result of `look` for the value of a record that has not expired.
    fn get_with<T>(&self, key: &str, now: i64, look: &mut dyn FnMut(&[u8]) -> T) -> Result<Option<T>, StoreError> {
        let store = &*self.0;
        store.still_there(now)?;
        let txn = store.env.read_txn().map_err(store.failed())?;
        let found = store.find(&txn, &packed(key))?.filter(|r| r.expires_at > now);
        Ok(found.map(|r| look(r.value)))
    }

    /// Writes records in one transaction. Records that are `owed` may use the room that is kept back.
    fn put_with(&self, swaps: &[Swap<'_>], now: i64, owed: bool) -> Result<Vec<bool>, StoreError> {
        let store = &*self.0;
        if swaps.iter().any(|(write, _)| write.value.len() > MAX_VALUE) {
            return Err(StoreError::Full);
        }
        store.still_there(now)?;
        let (mut txn, set_aside) = store.begin()?;
        let room = (!owed).then_some(set_aside);
        let written = swaps.iter().map(|swap| store.put_in(&mut txn, swap, now, room.as_ref()));
        let written = written.collect::<Result<Vec<_>, _>>()?;
        if written.contains(&true) {
            txn.commit().map_err(store.failed())?;
        }
        Ok(written)
    }
}

impl OpenEnvironment {
    /// Writes a record within a transaction. `set_aside` says whether there is room for another record; None: it may use
    /// the room that is kept back.
    fn put_in(
        &self,
        txn: &mut RwTxn<'_>,
        (write, expected): &Swap<'_>,
        now: i64,
        set_aside: Option<&Result<(), StoreError>>,
    ) -> Result<bool, StoreError> {
        let key = packed(write.key);
        let mut octets = Vec::with_capacity(HEADER + write.value.len());
        push_times(&mut octets, Times { expires_at: write.expires_at, due_at: write.due_at.unwrap_or(NEVER) });
        octets.extend_from_slice(write.value);
        let time = self.record(&octets)?.time();
        let (mut room, mut noted) = (0, None);
        if let Some(old) = self.find(txn, &key)? {
            if *expected != (old.expires_at > now).then_some(old.value) {
                return Ok(false);
            }
            (room, noted) = (old.value.len(), Some(old.time()));
        } else if expected.is_some() {
            return Ok(false);
        }
        // A record that takes no more room than before may use the reserve, so that sessions go on in a full store.
        // So may an owed record, because it was expected when its claim was admitted.
        if let Some(set_aside) = set_aside
            && (write.value.len() > room || room == 0)
        {
            set_aside.clone()?;
            let pages = self.pages(txn).map_err(self.failed())?;
            let needed = (HEADER + key.len() + write.value.len()).div_ceil(pages.size) + 3;
            if pages.used + needed > pages.limit {
                return Err(StoreError::Full);
            }
        }
        self.records.put(txn, &key, &octets).map_err(self.failed())?;
        if noted != Some(time) {
            if let Some(noted) = noted {
                self.leave(txn, &ordered(noted, &key))?;
            }
            self.note_time(txn, &key, time).map_err(self.failed())?;
        }
        Ok(true)
    }
}

impl Store for LmdbStore {
    fn get(&self, key: &str, now: i64) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_with(key, now, &mut <[u8]>::to_vec)
    }

    fn look(&self, key: &str, now: i64, look: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        self.get_with(key, now, &mut |value| look(value)).map(drop)
    }

    fn put(&self, write: &Write<'_>, expected: Option<&[u8]>, now: i64) -> Result<bool, StoreError> {
        self.put_with(&[(*write, expected)], now, false).map(|written| written == [true])
    }

    fn put_owed(&self, write: &Write<'_>, expected: Option<&[u8]>, now: i64) -> Result<bool, StoreError> {
        self.put_with(&[(*write, expected)], now, true).map(|written| written == [true])
    }

    fn put_owed_each(&self, swaps: &[Swap<'_>], now: i64) -> Result<Vec<bool>, StoreError> {
        let parts = swaps.chunks(MOST_TOGETHER).map(|part| self.put_with(part, now, true));
        Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn is_given_up(&self) -> bool {
        self.0.given_up.load(Relaxed)
    }

    fn remove(&self, key: &str, expected: Option<&[u8]>) -> Result<bool, StoreError> {
        let store = &*self.0;
        let key = packed(key);
        let (mut txn, _) = store.begin()?;
        let found = store.find(&txn, &key)?.filter(|r| expected.is_none_or(|e| e == r.value));
        let Some(time) = found.map(|record| record.time()) else {
            return Ok(false);
        };
        store.delete(&mut txn, &key, time)?;
        txn.commit().map_err(store.failed())?;
        Ok(true)
    }

    fn due(&self, now: i64, limit: usize) -> Result<Vec<String>, StoreError> {
        let store = &*self.0;
        let txn = store.env.read_txn().map_err(store.failed())?;
        let mut keys = Vec::new();
        for place in store.places(&txn, now, None)? {
            if keys.len() >= limit {
                break;
            }
            // Records that end at this time are left to the upkeep.
            let records = store.records_at(&txn, place.map_err(store.failed())?)?;
            let due = records.iter().filter(|(_, r)| r.expires_at > now && r.due_at == r.time());
            keys.extend(due.map(|(key, _)| unpacked(key)));
        }
        keys.truncate(limit);
        Ok(keys)
    }

    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Page, StoreError> {
        let store = &*self.0;
        let txn = store.env.read_txn().map_err(store.failed())?;
        let last = from.map(packed);
        let plain = Bound::Included(prefix.as_bytes());
        let half_size = first_packed(prefix);
        let half_size = half_size.as_ref().map(|first| Bound::Included(first.as_slice()));
        // First the keys that are stored as they are, then the packed ones.
        let starts = match &last {
            None => [Some(plain), half_size],
            Some(last) if is_plain(last) => [Some(Bound::Excluded(last.as_slice())), half_size],
            Some(last) => [None, Some(Bound::Excluded(last.as_slice()))],
        };
        let mut page = Page::default();
        for (start, are_plain) in starts.into_iter().zip([true, false]) {
            let Some(start) = start else { continue };
            let start = if start == Bound::Included(&[]) { Bound::Unbounded } else { start };
            let range: (Bound<&[u8]>, Bound<&[u8]>) = (start, Bound::Unbounded);
            for entry in store.records.range(&txn, &range).map_err(store.failed())? {
                let (stored, _) = entry.map_err(store.failed())?;
                let key = unpacked(stored);
                if is_plain(stored) != are_plain || !key.starts_with(prefix) {
                    break;
                }
                if page.keys.len() == limit.max(1) {
                    page.next = page.keys.last().cloned();
                    return Ok(page);
                }
                page.keys.push(key);
            }
        }
        Ok(page)
    }

    fn upkeep(&self, now: i64) -> Result<u64, StoreError> {
        let store = &*self.0;
        store.still_there(now)?;
        // Pages that a killed reader saw could not be used again otherwise.
        store.env.clear_stale_readers().map_err(store.failed())?;
        let (reserve, expired) = {
            let txn = store.env.read_txn().map_err(store.failed())?;
            (store.pages(&txn).map_err(store.failed())?.reserve, store.expired(&txn, now)?)
        };
        let mut dropped = 0;
        let mut result = Ok(());
        // The parts are so small that the copies of the changed pages find room in the reserve.
        for places in expired.chunks(reserve / 16) {
            match store.drop_expired(places, now) {
                Ok(count) => dropped += count,
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
        }
        if !store.durable {
            store.env.force_sync().map_err(store.failed())?;
        }
        // This way the caller learns that there is no room before somebody needs it.
        store.begin()?.1.and(result).map(|()| dropped as u64)
    }

    /// Octets are counted in whole pages. Beyond the limit records can be changed and removed, but none can be added.
    fn usage(&self) -> Result<StoreUsage, StoreError> {
        let store = &*self.0;
        let txn = store.env.read_txn().map_err(store.failed())?;
        let pages = store.pages(&txn).map_err(store.failed())?;
        let records = store.records.len(&txn).map_err(store.failed())?;
        Ok(StoreUsage { records, bytes: (pages.used * pages.size) as u64, limit: (pages.limit * pages.size) as u64 })
    }
}

/// A place as it is stored: the time, then the part of the key that the place holds.
fn ordered(time: i64, key: &[u8]) -> Place {
    let mut octets = Place::from_slice(&time_octets(time));
    octets.extend_from_slice(place_name(key));
    octets
}

/// The time and the part of the key in a place.
fn unordered(place: &[u8]) -> (i64, &[u8]) {
    split_time(place).unwrap_or((0, &[]))
}

/// Gives the data file its full length, as a hole that takes no room. After that, a file that ends before its last
/// used page was cut off. This function looks for that, because a later read behind the end would kill the process.
fn make_whole(folder: &Path, env: &Env) -> Result<Ahead, StoreError> {
    let failed = |e: std::io::Error| lmdb_room::failure(folder, &e);
    let file = env.try_clone_inner_file().map_err(|e| failure(folder, &e))?;
    let length = file.metadata().map_err(failed)?.len();
    let (map_size, used) = (env.info().map_size as u64, used(env));
    if length < used {
        return Err(StoreError::Corrupt(format!(
            "{}: data.mdb has {length} octets, but {used} are in use; it was cut off. {REMEDY}",
            folder.display()
        )));
    }
    if length < map_size {
        file.set_len(map_size).map_err(failed)?;
    }
    Ahead::new(file, used, map_size).map_err(failed)
}

/// Octets of the file up to the last page that is or was in use.
fn used(env: &Env) -> u64 {
    (env.info().last_page_number as u64 + 1) * u64::from(env.unnamed_database_stat().page_size)
}

const REMEDY: &str = "Restore the folder from a backup, or move it away: a new one is made, and phones sign in again";

type Tables = (Table, Table);

fn tables(env: &Env) -> heed::Result<Option<Tables>> {
    let opened = env.open_databases_and_commit::<_, _, (), heed::Error>(env.read_txn()?, |opener, txn| {
        let [records, times] = DATABASES.map(|name| opener.open_database::<Bytes, Bytes>(txn, Some(name)));
        Ok(CommitOrAbort::Commit((records?, times?)))
    })?;
    Ok(match opened.commit() {
        Some((Some(records), Some(times))) => Some((records, times)),
        _ => None,
    })
}

fn is_outdated(env: &Env) -> heed::Result<bool> {
    let opened = env.open_databases_and_commit::<_, _, (), heed::Error>(env.read_txn()?, |opener, txn| {
        let [earlier, later] = OUTDATED.map(|name| opener.open_database::<Bytes, Bytes>(txn, Some(name)));
        Ok(CommitOrAbort::Commit((earlier?, later?)))
    })?;
    Ok(opened.commit().is_some_and(|(earlier, later)| earlier.is_some() || later.is_some()))
}

fn new_tables(env: &Env) -> heed::Result<Tables> {
    let made = env.create_databases_and_commit::<_, _, (), heed::Error>(env.write_txn()?, |opener, txn| {
        let [records, times] = DATABASES.map(|name| opener.create_database::<Bytes, Bytes>(txn, Some(name)));
        Ok(CommitOrAbort::Commit((records?, times?)))
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
        heed::Error::Io(e) => lmdb_room::failure(folder, e),
        _ => StoreError::Away(text),
    }
}
