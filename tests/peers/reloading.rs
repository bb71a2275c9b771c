// SPDX-License-Identifier: MIT OR Apache-2.0

//! Another configuration, or other keys, while requests go on.

use crate::plant::{self, Plant, key_set};
use crate::site::{AUDIENCE, Site, claims};
use crate::support::scripted_server::{Answer, JWKS, ScriptedServer};
use crate::support::token::{self, TestKey};
use serde_json::{Value, json};
use sipoauth::shared::counters;
use sipoauth::worker::Handling;
use sipoauth_core::reason::Reason;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn provider(name: &str, server: &ScriptedServer) -> Value {
    let domains = format!("{name}.test");
    json!({ "name": name, "issuer": server.issuer(), "audience": AUDIENCE, "aor": "{sip}", "domains": domains })
}

fn statistic(site: &Site, name: &str) -> u64 {
    let index = (0..counters::COUNT).find(|i| counters::name(*i).is_some_and(|n| n.to_bytes() == name.as_bytes()));
    let now = token::now() * 1000;
    site.context.arena().shared().statistic(index.unwrap_or_else(|| panic!("no statistic {name}")), now)
}

#[test]
fn a_request_for_a_provider_that_was_just_added_waits_for_its_keys() {
    let key = TestKey::p256("k");
    let first = ScriptedServer::start(key_set(&[&key]));
    let mut plant = Plant::new(&json!({}), &json!({ "provider": [provider("a", &first)] })).started();
    for round in 0..5 {
        let second = ScriptedServer::start(key_set(&[&key]));
        let token = plant::token(&second, &key);
        assert_eq!(plant.reason(&token), Reason::IssuerUnknown);
        plant.serving(|site, resumed| {
            // In the middle of a step of the service.
            std::thread::sleep(Duration::from_millis(30));
            let both = json!({ "provider": [provider("a", &first), provider("b", &second)] });
            site.reload_globals(&both).expect("a good configuration");
            let verdict = site.worker.check_token(&token, &Handling::default());
            let work = verdict.pending.unwrap_or_else(|| panic!("not parked: {:?}", verdict.answer.reason()));
            site.worker.waits().submit(work, &[], [1000 + round, 0]).expect("room for one more");
            resumed(1000 + round);
            let handling = Handling { resumed: true, ..Handling::default() };
            let reason = site.worker.check_token(&token, &handling).answer.reason();
            assert_eq!(reason, Reason::Ok, "round {round}: {}", site.log.text());
        });
    }
}

#[test]
fn requests_for_a_provider_that_is_removed_do_not_wait_for_their_time_to_end() {
    let (key, new) = (TestKey::p256("k"), TestKey::p256("new"));
    let (stays, goes) = (ScriptedServer::start(key_set(&[&key])), ScriptedServer::start(key_set(&[&key])));
    let both = json!({ "pending_timeout": 30, "provider": [provider("a", &goes), provider("b", &stays)] });
    let mut plant = Plant::new(&json!({}), &both).started();
    goes.set(JWKS, Answer::Hang);
    let token = plant::token(&goes, &new);
    let verdict = plant.site.worker.check_token(&token, &Handling::default());
    let cookie = plant.park(&verdict).expect("an unknown key is worth a fetch");
    plant.step();
    plant.site.reload_globals(&json!({ "provider": [provider("b", &stays)] })).expect("a good configuration");
    let start = Instant::now();
    plant.wait_for(cookie);
    assert!(start.elapsed() < Duration::from_secs(25), "only its deadline has ended the wait");
    let handling = Handling { resumed: true, ..Handling::default() };
    assert_eq!(plant.site.worker.check_token(&token, &handling).answer.reason(), Reason::IssuerUnknown);
}

