// SPDX-License-Identifier: MIT OR Apache-2.0
//! One round: every proxy is loaded once, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use super::digest;
use super::phones::Phones;
use super::site::Site;
use crate::proxies::USERS;
use crate::proxies::keys::Algorithm;
use crate::proxies::loads::{Cost, load, new_tokens, opaque};
use crate::proxies::message::Message;

/// Requests in one load of a proxy that answers fast, and of one that is slower.
const FAST: usize = 20_000;
const SLOW: usize = 5_000;
/// RS256 tokens take long to make, Kamailio's jwt module long to verify.
const SLOWEST: usize = 2_000;

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
