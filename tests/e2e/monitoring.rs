// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is counted is what happened, whichever way it is read; and the dashboard and the alert rules of
//! cfg-examples/monitoring name what a running proxy has.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;

use serde_json::{Value, json};
use sipoauth::shared::counters;

use crate::stack::{Stack, configured, scripted_provider};
use crate::support::patience::{self, PATIENCE};
use crate::support::scripted_server::{self, Answer, JWKS, ScriptedServer};
use crate::support::sip::Request;
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};
use crate::support::{http, kit};

const ALICE: &str = "sip:alice@example.test";
const PREFIX: &str = "kamailio_auth_oauth_";

type Statistics = BTreeMap<String, u64>;

fn names() -> impl Iterator<Item = String> {
    (0..counters::COUNT).map(|i| counters::name(i).expect("a name").to_str().expect("ASCII").to_owned())
}

fn watched(provider: &str, config: &Directory) -> Stack {
    let limits = config.write("limits.toml", "pending_timeout = 10\nsource_limit = 600\n");
    let builder = configured("tests/e2e/monitoring.cfg", provider).define_port("METRICS_PORT");
    // One worker, so that it is known which tokens it has seen.
    Stack::new(builder.workers(1).define_string("CONFIG_FILE", limits.to_str().expect("UTF-8")))
}

fn metrics(stack: &Stack, path: &str) -> (u16, String) {
    let url = format!("http://127.0.0.1:{}{path}", stack.kamailio.defined("METRICS_PORT"));
    http::request("GET", &url).expect("an answer")
}

/// What Prometheus reads.
fn scraped(stack: &Stack) -> Statistics {
    let (status, text) = metrics(stack, "/metrics");
    assert_eq!(status, 200, "{text}");
    let lines = text.lines().map(|line| line.trim_end_matches('\r')).filter(|l| !l.starts_with('#') && !l.is_empty());
    let read = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next()?.strip_prefix(PREFIX)?.to_owned();
        let value = words.next()?.parse().ok()?;
        let time: i64 = words.next()?.parse().ok()?;
        assert!((time / 1000 - token::now()).abs() < 60, "{line}");
        Some((name, value))
    };
    lines.map(|line| read(line).unwrap_or_else(|| panic!("not a metric: {line}"))).collect()
}

/// `name<separator>value` of each line, behind this prefix.
fn printed(text: &str, prefix: &str, separator: char) -> Statistics {
    let pairs = text.lines().filter_map(|line| line.trim().strip_prefix(prefix)?.split_once(separator));
    pairs.filter_map(|(name, value)| Some((name.trim().to_owned(), value.trim().parse().ok()?))).collect()
}

/// JSON-RPC over the datagram socket of jsonrpcs.
fn json_rpc(stack: &Stack, method: &str, parameters: &Value) -> Value {
    let directory = stack.kamailio.directory();
    let own = directory.join("json-rpc-client");
    let socket = UnixDatagram::bind(&own).expect("a writable directory");
    let question = json!({ "jsonrpc": "2.0", "method": method, "params": parameters, "id": 1 }).to_string();
    socket.send_to(question.as_bytes(), directory.join("kamailio_rpc.sock")).expect("jsonrpcs listens");
    let octets = patience::receive_local(&socket, PATIENCE).expect("an answer");
    std::fs::remove_file(own).expect("our own socket");
    serde_json::from_slice(&octets).expect("JSON")
}

fn numbers(object: &Value, prefix: &str) -> Statistics {
    let members = object.as_object().unwrap_or_else(|| panic!("no object: {object}"));
    let number =
        |v: &Value| v.as_u64().or_else(|| v.as_str()?.parse().ok()).unwrap_or_else(|| panic!("no number: {v}"));
    members.iter().map(|(name, v)| (name.strip_prefix(prefix).expect(name).to_owned(), number(v))).collect()
}

