// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a thousand sessions to a million: what a check costs, how much room a session takes, how long a start takes.
//!
//! `scale` takes a few minutes and 6 GB of memory, `scale --quick` ends at 100,000 sessions. Results go to
//! `target/bench/parts/scale.json`.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sipoauth_bench::part::{Content, Figure, Part, Plot, Ratio};
use sipoauth_bench::rounds::Spread;
use sipoauth_bench::scale::checks::{Kind, Proxy, hmac_of_300};
use sipoauth_bench::scale::load::{SIGN_INS_PER_SECOND, sign_in};
use sipoauth_bench::scale::phones::{Phone, RefreshToken};
use sipoauth_bench::scale::processes::{self, memory_of_service, octets_on_disk, time_of_start};
use sipoauth_bench::scale::redis::{self, Redis};
use sipoauth_bench::scale::site::{Folder, MANY_PROOFS, USUAL_PROOFS, context, now, octets_in_use};

/// Steps of the progress that a round of checks counts for.
const STEPS_OF_ROUND: u64 = 4_000;
/// Steps that a start counts for.
const STEPS_OF_START: u64 = 1_000;

/// How much is measured.
struct Extent {
    quick: bool,
    sizes: Vec<u64>,
    rounds: usize,
    starts: usize,
    /// Sessions with each other kind of refresh token.
    others: u64,
    /// Sessions in Redis.
    in_redis: u64,
    redis_time: Duration,
}

impl Extent {
    fn of(quick: bool) -> Extent {
        let (mut sizes, seconds) = (vec![1_000, 10_000, 100_000], if quick { 1 } else { 4 });
        if !quick {
            sizes.push(1_000_000);
        }
        Extent {
            quick,
            sizes,
            rounds: if quick { 5 } else { 15 },
            starts: if quick { 9 } else { 25 },
            others: if quick { 10_000 } else { 100_000 },
            in_redis: if quick { 10_000 } else { 100_000 },
            redis_time: Duration::from_secs(seconds),
        }
    }

    fn most(&self) -> u64 {
        self.sizes.last().copied().unwrap_or(0)
    }

    fn steps(&self) -> u64 {
        let sessions: u64 = self.sizes.iter().sum();
        let rounds = self.rounds as u64 * STEPS_OF_ROUND * self.sizes.len() as u64;
        sessions * 2 + rounds + self.starts as u64 * STEPS_OF_START + OTHERS.len() as u64 * self.others + self.in_redis
    }
}

/// The place of 100,000 among the sizes.
const MANY: usize = 2;

