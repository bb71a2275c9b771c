// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/registrar-sso.cfg: the main job.

use serde_json::json;

use crate::stack::{Stack, configured, scripted_provider};
use crate::support::authorization_server::{AuthorizationServer, TokenRequest};
use crate::support::host::is_opensips;
use crate::support::patience::PATIENCE;
use crate::support::scripted_server::{ScriptedServer, key_set};
use crate::support::sip::Request;
use crate::support::sipp::{self, Transport, User};
use crate::support::token::{self, TestKey};
use crate::support::wire;

const ALICE: &str = "sip:alice@example.test";
const BOB: &str = "sip:bob@example.test";

/// The start complains of nothing, and a refusal says which claim the server must mend.
#[test]
fn the_log_complains_of_nothing_at_the_start_and_names_the_claim_that_is_wrong() {
    let key = TestKey::p256("k");
    let server = ScriptedServer::start(key_set(&[key.jwk()]));
    let stack = Stack::new(configured("registrar-sso.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    let log = stack.kamailio.log();
    assert!(!log.contains("ERROR"), "{log}");
    let mut claims = token::claims(&server.issuer(), "sip", "alice", 300);
    claims["exp"] = json!("soon");
    let token = stack.secrets.keep(key.token("ES256", &claims));
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &token).status, 401);
    let words = "claim=exp of the access token is a string";
    assert!(stack.module_log().contains(words), "{}", stack.module_log());
    stack.finish();
}

#[test]
fn sipp_follows_the_challenge_over_udp_and_tcp() {
    let (server, stack) = Stack::with_server("registrar-sso.cfg");
    for (transport, resource) in [(Transport::Udp, "es256"), (Transport::Tcp, "rs256")] {
        let login = |user| stack.secrets.keep(server.login(user, resource)["access_token"].as_str().expect("a token"));
        let users = [User::new("alice", &login("alice")), User::new("bob", &login("bob"))];
        let outcome = sipp::run(sipp::REGISTER, transport, stack.kamailio.port(), &users);
        assert!(outcome.all_succeeded(), "{outcome:?}\n{}", stack.module_log());
    }
    // SIPp sends again over UDP what takes long.
    assert!(stack.counter("accepted") >= 4 && stack.counter("no_credentials") >= 4 && stack.counter("denied") == 0);
    stack.finish();
}

#[test]
fn every_wire_capture_is_accepted() {
    let server = AuthorizationServer::start();
    // sipsak registers at the address it sends to; the operator has to allow that.
    let provider = format!(
        "name=test;issuer={};audience={};aor={{sip}},sip:{{sub}}@127.0.0.1:5070;domains=example.test,127.0.0.1",
        server.issuer(),
        crate::stack::AUDIENCES
    );
    let stack = Stack::new(configured("registrar-sso.cfg", &provider));
    let token = stack.secrets.keep(server.token("alice", "rs256"));
    let captures = wire::captures();
    assert_eq!(captures.len(), 6);
    for capture in captures {
        // OpenSIPS closes a connection on which a message has no Content-Length (RFC 3261 section 18.3).
        let streams = if is_opensips() && !capture.has_length() { None } else { Some(stack.tcp()) };
        for mut client in [stack.udp()].into_iter().chain(streams) {
            let reply = capture.replay(&mut client, &token).expect("an answer");
            assert_eq!(reply.status, 200, "{}: {reply:?}\n{}", capture.name, stack.module_log());
        }
    }
    stack.finish();
}

#[test]
fn the_challenge_says_where_to_sign_in() {
    let (server, stack) = Stack::with_server("registrar-sso.cfg");
    let reply = stack.udp().register(ALICE, None).expect("an answer");
    assert_eq!(reply.status, 401);
    let expected = format!("Bearer realm=\"example.test\", authz_server=\"{}\"", server.issuer());
    assert_eq!(reply.all("WWW-Authenticate"), [expected]);
    stack.finish();
}

#[test]
fn forged_expired_and_foreign_tokens_are_refused() {
    let (server, stack) = Stack::with_server("registrar-sso.cfg");
    let good = server.token("alice", "rs256");
    let kid = token::unverified_header(&good)["kid"].as_str().expect("a kid").to_owned();
    let claims = token::claims(server.issuer(), &AuthorizationServer::resource("rs256"), "alice", 300);
    let forged = TestKey::rsa(&kid).token("RS256", &claims);
    let unsigned = token::unsigned(&json!({"alg": "none"}), &claims);
    let expired = server.issue(&TokenRequest { ttl: -60, ..TokenRequest::default() });
    let other_audience = server.token("alice", "hs256");
    for (name, token, reason) in [
        ("forged", &forged, "signature_invalid"),
        ("unsigned", &unsigned, "algorithm_not_allowed"),
        ("expired", &expired, "token_expired"),
        ("another audience", &other_audience, "algorithm_not_allowed"),
        ("opaque", &server.token("alice", "opaque"), "token_opaque"),
    ] {
        let reply = stack.register(&mut stack.udp(), ALICE, token);
        assert_eq!(reply.status, 401, "{name}: {}", stack.module_log());
        let challenge = reply.header("WWW-Authenticate").expect("a challenge");
        assert!(challenge.contains("error=\"invalid_token\""), "{name}: {challenge}");
        assert!(stack.counter(&format!("reason_{reason}")) >= 1, "{name}: {}", stack.module_log());
    }
    let bob = stack.register(&mut stack.udp(), BOB, &good);
    assert_eq!((bob.status, bob.header("WWW-Authenticate")), (403, None));
    assert_eq!(stack.register(&mut stack.udp(), ALICE, &good).status, 200);
    assert_eq!(stack.counter("accepted"), 1);
    stack.finish();
}

