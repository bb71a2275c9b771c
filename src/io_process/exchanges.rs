// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about codes and the store: what waits, what runs, and which server is left alone.

use std::collections::{HashSet, VecDeque};

use super::exchange_task::{ExchangeOutcome, ReadRecord, TaskEnv};
use super::pool::Pool;
use super::provider_load::{Ended, Gate, LoadKind, Loads};
use super::service::ServiceEvent;
use super::waiters::{Ticket, Waiters};
use crate::clock::{has_come, now_millis};
use crate::process::failures::Failures;
use crate::process::job::{Exchange, Work};
use sipoauth_core::reason::Reason;

/// A code that another proxy exchanges is looked at again after this time, in milliseconds.
const LOOK_AGAIN: i64 = 100;

/// What was done for a waiter.
pub struct ExchangeDone {
    ticket: Ticket,
    work: Work,
    /// Of an exchange.
    outcome: ExchangeOutcome,
    /// What guarded the server of an exchange.
    gate: Option<Gate>,
    /// Records for the workers' cache.
    pub records: Vec<ReadRecord>,
}

struct Queued {
    ticket: Ticket,
    work: Work,
    not_before: i64,
}

/// Work that waits for a thread, and work that runs.
#[derive(Default)]
pub struct Exchanges {
    queue: VecDeque<Queued>,
    running: HashSet<String>,
}

impl Exchanges {
    /// More work.
    pub fn add(&mut self, work: Work, ticket: Ticket) {
        self.queue.push_back(Queued { ticket, work, not_before: 0 });
    }

    /// When something that waits may begin.
    pub fn next(&self) -> Option<i64> {
        self.queue.iter().map(|q| q.not_before).filter(|t| *t > 0).min()
    }

    /// Gives threads what may begin; what nobody waits for any more is dropped before it has begun.
    pub fn dispatch(
        &mut self,
        env: &TaskEnv,
        pool: &Pool<ServiceEvent>,
        waiters: &Waiters,
        loads: &mut Loads,
        now: i64,
    ) {
        for _ in 0..self.queue.len() {
            let Some(queued) = self.queue.pop_front() else { return };
            if waiters.waits(queued.ticket)
                && let Some(queued) = self.begin(env, pool, queued, loads, now)
            {
                self.queue.push_back(queued);
            }
        }
    }

    fn begin(
        &mut self,
        env: &TaskEnv,
        pool: &Pool<ServiceEvent>,
        queued: Queued,
        loads: &mut Loads,
        now: i64,
    ) -> Option<Queued> {
        if !has_come(queued.not_before, now, LOOK_AGAIN) {
            return Some(queued);
        }
        let (ticket, work, not_before) = (queued.ticket, queued.work, 0);
        let Work::Exchange(exchange) = work else {
            return begin_store_work(env, pool, loads, Queued { ticket, work, not_before });
        };
        let code = exchange.registration.code.clone();
        if self.running.contains(&code) || !loads.has_room(env, pool, &exchange.provider) {
            return Some(Queued { ticket, work: Work::Exchange(exchange), not_before });
        }
        let gate = loads.gate(env, &exchange.provider, LoadKind::Exchange);
        let (task_env, task_work, task_gate) = (env.clone(), exchange.clone(), gate.clone());
        let panicked = (exchange.clone(), gate);
        let task = env.task(
            move || {
                let (outcome, records) = task_env.exchange(&task_work, &task_gate);
                ServiceEvent::Done(ExchangeDone {
                    ticket,
                    work: Work::Exchange(task_work),
                    outcome,
                    records,
                    gate: Some(task_gate),
                })
            },
            move |sentence| {
                let (outcome, records) =
                    (ExchangeOutcome::Failed(Reason::Internal, Ended::Unused, sentence), Vec::new());
                let (work, gate) = (Work::Exchange(panicked.0), Some(panicked.1));
                ServiceEvent::Done(ExchangeDone { ticket, work, outcome, records, gate })
            },
        );
        if !pool.start(task) {
            return Some(Queued { ticket, work: Work::Exchange(exchange), not_before });
        }
        loads.begun(&exchange.provider);
        // Why an earlier try failed says nothing of this one.
        let failures = Failures::of_exchanges(env.context.arena().shared());
        failures.note(&code, Reason::ExchangeUnavailable, now / 1000);
        self.running.insert(code);
        None
    }

    /// Something is done: who waited for it goes on, unless another proxy has changed the records meanwhile.
    pub fn finished(
        &mut self,
        env: &TaskEnv,
        waiters: &mut Waiters,
        loads: &mut Loads,
        done: ExchangeDone,
        overtaken: bool,
    ) {
        let ExchangeDone { ticket, work, outcome, gate, .. } = done;
        let elsewhere = matches!(outcome, ExchangeOutcome::Elsewhere);
        if let Work::Exchange(exchange) = &work {
            self.exchanged(env, loads, exchange, outcome, gate);
        } else {
            loads.store_ended();
        }
        if elsewhere || overtaken {
            let not_before = if elsewhere { now_millis() + LOOK_AGAIN } else { 0 };
            self.queue.push_back(Queued { ticket, work, not_before });
        } else {
            waiters.finish(ticket);
        }
    }

    fn exchanged(
        &mut self,
        env: &TaskEnv,
        loads: &mut Loads,
        work: &Exchange,
        outcome: ExchangeOutcome,
        gate: Option<Gate>,
    ) {
        self.running.remove(&work.registration.code);
        let (ended, why) = match &outcome {
            ExchangeOutcome::Elsewhere => (Ended::Unused, ""),
            ExchangeOutcome::Settled(ended) => (*ended, ""),
            ExchangeOutcome::Failed(reason, ended, sentence) => {
                let failures = Failures::of_exchanges(env.context.arena().shared());
                failures.note(&work.registration.code, *reason, now_millis() / 1000);
                (*ended, sentence.as_str())
            }
        };
        let ended = gate.map_or(Ended::Known, |gate| gate.end(ended));
        loads.ended(env, &work.provider, LoadKind::Exchange, ended, why);
    }
}

/// Gives a thread work that needs the store only.
fn begin_store_work(env: &TaskEnv, pool: &Pool<ServiceEvent>, loads: &mut Loads, queued: Queued) -> Option<Queued> {
    if !loads.has_room_for_store(pool) {
        return Some(queued);
    }
    let (task_env, ticket, work, panicked) = (env.clone(), queued.ticket, queued.work.clone(), queued.work.clone());
    let done = move |work, records| {
        ServiceEvent::Done(ExchangeDone {
            ticket,
            work,
            outcome: ExchangeOutcome::Settled(Ended::Unused),
            records,
            gate: None,
        })
    };
    let task = env.task(
        move || {
            let records = task_env.ask_store(&work);
            done(work, records)
        },
        move |_| done(panicked, Vec::new()),
    );
    if !pool.start(task) {
        return Some(queued);
    }
    loads.store_begun();
    None
}
