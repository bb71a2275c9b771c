// SPDX-License-Identifier: MIT OR Apache-2.0
//! Workers that check requests at the same time, in threads or in processes, with one shared memory and one store or
//! each with its own. As in a proxy, nothing but the configuration is read before the fork, so all work is done in
//! children.

use std::io::{Read as _, Write as _, pipe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sipoauth::process::context::Context;
use sipoauth_bench::scale::checks::{Kind, check};
use sipoauth_bench::scale::load::{TOKEN_LIFE, sign_in};
use sipoauth_bench::scale::phones::{Random, RefreshToken, Sip};
use sipoauth_bench::scale::site::{Folder, MANY_PROOFS, context, now, worker};
use sipoauth_core::check::Carried;

/// Phones whose tokens or sessions are known.
pub const PHONES: u64 = 10_000;
/// Seconds of the proxy's time between two measurements of proofs.
const STEP: i64 = 60;
/// Seconds for which a proof is good.
const WINDOW: i64 = 300;
/// From the decision to begin until all begin.
const BEGIN: Duration = Duration::from_millis(30);

/// Where workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All in one process.
    Threads,
    /// Each in a process of its own, as in Kamailio.
    Processes,
}

/// A proxy, and the folder of its store.
pub struct Site {
    context: Arc<Context>,
    time: i64,
    _folder: Folder,
}

impl Site {
    /// One that knows the tokens and sessions of all phones.
    pub fn new(name: &str) -> Result<Site, String> {
        let folder = Folder::new(name)?;
        let context = context(&folder.store(), PHONES as usize * 2, MANY_PROOFS)?;
        // Proofs that are dated before the start are refused.
        let site = Site { context, time: now() + 2, _folder: folder };
        child(|| site.fill())?.result().map(|_| site)
    }

    fn fill(&self) -> Result<f64, String> {
        sign_in(&self.context, PHONES, RefreshToken::Jwt, &|| ())?;
        let mut worker = worker(&self.context)?;
        for number in 0..PHONES {
            check(&mut worker, &self.request(Kind::Token, number, 0, self.time), Carried::Token, self.time)?;
        }
        Ok(0.0)
    }

    fn request(&self, kind: Kind, number: u64, count: u64, time: i64) -> Sip {
        kind.request(number, time, count, self.time + TOKEN_LIFE)
    }
}

/// Makes a worker, waits for the beginning, checks, and returns the seconds that it took.
fn work(site: &Site, requests: &[Sip], carried: Carried, time: i64, begin: Instant) -> Result<f64, String> {
    let mut worker = worker(&site.context)?;
    // What a worker does once is not what is measured.
    check(&mut worker, &requests[0], carried, time)?;
    while Instant::now() < begin {
        std::hint::spin_loop();
    }
    let start = Instant::now();
    requests[1..].iter().try_for_each(|sip| check(&mut worker, sip, carried, time))?;
    Ok(start.elapsed().as_secs_f64())
}

/// Checks of all workers in a second, if each checks `count` requests. The workers take the sites in turn. `serial` is a
/// number that no other call has.
pub fn throughput(
    sites: &[&Site],
    workers: usize,
    place: Place,
    kind: Kind,
    count: usize,
    serial: u64,
) -> Result<f64, String> {
    let mut random = Random::new(serial);
    // The replay guard has room for the proofs of some minutes.
    let later = if kind == Kind::Proof { serial as i64 * STEP } else { 0 };
    let time = |site: &Site| site.time + later;
    sites.iter().for_each(|site| site.context.arena().replay_guard().sweep(WINDOW, time(site)));
    let mut requests = |worker: usize| -> Vec<Sip> {
        let site = sites[worker % sites.len()];
        let first = (serial * 64 + worker as u64) * (count as u64 + 1);
        (0..=count as u64).map(|i| site.request(kind, random.number() % PHONES, first + i + 1, time(site))).collect()
    };
    let all: Vec<(&Site, Vec<Sip>)> = (0..workers).map(|i| (sites[i % sites.len()], requests(i))).collect();
    let begin = Instant::now() + BEGIN * workers as u32;
    let per_second = |time: f64| count as f64 / time;
    let in_threads = || {
        std::thread::scope(|scope| {
            let run = |(site, requests)| scope.spawn(move || work(site, requests, kind.carried(), time(site), begin));
            let threads: Vec<_> = all.iter().map(|(site, requests)| run((*site, requests))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a check does not panic").map(per_second)).sum()
        })
    };
    match place {
        Place::Threads => child(in_threads)?.result(),
        Place::Processes => {
            let run = |(site, requests): &(&Site, Vec<Sip>)| {
                child(|| work(site, requests, kind.carried(), time(site), begin).map(per_second))
            };
            let children: Result<Vec<Child>, String> = all.iter().map(run).collect();
            children?.into_iter().map(Child::result).sum()
        }
    }
}

struct Child {
    pid: libc::pid_t,
    reader: std::io::PipeReader,
}

/// Runs something in a forked process.
fn child(run: impl FnOnce() -> Result<f64, String>) -> Result<Child, String> {
    let (reader, mut writer) = pipe().map_err(|e| e.to_string())?;
    // SAFETY: this process has one thread here, so the child may do whatever it could do.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error().to_string()),
        0 => {
            let text = run().map_or_else(|error| error, |time| time.to_string());
            let status = i32::from(writer.write_all(text.as_bytes()).is_err());
            // SAFETY: nothing of the parent is to be cleaned up twice.
            unsafe { libc::_exit(status) }
        }
        pid => Ok(Child { pid, reader }),
    }
}

impl Child {
    fn result(mut self) -> Result<f64, String> {
        let mut text = String::new();
        self.reader.read_to_string(&mut text).map_err(|e| e.to_string())?;
        let mut status = 0;
        // SAFETY: the address of an integer that lives during the call.
        unsafe { libc::waitpid(self.pid, &mut status, 0) };
        text.parse().map_err(|_| text)
    }
}
