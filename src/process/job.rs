// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the workers ask the I/O service to do.

use serde::{Deserialize, Serialize};

use crate::shared::refer_table::Place;
use crate::shared::waiting_room::{Party, WaitingPlace};
use sipoauth_core::check::key_derivation_check::OpenKeyProof;
use sipoauth_core::check::proof::OpenProof;
use sipoauth_core::check::registration::Registration;
use sipoauth_core::check::token_answer::TokenId;
use sipoauth_core::config::settings::{MOST_LEEWAY, MOST_POP_WINDOW};
use sipoauth_core::oauth::grant::TokenGrant;
use sipoauth_core::records::redemption::RETRANSMISSION;
use sipoauth_core::refer::dialog::NotifyDialog;
use sipoauth_core::sip::sender::Sender;
use sipoauth_core::text::secret::SecretText;

/// Cookies of work that nobody waits for. The first cookie alone marks callers that wait in their own thread or
/// process, so the host does not give them back either.
pub const NOBODY: [u64; 2] = [u64::MAX, 0];

/// What the I/O service is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Work {
    /// Give notice when the keys of the provider in this slot were fetched, and are newer than this generation.
    Keys(u32, u64),
    /// Ask the authorization server about a token.
    Introspect(Box<Introspect>),
    /// Exchange a code or another grant, or find out what has become of it, and store the key of the registration.
    Exchange(Box<Exchange>),
    /// Store the key of a registration whose code was exchanged. The octets are the To tag of its answer.
    Bind(Box<Registration>, Vec<u8>),
    /// Remove the key that [`Work::Bind`] has stored.
    Unbind(Box<Registration>, Vec<u8>),
    /// Fetch the sessions of an address-of-record, and compare a proof at once if that is configured.
    Account(String, Option<Box<OpenProof>>),
    /// Fetch the account of an address-of-record, and compare a proof at once if that is configured.
    KeyAccount(String, Option<Box<OpenKeyProof>>),
    /// Fetch the device password of a user name, and the sessions of its address.
    Device(String),
    /// A logout token that came to the host's HTTP server. Nobody waits for it.
    LogOut(SecretText),
    /// Compare the names of a proof with those that other proxies have seen.
    Compare(Vec<Comparison>),
    /// A subscription to the events of a REFER. Nobody waits for it.
    Subscribe(Box<Subscribe>),
}

/// A new subscription to the events of a REFER, or one that was refreshed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Subscribe {
    /// The REFER.
    pub place: Place,
    /// The seat of the subscription.
    pub seat: usize,
    /// In which dialog its NOTIFY requests go.
    pub dialog: NotifyDialog,
    /// The parameter id of Event; empty: none.
    pub event_id: String,
    /// The host's name for the socket from which they leave.
    pub socket: u64,
    /// CSeq goes on after this one.
    pub cseq: u32,
}

/// A token about which its server is to be asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Introspect {
    /// Name of the provider.
    pub provider: String,
    /// Where the answer is to be stored.
    pub id: TokenId,
    /// The token.
    pub token: SecretText,
    /// The sender of the request, for limits.
    pub sender: Sender,
}

/// A code or another grant to be exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Exchange {
    /// Name of the provider.
    pub provider: String,
    /// Its issuer.
    pub issuer: String,
    /// The grant.
    pub grant: TokenGrant,
    /// The registration that brought it.
    pub registration: Registration,
    /// To tag of its answer; empty: not known.
    pub to_tag: Vec<u8>,
    /// The time by which the waiting request has been answered, Unix milliseconds; 0 if none waits.
    pub until: i64,
    /// The sender of the request, for limits.
    pub sender: Sender,
}

/// A proof that may have been used at another proxy. Its record holds how the request of the first use came, and when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Comparison {
    /// Name of the proof's record.
    pub key: String,
    /// Hash of how the request came.
    pub path: u64,
    /// When the proof is used now, in Unix milliseconds.
    pub at: i64,
}

impl Comparison {
    /// How long the record is kept, in milliseconds: until no proxy takes the Date of the proof. A proxy may have a
    /// longer `pop_window` than this one, or may get one by a reload.
    pub const KEPT: i64 = (MOST_LEEWAY as i64 + MOST_POP_WINDOW as i64 + 1) * 1000;

    /// For a proof that is right. `now` in Unix milliseconds.
    pub fn new(proof: u64, path: u64, now: i64) -> Comparison {
        Comparison { key: format!("g:{proof:016x}"), path, at: now }
    }

    /// The record of a first use.
    pub fn record(&self) -> [u8; 16] {
        let mut record = [0; 16];
        record[..8].copy_from_slice(&self.path.to_be_bytes());
        record[8..].copy_from_slice(&self.at.to_be_bytes());
        record
    }

    /// True when this use is the first one, by its record, or the same message again while phones send it again. The
    /// clocks of proxies may differ a little.
    pub fn is_again(&self, first: &[u8]) -> bool {
        let Some((path, at)) = first.split_first_chunk() else { return false };
        let Ok(at) = at.try_into().map(i64::from_be_bytes) else { return false };
        *path == self.path.to_be_bytes() && self.at.abs_diff(at) <= RETRANSMISSION.unsigned_abs()
    }
}

/// What must be done for a request before it can be judged, and whose share of the waiting places it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// What to do.
    pub work: Work,
    /// What the request waits for, and who sent it.
    pub party: Party,
}

impl From<Work> for Errand {
    fn from(work: Work) -> Errand {
        Errand { work, party: Party::default() }
    }
}

/// Who asks for work, and waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Unix milliseconds at which the asker gives up.
    pub deadline: i64,
    /// Two words of the asker, which it gets back unchanged.
    pub cookies: [u64; 2],
    /// The asker's place in the waiting room.
    pub place: WaitingPlace,
}

/// Work for a request that waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What to do.
    pub work: Work,
    /// Who waits for it.
    pub asker: Asker,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_message_counts_as_sent_again_for_a_while_only() {
        let first = Comparison::new(1, 2, 1_000_000).record();
        let is_again = |path, at| Comparison::new(1, path, at).is_again(&first);
        for (path, at, wanted) in [
            (2, 1_000_000, true),
            (2, 1_000_000 + RETRANSMISSION, true),
            (2, 1_000_001 + RETRANSMISSION, false),
            (2, 999_000, true),
            (2, 999_999 - RETRANSMISSION, false),
            (3, 1_000_000, false),
        ] {
            assert_eq!(is_again(path, at), wanted, "{path} {at}");
        }
        let this = Comparison::new(1, 2, 1_000_000);
        assert!(!this.is_again(&first[..8]) && !this.is_again(b""), "a record without a time");
    }
}
