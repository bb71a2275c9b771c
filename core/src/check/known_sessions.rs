// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stored records, as a check sees them without waiting.

use std::sync::Arc;

use super::known_account::KnownAccount;
use super::registration::CodeId;
use crate::records::session::CodeRecord;
use crate::sip::sender::Network;

/// What is known about a record.
#[derive(Clone, Debug)]
pub enum Known<T> {
    /// The record exists.
    Found(T),
    /// There is no such record.
    Absent,
    /// The record must be fetched first.
    NotHere,
    /// The store cannot be read.
    Failed,
}

/// The stored records as this worker can see them without waiting.
pub trait KnownSessions {
    /// The sessions of an address-of-record.
    fn account(&self, aor: &str) -> Known<Arc<KnownAccount>>;
    /// The fate of a code.
    fn code(&self, id: &CodeId) -> Known<CodeRecord>;
    /// True when what is known is what is stored now, not what was stored a moment ago.
    fn is_fresh(&self) -> bool;
    /// The network of the request's sender, who may have sent it through another proxy.
    fn network(&self) -> Network;
    /// When the request with this name arrived, Unix milliseconds. It may have waited since then.
    fn arrived(&self, name: u64) -> i64;
    /// True when the request was parked once.
    fn has_waited(&self) -> bool;
}

/// For callers that check tokens only: nothing is stored.
pub struct NoSessions;

impl KnownSessions for NoSessions {
    fn account(&self, _: &str) -> Known<Arc<KnownAccount>> {
        Known::Absent
    }

    fn code(&self, _: &CodeId) -> Known<CodeRecord> {
        Known::Absent
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn network(&self) -> Network {
        Network::of("")
    }

    fn arrived(&self, _: u64) -> i64 {
        0
    }

    fn has_waited(&self) -> bool {
        false
    }
}