#[test]
fn the_operator_has_keys_fetched_whatever_the_limits_say() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(key_set(&[&old]));
    let limits = json!({ "key_burst": 1, "key_cooldown": 3600, "source_limit": 60 });
    let mut plant = Plant::at(&server, &limits).started();
    let (first, second) = (plant::token(&server, &old), plant::old_token(&server, &new));
    assert_eq!([plant.reason(&first), plant.reason(&second)], [Reason::Ok, Reason::KeyUnknown]);
    // What requests may cause is used up, and the old key is compromised.
    server.set_keys(key_set(&[&new]));
    for name in ["as", ""] {
        let fetches = plant.state().fetches;
        assert_eq!(plant.site.context.admin().refresh_keys(name).map_err(|e| e.0), Ok(1));
        plant.until("the keys are fetched", |state| state.fetches > fetches && !state.in_flight && !state.asked);
    }
    // The allowance is not given back. Nobody asks for its sake whether the old key is gone.
    assert_eq!([plant.reason(&first), plant.reason(&second)], [Reason::KeyRefreshLimited, Reason::Ok]);

    // In an outage too: the pause until the next attempt does not count.
    server.set(JWKS, Answer::Status(500));
    let failed = |plant: &mut Plant, wanted: u32| {
        plant.site.context.admin().refresh_keys("as").expect("a provider whose keys are fetched");
        plant.until("the fetch fails", |state| state.failures >= wanted && !state.in_flight);
    };
    (1..=3).for_each(|failures| failed(&mut plant, failures));
    let error = plant.site.context.admin().refresh_keys("x\ny").expect_err("no such provider").0;
    assert!(error.contains("no provider is called 'x?y'; there are: as"), "{error}");
}

#[test]
fn keys_that_are_configured_are_not_fetched() {
    let site = Site::new(&[TestKey::p256("k").jwk()], &json!({}));
    for name in ["as", ""] {
        let error = site.context.admin().refresh_keys(name).expect_err("nothing to fetch").0;
        assert!(error.contains("configured") && error.contains("reload"), "{error}");
    }
    assert_eq!(statistic(&site, "key_age"), 0);
}

#[test]
fn the_age_of_keys_is_that_of_the_oldest() {
    let key = TestKey::p256("k");
    let (fresh, down) = (ScriptedServer::start(key_set(&[&key])), ScriptedServer::start(key_set(&[&key])));
    down.set(JWKS, Answer::Status(500));
    let one = json!({ "provider": [provider("a", &fresh)] });
    let mut plant = Plant::new(&json!({}), &one).started();
    let both = json!({ "provider": [provider("a", &fresh), provider("b", &down)] });
    plant.site.reload_globals(&both).expect("a good configuration");
    plant.step();
    let oldest = |plant: &Plant| plant.site.context.arena().shared().oldest_keys.load(Ordering::Relaxed);
    let added = token::now() * 1000;
    while plant.state().fetched_at < added + 2000 {
        plant.site.context.admin().refresh_keys("a").expect("its keys are fetched");
        plant.step();
    }
    assert!(oldest(&plant) < added + 1000, "the fetches of one do not hide that the other has no keys");
    assert!(statistic(&plant.site, "key_age") >= 1);
    plant.site.reload_globals(&one).expect("a good configuration");
    plant.step();
    assert_eq!(oldest(&plant), plant.state().fetched_at);
}

