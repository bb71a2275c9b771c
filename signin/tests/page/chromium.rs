// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page in headless Chromium, with scripts and without. `SHOTS=folder` keeps pictures of it.

use std::time::Duration;

use serde_json::Value;
use sipoauth_core::records::phone_use::{PhoneUse, call_id_name};

use crate::site::{Site, now};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::kit;
use crate::support::process::Process;
use crate::support::temporary::Directory;

const LIMIT: Duration = Duration::from_secs(120);
const ALICE: &str = "sip:alice@example.test";

/// A user's whole way through the page: each event that the script tells.
fn play(scripts: bool) -> Vec<Value> {
    let server = AuthorizationServer::start();
    let site = Site::start(server.issuer());
    let directory = Directory::new("chromium");
    let chromium = std::env::var_os("CHROMIUM").map_or_else(|| kit::program("chromium"), Into::into);
    let mut command = kit::node("browser-page.mjs");
    command.env("PAGE", &site.url).env("CHROMIUM", chromium).env("SCRIPTS", if scripts { "yes" } else { "no" });
    if let Some(shots) = std::env::var_os("SHOTS").filter(|_| scripts) {
        command.env("SHOTS", shots);
    }
    let mut process = Process::start("chromium", command, directory.path());
    process.wait_for("\"waiting\"", LIMIT).unwrap_or_else(|error| panic!("{error}"));
    // The proxy notes that the desk phone has registered.
    let phones = site.store().phones(ALICE, now()).unwrap();
    let desk = phones.iter().find(|phone| phone.session.name.starts_with("Desk")).expect("a phone");
    let seen = PhoneUse::new(now() / 1000 - 200, "192.0.2.44", "Snom D785/10.1.175.16", call_id_name(b"c"));
    site.store().note_use(&desk.session.id, &seen, now() + 600_000, now()).unwrap();
    process.send_line("go on");
    process.wait_for("\"event\":\"e", LIMIT).unwrap_or_else(|error| panic!("{error}"));
    process.wait(LIMIT);
    assert!(site.store().phones(ALICE, now()).unwrap().is_empty(), "{}", process.output());
    let events: Vec<Value> = process.output().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let secret = event(&events, "device")["values"]["Password"].as_str().unwrap().to_owned();
    assert!(!site.log().contains(&secret));
    // No address that the browser asked for, and no referrer, has the password or the code.
    let code = event(&events, "code")["code"].as_str().unwrap().replace(' ', "");
    for request in event(&events, "end")["requests"].as_array().unwrap() {
        let (url, referrer) = (request["url"].as_str().unwrap(), request["referrer"].as_str().unwrap());
        assert!(!url.contains(&secret) && !url.contains(&code), "{url}");
        assert!(!referrer.starts_with(&site.url), "{referrer} for {url}");
    }
    events
}

fn event<'a>(events: &'a [Value], name: &str) -> &'a Value {
    events.iter().find(|event| event["event"] == name).unwrap_or_else(|| panic!("no '{name}': {events:#?}"))
}

fn check(events: &[Value]) {
    for trouble in ["error", "overflow"] {
        assert!(events.iter().all(|event| event["event"] != trouble), "{events:#?}");
    }
    // The last page answers 400, and the form that is sent again 409. Chromium notes both.
    let is_known = |text: String| ["status of 400", "status of 409"].iter().any(|status| text.contains(status));
    let noted = |event: &&Value| event["event"] == "console" && !is_known(event["text"].to_string());
    assert_eq!(events.iter().find(noted), None, "no policy was violated");
    assert!(event(events, "signed in")["text"].to_string().contains("alice@example.test"));
    let device = event(events, "device");
    assert_eq!((&device["values"]["User (address)"], &device["drawn"]), (&"alice".into(), &true.into()));
    assert_eq!(device["values"]["Password"].as_str().map(str::len), Some(21));
    assert!(event(events, "code")["code"].as_str().is_some_and(|code| code.len() == 11), "{events:#?}");
    assert!(event(events, "again")["text"].to_string().contains("added already"), "{events:#?}");
    let list = event(events, "list")["text"].to_string();
    for words in ["3 min ago", "192.0.2.44", "Snom D785/10.1.175.16", "Softphone"] {
        assert!(list.contains(words), "{words}: {list}");
    }
    assert_eq!(event(events, "renamed")["note"], "The name was saved.");
    assert_eq!(event(events, "signed out")["phones"], serde_json::json!(["Desk phone, room 12"]));
}

#[test]
fn the_whole_flow_with_scripts() {
    let events = play(true);
    check(&events);
    assert!(event(&events, "device")["copies"].as_u64().is_some_and(|number| number >= 6), "{events:#?}");
}

#[test]
fn the_whole_flow_without_scripts() {
    let events = play(false);
    check(&events);
    assert_eq!(event(&events, "device")["copies"], 0);
}