/// What authorization servers give for refreshes beside JWTs.
const OTHERS: [(&str, RefreshToken); 3] = [
    ("without refresh token: this library's own", RefreshToken::Nothing),
    ("refresh token of 64 random octets", RefreshToken::Opaque(64)),
    ("refresh token of 780 random octets", RefreshToken::Opaque(780)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => run(&Extent::of(false)),
        ["--quick"] => run(&Extent::of(true)),
        [processes::START, store] => processes::start(store).map(|numbers| println!("{numbers}")),
        [processes::SERVE, store] => processes::serve(store).map(|numbers| println!("{numbers}")),
        _ => Err("usage: scale [--quick]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("scale: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(extent: &Extent) -> Result<(), String> {
    let begin = Instant::now();
    let bar = ProgressBar::new(extent.steps());
    let style =
        ProgressStyle::with_template("{bar:30} {percent:>3} %, {eta} left: {msg}").map_err(|e| e.to_string())?;
    bar.set_style(style);
    let mut part = Part { name: "scale".into(), quick: extent.quick, ..Part::default() };
    let stores = loaded(extent, &bar)?;
    checks(extent, &stores, &bar, &mut part)?;
    sizes(extent, &stores, &bar, &mut part)?;
    starts(extent, &stores, &bar, &mut part)?;
    in_redis(extent, &bar, &mut part)?;
    part.seconds = begin.elapsed().as_secs_f64();
    bar.finish_and_clear();
    part.save()?;
    print(&part);
    Ok(())
}

/// A store of each size.
struct Stores {
    folders: Vec<Folder>,
    sign_ins_per_second: f64,
}

fn loaded(extent: &Extent, bar: &ProgressBar) -> Result<Stores, String> {
    let mut folders = Vec::new();
    let mut rate = 0.0;
    for &size in &extent.sizes {
        bar.set_message(format!("{size} phones sign in"));
        let folder = Folder::new(&format!("scale-{size}"))?;
        let begin = Instant::now();
        let context = context(&folder.store(), 0, USUAL_PROOFS)?;
        sign_in(&context, size, RefreshToken::Jwt, &|| bar.inc(1))?;
        rate = size as f64 / begin.elapsed().as_secs_f64();
        folders.push(folder);
    }
    Ok(Stores { folders, sign_ins_per_second: rate })
}

/// Times of each kind of check, by size and round.
type Times = Vec<Vec<f64>>;

fn checks(extent: &Extent, stores: &Stores, bar: &ProgressBar, part: &mut Part) -> Result<(), String> {
    let mut with_sessions = Vec::new();
    let mut with_tokens = Vec::new();
    for (&size, folder) in extent.sizes.iter().zip(&stores.folders) {
        bar.set_message(format!("{size} sessions and tokens are used for the first time"));
        let context = || context(&folder.store(), size as usize, USUAL_PROOFS);
        with_sessions.push(Proxy::with_sessions(context()?, size)?);
        with_tokens.push(Proxy::with_tokens(context()?, size, &|| bar.inc(1))?);
    }
    let (mut hmac, sizes) = (Vec::new(), extent.sizes.len());
    let mut times: [Times; 3] = [(); 3].map(|()| vec![Vec::new(); sizes]);
    for round in 0..extent.rounds {
        bar.set_message(format!("checks, round {} of {}", round + 1, extent.rounds));
        hmac.push(hmac_of_300());
        for index in 0..sizes {
            times[0][index].push(with_sessions[index].measure(Kind::Proof)?);
            times[1][index].push(with_sessions[index].measure(Kind::ProofInBody)?);
            times[2][index].push(with_tokens[index].measure(Kind::Token)?);
            bar.inc(STEPS_OF_ROUND);
        }
    }
    let [proofs, _, tokens] = &times;
    let (first, last) = (0, sizes - 1);
    let most = extent.most();
    let note = |what: &str| format!("{what}; the largest store here has {most} sessions");
    for (id, what, size, goal, stretch) in [
        ("8a", "PoP check with key lookup ÷ one HMAC of 300 octets, 1,000 sessions", first, 3.5, 2.5),
        ("8b", "PoP check with key lookup ÷ one HMAC of 300 octets, 100,000 sessions", MANY, 6.0, 4.0),
        ("8c", "PoP check with key lookup ÷ one HMAC of 300 octets, 1,000,000 sessions", last, 8.0, 5.0),
    ] {
        let note =
            note("a whole check of a REGISTER with a proof in its header: parsing, store, replay guard, verdict");
        part.ratios.push(ratio(id, what, Spread::of_ratios(&proofs[size], &hmac), goal, stretch, note));
    }
    for (id, what, times, size, goal, stretch) in [
        ("13a", "cached Bearer check, 100,000 ÷ 1,000 tokens of different users", tokens, MANY, 1.8, 1.4),
        ("13e", "cached Bearer check, 1,000,000 ÷ 1,000 tokens of different users", tokens, last, 2.0, 1.5),
        ("13b", "PoP check, 1,000,000 ÷ 1,000 sessions", proofs, last, 3.0, 1.5),
    ] {
        let spread = Spread::of_ratios(&times[size], &times[first]);
        let note = note("users at random, each as likely as any other");
        part.ratios.push(ratio(id, what, spread, goal, stretch, note));
    }
    part.figures.push(figure("check", "HMAC-SHA256 of 300 octets", Spread::of(&hmac), "µs"));
    let names = ["PoP in the header", "PoP in the body", "cached Bearer token"];
    let mut lines = Vec::new();
    for (name, times) in names.iter().zip(&times) {
        let mut points = Vec::new();
        for (&size, times) in extent.sizes.iter().zip(times) {
            let spread = Spread::of(times);
            points.push((size as f64, spread.median));
            part.figures.push(figure("check", &format!("{name}, {size} sessions"), spread, "µs"));
        }
        lines.push(((*name).to_owned(), points));
    }
    part.plots.push(Plot {
        file: "sessions".into(),
        title: "Cost of a check against the number of sessions".into(),
        x: "sessions".into(),
        y: "µs per check".into(),
        log_x: true,
        log_y: false,
        content: Content::Lines(lines),
    });
    Ok(())
}

fn sizes(extent: &Extent, stores: &Stores, bar: &ProgressBar, part: &mut Part) -> Result<(), String> {
    let Some(largest) = stores.folders.last() else { return Ok(()) };
    bar.set_message("how much room sessions take");
    let memory = memory_of_service(&largest.store())?;
    let disk = octets_on_disk(&largest.path().join("store"))?;
    let used = octets_in_use(&largest.store())?;
    let sessions = extent.most() as f64;
    let all = (disk + memory.own + memory.arena) / sessions;
    let lasting = (used + memory.own + memory.arena) / sessions;
    let token = Phone::new(0).granted(RefreshToken::Jwt, now(), now()).refresh_token.map_or(0, |token| token.0.len());
    let note = format!(
        "octets; {} sessions with a refresh token of {token}: what the store takes on the disk, the memory that all \
         processes share, the I/O service's own memory. {SIGN_INS_PER_SECOND} phones signed in each second; the pages that \
         their codes took for code_lifetime are on the disk, too, free for other records; without them it is \
         {lasting:.0}",
        extent.most()
    );
    part.ratios.push(ratio("14", "octets per stored session, all in", Spread::exact(all), 900.0, 600.0, note));
    let group = "octets per session";
    let exact = |name: &str, value: f64| figure(group, name, Spread::exact(value), "octets");
    part.figures.push(exact("all in, without the pages that codes have left free", lasting));
    part.figures.push(exact("store on the disk", disk / sessions));
    part.figures.push(exact("of which pages in use", used / sessions));
    part.figures.push(exact("memory that all processes share", memory.arena / sessions));
    part.figures.push(exact("the I/O service's own memory", memory.own / sessions));
    part.figures.push(exact("refresh token as the server gives it", token as f64));
    part.figures.push(figure("memory", "shared by all processes", Spread::exact(memory.arena), "octets"));
    part.figures.push(figure("memory", "the I/O service's own", Spread::exact(memory.own), "octets"));
    for (name, refresh) in OTHERS {
        bar.set_message(format!("{} phones sign in, {name}", extent.others));
        let folder = Folder::new("scale-other")?;
        let context = context(&folder.store(), 0, USUAL_PROOFS)?;
        sign_in(&context, extent.others, refresh, &|| bar.inc(1))?;
        let disk = octets_on_disk(&folder.path().join("store"))?;
        part.figures.push(exact(&format!("store on the disk, {name}"), disk / extent.others as f64));
    }
    let rate = Spread::exact(stores.sign_ins_per_second);
    part.figures.push(figure("store", "sign-ins that LMDB takes, one after the other", rate, "per second"));
    Ok(())
}

fn starts(extent: &Extent, stores: &Stores, bar: &ProgressBar, part: &mut Part) -> Result<(), String> {
    let Some(largest) = stores.folders.last() else { return Ok(()) };
    let empty = Folder::new("scale-none")?;
    // The first one makes the store.
    time_of_start(&empty.store())?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for start in 0..extent.starts {
        bar.set_message(format!("start {} of {}", start + 1, extent.starts));
        with.push(time_of_start(&largest.store())?);
        without.push(time_of_start(&empty.store())?);
        bar.inc(STEPS_OF_START);
    }
    let note = format!(
        "{} sessions; configuration, shared memory, I/O service, until the first request is decided",
        extent.most()
    );
    let spread = Spread::of_ratios(&with, &without);
    part.ratios.push(ratio("15", "start with 1,000,000 stored sessions ÷ start with none", spread, 1.2, 1.0, note));
    part.figures.push(figure("start", &format!("{} sessions", extent.most()), Spread::of(&with), "µs"));
    part.figures.push(figure("start", "no sessions", Spread::of(&without), "µs"));
    Ok(())
}

fn in_redis(extent: &Extent, bar: &ProgressBar, part: &mut Part) -> Result<(), String> {
    bar.set_message(format!("{} phones sign in, with Redis", extent.in_redis));
    let redis = Redis::start()?;
    let empty = redis.memory()?;
    let context = context(&redis.store(), 0, MANY_PROOFS)?;
    let begin = Instant::now();
    sign_in(&context, extent.in_redis, RefreshToken::Jwt, &|| bar.inc(1))?;
    let rate = extent.in_redis as f64 / begin.elapsed().as_secs_f64();
    let memory = (redis.memory()? - empty) / extent.in_redis as f64;
    bar.set_message("proofs, with Redis");
    let (fetched, known) = redis::Proxy::new(&Arc::clone(&context), extent.in_redis)?.proofs(extent.redis_time)?;
    let group = "Redis";
    let exact = |name: &str, value, unit: &str| figure(group, name, Spread::exact(value), unit);
    part.figures.push(exact("used_memory per session", memory, "octets"));
    part.figures.push(exact("sign-ins, one after the other", rate, "per second"));
    part.figures.push(exact(
        "proofs whose session is fetched, worker and I/O service on one core",
        fetched,
        "per second",
    ));
    part.figures.push(exact("proofs whose session is in shared memory", known, "per second"));
    Ok(())
}

fn ratio(id: &str, what: &str, measured: Spread, goal: f64, stretch: f64, note: String) -> Ratio {
    Ratio { id: id.into(), what: what.into(), measured: Some(measured), goal, stretch, more_is_better: false, note }
}

fn figure(group: &str, name: &str, value: Spread, unit: &str) -> Figure {
    Figure { group: group.into(), name: name.into(), value, unit: unit.into() }
}

fn print(part: &Part) {
    for ratio in &part.ratios {
        let measured = ratio.measured.unwrap_or_default().median;
        println!("{:>4} {measured:>9.2} (goal {}) {}", ratio.id, ratio.goal, ratio.what);
    }
    for figure in &part.figures {
        println!("{:>14.2} {:<10} {}: {}", figure.value.median, figure.unit, figure.group, figure.name);
    }
}
