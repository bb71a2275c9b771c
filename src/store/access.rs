// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each process's way to the session store: opened after the fork, when it is first needed.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::account_cache::AccountCache;
use super::key_check;
use super::open::{OpenedStore, open_store};
use super::redis::RedisStore;
use super::sessions::SessionStore;
use crate::clock::now_millis;
use crate::shared::process_id;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::sessions::{Sessions, StorePlace};
use sipoauth_core::config::{ConfigError, error};
use sipoauth_core::keys::verifier::{NOBODYS, Verifier};
use sipoauth_core::ports::store::StoreError;
use sipoauth_core::records::key_account::KeyAccount;
use sipoauth_core::records::seal::Sealer;

/// After a failure to open the store, the process waits this long before it tries again, in milliseconds.
const RETRY: i64 = 1000;

/// The record name under which the account of [`StoreAccess::decoy`] is sealed.
pub(crate) const DECOY: &str = "k:nobody";

/// The store's place and key, and what this process has opened of it.
pub struct StoreAccess {
    place: StorePlace,
    sealer: Arc<Sealer>,
    decoy: OnceLock<Vec<u8>>,
    opened: Mutex<OpenStore>,
    accounts: Mutex<AccountCache>,
}

#[derive(Default)]
struct OpenStore {
    process: u32,
    store: Option<Arc<SessionStore>>,
    remote: Option<Arc<RedisStore>>,
    failed: Option<(i64, StoreError)>,
}

impl StoreAccess {
    /// Called before the fork. Compares the key with the one that sealed the sessions, if the folder has a file that
    /// tells it. Opens nothing.
    pub fn new(sessions: &Sessions) -> Result<StoreAccess, ConfigError> {
        let sealer = Sealer::new(sessions.key.expose());
        if let StorePlace::Folder(folder) = &sessions.place
            && let Some(check) = key_check::read(Path::new(folder))
            && check != sealer.check()
        {
            return error(format!(
                "store_key: is not the one that the sessions in {folder} were sealed with; write the old key again, or move the folder away to begin without sessions. Nothing was changed"
            ));
        }
        Ok(StoreAccess {
            place: sessions.place.clone(),
            sealer: Arc::new(sealer),
            decoy: OnceLock::new(),
            opened: Mutex::default(),
            accounts: Mutex::default(),
        })
    }

    /// True when a configuration names the same store and key.
    pub fn is_for(&self, sessions: &Sessions) -> bool {
        self.place == sessions.place && self.sealer.check() == Sealer::new(sessions.key.expose()).check()
    }

    /// True when this process reads and writes the records itself, without a network.
    pub fn is_local(&self) -> bool {
        self.place.is_local()
    }

    /// The sealer of the records.
    pub fn sealer(&self) -> &Arc<Sealer> {
        &self.sealer
    }

    /// A sealed account that belongs to nobody. It is made at first use, because no random numbers are drawn before
    /// the fork.
    pub fn decoy(&self) -> &[u8] {
        self.decoy.get_or_init(|| {
            let nobody = Verifier::parse(NOBODYS).expect("a constant that a test reads");
            self.sealer.seal(DECOY, &KeyAccount::new("sip:nobody@example.invalid", &nobody).encode())
        })
    }

    /// The accounts that this process has opened lately.
    pub(crate) fn accounts(&self, policy: &Policy) -> MutexGuard<'_, AccountCache> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.set_places(policy.settings.opened_accounts());
        accounts
    }

    fn opened(&self) -> MutexGuard<'_, OpenStore> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, opened in this process.
    pub fn open(&self, policy: &Policy) -> Result<Arc<SessionStore>, StoreError> {
        let mut opened = self.opened();
        if opened.process != process_id::id() {
            // A store that a parent process opened belongs to the parent: this process must not touch its memory map
            // and locks.
            std::mem::forget(std::mem::take(&mut *opened));
            opened.process = process_id::id();
        }
        match &opened.store {
            Some(store) if !store.store().is_given_up() => return Ok(Arc::clone(store)),
            // The other holders drop the store when their calls end. Then it can be opened anew.
            Some(_) => opened.store = None,
            None => {}
        }
        let now = now_millis();
        if let Some((at, error)) = &opened.failed
            && (0..RETRY).contains(&(now - at))
        {
            return Err(error.clone());
        }
        match self.open_anew(policy, now) {
            Ok((store, remote)) => {
                let store = Arc::new(store);
                opened.store = Some(Arc::clone(&store));
                opened.remote = remote;
                Ok(store)
            }
            Err(error) => {
                opened.failed = Some((now, error.clone()));
                Err(error)
            }
        }
    }
}

impl StoreAccess {
    /// The store over the network, for a caller that watches it for changes by others. None when the store is local,
    /// or not open yet.
    pub fn watched(&self) -> Option<Arc<RedisStore>> {
        // A thread that opens the store now may have to wait for the server; this caller must not wait for that
        // thread.
        self.opened.try_lock().ok()?.remote.clone()
    }

    fn open_anew(&self, policy: &Policy, now: i64) -> Result<(SessionStore, Option<Arc<RedisStore>>), StoreError> {
        let opened = open_store(&self.place, policy)?;
        let store = SessionStore::new(opened.store(), Arc::clone(&self.sealer), now)?;
        if let StorePlace::Folder(folder) = &self.place {
            key_check::write(Path::new(folder), self.sealer.check())?;
        }
        let remote = match opened {
            OpenedStore::Local(_) => None,
            OpenedStore::Remote(remote) => Some(remote),
        };
        Ok((store, remote))
    }
}
