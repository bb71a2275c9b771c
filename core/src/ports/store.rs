// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store that keeps sessions. It holds small records under keys. Each record has a time at which it expires
//! and, if wanted, a time at which it is due.
//!
//! A store cannot read its values, because callers seal them. Times are Unix milliseconds.

use std::fmt;

/// One record to be written.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Its key, 1 to 128 octets of printable ASCII.
    pub key: &'a str,
    /// Its value, at most [`MAX_VALUE`] octets.
    pub value: &'a [u8],
    /// From this time on the record counts as absent.
    pub expires_at: i64,
    /// When the record turns up in [`Store::due`]; None: never.
    pub due_at: Option<i64>,
}

/// A write, and the value that its record must have before (None: there is no record).
pub type Swap<'a> = (Write<'a>, Option<&'a [u8]>);

/// Longest value in octets.
pub const MAX_VALUE: usize = 256 * 1024;

/// The keys that one call of [`Store::scan`] found, and where the next call begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, in no order that a caller may rely on; a key may turn up twice.
    pub keys: Vec<String>,
    /// `from` for the next call; None at the end.
    pub next: Option<String>,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Records, expired ones that are not removed yet included.
    pub records: u64,
    /// Octets in use, as the store counts them.
    pub bytes: u64,
    /// Octets that the store may use; 0: not known.
    pub limit: u64,
}

/// Why a store cannot do what it is asked. This never refuses a phone's credentials: the answer to the phone is 503.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// There is no room for another record.
    Full,
    /// The store cannot be written.
    ReadOnly(String),
    /// The content of the store cannot be read.
    Corrupt(String),
    /// The store cannot be reached, or did not answer in time.
    Away(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Full => f.write_str("the store is full: raise store_size"),
            StoreError::ReadOnly(text) => write!(f, "the store cannot be written: {text}"),
            StoreError::Corrupt(text) => write!(f, "the store is damaged: {text}"),
            StoreError::Away(text) => write!(f, "the store cannot be reached: {text}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// A store. Every call returns in bounded time.
pub trait Store: Send + Sync {
    /// The value of a record that has not expired.
    fn get(&self, key: &str, now: i64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Calls `look` with the value of a record, if there is one that has not expired. Stores that can do so avoid
    /// a copy.
    fn look(&self, key: &str, now: i64, look: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        if let Some(value) = self.get(key, now)? {
            look(&value);
        }
        Ok(())
    }

    /// Does [`Store::look`] for each of these keys, at less cost where the store can. `look` gets the place of the key
    /// among them, too.
    fn look_each(&self, keys: &[String], now: i64, look: &mut dyn FnMut(usize, &[u8])) -> Result<(), StoreError> {
        keys.iter().enumerate().try_for_each(|(place, key)| self.look(key, now, &mut |value| look(place, value)))
    }

    /// Writes a record if its present value is `expected` (None: there is no record, or it has expired). Returns
    /// false when the present value is another one. Atomic over all processes and proxies that use the store.
    fn put(&self, write: &Write<'_>, expected: Option<&[u8]>, now: i64) -> Result<bool, StoreError>;

    /// Like [`Store::put`], for a write that follows from an existing record and must not be lost: the fate of a code
    /// that was claimed and sent, or the tokens that came. It may use room that the store keeps back from new records.
    fn put_owed(&self, write: &Write<'_>, expected: Option<&[u8]>, now: i64) -> Result<bool, StoreError> {
        self.put(write, expected, now)
    }

    /// Does [`Store::put_owed`] for each of these, at less cost where the store can. Each stands for itself: the result says
    /// for each whether it was written. After an error, some may have been.
    fn put_owed_each(&self, swaps: &[Swap<'_>], now: i64) -> Result<Vec<bool>, StoreError> {
        swaps.iter().map(|(write, expected)| self.put_owed(write, *expected, now)).collect()
    }

    /// True when the store will not write again before it is opened anew.
    fn is_given_up(&self) -> bool {
        false
    }

    /// Removes a record if its value is `expected` (None: whatever its value is). Returns false when there was
    /// nothing to remove.
    fn remove(&self, key: &str, expected: Option<&[u8]>) -> Result<bool, StoreError>;

    /// At most `limit` keys of records that are due now, the longest due first.
    fn due(&self, now: i64, limit: usize) -> Result<Vec<String>, StoreError>;

    /// Keys that begin with `prefix`, about `limit` of them per call. `from` is None in the first call, then
    /// [`Page::next`].
    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Page, StoreError>;

    /// Maintenance that one process must do now and then. It drops a bounded number of expired records, makes
    /// earlier writes durable, and returns the number of records that it dropped. It also fails when the disk has
    /// no room for another record.
    fn upkeep(&self, now: i64) -> Result<u64, StoreError>;

    /// How full the store is.
    fn usage(&self) -> Result<StoreUsage, StoreError>;
}
