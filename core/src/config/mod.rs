// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configuration: from the host's parameters and a TOML file to one immutable, validated [`policy::Policy`].
//!
//! `source` collects and reads files. `settings` and `provider_settings` say what may be written, and `policy`
//! says what it means. Only `source` touches the file system, and only before the fork or in a reload.

pub mod client;
pub mod client_certificate;
pub mod decryption;
pub mod domains;
pub mod http_proxy;
pub mod introspection;
pub mod key_source;
pub mod new_accounts;
pub mod offer;
pub mod password_sign_in;
pub mod policy;
pub mod provider;
pub mod provider_settings;
pub mod sessions;
pub mod setting;
pub mod settings;
pub mod sign_in_page;
pub mod source;
pub mod urls;

/// A sentence that names where the mistake is, the key, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Makes a [`ConfigError`] the result of a function.
pub fn error<T>(text: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError(text.into()))
}
