// SPDX-License-Identifier: MIT OR Apache-2.0
//! What requests that wait take of a proxy: shared memory, and time of those that do not wait.

use std::time::Duration;

use super::proxy::OpenSips;
use crate::proxies::USERS;
use crate::proxies::generator::{Generator, Outcome};
use crate::proxies::loads::{load, opaque};
use crate::proxies::message::Message;
use crate::proxies::process::Proxy;
use crate::proxies::server::Server;
use crate::proxies::times::Times;

/// Requests that wait at once while memory is looked at. They come within a tenth of a second, and are not repeated
/// before it was looked at.
const WAITING: usize = 400;
const WITHIN: f64 = 0.1;
const LOOK: Duration = Duration::from_millis(350);
/// How long the server takes meanwhile.
const DELAY: Duration = Duration::from_millis(800);
/// Requests that wait while OPTIONS are sent, and how long the server takes for each.
pub const CROWD: usize = 500;
const CROWD_DELAY: Duration = Duration::from_secs(1);
/// OPTIONS per second, and for how many seconds.
const OPTIONS: f64 = 200.0;
const SECONDS: f64 = 3.0;
/// Requests after which shared memory is to be as before.
pub const MANY: usize = 10_000;

/// Octets of shared memory for each request that waits.
#[derive(Clone, Copy)]
pub struct Memory {
    /// While it waits.
    pub waiting: f64,
    /// A second after the last answer.
    pub later: f64,
}

fn evenly(messages: Vec<Message>, seconds: f64) -> Vec<(f64, Message)> {
    let each = seconds / messages.len() as f64;
    messages.into_iter().enumerate().map(|(number, message)| (number as f64 * each, message)).collect()
}

/// Sends requests at their times while the server takes this long. All are answered with 200.
fn sent(
    proxy: &mut Proxy,
    server: &Server,
    delay: Duration,
    plan: &mut [(f64, Message)],
    source: u8,
) -> Result<Outcome, String> {
    server.set_delay(delay);
    let outcome = Generator::new(proxy.port, source)?.paced(plan, &mut |_, _| {});
    server.set_delay(Duration::ZERO);
    proxy.check()?;
    // A request that waits for longer than half a second is repeated.
    outcome?.expect_repeated(200, plan.len(), u64::MAX).map_err(|e| format!("{}: {e}\n{}", proxy.name, proxy.tail()))
}

/// Shared memory with some hundreds of requests waiting, and afterwards.
pub fn memory(one: &mut OpenSips, server: &Server, source: u8) -> Result<Memory, String> {
    one.mi.settle()?;
    let before = one.mi.shared_memory()?;
    let mi = &one.mi;
    let (looked, outcome) = std::thread::scope(|scope| {
        let look = scope.spawn(|| {
            std::thread::sleep(LOOK);
            mi.shared_memory()
        });
        let outcome = sent(&mut one.proxy, server, DELAY, &mut evenly(opaque(WAITING), WITHIN), source);
        (look.join().expect("looking does not panic"), outcome)
    });
    let (waiting, _) = (looked?, outcome?);
    std::thread::sleep(Duration::from_secs(1));
    let each = |memory: f64| (memory - before) / WAITING as f64;
    Ok(Memory { waiting: each(waiting), later: each(one.mi.shared_memory()?) })
}

/// Times of OPTIONS while a crowd waits, milliseconds; `beside` says whether it does.
pub fn options(one: &mut OpenSips, server: &Server, beside: bool, source: u8) -> Result<Times, String> {
    let count = (SECONDS * OPTIONS) as usize;
    let options = (0..count).map(|number| Message::options(number % USERS)).collect();
    let mut plan: Vec<(f64, Message, bool)> =
        evenly(options, SECONDS).into_iter().map(|(at, message)| (at, message, false)).collect();
    if beside {
        plan.extend(evenly(opaque(CROWD), 0.5).into_iter().map(|(at, message)| (at + 0.2, message, true)));
    }
    plan.sort_by(|a, b| a.0.total_cmp(&b.0));
    let waits: Vec<bool> = plan.iter().map(|(_, _, waits)| *waits).collect();
    let mut plan: Vec<(f64, Message)> = plan.into_iter().map(|(at, message, _)| (at, message)).collect();
    let outcome = sent(&mut one.proxy, server, CROWD_DELAY, &mut plan, source)?;
    let of_options = outcome.times.iter().filter(|(number, _)| !waits[*number]);
    Ok(Times::of(of_options.map(|(_, time)| *time).collect()))
}

/// How many octets of shared memory more are in use after many requests that waited than before.
pub fn left_over(one: &mut OpenSips, source: u8) -> Result<f64, String> {
    one.mi.settle()?;
    let before = one.mi.shared_memory()?;
    load(&mut one.proxy, &mut opaque(MANY), MANY, source)?;
    one.mi.settle()?;
    Ok(one.mi.shared_memory()? - before)
}
