// SPDX-License-Identifier: MIT OR Apache-2.0
//! The proxy has just been started, and all phones come back at once: each registers for the first time, one way or
//! another.

use super::digest::{first_requests, nonce_of, second_request};
use crate::proxies::WINDOW;
use crate::proxies::generator::{Generator, Outcome};
use crate::proxies::message::Message;
use crate::proxies::process::Proxy;
use crate::proxies::times::Times;

/// The registrations of all phones.
pub struct Morning {
    /// CPU of the proxy for each phone, microseconds.
    pub cpu: f64,
    /// Seconds until all were registered.
    pub took: f64,
    /// Memory of the proxy for each phone, octets.
    pub memory: f64,
    /// For each phone, milliseconds to the reply that registers it.
    pub times: Times,
}

/// How requests are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// As fast as they are answered.
    Full,
    /// Evenly, within so many seconds.
    Within(f64),
}

impl Pace {
    fn send(
        self,
        proxy: &Proxy,
        messages: Vec<Message>,
        heard: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<Outcome, String> {
        let (count, mut generator) = (messages.len(), Generator::new(proxy.port, 1)?);
        match self {
            Pace::Full => {
                let mut messages = messages;
                generator.saturate(&mut messages, count, WINDOW, heard)
            }
            Pace::Within(seconds) => {
                let at = |number: usize| seconds * number as f64 / count as f64;
                let mut plan: Vec<_> = messages.into_iter().enumerate().map(|(i, message)| (at(i), message)).collect();
                generator.paced(&mut plan, heard)
            }
        }
    }
}

/// Sends the requests of all phones, the same number in several turns, and looks at what that costs.
fn measured(
    proxy: &mut Proxy,
    phones: usize,
    send: &mut dyn FnMut(&mut Proxy) -> Result<Vec<Outcome>, String>,
) -> Result<Morning, String> {
    let (memory, cpu) = (proxy.memory()?, proxy.cpu()?);
    let outcomes = send(proxy)?;
    let (memory, cpu) = (proxy.memory()? - memory, proxy.cpu()? - cpu);
    proxy.check()?;
    let mut times = vec![0.0; phones];
    for (number, time) in outcomes.iter().flat_map(|outcome| &outcome.times) {
        times[*number] += time;
    }
    let took = outcomes.iter().map(|outcome| outcome.took.as_secs_f64()).sum();
    Ok(Morning { cpu: cpu / phones as f64, took, memory: memory / phones as f64, times: Times::of(times) })
}

/// All have this status. A phone whose reply is late sends its request again.
fn all(outcome: Outcome, status: u16, count: usize, proxy: &Proxy) -> Result<Outcome, String> {
    let all = outcome.expect_repeated(status, count, u64::MAX);
    all.map_err(|e| format!("{}: {e}\n{}", proxy.name, proxy.tail()))
}

/// Each phone with one request.
pub fn with_one(proxy: &mut Proxy, messages: &[Message], pace: Pace) -> Result<Morning, String> {
    let count = messages.len();
    measured(proxy, count, &mut |proxy| {
        let outcome = pace.send(proxy, messages.to_vec(), &mut |_, _| {})?;
        Ok(vec![all(outcome, 200, count, proxy)?])
    })
}

/// Each phone with a request that is challenged, and the answer.
pub fn with_passwords(proxy: &mut Proxy, phones: usize, pace: Pace) -> Result<Morning, String> {
    measured(proxy, phones, &mut |proxy| {
        let mut nonces = vec![String::new(); phones];
        let challenged =
            pace.send(proxy, first_requests(phones), &mut |number, reply| nonces[number] = nonce_of(reply))?;
        let challenged = all(challenged, 401, phones, proxy)?;
        let answers = nonces.iter().enumerate().map(|(user, nonce)| second_request(user, nonce)).collect();
        let answered = pace.send(proxy, answers, &mut |_, _| {})?;
        Ok(vec![challenged, all(answered, 200, phones, proxy)?])
    })
}
