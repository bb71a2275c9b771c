// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the authorization servers do for phones at present, and whether one is left alone for a while.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::exchange_task::TaskEnv;
use super::pool::Pool;
use super::service::ServiceEvent;
use crate::clock::now_millis;
use crate::shared::counters::Counter;
use sipoauth_core::oauth::endpoint_guard::{EndpointGuard, Outcome, Pass, TrialRules};
use sipoauth_core::oauth::verdict::Trouble;
use sipoauth_core::ports::Level;
use sipoauth_core::sip::sender::Sender;

/// What a server is asked for. Each has an endpoint of its own, which works or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadKind {
    /// Codes are exchanged.
    #[default]
    Exchange,
    /// Tokens are introspected.
    Introspection,
}

impl LoadKind {
    fn other(self) -> LoadKind {
        match self {
            LoadKind::Exchange => LoadKind::Introspection,
            LoadKind::Introspection => LoadKind::Exchange,
        }
    }

    fn counter(self) -> Counter {
        match self {
            LoadKind::Exchange => Counter::ExchangeErrors,
            LoadKind::Introspection => Counter::IntrospectionErrors,
        }
    }

    fn text(self) -> &'static str {
        match self {
            LoadKind::Exchange => "a code cannot be exchanged",
            LoadKind::Introspection => "a token cannot be introspected",
        }
    }
}

/// Most codes at once that are sent to a server that is left alone. A code that was sent is spent, so its server is
/// given all the time that there is.
const CODES_AT_ONCE: usize = 2;

/// How a thread's try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server was not needed, because what was wanted was known already.
    Known,
    /// The server was to be asked, and then was not.
    Unused,
    /// The server did its work.
    Well,
    /// The server answered, but the answer is of no use. The server need not be left alone.
    Refused,
    /// The server answered with an error of its own.
    Error,
    /// The server did not answer.
    Silent,
}

impl Ended {
    /// What a question without an answer tells of the server.
    pub fn of(trouble: &Trouble) -> Ended {
        match (trouble.answered, trouble.silent) {
            (true, _) => Ended::Refused,
            (false, false) => Ended::Error,
            (false, true) => Ended::Silent,
        }
    }
}

/// What a task passes before it asks a server. What the store knows is used whether the server answers or not, so
/// the task asks here only when nothing but the server can help.
#[derive(Clone)]
pub struct Gate {
    guard: Arc<EndpointGuard>,
    rules: TrialRules,
    sender: Sender,
    pass: Arc<OnceLock<Pass>>,
}

impl Gate {
    /// Whether the server may be asked. If not, it does not work, or the sender's own questions failed lately.
    pub fn pass(&self) -> bool {
        if self.pass.get().is_some() {
            return true;
        }
        let pass = self.guard.pass(&self.sender, now_millis(), &self.rules);
        pass.is_some_and(|pass| self.pass.set(pass).is_ok())
    }

    /// How long the server may take; None: as long as usual.
    pub fn time(&self) -> Option<Duration> {
        self.pass.get()?.pace().time()
    }

    /// How a task has ended that passed the gate; [`Ended::Known`] if it did not pass.
    pub fn end(&self, ended: Ended) -> Ended {
        let Some(pass) = self.pass.get() else { return Ended::Known };
        let outcome = match ended {
            Ended::Known | Ended::Unused => Outcome::Unused,
            Ended::Well | Ended::Refused => Outcome::Answered,
            Ended::Error => Outcome::Error,
            Ended::Silent => Outcome::Silent,
        };
        self.guard.end(pass, outcome, now_millis());
        ended
    }
}

#[derive(Default)]
struct EndpointLoad {
    guard: Arc<EndpointGuard>,
    failures: u32,
}

#[derive(Default)]
struct Load {
    running: usize,
    /// What a thread has begun last, and how many threads had begun anything before.
    last: LoadKind,
    turn: u64,
    exchange: EndpointLoad,
    introspection: EndpointLoad,
}

impl Load {
    fn of(&mut self, service: LoadKind) -> &mut EndpointLoad {
        match service {
            LoadKind::Exchange => &mut self.exchange,
            LoadKind::Introspection => &mut self.introspection,
        }
    }
}

/// The load of each provider, by its name.
#[derive(Default)]
pub struct Loads {
    providers: HashMap<String, Load>,
    running: usize,
    at_store: usize,
    begun: u64,
}

