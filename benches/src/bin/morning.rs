// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case that operators fear: the proxy is restarted, and 100,000 phones come back.
//!
//!   morning [--quick]      10,000 phones

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sipoauth_bench::arguments::Arguments;
use sipoauth_bench::kamailio::morning::{Morning, Pace, with_one, with_passwords};
use sipoauth_bench::kamailio::phones::Phones;
use sipoauth_bench::kamailio::proxy::launch;
use sipoauth_bench::kamailio::site::{auth_db, defines, subscribers};
use sipoauth_bench::part::{Content, Figure, Part, Plot, Ratio};
use sipoauth_bench::proxies::ground::{Ground, Way};
use sipoauth_bench::proxies::keys::Algorithm;
use sipoauth_bench::proxies::loads::tokens_of;
use sipoauth_bench::proxies::process::Proxy;
use sipoauth_bench::rounds::Spread;

/// How much is measured.
struct Extent {
    phones: usize,
    rounds: usize,
    /// Seconds within which the phones come when they do not come at full speed.
    within: f64,
}

const FULL: Extent = Extent { phones: 100_000, rounds: 3, within: 30.0 };
const QUICK: Extent = Extent { phones: 10_000, rounds: 2, within: 3.0 };

const NAMES: [&str; 4] = ["Bearer, RS256", "Bearer, ES256", "proof of possession", "Digest, auth_db on SQLite"];
/// The place of Digest among the names.
const DIGEST: usize = 3;

fn main() {
    let run = || match Arguments::read("morning")? {
        Arguments { quick, before: None } => run(if quick { &QUICK } else { &FULL }, quick),
        _ => Err("morning: another build is not measured".to_owned()),
    };
    if let Err(error) = run() {
        eprintln!("morning: {error}");
        std::process::exit(1);
    }
}

fn run(extent: &Extent, quick: bool) -> Result<(), String> {
    let begun = Instant::now();
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg} ({elapsed}, {eta} left)").expect("a template");
    let steps = (extent.rounds + 1) * NAMES.len();
    let progress = ProgressBar::new(steps as u64).with_style(style).with_prefix("morning");
    progress.set_message("making tokens");
    let ground = Ground::new()?;
    let keys = ground.server.keys();
    let tokens =
        [Algorithm::Rs256, Algorithm::Es256].map(|kind| tokens_of(keys, kind, extent.phones, extent.phones, 0));
    let database = subscribers(ground.base(), extent.phones)?;
    progress.set_message("signing phones in");
    let mut proxy = started(&ground, "codes", Way::Codes)?;
    let phones = Phones::sign_in(&mut proxy, extent.phones, 1)?;
    drop(proxy);
    // One morning of each way; None where this machine cannot have it.
    let morning = |way: usize, pace: Pace| -> Result<Option<Morning>, String> {
        progress.set_message(NAMES[way]);
        let morning = match way {
            DIGEST => database.as_ref().map(|database| {
                let mut proxy = auth_db(ground.base(), database)?;
                proxy.wait_until_ready()?;
                with_passwords(&mut proxy, extent.phones, pace)
            }),
            2 => {
                let mut proxy = started(&ground, "codes", Way::Codes)?;
                // What is dated before the start might be known already, and a Date has whole seconds.
                std::thread::sleep(Duration::from_millis(2100));
                Some(with_one(&mut proxy, &phones.messages()?, pace))
            }
            _ => Some(with_one(&mut started(&ground, "signed", Way::Signed)?, &tokens[way], pace)),
        };
        progress.inc(1);
        morning.transpose()
    };
    let mut full: Vec<Vec<Morning>> = NAMES.map(|_| Vec::new()).into();
    for _ in 0..extent.rounds {
        for (way, mornings) in full.iter_mut().enumerate() {
            mornings.extend(morning(way, Pace::Full)?);
        }
    }
    let mut paced = Vec::new();
    for way in 0..NAMES.len() {
        paced.push(morning(way, Pace::Within(extent.within))?);
    }
    progress.finish_and_clear();
    let part = Part {
        name: "morning".into(),
        quick,
        seconds: begun.elapsed().as_secs_f64(),
        ratios: ratios(&full),
        figures: figures(extent, &full, &paced),
        plots: vec![plot(extent, &full)],
    };
    part.save()
}

fn started(ground: &Ground, name: &'static str, way: Way) -> Result<Proxy, String> {
    let mut proxy = launch(name, ground.base(), &defines(ground, name, way)?)?;
    proxy.wait_until_ready()?;
    Ok(proxy)
}

fn values(mornings: &[Morning], value: fn(&Morning) -> f64) -> Vec<f64> {
    mornings.iter().map(value).collect()
}

fn cpu(mornings: &[Morning]) -> Vec<f64> {
    values(mornings, |morning| morning.cpu)
}

fn ratios(full: &[Vec<Morning>]) -> Vec<Ratio> {
    let digest = cpu(&full[DIGEST]);
    let note = if digest.is_empty() { "Kamailio's db_sqlite module or sqlite3 is not installed" } else { "" };
    let ratio = |(id, way): (&str, usize)| Ratio {
        id: id.into(),
        what: format!("first registration after a restart: {} ÷ Digest with auth_db on SQLite, CPU", NAMES[way]),
        measured: (!digest.is_empty()).then(|| Spread::of_ratios(&cpu(&full[way]), &digest)),
        goal: 0.5,
        stretch: 0.35,
        more_is_better: false,
        note: note.into(),
    };
    [("17a", 0), ("17b", 1), ("17c", 2)].map(ratio).into()
}

/// A figure's name, its value, and the unit.
type Column = (&'static str, fn(&Morning) -> f64, &'static str);

fn figures(extent: &Extent, full: &[Vec<Morning>], paced: &[Option<Morning>]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |group: String, way: usize, value: Spread, unit: &str| {
        figures.push(Figure { group, name: NAMES[way].into(), value, unit: unit.into() });
    };
    let phones = extent.phones;
    let columns: [Column; 3] = [
        ("CPU of the proxy per phone", |morning| morning.cpu, "µs"),
        ("until all are registered, at full speed", |morning| morning.took, "s"),
        ("memory of the proxy per phone", |morning| morning.memory, "octets"),
    ];
    for (what, value, unit) in columns {
        for (way, mornings) in full.iter().enumerate().filter(|(_, mornings)| !mornings.is_empty()) {
            add(format!("{phones} phones after a restart: {what}"), way, Spread::of(&values(mornings, value)), unit);
        }
    }
    for percent in [50.0, 99.0, 99.9] {
        for (way, morning) in paced.iter().enumerate() {
            let Some(morning) = morning else { continue };
            let group = format!(
                "{phones} phones within {} s after a restart: p{percent} of the time to the 200",
                extent.within
            );
            add(group, way, Spread::exact(morning.times.percentile(percent)), "ms");
        }
    }
    figures
}

fn plot(extent: &Extent, full: &[Vec<Morning>]) -> Plot {
    let bars = full.iter().enumerate().filter(|(_, mornings)| !mornings.is_empty());
    Plot {
        file: "morning".into(),
        title: format!("{} phones come back after a restart: CPU time of the proxy per phone", extent.phones),
        x: "µs".into(),
        y: String::new(),
        log_x: false,
        log_y: false,
        content: Content::Bars(
            bars.map(|(way, mornings)| (NAMES[way].to_owned(), Spread::of(&cpu(mornings)))).collect(),
        ),
    }
}
