// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the rounds come to: ratios with their goals, and figures.

use super::proxy::WORKERS;
use super::rounds::{Costs, Rates};
use super::waiting::{CROWD, MANY, Memory};
use crate::part::{Figure, Goal, Ratio};
use crate::rounds::Spread;

/// Everything that was measured, one value for each round.
#[derive(Default)]
pub struct Measured {
    /// Cost of a request.
    pub costs: Vec<Costs>,
    /// Requests per second.
    pub rates: Vec<Rates>,
    /// Shared memory of requests that are received again, and of suspended ones.
    pub memory: Vec<[Memory; 2]>,
    /// 99th percentile of OPTIONS, milliseconds: with nobody waiting, beside requests that are received again, and beside
    /// suspended ones.
    pub options: Vec<[f64; 3]>,
    /// Octets of shared memory that are not given back, both ways.
    pub left_over: Vec<[f64; 2]>,
}

const NAMES: [(&str, &str); 9] = [
    ("answered", "answered without looking at the token"),
    ("checked", "oauth_check, RS256, every token new, answered"),
    ("auth_jwt", "auth_jwt, RS256, every token new, answered"),
    ("saved", "saved without looking at the token"),
    ("saved_checked", "oauth_check, token known, saved"),
    ("parked", "introspection, every token new, received again"),
    ("suspended", "introspection, every token new, async(oauth_check)"),
    ("rest_client", "introspection by rest_client, blocking"),
    ("rest_client_async", "introspection by rest_client, async()"),
];

fn cpu(costs: &[Costs], name: &str) -> Vec<f64> {
    costs.iter().filter_map(|round| round.get(name).copied()).collect()
}

fn over(costs: &[Costs], above: &str, below: &str) -> Option<Spread> {
    let pairs = costs.iter().filter_map(|round| Some((round.get(above)?, round.get(below)?)));
    let (above, below): (Vec<f64>, Vec<f64>) = pairs.unzip();
    (!above.is_empty()).then(|| Spread::of_ratios(&above, &below))
}

/// What the check of a known token adds to a registration, as a share of it.
fn added(costs: &[Costs]) -> Spread {
    let shares = cpu(costs, "saved_checked").into_iter().zip(cpu(costs, "saved"));
    Spread::of(&shares.map(|(with, without)| (with - without) / without).collect::<Vec<_>>())
}

/// The ratios that are to be reached.
pub fn ratios(measured: &Measured) -> Vec<Ratio> {
    let Measured { costs, rates, memory, options, .. } = measured;
    let blocking: Vec<(f64, f64)> = rates.iter().filter_map(|round| Some((round.ours, round.blocking?))).collect();
    let (ours, theirs): (Vec<f64>, Vec<f64>) = blocking.into_iter().unzip();
    let rate = (!ours.is_empty()).then(|| Spread::of_ratios(&ours, &theirs));
    let [again, tm] = [0, 1].map(|way| memory.iter().map(|ways| ways[way].waiting).collect::<Vec<_>>());
    let missing = |name: &str, is_there: bool| match is_there {
        true => String::new(),
        false => format!("OpenSIPS' {name} module was not built"),
    };
    let jwt = over(costs, "auth_jwt", "checked");
    let crowd = options.iter().map(|p99| p99[1]).collect::<Vec<_>>();
    vec![
        Goal("20a", "OpenSIPS: auth_jwt ÷ ours, RS256, every token new, CPU", 8.0, 12.0)
            .at_least(jwt, &missing("auth_jwt", jwt.is_some())),
        Goal("20b", "OpenSIPS: what the check of a known token adds, ÷ bare registration, CPU", 0.12, 0.06)
            .at_most(Some(added(costs)), ""),
        Goal("20c", "OpenSIPS: introspections per second at 50 ms ÷ blocking rest_client", 50.0, 60.0)
            .at_least(rate, &missing("rest_client", rate.is_some())),
        Goal("20d", "OpenSIPS: received again ÷ async(), introspection of a new token, CPU", 1.0, 0.9)
            .at_most(over(costs, "parked", "suspended"), ""),
        Goal("20e", "OpenSIPS: received again ÷ async(), shared memory while it waits", 1.0, 0.2)
            .at_most(Some(Spread::of_ratios(&again, &tm)), ""),
        Goal("20f", "OpenSIPS: p99 of OPTIONS while 500 wait for 1 s, ms", 50.0, 10.0)
            .at_most(Some(Spread::of(&crowd)), &format!("all {CROWD} were answered with 200 in each round")),
    ]
}

/// The figures.
pub fn figures(measured: &Measured) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |group: &str, name: &str, values: Vec<f64>, unit: &str| {
        if !values.is_empty() {
            let (group, name, unit) = (format!("OpenSIPS: {group}"), name.into(), unit.into());
            figures.push(Figure { group, name, value: Spread::of(&values), unit });
        }
    };
    for (name, title) in NAMES {
        add("CPU of the proxy per REGISTER", title, cpu(&measured.costs, name), "µs");
    }
    let rates = |of: fn(&Rates) -> Option<f64>| measured.rates.iter().filter_map(of).collect::<Vec<f64>>();
    let group = format!("introspections per second, server takes 50 ms, {WORKERS} workers");
    add(&group, "oauth_check", rates(|round| Some(round.ours)), "1/s");
    add(&group, "rest_client, blocking", rates(|round| round.blocking), "1/s");
    add(&group, "rest_client, async()", rates(|round| round.suspended), "1/s");
    let group = "shared memory per request";
    for (way, name) in ["received again", "async()"].into_iter().enumerate() {
        let of = |value: fn(&Memory) -> f64| measured.memory.iter().map(|ways| value(&ways[way])).collect();
        add(group, &format!("{name}: waiting"), of(|memory| memory.waiting), "octets");
        add(group, &format!("{name}: a second after the answer"), of(|memory| memory.later), "octets");
        let left = measured.left_over.iter().map(|ways| ways[way]).collect();
        add(&format!("shared memory not given back after {MANY} requests that waited"), name, left, "octets");
    }
    let names = ["nobody waits", &format!("{CROWD} wait to be received again"), &format!("{CROWD} wait in async()")];
    for (place, name) in names.into_iter().enumerate() {
        let times = measured.options.iter().map(|p99| p99[place]).collect();
        add("p99 of the time to the reply to OPTIONS", name, times, "ms");
    }
    figures
}
