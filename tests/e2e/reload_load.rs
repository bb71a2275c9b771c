// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reload under load: 500 requests per second, a reload every 200 ms, good and bad ones in turn. Each request gets the
//! one right answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stack::{Stack, configured};
use crate::support::load;
use crate::support::scripted_server::{self, JWKS, ScriptedServer};
use crate::support::sip::{Reply, Request};
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};

const RATE: u32 = 500;
const SECONDS: u32 = 20;
const USERS: usize = 20;
const PERIOD: Duration = Duration::from_millis(200);
const SECOND: &str = "https://second.example.test";
/// Provider of the script itself, which no reload changes.
const FIXED: &str = "name=fixed;issuer=https://fixed.example.test;audience=sip;aor={sip};domains=fixed.example.test;secret=0123456789abcdef0123456789abcdef";

/// What is sent: its kind, its credentials, its user.
struct Mix {
    requests: Vec<(&'static str, Option<String>, String)>,
}

fn mix(first: &TestKey, second: &TestKey, third: &TestKey, [issuer, comes_and_goes]: [&str; 2]) -> Mix {
    let mut requests = Vec::new();
    for i in 0..USERS {
        let user = format!("user{i}");
        let claims = |issuer: &str, changes: Value| {
            let mut claims = token::claims(issuer, "sip", &user, 3600);
            for (name, value) in changes.as_object().expect("an object") {
                claims[name] = value.clone();
            }
            claims
        };
        let bearer = |key: &TestKey, claims: Value| Some(format!("Bearer {}", key.token("ES256", &claims)));
        let long_ago = json!({ "iat": token::now() - 7200, "exp": token::now() - 3600 });
        for (kind, credentials) in [
            ("first", bearer(first, claims(issuer, json!({})))),
            ("second", bearer(second, claims(SECOND, json!({})))),
            ("first", bearer(first, claims(issuer, json!({ "jti": "another" })))),
            ("expired", bearer(first, claims(issuer, long_ago.clone()))),
            ("expired", bearer(second, claims(SECOND, long_ago))),
            ("audience", bearer(second, claims(SECOND, json!({ "aud": "other" })))),
            ("forged", bearer(first, claims(SECOND, json!({})))),
            ("third", bearer(third, claims(comes_and_goes, json!({})))),
            ("none", None),
        ] {
            requests.push((kind, credentials, user.clone()));
        }
    }
    Mix { requests }
}

/// What each kind is answered: status, and `error` of the challenge.
fn judge(kind: &'static str, reply: &Reply) -> Option<String> {
    let challenge = reply.header("WWW-Authenticate").unwrap_or("");
    let error = challenge.contains("error=\"invalid_token\"");
    let right = match kind {
        // Its provider is there or not, but never "not now": its keys are waited for.
        "third" => reply.status == 200 || reply.status == 401 && error,
        "first" | "second" => reply.status == 200 && reply.header("Contact").is_some(),
        "none" => reply.status == 401 && challenge.starts_with("Bearer ") && !challenge.contains("error="),
        _ => reply.status == 401 && challenge.starts_with("Bearer ") && error,
    };
    (!right).then(|| format!("{} {} {challenge}", reply.status, reply.reason))
}

/// The configurations in their turn, with whether they are good.
struct Configurations<'a> {
    directory: &'a Directory,
    first: String,
    second: String,
    servers: [ScriptedServer; 2],
    keys: [Value; 2],
}

impl Configurations<'_> {
    /// Writes the next one; an error's words when it is bad.
    fn write(&self, turn: usize) -> Option<&'static str> {
        let table = |name: &str, issuer: &str, more: &str| {
            format!(
                "[[provider]]\nname = \"{name}\"\nissuer = \"{issuer}\"\naudience = \"sip\"\naor = \"{{sip}}\"\n\
                 domain = \"example.test\"\nshared_domains = true\n{more}\n"
            )
        };
        let good = format!(
            "{}{}",
            table("first", &self.first, ""),
            table("second", SECOND, &format!("jwks_file = \"{}\"", self.second))
        );
        let third = |i: usize| table("third", &self.servers[i].issuer(), "");
        let (text, error) = match turn % 8 {
            0 => (format!("leeway = 45\ntoken_cache_size = 64\n{good}"), None),
            1 => (format!("{good}{}", third(0)), None),
            2 => (format!("leeway = = 3\n{good}"), Some("line 1")),
            // The file is rotated: the key in use is in both.
            3 => {
                self.directory.write("second.json", self.keys[(turn / 8) % 2].to_string());
                (good, None)
            }
            4 => (format!("token_cache_size = 0\nhttp_timeout = 7\n{good}{}", third(1)), None),
            5 => (format!("{}{good}", third(0)), None),
            6 => (format!("{good}{}", table("third", SECOND, "")), Some("has the same one")),
            _ => (good, None),
        };
        self.directory.write("auth_oauth.toml", text);
        error
    }
}