/// Every way in which an operator can read them.
fn everywhere(stack: &Stack) -> Vec<(&'static str, Statistics)> {
    let rpc = |method: &str, arguments: &[&str]| stack.rpc(method, arguments).expect(method);
    let json = |method: &str, parameters: Value| json_rpc(stack, method, &parameters)["result"].take();
    let lines = json("stats.get_statistics", json!(["auth_oauth:"]));
    let lines: Vec<_> = lines.as_array().expect("a list").iter().map(|l| l.as_str().expect("a line")).collect();
    vec![
        ("kamcmd auth_oauth.stats", printed(&rpc("auth_oauth.stats", &[]), "", ':')),
        ("kamcmd stats.get_statistics", printed(&rpc("stats.get_statistics", &["auth_oauth:"]), "auth_oauth:", '=')),
        ("kamcmd stats.fetch", printed(&rpc("stats.fetch", &["auth_oauth:"]), "auth_oauth.", ':')),
        ("jsonrpcs auth_oauth.stats", numbers(&json("auth_oauth.stats", json!([])), "")),
        ("jsonrpcs stats.get_statistics", printed(&lines.join("\n"), "auth_oauth:", '=')),
        ("jsonrpcs stats.fetch", numbers(&json("stats.fetch", json!(["auth_oauth:"])), "auth_oauth.")),
        ("xhttp_prom", scraped(stack)),
    ]
}

#[test]
fn the_counters_of_a_scripted_run_are_exact_in_every_view() {
    let (old, new, unpublished) = (TestKey::p256("old"), TestKey::p256("new"), TestKey::p256("unpublished"));
    let server = ScriptedServer::start(scripted_server::key_set(&[old.jwk()]));
    let directory = Directory::new("monitoring");
    let stack = watched(&scripted_provider(&server), &directory);
    stack.wait_for_keys();
    let claims = |changes: Value| {
        let mut claims = token::claims(&server.issuer(), "sip", "alice", 3600);
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    };
    let good = old.token("ES256", &claims(json!({})));
    let expired = old.token("ES256", &claims(json!({ "iat": token::now() - 900, "exp": token::now() - 600 })));
    let elsewhere = old.token("ES256", &claims(json!({ "aud": "other" })));
    let stranger = old.token("ES256", &claims(json!({ "iss": "https://stranger.example" })));
    let forged = unpublished.jws("ES256", &token::unverified_header(&good), &claims(json!({})));
    let rotated = new.token("ES256", &claims(json!({})));
    let mut phone = stack.udp();
    for (token, times, status) in
        [(&good, 5, 200), (&expired, 3, 401), (&elsewhere, 2, 401), (&stranger, 4, 401), (&forged, 1, 401)]
    {
        for _ in 0..times {
            assert_eq!(stack.register(&mut phone, ALICE, token).status, status, "{}", stack.module_log());
        }
    }
    for _ in 0..6 {
        assert_eq!(phone.register(ALICE, None).expect("an answer").status, 401);
    }
    for _ in 0..2 {
        assert_eq!(stack.register(&mut phone, "sip:bob@example.test", &good).status, 403);
    }
    assert_eq!(phone.register(ALICE, Some("Bearer \"")).expect("an answer").status, 400);
    server.set_keys(scripted_server::key_set(&[old.jwk(), new.jwk()]));
    assert_eq!(stack.register(&mut phone, ALICE, &rotated).status, 200, "{}", stack.module_log());
    stack.rpc("auth_oauth.reload", &[]).expect("the same configuration");

    let expected: Statistics = [
        ("accepted", 6),
        ("reason_ok", 6),
        ("denied", 13),
        ("reason_token_expired", 3),
        ("reason_audience_mismatch", 2),
        ("reason_issuer_unknown", 4),
        ("reason_signature_invalid", 1),
        ("reason_aor_mismatch", 2),
        ("reason_credentials_malformed", 1),
        ("no_credentials", 6),
        ("reason_no_credentials", 6),
        // The forged one, and the one with the new key.
        ("suspended", 2),
        ("resumed", 2),
        // The good token after its first use, for two addresses; all else was verified each time.
        ("cache_hits", 6),
        ("cache_misses", 1 + 3 + 2 + 4 + 1 + 1),
        ("key_fetches", 3),
        ("reloads", 1),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (view, mut statistics) in everywhere(&stack) {
        let age = statistics.remove("key_age").expect("the age of the keys");
        assert!(age < 60, "{view}: {age}");
        let all: BTreeSet<String> = names().filter(|name| name != "key_age").collect();
        assert_eq!(statistics.keys().cloned().collect::<BTreeSet<_>>(), all, "{view}");
        statistics.retain(|_, value| *value != 0);
        assert_eq!(statistics, expected, "{view}");
    }

    // What waits is seen while it waits, and a scrape does not wait with it.
    server.set(JWKS, Answer::Hang);
    let token = stack.secrets.keep(unpublished.token("ES256", &claims(json!({}))));
    let mut waiting = stack.udp();
    waiting.send(&Request::register(ALICE).with("Authorization", format!("Bearer {token}"))).expect("sent");
    stack.wait_until("one request waits", || stack.counter("pending") == 1);
    assert_eq!(scraped(&stack)["pending"], 1);
    loop {
        let reply = waiting.receive_for(PATIENCE).expect("a final reply");
        if reply.status >= 200 {
            assert_eq!(reply.status, 503);
            break;
        }
    }
    let after = scraped(&stack);
    assert_eq!((after["pending"], after["not_now"], after["suspended"], after["resumed"]), (0, 1, 3, 3));
    stack.finish();
}

#[test]
fn metrics_are_at_their_own_port_and_path_only() {
    let server = ScriptedServer::start(scripted_server::key_set(&[TestKey::p256("k").jwk()]));
    let directory = Directory::new("monitoring");
    let stack = watched(&scripted_provider(&server), &directory);
    stack.wait_for_keys();
    assert_eq!(metrics(&stack, "/metrics").0, 200);
    assert_eq!(metrics(&stack, "/RPC").0, 404);
    let sip = format!("http://127.0.0.1:{}/metrics", stack.kamailio.port());
    assert_eq!(http::request("GET", &sip).expect("an answer").0, 404);
    stack.finish();
}

/// Statistics that no panel needs.
const IN_NO_PANEL: [&str; 1] = ["reason_ok"];

/// Names of metrics in an expression, and prefixes of names that it matches by `.+`.
fn named(expression: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut names, mut prefixes) = (Vec::new(), Vec::new());
    for (at, _) in expression.match_indices(PREFIX) {
        let rest = &expression[at + PREFIX.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let follows = &rest[end..];
        let matched = follows.starts_with(".+") || follows.starts_with("(.+)");
        if matched { &mut prefixes } else { &mut names }.push(&rest[..end]);
    }
    (names, prefixes)
}

fn assert_balanced(expression: &str) {
    let mut open = Vec::new();
    let mut quoted = false;
    for c in expression.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '{' | '[' => open.push(c),
            ')' => assert_eq!(open.pop(), Some('('), "{expression}"),
            '}' => assert_eq!(open.pop(), Some('{'), "{expression}"),
            ']' => assert_eq!(open.pop(), Some('['), "{expression}"),
            _ => {}
        }
    }
    assert!(open.is_empty() && !quoted, "{expression}");
}

