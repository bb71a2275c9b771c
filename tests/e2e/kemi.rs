// SPDX-License-Identifier: MIT OR Apache-2.0

//! The functions from Lua and Python scripts (KEMI).

use std::net::UdpSocket;

use crate::dialogs::{Elsewhere, values};
use crate::stack::{Stack, configured, scripted_provider};
use crate::support::kit;
use crate::support::patience::{self, PATIENCE};
use crate::support::scripted_server::{self, ScriptedServer};
use crate::support::sip::Request;
use crate::support::token::{self, TestKey};

const ALICE: &str = "sip:alice@example.test";

fn registers_and_resumes(language: &str, script: &str) {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let server = ScriptedServer::start(scripted_server::key_set(&[old.jwk()]));
    let provider = scripted_provider(&server);
    let stack = Stack::new(
        configured("tests/e2e/kemi.cfg", &provider)
            .define(&format!("WITH_{language}"), 1)
            .define_string("SCRIPT", kit::path(script).to_str().expect("UTF-8")),
    );
    stack.wait_for_keys();
    let reply = stack.udp().register(ALICE, None).expect("an answer");
    assert_eq!(reply.status, 401, "{}", stack.kamailio.log());
    assert!(reply.header("WWW-Authenticate").is_some_and(|c| c.starts_with("Bearer ")));
    let claims = token::claims(&server.issuer(), "sip", "alice", 300);
    assert_eq!(
        stack.register(&mut stack.udp(), ALICE, &old.token("ES256", &claims)).status,
        200,
        "{}",
        stack.kamailio.log()
    );
    server.set_keys(scripted_server::key_set(&[old.jwk(), new.jwk()]));
    let reply = stack.register(&mut stack.udp(), ALICE, &new.token("ES256", &claims));
    assert_eq!(reply.status, 200, "{}", stack.kamailio.log());
    assert_eq!(reply.header("X-User"), Some("alice at test"));
    assert_eq!((stack.counter("suspended"), stack.counter("resumed")), (1, 1));
    let mut odd = Request::register(ALICE);
    odd.set("Authorization", "Bearer");
    assert_eq!(stack.request(&mut stack.udp(), &odd).status, 400);
    stack.finish();
}

#[test]
fn lua() {
    registers_and_resumes("LUA", "cfg-examples/kamailio/registrar-sso.lua");
}

#[test]
fn python() {
    registers_and_resumes("PYTHON", "cfg-examples/kamailio/registrar-sso.py");
}

#[test]
fn services_and_tokens_for_application_servers() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let application = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let uri = format!("sip:{}", application.local_addr().expect("bound"));
    let provider = format!("{};services=chat=sip,conference=sip.conference", scripted_provider(&server));
    let stack = Stack::new(
        configured("tests/e2e/kemi.cfg", &provider)
            .define("WITH_LUA", 1)
            .define_string("SCRIPT", kit::path("tests/e2e/grants.lua").to_str().expect("UTF-8"))
            .define_string("APPLICATION_SERVER", &uri),
    );
    stack.wait_for_keys();
    let message = |scope: &str| {
        let mut claims = token::claims(&server.issuer(), "sip", "alice", 300);
        claims["scope"] = scope.into();
        let token = stack.secrets.keep(key.token("ES256", &claims));
        let message = Request::new("MESSAGE", ALICE, ALICE).with("Authorization", format!("Bearer {token}"));
        (token, message)
    };
    for (scope, needed) in [("openid", "sip"), ("sip", "sip.conference")] {
        let reply = stack.request(&mut stack.udp(), &message(scope).1);
        let challenge = reply.header("WWW-Authenticate").unwrap_or_default();
        assert!(reply.status == 401 && challenge.contains("error=\"invalid_scope\""), "{reply:?}");
        assert!(challenge.contains(&format!("scope=\"{needed}\"")), "{challenge}");
    }
    let (token, message) = message("sip sip.conference");
    stack.udp().send(&message).expect("sent");
    let seen = patience::receive(&application, PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", stack.kamailio.log()));
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.contains("X-Services: chat,conference\r\n"), "{seen}");
    assert!(seen.matches("Bearer").count() == 1 && seen.contains(&format!("Bearer {token}\r\n")), "{seen}");
    stack.wait_until("the log says how", || stack.module_log().contains("set a branch route"));
    stack.finish();
}

#[test]
fn dialogs_are_known_by_their_mark() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    let elsewhere = Elsewhere::new();
    let stack = Stack::new(
        configured("tests/e2e/kemi.cfg", &scripted_provider(&server))
            .define("WITH_LUA", 1)
            .define_string("SCRIPT", kit::path("tests/e2e/dialogs.lua").to_str().expect("UTF-8"))
            .define_string("APPLICATION_SERVER", &format!("sip:{}", elsewhere.address())),
    );
    stack.wait_for_keys();
    let token = stack.secrets.keep(key.token("ES256", &token::claims(&server.issuer(), "sip", "alice", 300)));
    let mut request = Request::new("MESSAGE", ALICE, ALICE).with("Authorization", format!("Bearer {token}"));
    request.set("Route", "<sip:127.0.0.1:9;lr>");
    stack.udp().send(&request).expect("sent");
    let received = elsewhere.hears();
    assert!(received.starts_with("MESSAGE ") && !received.contains("\r\nRoute:"), "{received}");
    let route = values(&received, "Record-Route").remove(0);
    request.method = "INFO".to_owned();
    request.uri = format!("sip:x@{}", elsewhere.address());
    request.next().set("To", format!("<{ALICE}>;tag=x")).set("Route", &*route);
    let mut stranger = request.clone();
    stranger.set("Call-ID", "another");
    assert_eq!(stack.request(&mut stack.udp(), &stranger).status, 481);
    stack.udp().send(&request).expect("sent");
    assert!((0..4).any(|_| elsewhere.hears().starts_with("INFO ")), "the MESSAGE may come again");
    stack.finish();
}