#[test]
fn a_token_that_expires_between_two_requests_is_refused_from_the_cache() {
    let (server, stack) = Stack::with_server("registrar-sso.cfg");
    // 30 seconds of leeway: this one has two seconds left.
    let token = server.issue(&TokenRequest { ttl: -28, resource: "es256", ..TokenRequest::default() });
    let mut phone = stack.tcp();
    assert_eq!(stack.register(&mut phone, ALICE, &token).status, 200, "{}", stack.module_log());
    stack.wait_until("the token expires", || stack.register(&mut stack.tcp(), ALICE, &token).status == 401);
    assert_eq!(stack.counter("reason_token_expired"), 1);
    assert!(stack.counter("cache_hits") >= 1);
    stack.finish();
}

#[test]
fn a_call_needs_a_token_and_does_not_carry_it_on() {
    let (server, stack) = Stack::with_server("registrar-sso.cfg");
    let (alice, bob) = (server.token("alice", "es256"), server.token("bob", "eddsa"));
    let mut callee = stack.udp();
    let contact = format!("<sip:bob@127.0.0.1:{}>", callee.local_port());
    let mut register = Request::register(BOB);
    register.set("Contact", contact).set("Authorization", format!("Bearer {}", stack.secrets.keep(&bob)));
    assert_eq!(stack.request(&mut callee, &register).status, 200, "{}", stack.module_log());

    let mut caller = stack.udp();
    let mut message = Request::new("MESSAGE", BOB, ALICE);
    assert_eq!(stack.request(&mut caller, &message).status, 401);
    message.next().set("Authorization", format!("Bearer {}", stack.secrets.keep(&bob)));
    assert_eq!(stack.request(&mut caller, &message).status, 403, "Bob's token is not Alice's");
    message.next().set("Authorization", format!("Bearer {}", stack.secrets.keep(&alice)));
    caller.send(&message).expect("sent");
    let received = callee.receive_request(PATIENCE).expect("the message arrives");
    let received = String::from_utf8(received).expect("text");
    assert!(received.starts_with("MESSAGE sip:bob@127.0.0.1"), "{received}");
    assert!(!received.contains("Authorization") && !received.contains(&alice), "{received}");
    stack.finish();
}

#[test]
fn digest_credentials_may_stand_beside_the_token() {
    let (server, stack) = Stack::with_server("registrar-sso.cfg");
    let token = stack.secrets.keep(server.token("alice", "rs256"));
    let mut register = Request::register(ALICE);
    register.add("Authorization", "Digest username=\"alice\", realm=\"other\", nonce=\"1\", uri=\"x\", response=\"y\"");
    register.add("Authorization", format!("bEaReR {token}"));
    assert_eq!(stack.request(&mut stack.tcp(), &register).status, 200);
    let mut twice = Request::register(ALICE);
    twice.add("Authorization", format!("Bearer {token}")).add("Authorization", format!("Bearer {token}"));
    assert_eq!(stack.request(&mut stack.tcp(), &twice).status, 400);
    assert_eq!(stack.counter("reason_several_tokens"), 1);
    stack.finish();
}

#[test]
fn register_in_any_case_is_judged_by_its_to() {
    let (server, stack) = Stack::with_server("registrar-sso.cfg");
    let token = stack.secrets.keep(server.token("alice", "es256"));
    for method in ["register", "Register", "REGISTER"] {
        let mut hijack = Request::register(ALICE).with("To", format!("<{BOB}>"));
        hijack.method = method.to_owned();
        hijack.set("CSeq", format!("1 {method}")).set("Authorization", format!("Bearer {token}"));
        let reply = stack.tcp().request(&hijack).expect("an answer");
        assert_ne!(reply.status, 200, "{method}: {reply:?}");
    }
    assert_eq!(stack.counter("accepted"), 0);
    stack.finish();
}

#[test]
fn a_forged_dialog_does_not_go_round_the_check() {
    let (_server, stack) = Stack::with_server("registrar-sso.cfg");
    for method in ["MESSAGE", "INVITE", "REFER", "SUBSCRIBE"] {
        let mut forged = Request::new(method, "sip:x@127.0.0.1:9", ALICE);
        forged.set("To", "<sip:x@127.0.0.1:9>;tag=1");
        forged.set("Route", format!("<sip:127.0.0.1:{};lr>", stack.kamailio.port()));
        let reply = stack.request(&mut stack.udp(), &forged);
        assert_eq!(reply.status, 481, "{method}: {reply:?}");
    }
    stack.finish();
}

#[test]
fn nobody_else_says_who_calls() {
    let (server, stack) = Stack::with_server("registrar-sso.cfg");
    let mut callee = stack.udp();
    let mut register = Request::register(BOB);
    register.set("Contact", format!("<sip:bob@127.0.0.1:{}>", callee.local_port()));
    register.set("Authorization", format!("Bearer {}", stack.secrets.keep(server.token("bob", "es256"))));
    assert_eq!(stack.request(&mut callee, &register).status, 200);
    let mut message = Request::new("MESSAGE", BOB, ALICE);
    message.set("Authorization", format!("Bearer {}", stack.secrets.keep(server.token("alice", "es256"))));
    for name in ["P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"] {
        // A proxy that knows names only before a colon or a space relays the last two.
        for end in ["", " ", "\t", " \t"] {
            message.set(&format!("{name}{end}"), "<sip:ceo@example.test>");
        }
    }
    stack.udp().send(&message).expect("sent");
    let received = callee.receive_request(PATIENCE).expect("the message arrives");
    assert!(!String::from_utf8_lossy(&received).contains("ceo"), "{}", String::from_utf8_lossy(&received));
    stack.finish();
}
