// SPDX-License-Identifier: MIT OR Apache-2.0
//! The event server of REFER: what a REFER with two subscribers costs the proxy, beside Kamailio's own presence, and how much
//! memory it takes.
//!
//!   refer [--quick]      few REFERs

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sipoauth_bench::arguments::Arguments;
use sipoauth_bench::part::Part;
use sipoauth_bench::proxies::ground::Ground;
use sipoauth_bench::refer::memory::Memory;
use sipoauth_bench::refer::phones::{Phones, Plan, Tally};
use sipoauth_bench::refer::results::{Costs, Growth, Later, figures, ratios};
use sipoauth_bench::refer::scene::{STATES, SUBSCRIBERS, Story};
use sipoauth_bench::refer::site::Site;

/// How much is measured.
struct Extent {
    rounds: usize,
    /// States that begin in each round.
    count: usize,
    /// Unfinished REFERs whose memory is looked at.
    unfinished: usize,
    /// Seconds that these are followed.
    lifetime: u32,
}

const FULL: Extent = Extent { rounds: 10, count: 1000, unfinished: 10_000, lifetime: 20 };
const QUICK: Extent = Extent { rounds: 4, count: 500, unfinished: 2000, lifetime: 12 };

/// REFERs in a second: what is compared, and what shows how much of it is waking.
const PACES: [f64; 2] = [500.0, 1000.0];
/// The same where only memory is looked at, and nothing is told but the first state.
const FAST: f64 = 1000.0;
/// REFERs between the two looks at memory, for each of those that are looked at.
const BETWEEN: usize = 2;
/// How often memory is looked at after so many others.
const LATER: u64 = 2;
/// Until tm has let go of a transaction that was answered.
const TM: Duration = Duration::from_secs(7);
/// How long the end of a REFER is kept, and some time for the sweep.
const RETENTION: Duration = Duration::from_secs(67);
/// How long a REFER is followed where its end comes in time.
const LONG: u32 = 600;

fn main() {
    let run = || match Arguments::read("refer")? {
        Arguments { quick, before: None } => run(if quick { &QUICK } else { &FULL }, quick),
        _ => Err("refer: another build is not measured".to_owned()),
    };
    if let Err(error) = run() {
        eprintln!("refer: {error}");
        std::process::exit(1);
    }
}

fn run(extent: &Extent, quick: bool) -> Result<(), String> {
    let begun = Instant::now();
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg} ({elapsed}, {eta} left)").expect("a template");
    let progress = ProgressBar::new(extent.rounds as u64 + 2 + 2 * LATER).with_style(style).with_prefix("refer");
    let ground = Ground::new()?;
    progress.set_message("cost of a REFER");
    let costs = costs(extent, &ground, &progress)?;
    progress.set_message("memory of a REFER");
    let growth = growth(extent, &ground, &progress)?;
    progress.finish_and_clear();
    let part = Part {
        name: "refer".into(),
        quick,
        seconds: begun.elapsed().as_secs_f64(),
        ratios: ratios(&costs, &growth),
        figures: figures(&costs, &growth),
        plots: Vec::new(),
    };
    part.save()
}

/// A proxy that is loaded in turn with others.
struct Runner {
    site: Site,
    phones: Phones,
    /// Microseconds per second with nothing to do.
    idle: f64,
    /// CPU and time at the beginning of the last turn.
    before: (f64, Instant),
    /// The pace of a turn that was not closed.
    open: Option<usize>,
    costs: [Vec<f64>; PACES.len()],
    again: usize,
}

impl Runner {
    /// Ends the last turn. What its requests leave behind, as transactions that tm frees later, belongs to it.
    fn close(&mut self, count: usize) -> Result<(), String> {
        let Some(pace) = self.open.take() else { return Ok(()) };
        let (cpu, since) = (self.site.proxy.cpu()? - self.before.0, self.before.1.elapsed().as_secs_f64());
        self.costs[pace].push((cpu - self.idle * since) / count as f64);
        Ok(())
    }

    fn play(&mut self, plan: Plan) -> Result<Tally, String> {
        self.before = (self.site.proxy.cpu()?, Instant::now());
        let tally = self.phones.play(plan);
        let tally = tally.map_err(|e| format!("{}: {e}\n{}", self.site.proxy.name, self.site.proxy.tail()))?;
        self.site.proxy.check()?;
        self.again += tally.again;
        Ok(tally)
    }
}

