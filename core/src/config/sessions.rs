// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of sessions, checked: where they are kept, under which key, and how proofs are read.

use std::collections::BTreeMap;

use super::settings::{Secret, Settings};
use super::urls::check_url;
use super::{ConfigError, error};
use crate::keys::master_key::Ha1Form;
use crate::keys::shared_key::{KeyOrder, hmac_sha256};
use zeroize::Zeroizing;

/// Settings of sessions, for a proxy that has a store.
pub struct Sessions {
    /// Where sessions are kept.
    pub place: StorePlace,
    /// The secret from which the sealing key is made.
    pub key: Secret,
    /// Key for hashes of texts that peers choose, so that the peers cannot choose the hash.
    pub hash_key: [u8; 16],
    /// The secret from which the accounts of users who do not exist are made.
    pub unknown_users: Zeroizing<[u8; 32]>,
    /// Order of the parts of the shared key.
    pub key_order: KeyOrder,
    /// How H(A1) enters the master-key.
    pub ha1_form: Ha1Form,
    /// The digest-string has an empty body if the proof travels in the body.
    pub empty_pop_body: bool,
    /// The digest-string has an empty Contact if the request has `*`.
    pub empty_star: bool,
    /// Proofs cover the Request-URI.
    pub covers_request_uri: bool,
    /// Proofs are compared over all proxies that share the store.
    pub cluster_replay: bool,
}

/// No key is shown.
impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The kinds of stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// LMDB in this folder.
    Folder(String),
    /// Redis or Valkey.
    Redis {
        /// redis://, rediss:// or unix://
        url: Secret,
        /// The password to use instead of the one in the URL.
        password: Option<Secret>,
    },
}

impl StorePlace {
    /// True for Redis at another host without TLS.
    pub fn is_unprotected(&self) -> bool {
        let StorePlace::Redis { url, .. } = self else { return false };
        let text = std::str::from_utf8(url.expose()).unwrap_or("");
        let Some(rest) = text.strip_prefix("redis://") else { return false };
        let address = rest.rsplit('@').next().unwrap_or(rest);
        check_url(&format!("http://{address}"), false).is_err()
    }

    /// True when every process may open and call the store. Otherwise, only the I/O process may.
    pub fn is_local(&self) -> bool {
        matches!(self, StorePlace::Folder(_))
    }
}

impl Sessions {
    /// Checks the settings; None when no store is configured.
    pub fn new(settings: &Settings, files: &BTreeMap<String, String>) -> Result<Option<Sessions>, ConfigError> {
        let Some(store) = &settings.store else {
            return Ok(None);
        };
        let place = place(store, settings, files)?;
        let Some(key) = store_key(settings, files)? else {
            return error(
                "store_key: is missing, but 'store' is set; write a secret of at least 32 octets, for example what 'openssl rand -base64 32' prints, into a file and name it in store_key_file",
            );
        };
        let cluster_replay = settings.replay_scope == "cluster";
        if cluster_replay && !matches!(place, StorePlace::Redis { .. }) {
            return error("replay_scope: cluster needs a Redis store, which all proxies share");
        }
        let derived = hmac_sha256(key.expose(), &[b"sipoauth hash key 1"]);
        let mut hash_key = [0; 16];
        hash_key.copy_from_slice(&derived[..16]);
        let unknown_users = hmac_sha256(key.expose(), &[b"sipoauth unknown users 1"]);
        Ok(Some(Sessions {
            place,
            key,
            hash_key,
            unknown_users,
            key_order: if settings.speaks("slides_key") { KeyOrder::Slides } else { KeyOrder::Draft },
            ha1_form: if settings.speaks("raw_ha1") { Ha1Form::Raw } else { Ha1Form::Hex },
            empty_pop_body: settings.speaks("empty_body"),
            empty_star: settings.speaks("empty_star"),
            covers_request_uri: settings.speaks("request_uri"),
            cluster_replay,
        }))
    }
}

