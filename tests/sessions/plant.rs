// SPDX-License-Identifier: MIT OR Apache-2.0

//! Proxies: each has a context, a worker and an I/O service; what a host does for them happens in one thread.

use crate::endpoint::{CLIENT, CLIENT_SECRET, Endpoint};
use crate::phone::Sip;
use crate::support::log_lines::Lines;
use crate::support::temporary::Directory;
use crate::support::token::now;
use serde_json::{Value, json};
use sipoauth::io_process::service::IoService;
use sipoauth::process::StartError;
use sipoauth::process::context::Context;
use sipoauth::shared::counters;
use sipoauth::store::session_admin::ListedSession;
use sipoauth::worker::result::CheckResult;
use sipoauth::worker::{Handling, Worker};
use sipoauth_core::check::session_check::DigestUser;
use sipoauth_core::config::source::Source;
use sipoauth_core::ports::Log;
use sipoauth_core::reason::Reason;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const STORE_KEY: &str = "the-store-key-of-the-proxy-0123456789";
/// Nothing here takes this long, unless it never ends.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A token endpoint and a folder for sessions, which proxies share.
pub struct Plant {
    pub endpoint: Endpoint,
    pub directory: Directory,
}

impl Plant {
    pub fn new() -> Plant {
        Plant { endpoint: Endpoint::start(), directory: Directory::new("sessions") }
    }

    pub fn store(&self) -> PathBuf {
        self.directory.file("store")
    }

    /// A proxy with these settings beside or instead of the usual ones. It remembers proofs from before now.
    pub fn proxy(&self, globals: &Value) -> Proxy {
        Proxy::start(&self.endpoint.server.issuer(), &self.store(), &self.directory, globals)
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

pub struct Proxy {
    pub context: Arc<Context>,
    pub worker: Worker,
    pub log: Arc<Lines>,
    pub configuration: PathBuf,
    service: Option<IoService>,
    cookie: u64,
    done: Vec<u64>,
}

/// The configuration of a proxy; null takes a setting away.
pub fn configuration(issuer: &str, store: &Path, globals: &Value) -> String {
    let mut all = json!({
        "store": store,
        "store_key": STORE_KEY,
        "store_size": 16,
        // Only tests of time-outs may meet one.
        "http_timeout": 30,
        "store_timeout": 10_000,
        "pending_timeout": 30,
        "source_limit": 1000,
        "provider": [{
            "name": "as",
            "issuer": issuer,
            "audience": "sip",
            "aor": "{sip}",
            "client_id": CLIENT,
            "client_secret": CLIENT_SECRET,
            "leeway": 0,
        }],
    });
    let members = all.as_object_mut().expect("an object");
    for (key, value) in globals.as_object().expect("an object") {
        match key.strip_prefix("provider.") {
            Some(key) => members["provider"][0][key] = value.clone(),
            None => drop(members.insert(key.clone(), value.clone())),
        }
    }
    members["provider"][0].as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    members.retain(|_, value| !value.is_null());
    toml::to_string(&all).expect("no nulls")
}

impl Proxy {
    pub fn start(issuer: &str, store: &Path, place: &Directory, globals: &Value) -> Result<Proxy, StartError> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = place.write(&format!("sipoauth-{number}.toml"), configuration(issuer, store, globals));
        let mut source = Source::default();
        source.set("config_file", file.to_str().expect("our paths are UTF-8"))?;
        let log = Arc::new(Lines::default());
        let context = Arc::new(Context::new(source, Arc::clone(&log) as Arc<dyn Log>)?);
        let worker = Worker::new(Arc::clone(&context))?;
        let service = Some(IoService::new(Arc::clone(&context))?);
        let proxy = Proxy { context, worker, log, configuration: file, service, cookie: 0, done: Vec::new() };
        proxy.outlive_the_first_second();
        Ok(proxy)
    }

    /// Proofs dated in the second in which the guard began are refused: they may have been used before.
    fn outlive_the_first_second(&self) {
        let since = self.context.arena().replay_guard().since;
        while now() <= since {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn another_worker(&self) -> Worker {
        Worker::new(Arc::clone(&self.context)).expect("a configuration that is in force")
    }

    /// Ends the I/O service; the worker stays.
    pub fn end_service(&mut self) {
        self.service = None;
    }

    pub fn step(&mut self) {
        let done = &mut self.done;
        let step = Duration::from_millis(10);
        match &mut self.service {
            Some(service) => service.step(step, &mut |[cookie, _]| done.push(cookie)),
            None => std::thread::sleep(step),
        }
    }

    /// Goes on until this holds.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Proxy) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "in vain: {what}\n{}", self.log.text());
            self.step();
        }
    }

    /// Goes on for this time.
    pub fn run_for(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            self.step();
        }
    }