impl Loads {
    fn of(&mut self, provider: &str) -> &mut Load {
        if !self.providers.contains_key(provider) {
            self.providers.insert(provider.to_owned(), Load::default());
        }
        self.providers.get_mut(provider).expect("it is there now")
    }

    /// Whether there is a thread for more work at this provider. Some threads are left for keys and for the store.
    /// Half of the threads that other providers leave stay free for the provider that hangs next.
    pub fn has_room(&mut self, env: &TaskEnv, pool: &Pool<ServiceEvent>, provider: &str) -> bool {
        let own = self.of(provider).running;
        let rest = pool.for_phones().saturating_sub(self.running - own.min(self.running));
        let most = if env.policy.providers.len() > 1 { rest.div_ceil(2) } else { rest };
        let free = self.running == 0 || self.running + self.at_store + 1 < pool.size();
        free && self.running < pool.for_phones() && own < most.min(env.policy.settings.threads_per_provider() as usize)
    }

    /// Whether there is a thread for more work at the store. Some threads are left for the providers, and one for
    /// keys.
    pub fn has_room_for_store(&self, pool: &Pool<ServiceEvent>) -> bool {
        let free = self.at_store == 0 || self.running + self.at_store + 1 < pool.size();
        free && self.at_store < (pool.size() / 2).max(1)
    }

    /// Notes that a thread has begun work at the store.
    pub fn store_begun(&mut self) {
        self.at_store += 1;
    }

    /// Notes that a thread at the store is free again.
    pub fn store_ended(&mut self) {
        self.at_store = self.at_store.saturating_sub(1);
    }

    /// The gate that the task of a thread passes before it asks the server for this sender.
    pub fn gate(&mut self, env: &TaskEnv, provider: &str, service: LoadKind, sender: &Sender) -> Gate {
        let guard = Arc::clone(&self.of(provider).of(service).guard);
        // A question about a token does no harm when it is cut short. A code would be spent.
        let (patient, hurried) = match service {
            LoadKind::Introspection => (1, true),
            LoadKind::Exchange => (CODES_AT_ONCE, false),
        };
        let rules = TrialRules { longest: env.claim_time(), patient, hurried };
        Gate { guard, rules, sender: sender.clone(), pass: Arc::default() }
    }

    /// A thread has begun.
    pub fn begun(&mut self, provider: &str, kind: LoadKind) {
        self.running += 1;
        self.begun += 1;
        let turn = self.begun;
        let load = self.of(provider);
        load.running += 1;
        (load.last, load.turn) = (kind, turn);
    }

    /// What takes its turn at this provider, and what takes it when the first has nothing to do.
    pub fn turns(&mut self, provider: &str) -> [LoadKind; 2] {
        let last = self.of(provider).last;
        [last.other(), last]
    }

    /// Providers in the order of their turns: the one whose last work began first comes first.
    pub fn in_turn(&self, mut providers: Vec<String>) -> Vec<String> {
        providers.sort_unstable();
        providers.dedup();
        providers.sort_by_key(|provider| self.providers.get(provider).map_or(0, |load| load.turn));
        providers
    }

    /// Notes that a thread is free again. A failure is counted. It is logged the first time and then at every power
    /// of two, so that an outage of a day is some lines, not thousands. `why` is the text for the log; empty if it
    /// was logged already.
    pub fn ended(&mut self, env: &TaskEnv, provider: &str, service: LoadKind, ended: Ended, why: &str) {
        self.running = self.running.saturating_sub(1);
        let load = self.of(provider);
        load.running = load.running.saturating_sub(1);
        let endpoint = load.of(service);
        match ended {
            Ended::Known | Ended::Unused => return,
            Ended::Well => {
                endpoint.failures = 0;
                return;
            }
            Ended::Refused | Ended::Error | Ended::Silent => {}
        }
        env.context.arena().shared().counters.add(service.counter());
        if why.is_empty() {
            return;
        }
        endpoint.failures = endpoint.failures.saturating_add(1);
        if endpoint.failures.is_power_of_two() {
            let (what, failures) = (service.text(), endpoint.failures);
            let line = format!("provider '{provider}': {what} ({failures} in a row): {why}");
            env.context.log().log(Level::Error, &line);
        }
    }
}
