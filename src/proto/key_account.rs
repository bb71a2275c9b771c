// SPDX-License-Identifier: MIT OR Apache-2.0
//! The record of a user whose password a server can verify without knowing it.

use serde::{Deserialize, Serialize};

use super::session::SecretText;
use super::verifier::Verifier;

/// An account. Encoded and sealed as the records of [`super::session`] are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct KeyAccount {
    /// The address-of-record, canonical: its user is the user name.
    pub aor: String,
    /// The verifier's line: kdf, iterations, salt and master-key.
    verifier: SecretText,
}

impl KeyAccount {
    /// The account of an address.
    pub fn new(aor: &str, verifier: &Verifier) -> KeyAccount {
        KeyAccount { aor: aor.to_owned(), verifier: SecretText(verifier.to_text().to_string()) }
    }

    /// Its verifier; None when the record is none of this version.
    pub fn verifier(&self) -> Option<Verifier> {
        Verifier::parse(&self.verifier.0).ok()
    }
}
