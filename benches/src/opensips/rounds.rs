// SPDX-License-Identifier: MIT OR Apache-2.0
//! One round: every proxy is loaded once, one after the other; what is compared closely, several times in turn.

use std::collections::BTreeMap;

use super::proxy::OpenSips;
use super::site::Site;
use crate::proxies::USERS;
use crate::proxies::keys::Algorithm;
use crate::proxies::loads::{load, new_tokens, opaque, rate};
use crate::proxies::message::Message;
use crate::proxies::server::slowly;

/// Requests with new signed tokens: ours, and for auth_jwt, which takes long.
const SIGNED: usize = 4_000;
const SIGNED_SLOW: usize = 1_000;
/// Requests in one of several turns: as many as at the benches' Kamailio, so that each known token comes twice.
const TURN: usize = 20_000;
const TURNS: usize = 2;
/// Requests that wait, in one of several turns.
const WAITING_TURN: usize = 2_000;
const WAITING_TURNS: usize = 4;
/// Requests of ours that ask a slow server at once: more than the threads that may ask one provider, and fewer than what fits
/// into the buffer of a socket.
const ASKING: usize = 200;

/// Microseconds of CPU per request, by the proxy's name.
pub type Costs = BTreeMap<&'static str, f64>;

/// Requests per second at an endpoint that takes 50 ms.
pub struct Rates {
    /// Our check.
    pub ours: f64,
    /// rest_client, with waiting workers.
    pub blocking: Option<f64>,
    /// rest_client in async().
    pub suspended: Option<f64>,
}

/// What stays the same over all rounds.
pub struct Loads {
    known: Vec<Message>,
    serial: u64,
}

fn cost(one: &mut OpenSips, messages: &mut [Message], source: u8) -> Result<f64, String> {
    let count = messages.len();
    load(&mut one.proxy, messages, count, source).map(|cost| cost.cpu)
}

impl Loads {
    /// Makes the messages with tokens that stay the same, and lets every proxy see each kind of request.
    pub fn prepare(site: &mut Site) -> Result<Loads, String> {
        let mut known = new_tokens(site.server.keys(), Algorithm::Rs256, USERS, 0);
        for one in [&mut site.answered, &mut site.checked, &mut site.saved, &mut site.saved_checked] {
            cost(one, &mut known, 1)?;
        }
        for one in [&mut site.parked, &mut site.suspended] {
            cost(one, &mut opaque(WAITING_TURN), 1)?;
        }
        for one in [&mut site.rest_client, &mut site.rest_client_async].into_iter().flatten() {
            cost(one, &mut opaque(SIGNED_SLOW), 1)?;
        }
        Ok(Loads { known, serial: USERS as u64 })
    }

    /// What a request costs at each proxy. `source` is the number of the loopback address that the load comes from.
    pub fn costs(&mut self, site: &mut Site, source: u8) -> Result<Costs, String> {
        let mut costs = Costs::new();
        let mut signed = new_tokens(site.server.keys(), Algorithm::Rs256, SIGNED + SIGNED_SLOW, self.serial);
        self.serial += signed.len() as u64;
        let (ours, theirs) = signed.split_at_mut(SIGNED);
        costs.insert("checked", cost(&mut site.checked, ours, source)?);
        if let Some(one) = &mut site.auth_jwt {
            costs.insert("auth_jwt", cost(one, theirs, source)?);
        }
        costs.insert("answered", cost(&mut site.answered, ours, source)?);
        for turn in 0..TURNS {
            let pair = [("saved", &mut site.saved), ("saved_checked", &mut site.saved_checked)];
            in_turn(turn, pair, &mut |name, one| {
                let cost = load(&mut one.proxy, &mut self.known, TURN, source)?.cpu;
                *costs.entry(name).or_default() += cost / TURNS as f64;
                Ok(())
            })?;
        }
        for turn in 0..WAITING_TURNS {
            let pair = [("parked", &mut site.parked), ("suspended", &mut site.suspended)];
            in_turn(turn, pair, &mut |name, one| {
                let cost = cost(one, &mut opaque(WAITING_TURN), source)?;
                *costs.entry(name).or_default() += cost / WAITING_TURNS as f64;
                Ok(())
            })?;
        }
        for (name, one) in [("rest_client", &mut site.rest_client), ("rest_client_async", &mut site.rest_client_async)]
        {
            if let Some(one) = one {
                costs.insert(name, cost(one, &mut opaque(WAITING_TURN), source)?);
            }
        }
        Ok(costs)
    }
}

/// One turn of two proxies. Each is the first as often as the other.
fn in_turn(
    turn: usize,
    mut pair: [(&'static str, &mut OpenSips); 2],
    run: &mut dyn FnMut(&'static str, &mut OpenSips) -> Result<(), String>,
) -> Result<(), String> {
    if turn % 2 == 1 {
        pair.reverse();
    }
    pair.into_iter().try_for_each(|(name, one)| run(name, one))
}

/// How many requests each proxy can ask about in a second.
pub fn rates(site: &mut Site, source: u8) -> Result<Rates, String> {
    let server = &site.server;
    let theirs = |one: &mut Option<OpenSips>, count, window| {
        let asked = one.as_mut().map(|one| slowly(server, || rate(&mut one.proxy, count, window, source)));
        asked.transpose()
    };
    Ok(Rates {
        ours: slowly(server, || rate(&mut site.parked.proxy, 4000, ASKING, source))?,
        blocking: theirs(&mut site.rest_client, 80, 16)?,
        suspended: theirs(&mut site.rest_client_async, 1000, 100)?,
    })
}
