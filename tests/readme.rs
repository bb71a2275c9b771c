// SPDX-License-Identifier: MIT OR Apache-2.0

//! The README names every reason, every setting and every example.

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

#[test]
fn every_setting() {
    let settings = include_str!("../src/config/settings.rs");
    // The public fields of the structures that are read from the configuration.
    let fields = settings.lines().filter_map(|l| l.trim().strip_prefix("pub ")?.split_once(':').map(|f| f.0));
    let of_offers = ["offer", "user_agent", "transport", "port", "supported", "provider"];
    assert_eq!(missing(fields.filter(|f| !f.contains(' ') && !of_offers.contains(f))), [""; 0]);
}

#[test]
fn every_example() {
    let folder =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/cfg-examples/kamailio")).expect("part of the project");
    let names: Vec<String> = folder.map(|e| e.expect("readable").file_name().into_string().expect("UTF-8")).collect();
    let names = names.iter().map(String::as_str).filter(|n| *n != "common.cfg");
    assert_eq!(missing(names), [""; 0]);
}