/// The secret of `store_key` or `store_key_file`. It is also used without a store, because it makes the marks of
/// dialogs.
pub(super) fn store_key(settings: &Settings, files: &BTreeMap<String, String>) -> Result<Option<Secret>, ConfigError> {
    let key = match (&settings.store_key, &settings.store_key_file) {
        (Some(_), Some(_)) => return error("store_key_file: store_key is set too; choose one"),
        (Some(key), None) => key.clone(),
        (None, Some(path)) => Secret::from_file(files.get(path).map_or("", String::as_str)),
        (None, None) => return Ok(None),
    };
    if key.expose().len() < 32 {
        return error("store_key: must have at least 32 octets; 'openssl rand -base64 32' makes a good one");
    }
    Ok(Some(key))
}

fn place(store: &Secret, settings: &Settings, files: &BTreeMap<String, String>) -> Result<StorePlace, ConfigError> {
    let text = std::str::from_utf8(store.expose()).unwrap_or("");
    let password =
        settings.store_password_file.as_ref().map(|path| Secret::from_file(files.get(path).map_or("", String::as_str)));
    let scheme = text.split_once("://").map(|s| s.0);
    match scheme {
        Some("redis" | "rediss" | "unix" | "redis+unix") => Ok(StorePlace::Redis { url: store.clone(), password }),
        // The address may hold a password, so it is not repeated here.
        Some(_) => error("store: the address must begin with redis://, rediss:// or unix://, or be a folder"),
        None if text.starts_with('/') && password.is_none() => {
            Ok(StorePlace::Folder(text.trim_end_matches('/').into()))
        }
        None if text.starts_with('/') => error("store_password_file: a folder has no password; remove it"),
        None => error(
            "store: is neither a folder written from '/' nor redis://host:port; write for example /var/lib/kamailio/sipoauth",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;

    fn sessions(pairs: &[(&str, &str)]) -> Result<Option<Sessions>, String> {
        let mut source = Source::default();
        for (key, value) in pairs {
            source.set(key, value).map_err(|e| e.0)?;
        }
        let bundle = source.load().map_err(|e| e.0)?;
        Sessions::new(&bundle.settings, &bundle.files).map_err(|e| e.0)
    }

    const KEY: (&str, &str) = ("store_key", "0123456789abcdef0123456789abcdef");

    #[test]
    fn both_kinds() {
        assert!(sessions(&[]).unwrap().is_none());
        let folder = sessions(&[("store", "/var/lib/x/"), KEY]).unwrap().unwrap();
        assert_eq!(folder.place, StorePlace::Folder("/var/lib/x".into()));
        let redis = sessions(&[("store", "redis://:pw@h/0"), KEY, ("replay_scope", "cluster")]).unwrap().unwrap();
        assert!(matches!(redis.place, StorePlace::Redis { .. }) && redis.cluster_replay);
        assert!(!format!("{redis:?}").contains("pw") && redis.place.is_unprotected());
        let near = sessions(&[("store", "redis://:pw@127.0.0.1:6379/0"), KEY]).unwrap().unwrap();
        assert!(!near.place.is_unprotected() && !folder.place.is_unprotected());
    }

    #[test]
    fn every_mistake_has_a_sentence() {
        for (pairs, words) in [
            (vec![("store", "/x")], "store_key: is missing"),
            (vec![("store", "/x"), ("store_key", "short")], "at least 32"),
            (vec![("store", "redis:/:secret@x"), KEY], "neither a folder"),
            (vec![("store", "http://:secret@x"), KEY], "must begin with redis://"),
            (vec![("store", "/x"), KEY, ("replay_scope", "cluster")], "needs a Redis store"),
        ] {
            let text = sessions(&pairs).unwrap_err();
            assert!(text.contains(words) && !text.contains("secret@"), "{text}");
        }
    }
}
