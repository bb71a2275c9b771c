// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ratios and figures as Markdown, which a terminal shows just as well.

use std::fmt::Write as _;

use crate::part::{Part, Ratio};
use crate::rounds::Spread;

/// What a ratio came to: stretch, goal, missed, or not measured.
pub fn verdict(ratio: &Ratio) -> &'static str {
    let Some(measured) = ratio.measured else { return "not measured" };
    let reached = |aim: f64| if ratio.more_is_better { measured.median >= aim } else { measured.median <= aim };
    match (reached(ratio.stretch), reached(ratio.goal)) {
        (true, _) => "stretch",
        (false, true) => "goal",
        (false, false) => "missed",
    }
}

/// A number with three significant digits.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if !v.is_finite() => return "–".into(),
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

fn spread(value: Spread) -> String {
    match value.low == value.high {
        true => number(value.median),
        false => format!("{} ({}–{})", number(value.median), number(value.low), number(value.high)),
    }
}

fn row(cells: &[Vec<String>]) -> String {
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| cells.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for (line, row) in cells.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(out, "| {cell}{} ", " ".repeat(width - cell.chars().count()));
        }
        out.push_str("|\n");
        if line == 0 {
            let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            let _ = writeln!(out, "|{}|", dashes.join("|"));
        }
    }
    out
}

/// The order of ratios: by number, then by letter.
fn order(ratio: &Ratio) -> (u32, String) {
    let digits = ratio.id.trim_end_matches(|c: char| !c.is_ascii_digit());
    (digits.parse().unwrap_or(u32::MAX), ratio.id.clone())
}

/// The table of ratios, and what is to be known of some.
pub fn ratios(parts: &[Part]) -> String {
    let mut all: Vec<&Ratio> = parts.iter().flat_map(|part| &part.ratios).collect();
    all.sort_by_key(|ratio| order(ratio));
    let heads = ["#", "ratio", "measured (low–high)", "goal", "stretch", "verdict"];
    let mut cells = vec![heads.map(str::to_owned).to_vec()];
    let mut notes = String::new();
    for ratio in all {
        let sign = if ratio.more_is_better { "≥" } else { "≤" };
        cells.push(vec![
            ratio.id.clone(),
            ratio.what.clone(),
            ratio.measured.map_or("–".into(), spread),
            format!("{sign} {}", ratio.goal),
            ratio.stretch.to_string(),
            verdict(ratio).to_owned(),
        ]);
        if !ratio.note.is_empty() {
            let _ = writeln!(notes, "- {}: {}", ratio.id, ratio.note);
        }
    }
    let gap = if notes.is_empty() { "" } else { "\n" };
    format!("{}{gap}{notes}", row(&cells))
}

/// The figures, by group.
pub fn figures(parts: &[Part]) -> String {
    let mut groups: Vec<&str> = Vec::new();
    let all = || parts.iter().flat_map(|part| &part.figures);
    for figure in all() {
        if !groups.contains(&figure.group.as_str()) {
            groups.push(&figure.group);
        }
    }
    let mut out = String::new();
    for group in groups {
        let mut cells = vec![vec![group.to_owned(), "median (low–high)".to_owned(), String::new()]];
        for figure in all().filter(|figure| figure.group == group) {
            cells.push(vec![figure.name.clone(), spread(figure.value), figure.unit.clone()]);
        }
        let _ = writeln!(out, "{}", row(&cells));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(id: &str, measured: Option<f64>, more_is_better: bool) -> Ratio {
        Ratio {
            id: id.into(),
            what: "a ÷ b".into(),
            measured: measured.map(Spread::exact),
            goal: 2.0,
            stretch: if more_is_better { 3.0 } else { 1.0 },
            more_is_better,
            note: if measured.is_none() { "no b here".into() } else { String::new() },
        }
    }

    #[test]
    fn verdicts() {
        for (measured, more, wanted) in [
            (Some(1.0), false, "stretch"),
            (Some(1.5), false, "goal"),
            (Some(2.1), false, "missed"),
            (Some(3.0), true, "stretch"),
            (Some(2.0), true, "goal"),
            (Some(1.9), true, "missed"),
            (None, false, "not measured"),
        ] {
            assert_eq!(verdict(&ratio("1", measured, more)), wanted, "{measured:?}");
        }
    }

    #[test]
    fn ratios_are_in_the_order_of_their_numbers() {
        let part = Part {
            ratios: vec![ratio("10", Some(1.0), false), ratio("5b", Some(1.0), false), ratio("5a", None, false)],
            ..Part::default()
        };
        let text = ratios(&[part]);
        let firsts: Vec<&str> =
            text.lines().skip(2).take(3).map(|line| line.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(firsts, ["5a", "5b", "10"]);
        assert!(text.ends_with("\n- 5a: no b here\n"), "{text}");
    }

    #[test]
    fn three_digits() {
        assert_eq!([0.0, 0.0123, 1.234, 12.34, 123.4].map(number), ["0", "0.0123", "1.23", "12.3", "123"]);
    }
}
