// SPDX-License-Identifier: MIT OR Apache-2.0
//! Do workers make each other wait? What several of them check in a second, over what one alone checks, with one shared
//! memory and, for comparison, each with its own.
//!
//!   workers [--quick]

mod crowd;

use std::time::Instant;

use crowd::{Place, Site, throughput};
use indicatif::{ProgressBar, ProgressStyle};
use sipoauth_bench::arguments::Arguments;
use sipoauth_bench::part::{Figure, Part, Ratio};
use sipoauth_bench::rounds::Spread;
use sipoauth_bench::scale::checks::Kind;

/// Numbers of workers, as far as the machine has as many cores.
const SIZES: [usize; 4] = [2, 4, 8, 16];
/// Checks of each worker in a round.
const CHECKS: usize = 20_000;

const WHAT: [(Kind, &str); 2] = [(Kind::Token, "known tokens"), (Kind::Proof, "proofs")];
const WHERE: [(Place, &str); 2] = [(Place::Threads, "threads"), (Place::Processes, "processes")];

/// Of one kind of requests, in one kind of place, with one number of workers.
struct Series {
    what: &'static str,
    place: &'static str,
    workers: usize,
    /// Of each round: what all check, over what as many would check that are alone.
    shared: Vec<f64>,
    own: Vec<f64>,
    /// Checks of one worker in a second.
    alone: Vec<f64>,
}

fn main() {
    let run = || match Arguments::read("workers")? {
        Arguments { quick, before: None } => run(quick),
        _ => Err("workers: another build is not measured".to_owned()),
    };
    if let Err(error) = run() {
        eprintln!("workers: {error}");
        std::process::exit(1);
    }
}

fn run(quick: bool) -> Result<(), String> {
    let begun = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let sizes: Vec<usize> = SIZES.into_iter().filter(|size| *size <= cores).collect();
    let rounds = if quick { 3 } else { 15 };
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg} ({elapsed}, {eta} left)").expect("a template");
    let most = sizes.iter().max().copied().unwrap_or(1);
    let steps = most + rounds * sizes.len() * WHAT.len() * WHERE.len();
    let progress = ProgressBar::new(steps as u64).with_style(style).with_prefix("workers");
    progress.set_message("signing phones in");
    let mut sites = Vec::new();
    for number in 0..most {
        sites.push(Site::new(&format!("workers-{number}"))?);
        progress.inc(1);
    }
    let sites: Vec<&Site> = sites.iter().collect();
    let (mut all, mut serial) = (Vec::new(), 0);
    for workers in sizes {
        for ((kind, what), (place, name)) in WHAT.into_iter().flat_map(|what| WHERE.map(|place| (what, place))) {
            progress.set_message(format!("{workers} {name}, {what}"));
            let mut series = Series { what, place: name, workers, shared: vec![], own: vec![], alone: vec![] };
            for _ in 0..rounds {
                let mut measured = |sites: &[&Site], workers: usize| {
                    serial += 1;
                    throughput(sites, workers, place, kind, CHECKS, serial)
                };
                let alone = measured(&sites[..1], 1)?;
                let expected = alone * workers as f64;
                series.shared.push(measured(&sites[..1], workers)? / expected);
                series.own.push(measured(&sites[..workers], workers)? / expected);
                series.alone.push(alone);
                progress.inc(1);
            }
            all.push(series);
        }
    }
    progress.finish_and_clear();
    let part = Part {
        name: "workers".into(),
        quick,
        seconds: begun.elapsed().as_secs_f64(),
        ratios: ratios(&all, most),
        figures: all.iter().flat_map(figures).collect(),
        ..Part::default()
    };
    part.save()
}

/// Those of the most workers.
fn ratios(all: &[Series], most: usize) -> Vec<Ratio> {
    let ratio = |(letter, series): (char, &Series)| Ratio {
        id: format!("18{letter}"),
        what: format!(
            "{} {}, {}: throughput with one shared memory ÷ each with its own",
            series.workers, series.place, series.what
        ),
        measured: Some(Spread::of_ratios(&series.shared, &series.own)),
        goal: 0.9,
        stretch: 0.97,
        more_is_better: true,
        note: String::new(),
    };
    ('a'..).zip(all.iter().filter(|series| series.workers == most)).map(ratio).collect()
}

fn figures(series: &Series) -> Vec<Figure> {
    let Series { what, place, workers, shared, own, alone } = series;
    let figure = |name: String, values: &[f64], unit: &str| Figure {
        group: format!("{what} in {place}"),
        name,
        value: Spread::of(values),
        unit: unit.into(),
    };
    vec![
        figure("one worker alone".into(), alone, "checks/s"),
        figure(format!("{workers} workers with one shared memory ÷ {workers} × one"), shared, "×"),
        figure(format!("{workers} workers, each with its own ÷ {workers} × one"), own, "×"),
    ]
}
