// SPDX-License-Identifier: MIT OR Apache-2.0

//! What strangers can ask for against the records of phones that have signed in, where these are in Redis.

use crate::phone::{ALICE, Sip};
use crate::proxies::{Plant, Proxy};
use crate::support::redis::{PASSWORD, Redis};
use serde_json::{Value, json};
use sipoauth::process::job::Work;
use sipoauth_core::reason::Reason;

pub fn settings(plant: &Plant, redis: &Redis) -> Value {
    json!({
        "store": format!("redis://127.0.0.1:{}/0", redis.port()),
        "store_password_file": plant.directory.write("redis-password", PASSWORD),
        "store_cache": 3600,
        "users": 32,
        "source_limit": 65535,
    })
}

/// A proxy where alice has signed in; her key.
pub fn signed_in(plant: &Plant, redis: &Redis, more: &Value) -> (Proxy, sipoauth_core::keys::shared_key::Key) {
    let mut globals = settings(plant, redis);
    globals.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let mut proxy = plant.proxy(&globals);
    // Once it hears of the others' changes, it forgets what it has read before.
    proxy.run_for(std::time::Duration::from_millis(500));
    let code = plant.endpoint.code("alice");
    let registered = Sip::with_code(ALICE, "alice", &code);
    proxy.sign_in(&registered);
    let key = registered.key(&code, &registered.reply_to_tag);
    assert_eq!(proxy.reason(&proof(&key, "first")), Reason::Ok, "{}", proxy.log.text());
    (proxy, key)
}

fn proof(key: &sipoauth_core::keys::shared_key::Key, name: &str) -> Sip {
    Sip::register(ALICE, name).prove_in_body(key)
}

fn from(number: u32) -> (String, u16) {
    (format!("203.0.{}.{}", number / 250, number % 250), 5060)
}

/// Alice's next request is decided at once, without a question to Redis.
fn is_known(proxy: &mut Proxy, key: &sipoauth_core::keys::shared_key::Key) -> bool {
    let verdict = proxy.look(&proof(key, "after"));
    verdict.answer.reason() == Reason::Ok && verdict.pending.is_none()
}

#[test]
fn invented_addresses_leave_the_sessions_of_others_in_place() {
    let (plant, redis) = (Plant::new(), Redis::start(&[]));
    let (mut proxy, key) = signed_in(&plant, &redis, &json!({}));
    let strangers_key = [7; 32].into();
    for number in 0..500 {
        let address = format!("sip:nobody{number}@example.test");
        let sip = Sip::register(&address, &format!("n{number}")).prove_in_body(&strangers_key);
        let reason = proxy.reason(&Sip { source: from(number), ..sip });
        assert_eq!(reason, Reason::SessionUnknown, "{number}: its own verdict");
    }
    assert!(is_known(&mut proxy, &key));
}

#[test]
fn wrong_codes_leave_the_sessions_of_others_in_place() {
    let (plant, redis) = (Plant::new(), Redis::start(&[]));
    let (mut proxy, key) = signed_in(&plant, &redis, &json!({}));
    for number in 0..300 {
        let code = format!("an-invented-code-0123456789-{number}");
        let sip = Sip::with_code("sip:mallory@example.test", &format!("m{number}"), &code);
        let reason = proxy.reason(&Sip { source: from(number), ..sip });
        assert_eq!(reason, Reason::CodeRefused, "{number}: its own verdict");
    }
    assert!(is_known(&mut proxy, &key));
}

#[test]
fn the_proofs_of_one_user_leave_the_sessions_of_others_in_place() {
    let (plant, redis) = (Plant::new(), Redis::start(&[]));
    let (mut proxy, key) = signed_in(&plant, &redis, &json!({ "replay_scope": "cluster" }));
    let code = plant.endpoint.code("bob");
    let registered = Sip::with_code("sip:bob@example.test", "bob", &code);
    proxy.sign_in(&registered);
    let bobs = registered.key(&code, &registered.reply_to_tag);
    // More would meet in one set of so small a guard now and then, which refuses them.
    for number in 0..120 {
        let sip = Sip::register("sip:bob@example.test", &format!("b{number}")).prove_in_body(&bobs);
        assert_eq!(proxy.reason(&sip), Reason::Ok, "{number}");
    }
    let verdict = proxy.look(&proof(&key, "after"));
    // Only the proof itself is compared: her sessions are known.
    assert!(
        matches!(verdict.pending.as_ref().map(|errand| &errand.work), Some(Work::Compare(_))),
        "{:?}",
        verdict.pending
    );
}

/// Each of them makes a transaction, whose memory the host needs for others.
#[test]
fn look_ups_in_vain_are_limited_for_their_source() {
    let (plant, redis) = (Plant::new(), Redis::start(&[]));
    let (mut proxy, key) = signed_in(&plant, &redis, &json!({ "source_limit": 1 }));
    let strangers_key = [7; 32].into();
    let invented = |number: u32, source: u32| {
        let address = format!("sip:nobody{number}@example.test");
        let sip = Sip::register(&address, &format!("n{number}")).prove_in_body(&strangers_key);
        Sip { source: from(source), ..sip }
    };
    // Ten in a minute, and a new one may begin meanwhile.
    let reasons: Vec<Reason> = (0..40).map(|number| proxy.reason(&invented(number, 1))).collect();
    let in_vain = reasons.iter().filter(|reason| **reason == Reason::SessionUnknown).count();
    assert!((10..=20).contains(&in_vain), "{reasons:?}");
    assert!(reasons.iter().all(|reason| [Reason::SessionUnknown, Reason::Overloaded].contains(reason)), "{reasons:?}");
    assert_eq!(proxy.reason(&invented(41, 2)), Reason::SessionUnknown, "others are not affected");
    assert!(is_known(&mut proxy, &key));
}