#[test]
fn a_bad_configuration_leaves_the_old_one_in_force_and_says_why() {
    let key = TestKey::p256("k");
    let mut site = Site::new(&[key.jwk()], &json!({}));
    let token = key.token("ES256", &claims(&json!({})));
    let file = |name: &str| site.file(name).display().to_string();
    let one = |name: &str, more: &str| {
        format!(
            "[[provider]]\nname = \"{name}\"\nissuer = \"https://{name}.example\"\naudience = \"x\"\naor = \"{{sip}}\"\n{more}\n"
        )
    };
    std::fs::write(file("latin.json"), b"\xff\xfe").expect("ours");
    std::fs::write(file("broken.json"), "{\"keys\":").expect("ours");
    std::fs::write(file("large.json"), " ".repeat(300 * 1024)).expect("ours");
    for i in 0..4 {
        std::fs::write(file(&format!("big-{i}.pem")), "x".repeat(200 * 1024)).expect("ours");
    }
    let named = |key: &str, path: &str| one("p", &format!("{key} = \"{}\"", file(path)));
    let many: String = (0..65).map(|i| one(&format!("p{i}"), "")).collect();
    let slots: String = (0..20).map(|i| one(&format!("p{i}"), &format!("domains = \"p{i}.test\""))).collect();
    let folder = site.file("sipoauth.toml").parent().expect("a folder").display().to_string();
    for (text, words) in [
        ("leeway = 3\nretry_after = = 4\n".to_owned(), vec!["sipoauth.toml, line 2"]),
        ("leway = 3\n".to_owned(), vec!["sipoauth.toml, line 1", "did you mean 'leeway'"]),
        (String::new(), vec!["no provider is configured"]),
        (many, vec!["65 providers", "at most 64"]),
        (slots, vec!["too many providers are new at once", "restart"]),
        (one("p", "") + &one("p", ""), vec!["'p': name: is used twice"]),
        (named("jwks_file", "missing.json"), vec!["jwks_file: cannot read", "missing.json", "No such file"]),
        (one("p", &format!("jwks_file = \"{folder}\"")), vec!["jwks_file: cannot read"]),
        (named("jwks_file", "latin.json"), vec!["jwks_file", "latin.json is not UTF-8"]),
        (named("jwks_file", "broken.json"), vec!["provider 'p': jwks_file", "broken.json"]),
        (named("jwks_file", "large.json"), vec!["large.json has 307200 octets"]),
        (named("pem_file", "broken.json"), vec!["provider 'p': pem_file", "broken.json"]),
        (one("p", "algorithms = \"HS256\""), vec!["provider 'p': algorithms: HS256 needs"]),
        (format!("store = \"{folder}\"\n") + &one("p", ""), vec!["store"]),
    ] {
        let error = site.reload_text(&text).expect_err(&text);
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
        assert_eq!(site.token(&token), Reason::Ok, "{error}");
    }
    let config = site.file("sipoauth.toml");
    std::fs::remove_file(&config).expect("ours");
    let error = site.context.admin().reload().expect_err("the file is gone").0;
    assert!(error.contains("config_file: cannot read") && error.contains("sipoauth.toml"), "{error}");
    assert_eq!(site.token(&token), Reason::Ok);
    assert_eq!(statistic(&site, "reloads"), 0);
}

#[test]
fn what_a_reload_makes_dangerous_is_said_again() {
    let site = Site::remote(&json!({}), &json!({}));
    assert!(!site.log.text().contains("allow has http"));
    site.reload_globals(&json!({ "allow": "http" })).expect("a good configuration");
    assert!(site.log.text().contains("allow has http"), "{}", site.log.text());
}

#[test]
fn what_only_a_restart_can_change_is_said() {
    let site = Site::remote(&json!({}), &json!({}));
    site.reload_globals(&json!({ "leeway": 7 })).expect("a good configuration");
    assert!(!site.log.text().contains("restarted"), "{}", site.log.text());
    // Twice: the value of the start counts, not that of the last reload.
    for _ in 0..2 {
        site.reload_globals(&json!({ "http_threads": 24 })).expect("a good configuration");
    }
    let line = "http_threads: 16 goes on to count; 24 is taken over when the proxy is restarted";
    assert_eq!(site.log.text().matches(line).count(), 2, "{}", site.log.text());
}

#[test]
fn keys_never_go_with_a_slot_to_another_source() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[&key]));
    let plant = Plant::at(&server, &json!({})).started();
    let (slot, source) = plant.site.worker.placed().places[0];
    let slot = &plant.site.context.arena().slots()[slot];
    assert!(slot.keys_of(source).is_some_and(|(_, keys)| keys.windows(7).any(|w| w == b"\"kid\":\"")));
    assert_eq!(slot.keys_of(source + 2), None);
    slot.assign(source + 2);
    assert_eq!(slot.keys_of(source), None);
    assert_eq!(slot.keys_of(source + 2).expect("an empty set").1, b"{}");
}
