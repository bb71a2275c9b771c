// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about tokens that only their server can judge. All requests that ask about the same token
//! at once share one question.
//!
//! A request that waited finds the answer in shared memory, or why there is none. What is there was put when the
//! request went on, or later.

use std::collections::HashMap;

use super::exchange_task::TaskEnv;
use super::introspection_task::IntrospectionOutcome;
use super::pool::Pool;
use super::provider_load::{Ended, Gate, LoadKind, Loads};
use super::service::ServiceEvent;
use super::turns::Turns;
use super::waiters::{Ticket, Waiters};
use crate::process::charges::Charges;
use crate::process::failures::Failures;
use crate::process::job::Introspect;
use crate::shared::record_cache::{Lookup, Room};
use sipoauth_core::check::token_answer::{IntrospectionResult, TokenAnswer, TokenId};
use sipoauth_core::reason::Reason;
use sipoauth_core::records::session::{decode, encode};

/// A token that is asked about, and the requests that wait for it.
struct Flight {
    work: Introspect,
    /// Who asked first, for turns.
    source: u32,
    /// Those whose question is on its way; None while no thread has it.
    asking: Option<Vec<Ticket>>,
    /// Requests for which the server is to be asked next.
    waiting: Vec<Ticket>,
}

/// An answer, or why there is none.
pub struct IntrospectionDone {
    /// The token.
    pub id: TokenId,
    /// What the thread has heard.
    pub heard: IntrospectionOutcome,
    /// The gate that guarded its server.
    pub gate: Gate,
}

/// Tokens that are asked about, and those that wait for a thread.
#[derive(Default)]
pub struct Introspections {
    flights: HashMap<TokenId, Flight>,
    queue: Turns<TokenId>,
}

/// Puts an answer where the workers read it. Anybody can make up a token that is not good, so the answer about it
/// displaces no answer about a good one.
fn put(env: &TaskEnv, id: &TokenId, answer: &TokenAnswer, now: i64) {
    let room = if matches!(answer.said, IntrospectionResult::Active(_)) { Room::Kept } else { Room::Passing };
    let arena = env.context.arena();
    arena.answers().put(room, &id.0, Some(&encode(answer)), now);
    Failures::of_introspections(arena.shared()).forget(&id.0);
}

/// Notes a failure for the requests that have waited, and removes an answer that no longer holds, so that nobody
/// takes it for theirs.
fn put_failure(env: &TaskEnv, work: &Introspect, reason: Reason, now: i64) {
    let arena = env.context.arena();
    Failures::of_introspections(arena.shared()).note(&work.id.0, reason, now / 1000);
    if answer_holds(env, work, now) == Some(false) {
        arena.answers().forget(&work.id.0);
    }
}

/// Whether the answer that is there still holds; None when there is none.
fn answer_holds(env: &TaskEnv, work: &Introspect, now: i64) -> Option<bool> {
    let Lookup::Hit(document) = env.context.arena().answers().get(&work.id.0, now, u64::MAX) else {
        return None;
    };
    let answer: Option<TokenAnswer> = decode(&document);
    let introspection = env.introspection_of(&work.provider);
    Some(answer.zip(introspection).is_some_and(|(answer, i)| answer.standing(i).holds(now / 1000)))
}

fn asks_each_time(env: &TaskEnv, provider: &str) -> bool {
    env.introspection_of(provider).is_none_or(|i| i.cache == 0)
}

impl Introspections {
    /// Adds a request about a token.
    pub fn add(&mut self, env: &TaskEnv, work: Introspect, ticket: Ticket, waiters: &mut Waiters, now: i64) {
        // If the server is to be asked for each request, a question that is on its way already is too old.
        let each = asks_each_time(env, &work.provider);
        if let Some(flight) = self.flights.get_mut(&work.id) {
            match &mut flight.asking {
                Some(asking) if !each => asking.push(ticket),
                _ => flight.waiting.push(ticket),
            }
            return;
        }
        // The answer came while this request was on its way.
        if !each && answer_holds(env, &work, now) == Some(true) {
            waiters.finish(ticket);
            return;
        }
        let limits = Charges::new(env.context.arena().shared(), &env.policy.settings, now);
        if !limits.could_introspect(&work.sender) {
            put_failure(env, &work, Reason::IntrospectionLimited, now);
            waiters.finish(ticket);
            return;
        }
        let source = waiters.source(ticket).unwrap_or(0);
        self.queue.push(&work.provider, source, work.id.clone());
        self.flights.insert(work.id.clone(), Flight { work, source, asking: None, waiting: vec![ticket] });
    }

