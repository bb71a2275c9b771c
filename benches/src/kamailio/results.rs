// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the rounds come to: ratios with their goals, figures, pictures.

use super::rounds::Costs;
use super::waiting::{Overload, PERCENTILES};
use crate::part::{Content, Figure, Goal, Plot, Ratio};
use crate::proxies::loads::Cost;
use crate::rounds::Spread;

/// What is measured about slow servers, one value for each round.
#[derive(Default)]
pub struct Waits {
    /// 99th percentile of requests that need no server: without and with others that do.
    pub bystanders: Vec<(f64, f64)>,
    /// The same percentiles as in the picture: name, values of each round.
    pub percentiles: Vec<(&'static str, Vec<[f64; PERCENTILES.len()]>)>,
    /// Introspections per second: ours and http_client's.
    pub rates: Vec<(f64, Option<f64>)>,
    /// At twice our rate.
    pub overloads: Vec<Overload>,
}

const NAMES: [(&str, &str); 16] = [
    ("plain", "saved without looking at the token (B)"),
    ("cached", "Bearer, token known"),
    ("cached_before", "Bearer, token known, build before"),
    ("pop unchecked", "message with a proof, saved without check"),
    ("pop", "proof of possession"),
    ("digest challenge", "Digest, static password: 401"),
    ("digest answer", "Digest, static password: answer"),
    ("digest", "Digest, static password: both"),
    ("auth_db", "Digest, auth_db on SQLite: both"),
    ("rs256", "Bearer, RS256, every token new"),
    ("rs256_before", "Bearer, RS256, every token new, build before"),
    ("es256", "Bearer, ES256, every token new"),
    ("opaque", "introspection, every token new"),
    ("http_client", "introspection by http_client, blocking"),
    ("jwt_rs256", "Kamailio's jwt, RS256"),
    ("jwt_es256", "Kamailio's jwt, ES256"),
];

fn values(costs: &[Costs], name: &str, value: fn(&Cost) -> f64) -> Vec<f64> {
    costs.iter().filter_map(|round| round.get(name)).map(value).collect()
}

fn cpu(costs: &[Costs], name: &str) -> Vec<f64> {
    values(costs, name, |cost| cost.cpu)
}

/// What one costs, over what another costs in the same round.
fn over(costs: &[Costs], above: &str, below: &str) -> Option<Spread> {
    let pairs: Vec<(f64, f64)> =
        costs.iter().filter_map(|round| Some((round.get(above)?.cpu, round.get(below)?.cpu))).collect();
    let (above, below): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    (!above.is_empty()).then(|| Spread::of_ratios(&above, &below))
}

/// What one costs, over the plain REGISTER that was measured right before it.
fn over_plain(costs: &[Costs], name: &str) -> Option<Spread> {
    let own = cpu(costs, name);
    (!own.is_empty()).then(|| Spread::of_ratios(&own, &values(costs, name, |cost| cost.plain)))
}

/// The ratios of PERFORMANCE that are measured here.
pub fn ratios(costs: &[Costs], waits: &Waits) -> Vec<Ratio> {
    let jwt = |name| if cpu(costs, name).is_empty() { "Kamailio's jwt module is not installed" } else { "" };
    let (without, with): (Vec<f64>, Vec<f64>) = waits.bystanders.iter().copied().unzip();
    let rates: Vec<(f64, f64)> = waits.rates.iter().filter_map(|(ours, theirs)| Some((*ours, (*theirs)?))).collect();
    let (ours, theirs): (Vec<f64>, Vec<f64>) = rates.into_iter().unzip();
    let sum = |count: fn(&Overload) -> u64| waits.overloads.iter().map(count).sum::<u64>();
    let overload = format!(
        "at twice the rate {} accepted, {} refused with 503, {} lost, no process died",
        sum(|o| o.accepted),
        sum(|o| o.refused),
        sum(|o| o.lost)
    );
    let missing = "Kamailio's http_client module is not installed";
    let rate = (!ours.is_empty()).then(|| Spread::of_ratios(&ours, &theirs));
    vec![
        Goal("1", "cached Bearer REGISTER ÷ B", 1.10, 1.05).at_most(over_plain(costs, "cached"), ""),
        Goal("2", "whole Bearer registration ÷ whole Digest registration", 0.58, 0.55)
            .at_most(over(costs, "cached", "digest"), ""),
        Goal("3", "PoP REGISTER ÷ the same saved without check", 1.6, 1.35).at_most(over_plain(costs, "pop"), ""),
        Goal("4", "uncached RS256 REGISTER ÷ B", 3.3, 2.9).at_most(over_plain(costs, "rs256"), ""),
        Goal("5a", "Kamailio's jwt ÷ ours, RS256, every token new", 11.0, 13.0)
            .at_least(over(costs, "jwt_rs256", "rs256"), jwt("jwt_rs256")),
        Goal("5b", "Kamailio's jwt ÷ ours, ES256, every token new", 5.5, 6.2)
            .at_least(over(costs, "jwt_es256", "es256"), jwt("jwt_es256")),
        Goal("9", "plain REGISTER p99 with ÷ without 30/s introspections of 50 ms", 1.2, 1.0)
            .at_most(Some(Spread::of_ratios(&with, &without)), ""),
        Goal("10", "introspections per second at 50 ms ÷ blocking http_client", 50.0, 100.0)
            .at_least(rate, if theirs.is_empty() { missing } else { &overload }),
        Goal("12b", "introspection of a new token, 0 ms server ÷ blocking http_client", 0.70, 0.5)
            .at_most(over(costs, "opaque", "http_client"), if theirs.is_empty() { missing } else { "" }),
    ]
}

/// The figures.
pub fn figures(costs: &[Costs], waits: &Waits) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |group: &str, name: &str, value: Spread, unit: &str| {
        figures.push(Figure { group: group.into(), name: name.into(), value, unit: unit.into() });
    };
    for (name, title) in NAMES {
        let own = cpu(costs, name);
        if !own.is_empty() {
            add("CPU of the proxy per REGISTER", title, Spread::of(&own), "µs");
        }
    }
    for (name, title) in NAMES {
        let faults = values(costs, name, |cost| cost.faults);
        if faults.iter().any(|faults| faults.is_finite()) {
            add("Page faults of the proxy per REGISTER", title, Spread::of(&faults), "");
        }
    }
    for (name, title) in NAMES {
        if let Some(ratio) = over(costs, name, "plain").filter(|_| name != "plain") {
            add("The same ÷ B", title, ratio, "×");
        }
    }
    for (name, rounds) in &waits.percentiles {
        for (place, percent) in PERCENTILES.iter().enumerate().filter(|(_, p)| [50.0, 99.0].contains(*p)) {
            let all: Vec<f64> = rounds.iter().map(|round| round[place]).collect();
            add(
                "Time to the reply of requests that need no server",
                &format!("{name}, p{percent}"),
                Spread::of(&all),
                "ms",
            );
        }
    }
    let (ours, theirs): (Vec<f64>, Vec<Option<f64>>) = waits.rates.iter().copied().unzip();
    let theirs: Vec<f64> = theirs.into_iter().flatten().collect();
    let group = "Introspections per second, server takes 50 ms";
    add(group, "auth_oauth", Spread::of(&ours), "1/s");
    if !theirs.is_empty() {
        add(group, "http_client, blocking, 2 workers", Spread::of(&theirs), "1/s");
    }
    let lost: Vec<f64> = waits.overloads.iter().map(|o| o.lost as f64).collect();
    add(group, "lost at twice the rate of auth_oauth", Spread::of(&lost), "requests");
    figures
}

