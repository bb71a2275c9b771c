// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that a request needs: configuration, store, servers, limits, numbers.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sipoauth::clock::now_millis;
use sipoauth::store::access::StoreAccess;
use sipoauth::store::sessions::SessionStore;
use sipoauth_core::config::ConfigError;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::sign_in_page::SignInPage;
use sipoauth_core::config::source::Source as Configuration;
use sipoauth_core::config::{error, provider::Provider};
use sipoauth_core::ports::store::StoreError;
use sipoauth_core::ports::{Level, Log};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::cookies::Cookies;
use crate::limits::SourceLimits;
use crate::log::StderrLog;
use crate::metrics::{Counter, Metrics};
use crate::servers::Servers;

/// The page of one configuration.
pub struct Site {
    /// The configuration.
    pub policy: Arc<Policy>,
    /// Its table about the page.
    pub page: SignInPage,
    pub(crate) servers: Arc<Servers>,
    pub(crate) cookies: Cookies,
    pub(crate) limits: SourceLimits,
    pub(crate) metrics: Metrics,
    access: StoreAccess,
    /// For each provider, how many questions may be open. A server that hangs must not take all threads.
    turns: Vec<Semaphore>,
    is_store_failing: AtomicBool,
    log: StderrLog,
}

impl Site {
    /// Reads the configuration of a file. Opens nothing.
    pub fn new(file: &str) -> Result<Site, ConfigError> {
        let mut source = Configuration::default();
        source.set("config_file", file)?;
        let policy = Policy::new(&source.load()?)?;
        let page = SignInPage::of(&policy)?;
        let Some(sessions) = &policy.sessions else {
            return error("the sign-in page needs the store of the proxies: write store and store_key_file");
        };
        if !policy.providers.iter().any(may_sign_in) {
            return error("no provider has a client_id, so nobody can sign in; write client_id and client_secret_file");
        }
        let log = StderrLog;
        policy.warnings().iter().for_each(|warning| log.log(Level::Warn, warning));
        if let Some(note) = SignInPage::note_on_codes(&policy.settings) {
            log.log(Level::Info, note);
        }
        let (access, cookies) = (StoreAccess::new(sessions)?, Cookies::new(sessions.key.expose()));
        let most = policy.settings.http_threads as usize;
        let turns = policy.providers.iter().map(|_| Semaphore::new(most)).collect();
        let policy = Arc::new(policy);
        Ok(Site {
            servers: Arc::new(Servers::new(Arc::clone(&policy))),
            cookies,
            limits: SourceLimits::new(page.settings.source_limit),
            metrics: Metrics::default(),
            access,
            turns,
            is_store_failing: AtomicBool::new(false),
            log,
            policy,
            page,
        })
    }

    /// The providers at which users may sign in.
    pub(crate) fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.policy.providers.iter().filter(|provider| may_sign_in(provider))
    }

    /// The provider of this name, if users may sign in there.
    pub(crate) fn provider(&self, name: &str) -> Option<usize> {
        self.policy.providers.iter().position(|provider| provider.name == name && may_sign_in(provider))
    }

    /// The right to ask a provider's server, in turn. None: too many others have waited for it for too long.
    pub(crate) async fn turn(&self, provider: usize) -> Option<SemaphorePermit<'_>> {
        let longest = Duration::from_secs(self.policy.settings.http_timeout.into());
        tokio::time::timeout(longest, self.turns[provider].acquire()).await.ok()?.ok()
    }

    /// Writes a line of the log.
    pub fn log(&self, level: Level, line: &str) {
        self.log.log(level, line);
    }

    pub(crate) fn logger(&self) -> &dyn Log {
        &self.log
    }

    /// Does work that blocks on a thread of its own. A panic there is a failure of the store to the caller.
    pub(crate) async fn on_thread<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Site) -> T + Send + 'static,
    ) -> Option<T> {
        let site = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&site)).await.ok()
    }

    /// Works with the store. `work` gets the time, in Unix milliseconds.
    pub(crate) async fn with_store<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&SessionStore, &Policy, i64) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = self.on_thread(move |site| site.at_store(work)).await;
        done.unwrap_or_else(|| Err(StoreError::Away("internal error, please report it".into())))
    }

    /// The same for a thread that may block.
    pub(crate) fn at_store<T>(
        &self,
        work: impl FnOnce(&SessionStore, &Policy, i64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let store = self.access.open(&self.policy);
        let done = store.and_then(|store| work(&store, &self.policy, now_millis()));
        match &done {
            Ok(_) if self.is_store_failing.swap(false, Relaxed) => self.log(Level::Info, "the store works again"),
            Ok(_) => {}
            Err(error) => {
                self.metrics.count(Counter::StoreErrors);
                if !self.is_store_failing.swap(true, Relaxed) {
                    self.log(Level::Error, &error.to_string());
                }
            }
        }
        done
    }

    /// Seals a record of the page.
    pub(crate) fn seal(&self, key: &str, plain: &[u8]) -> Vec<u8> {
        self.access.sealer().seal(key, plain)
    }

    /// Opens a record of the page.
    pub(crate) fn open(&self, key: &str, sealed: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        self.access.sealer().open(key, sealed)
    }

    /// Reads metadata again that is due, from time to time, without end.
    pub async fn keep_current(self: Arc<Self>) {
        let mut pause = tokio::time::interval(Duration::from_secs(30));
        loop {
            pause.tick().await;
            self.on_thread(|site| site.servers.read_again()).await;
        }
    }
}

fn may_sign_in(provider: &Provider) -> bool {
    provider.client.is_some() && !provider.aor.is_empty()
}
