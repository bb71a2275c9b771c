// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service: one per proxy, in a process of its own. It does in threads what may wait, and wakes the requests
//! that wait for it.
//!
//! Only the thread that calls `step` writes to the provider slots, to the record cache and to the host's log.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use super::changes::{ChangeClock, Changes};
use super::exchange_task::{ReadRecord, TaskEnv};
use super::exchanges::{ExchangeDone, Exchanges};
use super::http::HttpClient;
use super::intake::{Events, Intake};
use super::introspections::{IntrospectionDone, Introspections};
use super::key_fetches::{KeyFetches, KeyThreads};
use super::line_buffer::LineBuffer;
use super::logouts::{Logouts, Waiting};
use super::phone_uses::PhoneUses;
use super::pool::{Pool, spawn};
use super::provider_load::{LoadKind, Loads};
use super::refer_events::{Outgoing, ReferEnd, ReferEvents};
use super::refreshes::{RefreshEvent, Refreshes};
use super::session_ends::SessionEnds;
use super::waiters::Waiters;
use crate::clock::now_millis;
use crate::fault;
use crate::process::StartError;
use crate::process::caught::caught;
use crate::process::context::{Context, PlacedPolicy};
use crate::process::job::{Job, Work};
use crate::process::job_queue::Received;
use crate::process::known_uses;
use crate::process::use_queue::Used;
use crate::shared::counters::Counter;
use crate::shared::record_cache::{CAPACITY, Lookup, Room};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::oauth::endpoints::Endpoints;
use sipoauth_core::oauth::kept_keys::KeptKeys;
use sipoauth_core::oauth::key_fetch::{FetchedKeys, NoKeys, fetch_keys};
use sipoauth_core::ports::{Level, Log};
use sipoauth_core::records::session_end::SessionEnd;

/// Most events that a step takes before it gives back the requests whose work is done.
const BATCH: usize = 256;
/// Most events of a step that put something into the memory that workers read. This many fit in one of its sets, so
/// a request that waits for one finds it there.
const ANSWERS: usize = 4;

/// Time between two sweeps of the replay guard and of the bound connections, in milliseconds.
const SWEEP: i64 = 300_000;
/// The binding of a connection is wiped when it was not used for this long, in milliseconds.
const UNUSED_CONNECTION: i64 = 7_200_000;

/// Pause between a panic of a thread and its next try.
const PAUSE: Duration = Duration::from_millis(500);

