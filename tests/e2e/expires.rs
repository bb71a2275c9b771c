// SPDX-License-Identifier: MIT OR Apache-2.0

//! A registration does not outlive the token it was made with.

use serde_json::json;

use crate::phones::{ALICE, key_of, prove, register, run, stored, with_code};
use crate::stack::{Stack, configured, scripted_provider};
use crate::support::scripted_server::{self, Answer, ScriptedServer};
use crate::support::sip::{Reply, Request};
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};

const LIFE: i64 = 60;

struct Plant {
    key: TestKey,
    server: ScriptedServer,
    stack: Stack,
}

impl Plant {
    fn start(define: &str) -> Plant {
        let key = TestKey::p256("k");
        let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
        let stack = Stack::new(configured("tests/e2e/expires.cfg", &scripted_provider(&server)).define(define, 1));
        stack.wait_for_keys();
        Plant { key, server, stack }
    }

    /// Registers with these Contacts and this Expires; the expiries that the 200 grants.
    fn granted(&self, life: i64, contacts: &[&str], expires: Option<&str>) -> Vec<i64> {
        let claims = token::claims(&self.server.issuer(), "sip", "alice", life);
        let token = self.stack.secrets.keep(self.key.token("ES256", &claims));
        let mut request = Request::register(ALICE).with("Authorization", format!("Bearer {token}"));
        request.headers.retain(|(name, _)| name != "Contact" && name != "Expires");
        for contact in contacts {
            request.add("Contact", *contact);
        }
        expires.map(|expires| request.add("Expires", expires));
        let reply = self.stack.request(&mut self.stack.tcp(), &request);
        assert_eq!(reply.status, 200, "{reply:?}\n{}", self.stack.module_log());
        granted(&reply)
    }

    /// Seconds that usrloc's bindings have left.
    fn bindings(&self) -> Vec<i64> {
        let dump = self.stack.rpc("ul.dump", &[]).expect("usrloc");
        dump.lines().filter_map(|l| l.trim().strip_prefix("Expires: ")?.trim().parse().ok()).collect()
    }
}

fn granted(reply: &Reply) -> Vec<i64> {
    let contacts = reply.all("Contact").join(",");
    let number = |text: &str| text.split([';', ',']).next().and_then(|n| n.parse().ok()).expect("a number");
    contacts.split(";expires=").skip(1).map(number).collect()
}

/// What is left of the token, give or take what the test needs.
fn is_bound(seconds: i64) -> bool {
    (LIFE - 15..=LIFE).contains(&seconds)
}

const A: &str = "<sip:a@127.0.0.1:9>";

#[test]
fn whatever_the_phone_asks_for_the_token_bounds_it() {
    let plant = Plant::start("PLAIN");
    let b = |expires: &str| format!("<sip:b@127.0.0.1:9>;q=0.5;expires={expires};+sip.instance=\"<urn:x:1>\"");
    for (name, contacts, expires) in [
        ("header", vec![A.to_owned()], Some("3600")),
        ("parameter", vec![b("3600")], None),
        ("both", vec![b("3600")], Some("7200")),
        ("neither", vec![A.to_owned()], None),
        ("no number", vec![b("soon")], Some("3600")),
        ("the largest", vec![b("4294967295")], Some("4294967295")),
        ("several", vec![format!("{A}, {}", b("3600"))], Some("3600")),
        ("several headers", vec![A.to_owned(), b("3600"), "<sip:c@127.0.0.1:9>".to_owned()], None),
    ] {
        let list: Vec<&str> = contacts.iter().map(String::as_str).collect();
        let granted = plant.granted(LIFE, &list, expires);
        assert!(!granted.is_empty() && granted.iter().all(|s| is_bound(*s)), "{name}: {granted:?}");
        let bindings = plant.bindings();
        assert!(bindings.len() == granted.len() && bindings.iter().all(|s| is_bound(*s)), "{name}: {bindings:?}");
        assert_eq!(plant.granted(LIFE, &["*"], Some("0")), [0; 0], "{name}");
        assert!(plant.bindings().is_empty(), "{name}");
    }
    plant.stack.finish();
}

