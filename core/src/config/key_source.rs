// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a provider's keys come from.

use std::collections::BTreeMap;

use super::ConfigError;
use super::introspection::TokenStrategy;
use super::password_sign_in::PasswordSignIn;
use super::provider::Fail;
use super::provider_settings::ProviderSettings;
use super::settings::Settings;
use super::urls::{check_url, discovery_urls};
use crate::jose::jwk::VerificationKey;
use crate::jose::jws::{CompactJws, Header};
use crate::jose::key_set::{KeySet, Origin};
use crate::jose::pem::keys_from_pem;
use crate::reason::Reason;

/// Where keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// Configured; never fetched.
    Static(KeySet),
    /// A key set at a known address.
    Jwks(String),
    /// Metadata documents in this order. What one of them lacks is taken from the next. All must name the issuer.
    Discovery(Vec<String>),
}

impl KeySource {
    /// Where the keys of a provider's tokens come from, as its settings say.
    pub(super) fn new(
        settings: &ProviderSettings,
        strategy: TokenStrategy,
        global: &Settings,
        files: &BTreeMap<String, String>,
        fail: &Fail<'_>,
    ) -> Result<KeySource, ConfigError> {
        let mut source = given(settings, files, fail)?;
        let check = |key: &str, url: &str| check_url(url, global.allows_http()).map_err(|e| fail(key, e));
        match &mut source {
            KeySource::Static(_) => {}
            KeySource::Jwks(uri) => check("jwks_uri", uri)?,
            KeySource::Discovery(urls) => {
                let named = settings.discovery_url.is_some();
                // Opaque tokens need no keys, so an issuer that is only a name will do.
                if strategy == TokenStrategy::Opaque && settings.introspection_endpoint.is_some() && !named {
                    urls.retain(|url| check_url(url, global.allows_http()).is_ok());
                }
                let key = if named { "discovery_url" } else { "issuer" };
                urls.iter().try_for_each(|url| check(key, url))?;
            }
        }
        Ok(source)
    }

    /// The keys of tokens that the proxy issues itself.
    pub(super) fn of_own_tokens(
        settings: &ProviderSettings,
        issuer: &PasswordSignIn,
        fail: &Fail<'_>,
    ) -> Result<KeySource, ConfigError> {
        match given_sources(settings).first() {
            Some(key) => Err(fail(key, "is not used with password_grant issue: tokens are the proxy's own".into())),
            None => Ok(KeySource::Static(issuer.key_set())),
        }
    }

    /// True when the keys come from a server; false when they are configured.
    pub fn is_fetched(&self) -> bool {
        !matches!(self, KeySource::Static(_))
    }

    /// Checks a signature with the configured keys, or with the `fetched` ones. [`KeySource::may_have_changed`]
    /// says whether fetching the keys anew may help.
    pub fn verify(&self, jws: &CompactJws<'_>, header: &Header, fetched: Option<&KeySet>) -> Result<(), Reason> {
        let set = match self {
            KeySource::Static(set) => return jws.verify(header, set),
            _ => fetched.ok_or(Reason::KeyUnknown)?,
        };
        // Keys without a kid are tried one after the other. When none fits, the right one may be new, so the key
        // counts as unknown.
        jws.verify(header, set).map_err(|reason| match reason {
            Reason::SignatureInvalid if set.only_guesses(header.kid.as_deref()) => Reason::KeyUnknown,
            reason => reason,
        })
    }

    /// Whether fetching the keys anew may change the result, because the right key is not there or the server has
    /// another key under its name.
    pub fn may_have_changed(&self, verified: Result<(), Reason>) -> bool {
        let reasons = [Reason::KeyUnknown, Reason::SignatureInvalid, Reason::KeyUnsuitable];
        self.is_fetched() && verified.is_err_and(|reason| reasons.contains(&reason))
    }

    /// Identifies the source, so that keys published for one source never serve another; 0 if nothing is fetched.
    pub fn id(&self, issuer: &str) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        match self {
            KeySource::Static(_) => return 0,
            KeySource::Jwks(uri) => (0u8, uri).hash(&mut hasher),
            KeySource::Discovery(urls) => (1u8, urls, issuer).hash(&mut hasher),
        }
        hasher.finish() | 1
    }
}

/// The settings that name a source of keys.
pub(super) fn given_sources(settings: &ProviderSettings) -> Vec<&'static str> {
    let given = [
        ("discovery_url", settings.discovery_url.is_some()),
        ("jwks_uri", settings.jwks_uri.is_some()),
        ("jwks_file", settings.jwks_file.is_some()),
        ("pem_file", settings.pem_file.is_some()),
        ("secret", settings.secret.is_some()),
        ("secret_file", settings.secret_file.is_some()),
    ];
    given.iter().filter(|g| g.1).map(|g| g.0).collect()
}

fn given(
    settings: &ProviderSettings,
    files: &BTreeMap<String, String>,
    fail: &Fail<'_>,
) -> Result<KeySource, ConfigError> {
    let given = given_sources(settings);
    if given.len() > 1 {
        return Err(fail(given[1], format!("{} is set too; choose one source of keys", given[0])));
    }
    let content = |path: &String| files.get(path).map(String::as_str).unwrap_or_default();
    let secret = |octets: &[u8]| {
        VerificationKey::from_secret(octets)
            .map(|key| KeySource::Static(KeySet::from_keys(vec![key])))
            .map_err(|_| fail(given[0], "must have at least 32 octets (RFC 7518 section 3.2)".into()))
    };
    if let Some(path) = &settings.jwks_file {
        let set = KeySet::from_jwks(content(path).as_bytes(), Origin::Configured);
        return set.map(KeySource::Static).map_err(|e| {
            let each = if e.rejected().len() > 1 {
                format!("; sipoauth jwks --file {path} tells of each")
            } else {
                String::new()
            };
            fail("jwks_file", format!("{path}: {e}{each}"))
        });
    }
    if let Some(path) = &settings.pem_file {
        let keys = keys_from_pem(content(path).as_bytes()).map_err(|e| fail("pem_file", format!("{path}: {e}")))?;
        return Ok(KeySource::Static(KeySet::from_keys(keys)));
    }
    if let Some(text) = &settings.secret {
        return secret(text.expose());
    }
    if let Some(path) = &settings.secret_file {
        return secret(content(path).trim_end_matches(['\r', '\n']).as_bytes());
    }
    if let Some(uri) = &settings.jwks_uri {
        return Ok(KeySource::Jwks(uri.clone()));
    }
    Ok(KeySource::Discovery(match &settings.discovery_url {
        Some(url) => vec![url.clone()],
        None => discovery_urls(&settings.issuer),
    }))
}
