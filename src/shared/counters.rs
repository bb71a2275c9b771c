// SPDX-License-Identifier: MIT OR Apache-2.0
//! Statistics: those that all processes count, and the few that are measured.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::process_id;

use sipoauth_core::reason::Reason;
use sipoauth_core::refer::reason::ReferReason;

macro_rules! counters {
    ($($name:ident = $text:literal, $doc:literal;)*) => {
        /// What is counted besides the reasons.
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
    ConnectionsBound = c"connections_bound", "Connections that were bound to who signed in on them.";
    ConnectionHits = c"connection_hits", "Requests without credentials that were judged by what their connection is bound to.";
    KeyFetches = c"key_fetches", "Key fetches started.";
    KeyFetchErrors = c"key_fetch_errors", "Key fetches that failed.";
    Exchanges = c"exchanges", "Codes sent to an authorization server.";
    ExchangeErrors = c"exchange_errors", "Codes whose exchange failed for a reason of the server's or the network's.";
    CodeAttempts = c"code_attempts", "Codes and sign-ins that were redeemed already and came again from somebody else, or too late.";
    Refreshes = c"refreshes", "Refresh tokens sent to an authorization server.";
    RefreshErrors = c"refresh_errors", "Refreshes that failed for a reason of the server's or the network's.";
    RefreshesRefused = c"refreshes_refused", "Sessions that ended because the server refused to refresh their tokens.";
    Introspections = c"introspections", "Tokens that an authorization server was asked about.";
    IntrospectionErrors = c"introspection_errors", "Introspections without a usable answer.";
    IntrospectionHits = c"introspection_hits", "Tokens whose answer was in the session store already.";
    KeysStored = c"keys_stored", "Shared keys stored.";
    SessionsRevoked = c"sessions_revoked", "Sessions ended by the operator.";
    StoreErrors = c"store_errors", "Calls of the session store that failed.";
    TokensIssued = c"tokens_issued", "Access tokens issued by the proxy itself.";
    TokensForwarded = c"tokens_forwarded", "Tokens handed out for an application server.";
    RefersAccepted = c"refers_accepted", "REFERs that the event server has accepted.";
    ReferSubscriptions = c"refer_subscriptions", "Subscriptions to the events of REFERs.";
    ReferNotifies = c"refer_notifies", "NOTIFYs about REFERs that were sent.";
    ReferNotifyErrors = c"refer_notify_errors", "Subscriptions that ended because a NOTIFY was refused or could not be sent.";
    ReferGuesses = c"refer_guesses", "Requests that name a REFER that is not followed.";
    Reloads = c"reloads", "Configurations taken over.";
    Panics = c"panics", "Internal errors caught.";
}

/// A statistic that is measured when it is asked for, so it may fall again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Requests that are parked now.
    Pending,
    /// Seconds since the last successful key fetch of the provider with the oldest keys.
    KeyAge,
    /// REFERs that are followed now.
    Refers,
}

const GAUGES: &[(Gauge, &std::ffi::CStr)] =
    &[(Gauge::Pending, c"pending"), (Gauge::KeyAge, c"key_age"), (Gauge::Refers, c"refers")];

const REASONS: usize = Reason::ALL.len() + ReferReason::ALL.len();

/// Number of sets. With several sets, processes that count at the same time rarely share one, so cores rarely wait
/// for each other to write to one cache line.
const SETS: usize = 16;

/// One counter per `Counter`, then one per reason, then one per reason of REFER. Each process counts in one of the sets; the value is the sum of
/// all sets.
#[repr(C)]
pub struct Counters {
    sets: [Set; SETS],
}

#[repr(C, align(64))]
struct Set([AtomicU64; NAMES.len() + REASONS]);

/// How many statistics there are: the counters, the reasons, the gauges.
pub const COUNT: usize = NAMES.len() + REASONS + GAUGES.len();

/// The name of a statistic, snake_case; None past the end.
pub fn name(index: usize) -> Option<&'static std::ffi::CStr> {
    let reason = |at: usize| Reason::STATISTICS.get(at).or_else(|| ReferReason::STATISTICS.get(at - Reason::ALL.len()));
    let counter = NAMES.get(index).or_else(|| reason(index.checked_sub(NAMES.len())?));
    counter.copied().or_else(|| Some(GAUGES.get(index.checked_sub(NAMES.len() + REASONS)?)?.1))
}

/// What a statistic measures; None when it is a counter, or past the end.
pub fn gauge(index: usize) -> Option<Gauge> {
    GAUGES.get(index.checked_sub(NAMES.len() + REASONS)?).map(|gauge| gauge.0)
}

impl Counters {
    /// Adds one to a counter.
    pub fn add(&self, counter: Counter) {
        self.add_at(counter as usize);
    }

    /// Adds any number to a counter.
    pub fn add_many(&self, counter: Counter, count: u64) {
        if count > 0 {
            self.sets[process_id::id() as usize % SETS].0[counter as usize].fetch_add(count, Relaxed);
        }
    }

    /// Counts one answer with this reason.
    pub fn add_reason(&self, reason: Reason) {
        self.add_at(NAMES.len() + reason.index());
    }

    /// Counts one refusal with this reason of REFER.
    pub fn add_refer_reason(&self, reason: ReferReason) {
        self.add_at(NAMES.len() + Reason::ALL.len() + reason.index());
    }

    fn add_at(&self, index: usize) {
        self.sets[process_id::id() as usize % SETS].0[index].fetch_add(1, Relaxed);
    }

    /// The value of a counter; 0 past the end.
    pub fn get(&self, index: usize) -> u64 {
        self.sets.iter().filter_map(|set| set.0.get(index)).map(|cell| cell.load(Relaxed)).sum()
    }
}
