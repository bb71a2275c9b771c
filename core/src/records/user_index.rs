// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which addresses a user of a server has sessions at. A logout token names the user, and sessions are stored by address.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::session::{IssuerName, Record};
use crate::text::fingerprint::push_hex;

/// Addresses of one user that are kept.
const MOST: usize = 16;

/// The addresses of one user. The record is sealed before it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct UserIndex {
    /// Canonical, the latest first.
    pub aors: Vec<String>,
    /// The last of these sessions ends then, in Unix milliseconds.
    pub until: i64,
}

impl Record for UserIndex {
    const VERSION: u8 = 2;
}

impl UserIndex {
    /// Puts an address first. False when it is there already.
    pub fn add(&mut self, aor: &str) -> bool {
        if self.aors.iter().any(|known| known == aor) {
            return false;
        }
        self.aors.insert(0, aor.to_owned());
        self.aors.truncate(MOST);
        true
    }
}

/// The key of the record for a user (`sub`) of an issuer.
pub fn user_index_key(issuer: &IssuerName, subject: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(issuer);
    hash.update(subject);
    let mut key = String::from("n:");
    push_hex(&mut key, &hash.finalize()[..16]);
    key
}
