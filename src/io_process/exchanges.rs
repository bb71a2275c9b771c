// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about codes and the store: what waits, what runs, and which server is left alone.

use std::collections::HashSet;

use super::exchange_task::{ExchangeOutcome, ReadRecord, TaskEnv};
use super::pool::{Pool, Task};
use super::provider_load::{Ended, Gate, LoadKind, Loads};
use super::service::ServiceEvent;
use super::turns::Turns;
use super::waiters::{Ticket, Waiters};
use crate::clock::{has_come, now_millis};
use crate::process::failures::Failures;
use crate::process::job::{Exchange, Work};
use sipoauth_core::oauth::grant::TokenGrant;
use sipoauth_core::reason::Reason;

/// A code that another proxy is exchanging is looked at again after this time, in milliseconds.
const LOOK_AGAIN: i64 = 100;

/// What was done for a waiter.
pub struct ExchangeDone {
    ticket: Ticket,
    work: Work,
    /// The result of an exchange.
    outcome: ExchangeOutcome,
    /// The gate that guarded the server of an exchange.
    gate: Option<Gate>,
    /// Records for the workers' cache.
    pub records: Vec<ReadRecord>,
}

struct Queued {
    ticket: Ticket,
    work: Work,
    not_before: i64,
}

/// Where work that needs the store only is queued.
const STORE: &str = "";

impl Queued {
    fn destination(&self) -> &str {
        match &self.work {
            // No server is asked about a code of the sign-in page, so none that is away holds it up.
            Work::Exchange(exchange) if exchange.grant != TokenGrant::TypedCode => &exchange.provider,
            _ => STORE,
        }
    }
}

/// Work that waits for a thread, and work that runs.
#[derive(Default)]
pub struct Exchanges {
    queue: Turns<Queued>,
    running: HashSet<String>,
}

impl Exchanges {
    /// More work.
    pub fn add(&mut self, work: Work, ticket: Ticket, waiters: &Waiters) {
        self.push(Queued { ticket, work, not_before: 0 }, waiters);
    }

    /// What nobody waits for any more is dropped.
    fn push(&mut self, queued: Queued, waiters: &Waiters) {
        if let Some(source) = waiters.source(queued.ticket) {
            let destination = queued.destination().to_owned();
            self.queue.push(&destination, source, queued);
        }
    }

    /// Some have waited too long.
    pub fn expired(&mut self, waiters: &Waiters) {
        self.queue.retain(|queued| waiters.waits(queued.ticket));
    }

    /// The providers that are to be asked.
    pub fn providers(&self) -> impl Iterator<Item = &String> {
        self.queue.destinations().filter(|destination| *destination != STORE)
    }

    /// When work that was put off may begin.
    pub fn next(&self) -> Option<i64> {
        self.queue.iter().map(|q| q.not_before).filter(|t| *t > 0).min()
    }

    /// Gives a thread the next exchange of this provider. False when none may begin, or when there is no thread.
    pub fn begin(
        &mut self,
        env: &TaskEnv,
        pool: &Pool<ServiceEvent>,
        loads: &mut Loads,
        provider: &str,
        now: i64,
    ) -> bool {
        if !loads.has_room(env, pool, provider) {
            return false;
        }
        let running = &self.running;
        // A code that is being sent is not sent again meanwhile.
        let idle = |work: &Work| matches!(work, Work::Exchange(e) if !running.contains(&e.registration.code));
        let taken =
            self.queue.take(provider, |queued| has_come(queued.not_before, now, LOOK_AGAIN) && idle(&queued.work));
        let Some((source, Queued { ticket, work: Work::Exchange(exchange), .. })) = taken else { return false };
        let code = exchange.registration.code.clone();
        let gate = loads.gate(env, provider, LoadKind::Exchange, &exchange.sender);
        if !pool.start(exchange_task(env, ticket, exchange.clone(), gate)) {
            let queued = Queued { ticket, work: Work::Exchange(exchange), not_before: 0 };
            self.queue.put_back(provider, source, queued);
            return false;
        }
        loads.begun(provider, LoadKind::Exchange);
        // Why an earlier try failed says nothing of this one.
        let failures = Failures::of_exchanges(env.context.arena().shared());
        failures.note(&code, Reason::ExchangeUnavailable, now / 1000);
        self.running.insert(code);
        true
    }

