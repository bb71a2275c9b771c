// SPDX-License-Identifier: MIT OR Apache-2.0

//! All workers of a proxy remember the same tokens. None is ever taken for another.

use serde_json::json;

use crate::stack::{Stack, configured};
use crate::support::load;
use crate::support::sip::{Reply, Request};
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};

const USERS: usize = 1000;
const WORKERS: usize = 4;
/// Every token comes so often, in turn with the same one under a neighbour's address.
const TURNS: usize = 3;
const RATE: u32 = 500;
const ISSUER: &str = "https://as.example.test";

fn user(number: usize) -> String {
    format!("user{:03}", number % USERS)
}

/// The tokens differ in nothing but the number of their user, and so in their signatures.
fn tokens(key: &TestKey) -> Vec<String> {
    let claims = token::claims(ISSUER, "sip", "nobody", 3600);
    let token = |number| {
        let (name, mut claims) = (user(number), claims.clone());
        for (claim, value) in [
            ("sub", json!(name)),
            ("sip", json!(format!("sip:{name}@example.test"))),
            ("preferred_username", json!("someone")),
            ("jti", json!(format!("token-of-{name}"))),
        ] {
            claims[claim] = value;
        }
        key.token("ES256", &claims)
    };
    (0..USERS).map(token).collect()
}

/// What is wrong with a reply.
fn judge(kind: &'static str, reply: &Reply) -> Option<String> {
    let to = reply.header("To").unwrap_or_default();
    let name = to.split(['<', '@']).nth(1).unwrap_or_default().trim_start_matches("sip:");
    let own = format!("{name} sip:{name}@example.test token-of-{name}");
    let right = match kind {
        "own" => reply.status == 200 && reply.header("X-User") == Some(&own),
        _ => reply.status == 403 && reply.header("X-User").is_none(),
    };
    (!right).then(|| format!("{kind} {to}: {} {:?}", reply.status, reply.header("X-User")))
}

/// The verifications, and how many would have been enough.
fn run(modules: &'static str) -> (u64, u64) {
    let key = TestKey::p256("k");
    let directory = Directory::new("known-tokens");
    let keys = directory.write("keys.json", json!({ "keys": [key.jwk()] }).to_string());
    let provider =
        format!("name=test;issuer={ISSUER};audience=sip;aor={{sip}};domain=example.test;jwks_file={}", keys.display());
    let builder = configured("tests/e2e/known_tokens.cfg", &provider).define("DEBUG", 2).modules(modules);
    let stack = Stack::new(builder.workers(WORKERS));
    let tokens = tokens(&key);
    for token in &tokens {
        stack.secrets.keep(token);
    }
    let make = |number: u32| {
        let number = number as usize;
        let (turn, place) = (number / USERS, number * 7919 % USERS);
        let (kind, address) = if turn % 2 == 0 { ("own", user(place)) } else { ("another's", user(place + 1)) };
        let request = Request::register(&format!("sip:{address}@example.test"));
        (kind, request.with("Authorization", format!("Bearer {}", tokens[place])))
    };
    let report = load::run(stack.kamailio.port(), RATE, (2 * TURNS * USERS) as u32, make, judge);
    assert!(report.wrong.is_empty(), "{}: {:?}", report.wrong.len(), &report.wrong[..report.wrong.len().min(5)]);
    assert!(report.lost.is_empty(), "{} lost", report.lost.len());
    let verified = stack.counter("cache_misses");
    assert_eq!(verified + stack.counter("cache_hits"), report.requests + report.retransmissions);
    stack.finish();
    // Two workers may verify a request and its retransmission at once.
    (verified, USERS as u64 + report.retransmissions)
}

#[test]
fn a_token_is_verified_once_for_all_workers_and_serves_its_user_only() {
    let (verified, enough) = run("kamailio");
    assert!((USERS as u64..=enough).contains(&verified), "{verified} verifications for {USERS} tokens");
}

/// In the build for fault injection there are places for few tokens, and all of them look alike but for their names.
#[test]
fn tokens_that_share_a_place_are_verified_again_and_never_taken_for_each_other() {
    let (verified, enough) = run("kamailio-fault");
    assert!(verified > enough, "{verified} verifications for {USERS} tokens");
}
