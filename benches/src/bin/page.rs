// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sign-in page under load: how many users can sign in, and how long they wait.
//!
//!   page [--quick]      few sign-ins

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use sipoauth_bench::arguments::Arguments;
use sipoauth_bench::page::load::{Plan, run as sign_in};
use sipoauth_bench::page::results::{Load, Measured, figures, ratios};
use sipoauth_bench::page::site::Site;
use sipoauth_bench::part::Part;
use sipoauth_bench::proxies::ground::Ground;
use sipoauth_bench::proxies::server::slowly;

/// How much is measured.
struct Extent {
    rounds: usize,
    /// Seconds of 200 sign-ins each.
    seconds: usize,
}

const FULL: Extent = Extent { rounds: 7, seconds: 10 };
const QUICK: Extent = Extent { rounds: 3, seconds: 3 };

/// Sign-ins in a second.
const PACE: usize = 200;
/// Connections that a reverse proxy keeps: more than sign-ins are ever open at the pace.
const MANY: usize = 64;
/// Connections at full speed, where each is always busy.
const BUSY: usize = 16;

fn main() {
    let run = || match Arguments::read("page")? {
        Arguments { quick, before: None } => run(if quick { &QUICK } else { &FULL }, quick),
        _ => Err("page: another build is not measured".to_owned()),
    };
    if let Err(error) = run() {
        eprintln!("page: {error}");
        std::process::exit(1);
    }
}

fn run(extent: &Extent, quick: bool) -> Result<(), String> {
    let begun = Instant::now();
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg} ({elapsed}, {eta} left)").expect("a template");
    let progress = ProgressBar::new(extent.rounds as u64 * 3).with_style(style).with_prefix("page");
    progress.set_message("adding users");
    progress.tick();
    let ground = Ground::new()?;
    let mut site = Site::start(&ground)?;
    let count = extent.seconds * PACE;
    let paced = Plan { connections: MANY, count, per_second: Some(PACE as f64) };
    let full = Plan { connections: BUSY, per_second: None, ..paced };
    let first_memory = site.memory()?;
    // The first one fetches keys.
    sign_in(&mut site, Plan { count: PACE, ..full }, 0)?;
    let (mut done, mut early) = (PACE, None);
    let mut load = |site: &mut Site, plan: Plan, message: &'static str| {
        progress.set_message(message);
        let outcome = sign_in(site, plan, done);
        done += plan.count;
        progress.inc(1);
        outcome
    };
    let [mut at_pace, mut at_slow_server, mut at_full] = [
        Load { name: "200 a second", rounds: Vec::new() },
        Load { name: "200 a second, the server takes 50 ms", rounds: Vec::new() },
        Load { name: "as fast as it goes", rounds: Vec::new() },
    ];
    for _ in 0..extent.rounds {
        at_pace.rounds.push(load(&mut site, paced, at_pace.name)?);
        let slow = slowly(&ground.server, || load(&mut site, paced, at_slow_server.name))?;
        at_slow_server.rounds.push(slow);
        at_full.rounds.push(load(&mut site, full, at_full.name)?);
        early.get_or_insert(site.memory()?);
    }
    let last_memory = site.memory()?;
    progress.finish_and_clear();
    drop(site);
    let measured = Measured {
        paced: at_pace,
        slow_server: at_slow_server,
        full: at_full,
        memory: [first_memory, early.unwrap_or(last_memory), last_memory],
        count: done,
        connections: [MANY, BUSY],
    };
    let part = Part {
        name: "page".into(),
        quick,
        seconds: begun.elapsed().as_secs_f64(),
        ratios: ratios(&measured),
        figures: figures(&measured),
        plots: Vec::new(),
    };
    part.save()
}
