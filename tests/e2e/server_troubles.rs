// SPDX-License-Identifier: MIT OR Apache-2.0

//! Servers that go away, come back with other keys, close connections as they like, and refuse in words of their own.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::phones::{ALICE, proxy_provider, registered, registration_with_proof, run, sign_in, stored};
use crate::stack::{Stack, configured, scripted_provider};
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::scripted_server::{self, JWKS, ScriptedServer, discovery, read_request};
use crate::support::sip::{Client, Request};
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};

fn token(server: &ScriptedServer, key: &TestKey) -> String {
    key.token("ES256", &token::claims(&server.issuer(), "sip", "alice", 1800))
}

/// glewlwyd answers 400 without a word, LemonLDAP::NG `invalid_request`: neither is an outage.
#[test]
fn a_refresh_that_is_refused_in_other_words_ends_in_a_challenge_and_never_in_503() {
    for (status, body) in [("400", ""), ("400", r#"{"error":"invalid_request"}"#), ("404", "<html>")] {
        let directory = Directory::new("refused");
        let server = AuthorizationServer::start_with(Options { access_token_ttl: Some(6), ..Options::default() });
        let provider = format!("{};leeway=0", proxy_provider(&server));
        let stack = run(stored("public-ua.cfg", &provider, &directory));
        let key = registered(&stack, ALICE, &sign_in(&stack, &server, "alice"));
        server.fault("/token", &[("status", status), ("body", body)]);
        let start = Instant::now();
        let challenged = loop {
            let reply = registration_with_proof(&stack, ALICE, &key);
            if reply.status != 200 {
                break reply;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "no end\n{}", stack.module_log());
            std::thread::sleep(Duration::from_millis(200));
        };
        println!("HTTP status {status} {body}: challenged after {:?}", start.elapsed());
        assert_eq!(challenged.status, 401, "{challenged:?}\n{}", stack.module_log());
        assert!(challenged.header("WWW-Authenticate").is_some(), "{challenged:?}");
        let log = stack.module_log();
        assert!(log.contains(&format!("HTTP status {status}")) && log.contains("ends with its access token"), "{log}");
        assert_eq!((stack.counter("refreshes_refused"), stack.counter("reason_refresh_overdue")), (1, 0));
        server.clear();
        stack.finish();
    }
}

/// The server has lost its keys, say, and calls the new one as it called the old one. Forty phones come at once.
#[test]
fn a_new_key_under_the_old_kid_costs_one_fetch_and_nobody_a_401() {
    let (old, new) = (TestKey::p256("k"), TestKey::p256("k"));
    let server = ScriptedServer::start(scripted_server::key_set(&[old.jwk()]));
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)).workers(4));
    stack.wait_for_keys();
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &token(&server, &old)).status, 200);
    server.set_keys(scripted_server::key_set(&[new.jwk()]));
    let good = stack.secrets.keep(token(&server, &new));
    let before = server.count(JWKS);
    let mut phones: Vec<Client> =
        (0..40).map(|number| Client::udp_from([127, 0, 7, number + 1], stack.kamailio.port())).collect();
    for phone in &mut phones {
        phone.send(&Request::register(ALICE).with("Authorization", format!("Bearer {good}"))).expect("sent");
    }
    for phone in &mut phones {
        let reply = loop {
            let reply = phone.receive().expect("a final reply");
            if reply.status >= 200 {
                break stack.note(reply);
            }
        };
        assert_eq!(reply.status, 200, "{}", stack.module_log());
    }
    assert_eq!(server.count(JWKS) - before, 1, "{}", stack.module_log());
    stack.finish();
}

/// Long enough that the pauses between tries, if they grew, would be felt. SERVER_AWAY is another number of seconds.
fn away() -> Duration {
    let seconds = std::env::var("SERVER_AWAY").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

#[test]
fn after_an_outage_keys_are_there_soon_and_the_server_was_not_stormed() {
    let (away, key) = (away(), TestKey::p256("k"));
    let mut server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
    server.stop();
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)));
    let good = stack.secrets.keep(token(&server, &key));
    let mut phone = stack.udp();
    let start = Instant::now();
    while start.elapsed() < away {
        assert_eq!(stack.register(&mut phone, ALICE, &good).status, 503, "{}", stack.module_log());
        std::thread::sleep(Duration::from_millis(500));
    }
    let tries = stack.counter("key_fetches");
    let most = start.elapsed().as_secs() / 2 + 1;
    assert!((away.as_secs() / 5..=most).contains(&tries), "{tries} tries in {:?}", start.elapsed());
    server.restart();
    let back = Instant::now();
    stack.wait_until("it is served", || stack.register(&mut stack.udp(), ALICE, &good).status == 200);
    println!("{tries} tries in {away:?}; served {:?} after the server was back", back.elapsed());
    assert!(stack.counter("key_fetches") - tries <= back.elapsed().as_secs() / 2 + 1);
    stack.finish();
}

/// Without a Connection header field: whoever writes at that moment meets a reset.
#[test]
fn kept_connections_may_end_at_any_moment() {
    let key = TestKey::p256("k");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let issuer = format!("http://{}", listener.local_addr().expect("bound"));
    let (metadata, keys) = (discovery(&issuer).to_string(), scripted_server::key_set(&[key.jwk()]).to_string());
    let connections = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            count.fetch_add(1, Ordering::SeqCst);
            let (metadata, keys) = (metadata.clone(), keys.clone());
            std::thread::spawn(move || {
                let mut stream = stream;
                let head = read_request(&stream).head;
                let body = if head.contains("openid-configuration") { metadata } else { keys };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
                std::thread::sleep(Duration::from_micros((number as u64 * 137) % 4000));
            });
        }
    });
    let provider = format!("name=test;issuer={issuer};audience=sip;aor={{sip}};domain=example.test");
    let stack = Stack::new(configured("registrar-sso.cfg", &provider));
    stack.wait_for_keys();
    for round in 0..60 {
        let before = stack.counter("key_fetches");
        stack.rpc("auth_oauth.refresh_keys", &[]).expect("asked for");
        stack.wait_until("they are fetched", || stack.counter("key_fetches") > before);
        std::thread::sleep(Duration::from_millis(round % 3));
    }
    println!("{} connections", connections.load(Ordering::SeqCst));
    assert_eq!(stack.counter("key_fetch_errors"), 0, "{}", stack.module_log());
    stack.finish();
}
