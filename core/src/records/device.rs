// SPDX-License-Identifier: MIT OR Apache-2.0
//! The record of a device password, by which a phone that speaks Digest only registers. It holds no password.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::session::{Record, SessionId};
use crate::sip::digest::{DigestAlgorithm, ha1};
use crate::text::fingerprint::push_hex;
use crate::text::secret::SecretText;

/// A device password. It is sealed as a whole before it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Device {
    /// `username` of its credentials.
    pub username: String,
    /// `realm` of its credentials.
    pub realm: String,
    /// The address that its phone may use, canonical.
    pub aor: String,
    /// The phone's session, which belongs to this address.
    pub session: SessionId,
    md5: SecretText,
    sha256: SecretText,
}

/// The key of the record for a user name.
pub fn device_key(username: &str) -> String {
    let mut key = String::from("d:");
    push_hex(&mut key, &Sha256::digest(username.as_bytes())[..16]);
    key
}

impl Record for Device {
    const VERSION: u8 = 1;
}

impl Device {
    /// The record of a new password.
    pub fn new(username: &str, realm: &str, aor: &str, session: SessionId, password: &str) -> Device {
        let hash = |algorithm| SecretText(ha1(algorithm, username, realm, password).to_string());
        Device {
            username: username.to_owned(),
            realm: realm.to_owned(),
            aor: aor.to_owned(),
            session,
            md5: hash(DigestAlgorithm::Md5),
            sha256: hash(DigestAlgorithm::Sha256),
        }
    }

    /// H(A1) in lower-case hex; None for an algorithm that is not kept.
    pub fn ha1(&self, algorithm: DigestAlgorithm) -> Option<&str> {
        match algorithm {
            DigestAlgorithm::Md5 => Some(&self.md5.0),
            DigestAlgorithm::Sha256 => Some(&self.sha256.0),
            DigestAlgorithm::Sha512_256 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::session::{decode, encode};

    #[test]
    fn comes_back_unchanged_and_shows_nothing() {
        let device = Device::new("alice-k3f9", "example.test", "sip:alice@example.test", [7; 16], "secret");
        assert_eq!(decode::<Device>(&encode(&device)), Some(device.clone()));
        let md5 = device.ha1(DigestAlgorithm::Md5).unwrap();
        assert_eq!(md5, ha1(DigestAlgorithm::Md5, "alice-k3f9", "example.test", "secret").as_str());
        assert_eq!(device.ha1(DigestAlgorithm::Sha256).map(str::len), Some(64));
        assert_eq!(device.ha1(DigestAlgorithm::Sha512_256), None);
        assert!(!format!("{device:?}").contains(md5));
    }
}
