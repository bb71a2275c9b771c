// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of accounts for the Key-Derivation scheme, checked.

use super::settings::Settings;
use super::{ConfigError, error};
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
    /// Checks the settings.
    pub fn new(settings: &Settings) -> Result<NewAccounts, ConfigError> {
        let Some(kdf) = Kdf::from_short_name(&settings.kd_kdf) else {
            return error(format!("kd_kdf: '{}' is not possible, write sha256 or sha512", settings.kd_kdf));
        };
        Ok(NewAccounts { kdf, iterations: settings.kd_iterations, key_size: kdf.bits() })
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
    fn defaults_and_mistakes() {
        let new = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            NewAccounts::new(&settings).map_err(|e| e.0)
        };
        let defaults = new(|_| {}).unwrap();
        assert_eq!(defaults, NewAccounts { kdf: Kdf::Sha256, iterations: 600_000, key_size: 256 });
        let parameters = |salt, bits| Parameters::new(Kdf::Sha256, 600_000, vec![0; salt], bits).unwrap();
        assert!(defaults.look_like(&parameters(16, 256)));
        assert!(!defaults.look_like(&parameters(15, 256)) && !defaults.look_like(&parameters(16, 512)));
        assert!(new(|s| s.kd_kdf = "md5".into()).unwrap_err().contains("kd_kdf: 'md5'"));
        assert_eq!(new(|s| s.kd_kdf = "sha512".into()).unwrap().key_size, 512);
    }
}
