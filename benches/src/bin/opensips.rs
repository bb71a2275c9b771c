// SPDX-License-Identifier: MIT OR Apache-2.0
//! The benches that run in real OpenSIPS. `OPENSIPS_SRC` and `OPENSIPS_SERIES` say which (tools/bench.sh sets the latter).
//!
//!   opensips [--quick]      fewer rounds: to see that it works

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use sipoauth_bench::arguments::Arguments;
use sipoauth_bench::opensips::results::{Measured, figures, ratios};
use sipoauth_bench::opensips::rounds::{Loads, rates};
use sipoauth_bench::opensips::site::Site;
use sipoauth_bench::opensips::waiting::{left_over, memory, options};
use sipoauth_bench::part::Part;

const ROUNDS: u8 = 7;
const QUICK_ROUNDS: u8 = 3;

fn main() {
    let run = || match Arguments::read("opensips")? {
        Arguments { quick, before: None } => run(quick),
        _ => Err("another build is not measured".to_owned()),
    };
    if let Err(error) = run() {
        eprintln!("opensips: {error}");
        std::process::exit(1);
    }
}

fn run(quick: bool) -> Result<(), String> {
    let begun = Instant::now();
    let rounds = if quick { QUICK_ROUNDS } else { ROUNDS };
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg} ({elapsed}, {eta} left)").expect("a template");
    let progress = ProgressBar::new(u64::from(rounds)).with_style(style).with_prefix("opensips");
    progress.set_message("starting proxies");
    progress.tick();
    let mut site = Site::start()?;
    progress.set_message("warming up");
    let mut loads = Loads::prepare(&mut site)?;
    let mut measured = Measured::default();
    for number in 1..=rounds {
        round(&mut site, &mut loads, &mut measured, number, &progress)?;
        progress.inc(1);
    }
    site.all().try_for_each(|proxy| proxy.check())?;
    progress.finish_and_clear();
    let part = Part {
        name: "opensips".into(),
        quick,
        seconds: begun.elapsed().as_secs_f64(),
        ratios: ratios(&measured),
        figures: figures(&measured),
        plots: Vec::new(),
    };
    part.save()
}

fn round(
    site: &mut Site,
    loads: &mut Loads,
    measured: &mut Measured,
    number: u8,
    progress: &ProgressBar,
) -> Result<(), String> {
    // Each load counts as another source.
    let source = |load: u8| 10 + number * 10 + load;
    progress.set_message("cost of each way");
    measured.costs.push(loads.costs(site, source(0))?);
    progress.set_message("a slow server");
    measured.rates.push(rates(site, source(1))?);
    progress.set_message("requests that wait");
    let server = &site.server;
    let alone = options(&mut site.parked, server, false, source(2))?;
    let again = options(&mut site.parked, server, true, source(3))?;
    let tm = options(&mut site.suspended, server, true, source(4))?;
    measured.options.push([alone, again, tm].map(|times| times.percentile(99.0)));
    measured
        .memory
        .push([memory(&mut site.parked, server, source(5))?, memory(&mut site.suspended, server, source(6))?]);
    if number == 1 {
        measured.left_over.push([left_over(&mut site.parked, source(7))?, left_over(&mut site.suspended, source(8))?]);
    }
    Ok(())
}
