// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens the store of a configuration.

use std::path::Path;
use std::sync::Arc;

use super::lmdb::LmdbStore;
use super::redis::RedisStore;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::sessions::StorePlace;
use sipoauth_core::ports::store::{Store, StoreError};

/// A store, and who may call it.
#[derive(Clone)]
pub enum OpenedStore {
    /// On this host: every process opens it for itself and calls it directly.
    Local(Arc<LmdbStore>),
    /// Over the network: only the I/O process opens and calls it.
    Remote(Arc<RedisStore>),
}

impl OpenedStore {
    /// The store itself.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            OpenedStore::Local(store) => Arc::<LmdbStore>::clone(store),
            OpenedStore::Remote(store) => Arc::<RedisStore>::clone(store),
        }
    }
}

/// Opens the store, after the fork. Redis is not contacted yet, so an unreachable server shows only at the first
/// call. [`StorePlace::is_local`] says without opening whether a place is local.
pub fn open_store(place: &StorePlace, policy: &Policy) -> Result<OpenedStore, StoreError> {
    let settings = &policy.settings;
    Ok(match place {
        StorePlace::Folder(folder) => OpenedStore::Local(Arc::new(LmdbStore::open(
            Path::new(folder),
            settings.store_size,
            settings.store_durable,
        )?)),
        StorePlace::Redis { url, password } => OpenedStore::Remote(Arc::new(RedisStore::new(
            url,
            password.as_ref(),
            policy.ca_pem.as_deref(),
            settings.store_timeout,
        )?)),
    })
}