#[test]
fn less_stays_and_zero_ends_the_registration() {
    let plant = Plant::start("PLAIN");
    assert!(plant.granted(LIFE, &[A], Some("30")).iter().all(|s| *s <= 30));
    let mixed = plant.granted(LIFE, &["<sip:b@127.0.0.1:9>;expires=20, <sip:c@127.0.0.1:9>;expires=3600"], Some("0"));
    assert_eq!(mixed.len(), 3, "the first one is still there");
    let short = mixed.iter().filter(|s| **s <= 30).count();
    assert!(short == 2 && mixed.iter().filter(|s| is_bound(**s)).count() == 1, "{mixed:?}");
    for (contact, expires) in
        [(A, Some("0")), ("<sip:b@127.0.0.1:9>;expires=0", Some("3600")), ("<sip:c@127.0.0.1:9>;expires=0", None)]
    {
        plant.granted(LIFE, &[contact], expires);
    }
    assert!(plant.bindings().is_empty(), "{:?}", plant.bindings());
    // Of a token that is only tolerated still, the least registration is made, and not an end.
    let least = plant.granted(-20, &[A], Some("3600"));
    assert!(least.len() == 1 && (1..=10).contains(&least[0]), "{least:?}");
    // A token that lives long raises nothing.
    assert!(plant.granted(7200, &[A], None).iter().all(|s| *s <= 3600), "the registrar's default");
    plant.stack.finish();
}

#[test]
fn the_registrars_own_default_is_not_raised() {
    let plant = Plant::start("SHORT_DEFAULT");
    let granted = plant.granted(3000, &[A], None);
    assert!(granted.len() == 1 && granted[0] <= 40, "{granted:?}");
    let granted = plant.granted(3000, &["<sip:b@127.0.0.1:9>;expires=soon"], None);
    assert!(granted.iter().all(|s| *s <= 40), "{granted:?}");
    let granted = plant.granted(3000, &["<sip:c@127.0.0.1:9>"], Some("3600"));
    assert!(granted.iter().any(|s| (2900..=3000).contains(s)), "{granted:?}");
    plant.stack.finish();
}

#[test]
fn the_bound_can_be_turned_off() {
    let plant = Plant::start("UNLIMITED");
    assert_eq!(plant.granted(LIFE, &[A], Some("1800")), [1800]);
    plant.stack.finish();
}

/// A parked request goes on in another process, with a copy in shared memory.
#[test]
fn a_parked_registration_is_bound_too() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(scripted_server::key_set(&[old.jwk()]));
    let stack = Stack::new(configured("tests/e2e/expires.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    server.set_keys(scripted_server::key_set(&[old.jwk(), new.jwk()]));
    let mut plant = Plant { key: new, server, stack };
    let granted = plant.granted(LIFE, &[A, "<sip:b@127.0.0.1:9>;expires=3600"], Some("3600"));
    assert!(granted.len() == 2 && granted.iter().all(|s| is_bound(*s)), "{granted:?}");
    assert_eq!(plant.stack.counter("resumed"), 1);
    for _ in 0..50 {
        plant.granted(LIFE, &[A, "<sip:b@127.0.0.1:9>;expires=3600"], None);
    }
    assert!(plant.stack.kamailio.is_alive());
    plant.stack.finish();
}

/// A session whose tokens have a refresh token or not: what its registrations are granted, by code and by proof.
fn granted_to_a_session(refresh_token: Option<&str>) -> [i64; 2] {
    let (directory, key) = (Directory::new("sessions"), TestKey::p256("k"));
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let mut tokens = json!({ "token_type": "Bearer", "expires_in": 300, "scope": "openid sip" });
    tokens["access_token"] = key.token("ES256", &token::claims(&server.issuer(), "sip", "alice", 300)).into();
    tokens["refresh_token"] = refresh_token.into();
    server.set("/token", Answer::Json(tokens));
    let provider = format!("{};client_id=sip-proxy;client_secret=proxy-secret", scripted_provider(&server));
    let stack = run(stored("public-ua.cfg", &provider, &directory));
    let login = json!({ "code": stack.secrets.keep("a-code-of-thirty-two-characters-or-more") });
    let (request, reply) = register(&stack, &mut stack.tcp(), with_code(ALICE, &login).with("Expires", "3600"));
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let key = key_of(&stack, &login, &request, &reply);
    let proof = prove(&key, Request::register(ALICE).with("Expires", "3600"));
    let again = stack.request(&mut stack.tcp(), &proof);
    assert_eq!(again.status, 200, "{again:?}\n{}", stack.module_log());
    let most = [&reply, &again].map(|reply| granted(reply).into_iter().max().expect("a binding"));
    stack.finish();
    most
}

#[test]
fn a_session_bounds_its_registrations_unless_its_tokens_are_refreshed() {
    let bound = granted_to_a_session(None);
    assert!(bound.iter().all(|seconds| (280..=300).contains(seconds)), "{bound:?}");
    assert_eq!(granted_to_a_session(Some("a-refresh-token-of-the-scripted-server")), [3600, 3600]);
}