/// The expressions of the dashboard, checked for its shape.
fn dashboard() -> Vec<String> {
    let text =
        std::fs::read_to_string(kit::path("cfg-examples/monitoring/grafana-dashboard.json")).expect("an example");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    assert!(dashboard.get("id").is_none() && dashboard["uid"] == "sipoauth" && dashboard["schemaVersion"].is_u64());
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let names: Vec<_> = variables.iter().map(|v| (v["name"].as_str(), v["type"].as_str())).collect();
    assert_eq!(names, [(Some("datasource"), Some("datasource")), (Some("instance"), Some("query"))]);
    let (mut expressions, mut ids) = (Vec::new(), BTreeSet::new());
    expressions.push(variables[1]["definition"].as_str().expect("a query").to_owned());
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().expect("x") + place["w"].as_u64().expect("w") <= 24, "{place}");
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()));
        if panel["type"] == "row" {
            continue;
        }
        let (mut references, source) = (BTreeSet::new(), json!({ "type": "prometheus", "uid": "${datasource}" }));
        assert_eq!(panel["datasource"], source);
        for target in panel["targets"].as_array().expect("targets") {
            assert!(references.insert(target["refId"].as_str().expect("an id")) && target["datasource"] == source);
            let expression = target["expr"].as_str().expect("an expression");
            assert!(expression.contains("$instance"), "not of the chosen proxies: {expression}");
            expressions.push(expression.to_owned());
        }
        assert!(!references.is_empty(), "{}", panel["title"]);
    }
    expressions
}

