// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the sign-ins come to.

use super::browser::STEPS;
use super::load::Outcome;
use super::site::Memory;
use crate::part::{Figure, Goal, Ratio};
use crate::rounds::Spread;

/// Sign-ins of one kind, round by round.
pub struct Load {
    /// For people.
    pub name: &'static str,
    /// Its rounds.
    pub rounds: Vec<Outcome>,
}

/// Everything that was measured.
pub struct Measured {
    /// 200 a second.
    pub paced: Load,
    /// The same at a server that takes 50 ms for a code.
    pub slow_server: Load,
    /// As fast as it goes.
    pub full: Load,
    /// Before the first sign-in, after the first round, and at the end.
    pub memory: [Memory; 3],
    /// Sign-ins of all kinds.
    pub count: usize,
    /// Connections at the pace, and at full speed.
    pub connections: [usize; 2],
}

impl Load {
    fn spread(&self, value: impl Fn(&Outcome) -> f64) -> Spread {
        let values: Vec<f64> = self.rounds.iter().map(value).collect();
        Spread::of(&values)
    }
}

/// The ratios of this part.
pub fn ratios(measured: &Measured) -> Vec<Ratio> {
    let [paced, full] = measured.connections;
    let common = "every sign-in is one of another browser with an address of its own, which a reverse proxy tells, so all \
                  limits have their defaults; page, clients and authorization server share this machine";
    vec![
        Goal("22b", "whole sign-ins at the page per second", 200.0, 400.0).at_least(
            Some(measured.full.spread(|outcome| outcome.rate)),
            &format!("four requests each, {full} at once; {common}"),
        ),
        Goal("22c", "p99 of a whole sign-in at the page, 200 a second, ms", 100.0, 50.0).at_most(
            Some(measured.paced.spread(|outcome| outcome.whole.percentile(99.0))),
            &format!(
                "from the time at which it was to begin to the page of phones; {paced} connections that are kept; {common}"
            ),
        ),
    ]
}

/// Plain figures.
pub fn figures(measured: &Measured) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |group: String, name: &str, value: Spread, unit: &str| {
        figures.push(Figure { group, name: name.into(), value, unit: unit.into() });
    };
    let loads = [&measured.paced, &measured.slow_server, &measured.full];
    for load in loads {
        for percent in [50.0, 99.0] {
            let group = format!("Sign-in at the page, {}: p{percent}", load.name);
            for (step, name) in STEPS.into_iter().enumerate() {
                add(group.clone(), name, load.spread(|outcome| outcome.steps[step].percentile(percent)), "ms");
            }
            add(group, "all four", load.spread(|outcome| outcome.whole.percentile(percent)), "ms");
        }
    }
    for load in loads {
        add("Sign-ins at the page per second".into(), load.name, load.spread(|outcome| outcome.rate), "");
    }
    for load in loads {
        add("CPU of the page per sign-in".into(), load.name, load.spread(|outcome| outcome.cpu), "µs");
    }
    let times = ["before the first sign-in".to_owned(), "after the first round".to_owned()];
    let times = times.into_iter().chain([format!("after {} sign-ins", measured.count)]);
    for (memory, when) in measured.memory.iter().zip(times) {
        let mib = |octets: f64| Spread::exact((octets / 1024.0 / 102.4).round() / 10.0);
        add("Memory of the page".into(), &format!("its own, {when}"), mib(memory.private), "MiB");
        add("Memory of the page".into(), &format!("with the store's pages, {when}"), mib(memory.all), "MiB");
    }
    figures
}
