// SPDX-License-Identifier: MIT OR Apache-2.0
//! One round: every proxy is loaded once, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use super::generator::Generator;
use super::keys::{Algorithm, Keys};
use super::message::{Message, next_cseq};
use super::phones::Phones;
use super::proxy::Proxy;
use super::server::TOKEN;
use super::site::Site;
use super::{USERS, WINDOW, digest};

/// Requests in one load of a proxy that answers fast, and of one that is slower.
const FAST: usize = 20_000;
const SLOW: usize = 5_000;
/// RS256 tokens take long to make, Kamailio's jwt module long to verify.
const SLOWEST: usize = 2_000;

/// What a request costs a proxy.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Microseconds of CPU.
    pub cpu: f64,
    /// Page faults; not a number where they were not counted.
    pub faults: f64,
    /// Microseconds of CPU of the plain REGISTER that was measured right before it.
    pub plain: f64,
}

impl Cost {
    fn of(cpu: f64, plain: Cost) -> Cost {
        Cost { cpu, faults: f64::NAN, plain: plain.cpu }
    }

    fn beside(self, plain: Cost) -> Cost {
        Cost { plain: plain.cpu, ..self }
    }
}

/// By what was measured.
pub type Costs = BTreeMap<&'static str, Cost>;

/// What stays the same over all rounds.
pub struct Loads {
    /// The messages with tokens that are verified once.
    cached: Vec<Message>,
    /// The phones with keys.
    phones: Phones,
    serial: u64,
}

/// REGISTER of a user with a token.
pub fn bearer(user: usize, token: &str) -> Message {
    Message::register(user, &format!("Authorization: Bearer {token}\r\n"), "")
}

/// Tokens that nobody has seen yet, made by two threads.
pub fn new_tokens(keys: &Keys, algorithm: Algorithm, count: usize, first: u64) -> Vec<Message> {
    tokens_of(keys, algorithm, USERS, count, first)
}

/// The same for so many users.
pub fn tokens_of(keys: &Keys, algorithm: Algorithm, users: usize, count: usize, first: u64) -> Vec<Message> {
    let some = |from: usize, to: usize| -> Vec<Message> {
        (from..to).map(|i| bearer(i % users, &keys.token(algorithm, i % users, first + i as u64))).collect()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| some(0, count / 2));
        let mine = some(count / 2, count);
        let mut all = other.join().expect("making tokens does not panic");
        all.extend(mine);
        all
    })
}

/// Messages with opaque tokens that nobody has seen yet.
pub fn opaque(count: usize) -> Vec<Message> {
    (0..count).map(|i| bearer(i % USERS, &format!("{TOKEN}{}-{:024x}", i % USERS, next_cseq()))).collect()
}

/// Loads a proxy and returns what a request costs.
pub fn load(proxy: &mut Proxy, messages: &mut [Message], count: usize, source: u8) -> Result<Cost, String> {
    let mut generator = Generator::new(proxy.port, source)?;
    let (cpu, faults) = (proxy.cpu()?, proxy.faults()?);
    let outcome = generator.saturate(messages, count, WINDOW, &mut |_, _| {})?;
    let (cpu, faults) = (proxy.cpu()? - cpu, proxy.faults()? - faults);
    outcome.expect(200, count).map_err(|e| format!("{}: {e}\n{}", proxy.name, proxy.tail()))?;
    proxy.check()?;
    let each = |value: f64| value / count as f64;
    Ok(Cost { cpu: each(cpu), faults: each(faults), plain: each(cpu) })
}

