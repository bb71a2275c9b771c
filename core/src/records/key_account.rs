// SPDX-License-Identifier: MIT OR Apache-2.0
//! The record of a user whose password a server can verify without knowing it.
//!
//! The record has a version of its own, because sessions of an older program may be forgotten, but passwords may not.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::keys::verifier::Verifier;
use crate::text::secret::SecretText;

/// An account. It is sealed as a whole before it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct KeyAccount {
    /// The address-of-record, canonical. Its user part is the user name.
    pub aor: String,
    /// The verifier's line: kdf, iterations, salt and master-key.
    verifier: SecretText,
}

const VERSION: u8 = 1;

impl KeyAccount {
    /// The account of an address.
    pub fn new(aor: &str, verifier: &Verifier) -> KeyAccount {
        KeyAccount { aor: aor.to_owned(), verifier: SecretText(verifier.to_text().to_string()) }
    }

    /// The verifier; None when the line cannot be read as one.
    pub fn verifier(&self) -> Option<Verifier> {
        Verifier::parse(&self.verifier.0).ok()
    }

    /// Writes the record.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let octets = postcard::to_extend(self, vec![VERSION]);
        Zeroizing::new(octets.expect("plain data in memory can always be written"))
    }

    /// Reads a record; None when it is not one of this version.
    pub fn decode(octets: &[u8]) -> Option<KeyAccount> {
        let (version, rest) = octets.split_first()?;
        (*version == VERSION).then(|| postcard::from_bytes(rest).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::verifier::NOBODYS;

    #[test]
    fn comes_back_unchanged() {
        let verifier = Verifier::parse(NOBODYS).unwrap();
        let account = KeyAccount::new("sip:alice@example.test", &verifier);
        let octets = account.encode();
        assert_eq!(KeyAccount::decode(&octets), Some(account.clone()));
        assert_eq!(account.verifier(), Some(verifier));
        assert_eq!(KeyAccount::decode(&octets[..octets.len() - 1]), None);
        assert_eq!(KeyAccount::decode(&[2, 0]), None);
        assert_eq!(KeyAccount::decode(&[]), None);
        assert!(!format!("{account:?}").contains("pbkdf2"));
    }
}