/// What reaches the service's own thread.
pub enum ServiceEvent {
    /// A worker asks for something, or there is a new configuration, or keys that the operator wants.
    Received(Received),
    /// The key fetch with this number has ended; the error is a sentence.
    Fetched(u64, Result<FetchedKeys, NoKeys>),
    /// The metadata of an endpoint was read again.
    ReadAgain,
    /// Work for a waiter has ended.
    Done(ExchangeDone),
    /// A question about a token has ended.
    Introspected(IntrospectionDone),
    /// A part of the upkeep has ended.
    Kept(RefreshEvent),
    /// A record was changed by another proxy.
    Changed(String),
    /// The ends of sessions that others have told of, and whether these are all.
    Heard(Vec<SessionEnd>, bool),
    /// A thread has worked on a logout token; this one is to be tried again.
    LoggedOut(Option<Waiting>),
    /// A thread has stored when phones have registered. Some of them were signed out meanwhile, and some could not be stored.
    UsesStored(Vec<SessionEnd>, Vec<Used>),
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
pub struct IoService {
    context: Arc<Context>,
    process: u32,
    _right: Right,
    placed: PlacedPolicy,
    env: TaskEnv,
    keys: KeyFetches,
    exchanges: Exchanges,
    introspections: Introspections,
    loads: Loads,
    refreshes: Refreshes,
    refers: ReferEvents,
    phones: PhoneUses,
    logouts: Logouts,
    ends: SessionEnds,
    /// A thread reads metadata again.
    reads_again: bool,
    waiters: Waiters,
    changes: Changes,
    watch: Option<Events>,
    swept: i64,
    intake: Intake,
    pool: Pool<ServiceEvent>,
    threads: Vec<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
}

/// The room of the cache that a record belongs to. Sessions and accounts exist because somebody has signed in or was
/// entered. But anybody can ask for an address that has none, and anybody can make up a code, which is remembered as
/// refused.
fn room_of(key: &str, present: bool) -> Room {
    match key.split_once(':').map_or("", |(kind, _)| kind) {
        _ if !present => Room::Passing,
        "a" | "d" | "k" => Room::Kept,
        "c" => Room::Passing,
        _ => Room::Uses,
    }
}

/// Puts records into the workers' cache; true when another proxy has changed one since it was read.
fn remember(env: &TaskEnv, changes: &mut Changes, records: Vec<ReadRecord>, now: i64) -> bool {
    let mut overtaken = false;
    for ReadRecord { key, value, moment } in records {
        if changes.since(moment, &key) {
            overtaken = true;
        } else {
            let cache = env.context.arena().records();
            let known = match cache.get(&key, now, u64::MAX) {
                Lookup::Hit(known) => value.as_ref() == Some(&known),
                Lookup::Absent => value.is_none(),
                Lookup::Unknown => true,
            };
            if !cache.put(room_of(&key, value.is_some()), &key, value.as_deref(), now) {
                let octets = value.map_or(0, |value| value.len());
                let sentence = format!(
                    "a record of {octets} octets has no room in the memory that workers read (about {CAPACITY}): they answer \
                     503; the server must issue shorter tokens, or the user have fewer devices"
                );
                env.lines.log(Level::Error, &sentence);
            }
            if !known {
                // A thread that has read the old record before must not put it back.
                changes.note(key);
            }
        }
    }
    overtaken
}

fn task_env(
    context: &Arc<Context>,
    placed: &PlacedPolicy,
    clock: ChangeClock,
    lines: &Arc<LineBuffer>,
    kept_keys: Arc<KeptKeys>,
) -> TaskEnv {
    TaskEnv {
        context: Arc::clone(context),
        policy: Arc::clone(&placed.policy),
        places: Arc::new(placed.places.clone()),
        client: Arc::new(HttpClient::new(&placed.policy)),
        endpoints: Arc::new(Endpoints::new()),
        kept_keys,
        standings: Arc::default(),
        clock,
        lines: Arc::clone(lines),
    }
}

/// The sources of all keys of a configuration.
fn sources(policy: &Policy) -> Vec<u64> {
    policy.providers.iter().map(|provider| provider.keys.id(&provider.issuer)).collect()
}

impl IoService {
    /// Starts the threads. The caller blocks all signals around this call, so that the threads take none.
    pub fn new(context: Arc<Context>) -> Result<IoService, StartError> {
        let right = Right::take(&context)?;
        let placed = context.policy()?;
        let changes = Changes::default();
        let env = task_env(&context, &placed, changes.clock(), &Arc::default(), Arc::default());
        let (intake, events) = Intake::new(&context)?;
        let remote = context.sessions().is_some_and(|access| !access.is_local());
        let looks = context.sessions().is_some_and(|access| access.is_local());
        let watch = remote.then(|| events.clone());
        let (pool, threads) = Pool::new(placed.policy.settings.http_threads as usize, move |event| events.send(event))?;
        let mut service = IoService {
            context,
            process: std::process::id(),
            _right: right,
            placed,
            env,
            keys: KeyFetches::default(),
            exchanges: Exchanges::default(),
            introspections: Introspections::default(),
            loads: Loads::default(),
            refreshes: Refreshes::default(),
            refers: ReferEvents::default(),
            phones: PhoneUses::default(),
            logouts: Logouts::default(),
            ends: SessionEnds::new(looks, now_millis()),
            reads_again: false,
            waiters: Waiters::default(),
            changes,
            watch,
            swept: 0,
            intake,
            pool,
            threads,
            ending: Arc::default(),
        };
        service.keys.adopt(&service.context, &service.placed, &mut service.waiters, now_millis());
        Ok(service)
    }