#[test]
fn reload_under_500_requests_per_second_loses_none_and_answers_none_wrongly() {
    let (first, second, spare) = (TestKey::p256("first"), TestKey::p256("second"), TestKey::p256("spare"));
    let server = ScriptedServer::start(scripted_server::key_set(&[first.jwk()]));
    let directory = Directory::new("reload-load");
    let keys = [scripted_server::key_set(&[second.jwk()]), scripted_server::key_set(&[spare.jwk(), second.jwk()])];
    let file = directory.write("second.json", keys[0].to_string());
    let configurations = Configurations {
        directory: &directory,
        first: server.issuer(),
        second: file.to_str().expect("UTF-8").to_owned(),
        servers: [(); 2].map(|()| ScriptedServer::start(scripted_server::key_set(&[spare.jwk()]))),
        keys,
    };
    assert_eq!(configurations.write(7), None);
    let config = directory.file("auth_oauth.toml");
    let builder = configured("registrar-sso.cfg", FIXED).define("DEBUG", 2);
    let mut stack = Stack::new(builder.define_string("CONFIG_FILE", config.to_str().expect("UTF-8")));
    stack.wait_for_keys();
    let mix = mix(&first, &second, &spare, [&server.issuer(), &configurations.servers[0].issuer()]);
    for (_, credentials, _) in &mix.requests {
        stack.secrets.keep(credentials.as_deref().unwrap_or_default().trim_start_matches("Bearer "));
    }
    let make = |number: u32| {
        let (kind, credentials, user) = &mix.requests[number as usize * 7 % mix.requests.len()];
        // One binding per user, or the registrar would spend its time with thousands of them.
        let aor = format!("sip:{user}@example.test");
        let mut request = Request::register(&aor).with("Contact", format!("<sip:{user}@127.0.0.1:9>"));
        if let Some(credentials) = credentials {
            request.set("Authorization", credentials);
        }
        (*kind, request)
    };

    let ended = AtomicBool::new(false);
    let (report, good, bad) = std::thread::scope(|scope| {
        let reloads = scope.spawn(|| {
            let (mut good, mut bad, mut next) = (0u64, 0u64, Instant::now());
            for turn in 0.. {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let expected = configurations.write(turn);
                match (stack.kamailio.rpc("auth_oauth.reload", &[]), expected) {
                    (Ok(_), None) => good += 1,
                    (Err(error), Some(words)) if error.contains(words) => bad += 1,
                    (result, expected) => panic!("turn {turn}: {result:?} instead of {expected:?}"),
                }
                next += PERIOD;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            (good, bad)
        });
        let report = load::run(stack.kamailio.port(), RATE, RATE * SECONDS, make, judge);
        ended.store(true, Ordering::Relaxed);
        let (good, bad) = reloads.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (report, good, bad)
    });
    println!(
        "{} requests in {:.1} s, {} retransmissions, {good} reloads and {bad} refused ones, slowest answer {:.1} ms",
        report.requests,
        report.took.as_secs_f64(),
        report.retransmissions,
        report.slowest.as_secs_f64() * 1000.0
    );
    let some = |list: &[String]| list.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(report.wrong.is_empty(), "{} wrong:\n{}\n{}", report.wrong.len(), some(&report.wrong), tail(&stack));
    assert!(report.lost.is_empty(), "{} lost:\n{}\n{}", report.lost.len(), some(&report.lost), tail(&stack));
    assert!(good > 0 && bad > 0, "{good} good and {bad} bad reloads");
    assert_eq!(report.requests, u64::from(RATE * SECONDS));

    let replies = |kinds: &[&str], statuses: &[u16]| {
        let counted =
            report.replies.iter().filter(|((kind, status), _)| kinds.contains(kind) && statuses.contains(status));
        counted.map(|(_, count)| *count).sum::<u64>()
    };
    assert!(replies(&["third"], &[200]) > 0 && replies(&["third"], &[401]) > 0, "{:?}", report.replies);
    for (statistic, expected) in [
        ("accepted", replies(&["first", "second", "third"], &[200])),
        ("denied", replies(&["expired", "audience", "forged", "third"], &[401])),
        ("no_credentials", replies(&["none"], &[401])),
        ("reason_token_expired", replies(&["expired"], &[401])),
        ("reason_audience_mismatch", replies(&["audience"], &[401])),
        ("reason_key_unknown", replies(&["forged"], &[401])),
        ("reason_issuer_unknown", replies(&["third"], &[401])),
    ] {
        // A reply that tm repeats to a retransmission is counted once.
        let counted = stack.counter(statistic);
        let least = expected.saturating_sub(report.retransmissions);
        assert!((least..=expected).contains(&counted), "{statistic}: {counted} for {expected} replies");
    }
    for (statistic, expected) in [("not_now", 0), ("pending", 0), ("panics", 0), ("reloads", good)] {
        assert_eq!(stack.counter(statistic), expected, "{statistic}");
    }
    assert_eq!(stack.counter("suspended"), stack.counter("resumed"));
    assert!(stack.kamailio.is_alive());
    assert!(server.count(JWKS) <= 2, "the keys of a provider that stays are kept");
    stack.finish();
}

fn tail(stack: &Stack) -> String {
    let log = stack.module_log();
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("token_expired")).collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