    /// The first answer, not parked.
    pub fn look(&mut self, sip: &Sip) -> CheckResult {
        let handling = Handling { source: &sip.source.0, ..Handling::default() };
        sip.read(|request| self.worker.check(request, &handling))
    }

    /// Asks for tokens for a user with this H(A1) as a host does.
    pub fn ask_for_tokens(&mut self, sip: &Sip, user: DigestUser<'_>) -> CheckResult {
        let handling = Handling { source: &sip.source.0, ..Handling::default() };
        let verdict = sip.read(|request| self.worker.check_password(request, user, &handling));
        let Some(cookie) = self.park(&verdict) else { return verdict };
        self.until("a parked request is resumed", |proxy| proxy.is_done(cookie));
        let handling = Handling { resumed: true, ..handling };
        sip.read(|request| self.worker.check_password(request, user, &handling))
    }

    /// Asks as a host does: parks the request and asks again when it is told to.
    pub fn ask(&mut self, sip: &Sip) -> CheckResult {
        let verdict = self.look(sip);
        match self.park(&verdict) {
            Some(cookie) => self.resume(sip, cookie),
            None => verdict,
        }
    }

    pub fn reason(&mut self, sip: &Sip) -> Reason {
        self.ask(sip).answer.reason()
    }

    /// Status and reason.
    pub fn answer(&mut self, sip: &Sip) -> (u32, Reason) {
        let verdict = self.ask(sip);
        (verdict.status, verdict.answer.reason())
    }

    /// Hands a request to the service; None when it is decided already.
    pub fn park(&mut self, verdict: &CheckResult) -> Option<u64> {
        let work = verdict.pending.clone()?;
        self.cookie += 1;
        self.worker.waits().submit(work, &[], [self.cookie, 0]).expect("room for one more");
        Some(self.cookie)
    }

    pub fn is_done(&self, cookie: u64) -> bool {
        self.done.contains(&cookie)
    }

    /// The second answer of a parked request.
    pub fn resume(&mut self, sip: &Sip, cookie: u64) -> CheckResult {
        self.until("a parked request is resumed", |proxy| proxy.is_done(cookie));
        let handling = Handling { source: &sip.source.0, resumed: true, ..Handling::default() };
        sip.read(|request| self.worker.check(request, &handling))
    }

    /// Registers with a code and confirms the answer; the phone's key comes from it.
    pub fn sign_in(&mut self, sip: &Sip) -> CheckResult {
        let verdict = self.ask(sip);
        assert_eq!((verdict.status, verdict.answer.reason()), (200, Reason::Ok), "{}", self.log.text());
        assert!(!verdict.ticket.is_empty() && verdict.session.len() == 32);
        self.worker.registrations().confirm(&verdict.ticket, sip.reply_to_tag.as_bytes()).expect("the key is stored");
        verdict
    }

    pub fn sessions(&self, aor: &str) -> Vec<ListedSession> {
        self.context.admin().list_sessions(aor, "").expect("a readable store").sessions
    }

    /// The value of a statistic.
    pub fn counted(&self, name: &str) -> u64 {
        let named = |index: &usize| counters::name(*index).is_some_and(|n| n.to_bytes() == name.as_bytes());
        let index = (0..counters::COUNT).find(named).unwrap_or_else(|| panic!("nothing is called {name}"));
        self.context.arena().shared().counters.get(index)
    }

    /// Keys of the records of a kind ("t:" for tokens).
    pub fn records(&self, kind: &str) -> Vec<String> {
        let access = self.context.sessions().expect("sessions are configured");
        let store = access.open(&self.worker.placed().policy).expect("a store");
        store.store().scan(kind, None, 10_000).expect("a readable store").keys
    }
}
