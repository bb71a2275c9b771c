// SPDX-License-Identifier: MIT OR Apache-2.0
//! When and from where a phone has registered last.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::session::Record;
use crate::text::fingerprint::printable;

/// The name of a Call-ID, which reveals nothing about it.
pub type CallIdName = [u8; 8];

/// Makes the name of a Call-ID: the first 8 octets of its SHA-256.
pub fn call_id_name(call_id: &[u8]) -> CallIdName {
    let mut name = CallIdName::default();
    name.copy_from_slice(&Sha256::digest(call_id)[..8]);
    name
}

/// Call-IDs that are kept of a phone. Each start of a phone makes a new one.
const MOST_CALL_IDS: usize = 16;
/// A registration lasts no longer, in seconds (`max_expires` of the examples).
const REGISTRATION: i64 = 86_400;
/// Most characters of User-Agent that are kept.
const MAX_AGENT: usize = 100;

/// The last registration of a phone. The record is sealed before it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct PhoneUse {
    /// When, in Unix seconds.
    pub at: i64,
    /// The sender's address.
    pub source: String,
    /// User-Agent; empty if there was none.
    pub user_agent: String,
    /// The names of its Call-IDs, the latest first.
    pub call_ids: Vec<CallIdName>,
    /// A Call-ID had to make room then, in Unix seconds; 0: none.
    pub forgot_at: i64,
}

impl Record for PhoneUse {
    const VERSION: u8 = 1;
}

impl PhoneUse {
    /// One registration.
    pub fn new(at: i64, source: &str, user_agent: &str, call_id: CallIdName) -> PhoneUse {
        let user_agent = printable(user_agent, MAX_AGENT);
        PhoneUse { at, source: source.to_owned(), user_agent, call_ids: vec![call_id], forgot_at: 0 }
    }

    /// True when there is nothing new about this registration but its time.
    pub fn is_like(&self, other: &PhoneUse) -> bool {
        self.source == other.source
            && self.user_agent == other.user_agent
            && self.call_ids.first() == other.call_ids.first()
    }

    /// Takes over the Call-IDs of earlier registrations.
    pub fn after(mut self, earlier: &PhoneUse) -> PhoneUse {
        let known: Vec<CallIdName> =
            earlier.call_ids.iter().filter(|id| !self.call_ids.contains(id)).copied().collect();
        self.call_ids.extend(known);
        self.forgot_at = if self.call_ids.len() > MOST_CALL_IDS { self.at } else { earlier.forgot_at };
        self.call_ids.truncate(MOST_CALL_IDS);
        self
    }

    /// True when the phone may have a binding whose Call-ID nobody knows any more. `now` in Unix seconds.
    pub fn may_have_others(&self, now: i64) -> bool {
        self.forgot_at != 0 && now - self.forgot_at < REGISTRATION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_call_ids_are_kept() {
        let uses = (0..20u8).map(|i| PhoneUse::new(i64::from(i), "192.0.2.1", "Phone 1.0", [i; 8]));
        let last = uses.reduce(|earlier, later| later.after(&earlier)).unwrap();
        assert_eq!(last.at, 19);
        assert_eq!(last.call_ids.iter().map(|id| id[0]).collect::<Vec<_>>(), (4..20).rev().collect::<Vec<_>>());
        assert!(last.may_have_others(20) && !last.may_have_others(19 + REGISTRATION));
        let again = PhoneUse::new(20, "192.0.2.1", "Phone 1.0", [18; 8]).after(&last);
        assert_eq!(again.call_ids[..3], [[18; 8], [19; 8], [17; 8]]);
        assert!(!again.is_like(&last) && last.is_like(&PhoneUse::new(30, "192.0.2.1", "Phone 1.0", [19; 8])));
        assert!(PhoneUse::new(0, "", &"a".repeat(1000), [0; 8]).user_agent.len() <= MAX_AGENT + 3);
    }
}
