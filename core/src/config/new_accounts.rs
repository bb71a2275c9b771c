// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of accounts for the Key-Derivation scheme, checked.

use super::settings::Settings;
use crate::keys::pbkdf2::{Kdf, Parameters};

/// How the keys of new accounts are derived. Users who do not exist look as if their keys were derived in the same
/// way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAccounts {
    /// The hash function.
    pub kdf: Kdf,
    /// The number of PBKDF2 iterations.
    pub iterations: u32,
    /// Length of the keys in bits.
    pub key_size: u32,
}

impl NewAccounts {
    /// Reads the settings.
    pub fn new(settings: &Settings) -> NewAccounts {
        let kdf = Kdf::from_short_name(&settings.kd_kdf).unwrap_or_default();
        NewAccounts { kdf, iterations: settings.kd_iterations, key_size: kdf.bits() }
    }

    /// True when an account with these parameters cannot be told from a user who does not exist.
    pub fn look_like(&self, parameters: &Parameters) -> bool {
        let NewAccounts { kdf, iterations, key_size } = *self;
        (parameters.kdf(), parameters.iterations(), parameters.key_size()) == (kdf, iterations, key_size)
            && parameters.salt().len() == crate::keys::pbkdf2::DEFAULT_SALT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_others() {
        let new = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            NewAccounts::new(&settings)
        };
        let defaults = new(|_| {});
        assert_eq!(defaults, NewAccounts { kdf: Kdf::Sha256, iterations: 600_000, key_size: 256 });
        let parameters = |salt, bits| Parameters::new(Kdf::Sha256, 600_000, vec![0; salt], bits).unwrap();
        assert!(defaults.look_like(&parameters(16, 256)));
        assert!(!defaults.look_like(&parameters(15, 256)) && !defaults.look_like(&parameters(16, 512)));
        assert_eq!(new(|s| s.kd_kdf = "sha512".into()).key_size, 512);
    }
}