    /// False after a fork.
    pub fn is_own_process(&self) -> bool {
        self.process == std::process::id()
    }

    /// Waits at most `timeout` for something to do and does it. `done` is called for every waiter that goes on.
    pub fn step(&mut self, timeout: Duration, done: &mut dyn FnMut([u64; 2])) {
        self.follow();
        self.start_due(now_millis());
        let mut wait = timeout.min(self.until_next(now_millis()));
        // Everything that is there already is taken before the next look at the clock.
        self.intake.look();
        let mut ended = 0;
        for _ in 0..BATCH {
            let Some(event) = self.intake.next(wait) else { break };
            ended += usize::from(matches!(event, ServiceEvent::Done(_) | ServiceEvent::Introspected(_)));
            self.take(event);
            if ended == ANSWERS {
                break;
            }
            wait = Duration::ZERO;
        }
        let now = now_millis();
        self.start_due(now);
        self.refers.look(self.context.arena().refers(), now);
        self.sweep(now);
        if self.waiters.expire(now) {
            self.introspections.expired(&self.env, &self.waiters, now);
            self.exchanges.expired(&self.waiters);
        }
        self.env.lines.drain_to(self.context.log());
        self.waiters.release(self.context.arena().shared(), done);
    }

    /// The sessions that have ended since the last call, whoever has ended them, but for commands of this proxy.
    pub fn take_ended(&mut self) -> impl Iterator<Item = SessionEnd> {
        self.ends.extend(self.refreshes.take_ended());
        self.ends.take()
    }

