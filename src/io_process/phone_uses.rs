// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about phones that were added at the sign-in page: it stores when they have registered. Workers do
//! not wait for that, and a use that finds no room is left out, because the next one comes soon.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use super::exchange_task::TaskEnv;
use super::pool::Pool;
use super::service::ServiceEvent;
use crate::clock::now_millis;
use crate::process::use_queue::Used;
use crate::store::account_cache::Seal;
use crate::store::sessions::{SessionStore, account_key};
use sipoauth_core::ports::Level;
use sipoauth_core::ports::store::StoreError;
use sipoauth_core::records::session::{Session, SignIn};
use sipoauth_core::records::session_end::{EndedBy, SessionEnd};

/// Uses that wait to be stored.
const MOST_QUEUED: usize = 4096;
/// Uses that a thread stores at once.
const BATCH: usize = 256;
/// How long a use waits for others at most, in milliseconds. Storing each at once would wake this process and a thread for
/// each, and that costs more than what the thread does.
const TOGETHER: i64 = 200;
/// How long it waits for a thread, in milliseconds.
const NO_THREAD: i64 = 50;

/// What is to be stored.
#[derive(Default)]
pub struct PhoneUses {
    queue: VecDeque<Used>,
    storing: bool,
    /// When those that the workers have left are taken, in Unix milliseconds.
    taken_at: Option<i64>,
    /// No thread is free until then, in Unix milliseconds.
    tried_at: i64,
}

impl PhoneUses {
    /// When there is something to do, in Unix milliseconds.
    pub fn next(&self) -> Option<i64> {
        let stored_at = (!self.storing && !self.queue.is_empty()).then_some(self.tried_at);
        let taken_at = self.taken_at.filter(|_| self.queue.len() < MOST_QUEUED);
        stored_at.into_iter().chain(taken_at).min()
    }

    /// Takes what the workers have left, once there is enough of it or it has waited for long enough, and has a thread store
    /// some. `now` is in Unix milliseconds.
    pub fn dispatch(&mut self, env: &TaskEnv, pool: &Pool<ServiceEvent>, now: i64) {
        let (shared, uses) = (env.context.arena().shared(), env.context.uses());
        if self.is_time(shared.queued_uses.load(Relaxed), uses.together(), now) {
            match uses.take(shared) {
                Ok(taken) => self.queue.extend(taken),
                Err(error) => {
                    let line = format!("uses of phones are not stored: their queue fails: {error}");
                    env.context.log().log(Level::Error, &line);
                }
            }
        }
        // After a step of the clock they would wait for too long.
        self.tried_at = self.tried_at.min(now + NO_THREAD);
        if self.storing || self.queue.is_empty() || self.tried_at > now {
            return;
        }
        let batch: Vec<Used> = self.queue.iter().take(BATCH).cloned().collect();
        let (count, task_env) = (batch.len(), env.clone());
        let store = move || {
            let (ended, left) = store_uses(&task_env, batch);
            ServiceEvent::UsesStored(ended, left)
        };
        self.storing = pool.start(env.task(store, |_| ServiceEvent::UsesStored(Vec::new(), Vec::new())));
        if self.storing {
            self.queue.drain(..count);
        } else {
            self.tried_at = now + NO_THREAD;
        }
    }

    /// True when the uses that the workers have left are to be taken now. `queued` of them are known, and `together` are
    /// enough.
    fn is_time(&mut self, queued: u32, together: u32, now: i64) -> bool {
        // After a step of the clock they would wait for too long.
        let latest = now + TOGETHER;
        self.taken_at = (queued > 0).then(|| self.taken_at.map_or(latest, |at| at.min(latest)));
        let is_time = self.taken_at.is_some_and(|at| at <= now || queued >= together);
        if !is_time || self.queue.len() >= MOST_QUEUED {
            return false;
        }
        self.taken_at = None;
        true
    }

    /// A thread has stored them.
    pub fn stored(&mut self) {
        self.storing = false;
    }
}

