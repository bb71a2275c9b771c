// SPDX-License-Identifier: MIT OR Apache-2.0
//! The benches that run in real Kamailio.
//!
//!   kamailio [--quick] [--before TREE]      fewer rounds: to see that it works; a tree with another build, in the same run

use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use sipoauth_bench::arguments::Arguments;
use sipoauth_bench::kamailio::results::{Waits, figures, plots, ratios};
use sipoauth_bench::kamailio::rounds::{Costs, Loads};
use sipoauth_bench::kamailio::site::Site;
use sipoauth_bench::kamailio::waiting::{PERCENTILES, bystanders, overload};
use sipoauth_bench::part::Part;
use sipoauth_bench::proxies::loads::rate;
use sipoauth_bench::proxies::server::slowly;
use sipoauth_bench::proxies::times::Times;

/// Rounds of everything, and seconds of each look at bystanders.
struct Extent {
    rounds: u8,
    seconds: f64,
}

const FULL: Extent = Extent { rounds: 9, seconds: 3.0 };
const QUICK: Extent = Extent { rounds: 4, seconds: 1.5 };

fn main() {
    let Arguments { quick, before } = Arguments::read("kamailio").unwrap_or_else(|usage| {
        eprintln!("{usage}");
        std::process::exit(2);
    });
    if let Err(error) = run(quick, before.as_deref()) {
        eprintln!("kamailio: {error}");
        std::process::exit(1);
    }
}

fn run(quick: bool, before: Option<&Path>) -> Result<(), String> {
    let extent = if quick { QUICK } else { FULL };
    let begun = Instant::now();
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg} ({elapsed}, {eta} left)").expect("a template");
    let progress = ProgressBar::new(u64::from(extent.rounds) * 2).with_style(style).with_prefix("kamailio");
    progress.set_message("starting proxies");
    progress.tick();
    let mut site = Site::start(before)?;
    let mut loads = Loads::prepare(&mut site, &mut |what| progress.set_message(what.to_owned()))?;
    progress.reset_eta();
    let mut costs: Vec<Costs> = Vec::new();
    let mut waits = Waits::default();
    for number in 1..=extent.rounds {
        progress.set_message("cost of each way");
        costs.push(loads.round(&mut site, number)?);
        progress.inc(1);
        progress.set_message("a slow server");
        wait(&mut site, &mut waits, extent.seconds, number)?;
        progress.inc(1);
    }
    site.all().try_for_each(|proxy| proxy.check())?;
    progress.finish_and_clear();
    let part = Part {
        name: "kamailio".into(),
        quick,
        seconds: begun.elapsed().as_secs_f64(),
        ratios: ratios(&costs, &waits),
        figures: figures(&costs, &waits),
        plots: plots(&costs, &waits),
    };
    part.save()
}

/// All that is to be known of a slow server, once.
fn wait(site: &mut Site, waits: &mut Waits, seconds: f64, round: u8) -> Result<(), String> {
    // Each load counts as another source.
    let source = |load: u8| 20 + round * 8 + load;
    let server = &site.server;
    let opaque = &mut site.opaque;
    let without = bystanders(opaque, seconds, false, source(0))?;
    let with = slowly(server, || bystanders(opaque, seconds, true, source(1)))?;
    waits.bystanders.push((without.percentile(99.0), with.percentile(99.0)));
    note(waits, "auth_oauth, no introspection", &without);
    note(waits, "auth_oauth, 30 introspections/s", &with);
    let ours = slowly(server, || rate(opaque, 4000, 400, source(2)))?;
    let mut theirs = None;
    if let Some(proxy) = &mut site.http_client {
        note(
            waits,
            "http_client, 30 introspections/s",
            &slowly(server, || bystanders(proxy, seconds, true, source(3)))?,
        );
        theirs = Some(slowly(server, || rate(proxy, 40, 16, source(4)))?);
    }
    waits.rates.push((ours, theirs));
    waits.overloads.push(slowly(server, || overload(opaque, ours * 2.0, 1.0, source(5)))?);
    Ok(())
}

fn note(waits: &mut Waits, name: &'static str, times: &Times) {
    let values = PERCENTILES.map(|percent| times.percentile(percent));
    match waits.percentiles.iter_mut().find(|(known, _)| *known == name) {
        Some((_, rounds)) => rounds.push(values),
        None => waits.percentiles.push((name, vec![values])),
    }
}