/// The expressions of the alert rules, checked for their shape: the file keeps to one way of writing YAML.
fn alerts() -> Vec<String> {
    let text = std::fs::read_to_string(kit::path("cfg-examples/monitoring/alerts.yml")).expect("an example");
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')).collect();
    let (head, rules) = lines.split_at(3);
    assert_eq!(head, ["groups:", "  - name: sipoauth", "    rules:"]);
    let (mut expressions, mut seen) = (Vec::new(), BTreeSet::new());
    for rule in rules.chunks(8) {
        let form = [
            "      - alert: ",
            "        expr: ",
            "        for: ",
            "        labels:",
            "          severity: ",
            "        annotations:",
            "          summary: ",
            "          runbook: ",
        ];
        assert_eq!(rule.len(), form.len(), "{rule:?}");
        let values: Vec<&str> = rule
            .iter()
            .zip(form)
            .map(|(line, form)| line.strip_prefix(form).unwrap_or_else(|| panic!("'{form}' is missing: {line}")))
            .collect();
        let [name, expression, time, "", severity, "", summary, runbook] = values[..] else { panic!("{values:?}") };
        assert!(name.starts_with("SipOauth") && seen.insert(name), "{name}");
        assert!(time.strip_suffix('m').is_some_and(|minutes| minutes.parse::<u32>().is_ok()), "{time}");
        assert!(["warning", "critical"].contains(&severity), "{severity}");
        for text in [summary, runbook, expression] {
            // A plain scalar must not look like anything else in YAML; braces need quotes.
            let quoted = text.starts_with('\'') && text.ends_with('\'') && text.len() > 1;
            let plain = !text.is_empty()
                && !text.contains(": ")
                && !text.contains(" #")
                && !text.starts_with(['{', '[', '"', '\'', '&', '*', '%', '@']);
            assert!(quoted || plain, "{name}: {text}");
        }
        assert!(expression.contains(PREFIX), "{name}: {expression}");
        expressions.push(expression.to_owned());
    }
    assert!(expressions.len() > 10);
    expressions
}

/// absent() sees only that all are gone: a dead proxy beside others is seen by its scrapes, under the name of their job.
#[test]
fn one_dead_proxy_of_several_is_an_alert() {
    let scrapes = std::fs::read_to_string(kit::path("cfg-examples/monitoring/kamailio-prometheus.cfg")).expect("ours");
    let job = scrapes.lines().find_map(|line| line.split_once("job_name: ")).expect("a job").1;
    let up = format!("up{{job=\"{job}\"}}");
    let seen = |expression: &String| expression.contains(&format!("{up} == 0")) && expression.contains("absent(");
    assert_eq!(alerts().iter().filter(|expression| seen(expression)).count(), 1, "{up}");
}

#[test]
fn dashboard_and_alerts_name_what_a_running_proxy_has() {
    let server = ScriptedServer::start(scripted_server::key_set(&[TestKey::p256("k").jwk()]));
    let directory = Directory::new("monitoring");
    let stack = watched(&scripted_provider(&server), &directory);
    let real = scraped(&stack);
    let mut shown = BTreeSet::new();
    for (place, expressions) in [("the dashboard", dashboard()), ("alerts.yml", alerts())] {
        for expression in &expressions {
            assert_balanced(expression);
            let (names, prefixes) = named(expression);
            for name in names {
                assert!(real.contains_key(name), "{place} asks for {PREFIX}{name}, which no proxy has");
                if place == "the dashboard" && !expression.contains(&format!("!=\"{PREFIX}{name}\"")) {
                    shown.insert(name.to_owned());
                }
            }
            for prefix in prefixes {
                let matched: Vec<_> = real.keys().filter(|name| name.starts_with(prefix)).collect();
                assert!(!matched.is_empty(), "{place} asks for {PREFIX}{prefix}…, which no proxy has");
                if place == "the dashboard" {
                    shown.extend(matched.into_iter().filter(|n| *n != "reason_ok").cloned());
                }
            }
        }
    }
    for name in names() {
        assert_ne!(shown.contains(&name), IN_NO_PANEL.contains(&name.as_str()), "{name}: in a panel, or left out?");
    }
    stack.finish();
}
