// SPDX-License-Identifier: MIT OR Apache-2.0
//! Phones that speak Digest only: registrations with device passwords of the sign-in page, beside Kamailio's auth_db.
//!
//!   devices [--quick]      few rounds

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use sipoauth_bench::arguments::Arguments;
use sipoauth_bench::devices::load::{Loader, Pace, agent};
use sipoauth_bench::devices::phones::noted;
use sipoauth_bench::devices::results::{Costs, PACE, Turns, figures, ratios};
use sipoauth_bench::devices::site::{Kind, People, Site, start};
use sipoauth_bench::part::Part;
use sipoauth_bench::proxies::ground::Ground;

/// How much is measured.
struct Extent {
    rounds: usize,
    phones: usize,
    /// Registrations in one turn.
    count: usize,
}

const FULL: Extent = Extent { rounds: 11, phones: 4000, count: 1000 };
const QUICK: Extent = Extent { rounds: 4, phones: 2000, count: 500 };

const PACES: [Pace; 2] = [PACE, Pace::Full];

fn main() {
    let run = || match Arguments::read("devices")? {
        Arguments { quick, before: None } => run(if quick { &QUICK } else { &FULL }, quick),
        _ => Err("devices: another build is not measured".to_owned()),
    };
    if let Err(error) = run() {
        eprintln!("devices: {error}");
        std::process::exit(1);
    }
}

/// A proxy that is loaded in turn with others.
struct Runner {
    site: Site,
    loader: Loader,
}

fn run(extent: &Extent, quick: bool) -> Result<(), String> {
    let begun = Instant::now();
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg} ({elapsed}, {eta} left)").expect("a template");
    let progress = ProgressBar::new(extent.rounds as u64).with_style(style).with_prefix("devices");
    progress.set_message("adding phones");
    progress.tick();
    let ground = Ground::new()?;
    let people = People::new(&ground, extent.phones)?;
    progress.set_message("starting proxies");
    let mut runners = Vec::new();
    for (place, kind) in Kind::ALL.into_iter().enumerate() {
        let Some(site) = start(&ground, &people, kind)? else { continue };
        let loader = Loader::new(&site, 10 + place as u8)?;
        runners.push(Runner { site, loader });
    }
    // Everything once, so that nothing is measured the first time.
    progress.set_message("warming up");
    for Runner { site, loader } in &mut runners {
        let phones = people.of(site.kind);
        loader.turn(site, phones, phones.len(), Pace::Full, 0)?;
    }
    let kinds: Vec<Kind> = runners.iter().map(|runner| runner.site.kind).collect();
    let turns = |pace: Pace| kinds.iter().map(move |kind| Turns { kind: *kind, pace, turns: Vec::new() });
    let mut all: Vec<Turns> = PACES.into_iter().flat_map(turns).collect();
    progress.set_message("registrations");
    progress.reset_eta();
    let (mut number, mut last) = (0, 0);
    for _ in 0..extent.rounds {
        for (pace_number, pace) in PACES.into_iter().enumerate() {
            number += 1;
            for (place, Runner { site, loader }) in runners.iter_mut().enumerate() {
                let turn = loader.turn(site, people.of(site.kind), extent.count, pace, number)?;
                all[pace_number * kinds.len() + place].turns.push(turn);
                last = number;
            }
        }
        progress.inc(1);
    }
    // All proxies with device passwords register the same phones in the same turn.
    let from = extent.count * (last - 1) % extent.phones;
    let known = noted(&people.config, from..from + extent.count, &agent(last, 2))?;
    let repeated = runners.iter().map(|runner| runner.loader.repeated).sum();
    drop(runners);
    progress.finish_and_clear();
    let costs = Costs { all, phones: extent.phones, count: extent.count, repeated, noted: known };
    let part = Part {
        name: "devices".into(),
        quick,
        seconds: begun.elapsed().as_secs_f64(),
        ratios: ratios(&costs),
        figures: figures(&costs),
        plots: Vec::new(),
    };
    part.save()
}
