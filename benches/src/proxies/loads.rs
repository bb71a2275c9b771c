// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loads of REGISTER requests, and what they cost a proxy.

use super::generator::Generator;
use super::keys::{Algorithm, Keys};
use super::message::{Message, next_cseq};
use super::process::Proxy;
use super::server::TOKEN;
use super::{USERS, WINDOW};

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
    /// Only the time, beside a plain REGISTER.
    pub fn of(cpu: f64, plain: Cost) -> Cost {
        Cost { cpu, faults: f64::NAN, plain: plain.cpu }
    }

    /// Beside another plain REGISTER.
    pub fn beside(self, plain: Cost) -> Cost {
        Cost { plain: plain.cpu, ..self }
    }
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

/// Answers per second with so many requests on their way, all of which need the server.
pub fn rate(proxy: &mut Proxy, count: usize, window: usize, source: u8) -> Result<f64, String> {
    let mut messages = opaque(count);
    let outcome = Generator::new(proxy.port, source)?.saturate(&mut messages, count, window, &mut |_, _| {})?;
    let outcome = outcome.expect(200, count).map_err(|e| format!("{}: {e}\n{}", proxy.name, proxy.tail()))?;
    proxy.check()?;
    Ok(count as f64 / outcome.took.as_secs_f64())
}
