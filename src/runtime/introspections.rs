// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about tokens that only their server can judge: one question for all who ask about the same
//! token at once, and a bound on how many are asked.
//!
//! Whoever waited finds the answer in shared memory; what was put there last was put when he went on, or later.

use std::collections::{HashMap, VecDeque};

use super::exchange_task::TaskEnv;
use super::introspection_task::Heard;
use super::job::Introspect;
use super::pool::Pool;
use super::provider_load::{Ended, Loads, Service};
use super::service::Event;
use super::waiters::{Ticket, Waiters};
use crate::arena::record_cache::RecordCache;
use crate::engine::token_answer::{Said, TokenAnswer, TokenId};
use crate::proto::reason::Reason;
use crate::proto::sender::{Crowd, Network};
use crate::proto::session::encode;

/// A token that is asked about, and who waits for it.
struct Flight {
    work: Introspect,
    /// Where the first question came from.
    source: (Crowd, Network),
    /// Those whose question is on its way; None while no thread has it.
    asking: Option<Vec<Ticket>>,
    /// Those for whom the server is to be asked next.
    waiting: Vec<Ticket>,
}

/// An answer, or why there is none.
pub struct Introspected {
    /// Which token.
    pub id: TokenId,
    /// What came of it.
    pub heard: Heard,
}

/// Tokens that are asked about, and those that wait for a thread.
#[derive(Default)]
pub struct Introspections {
    flights: HashMap<TokenId, Flight>,
    queue: VecDeque<TokenId>,
    sources: HashMap<(Crowd, Network), u32>,
}

/// One source may have at most this part of the waiting requests (`max_pending`): a stranger's made-up tokens must leave
/// room for others.
const SHARE: u32 = 4;

fn put(answers: &RecordCache<'_>, id: &TokenId, answer: &TokenAnswer, now: i64) {
    answers.put(&id.0, Some(&encode(answer)), now);
}

fn failed(reason: Reason, now: i64) -> TokenAnswer {
    TokenAnswer { said: Said::Failed(reason.number()), asked_at: now / 1000 }
}

impl Introspections {
    /// Somebody asks about a token.
    pub fn add(&mut self, env: &TaskEnv, work: Introspect, ticket: Ticket, waiters: &mut Waiters, now: i64) {
        // Where each request is to be asked for, a question that is on its way already is too old.
        let each = env.introspection_of(&work.provider).is_none_or(|i| i.cache == 0);
        if let Some(flight) = self.flights.get_mut(&work.id) {
            match &mut flight.asking {
                Some(asking) if !each => asking.push(ticket),
                _ => flight.waiting.push(ticket),
            }
            return;
        }
        let source = (work.sender.crowd(), work.sender.network.clone());
        let count = self.sources.entry(source.clone()).or_default();
        let minute = (now / 60_000).unsigned_abs();
        let settings = &env.policy.settings;
        let limits = &env.context.arena().shared().source_introspections;
        if *count >= (settings.max_pending / SHARE).max(1)
            || !limits.allow(&work.sender, minute, settings.introspection_source_limit)
        {
            put(&env.context.arena().answers(), &work.id, &failed(Reason::IntrospectionLimited, now), now);
            waiters.finish(ticket);
            return;
        }
        *count += 1;
        self.queue.push_back(work.id.clone());
        self.flights.insert(work.id.clone(), Flight { work, source, asking: None, waiting: vec![ticket] });
    }

    fn remove(&mut self, id: &TokenId) {
        let Some(flight) = self.flights.remove(id) else { return };
        if let Some(count) = self.sources.get_mut(&flight.source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&flight.source);
            }
        }
    }

    /// Gives threads what may begin.
    pub fn dispatch(&mut self, env: &TaskEnv, pool: &Pool<Event>, waiters: &mut Waiters, loads: &mut Loads, now: i64) {
        for _ in 0..self.queue.len() {
            let Some(id) = self.queue.pop_front() else { return };
            let Some(flight) = self.flights.get_mut(&id) else { continue };
            flight.waiting.retain(|ticket| waiters.waits(*ticket));
            if flight.waiting.is_empty() {
                self.remove(&id);
                continue;
            }
            let provider = flight.work.provider.as_str();
            if !loads.has_room(env, pool, provider) {
                self.queue.push_back(id);
                continue;
            }
            if !loads.may_ask(env, provider, Service::Introspection, now) {
                let answer = failed(Reason::IntrospectionUnavailable, now);
                put(&env.context.arena().answers(), &id, &answer, now);
                flight.waiting.drain(..).for_each(|ticket| waiters.finish(ticket));
                self.remove(&id);
                continue;
            }
            let (task_env, work, panicked) = (env.clone(), flight.work.clone(), id.clone());
            let task = env.task(
                move || Event::Introspected(Introspected { heard: task_env.introspect(&work), id: work.id }),
                move |why| {
                    let heard = Heard::Nothing { reason: Reason::Internal, why, answered: true };
                    Event::Introspected(Introspected { id: panicked, heard })
                },
            );
            if !pool.start(task) {
                loads.not_asked(provider, Service::Introspection);
                self.queue.push_back(id);
                return;
            }
            loads.begun(provider);
            flight.asking = Some(std::mem::take(&mut flight.waiting));
        }
    }

    /// A thread has come back: who waited for it goes on.
    pub fn finished(&mut self, env: &TaskEnv, waiters: &mut Waiters, loads: &mut Loads, done: Introspected, now: i64) {
        let Introspected { id, heard } = done;
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let (answer, ended, why) = match heard {
            Heard::Stored(answer) => (answer, Ended::Unused, String::new()),
            Heard::Answer(answer) => (answer, Ended::Well, String::new()),
            Heard::Nothing { reason, why, answered } => {
                let ended = if answered { Ended::Refused } else { Ended::Badly };
                (failed(reason, now), ended, why)
            }
        };
        put(&env.context.arena().answers(), &id, &answer, now);
        loads.ended(env, &flight.work.provider, Service::Introspection, ended, &why);
        flight.asking.take().unwrap_or_default().into_iter().for_each(|ticket| waiters.finish(ticket));
        if flight.waiting.is_empty() {
            self.remove(&id);
        } else {
            self.queue.push_back(id);
        }
    }

    /// Some have waited too long. An older answer must not be taken for the one they asked for.
    pub fn expired(&mut self, env: &TaskEnv, waiters: &Waiters, now: i64) {
        for (id, flight) in &mut self.flights {
            let asking = flight.asking.iter().flatten();
            if asking.chain(&flight.waiting).any(|ticket| !waiters.waits(*ticket)) {
                put(&env.context.arena().answers(), id, &failed(Reason::WaitTimeout, now), now);
                flight.waiting.retain(|ticket| waiters.waits(*ticket));
                flight.asking.iter_mut().for_each(|asking| asking.retain(|ticket| waiters.waits(*ticket)));
            }
        }
    }
}