    /// Gives threads what needs the store only.
    pub fn begin_store_work(&mut self, env: &TaskEnv, pool: &Pool<ServiceEvent>, loads: &mut Loads, now: i64) {
        while loads.has_room_for_store(pool) {
            let Some((source, queued)) = self.queue.take(STORE, |queued| has_come(queued.not_before, now, LOOK_AGAIN))
            else {
                return;
            };
            if !pool.start(store_task(env, &queued)) {
                self.queue.put_back(STORE, source, queued);
                return;
            }
            loads.store_begun();
        }
    }

    /// Takes the result of work. The request that waited for it goes on. If another proxy has changed the records
    /// meanwhile, the work is done again instead.
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
            note_failure(env, exchange, &outcome);
        }
        match &work {
            Work::Exchange(exchange) if gate.is_some() => self.exchanged(env, loads, exchange, &outcome, gate),
            _ => loads.store_ended(),
        }
        if elsewhere || overtaken {
            let not_before = if elsewhere { now_millis() + LOOK_AGAIN } else { 0 };
            self.push(Queued { ticket, work, not_before }, waiters);
        } else {
            waiters.finish(ticket);
        }
    }

    fn exchanged(
        &mut self,
        env: &TaskEnv,
        loads: &mut Loads,
        work: &Exchange,
        outcome: &ExchangeOutcome,
        gate: Option<Gate>,
    ) {
        self.running.remove(&work.registration.code);
        let (ended, why) = match outcome {
            ExchangeOutcome::Elsewhere => (Ended::Unused, ""),
            ExchangeOutcome::Settled(ended) => (*ended, ""),
            ExchangeOutcome::Failed(_, ended, sentence) => (*ended, sentence.as_str()),
        };
        let ended = gate.map_or(Ended::Known, |gate| gate.end(ended));
        loads.ended(env, &work.provider, LoadKind::Exchange, ended, why);
    }
}

/// Notes why an exchange has failed, for the request that has waited for it.
fn note_failure(env: &TaskEnv, work: &Exchange, outcome: &ExchangeOutcome) {
    if let ExchangeOutcome::Failed(reason, ..) = outcome {
        let failures = Failures::of_exchanges(env.context.arena().shared());
        failures.note(&work.registration.code, *reason, now_millis() / 1000);
    }
}

fn exchange_task(env: &TaskEnv, ticket: Ticket, exchange: Box<Exchange>, gate: Gate) -> Task<ServiceEvent> {
    let (task_env, panicked) = (env.clone(), (exchange.clone(), gate.clone()));
    let done = move |exchange, gate, outcome, records| {
        let work = Work::Exchange(exchange);
        ServiceEvent::Done(ExchangeDone { ticket, work, outcome, records, gate: Some(gate) })
    };
    env.task(
        move || {
            let (outcome, records) = task_env.exchange(&exchange, &gate);
            done(exchange, gate, outcome, records)
        },
        move |sentence| {
            let (exchange, gate) = panicked;
            done(exchange, gate, ExchangeOutcome::Failed(Reason::Internal, Ended::Unused, sentence), Vec::new())
        },
    )
}

fn store_task(env: &TaskEnv, queued: &Queued) -> Task<ServiceEvent> {
    let (task_env, ticket, work, panicked) = (env.clone(), queued.ticket, queued.work.clone(), queued.work.clone());
    let done =
        move |work, outcome, records| ServiceEvent::Done(ExchangeDone { ticket, work, outcome, records, gate: None });
    let settled = || ExchangeOutcome::Settled(Ended::Unused);
    env.task(
        move || {
            let (outcome, records) = match &work {
                Work::Exchange(exchange) => task_env.redeem_typed_code(exchange),
                work => (settled(), task_env.ask_store(work)),
            };
            done(work, outcome, records)
        },
        move |_| done(panicked, settled(), Vec::new()),
    )
}
