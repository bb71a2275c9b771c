// SPDX-License-Identifier: MIT OR Apache-2.0

//! A proxy that is killed at any moment loses no session that it has confirmed.

use crate::phone::Sip;
use crate::plant::{Plant, Proxy};
use crate::support::temporary::Directory;
use serde_json::json;
use sipoauth_core::reason::Reason;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const ROUNDS: usize = 20;
const CODES: usize = 400;
const FOLDER: &str = "SIPOAUTH_TEST_KILLED_FOLDER";
const ISSUER: &str = "SIPOAUTH_TEST_KILLED_ISSUER";
const ROUND: &str = "SIPOAUTH_TEST_KILLED_ROUND";

fn code(round: usize, i: usize) -> String {
    format!("a-code-that-is-long-enough-{round:04}-{i:04}")
}

fn sip(round: usize, i: usize) -> Sip {
    let name = format!("{round}-{i}");
    Sip::with_code(&format!("sip:user{name}@example.test"), &name, &code(round, i))
}

/// The proxy that is killed; does nothing when it is run as an ordinary test.
#[test]
fn the_child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let text = |name| std::env::var(name).expect("the parent sets it");
    let place = Directory::new("killed");
    let mut proxy = Proxy::start(&text(ISSUER), Path::new(&folder), &place, &json!({})).expect("a proxy");
    let round = text(ROUND).parse().expect("a number");
    for i in 0..CODES {
        proxy.sign_in(&sip(round, i));
        let mut out = std::io::stdout().lock();
        writeln!(out, "confirmed {i}").and_then(|()| out.flush()).expect("the parent listens");
    }
}

#[test]
fn a_killed_proxy_loses_nothing_that_it_confirmed() {
    let plant = Plant::new();
    // Killed again and again, the children leave their temporary folders in one place.
    let place = Directory::new("killed-children");
    for (round, i) in (0..ROUNDS).flat_map(|round| (0..CODES).map(move |i| (round, i))) {
        plant.endpoint.add_code(&code(round, i), &[&format!("user{round}-{i}")]);
    }
    let mut confirmed: HashMap<usize, usize> = HashMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", "kills::the_child", "--nocapture"])
            .env(FOLDER, plant.store())
            .env(ISSUER, plant.endpoint.server.issuer())
            .env(ROUND, round.to_string())
            .env("TMPDIR", place.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program again");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut count = 0;
        while count < 1 + round {
            let line = lines.next().expect("it lives until it is killed").expect("text");
            count += usize::from(line.contains("confirmed "));
        }
        // It is killed at any moment, not only when it prints a line.
        std::thread::sleep(Duration::from_micros((round as u64 * 7919) % 20_000));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        count += lines.map_while(Result::ok).filter(|line| line.contains("confirmed ")).count();
        confirmed.insert(round, count);

        let mut proxy = plant.proxy(&json!({ "pending_timeout": 1 }));
        for i in 0..count {
            let registered = sip(round, i);
            let key = registered.key(&code(round, i), &registered.reply_to_tag);
            let proof = Sip::register(&registered.to, &format!("p-{round}-{i}")).prove_in_body(&key);
            assert_eq!(proxy.reason(&proof), Reason::Ok, "{round} {i} of {count}");
        }
        every_record_opens(&proxy);
        // The code that was under way is finished, or in doubt, or known to be lost; it is never sent again.
        let (status, reason) = proxy.answer(&sip(round, count));
        assert!(
            [200, 503].contains(&status) || [Reason::CodeRefused, Reason::CodeSpent].contains(&reason),
            "{status} {reason:?}"
        );
    }
    let mut proxy = plant.proxy(&json!({}));
    for (round, count) in &confirmed {
        let registered = sip(*round, count - 1);
        let key = registered.key(&code(*round, count - 1), &registered.reply_to_tag);
        assert_eq!(proxy.reason(&Sip::register(&registered.to, "last").prove_in_body(&key)), Reason::Ok);
    }
    assert!(plant.endpoint.misused().is_empty(), "a code was sent twice");
}

/// Every record can be read, and each session has its tokens.
fn every_record_opens(proxy: &Proxy) {
    let store = proxy.context.sessions().expect("sessions").open(&proxy.worker.placed().policy).expect("a store");
    let mut from = String::new();
    loop {
        let page = store.list("", &from, 0).expect("every account opens");
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    for key in proxy.records("t:") {
        store.tokens(&key, 0).expect("every record of tokens opens");
    }
}
