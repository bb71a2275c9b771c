// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where sessions are kept: small records under keys, each with an end and, if wanted, a time at which it is due.
//!
//! A store knows nothing of what it holds: values come sealed. Times are Unix milliseconds.

use std::fmt;

/// One record to be written.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Its key, 1 to 128 octets of printable ASCII.
    pub key: &'a str,
    /// Its value, at most [`MAX_VALUE`] octets.
    pub value: &'a [u8],
    /// From this time on it is as if it did not exist.
    pub expires_at: i64,
    /// When it shall turn up in [`Store::due`]; None: never.
    pub due_at: Option<i64>,
}

/// Longest value in octets.
pub const MAX_VALUE: usize = 256 * 1024;

/// Keys found by a scan, and where the next one begins; None at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, in no order that a caller may rely on; a key may turn up twice.
    pub keys: Vec<String>,
    /// For the next call.
    pub next: Option<String>,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Records, expired ones that are not removed yet included.
    pub records: u64,
    /// Octets in use, as the store counts them.
    pub bytes: u64,
    /// Octets that may be in use; 0: not known.
    pub limit: u64,
}

/// Why a store cannot do what it is asked. Never a denial: the answer to a phone is 503.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// There is no room for another record.
    Full,
    /// It cannot be written.
    ReadOnly(String),
    /// Its content cannot be read.
    Corrupt(String),
    /// It cannot be reached, or did not answer in time.
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

/// A store. Every call comes to an end in bounded time.
pub trait Store: Send + Sync {
    /// The value of a record that has not expired.
    fn get(&self, key: &str, now: i64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows the value of a record that has not expired, if there is one, without a copy where that is possible.
    fn look(&self, key: &str, now: i64, look: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        if let Some(value) = self.get(key, now)? {
            look(&value);
        }
        Ok(())
    }

    /// Writes a record if the present value is `expected` (None: there is none, or it has expired); false when it
    /// is another. Atomic over all processes and proxies that use the store.
    fn put(&self, write: &Write<'_>, expected: Option<&[u8]>, now: i64) -> Result<bool, StoreError>;

    /// The same for what follows from a record that is there already, and must not be lost: the fate of a code that was
    /// claimed and sent, the tokens that came. It may use room that is kept back from new records.
    fn put_owed(&self, write: &Write<'_>, expected: Option<&[u8]>, now: i64) -> Result<bool, StoreError> {
        self.put(write, expected, now)
    }

    /// True when it will not write again before it is opened anew.
    fn is_given_up(&self) -> bool {
        false
    }

    /// Removes a record if its value is `expected`; None: whatever it is. False when there was nothing to remove.
    fn remove(&self, key: &str, expected: Option<&[u8]>) -> Result<bool, StoreError>;

    /// At most `limit` keys of records that are due now, the longest due first.
    fn due(&self, now: i64, limit: usize) -> Result<Vec<String>, StoreError>;

    /// Keys that begin with `prefix`, some at a time (about `limit`); `from` is None at first, then [`Page::next`].
    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Page, StoreError>;

    /// What must be done now and then by one process: drops a bounded number of expired records, makes earlier
    /// writes durable. The number of records dropped. Fails, too, when the disk has no room for another record.
    fn upkeep(&self, now: i64) -> Result<u64, StoreError>;

    /// How full it is.
    fn usage(&self) -> Result<StoreUsage, StoreError>;
}
