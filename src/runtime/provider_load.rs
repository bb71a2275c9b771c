// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the authorization servers do for phones at present, and whether one is left alone for a while.

use std::collections::HashMap;

use super::exchange_task::TaskEnv;
use super::pool::Pool;
use super::service::Event;
use super::{PATIENCE, now_millis};
use crate::arena::counters::Counter;
use crate::engine::breaker::Breaker;
use crate::ports::Level;

/// What a server is asked for. Each has an endpoint of its own, which works or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Codes are exchanged.
    Exchange,
    /// Tokens are introspected.
    Introspection,
}

impl Service {
    fn counter(self) -> Counter {
        match self {
            Service::Exchange => Counter::ExchangeErrors,
            Service::Introspection => Counter::IntrospectionErrors,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Service::Exchange => "a code cannot be exchanged",
            Service::Introspection => "a token cannot be introspected",
        }
    }
}

/// How a thread's try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server was not asked.
    Unused,
    /// It did its work.
    Well,
    /// It answered, but the answer is of no use: it need not be left alone.
    Refused,
    /// It did not answer, or not as it should.
    Badly,
}

struct Endpoint {
    breaker: Breaker,
    failures: u32,
}

#[derive(Default)]
struct Load {
    running: usize,
    exchange: Endpoint,
    introspection: Endpoint,
}

impl Default for Endpoint {
    fn default() -> Endpoint {
        Endpoint { breaker: Breaker::new(PATIENCE), failures: 0 }
    }
}

impl Load {
    fn of(&mut self, service: Service) -> &mut Endpoint {
        match service {
            Service::Exchange => &mut self.exchange,
            Service::Introspection => &mut self.introspection,
        }
    }
}

/// By the provider's name.
#[derive(Default)]
pub struct Loads {
    providers: HashMap<String, Load>,
    running: usize,
}

impl Loads {
    fn of(&mut self, provider: &str) -> &mut Load {
        if !self.providers.contains_key(provider) {
            self.providers.insert(provider.to_owned(), Load::default());
        }
        self.providers.get_mut(provider).expect("it is there now")
    }

    /// Whether there is a thread for more work at this provider: some are left for others, for keys and for the store.
    pub fn has_room(&mut self, env: &TaskEnv, pool: &Pool<Event>, provider: &str) -> bool {
        self.running < pool.for_phones() && self.of(provider).running < env.policy.settings.http_per_provider as usize
    }

    /// Whether the server may be asked; if not, it did not answer lately.
    pub fn may_ask(&mut self, env: &TaskEnv, provider: &str, service: Service, now: i64) -> bool {
        self.of(provider).of(service).breaker.check(now, env.claim_time()).is_ok()
    }

    /// It was not asked after all.
    pub fn not_asked(&mut self, provider: &str, service: Service) {
        self.of(provider).of(service).breaker.unused();
    }

    /// A thread has begun.
    pub fn begun(&mut self, provider: &str) {
        self.of(provider).running += 1;
        self.running += 1;
    }

    /// A thread is free again. What failed is counted, and logged the first time and then at every power of two: an
    /// outage of a day is some lines, not thousands. `why` is what the log may know; empty: it knows already.
    pub fn ended(&mut self, env: &TaskEnv, provider: &str, service: Service, ended: Ended, why: &str) {
        self.running = self.running.saturating_sub(1);
        let load = self.of(provider);
        load.running = load.running.saturating_sub(1);
        let endpoint = load.of(service);
        match ended {
            Ended::Unused => return endpoint.breaker.unused(),
            Ended::Well => {
                endpoint.breaker.succeeded();
                endpoint.failures = 0;
                return;
            }
            Ended::Refused => endpoint.breaker.succeeded(),
            Ended::Badly => endpoint.breaker.failed(now_millis(), why),
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
