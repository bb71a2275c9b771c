// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the bench of REFER comes to.

use super::memory::Memory;
use crate::part::{Figure, Goal, Ratio};
use crate::rounds::Spread;

/// CPU of each round: microseconds for a state with all its requests.
#[derive(Default)]
pub struct Costs {
    /// States that begin in a second. The first pace is the one that has a goal.
    pub paces: [f64; 2],
    /// Ours, at each pace.
    pub refer: [Vec<f64>; 2],
    /// presence_dialoginfo.
    pub dialog: [Vec<f64>; 2],
    /// presence_mwi.
    pub summary: [Vec<f64>; 2],
    /// What each proxy takes with nothing to do, in microseconds per second.
    pub idle: Vec<(&'static str, f64)>,
    /// NOTIFY requests that came, of all proxies.
    pub notifies: usize,
    /// As many had to come.
    pub wanted: usize,
    /// Copies that phones or proxies have sent because an answer took its time.
    pub repeated: usize,
    /// NOTIFY requests that said again what was told before, by proxy.
    pub again: Vec<(&'static str, usize)>,
    /// States of all rounds of one proxy.
    pub count: usize,
}

/// Memory of the proxy with REFERs.
pub struct Growth {
    /// Unfinished REFERs each time.
    pub count: usize,
    /// REFERs in between.
    pub between: usize,
    /// What the first unfinished ones have added.
    pub first: Memory,
    /// The same each time after so many others.
    pub later: Vec<Later>,
}

/// Memory above that of the beginning.
pub struct Later {
    /// When all were forgotten.
    pub forgotten: Memory,
    /// With as many unfinished ones again.
    pub again: Memory,
}

const NO_PRESENCE: &str = "Kamailio's presence module is not installed";

/// The ratios with their goals.
pub fn ratios(costs: &Costs, growth: &Growth) -> Vec<Ratio> {
    let (dialog, summary) = (&costs.dialog[0], &costs.summary[0]);
    let peer = |below: &[f64]| (!below.is_empty()).then(|| Spread::of_ratios(&costs.refer[0], below));
    let note = |below: &[f64], note: String| if below.is_empty() { NO_PRESENCE.to_owned() } else { note };
    let Growth { count, between, first, later } = growth;
    let steady =
        later.last().zip(later.first()).map(|(last, first)| last.again.without_arena() / first.again.without_arena());
    vec![
        Goal("21a", "REFER with two subscribers and three states ÷ the same by presence_dialoginfo, CPU", 0.7, 0.5)
            .at_most(
                peer(dialog),
                &note(
                    dialog,
                    format!(
                        "one REFER or PUBLISH, two SUBSCRIBEs, two changes, six NOTIFYs; {} a second, {} of each in all, \
                         none of their NOTIFYs was lost; presence keeps everything in memory",
                        costs.paces[0], costs.count
                    ),
                ),
            ),
        Goal("21b", "REFER with two subscribers and three states ÷ the same by presence_mwi, CPU", 0.7, 0.5)
            .at_most(peer(summary), &note(summary, "its bodies are text that nobody parses".to_owned())),
        Goal("21c", "octets per unfinished REFER with two subscribers, all in", 2000.0, 1500.0).at_most(
            Some(Spread::exact(first.total() / *count as f64)),
            &format!("{count} REFERs, when tm has let go of their transactions"),
        ),
        // How much the allocator takes at first depends on how many REFERs there were at once, which differs a little.
        Goal("21d", "memory of unfinished REFERs after twice as many others ÷ after so many others", 1.1, 1.02).at_most(
            steady.map(Spread::exact),
            &format!(
                "{count} REFERs each time, after {between} and after {} whose time has passed; without the library's \
                 shared memory, which has its size from the start",
                2 * between + count
            ),
        ),
    ]
}

/// Plain figures.
pub fn figures(costs: &Costs, growth: &Growth) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |group: &str, name: &str, value: Spread, unit: &str| {
        figures.push(Figure { group: group.into(), name: name.into(), value, unit: unit.into() });
    };
    let names = ["REFER, auth_oauth", "PUBLISH, presence_dialoginfo", "PUBLISH, presence_mwi"];
    for (pace, per_second) in costs.paces.iter().enumerate() {
        let values = [&costs.refer[pace], &costs.dialog[pace], &costs.summary[pace]];
        let group = format!("CPU of the proxy per state with two subscribers and six NOTIFYs, {per_second} a second");
        for (name, values) in names.into_iter().zip(values).filter(|(_, values)| !values.is_empty()) {
            add(&group, name, Spread::of(values), "µs");
        }
        for (name, below) in [("REFER ÷ presence_dialoginfo", values[1]), ("REFER ÷ presence_mwi", values[2])] {
            if !below.is_empty() {
                add(&group, name, Spread::of_ratios(values[0], below), "×");
            }
        }
    }
    for (name, idle) in &costs.idle {
        add("CPU of a proxy with nothing to do, subtracted above", name, Spread::exact(*idle), "µs/s");
    }
    let group = "NOTIFYs of all three";
    add(group, &format!("came, of {}", costs.wanted), Spread::exact(costs.notifies as f64), "");
    add(group, "requests and NOTIFYs repeated", Spread::exact(costs.repeated as f64), "");
    for (name, again) in &costs.again {
        add(group, &format!("told again by {name}"), Spread::exact(*again as f64), "");
    }
    let mut memories = vec![("Memory per unfinished REFER with two subscribers".to_owned(), &growth.first)];
    for (round, later) in growth.later.iter().enumerate() {
        let others = format!("after {} others", (round + 1) * growth.between + round * growth.count);
        memories.push((format!("What is left of it {others}, when all are forgotten"), &later.forgotten));
        memories.push((format!("The same {others}, with as many unfinished ones again"), &later.again));
    }
    for (group, memory) in memories {
        let parts = [
            ("shared memory of the library", memory.arena),
            ("private memory of the module's own process", memory.io_process),
            ("private memory of the other processes", memory.others),
            ("shared memory of Kamailio", memory.kamailio),
        ];
        for (name, octets) in parts {
            add(&group, name, Spread::exact((octets / growth.count as f64).round()), "octets");
        }
    }
    figures
}
