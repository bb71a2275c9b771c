// SPDX-License-Identifier: MIT OR Apache-2.0
//! One turn of a proxy: some phones register with a request that is challenged and its answer, and twice more with the same
//! nonce.

use std::time::Duration;

use super::phones::Phones;
use super::site::Site;
use crate::kamailio::digest::nonce_of;
use crate::proxies::WINDOW;
use crate::proxies::generator::Generator;
use crate::proxies::message::Message;

/// Until what the requests leave behind is done: the store is told of them later.
const SETTLE: Duration = Duration::from_millis(300);

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many in a second, evenly.
    PerSecond(u32),
    /// As fast as they are answered.
    Full,
}

/// CPU for one request, microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Of the proxy.
    pub proxy: f64,
    /// Of the database server.
    pub database: f64,
}

/// What the four requests of a phone cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// Without credentials.
    pub challenge: Cost,
    /// The first answer. The store is told of the use.
    pub answer: Cost,
    /// The same nonce again; nothing is new about the use.
    pub again: Cost,
    /// And once more; the store is told of the use.
    pub noted: Cost,
}

/// What loads a proxy, round after round.
pub struct Loader {
    generator: Generator,
    next_user: usize,
    /// Copies that were sent because the answer took half a second.
    pub repeated: u64,
}

impl Loader {
    /// For this proxy. `source` is the number of the loopback address that the phones are at.
    pub fn new(site: &Site, source: u8) -> Result<Loader, String> {
        Ok(Loader { generator: Generator::new(site.proxy.port, source)?, next_user: 0, repeated: 0 })
    }

    /// Registers the next `count` phones. `round` is in the name by which they call themselves, so that this use is unlike
    /// the last one: real phones come again when a minute has passed, and are noted, too.
    pub fn turn(
        &mut self,
        site: &mut Site,
        phones: &Phones,
        count: usize,
        pace: Pace,
        round: usize,
    ) -> Result<Turn, String> {
        let users: Vec<usize> = (0..count).map(|i| (self.next_user + i) % phones.len()).collect();
        self.next_user = (self.next_user + count) % phones.len();
        let (first, last) = (agent(round, 1), agent(round, 2));
        let mut nonces = vec![String::new(); count];
        let messages = users.iter().map(|user| Phones::first(*user, &first)).collect();
        let challenge =
            self.send(site, messages, pace, 401, Duration::ZERO, &mut |i, reply| nonces[i] = nonce_of(reply))?;
        let mut answers = |nonce_count, agent: &str, settle| {
            let numbered = users.iter().zip(&nonces);
            let messages = numbered.map(|(user, nonce)| phones.answer(*user, nonce, nonce_count, agent)).collect();
            self.send(site, messages, pace, 200, settle, &mut |_, _| {})
        };
        let answer = answers(1, &first, SETTLE)?;
        let again = answers(2, &first, SETTLE)?;
        let noted = answers(3, &last, SETTLE)?;
        site.proxy.check()?;
        Ok(Turn { challenge, answer, again, noted })
    }

    fn send(
        &mut self,
        site: &mut Site,
        messages: Vec<Message>,
        pace: Pace,
        status: u16,
        settle: Duration,
        heard: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<Cost, String> {
        let count = messages.len();
        let before = site.cpu()?;
        let outcome = match pace {
            Pace::Full => {
                let mut messages = messages;
                self.generator.saturate(&mut messages, count, WINDOW, heard)?
            }
            Pace::PerSecond(number) => {
                let at = |i: usize| i as f64 / f64::from(number);
                let mut plan: Vec<_> = messages.into_iter().enumerate().map(|(i, message)| (at(i), message)).collect();
                self.generator.paced(&mut plan, heard)?
            }
        };
        std::thread::sleep(settle);
        let after = site.cpu()?;
        self.repeated += outcome.repeated;
        let most = if pace == Pace::Full { 0 } else { u64::MAX };
        let outcome = outcome.expect_repeated(status, count, most);
        outcome.map_err(|e| format!("{}: {e}\n{}", site.proxy.name, site.proxy.tail()))?;
        let each = |before: f64, after: f64| (after - before) / count as f64;
        Ok(Cost { proxy: each(before.0, after.0), database: each(before.1, after.1) })
    }
}

/// How phones call themselves in a round: for the first registration, and for the last.
pub fn agent(round: usize, part: u8) -> String {
    format!("Desk Phone 1.{round}.{part}")
}