    /// The providers that are to be asked.
    pub fn providers(&self) -> impl Iterator<Item = &String> {
        self.queue.destinations()
    }

    /// Gives a thread the next token of this provider. False when none waits, or when there is no thread.
    pub fn begin(&mut self, env: &TaskEnv, pool: &Pool<ServiceEvent>, loads: &mut Loads, provider: &str) -> bool {
        if !loads.has_room(env, pool, provider) {
            return false;
        }
        let Some((source, id)) = self.queue.take(provider, |_| true) else { return false };
        // Those for whom nobody waits have left the queue, too.
        let Some(flight) = self.flights.get_mut(&id) else { return true };
        let gate = loads.gate(env, provider, LoadKind::Introspection, &flight.work.sender);
        let (task_env, work, task_gate) = (env.clone(), flight.work.clone(), gate.clone());
        let panicked = (id.clone(), gate);
        let task = env.task(
            move || {
                let heard = task_env.introspect(&work, &task_gate);
                ServiceEvent::Introspected(IntrospectionDone { id: work.id, heard, gate: task_gate })
            },
            move |why| {
                let ((id, gate), heard) =
                    (panicked, IntrospectionOutcome::Nothing { reason: Reason::Internal, why, ended: Ended::Refused });
                ServiceEvent::Introspected(IntrospectionDone { id, heard, gate })
            },
        );
        if !pool.start(task) {
            self.queue.put_back(provider, source, id);
            return false;
        }
        loads.begun(provider, LoadKind::Introspection);
        flight.asking = Some(std::mem::take(&mut flight.waiting));
        true
    }

    /// Takes what a thread has heard, and lets the requests that waited for it go on.
    pub fn finished(
        &mut self,
        env: &TaskEnv,
        waiters: &mut Waiters,
        loads: &mut Loads,
        done: IntrospectionDone,
        now: i64,
    ) {
        let IntrospectionDone { id, heard, gate } = done;
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let (ended, why) = match heard {
            IntrospectionOutcome::Stored(answer) => {
                put(env, &id, &answer, now);
                (Ended::Unused, String::new())
            }
            IntrospectionOutcome::Answer(answer) => {
                put(env, &id, &answer, now);
                (Ended::Well, String::new())
            }
            IntrospectionOutcome::NotAsked(reason) => {
                put_failure(env, &flight.work, reason, now);
                (Ended::Unused, String::new())
            }
            IntrospectionOutcome::Nothing { reason, why, ended } => {
                put_failure(env, &flight.work, reason, now);
                (ended, why)
            }
        };
        loads.ended(env, &flight.work.provider, LoadKind::Introspection, gate.end(ended), &why);
        flight.asking.take().unwrap_or_default().into_iter().for_each(|ticket| waiters.finish(ticket));
        if flight.waiting.is_empty() {
            self.flights.remove(&id);
        } else {
            self.queue.push(&flight.work.provider, flight.source, id);
        }
    }

    /// Notes a failure if requests have waited too long. They must not take an older answer for the one that they
    /// asked for.
    pub fn expired(&mut self, env: &TaskEnv, waiters: &Waiters, now: i64) {
        for flight in self.flights.values_mut() {
            let asking = flight.asking.iter().flatten();
            if asking.chain(&flight.waiting).any(|ticket| !waiters.waits(*ticket)) {
                put_failure(env, &flight.work, Reason::WaitTimeout, now);
                flight.waiting.retain(|ticket| waiters.waits(*ticket));
                flight.asking.iter_mut().for_each(|asking| asking.retain(|ticket| waiters.waits(*ticket)));
            }
        }
        self.flights.retain(|_, flight| flight.asking.is_some() || !flight.waiting.is_empty());
        let flights = &self.flights;
        self.queue.retain(|id| flights.contains_key(id));
    }
}
