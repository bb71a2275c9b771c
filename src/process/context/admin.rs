// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an operator does while the proxy runs. All of it may wait, so no SIP worker does it.

use std::sync::Arc;

use super::Context;
use crate::clock::now_millis;
use crate::shared::counters::Counter;
use crate::store::accounts::{AccountPage, derive_verifier};
use crate::store::phones::PhonePage;
use crate::store::session_admin::SessionPage;
use crate::store::session_ends::Ending;
use crate::store::sessions::{SessionError, SessionStore};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::{ConfigError, error};
use sipoauth_core::keys::pbkdf2::Parameters;
use sipoauth_core::keys::verifier::Verifier;
use sipoauth_core::ports::Level;
use sipoauth_core::records::session::id_text;
use sipoauth_core::records::session_end::{EndedBy, SessionEnd};
use sipoauth_core::sip::uri::Aor;

/// The operator's access to a [`Context`].
#[derive(Clone, Copy)]
pub struct Admin<'a> {
    pub(super) context: &'a Context,
}

impl Admin<'_> {
    /// Reads the configuration again. A bad configuration changes nothing.
    pub fn reload(self) -> Result<(), ConfigError> {
        let Some(_guard) = self.context.arena.begin_reload() else {
            return error("another reload is under way; try again");
        };
        let bundle = self.context.source.load()?;
        let policy = Policy::new(&bundle)?;
        let unchanged = match (&self.context.sessions, &policy.sessions) {
            (None, None) => true,
            (Some(access), Some(sessions)) => access.is_for(sessions),
            _ => false,
        };
        if !unchanged {
            return error("store, store_key: cannot be changed by a reload; restart the proxy");
        }
        if policy.introspects() && !self.context.arena.keeps_answers() {
            return error(
                "tokens: introspection cannot be begun by a reload, there is no memory for answers; restart the proxy",
            );
        }
        if policy.settings.connection_auth && self.context.arena.connections().is_empty() {
            return error("connection_auth: cannot be turned on by a reload; restart the proxy");
        }
        self.context.publish(bundle, &policy)?;
        self.context.jobs.wake();
        for warning in policy.warnings() {
            self.context.log.log(Level::Warn, &warning);
        }
        let settings = policy.settings.of_the_start().into_iter().zip(self.context.started.iter().copied());
        for ((name, value), (_, started)) in settings.filter(|(now, started)| now != started) {
            let line = format!("{name}: {started} goes on to count; {value} is taken over when the proxy is restarted");
            self.context.log.log(Level::Warn, &line);
        }
        self.context.arena.shared().counters.add(Counter::Reloads);
        self.context.log.log(Level::Info, &format!("configuration reloaded, {} provider(s)", policy.providers.len()));
        Ok(())
    }

    /// Has the keys of one provider fetched now, whatever the limits say. With an empty name it does so for every
    /// provider whose keys are fetched. Returns how many providers these are.
    pub fn refresh_keys(self, name: &str) -> Result<usize, ConfigError> {
        let placed = self.context.policy()?;
        let providers = &placed.policy.providers;
        if !name.is_empty() {
            match providers.iter().find(|p| p.name == name) {
                None => {
                    let known: Vec<_> = providers.iter().map(|p| p.name.as_str()).collect();
                    let name = sipoauth_core::text::fingerprint::printable(name, 63);
                    return error(format!("no provider is called '{name}'; there are: {}", known.join(", ")));
                }
                Some(provider) if !provider.keys.is_fetched() => {
                    return error(format!("provider '{name}': its keys are configured, not fetched; use reload"));
                }
                Some(_) => {}
            }
        }
        let mut count = 0;
        for (provider, &(slot, source)) in providers.iter().zip(&placed.places) {
            if source != 0 && (name.is_empty() || provider.name == name) {
                self.context.arena.slots()[slot].demand();
                self.context
                    .log
                    .log(Level::Info, &format!("provider '{}': the operator has its keys fetched", provider.name));
                count += 1;
            }
        }
        if count == 0 {
            return error("the keys of every provider are configured, none are fetched; use reload");
        }
        self.context.jobs.wake();
        Ok(count)
    }

    /// One page of sessions: those of `aor`, or those of all addresses if `aor` is empty.
    pub fn list_sessions(self, aor: &str, from: &str) -> Result<SessionPage, SessionError> {
        self.session_store()?.list(aor, from, now_millis())
    }

    /// Ends the session `id` of an address, or all of them if `id` is empty. An empty `aor` is malformed.
    pub fn revoke_sessions(self, aor: &str, id: &str) -> Result<Vec<SessionEnd>, SessionError> {
        Ok(self.log_ended(self.session_store()?.revoke(aor, id, &self.ending(), now_millis())?))
    }

    /// Ends every session of every address.
    pub fn revoke_all_sessions(self) -> Result<Vec<SessionEnd>, SessionError> {
        Ok(self.log_ended(self.session_store()?.revoke_all(&self.ending(), now_millis())?))
    }

    /// One page of the phones that were added at the sign-in page: those of `aor`, or those of all addresses if it is empty.
    pub fn list_devices(self, aor: &str, from: &str) -> Result<PhonePage, SessionError> {
        self.session_store()?.list_devices(aor, from, now_millis())
    }

    /// Signs out one of these phones, by its id or user name, or all of an address, with the sign-ins at the page.
    pub fn revoke_devices(self, aor: &str, device: &str) -> Result<Vec<SessionEnd>, SessionError> {
        Ok(self.log_ended(self.session_store()?.revoke_devices(aor, device, &self.ending(), now_millis())?))
    }

    /// The host of this proxy is told by whoever has called.
    fn ending(self) -> Ending<'static> {
        Ending { origin: self.context.origin(), ..Ending::new(EndedBy::Operator) }
    }

    /// Derives the verifier of a new account. Slow by design.
    pub fn derive_verifier(self, password: &[u8]) -> Result<Verifier, SessionError> {
        let placed = self.context.policy().map_err(|_| SessionError::NotConfigured)?;
        Ok(derive_verifier(&placed.policy.new_accounts, password)?)
    }

    /// Writes an account, also over an earlier one.
    pub fn put_account(self, aor: &Aor, verifier: &Verifier) -> Result<(), SessionError> {
        self.session_store()?.put_key_account(aor, verifier, now_millis())?;
        self.context.log.log(Level::Info, &format!("the account of {} was written by the operator", aor.as_str()));
        Ok(())
    }

    /// Removes an account; false when there was none.
    pub fn remove_account(self, aor: &Aor) -> Result<bool, SessionError> {
        let removed = self.session_store()?.remove_key_account(aor)?;
        if removed {
            self.context.log.log(Level::Info, &format!("the account of {} was removed by the operator", aor.as_str()));
        }
        Ok(removed)
    }

    /// One page of accounts: that of `aor`, or those of all addresses if `aor` is empty.
    pub fn list_accounts(self, aor: &str, from: &str) -> Result<AccountPage, SessionError> {
        self.session_store()?.list_key_accounts(aor, from, now_millis())
    }

    /// True when a challenge reveals that an account with these parameters exists.
    pub fn is_conspicuous(self, parameters: &Parameters) -> bool {
        self.context.policy().is_ok_and(|placed| !placed.policy.new_accounts.look_like(parameters))
    }

    /// Counts and logs the sessions that the operator has ended.
    fn log_ended(self, ended: Vec<SessionEnd>) -> Vec<SessionEnd> {
        for SessionEnd { aor, session, .. } in &ended {
            self.context.arena.shared().counters.add(Counter::SessionsRevoked);
            let line = format!("session {} of {aor} was ended by the operator", id_text(&session.id));
            self.context.log.log(Level::Info, &line);
        }
        ended
    }

    /// The opened store, for calls that may wait.
    fn session_store(self) -> Result<Arc<SessionStore>, SessionError> {
        let access = self.context.sessions.as_ref().ok_or(SessionError::NotConfigured)?;
        let placed = self.context.policy().map_err(|_| SessionError::NotConfigured)?;
        Ok(access.open(&placed.policy)?)
    }
}
