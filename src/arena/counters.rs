// SPDX-License-Identifier: MIT OR Apache-2.0
//! Statistics, counted by all processes.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::proto::reason::Reason;

macro_rules! counters {
    ($($name:ident = $text:literal, $doc:literal;)*) => {
        /// What is counted beside the reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Counter { $(#[doc = $doc] $name,)* }

        const NAMES: &[&std::ffi::CStr] = &[$($text,)*];
    };
}

counters! {
    Accepted = c"accepted", "Requests accepted.";
    NoCredentials = c"no_credentials", "Requests without a Bearer token.";
    Denied = c"denied", "Requests refused for what they carry.";
    NotNow = c"not_now", "Requests that could not be decided (503).";
    Suspended = c"suspended", "Requests that were parked for a key fetch.";
    Resumed = c"resumed", "Parked requests that went on.";
    CacheHits = c"cache_hits", "Tokens found in the verified-token cache.";
    CacheMisses = c"cache_misses", "Tokens that had to be verified.";
    KeyFetches = c"key_fetches", "Key fetches started.";
    KeyFetchErrors = c"key_fetch_errors", "Key fetches that failed.";
    Exchanges = c"exchanges", "Codes sent to an authorization server.";
    ExchangeErrors = c"exchange_errors", "Codes whose exchange failed for a reason of the server's or the network's.";
    Refreshes = c"refreshes", "Refresh tokens sent to an authorization server.";
    RefreshErrors = c"refresh_errors", "Refreshes that failed for a reason of the server's or the network's.";
    RefreshesRefused = c"refreshes_refused", "Sessions that ended because the server refused to refresh their tokens.";
    KeysStored = c"keys_stored", "Shared keys stored.";
    SessionsRevoked = c"sessions_revoked", "Sessions ended by the operator.";
    StoreErrors = c"store_errors", "Calls of the session store that failed.";
    Reloads = c"reloads", "Configurations taken over.";
    Panics = c"panics", "Internal errors caught.";
}

const REASONS: usize = Reason::ALL.len();

/// One counter per `Counter`, then one per reason.
#[repr(C)]
pub struct Counters {
    cells: [AtomicU64; NAMES.len() + REASONS],
}

/// How many statistics there are.
pub const COUNT: usize = NAMES.len() + REASONS;

/// The name of a statistic, snake_case; None past the end.
pub fn name(index: usize) -> Option<&'static std::ffi::CStr> {
    NAMES.get(index).or_else(|| Reason::STATISTICS.get(index.checked_sub(NAMES.len())?)).copied()
}

impl Counters {
    /// Counts one.
    pub fn add(&self, counter: Counter) {
        self.cells[counter as usize].fetch_add(1, Relaxed);
    }

    /// Counts one answer with this reason.
    pub fn add_reason(&self, reason: Reason) {
        if let Some(index) = Reason::ALL.iter().position(|r| *r == reason) {
            self.cells[NAMES.len() + index].fetch_add(1, Relaxed);
        }
    }

    /// The value of a statistic; 0 past the end.
    pub fn get(&self, index: usize) -> u64 {
        self.cells.get(index).map_or(0, |c| c.load(Relaxed))
    }
}
