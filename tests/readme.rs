// SPDX-License-Identifier: MIT OR Apache-2.0

//! The README names every reason, every setting and every example; the Kamailio module hands every setting on.

use std::collections::BTreeSet;

use serde::Serialize;
use sipoauth::config::provider_settings::ProviderSettings;
use sipoauth::config::settings::Settings;
use sipoauth::proto::reason::Reason;

const README: &str = include_str!("../README.md");

fn missing<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.filter(|name| !README.contains(&format!("`{name}`"))).collect()
}

#[test]
fn every_reason() {
    let reasons = Reason::ALL.iter().map(|r| r.code()).filter(|c| *c != "ok");
    assert_eq!(missing(reasons), [""; 0]);
}

/// The keys that may be written in the configuration.
fn keys(settings: &impl Serialize) -> BTreeSet<String> {
    let value = serde_json::to_value(settings).expect("texts, numbers and lists");
    value.as_object().expect("a structure").keys().cloned().collect()
}

/// Those that a host sets one by one; providers and offers have lines or tables of their own.
fn global_keys() -> BTreeSet<String> {
    let mut keys = keys(&Settings::default());
    keys.retain(|key| !["provider", "offer"].contains(&key.as_str()));
    keys
}

#[test]
fn every_setting() {
    let (global, of_providers) = (global_keys(), keys(&ProviderSettings::default()));
    assert!(global.len() > 40 && of_providers.len() > 30);
    assert_eq!(missing(global.iter().chain(&of_providers).map(String::as_str)), [""; 0]);
}

#[test]
fn every_global_setting_is_a_parameter_of_the_kamailio_module() {
    let header = include_str!("../src/shims/kamailio/params_keys.h");
    let names = header.lines().filter_map(|line| line.strip_prefix("KEY(")?.strip_suffix(')')).map(str::to_owned);
    let names: Vec<String> = names.collect();
    let mut parameters: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(parameters.len(), names.len(), "one is there twice");
    assert!(parameters.remove("config_file"), "it says where settings are and is none itself");
    assert_eq!(parameters, global_keys());
}

/// Each reason has its row: status, and what to do.
#[test]
fn every_refusal_says_what_to_do() {
    let table = README.split("## Troubleshooting").nth(1).expect("a part of its own");
    let rows =
        table.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').map(str::trim).collect());
    let rows: Vec<Vec<&str>> = rows.collect();
    for reason in Reason::ALL.iter().filter(|r| **r != Reason::Ok) {
        let code = format!("`{}`", reason.code());
        let row = rows.iter().find(|row| row[1].split(", ").any(|name| name == code));
        let row = row.unwrap_or_else(|| panic!("no row for {code}"));
        assert!(row[2].contains(|c: char| c.is_ascii_digit()) && row[3].len() > 10, "{code}: {row:?}");
        assert!(reason.text().len() > 20, "{code}: {}", reason.text());
    }
}

#[test]
fn every_example() {
    for folder in ["kamailio", "monitoring", "providers"] {
        let path = format!("{}/cfg-examples/{folder}", env!("CARGO_MANIFEST_DIR"));
        let entries = std::fs::read_dir(path).expect("part of the project");
        let names: Vec<String> =
            entries.map(|e| e.expect("readable").file_name().into_string().expect("UTF-8")).collect();
        let names = names.iter().map(String::as_str).filter(|n| !["common.cfg", "README.md"].contains(n));
        assert_eq!(missing(names), [""; 0]);
    }
}

/// What the threat model calls a test is one.
#[test]
fn every_test_that_the_threat_model_names() {
    let text = include_str!("../docs/threat-model.md");
    let ways = text.split("## What proofs and limits cover").next().expect("the first part");
    let of_ways = ways.lines().filter_map(|line| line.strip_prefix('|')?.trim_end_matches('|').rsplit('|').next());
    let of_limits = text.split("Tests: ").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a paragraph");
    let named = of_ways.chain([of_limits]).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let names: BTreeSet<&str> = named.filter(|name| name.contains('_') && !name.contains(['/', ' '])).collect();
    assert!(names.len() > 30, "{names:?}");
    let mut sources = String::new();
    gather(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")), &mut sources);
    let exists =
        |name: &&str| [format!("fn {name}("), format!("    {name}: ")].iter().any(|text| sources.contains(text));
    let unknown: Vec<_> = names.into_iter().filter(|name| !exists(name)).collect();
    assert_eq!(unknown, [""; 0]);
}

fn gather(folder: &std::path::Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).expect("part of the project").flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&std::fs::read_to_string(&path).expect("text"));
        }
    }
}
