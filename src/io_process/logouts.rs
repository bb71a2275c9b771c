// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about logout tokens: it ends the sessions that a server has logged out.

use std::collections::VecDeque;

use super::exchange_task::TaskEnv;
use super::pool::Pool;
use super::service::ServiceEvent;
use crate::clock::{has_come, now_millis};
use sipoauth_core::oauth::logout_token::{LogoutError, LogoutToken, provider_of, verify};
use sipoauth_core::ports::{Level, Log};
use sipoauth_core::text::secret::SecretText;

/// Tokens that wait.
const MOST: usize = 1024;
/// A token that cannot be judged now is tried again after this time, in milliseconds. The server has its answer already.
const AGAIN: i64 = 2000;
/// It is given up after this time, in milliseconds. Most are too old then (`iat`).
const PATIENCE: i64 = 600_000;

/// A token that waits.
#[derive(Clone)]
pub struct Waiting {
    token: SecretText,
    /// When it came.
    since: i64,
    /// When it is looked at.
    due: i64,
}

/// What waits.
#[derive(Default)]
pub struct Logouts {
    queue: VecDeque<Waiting>,
    working: bool,
}

impl Logouts {
    /// One more token, which a worker has verified, or could not. False when there is no room for it.
    #[must_use]
    pub fn add(&mut self, token: SecretText, now: i64) -> bool {
        let has_room = self.queue.len() < MOST;
        if has_room {
            self.queue.push_back(Waiting { token, since: now, due: now });
        }
        has_room
    }

    /// When there is something to do next.
    pub fn next(&self) -> Option<i64> {
        self.queue.iter().map(|waiting| waiting.due).min().filter(|_| !self.working)
    }

    /// Has a thread work on the next one.
    pub fn dispatch(&mut self, env: &TaskEnv, pool: &Pool<ServiceEvent>, now: i64) {
        let due = self.queue.iter().position(|waiting| has_come(waiting.due, now, AGAIN));
        let Some(waiting) = due.filter(|_| !self.working).and_then(|place| self.queue.remove(place)) else { return };
        let (task_env, kept) = (env.clone(), waiting.clone());
        let work = move || ServiceEvent::LoggedOut((!log_out(&task_env, &waiting)).then_some(waiting));
        self.working = pool.start(env.task(work, |_| ServiceEvent::LoggedOut(None)));
        if !self.working {
            self.queue.push_front(kept);
        }
    }

    /// A thread is done, but for this token.
    pub fn finished(&mut self, left: Option<Waiting>, now: i64) {
        self.working = false;
        self.queue.extend(left.map(|waiting| Waiting { due: now + AGAIN, ..waiting }));
    }
}

/// Ends the sessions. This proxy is told of it like all others. False when it is to be tried again.
fn log_out(env: &TaskEnv, waiting: &Waiting) -> bool {
    let now = now_millis();
    let (is_first, is_last) = (waiting.due == waiting.since, now - waiting.since > PATIENCE);
    let tell = |level, line: String| env.lines.log(level, &line);
    let again = |what: &str| {
        if is_first || is_last {
            let then = if is_last { "it is given up" } else { "it is tried again" };
            tell(Level::Error, format!("{what}; {then}"));
        }
        is_last
    };
    let token = match verified(env, &waiting.token.0) {
        Ok(token) => token,
        Err(LogoutError::Refused(why)) => {
            tell(Level::Info, format!("a logout token is refused: {why}"));
            return true;
        }
        Err(LogoutError::Unavailable(why)) => return again(&format!("a logout token cannot be judged now: {why}")),
    };
    match env.store().and_then(|store| env.noted(store.log_out_once(&token, now))) {
        Ok(Some(ended)) => {
            tell(Level::Info, format!("the server has logged a user out: {} sessions have ended", ended.len()));
        }
        Ok(None) => tell(Level::Info, "a logout token was used before".into()),
        Err(error) => return again(&format!("a user who was logged out is still signed in: {error}")),
    }
    true
}

/// Verified once more, because the worker may not have had the keys.
fn verified(env: &TaskEnv, token: &str) -> Result<LogoutToken, LogoutError> {
    let provider = provider_of(&env.policy, token)?;
    let (keys, fetch) = (env.keys(provider), || env.fetch_keys(provider));
    verify(&env.policy, provider, token, keys.as_ref(), &fetch, now_millis() / 1000)
}
