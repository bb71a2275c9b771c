// SPDX-License-Identifier: MIT OR Apache-2.0

//! The pages for operators name every reason, every setting and every example, and their links lead somewhere; what is made
//! of a table is as the table says.

mod docbook;
mod manual;
mod reference;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sipoauth_core::config::provider_settings::ProviderSettings;
use sipoauth_core::config::settings::{GONE, Settings};
use sipoauth_core::reason::Reason;
use sipoauth_core::refer::reason::ReferReason;

const README: &str = include_str!("../../README.md");
const SETTINGS: &str = include_str!("../../docs/reference/settings.md");
const FUNCTIONS: &str = include_str!("../../docs/reference/functions.md");
const REASONS: &str = include_str!("../../docs/reference/reasons.md");
const PROVIDER: &str = include_str!("../../docs/guide/provider.md");

fn missing<'a>(page: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.filter(|name| !page.contains(&format!("`{name}`"))).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An operator reads it in ten minutes.
#[test]
fn the_readme_is_short() {
    assert!(README.lines().count() <= 160 && README.len() <= 12_000, "{} octets", README.len());
}

/// The pages: README and others at the top, and all in docs.
fn pages() -> Vec<PathBuf> {
    let (mut pages, mut folders) = (
        ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name)).to_vec(),
        vec![root().join("docs")],
    );
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("part of the project").flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { pages.push(entry.path()) }
        }
    }
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let (pages, mut links) = (pages(), 0);
    assert!(pages.len() > 18, "{pages:?}");
    for page in &pages {
        let text = fs::read_to_string(page).expect("text");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            assert!(file.exists(), "{}: {target}", page.display());
            let is_there = |text: &str| text.lines().any(|line| line.starts_with('#') && anchor(line) == place);
            let is_known = place.is_empty() || fs::read_to_string(&file).is_ok_and(|text| is_there(&text));
            assert!(is_known, "{}: {target}", page.display());
            links += 1;
        }
    }
    assert!(links > 40, "{links}");
}

/// Whoever looks for a place in the source finds it.
#[test]
fn every_place_that_contributors_are_sent_to() {
    let text = [include_str!("../../CONTRIBUTING.md"), include_str!("../../docs/develop/ARCHITECTURE.md")].concat();
    let quoted = text.split('`').skip(1).step_by(2);
    let tops =
        ["core/", "src/", "cli/", "modules/", "docs/", "tests/", "benches/", "cfg-examples", "tools/", "include/"];
    let is_file = |name: &str| name.contains('/') && (name.ends_with(".rs") || name.ends_with(".c"));
    let places = quoted.filter(|name| tops.iter().any(|top| name.starts_with(top)) || is_file(name));
    let places: BTreeSet<&str> = places.collect();
    assert!(places.len() > 60, "{places:?}");
    let exists =
        |place: &&str| ["", "core/src", "src", "modules"].iter().any(|top| root().join(top).join(place).exists());
    let lost: Vec<_> = places.into_iter().filter(|place| !exists(place)).collect();
    assert_eq!(lost, [""; 0]);
}

/// What the pages call a function, a number or a structure of the C interface is one.
#[test]
fn every_name_of_the_c_interface() {
    let header = include_str!("../../include/sipoauth.h");
    let words: BTreeSet<&str> = header.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let mut names = BTreeSet::new();
    for page in pages() {
        let text = fs::read_to_string(page).expect("text");
        let quoted =
            text.split('`').skip(1).step_by(2).filter(|name| name.to_ascii_lowercase().starts_with("sipoauth_"));
        names.extend(quoted.filter(|name| !name.contains([' ', '.', '/', '('])).map(str::to_owned));
    }
    assert!(names.len() > 30, "{names:?}");
    let lost: Vec<_> = names.into_iter().filter(|name| !words.contains(name.as_str())).collect();
    assert_eq!(lost, [""; 0]);
}

/// What the glossary calls a name of the code is one.
#[test]
fn every_name_of_the_glossary() {
    let glossary = include_str!("../../docs/develop/GLOSSARY.md");
    let rows = glossary.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|')?.rsplit('|').next());
    let names = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let types: BTreeSet<&str> = names.filter(|name| name.starts_with(char::is_uppercase)).collect();
    assert!(types.len() > 30, "{types:?}");
    let mut sources = String::new();
    for folder in ["core/src", "src"] {
        gather(&root().join(folder), &["rs"], &mut sources);
    }
    let words: BTreeSet<&str> = sources.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ' ').collect();
    let is_defined = |name: &&str| {
        let kinds = ["struct", "enum", "trait", "type"].map(|kind| format!("{kind} {name}"));
        words.iter().any(|text| kinds.iter().any(|kind| text.trim_end().ends_with(kind.as_str())))
    };
    let lost: Vec<_> = types.into_iter().filter(|name| !is_defined(name)).collect();
    assert_eq!(lost, [""; 0]);
}

#[test]
fn every_reason() {
    let reasons = Reason::ALL.iter().map(|r| r.code()).filter(|c| *c != "ok");
    assert_eq!(missing(REASONS, reasons), [""; 0]);
}

#[test]
fn every_command() {
    let page = include_str!("../../docs/reference/rpc.md");
    let calls = page.lines().filter_map(|line| line.strip_prefix("kamcmd auth_oauth."));
    let named: BTreeSet<&str> = calls.filter_map(|call| call.split_whitespace().next()).collect();
    let known = sipoauth::commands::COMMANDS.iter().map(|command| command.name.to_str().expect("ASCII")).collect();
    assert_eq!(named, known);
}

