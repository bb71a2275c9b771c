// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many sign-ins at once.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::browser::{Connection, STEPS};
use super::site::Site;
use crate::proxies::USERS;
use crate::proxies::times::Times;

/// Distance between the users of two sign-ins, so that those with phones come as often as those without.
const STRIDE: usize = 7919;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections, each of which has one sign-in at once.
    pub connections: usize,
    /// Sign-ins.
    pub count: usize,
    /// How many begin in a second; None: as soon as a connection is free.
    pub per_second: Option<f64>,
}

/// How it went.
pub struct Outcome {
    /// Of each step.
    pub steps: [Times; STEPS.len()],
    /// From the time at which a sign-in was to begin to the page of phones.
    pub whole: Times,
    /// Sign-ins in a second.
    pub rate: f64,
    /// CPU of the page for a sign-in, microseconds.
    pub cpu: f64,
}

/// Signs users in; `first` is the number of the first sign-in. All must succeed.
pub fn run(site: &mut Site, plan: Plan, first: usize) -> Result<Outcome, String> {
    let port = site.process.port;
    let connections: Result<Vec<Connection>, String> = (0..plan.connections).map(|_| Connection::new(port)).collect();
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(plan.count)));
    let cpu = site.process.cpu()?;
    let begun = Instant::now();
    let one = |connection: &mut Connection, number: usize| -> Result<([f64; STEPS.len()], f64), String> {
        let due = begun + plan.per_second.map_or(Duration::ZERO, |pace| Duration::from_secs_f64(number as f64 / pace));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let from = if plan.per_second.is_some() { due } else { Instant::now() };
        let serial = first + number;
        // Each browser has an address of its own.
        let source = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + serial as u32 % (1 << 24));
        let steps = connection.sign_in(serial * STRIDE % USERS, source)?;
        Ok((steps, from.elapsed().as_secs_f64() * 1000.0))
    };
    let work = |mut connection: Connection| -> Result<(), String> {
        let mut own = Vec::new();
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= plan.count {
                break;
            }
            let done = one(&mut connection, number);
            if done.is_err() {
                // The others need not go on.
                next.store(plan.count, Relaxed);
            }
            own.push(done?);
        }
        all.lock().map_err(|_| "a thread has ended")?.extend(own);
        Ok(())
    };
    let (connections, work) = (connections?, &work);
    std::thread::scope(|scope| {
        let threads: Vec<_> = connections.into_iter().map(|connection| scope.spawn(move || work(connection))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread has ended".to_owned())?)
    })
    .map_err(|e| format!("{e}\n{}", site.process.tail()))?;
    let took = begun.elapsed().as_secs_f64();
    let cpu = (site.process.cpu()? - cpu) / plan.count as f64;
    site.process.check()?;
    let all = all.into_inner().map_err(|_| "a thread has ended")?;
    let steps = std::array::from_fn(|step| Times::of(all.iter().map(|(steps, _)| steps[step]).collect()));
    let whole = Times::of(all.iter().map(|(_, whole)| *whole).collect());
    Ok(Outcome { steps, whole, rate: plan.count as f64 / took, cpu })
}
