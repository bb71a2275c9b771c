// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about phones that were added at the sign-in page: it stores when they have registered. Workers do
//! not wait for that, and a use that finds no room is left out, because the next one comes soon.

use std::collections::VecDeque;

use super::exchange_task::TaskEnv;
use super::pool::Pool;
use super::service::ServiceEvent;
use crate::clock::now_millis;
use crate::process::job::Used;
use crate::store::sessions::SessionStore;
use sipoauth_core::ports::store::StoreError;
use sipoauth_core::records::session::{Session, SignIn};
use sipoauth_core::records::session_end::{EndedBy, SessionEnd};

/// Uses that wait to be stored.
const MOST_QUEUED: usize = 4096;
/// Uses that a thread stores at once.
const BATCH: usize = 64;
/// How long a use waits for others at most, in milliseconds. Storing each at once would wake a thread for each, and that
/// costs more than what the thread does.
const TOGETHER: i64 = 200;

/// What is to be stored.
#[derive(Default)]
pub struct PhoneUses {
    queue: VecDeque<Used>,
    storing: bool,
    /// When the queue is due, in Unix milliseconds.
    due: i64,
}

impl PhoneUses {
    /// A phone has registered; comes back if there is no room for that. `now` is in Unix milliseconds.
    pub fn note(&mut self, used: Used, now: i64) -> Result<(), Box<Used>> {
        if self.queue.len() >= MOST_QUEUED {
            return Err(Box::new(used));
        }
        self.queue.push_back(used);
        match self.queue.len() {
            1 => self.due = now + TOGETHER,
            BATCH => self.due = now,
            _ => {}
        }
        Ok(())
    }

    /// When there is something to do, in Unix milliseconds.
    pub fn next(&self) -> Option<i64> {
        (!self.storing && !self.queue.is_empty()).then_some(self.due)
    }

    /// Has a thread store some uses, once there are enough of them or they have waited for long enough. `now` is in Unix
    /// milliseconds.
    pub fn dispatch(&mut self, env: &TaskEnv, pool: &Pool<ServiceEvent>, now: i64) {
        // After a step of the clock they would wait for too long.
        self.due = self.due.min(now + TOGETHER);
        if self.next().is_none_or(|next| next > now) {
            return;
        }
        let batch: Vec<Used> = self.queue.iter().take(BATCH).cloned().collect();
        let (count, task_env) = (batch.len(), env.clone());
        let store = move || {
            let (mut ended, mut left) = (Vec::new(), batch);
            if let Ok(store) = task_env.store() {
                let done = left.iter().take_while(|used| {
                    let stored = task_env.noted(store_use(&store, used));
                    stored.map(|end| ended.extend(end)).is_ok()
                });
                let done = done.count();
                left.drain(..done);
            }
            ServiceEvent::UsesStored(ended, left)
        };
        if pool.start(env.task(store, |_| ServiceEvent::UsesStored(Vec::new(), Vec::new()))) {
            self.storing = true;
            self.queue.drain(..count);
        }
        // If no thread is free, they wait once more.
        self.due = if self.storing && self.queue.len() >= BATCH { now } else { now + TOGETHER };
    }

    /// A thread has stored them.
    pub fn stored(&mut self) {
        self.storing = false;
    }
}

/// Stores a use. A phone that was signed out while it registered has a binding of which nobody knew then: its end is told
/// once more.
fn store_use(store: &SessionStore, used: &Used) -> Result<Option<SessionEnd>, StoreError> {
    let Used { aor, session, seen, ends_at } = used;
    let now = now_millis();
    let is_alive = |s: &Session| s.id == *session && s.valid_until > 0 && s.ends_at > now / 1000;
    if store.account(aor, now)?.is_some_and(|account| account.judged().sessions.iter().any(is_alive)) {
        store.note_use(session, seen, ends_at * 1000, now)?;
        return Ok(None);
    }
    let gone = Session { id: *session, sign_in: SignIn::Device, ..Session::default() };
    Ok(Some(SessionEnd {
        aor: aor.clone(),
        session: gone,
        call_ids: seen.call_ids.clone(),
        all_but: false,
        last_nameless: false,
        by: EndedBy::User,
        why: "The phone was signed out while it registered.".into(),
        origin: 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sipoauth_core::records::phone_use::PhoneUse;
    use sipoauth_core::records::session::SessionId;

    #[test]
    fn uses_wait_for_others_but_not_for_long() {
        let used = |id: usize| {
            let mut session = SessionId::default();
            session[..8].copy_from_slice(&id.to_be_bytes());
            Used { aor: String::new(), session, seen: PhoneUse::default(), ends_at: 9 }
        };
        let mut uses = PhoneUses::default();
        assert_eq!(uses.next(), None);
        uses.note(used(0), 1000).unwrap();
        uses.note(used(1), 1000 + TOGETHER - 1).unwrap();
        assert_eq!(uses.next(), Some(1000 + TOGETHER));
        (2..BATCH).for_each(|id| uses.note(used(id), 1001).unwrap());
        assert_eq!(uses.next(), Some(1001));
        uses.storing = true;
        assert_eq!(uses.next(), None);
        (BATCH..MOST_QUEUED).for_each(|id| uses.note(used(id), 1001).unwrap());
        uses.note(used(MOST_QUEUED), 1001).unwrap_err();
    }
}