/// The keys that may be written in the configuration.
fn keys(settings: &impl Serialize) -> BTreeSet<String> {
    let value = serde_json::to_value(settings).expect("texts, numbers and lists");
    value.as_object().expect("a structure").keys().cloned().collect()
}

/// Those that a host sets one by one; providers, offers and the sign-in page have lines or tables of their own.
fn global_keys() -> BTreeSet<String> {
    let mut keys = keys(&Settings::default());
    keys.retain(|key| !["provider", "offer", "sign_in_page"].contains(&key.as_str()));
    keys
}

#[test]
fn every_setting() {
    let (global, of_providers) = (global_keys(), keys(&ProviderSettings::default()));
    assert!(global.len() > 40 && of_providers.len() > 30);
    assert_eq!(missing(SETTINGS, global.iter().chain(&of_providers).map(String::as_str)), [""; 0]);
}

/// Examples, pages, tests and benches write no setting that is gone: some of them are read by nothing that runs often.
#[test]
fn nothing_writes_a_setting_that_is_gone() {
    let mut texts = String::new();
    for folder in ["cfg-examples", "docs", "tests", "tools", "examples", "benches/src", "benches/kamailio"] {
        gather(&root().join(folder), &["rs", "md", "cfg", "toml", "lua", "py", "mjs", "sh", "c"], &mut texts);
    }
    // In a text of Rust a line ends so.
    let texts = texts.replace("\\n", "\n");
    let written = |key: &str| {
        texts.match_indices(key).any(|(at, _)| {
            let whole = !texts[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
            whole && texts[at + key.len()..].trim_start_matches(' ').starts_with('=')
        })
    };
    assert!(written("max_pending"));
    let found: Vec<_> = GONE.iter().map(|(key, _)| *key).filter(|key| written(key)).collect();
    assert_eq!(found, [""; 0]);
}

/// Each reason has its row: status, and what to do.
#[test]
fn every_refusal_says_what_to_do() {
    let rows =
        REASONS.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').map(str::trim).collect());
    let rows: Vec<Vec<&str>> = rows.collect();
    for reason in Reason::ALL.iter().filter(|r| **r != Reason::Ok) {
        let code = format!("`{}`", reason.code());
        let row = rows.iter().find(|row| row[1].split(", ").any(|name| name == code));
        let row = row.unwrap_or_else(|| panic!("no row for {code}"));
        assert!(row[2].contains(|c: char| c.is_ascii_digit()) && row[3].len() > 10, "{code}: {row:?}");
        assert!(reason.text().len() > 20, "{code}: {}", reason.text());
    }
    for reason in ReferReason::ALL {
        let code = format!("`{}`", reason.code());
        let row = rows.iter().find(|row| row[1].split(", ").any(|name| name == code));
        let row = row.unwrap_or_else(|| panic!("no row for {code}"));
        assert!(row[2].contains(&reason.status().to_string()) && row[3].len() > 10, "{code}: {row:?}");
    }
}

#[test]
fn every_example() {
    let opensips = include_str!("../../docs/guide/opensips.md");
    let pages = [README, PROVIDER].concat();
    for (folder, pages) in
        [("kamailio", &*pages), ("monitoring", &pages), ("providers", &pages), ("opensips", opensips)]
    {
        let entries = fs::read_dir(root().join("cfg-examples").join(folder)).expect("part of the project");
        let names: Vec<String> =
            entries.map(|e| e.expect("readable").file_name().into_string().expect("UTF-8")).collect();
        let names = names.iter().map(String::as_str).filter(|n| !["common.cfg", "README.md"].contains(n));
        assert_eq!(missing(pages, names), [""; 0]);
    }
}

/// What the threat model calls a test is one.
#[test]
fn every_test_that_the_threat_model_names() {
    let text = include_str!("../../docs/develop/threat-model.md");
    let ways = text.split("## What proofs and limits cover").next().expect("the first part");
    let of_ways = ways.lines().filter_map(|line| line.strip_prefix('|')?.trim_end_matches('|').rsplit('|').next());
    let of_limits = text.split("Tests: ").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a paragraph");
    let named = of_ways.chain([of_limits]).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let names: BTreeSet<&str> = named.filter(|name| name.contains('_') && !name.contains(['/', ' '])).collect();
    assert!(names.len() > 30, "{names:?}");
    let mut sources = String::new();
    gather(&root().join("tests"), &["rs"], &mut sources);
    gather(&root().join("signin/tests"), &["rs"], &mut sources);
    let exists =
        |name: &&str| [format!("fn {name}("), format!("    {name}: ")].iter().any(|text| sources.contains(text));
    let unknown: Vec<_> = names.into_iter().filter(|name| !exists(name)).collect();
    assert_eq!(unknown, [""; 0]);
}

/// Adds the texts of all files below a folder that end so.
fn gather(folder: &Path, endings: &[&str], sources: &mut String) {
    for entry in fs::read_dir(folder).expect("part of the project").flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, endings, sources);
        } else if path.extension().is_some_and(|extension| endings.iter().any(|ending| extension == *ending)) {
            sources.push_str(&fs::read_to_string(&path).expect("text"));
        }
    }
}
