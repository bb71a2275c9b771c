// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service: one per proxy, in a process of its own. Fetches keys in threads, publishes them, wakes askers.
//!
//! Only the thread that calls `step` writes to the arena and to the log.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::StartError;
use super::caught::caught;
use super::context::{Context, PlacedPolicy};
use super::job::Job;
use super::now_millis;
use crate::arena::counters::Counter;
use crate::config::provider::KeySource;
use crate::engine::key_fetch::{FetchedKeys, KeyPlan, fetch_keys};
use crate::engine::refresh_plan::{Limits, RefreshPlan};
use crate::fault;
use crate::io::http::HttpClient;
use crate::ports::{Fetch, Level};

/// Fetches at once.
const THREADS: usize = 4;
/// Events that wait for `step`; beyond it the senders wait, and the workers' queue fills up.
const EVENTS: usize = 1024;

enum Event {
    Job(Job),
    /// The outer error is the place of a panic, the inner one a sentence.
    Fetched {
        source: u64,
        result: Result<Result<FetchedKeys, String>, String>,
    },
}

struct Task {
    source: u64,
    plan: KeyPlan,
    client: Arc<dyn Fetch>,
}

struct Waiter {
    slot: u32,
    deadline: i64,
    cookies: [u64; 2],
}

struct Remote {
    name: String,
    slot: usize,
    key_plan: KeyPlan,
    refresh: RefreshPlan,
    in_flight: bool,
}

/// The right to be the only I/O service of a context.
struct Right {
    context: Arc<Context>,
    process: u32,
}

impl Right {
    fn take(context: &Arc<Context>) -> Result<Right, StartError> {
        if !context.arena().begin_service() {
            return Err(StartError::Running);
        }
        Ok(Right { context: Arc::clone(context), process: std::process::id() })
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            self.context.arena().end_service();
        }
    }
}

/// The service.
pub struct Service {
    context: Arc<Context>,
    process: u32,
    _right: Right,
    placed: PlacedPolicy,
    client: Arc<dyn Fetch>,
    /// By key source.
    remotes: HashMap<u64, Remote>,
    waiters: Vec<Waiter>,
    events: Receiver<Event>,
    tasks: Option<SyncSender<Task>>,
    threads: Vec<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
}

