// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a slow authorization server does: to those who need it, and to those who do not.

use crate::proxies::USERS;
use crate::proxies::generator::Generator;
use crate::proxies::loads::opaque;
use crate::proxies::message::Message;
use crate::proxies::process::Proxy;
use crate::proxies::times::Times;

/// Requests per second that need the server, beside others.
const ASKING: f64 = 30.0;
/// Requests per second that do not.
const BYSTANDERS: f64 = 1000.0;
/// Percentiles of the picture.
pub const PERCENTILES: [f64; 6] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9];

/// Times of requests that need no server, for some seconds; beside requests that do, or without.
pub fn bystanders(proxy: &mut Proxy, seconds: f64, beside: bool, source: u8) -> Result<Times, String> {
    let count = (seconds * BYSTANDERS) as usize;
    let mut plan: Vec<(f64, Message)> =
        (0..count).map(|i| (i as f64 / BYSTANDERS, Message::register(i % USERS, "", ""))).collect();
    let mut asking = vec![false; count];
    if beside {
        let messages = opaque((seconds * ASKING) as usize);
        // Between two others each, and not those of a user whose registration is on its way.
        for (number, message) in messages.into_iter().enumerate() {
            let at = number as f64 / ASKING + 0.5 / BYSTANDERS;
            let place = plan.partition_point(|(other, _)| *other < at);
            plan.insert(place, (at, message));
            asking.insert(place, true);
        }
    }
    let count = plan.len();
    let outcome = Generator::new(proxy.port, source)?.paced(&mut plan, &mut |_, _| {})?;
    if outcome.statuses.get(&200).copied() != Some(count as u64) {
        return Err(format!("{}: {:?}, {} lost", proxy.name, outcome.statuses, outcome.lost));
    }
    proxy.check()?;
    let of_others = outcome.times.iter().filter(|(number, _)| !asking[*number]);
    Ok(Times::of(of_others.map(|(_, time)| *time).collect()))
}

/// What became of requests that came faster than the server can answer.
pub struct Overload {
    /// Accepted.
    pub accepted: u64,
    /// Refused with 503.
    pub refused: u64,
    /// Without any answer.
    pub lost: u64,
}

/// Sends so many requests per second, for some seconds. An error when something else came back
/// than 200 or 503, or a process has died.
pub fn overload(proxy: &mut Proxy, rate: f64, seconds: f64, source: u8) -> Result<Overload, String> {
    let messages = opaque((rate * seconds) as usize);
    let mut plan: Vec<(f64, Message)> =
        messages.into_iter().enumerate().map(|(number, message)| (number as f64 / rate, message)).collect();
    let outcome = Generator::new(proxy.port, source)?.paced(&mut plan, &mut |_, _| {})?;
    proxy.check()?;
    let count = |status| outcome.statuses.get(&status).copied().unwrap_or(0);
    let (accepted, refused) = (count(200), count(503));
    if accepted + refused != outcome.statuses.values().sum::<u64>() || accepted == 0 {
        return Err(format!("{}: {:?}", proxy.name, outcome.statuses));
    }
    Ok(Overload { accepted, refused, lost: outcome.lost })
}
