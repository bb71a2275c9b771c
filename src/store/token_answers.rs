// SPDX-License-Identifier: MIT OR Apache-2.0
//! What authorization servers said about tokens that only they can judge.

use sipoauth_core::check::token_answer::{TokenAnswer, TokenId};
use sipoauth_core::ports::store::{StoreError, Write};
use sipoauth_core::records::session::encode;

use super::sessions::SessionStore;

impl SessionStore {
    /// What was said about this token. `now` in Unix milliseconds.
    pub fn answer(&self, id: &TokenId, now: i64) -> Result<Option<TokenAnswer>, StoreError> {
        Ok(self.read(&id.0, now)?.map(|(answer, _)| answer))
    }

    /// Keeps what was said about this token until `expires_at`, in place of what was said before. Unix milliseconds.
    pub fn put_answer(&self, id: &TokenId, answer: &TokenAnswer, expires_at: i64, now: i64) -> Result<(), StoreError> {
        if expires_at <= now {
            return Ok(());
        }
        let key = id.0.as_str();
        let value = self.sealer.seal(key, &encode(answer));
        let before = self.store.get(key, now)?;
        self.store.put(&Write { key, value: &value, expires_at, due_at: None }, before.as_deref(), now).map(drop)
    }
}
