// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sipoauth token explain` and `verify` name what they judge by.

use serde_json::{Value, json};

use crate::run_with;
use crate::support::scripted_server::{Answer, ScriptedServer, key_set};
use crate::support::token::{TestKey, claims};

fn line(issuer: &str, more: &str) -> String {
    format!("name=corp;issuer={issuer};audience=sip;{more}")
}

/// Claims with these in the place of the usual ones; null takes one away.
fn changed(issuer: &str, changes: &Value) -> Value {
    let mut claims = claims(issuer, "sip", "alice", 300);
    for (name, value) in changes.as_object().expect("members") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("claims").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// What `explain` says of a rule, and all that `verify` prints.
fn told(token: &str, line: &str, rule: &str) -> (String, String) {
    let explained = run_with(&["token", "explain", "-", "--json", "--provider", line], token).json();
    let steps = explained["steps"].as_array().expect("a list");
    let step = steps.iter().find(|step| step["rule"] == rule).unwrap_or_else(|| panic!("{rule}: {explained}"));
    let verified = run_with(&["token", "verify", "-", "--provider", line], token);
    (step["detail"].as_str().expect("a text").to_owned(), verified.out)
}

#[test]
fn values_that_make_no_address_are_named() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line =
        line(&server.issuer(), "aor=sip:{lines.ext}@{domain},sip:{email},sip:x-{flag}@{domain};domain=example.test");
    let odd = json!({"lines": {"ext": [1001, "1002", true, 1.5, null, {"a": 1}, ["x"]]}, "email": {"work": "a@b"}, "flag": false});
    let (detail, _) = told(&key.token("ES256", &changed(&server.issuer(), &odd)), &line, "address");
    assert!(detail.contains("sip:1001@example.test, sip:1002@example.test"), "{detail}");
    for words in [
        "'lines.ext' has a boolean",
        "'lines.ext' has a number",
        "'lines.ext' has null",
        "'lines.ext' has an object",
        "'lines.ext' has an array",
        "'email' is an object",
        "'flag' is a boolean",
    ] {
        assert!(detail.contains(words), "{words}: {detail}");
    }
    assert!(detail.contains("neither text nor integer"), "{detail}");
}

#[test]
fn a_token_may_stand_for_64_addresses() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let line = line(&server.issuer(), "aor=sip:{ext}@{domain};domain=example.test");
    let with = |count: usize| {
        let numbers: Vec<usize> = (1000..1000 + count).collect();
        key.token("ES256", &changed(&server.issuer(), &json!({ "ext": numbers })))
    };
    for (count, user, code) in [(64, 1063, 0), (65, 1064, 3), (65, 1063, 0)] {
        let from = format!("sip:{user}@example.test");
        let arguments = ["token", "explain", "-", "--provider", &line, "--method", "INVITE", "--from", &from];
        let run = run_with(&arguments, &with(count));
        assert_eq!(run.code, code, "{count}: {}", run.out);
        assert_eq!(run.out.contains("more than 64"), count > 64, "{}", run.out);
    }
}