impl Service {
    /// Starts the threads. The caller blocks all signals around this call, so that the threads take none.
    pub fn new(context: Arc<Context>) -> Result<Service, StartError> {
        let right = Right::take(&context)?;
        let placed = context.policy()?;
        let client: Arc<dyn Fetch> = Arc::new(HttpClient::new(&placed.policy));
        let (event_sender, events) = sync_channel(EVENTS);
        let (tasks, task_receiver) = sync_channel::<Task>(crate::config::policy::MAX_PROVIDERS * 2);
        let task_receiver = Arc::new(Mutex::new(task_receiver));
        let ending = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            let (receiver, sender) = (Arc::clone(&task_receiver), event_sender.clone());
            threads.push(spawn("sipoauth http", move || fetch_loop(&receiver, &sender))?);
        }
        let (jobs, stop) = (context.jobs().receiver()?, Arc::clone(&ending));
        threads.push(spawn("sipoauth jobs", move || {
            while let Ok(job) = jobs.receive() {
                let taken = job.is_none_or(|job| event_sender.send(Event::Job(job)).is_ok());
                if !taken || stop.load(Relaxed) {
                    return;
                }
            }
        })?);
        let mut service = Service {
            context,
            process: std::process::id(),
            _right: right,
            placed,
            client,
            remotes: HashMap::new(),
            waiters: Vec::new(),
            events,
            tasks: Some(tasks),
            threads,
            ending,
        };
        service.adopt_policy(now_millis());
        Ok(service)
    }

    /// False after a fork.
    pub fn is_own_process(&self) -> bool {
        self.process == std::process::id()
    }

    /// Waits at most `timeout` for something to do and does it. `done` is called for every waiter that goes on.
    pub fn step(&mut self, timeout: Duration, done: &mut dyn FnMut([u64; 2])) {
        if let Some(placed) = self.context.policy_after(self.placed.generation) {
            self.placed = placed;
            self.client = Arc::new(HttpClient::new(&self.placed.policy));
            self.adopt_policy(now_millis());
        }
        self.start_due(now_millis());
        let mut wait = timeout.min(self.until_next(now_millis()));
        // Everything that is there already is taken before the next look at the clock.
        loop {
            match self.events.recv_timeout(wait) {
                Ok(Event::Job(job)) => self.accept(&job, done),
                Ok(Event::Fetched { source, result }) => {
                    let result = result.unwrap_or_else(|place| {
                        self.context.arena().shared().counters.add(Counter::Panics);
                        Err(format!("internal error caught at {place}; please report it"))
                    });
                    self.fetched(source, result, done);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
            wait = Duration::ZERO;
        }
        let now = now_millis();
        self.start_due(now);
        self.release(done, |w| w.deadline <= now);
    }

    fn adopt_policy(&mut self, now: i64) {
        let mut remotes = HashMap::new();
        for (provider, &(slot, source)) in self.placed.policy.providers.iter().zip(&self.placed.places) {
            let (jwks_uri, discovery) = match &provider.keys {
                KeySource::Static(_) => continue,
                KeySource::Jwks(uri) => (Some(uri.clone()), Vec::new()),
                KeySource::Discovery(urls) => (None, urls.clone()),
            };
            let key_plan = KeyPlan {
                issuer: provider.issuer.clone(),
                jwks_uri,
                discovery,
                allow_http: self.placed.policy.settings.allow_http,
            };
            self.context.arena().slots()[slot].assign(source);
            let old = self.remotes.remove(&source);
            let (refresh, in_flight) = old.map_or((RefreshPlan::new(now), false), |r| (r.refresh, r.in_flight));
            remotes.insert(source, Remote { name: provider.name.clone(), slot, key_plan, refresh, in_flight });
        }
        self.remotes = remotes;
    }

    fn limits(&self) -> Limits {
        let settings = &self.placed.policy.settings;
        Limits {
            interval: i64::from(settings.key_refresh_interval) * 1000,
            cooldown: i64::from(settings.key_cooldown) * 1000,
            burst: settings.key_burst,
        }
    }

    fn until_next(&self, now: i64) -> Duration {
        let planned = self.remotes.values().filter(|r| !r.in_flight).map(|r| r.refresh.next);
        let deadlines = self.waiters.iter().map(|w| w.deadline);
        let next = planned.chain(deadlines).min().unwrap_or(i64::MAX);
        Duration::from_millis(u64::try_from(next.saturating_sub(now)).unwrap_or(0))
    }

    fn start_due(&mut self, now: i64) {
        let limits = self.limits();
        for (source, remote) in self.remotes.iter_mut().filter(|(_, r)| !r.in_flight) {
            let slot = &self.context.arena().slots()[remote.slot];
            let asked = slot.wanted.load(Relaxed) == 1;
            if !remote.refresh.start(asked, now, &limits) {
                slot.not_before.store(remote.refresh.not_before, Relaxed);
                continue;
            }
            let task = Task { source: *source, plan: remote.key_plan.clone(), client: Arc::clone(&self.client) };
            if self.tasks.as_ref().is_some_and(|tasks| tasks.try_send(task).is_ok()) {
                remote.in_flight = true;
                slot.in_flight.store(1, Relaxed);
                slot.wanted.store(0, Relaxed);
                slot.fetches.fetch_add(1, Relaxed);
                self.context.arena().shared().counters.add(Counter::KeyFetches);
            }
        }
    }

    fn accept(&mut self, job: &Job, done: &mut dyn FnMut([u64; 2])) {
        let known = self.remotes.values().any(|r| Ok(r.slot) == usize::try_from(job.slot));
        self.waiters.push(Waiter { slot: job.slot, deadline: job.deadline, cookies: job.cookies });
        if !known {
            self.release(done, |w| w.slot == job.slot);
        }
    }

    fn fetched(&mut self, source: u64, result: Result<FetchedKeys, String>, done: &mut dyn FnMut([u64; 2])) {
        let (now, limits, jitter) = (now_millis(), self.limits(), jitter());
        let Some(remote) = self.remotes.get_mut(&source) else {
            return; // A reload has removed the provider meanwhile.
        };
        remote.in_flight = false;
        let slot = &self.context.arena().slots()[remote.slot];
        let published = result.and_then(|fetched| {
            if slot.keys.write(&fetched.keys.to_public_jwks()) {
                Ok(fetched)
            } else {
                Err(format!("{}: the usable keys need more than 64 KiB", fetched.jwks_uri))
            }
        });
        // Everything is in place before the first log line: the host's log must not decide what the workers see.
        let first = remote.refresh.failures > 0 || slot.fetched_at.load(Relaxed) == 0;
        let (jwks_uri, error) = match &published {
            Ok(fetched) => {
                remote.refresh.succeeded(now, fetched.max_age, jitter, &limits);
                slot.fetched_at.store(now, Relaxed);
                (fetched.jwks_uri.as_str(), "")
            }
            Err(text) => {
                self.context.arena().shared().counters.add(Counter::KeyFetchErrors);
                remote.refresh.failed(now, jitter);
                ("", text.as_str())
            }
        };
        slot.status.write(serde_json::json!({"jwks_uri": jwks_uri, "error": truncate(error)}).to_string().as_bytes());
        slot.failures.store(remote.refresh.failures, Relaxed);
        slot.next_fetch_at.store(remote.refresh.next, Relaxed);
        slot.not_before.store(remote.refresh.not_before, Relaxed);
        slot.in_flight.store(0, Relaxed);
        for (level, line) in describe(&remote.name, &published, first, remote.refresh.failures) {
            self.context.log().log(level, &line);
        }
        let index = remote.slot;
        self.release(done, |w| usize::try_from(w.slot) == Ok(index));
    }

    fn release(&mut self, done: &mut dyn FnMut([u64; 2]), which: impl Fn(&Waiter) -> bool) {
        let (go_on, wait) = std::mem::take(&mut self.waiters).into_iter().partition(which);
        self.waiters = wait;
        let go_on: Vec<Waiter> = go_on;
        let shared = self.context.arena().shared();
        for waiter in go_on {
            shared.parked.fetch_sub(1, Relaxed);
            shared.counters.add(Counter::Resumed);
            done(waiter.cookies);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !self.is_own_process() {
            return;
        }
        self.ending.store(true, Relaxed);
        self.tasks = None;
        self.context.jobs().wake();
        // A thread that hands over an event may wait for room: taking the rest lets it see the end.
        let threads = std::mem::take(&mut self.threads);
        let mut given_up = u32::try_from(self.waiters.len()).unwrap_or(u32::MAX);
        while threads.iter().any(|t| !t.is_finished()) {
            if let Ok(Event::Job(_)) = self.events.recv_timeout(Duration::from_millis(10)) {
                given_up += 1;
            }
        }
        // Requests that are still parked are not given back; they must not count against max_pending for ever.
        given_up += self.events.try_iter().filter(|event| matches!(event, Event::Job(_))).count() as u32;
        self.context.arena().shared().parked.fetch_sub(given_up, Relaxed);
        // Nothing of them may be left when the host unloads or forks next.
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// What the log says of a fetch. `first`: there was no success just before it.
fn describe(
    name: &str,
    fetch: &Result<FetchedKeys, String>,
    first: bool,
    failures: u32,
) -> impl Iterator<Item = (Level, String)> {
    let mut lines = Vec::new();
    match fetch {
        Ok(fetched) => {
            if first {
                let count = fetched.keys.keys().len();
                lines.push((Level::Info, format!("provider '{name}': {count} key(s) from {}", fetched.jwks_uri)));
            }
            lines.extend(
                fetched.keys.rejected().iter().map(|key| {
                    (Level::Debug, format!("provider '{name}': key '{}' is not used: {}", key.kid, key.note))
                }),
            );
        }
        // The first failure and then every power of two: an outage of a day is some lines, not thousands.
        Err(text) if failures.is_power_of_two() => {
            let line = format!("provider '{name}': keys cannot be fetched ({failures} in a row): {text}");
            lines.push((Level::Error, line));
        }
        Err(_) => {}
    }
    lines.into_iter()
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(run)
}

fn fetch_loop(tasks: &Mutex<Receiver<Task>>, events: &SyncSender<Event>) {
    loop {
        let task = match tasks.lock() {
            Ok(receiver) => receiver.recv(),
            Err(_) => return,
        };
        let Ok(Task { source, plan, client }) = task else {
            return;
        };
        // A panic in a parser must cost one fetch, not the thread.
        let result = caught(|| {
            fault::point(plan.jwks_uri.as_deref().unwrap_or(""));
            fetch_keys(&*client, &plan)
        });
        if events.send(Event::Fetched { source, result }).is_err() {
            return;
        }
    }
}

/// Between 0 and 1, different in every process and moment; spreads load, protects nothing.
fn jitter() -> f64 {
    let hash = RandomState::new().hash_one((std::process::id(), now_millis()));
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

fn truncate(text: &str) -> String {
    crate::proto::fingerprint::printable(text, 250)
}
