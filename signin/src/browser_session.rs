// SPDX-License-Identifier: MIT OR Apache-2.0
//! A browser's session at the authorization server (`sid`). The phones of a user hang on the latest one, so the end of
//! an earlier one signs only its own browser out.

use serde::{Deserialize, Serialize};
use sipoauth::store::sessions::SessionStore;
use sipoauth_core::ports::store::{StoreError, Write};
use sipoauth_core::records::session::{IssuerName, SidName};
use sipoauth_core::text::fingerprint::push_hex;

/// Which session.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct BrowserSession {
    /// The server.
    pub issuer: IssuerName,
    /// Its name for the session.
    pub sid: SidName,
}

impl BrowserSession {
    fn key(&self) -> String {
        let mut key = String::from("x:");
        push_hex(&mut key, &self.issuer);
        push_hex(&mut key, &self.sid);
        key
    }

    /// Notes that it has ended. After `until`, in Unix milliseconds, no cookie of it counts anyway.
    pub fn end(&self, store: &SessionStore, until: i64, now: i64) -> Result<(), StoreError> {
        let key = self.key();
        let write = Write { key: &key, value: b"1", expires_at: until, due_at: None };
        store.store().put_owed(&write, None, now).map(drop)
    }

    /// True when the server has said that it has ended.
    pub fn has_ended(&self, store: &SessionStore, now: i64) -> Result<bool, StoreError> {
        Ok(store.store().get(&self.key(), now)?.is_some())
    }
}
