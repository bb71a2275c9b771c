// SPDX-License-Identifier: MIT OR Apache-2.0

//! The store: another key, no folder, too many devices, too old a session, and a reload that would change it.

use crate::phone::{ALICE, Sip};
use crate::plant::{Plant, Proxy, STORE_KEY};
use serde_json::json;
use sipoauth::worker::Handling;
use sipoauth_core::reason::Reason;
use std::fs;

#[test]
fn another_store_key_is_refused_and_nothing_is_lost() {
    let plant = Plant::new();
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    plant.proxy(&json!({})).sign_in(&sip);
    let other = json!({ "store_key": "another-store-key-0123456789-0123456789" });
    let issuer = plant.endpoint.server.issuer();
    let start = || Proxy::start(&issuer, &plant.store(), &plant.directory, &other).map(drop);
    let error = start().expect_err("another key").to_string();
    assert!(error.contains("store_key") && !error.contains("another-store-key"), "{error}");
    // Without the file beside it, the store itself tells, as soon as it is opened.
    fs::remove_file(plant.store().join("key-check")).expect("a file");
    let mut wrong = plant.proxy(&other);
    let proof = |name: &str| Sip::register(ALICE, name).prove_in_body(&sip.key(&code, "to-one"));
    assert_eq!(wrong.answer(&proof("p1")), (503, Reason::StoreUnavailable));
    assert_eq!(
        wrong.answer(&Sip::with_code(ALICE, "x", &plant.endpoint.code("alice"))),
        (503, Reason::StoreUnavailable)
    );
    assert!(wrong.log.text().contains("store_key"), "{}", wrong.log.text());
    drop(wrong);
    let mut right = plant.proxy(&json!({}));
    assert_eq!(right.answer(&proof("p2")), (200, Reason::Ok));
    assert_eq!(plant.endpoint.exchanges(), 1);
}

#[test]
fn a_store_that_cannot_be_opened_is_503() {
    let plant = Plant::new();
    fs::write(plant.store(), "a file where the folder should be").expect("writable");
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    let proof = Sip::register(ALICE, "p").prove_in_body(&sip.key(&code, "to-one"));
    assert_eq!(proxy.answer(&sip), (503, Reason::StoreUnavailable));
    assert_eq!(proxy.answer(&proof), (503, Reason::StoreUnavailable));
    assert!(proxy.context.admin().list_sessions("", "").is_err());
    assert_eq!(plant.endpoint.exchanges(), 0, "what cannot be kept is not fetched");
    assert!(proxy.log.text().contains("sessions: the store cannot be"), "{}", proxy.log.text());
    fs::remove_file(plant.store()).expect("the file");
    proxy.until("the store works", |proxy| proxy.reason(&sip) == Reason::Ok);
    assert!(proxy.log.text().contains("the store works again"), "{}", proxy.log.text());
}

#[test]
fn a_folder_that_is_taken_away_costs_no_one_a_new_sign_in() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let code = plant.endpoint.code("alice");
    let sip = Sip::with_code(ALICE, "one", &code);
    proxy.sign_in(&sip);
    let key = sip.key(&code, "to-one");
    fs::rename(plant.store(), plant.directory.file("elsewhere")).expect("ours");
    fs::write(plant.store(), "a file in its place").expect("writable");
    for i in 0..5 {
        proxy.run_for(std::time::Duration::from_millis(300));
        let (status, reason) = proxy.answer(&Sip::register(ALICE, &format!("p{i}")).prove_in_body(&key));
        assert!(status == 200 || (status, reason) == (503, Reason::StoreUnavailable), "{status} {reason:?}");
    }
}

#[test]
fn the_oldest_device_makes_room() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "max_devices": 3 }));
    let keys: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| {
            let code = plant.endpoint.code("alice");
            let sip = Sip::with_code(ALICE, name, &code).instance(name);
            proxy.sign_in(&sip);
            (sip.clone(), sip.key(&code, &sip.reply_to_tag))
        })
        .collect();
    assert_eq!(proxy.sessions(ALICE).len(), 3);
    for (i, (sip, key)) in keys.iter().enumerate() {
        let wanted = if i == 0 { Reason::PopInvalid } else { Reason::Ok };
        let proof = Sip { instance: sip.instance.clone(), ..Sip::register(ALICE, &format!("p{i}")) };
        assert_eq!(proxy.reason(&proof.prove_in_body(key)), wanted, "{i}");
    }
    assert_eq!(proxy.answer(&keys[0].0), (401, Reason::SessionEnded), "its code is over too");
}

#[test]
fn a_session_ends_with_session_lifetime() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({ "session_lifetime": 60 }));
    let code = plant.endpoint.code("alice");
    let verifier = "the-verifier-of-the-phone-0123456789-0123456789";
    let sip = Sip::with_code(ALICE, "one", &format!("{code}&code_verifier={verifier}")).instance("1");
    proxy.sign_in(&sip);
    let key = sip.key(&code, "to-one");
    let now = crate::support::token::now();
    let proof = Sip::register(ALICE, "p").dated(now + 62).prove_in_body(&key);
    let later = Handling { now: Some(now + 62), ..Handling::default() };
    let verdict = proof.read(|request| proxy.worker.check(request, &later));
    assert_eq!(verdict.status, 401, "{:?}", verdict.answer.reason());
    let verdict = sip.read(|request| proxy.worker.check(request, &later));
    assert_eq!((verdict.status, verdict.answer.reason()), (401, Reason::SessionEnded));
}

#[test]
fn a_reload_cannot_change_the_store() {
    let plant = Plant::new();
    let mut proxy = plant.proxy(&json!({}));
    let good = fs::read_to_string(&proxy.configuration).expect("ours");
    let store = plant.store().display().to_string();
    let changes = [
        good.replace(&store, &format!("{store}-2")),
        good.replace(STORE_KEY, "another-store-key-0123456789-0123456789"),
        good.lines().filter(|l| !l.starts_with("store") && !l.starts_with("client")).collect::<Vec<_>>().join("\n"),
    ];
    for changed in changes {
        fs::write(&proxy.configuration, changed).expect("ours");
        let error = proxy.context.admin().reload().expect_err("the store is another").to_string();
        assert!(error.contains("store") && error.contains("restart"), "{error}");
    }
    fs::write(&proxy.configuration, good.replace("http_timeout = 30", "http_timeout = 20")).expect("ours");
    proxy.context.admin().reload().expect("the same store");
    let code = plant.endpoint.code("alice");
    proxy.sign_in(&Sip::with_code(ALICE, "one", &code));
}
