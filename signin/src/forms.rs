// SPDX-License-Identifier: MIT OR Apache-2.0
//! Forms that count once. A browser that loads their answer again, or whose user clicks twice, sends them again.

use sipoauth::store::phones::AddError;
use sipoauth::store::sessions::SessionStore;
use sipoauth_core::ports::store::Write;

use crate::cookies::SignedIn;
use crate::random::{self, record_key};

/// A number for a form.
pub fn new_number() -> String {
    random::text(&random::octets::<16>())
}

/// One form of one browser.
pub struct OnceForm {
    key: String,
    until: i64,
}

impl OnceForm {
    /// `number` is what the form has. None: it has none.
    pub fn new(browser: &SignedIn, number: &str) -> Option<OnceForm> {
        let key = record_key("f:", &format!("{} {number}", browser.token()));
        (!number.is_empty()).then_some(OnceForm { key, until: browser.until })
    }

    /// Does what the form asks for. None: it was done before. After a failure the form may be sent again. `now` is in Unix
    /// milliseconds.
    pub fn submit<T>(
        &self,
        store: &SessionStore,
        now: i64,
        act: impl FnOnce() -> Result<T, AddError>,
    ) -> Result<Option<T>, AddError> {
        let write = Write { key: &self.key, value: b"1", expires_at: self.until, due_at: None };
        if !store.store().put(&write, None, now).map_err(AddError::Store)? {
            return Ok(None);
        }
        let done = act();
        if done.is_err() {
            // If this fails, too, the user takes a new form.
            let _ = store.store().remove(&self.key, None);
        }
        done.map(Some)
    }
}