fn costs(extent: &Extent, ground: &Ground, progress: &ProgressBar) -> Result<Costs, String> {
    let stories = [("refer", Story::Refer), ("presence_dialoginfo", Story::Dialog), ("presence_mwi", Story::Summary)];
    let mut runners = Vec::new();
    for (place, (name, story)) in stories.into_iter().enumerate() {
        let Some(site) = Site::start(ground, name, story, LONG)? else { continue };
        let phones = Phones::new(story, site.proxy.port, 10 + 10 * place as u8)?;
        runners.push(Runner {
            site,
            phones,
            idle: 0.0,
            before: (0.0, Instant::now()),
            open: None,
            costs: Default::default(),
            again: 0,
        });
    }
    let mut costs = Costs { count: extent.rounds * extent.count * PACES.len(), paces: PACES, ..Costs::default() };
    // Everything once, so that nothing is measured the first time; and then what nothing costs.
    let plan = Plan { count: extent.count, per_second: PACES[0], states: STATES };
    for runner in &mut runners {
        runner.play(Plan { count: extent.count / 4, ..plan })?;
    }
    std::thread::sleep(TM);
    for runner in &mut runners {
        runner.before = (runner.site.proxy.cpu()?, Instant::now());
    }
    std::thread::sleep(TM);
    for runner in &mut runners {
        let cpu = runner.site.proxy.cpu()? - runner.before.0;
        runner.idle = cpu / runner.before.1.elapsed().as_secs_f64();
        costs.idle.push((runner.site.proxy.name, runner.idle));
    }
    for _ in 0..extent.rounds {
        for (pace, per_second) in PACES.into_iter().enumerate() {
            for runner in &mut runners {
                runner.close(extent.count)?;
                let tally = runner.play(Plan { per_second, ..plan })?;
                costs.repeated += tally.repeated + tally.repeated_notifies;
                costs.notifies += tally.notifies;
                costs.wanted += plan.count * SUBSCRIBERS * STATES;
                runner.open = Some(pace);
            }
        }
        progress.inc(1);
    }
    for runner in &mut runners {
        let left = TM.saturating_sub(runner.before.1.elapsed());
        std::thread::sleep(left + Duration::from_secs(3));
        runner.close(extent.count)?;
    }
    for runner in runners {
        costs.again.push((runner.site.proxy.name, runner.again));
        match runner.site.story {
            Story::Refer => costs.refer = runner.costs,
            Story::Dialog => costs.dialog = runner.costs,
            Story::Summary => costs.summary = runner.costs,
        }
    }
    Ok(costs)
}

fn growth(extent: &Extent, ground: &Ground, progress: &ProgressBar) -> Result<Growth, String> {
    let site = Site::start(ground, "memory", Story::Refer, extent.lifetime)?;
    let site = site.ok_or("auth_oauth.so is not built")?;
    let mut phones = Phones::new(Story::Refer, site.proxy.port, 50)?;
    let count = extent.unfinished;
    let between = count * BETWEEN;
    let fail = |e: String| format!("memory: {e}\n{}", site.proxy.tail());
    let attend = |phones: &mut Phones, time: Duration| {
        let until = Instant::now() + time;
        phones.attend(|_| Instant::now() >= until)
    };
    // until nobody is told anything any more
    let over = |phones: &mut Phones| {
        let latest = Instant::now() + Duration::from_secs(u64::from(extent.lifetime) + 10);
        while phones.watched() > 0 && Instant::now() < latest {
            attend(phones, Duration::from_millis(100))?;
        }
        if phones.watched() == 0 { Ok(()) } else { Err(format!("{} REFERs have not ended", phones.watched())) }
    };
    phones.play(Plan { count: 200, per_second: PACES[0], states: STATES }).map_err(fail)?;
    attend(&mut phones, TM)?;
    let before = Memory::of(&site)?;
    progress.inc(1);
    phones.play(Plan { count, per_second: FAST, states: 1 }).map_err(fail)?;
    attend(&mut phones, TM)?;
    let first = Memory::of(&site)?.since(&before);
    over(&mut phones).map_err(fail)?;
    progress.inc(1);
    let mut later = Vec::new();
    for _ in 0..LATER {
        // as many at once as the first time
        let per_second = count as f64 / f64::from(extent.lifetime);
        phones.play(Plan { count: between, per_second, states: 1 }).map_err(fail)?;
        over(&mut phones).map_err(fail)?;
        attend(&mut phones, RETENTION)?;
        let forgotten = Memory::of(&site)?.since(&before);
        progress.inc(1);
        phones.play(Plan { count, per_second: FAST, states: 1 }).map_err(fail)?;
        attend(&mut phones, TM)?;
        later.push(Later { forgotten, again: Memory::of(&site)?.since(&before) });
        over(&mut phones).map_err(fail)?;
        progress.inc(1);
    }
    Ok(Growth { count, between, first, later })
}