/// The pictures.
pub fn plots(costs: &[Costs], waits: &Waits) -> Vec<Plot> {
    let bars = NAMES.iter().filter(|(name, _)| !["digest challenge", "digest answer", "pop unchecked"].contains(name));
    let bars = bars.filter_map(|(name, title)| {
        let own = cpu(costs, name);
        (!own.is_empty()).then(|| ((*title).to_owned(), Spread::of(&own)))
    });
    let line = |(name, rounds): &(&str, Vec<[f64; PERCENTILES.len()]>)| {
        let point = |(place, percent): (usize, &f64)| {
            let all: Vec<f64> = rounds.iter().map(|round| round[place]).collect();
            (*percent, Spread::of(&all).median)
        };
        ((*name).to_owned(), PERCENTILES.iter().enumerate().map(point).collect())
    };
    vec![
        Plot {
            file: "cost".into(),
            title: "CPU time of the proxy per registration".into(),
            x: "µs".into(),
            y: String::new(),
            log_x: true,
            log_y: false,
            content: Content::Bars(bars.collect()),
        },
        Plot {
            file: "bystanders".into(),
            title: "Requests that need no server, while it takes 50 ms for others".into(),
            x: "percentile".into(),
            y: "ms to the reply".into(),
            log_x: false,
            log_y: true,
            content: Content::Lines(waits.percentiles.iter().map(line).collect()),
        },
    ]
}