impl Loads {
    /// Makes the messages, signs the phones in, and lets every proxy learn what it remembers.
    pub fn prepare(site: &mut Site, progress: &mut dyn FnMut(&str)) -> Result<Loads, String> {
        progress("making tokens");
        let cached = new_tokens(site.server.keys(), Algorithm::Rs256, USERS, 0);
        // A proof must be younger than the proxy's memory of proofs, and a Date counts whole seconds.
        std::thread::sleep(Duration::from_millis(1100));
        progress("signing phones in");
        let phones = Phones::sign_in(&mut site.pop, USERS, 1)?;
        let mut loads = Loads { cached, phones, serial: USERS as u64 };
        progress("warming up");
        load(&mut site.plain, &mut loads.cached, USERS, 1)?;
        load(&mut site.cached, &mut loads.cached, USERS, 1)?;
        if let Some(proxy) = &mut site.cached_before {
            // Each of its two workers must have seen each token: after ten tries of each, one in a thousand is new to one.
            load(proxy, &mut loads.cached, USERS * 10, 1)?;
        }
        let mut messages = loads.phones.messages()?;
        load(&mut site.pop, &mut messages, USERS, 1)?;
        load(&mut site.plain, &mut messages, USERS, 1)?;
        digest::register(&mut site.digest, USERS, 1)?;
        if let Some(proxy) = &mut site.auth_db {
            digest::register(proxy, USERS, 1)?;
        }
        load(&mut site.opaque, &mut opaque(SLOWEST), SLOWEST, 1)?;
        Ok(loads)
    }

    /// Measures all once. `source` is the number of the loopback address that the load comes from.
    pub fn round(&mut self, site: &mut Site, source: u8) -> Result<Costs, String> {
        let mut costs = Costs::new();
        let mut rs256 = new_tokens(site.server.keys(), Algorithm::Rs256, SLOW + SLOWEST, self.serial);
        self.serial += (SLOW + SLOWEST) as u64;
        let mut es256 = new_tokens(site.server.keys(), Algorithm::Es256, SLOW * 2 + SLOWEST, self.serial);
        self.serial += (SLOW * 2 + SLOWEST) as u64;

        let plain = load(&mut site.plain, &mut self.cached, FAST, source)?;
        costs.insert("plain", plain);
        costs.insert("cached", load(&mut site.cached, &mut self.cached, FAST, source)?.beside(plain));
        if let Some(proxy) = &mut site.cached_before {
            costs.insert("cached_before", load(proxy, &mut self.cached, FAST, source)?.beside(plain));
        }
        let cost = digest::register(&mut site.digest, FAST / 2, source)?;
        costs.insert("digest challenge", Cost::of(cost.challenge, plain));
        costs.insert("digest answer", Cost::of(cost.answer, plain));
        costs.insert("digest", Cost::of(cost.challenge + cost.answer, plain));
        if let Some(proxy) = &mut site.auth_db {
            let cost = digest::register(proxy, FAST / 2, source)?;
            costs.insert("auth_db", Cost::of(cost.challenge + cost.answer, plain));
        }
        let plain = load(&mut site.plain, &mut self.cached, FAST, source)?;
        costs.insert("rs256", load(&mut site.rs256, &mut rs256[..SLOW], SLOW, source)?.beside(plain));
        if let Some(proxy) = &mut site.rs256_before {
            costs.insert("rs256_before", load(proxy, &mut rs256[..SLOW], SLOW, source)?.beside(plain));
        }
        costs.insert("es256", load(&mut site.es256, &mut es256[..SLOW * 2], SLOW * 2, source)?.beside(plain));
        for (name, proxy, tokens) in [
            ("jwt_rs256", &mut site.jwt_rs256, &mut rs256[SLOW..]),
            ("jwt_es256", &mut site.jwt_es256, &mut es256[SLOW * 2..]),
        ] {
            if let Some(proxy) = proxy {
                costs.insert(name, load(proxy, tokens, SLOWEST, source)?.beside(plain));
            }
        }
        let mut proofs = self.phones.messages()?;
        let without = load(&mut site.plain, &mut proofs, USERS, source)?;
        costs.insert("pop unchecked", without.beside(plain));
        costs.insert("pop", load(&mut site.pop, &mut proofs, USERS, source)?.beside(without));

        site.server.set_delay(Duration::ZERO);
        let plain = load(&mut site.plain, &mut self.cached, FAST, source)?;
        costs.insert("opaque", load(&mut site.opaque, &mut opaque(SLOW), SLOW, source)?.beside(plain));
        if let Some(proxy) = &mut site.http_client {
            costs.insert("http_client", load(proxy, &mut opaque(SLOW), SLOW, source)?.beside(plain));
        }
        Ok(costs)
    }
}