    /// Sends the NOTIFY requests that are due. `send` returns false when one could not be sent.
    pub fn send_notifies(&mut self, send: &mut dyn FnMut(&Outgoing<'_>) -> bool) {
        let sent = self.refers.send(self.context.arena().refers(), now_millis(), send);
        let counters = &self.context.arena().shared().counters;
        counters.add_many(Counter::ReferNotifies, sent.sent);
        counters.add_many(Counter::ReferNotifyErrors, sent.failed);
    }

    /// The REFERs that have ended since the last call.
    pub fn take_ended_refers(&mut self) -> impl Iterator<Item = ReferEnd> {
        self.refers.take_ended()
    }

    /// Takes over the configuration in force.
    fn follow(&mut self) {
        if let Some(placed) = self.context.policy_after(self.placed.generation) {
            self.placed = placed;
            let kept_keys = Arc::clone(&self.env.kept_keys);
            kept_keys.keep_only(&sources(&self.placed.policy));
            self.env = task_env(&self.context, &self.placed, self.changes.clock(), &self.env.lines, kept_keys);
            self.keys.adopt(&self.context, &self.placed, &mut self.waiters, now_millis());
        }
    }

    fn take(&mut self, event: ServiceEvent) {
        // A job may come from a worker that works with a newer configuration: its provider must be known here too.
        self.follow();
        let (waiters, now) = (&mut self.waiters, now_millis());
        match event {
            ServiceEvent::Received(Received::Job(Job { work: Work::Subscribe(work), asker })) => {
                self.context.arena().shared().waiting.give_back(&asker.place);
                self.refers.subscribe(*work);
            }
            ServiceEvent::Received(Received::Job(Job { work: Work::LogOut(token), asker })) => {
                self.context.arena().shared().waiting.give_back(&asker.place);
                if !self.logouts.add(token, now) {
                    let line = "too many logout tokens wait: a user who was logged out is still signed in";
                    self.context.log().log(Level::Error, line);
                }
            }
            ServiceEvent::Received(Received::Job(Job { work, asker })) => {
                let ticket = waiters.add(asker);
                match work {
                    Work::Keys(slot, generation) => self.keys.wait(&self.context, slot, generation, ticket, waiters),
                    Work::Introspect(work) => self.introspections.add(&self.env, *work, ticket, waiters, now),
                    work => self.exchanges.add(work, ticket, waiters),
                }
            }
            ServiceEvent::Received(Received::Lost(asker)) => {
                let line = "a request waited for the I/O process so long that its place has come to another one";
                self.context.log().log(Level::Warn, line);
                let ticket = waiters.add(asker);
                waiters.finish(ticket);
            }
            ServiceEvent::Received(Received::Wake) => {}
            ServiceEvent::Fetched(number, result) => {
                self.keys.finished(&self.context, &self.placed.policy, number, result, waiters, now);
            }
            ServiceEvent::ReadAgain => self.reads_again = false,
            ServiceEvent::Done(mut done) => {
                let records = std::mem::take(&mut done.records);
                let overtaken = remember(&self.env, &mut self.changes, records, now);
                self.exchanges.finished(&self.env, &mut self.waiters, &mut self.loads, done, overtaken);
            }
            ServiceEvent::Introspected(done) => {
                self.introspections.finished(&self.env, waiters, &mut self.loads, done, now);
            }
            ServiceEvent::Kept(mut kept) => {
                remember(&self.env, &mut self.changes, kept.take_records(), now);
                self.refreshes.finished(kept);
            }
            ServiceEvent::Changed(key) => {
                let cache = self.context.arena().records();
                if key.is_empty() {
                    cache.overtake_all()
                } else {
                    cache.overtake(&key)
                }
                self.ends.changed(&key);
                self.changes.note(key);
            }
            ServiceEvent::Heard(ends, are_all) => self.ends.finished(ends, are_all, self.context.origin()),
            ServiceEvent::LoggedOut(left) => self.logouts.finished(left, now),
            ServiceEvent::UsesStored(ended, left) => {
                self.phones.stored();
                left.iter().for_each(|used| known_uses::forget(self.context.arena().shared(), used));
                self.ends.extend(ended);
            }
        }
    }

    /// Now and then clears what the replay guard need not remember, the tokens of connections that seem to have
    /// ended, and the places of requests whose process has died.
    fn sweep(&mut self, now: i64) {
        if (0..SWEEP).contains(&(now - self.swept)) {
            return;
        }
        self.swept = now;
        let window = i64::from(self.placed.policy.settings.pop_window);
        self.context.arena().replay_guard().sweep(window, now / 1000);
        self.context.arena().connections().sweep(UNUSED_CONNECTION, now);
        self.context.arena().shared().waiting.sweep(now);
    }

    fn until_next(&self, now: i64) -> Duration {
        let times = [
            self.keys.next(),
            self.waiters.next_deadline(),
            self.exchanges.next(),
            self.ends.next(),
            self.phones.next(),
            self.logouts.next(),
        ];
        let upkeep = self.context.sessions().map(|_| self.refreshes.next());
        let refers = self.refers.next(self.context.arena().refers());
        let next = times.into_iter().flatten().chain(upkeep).chain(refers).min().unwrap_or(i64::MAX);
        Duration::from_millis(u64::try_from(next.saturating_sub(now)).unwrap_or(0))
    }

    fn start_due(&mut self, now: i64) {
        let (pool, env) = (&self.pool, &self.env);
        let threads = KeyThreads { patient: pool.for_keys(), hurried: pool.for_hurried_keys() };
        self.keys.start_due(&self.context, &self.placed.policy, now, &threads, |number, pace, plan| {
            let client = Arc::clone(&env.client);
            let fetch = move || {
                fault::point(plan.jwks_uri.as_deref().unwrap_or(""));
                ServiceEvent::Fetched(number, fetch_keys(&client.within(pace.time()), &plan))
            };
            pool.start(env.task(fetch, move |sentence| ServiceEvent::Fetched(number, Err(sentence.into()))))
        });
        self.read_metadata_again();
        self.ask_for_phones(now);
        if self.context.sessions().is_some() {
            let (pool, env) = (&self.pool, &self.env);
            self.exchanges.begin_store_work(env, pool, &mut self.loads, now);
            self.refreshes.dispatch(env, pool, now);
            self.ends.dispatch(env, pool, now);
            self.phones.dispatch(env, pool, now);
            self.logouts.dispatch(env, pool, now);
            self.start_watching();
        }
    }

    /// Has one thread at a time read metadata that was read long ago.
    fn read_metadata_again(&mut self) {
        if self.reads_again {
            return;
        }
        let Some((provider, which)) = self.env.endpoints.take_due() else { return };
        let env = self.env.clone();
        let read = move || {
            env.endpoints.read_again(&*env.client, &env.policy, provider, which, now_millis() / 1000);
            ServiceEvent::ReadAgain
        };
        // What finds no room becomes due again when it is used next.
        self.reads_again = self.pool.start(self.env.task(read, |_| ServiceEvent::ReadAgain));
    }

    /// Has providers asked for the phones that wait. Providers take turns, and at each of them tokens and codes do.
    fn ask_for_phones(&mut self, now: i64) {
        let waiting = self.introspections.providers().chain(self.exchanges.providers());
        let mut providers = self.loads.in_turn(waiting.cloned().collect());
        while !providers.is_empty() {
            providers.retain(|provider| self.ask(provider, now));
        }
    }

    /// Has this provider asked for one more. False when nobody waits for that, or there is no thread.
    fn ask(&mut self, provider: &str, now: i64) -> bool {
        let (env, pool, loads) = (&self.env, &self.pool, &mut self.loads);
        loads.turns(provider).into_iter().any(|kind| match kind {
            LoadKind::Introspection => self.introspections.begin(env, pool, loads, provider),
            LoadKind::Exchange => self.exchanges.begin(env, pool, loads, provider, now),
        })
    }
}

impl IoService {
    /// Listens to changes by other proxies as soon as a store over the network is open.
    fn start_watching(&mut self) {
        let Some(store) = self.watch.as_ref().and(self.context.sessions()).and_then(|access| access.watched()) else {
            return;
        };
        let (Some(events), ending) = (self.watch.take(), Arc::clone(&self.ending)) else { return };
        let (lines, counters) = (Arc::clone(&self.env.lines), Arc::clone(&self.context));
        let watch = move || {
            let mut tell = |key| {
                events.send(ServiceEvent::Changed(key));
            };
            // The watch returns when the service ends. After a panic it begins again, and any record may have changed.
            while let Err(place) = caught(|| store.watch_changes(&ending, &mut tell)) {
                counters.arena().shared().counters.add(Counter::Panics);
                lines.log(Level::Error, &format!("internal error caught at {place}; please report it"));
                std::thread::sleep(PAUSE);
            }
        };
        match spawn("sipoauth watch", watch) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                let line = format!("changes by other proxies are seen late: no thread to listen to them: {error}");
                self.context.log().log(Level::Error, &line);
            }
        }
    }
}

impl Drop for IoService {
    fn drop(&mut self) {
        if !self.is_own_process() {
            return;
        }
        self.ending.store(true, Relaxed);
        self.pool.close();
        // A thread may wait for room to hand over an event. Once the rest is taken, it goes on and sees the end.
        let threads = std::mem::take(&mut self.threads);
        while threads.iter().any(|t| !t.is_finished()) {
            self.intake.event_of_thread(Duration::from_millis(10));
        }
        // Requests that are still parked are not given back; they must not count against max_pending any longer.
        let waiting = &self.context.arena().shared().waiting;
        for received in self.intake.left() {
            if let Received::Job(Job { asker, .. }) | Received::Lost(asker) = received {
                waiting.give_back(&asker.place);
            }
        }
        self.waiters.abandon(self.context.arena().shared());
        // No thread may be left when the host unloads the library or forks next.
        for thread in threads {
            let _ = thread.join();
        }
    }
}
