// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service's part about codes and the store: what waits, what runs, and which server is left alone.

use std::collections::{HashMap, HashSet, VecDeque};

use super::exchange_task::{Outcome, Seen, TaskEnv};
use super::job::{Exchange, Work};
use super::pool::Pool;
use super::service::Event;
use super::waiters::{Ticket, Waiters};
use super::{PATIENCE, now_millis};
use crate::arena::counters::Counter;
use crate::engine::breaker::Breaker;
use crate::ports::Level;
use crate::proto::reason::Reason;

/// A code that another proxy exchanges is looked at again after this time, in milliseconds.
const LOOK_AGAIN: i64 = 100;

/// What was done for a waiter.
pub struct Done {
    ticket: Ticket,
    work: Work,
    /// Of an exchange.
    outcome: Outcome,
    /// Records for the workers' cache.
    pub records: Vec<Seen>,
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
    load: HashMap<String, Load>,
}

/// What one provider is doing for us.
struct Load {
    running: usize,
    breaker: Breaker,
    in_a_row: u32,
}

impl Default for Load {
    fn default() -> Load {
        Load { running: 0, breaker: Breaker::new(PATIENCE), in_a_row: 0 }
    }
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
    pub fn dispatch(&mut self, env: &TaskEnv, pool: &Pool<Event>, waiters: &mut Waiters, now: i64) {
        for _ in 0..self.queue.len() {
            let Some(queued) = self.queue.pop_front() else { return };
            if waiters.waits(queued.ticket)
                && let Some(queued) = self.begin(env, pool, waiters, queued, now)
            {
                self.queue.push_back(queued);
            }
        }
    }

    fn begin(
        &mut self,
        env: &TaskEnv,
        pool: &Pool<Event>,
        waiters: &mut Waiters,
        queued: Queued,
        now: i64,
    ) -> Option<Queued> {
        if queued.not_before > now {
            return Some(queued);
        }
        let (ticket, work, not_before) = (queued.ticket, queued.work, 0);
        let Work::Exchange(exchange) = work else {
            return self.begin_store_work(env, pool, Queued { ticket, work, not_before });
        };
        let settings = &env.policy.settings;
        let load = self.load.entry(exchange.provider.clone()).or_default();
        let code = exchange.registration.code.clone();
        // Some threads are left for keys and for the store.
        let full = self.running.len() >= pool.size() - pool.size() / 4 - 1;
        if full || self.running.contains(&code) || load.running >= settings.http_per_provider as usize {
            return Some(Queued { ticket, work: Work::Exchange(exchange), not_before });
        }
        if load.breaker.check(now, i64::from(settings.http_timeout) * 4000).is_err() {
            let failures = &env.context.arena().shared().exchange_failures;
            failures.put(&code, Reason::ExchangeUnavailable.number().into());
            waiters.finish(ticket);
            return None;
        }
        let (task_env, task_work, panicked) = (env.clone(), exchange.clone(), exchange.clone());
        let task = env.task(
            move || {
                let (outcome, records) = task_env.exchange(&task_work);
                Event::Done(Done { ticket, work: Work::Exchange(task_work), outcome, records })
            },
            move |sentence| {
                let outcome = Outcome::Failed(Reason::Internal, sentence);
                Event::Done(Done { ticket, work: Work::Exchange(panicked), outcome, records: Vec::new() })
            },
        );
        if !pool.start(task) {
            return Some(Queued { ticket, work: Work::Exchange(exchange), not_before });
        }
        load.running += 1;
        // Why an earlier try failed says nothing of this one.
        let failures = &env.context.arena().shared().exchange_failures;
        failures.put(&code, Reason::ExchangeUnavailable.number().into());
        self.running.insert(code);
        None
    }

    fn begin_store_work(&self, env: &TaskEnv, pool: &Pool<Event>, queued: Queued) -> Option<Queued> {
        let (task_env, ticket, work, panicked) = (env.clone(), queued.ticket, queued.work.clone(), queued.work.clone());
        let done = move |work, records| Event::Done(Done { ticket, work, outcome: Outcome::Settled(None), records });
        let task = env.task(
            move || {
                let records = task_env.ask_store(&work);
                done(work, records)
            },
            move |_| done(panicked, Vec::new()),
        );
        (!pool.start(task)).then_some(queued)
    }

    /// Something is done: who waited for it goes on, unless another proxy has changed the records meanwhile.
    pub fn finished(&mut self, env: &TaskEnv, waiters: &mut Waiters, done: Done, overtaken: bool) {
        let Done { ticket, work, outcome, .. } = done;
        let elsewhere = matches!(outcome, Outcome::Elsewhere);
        if let Work::Exchange(exchange) = &work {
            self.exchanged(env, exchange, outcome);
        }
        if elsewhere || overtaken {
            let not_before = if elsewhere { now_millis() + LOOK_AGAIN } else { 0 };
            self.queue.push_back(Queued { ticket, work, not_before });
        } else {
            waiters.finish(ticket);
        }
    }

    fn exchanged(&mut self, env: &TaskEnv, work: &Exchange, outcome: Outcome) {
        self.running.remove(&work.registration.code);
        let shared = env.context.arena().shared();
        let load = self.load.entry(work.provider.clone()).or_default();
        load.running = load.running.saturating_sub(1);
        match outcome {
            Outcome::Elsewhere | Outcome::Settled(None) => load.breaker.unused(),
            Outcome::Settled(Some(true)) => {
                load.breaker.succeeded();
                load.in_a_row = 0;
            }
            Outcome::Settled(Some(false)) => {
                shared.counters.add(Counter::ExchangeErrors);
                load.breaker.failed(now_millis(), "");
            }
            Outcome::Failed(reason, sentence) => {
                shared.exchange_failures.put(&work.registration.code, reason.number().into());
                self.failed(env, &work.provider, reason, &sentence);
            }
        }
    }

    fn failed(&mut self, env: &TaskEnv, provider: &str, reason: Reason, sentence: &str) {
        let load = self.load.entry(provider.to_owned()).or_default();
        // A server that refuses the proxy answers well; it need not be left alone.
        match reason {
            Reason::ExchangeUnavailable => load.breaker.failed(now_millis(), sentence),
            Reason::ClientRefused => load.breaker.succeeded(),
            _ => return load.breaker.unused(),
        }
        env.context.arena().shared().counters.add(Counter::ExchangeErrors);
        load.in_a_row = load.in_a_row.saturating_add(1);
        if load.in_a_row.is_power_of_two() {
            let failures = load.in_a_row;
            let line = format!("provider '{provider}': a code cannot be exchanged ({failures} in a row): {sentence}");
            env.context.log().log(Level::Error, &line);
        }
    }
}
