// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time that a check takes with many sessions, beside one HMAC in the same round.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sipoauth::process::context::Context;
use sipoauth::worker::{Handling, Worker};
use sipoauth_core::check::Carried;
use sipoauth_core::reason::Reason;

use super::load::{TOKEN_LIFE, read_all};
use super::phones::{Phone, Random, Sip};
use super::site::{now, worker};
use crate::rounds::Spread;

/// Requests that are made in advance, as if they had just been received, and checked in a second of the proxy's time. Few
/// enough for most batches to be finished before another process gets the processor.
const BATCH: u64 = 32;
/// Batches of one kind in a round.
const BATCHES: usize = 64;
/// Seconds between two sweeps of the replay guard, as in the I/O service.
const SWEEP: i64 = 300;

/// What a phone sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A proof of possession in the header.
    Proof,
    /// A proof of possession in the body.
    ProofInBody,
    /// A token that the worker has seen before.
    Token,
}

impl Kind {
    /// The request of a phone, the `count`th at this time of the proxy, with a token that is good until then.
    pub fn request(self, number: u64, time: i64, count: u64, end_of_tokens: i64) -> Sip {
        let phone = Phone::new(number);
        let mut sip = phone.register(time, count);
        match self {
            Kind::Proof => phone.prove(sip),
            Kind::ProofInBody => phone.prove_in_body(sip),
            Kind::Token => {
                sip.credential = format!("Bearer {}", phone.bearer_token(end_of_tokens));
                sip
            }
        }
    }

    /// What its requests carry.
    pub fn carried(self) -> Carried {
        if self == Kind::Token { Carried::Token } else { Carried::Proof }
    }
}

/// Has a worker check a request that is good, at a time of the proxy.
pub fn check(worker: &mut Worker, sip: &Sip, carried: Carried, time: i64) -> Result<(), String> {
    let handling = Handling { source: "192.0.2.7", now: Some(time), ..Handling::default() };
    let verdict = black_box(sip.read(|request| worker.check(request, &handling)));
    match verdict.answer.reason {
        Some(Reason::Ok) if verdict.answer.carried == carried && verdict.status == 200 => Ok(()),
        reason => Err(format!("a request that is good had {reason:?}")),
    }
}

/// A proxy with so many sessions, or so many tokens that its worker has seen.
pub struct Proxy {
    context: Arc<Context>,
    worker: Worker,
    phones: u64,
    random: Random,
    time: i64,
    swept: i64,
    count: u64,
    end_of_tokens: i64,
    mark: String,
}

impl Proxy {
    /// One of which every session has been used before.
    pub fn with_sessions(context: Arc<Context>, phones: u64) -> Result<Proxy, String> {
        read_all(&context, phones)?;
        Proxy::new(context, phones)
    }

    /// One whose worker has seen the tokens of so many phones. `tell` hears of each.
    pub fn with_tokens(context: Arc<Context>, phones: u64, tell: &dyn Fn()) -> Result<Proxy, String> {
        let mut proxy = Proxy::new(context, phones)?;
        for number in 0..phones {
            let sip = proxy.request(Kind::Token, number);
            proxy.check(&sip, Carried::Token)?;
            tell();
        }
        Ok(proxy)
    }

    fn new(context: Arc<Context>, phones: u64) -> Result<Proxy, String> {
        // Proofs that are dated before the start are refused.
        let time = now() + 2;
        let worker = worker(&context)?;
        let end_of_tokens = time + TOKEN_LIFE;
        let mark = format!("{phones}");
        Ok(Proxy {
            context,
            worker,
            phones,
            random: Random::new(phones),
            time,
            swept: time,
            count: 0,
            end_of_tokens,
            mark,
        })
    }

    fn request(&mut self, kind: Kind, number: u64) -> Sip {
        self.count += 1;
        kind.request(number, self.time, self.count, self.end_of_tokens)
    }

    fn check(&mut self, sip: &Sip, carried: Carried) -> Result<(), String> {
        check(&mut self.worker, sip, carried, self.time).map_err(|e| format!("with {} phones {e}", self.mark))
    }

    /// Microseconds of a check, the median of some batches.
    pub fn measure(&mut self, kind: Kind) -> Result<f64, String> {
        let carried = kind.carried();
        let mut times = Vec::new();
        for _ in 0..BATCHES {
            self.time += 1;
            let mut batch = Vec::new();
            for _ in 0..BATCH {
                let number = self.random.number() % self.phones;
                batch.push(self.request(kind, number));
            }
            let start = Instant::now();
            for sip in &batch {
                self.check(sip, carried)?;
            }
            times.push(start.elapsed().as_secs_f64() * 1e6 / BATCH as f64);
            if self.time - self.swept >= SWEEP {
                self.swept = self.time;
                self.context.arena().replay_guard().sweep(SWEEP, self.time);
            }
        }
        Ok(Spread::of(&times).median)
    }
}

/// Microseconds of one HMAC-SHA256 of 300 octets, the median of some batches.
pub fn hmac_of_300() -> f64 {
    let (mut key, message) = ([7u8; 32], [9u8; 300]);
    let mut times = Vec::new();
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..BATCH {
            let mut mac = Hmac::<Sha256>::new_from_slice(black_box(&key)).expect("a key of any length");
            mac.update(black_box(&message));
            // Each depends on the one before, as in a proxy that does something else in between.
            key.copy_from_slice(&mac.finalize().into_bytes());
        }
        times.push(start.elapsed().as_secs_f64() * 1e6 / BATCH as f64);
    }
    Spread::of(&times).median
}
