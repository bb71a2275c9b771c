// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about logout tokens: it ends the sessions that a server has logged out.

use std::collections::VecDeque;

use super::exchange_task::TaskEnv;
use super::pool::Pool;
use super::service::ServiceEvent;
use crate::clock::now_millis;
use sipoauth_core::oauth::logout_token::{LogoutError, LogoutToken, provider_of, verify};
use sipoauth_core::ports::{Level, Log};
use sipoauth_core::text::secret::SecretText;

/// Tokens that wait. The server of one that finds no room is told so.
const MOST: usize = 1024;

/// What waits.
#[derive(Default)]
pub struct Logouts {
    queue: VecDeque<SecretText>,
    working: bool,
}

impl Logouts {
    /// One more token, which a worker has verified, or could not.
    pub fn add(&mut self, token: SecretText) {
        if self.queue.len() < MOST {
            self.queue.push_back(token);
        }
    }

    /// Has a thread work on the next one.
    pub fn dispatch(&mut self, env: &TaskEnv, pool: &Pool<ServiceEvent>) {
        if self.working {
            return;
        }
        let Some(token) = self.queue.pop_front() else { return };
        let (task_env, kept) = (env.clone(), token.clone());
        let work = move || {
            log_out(&task_env, &token.0);
            ServiceEvent::LoggedOut
        };
        self.working = pool.start(env.task(work, |_| ServiceEvent::LoggedOut));
        if !self.working {
            self.queue.push_front(kept);
        }
    }

    /// A thread is done.
    pub fn finished(&mut self) {
        self.working = false;
    }
}

/// Ends the sessions. This proxy is told of it like all others.
fn log_out(env: &TaskEnv, token: &str) {
    let tell = |level, line: String| env.lines.log(level, &line);
    let token = match verified(env, token) {
        Ok(token) => token,
        Err(LogoutError::Refused(why)) => return tell(Level::Info, format!("a logout token is refused: {why}")),
        Err(LogoutError::Unavailable(why)) => {
            return tell(Level::Error, format!("a logout token cannot be judged, nobody is logged out: {why}"));
        }
    };
    let ended = env.store().and_then(|store| env.noted(store.log_out_once(&token, now_millis())));
    match ended {
        Ok(Some(ended)) => {
            tell(Level::Info, format!("the server has logged a user out: {} sessions have ended", ended.len()));
        }
        Ok(None) => tell(Level::Info, "a logout token was used before".into()),
        Err(error) => tell(Level::Error, format!("a user who was logged out stays signed in: {error}")),
    }
}

/// Verified once more, because the worker may not have had the keys.
fn verified(env: &TaskEnv, token: &str) -> Result<LogoutToken, LogoutError> {
    let provider = provider_of(&env.policy, token)?;
    let (keys, fetch) = (env.keys(provider), || env.fetch_keys(provider));
    verify(&env.policy, provider, token, keys.as_ref(), &fetch, now_millis() / 1000)
}
