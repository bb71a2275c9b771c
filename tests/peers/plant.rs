// SPDX-License-Identifier: MIT OR Apache-2.0

//! A configured library with its I/O service: what a host does, in one thread.

use crate::site::{AUDIENCE, Site, merged};
use crate::support::scripted_server::{self, ScriptedServer};
use crate::support::token::{self, TestKey};
use serde_json::{Value, json};
use sipoauth::io_process::service::IoService;
use sipoauth::worker::Handling;
use sipoauth::worker::result::CheckResult;
use sipoauth_core::check::key_wait::SlotState;
use sipoauth_core::reason::Reason;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Nothing here takes this long, unless it never ends.
const PATIENCE: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(20);

pub struct Plant {
    pub site: Site,
    service: Option<IoService>,
    cookie: u64,
    done: Vec<u64>,
}

impl Plant {
    /// A provider at this server, found by discovery.
    pub fn at(server: &ScriptedServer, globals: &Value) -> Plant {
        Plant::new(&json!({ "issuer": server.issuer() }), globals)
    }

    pub fn new(provider: &Value, globals: &Value) -> Plant {
        let usual = json!({
            "key_cooldown": 1,
            "key_burst": 50,
            "source_limit": 60_000,
            "http_timeout": 10,
            // Only tests of this time-out may meet it.
            "pending_timeout": 30,
        });
        let site = Site::remote(provider, &merged(&usual, globals));
        let service = IoService::new(Arc::clone(&site.context)).unwrap_or_else(|error| panic!("{error}"));
        Plant { site, service: Some(service), cookie: 0, done: Vec::new() }
    }

    /// Ends the I/O service, with what it has in its hands, and starts another.
    #[allow(dead_code)] // the floods do this
    pub fn restart(&mut self) {
        let context = Arc::clone(&self.site.context);
        self.service = None;
        self.service = Some(IoService::new(context).unwrap_or_else(|error| panic!("{error}")));
    }

    /// Goes on until the first fetch has ended, well or not.
    pub fn started(mut self) -> Plant {
        self.until("the first fetch ends", |state| state.fetched_at != 0 || state.failures > 0);
        self
    }

    pub fn state(&self) -> SlotState {
        let (slot, source) = self.site.worker.placed().places[0];
        self.site.context.arena().slots()[slot].state(source)
    }

    pub fn until(&mut self, what: &str, reached: impl Fn(&SlotState) -> bool) {
        let start = Instant::now();
        while !reached(&self.state()) {
            assert!(start.elapsed() < PATIENCE, "in vain: {what}; {:?}\n{}", self.state(), self.site.log.text());
            self.step();
        }
    }

    /// Has the service run in a thread of its own, as the process of a host does, while `work` runs here; `work` gets
    /// the site and what tells whether a parked request was resumed.
    pub fn serving<T>(&mut self, work: impl FnOnce(&mut Site, &dyn Fn(u64)) -> T) -> T {
        let (ended, done) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let (site, service) = (&mut self.site, self.service.as_mut().expect("it runs"));
        let resumed = |cookie| {
            let start = Instant::now();
            while !done.lock().expect("no panic while held").contains(&cookie) {
                assert!(start.elapsed() < PATIENCE, "a parked request is never resumed");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    // The steps are long, so the service is nearly always inside one.
                    let mut seen = Vec::new();
                    service.step(STEP * 10, &mut |[cookie, _]| seen.push(cookie));
                    done.lock().expect("no panic while held").extend(seen);
                }
            });
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(site, &resumed)));
            ended.store(true, Ordering::Relaxed);
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub fn step(&mut self) {
        let done = &mut self.done;
        self.service.as_mut().expect("it runs").step(STEP, &mut |[cookie, _]| done.push(cookie));
    }

    /// One step; the requests that go on after it.
    #[allow(dead_code)] // the floods do this
    pub fn steps_once(&mut self) -> Vec<u64> {
        let before = self.done.len();
        self.step();
        self.done[before..].to_vec()
    }

    /// Asks as a host does: parks the request and asks again when it is told to.
    pub fn ask(&mut self, token: &str) -> CheckResult {
        self.ask_from("192.0.2.1", token)
    }

    pub fn ask_from(&mut self, source: &str, token: &str) -> CheckResult {
        let handling = Handling { source, ..Handling::default() };
        let verdict = self.site.worker.check_token(token, &handling);
        match self.park(&verdict) {
            None => verdict,
            Some(cookie) => {
                self.wait_for(cookie);
                self.site.worker.check_token(token, &Handling { resumed: true, ..handling })
            }
        }
    }

    pub fn reason(&mut self, token: &str) -> Reason {
        self.ask(token).answer.reason()
    }

    /// Hands a request to the service; None when it is decided already.
    pub fn park(&mut self, verdict: &CheckResult) -> Option<u64> {
        let work = verdict.pending.clone()?;
        self.cookie += 1;
        let start = Instant::now();
        // The queue is full where the service has had no turn yet.
        while let Err(error) = self.site.worker.waits().submit(work.clone(), &[], [self.cookie, 0]) {
            let full = error.kind() == std::io::ErrorKind::WouldBlock;
            assert!(full && start.elapsed() < PATIENCE, "room for one more: {error}");
            std::thread::yield_now();
        }
        Some(self.cookie)
    }

    /// Goes on until this parked request is told to.
    pub fn wait_for(&mut self, cookie: u64) {
        let start = Instant::now();
        while !self.done.contains(&cookie) {
            assert!(start.elapsed() < PATIENCE, "a parked request is never resumed\n{}", self.site.log.text());
            self.step();
        }
    }
}

/// Alice's token of this server.
pub fn token(server: &ScriptedServer, key: &TestKey) -> String {
    key.token("ES256", &token::claims(&server.issuer(), AUDIENCE, "alice", 300))
}

/// The same, but older than any fetch.
#[allow(dead_code)] // the floods need none
pub fn old_token(server: &ScriptedServer, key: &TestKey) -> String {
    let mut claims = token::claims(&server.issuer(), AUDIENCE, "alice", 300);
    claims["iat"] = json!(token::now() - 100);
    key.token("ES256", &claims)
}

pub fn key_set(keys: &[&TestKey]) -> Value {
    scripted_server::key_set(&keys.iter().map(|key| key.jwk()).collect::<Vec<_>>())
}
