// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sipoauth sessions` beside a proxy that has the same folder open.

use std::process::{Command, Output};

use crate::phone::{ALICE, BOB, Sip};
use crate::plant::{Plant, Proxy};
use crate::support::tool::tool;
use serde_json::{Value, json};
use sipoauth_core::reason::Reason;

fn run(proxy: &Proxy, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let mut command = Command::new(tool());
    command.arg("sessions").args(arguments).args(["--json", "--config"]).arg(&proxy.configuration);
    let Output { status, stdout, stderr } = command.output().expect("built");
    let value = serde_json::from_slice(&stdout).unwrap_or(Value::Null);
    (status.code(), value, String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn a_session_that_the_tool_ends_is_over_for_the_running_proxy() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let sign_in = |proxy: &mut Proxy, user: &str, aor: &str, name: &str| {
        let code = plant.endpoint.code(user);
        let sip = Sip::with_code(aor, name, &code);
        proxy.sign_in(&sip);
        sip.key(&code, &format!("to-{name}"))
    };
    let alice = sign_in(&mut proxy, "alice", ALICE, "one");
    let bob = sign_in(&mut proxy, "bob", BOB, "two");
    let prove = |aor, name: &str, key: &_| Sip::of_method("MESSAGE", aor, name).prove_in_header(key);
    assert_eq!(proxy.reason(&prove(ALICE, "m1", &alice)), Reason::Ok);

    let (code, all, error) = run(&proxy, &["list"]);
    assert_eq!((code, all.as_array().map(Vec::len)), (Some(0), Some(2)), "{error}");
    let (_, shown, _) = run(&proxy, &["show", "sip:alice@EXAMPLE.test"]);
    assert_eq!((&shown[0]["aor"], &shown[0]["provider"]), (&json!(ALICE), &json!("as")), "{shown}");
    let id = shown[0]["id"].as_str().expect("an id");
    assert_eq!(run(&proxy, &["revoke", ALICE, "00000000000000000000000000000000"]).0, Some(3), "no such session");
    assert_eq!(proxy.reason(&prove(ALICE, "m2", &alice)), Reason::Ok);

    let (code, ended, error) = run(&proxy, &["revoke", ALICE, id]);
    assert_eq!((code, &ended[0]["id"]), (Some(0), &json!(id)), "{error}");
    assert_eq!(proxy.reason(&prove(ALICE, "m3", &alice)), Reason::SessionUnknown);
    assert_eq!(proxy.reason(&prove(BOB, "m4", &bob)), Reason::Ok);
    assert_eq!(run(&proxy, &["show", ALICE]).0, Some(3));

    let (code, _, error) = run(&proxy, &["revoke-all"]);
    assert!(code == Some(1) && error.contains("this would end 1 session(s); write --yes"), "{error}");
    assert_eq!(run(&proxy, &["revoke-all", "--yes"]).0, Some(0));
    assert_eq!(proxy.reason(&prove(BOB, "m5", &bob)), Reason::SessionUnknown);
    assert_eq!(run(&proxy, &["list"]).1, json!([]));
}