/// Stores uses. Returns the ends of phones that were signed out while they registered, and the uses that were not stored.
/// Nobody knew of the bindings of such phones, so their ends are told once more.
fn store_uses(env: &TaskEnv, mut batch: Vec<Used>) -> (Vec<SessionEnd>, Vec<Used>) {
    let mut ended = Vec::new();
    let Ok(store) = env.store() else { return (ended, batch) };
    let now = now_millis();
    let phones: Vec<_> = batch.iter().map(|used| (used.session, &used.seen, used.ends_at * 1000)).collect();
    // Whoever signs a phone out takes it from its account first, and looks at its uses then. So whatever comes first, one of
    // the two sees the other.
    let stored = store.note_uses(&phones, now).and_then(|()| alive(&store, &batch, now)).map(|alive| {
        let gone: Vec<&Used> = batch.iter().zip(alive).filter(|(_, alive)| !alive).map(|(used, _)| used).collect();
        gone.iter().for_each(|used| store.forget_use(&used.session));
        gone.into_iter().map(end_of).collect()
    });
    match env.noted(stored) {
        Ok(ends) => {
            ended = ends;
            batch.clear();
        }
        // A single record may be in the way of all.
        Err(error) if batch.len() > 1 && !matches!(error, StoreError::Away(_)) => {
            let singly = std::mem::take(&mut batch).into_iter().map(|used| store_uses(env, vec![used]));
            for (ends, left) in singly {
                ended.extend(ends);
                batch.extend(left);
            }
        }
        Err(_) => {}
    }
    (ended, batch)
}

/// Says of each use whether its session still lives.
fn alive(store: &SessionStore, batch: &[Used], now: i64) -> Result<Vec<bool>, StoreError> {
    let keys: Vec<String> = batch.iter().map(|used| account_key(&used.aor)).collect();
    // Of most, the record is the one in which the worker has seen that the session is good.
    let mut judged = vec![false; batch.len()];
    let mut compare = |place: usize, sealed: &[u8]| {
        judged[place] = batch[place].account.is_some() && Seal::of(sealed) == batch[place].account;
    };
    store.store().look_each(&keys, now, &mut compare)?;
    let alive = batch.iter().zip(judged).map(|(used, judged)| {
        if judged && used.ends_at > now / 1000 {
            return Ok(true);
        }
        let lives = |s: &Session| s.id == used.session && s.valid_until > 0 && s.ends_at > now / 1000;
        Ok(store.account(&used.aor, now)?.is_some_and(|account| account.judged().sessions.iter().any(lives)))
    });
    alive.collect()
}

/// The end of a phone that was signed out while it registered.
fn end_of(used: &Used) -> SessionEnd {
    SessionEnd {
        aor: used.aor.clone(),
        session: Session { id: used.session, sign_in: SignIn::Device, ..Session::default() },
        call_ids: used.seen.call_ids.clone(),
        all_but: false,
        last_nameless: false,
        by: EndedBy::User,
        why: "The phone was signed out while it registered.".into(),
        origin: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sipoauth_core::records::phone_use::PhoneUse;

    #[test]
    fn uses_wait_for_others_but_not_for_long() {
        const NOON: i64 = 1_800_000_000_000;
        let mut uses = PhoneUses::default();
        assert!(!uses.is_time(0, 64, NOON) && uses.next().is_none());
        assert!(!uses.is_time(1, 64, NOON) && uses.next() == Some(NOON + TOGETHER));
        assert!(!uses.is_time(63, 64, NOON + TOGETHER - 1) && uses.next() == Some(NOON + TOGETHER));
        assert!(uses.is_time(63, 64, NOON + TOGETHER) && uses.next().is_none());
        assert!(uses.is_time(64, 64, NOON));
        uses.is_time(1, 64, NOON);
        assert!(
            !uses.is_time(1, 64, NOON - 5000) && uses.next() == Some(NOON - 5000 + TOGETHER),
            "the clock was set back"
        );
        uses.queue = std::iter::repeat_n(used(), MOST_QUEUED).collect();
        assert!(!uses.is_time(64, 64, NOON) && uses.next() == Some(0));
        uses.storing = true;
        assert_eq!(uses.next(), None, "those that the workers have left wait as well");
    }

    fn used() -> Used {
        Used { aor: String::new(), session: [0; 16], seen: PhoneUse::default(), ends_at: 9, account: None }
    }
}
