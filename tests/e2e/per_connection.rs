// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/per-connection.cfg: one sign-in per connection, and every request is checked.

use std::time::Duration;

use crate::browser_websocket::{answer, text};
use crate::phones::{prove, registered_over, sign_in, start, with_settings};
use crate::stack::{Stack, configured, provider};
use crate::support::authorization_server::{AuthorizationServer, TokenRequest};
use crate::support::browser;
use crate::support::host::is_opensips;
use crate::support::scripted_server::{self, ScriptedServer};
use crate::support::sip::{Client, Reply, Request};
use crate::support::temporary::Directory;

const ALICE: &str = "sip:alice@example.test";
const BOB: &str = "sip:bob@example.test";
const CONTACT: &str = "<sip:x@y.invalid;transport=ws>";
const EXAMPLE: &str = "per-connection.cfg";
/// What comes at all comes in this time.
const SOON: Duration = Duration::from_millis(700);

fn register(stack: &Stack, phone: &mut Client, aor: &str, token: &str) {
    let mut request = Request::register(aor);
    request.set("Contact", CONTACT).set("Authorization", format!("Bearer {}", stack.secrets.keep(token)));
    assert_eq!(stack.request(phone, &request).status, 200, "{}", stack.module_log());
}

/// A request to nobody, without a token: 404 when its user is known.
fn ask(stack: &Stack, phone: &mut Client, method: &str, from: &str) -> Reply {
    stack.request(phone, &Request::new(method, "sip:nobody@example.test", from))
}

fn invite() -> Request {
    Request::new("INVITE", BOB, ALICE).with("Contact", CONTACT)
}

fn final_reply(phone: &mut Client) -> Reply {
    loop {
        let reply = phone.receive().expect("a reply");
        if reply.status >= 200 {
            return reply;
        }
    }
}

/// The next request of a dialog whose INVITE got this answer.
fn within(invite: &Request, accepted: &Reply, method: &str, number: u32) -> Request {
    let target = accepted.header("Contact").expect("a Contact").trim_matches(['<', '>']).to_owned();
    let mut request = Request { method: method.to_owned(), uri: target, ..invite.clone() };
    request.set("To", accepted.header("To").expect("a To")).set("CSeq", format!("{number} {method}"));
    for route in accepted.all("Record-Route").iter().rev() {
        request.add("Route", *route);
    }
    request
}

/// Alice calls Bob, who answers; neither sends a token. The INVITE and its answer.
fn call(alice: &mut Client, bob: &mut Client) -> (Request, Reply) {
    let invite = invite();
    alice.send(&invite).expect("sent");
    let received = text(bob);
    assert!(received.starts_with("INVITE sip:x@y.invalid"), "{received}");
    bob.send_octets(answer(&received, CONTACT).as_bytes()).expect("sent");
    let accepted = final_reply(alice);
    assert_eq!(accepted.status, 200, "{accepted:?}");
    (invite, accepted)
}

fn hears_nothing(phone: &mut Client) {
    let heard = phone.receive_octets(SOON);
    assert!(heard.is_err(), "{}", String::from_utf8_lossy(&heard.unwrap_or_default()));
}

fn short_token(stack: &Stack, server: &AuthorizationServer, seconds: i64) -> String {
    // 30 seconds of leeway
    let ttl = seconds - 30;
    stack.secrets.keep(server.issue(&TokenRequest { ttl, resource: "es256", ..TokenRequest::default() }))
}

/// The answer to Alice's first request after her token.
fn when_it_has_ended(stack: &Stack, alice: &mut Client) -> Reply {
    for _ in 0..600 {
        let reply = ask(stack, alice, "INVITE", ALICE);
        if reply.status != 404 {
            return reply;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the token does not end\n{}", stack.module_log());
}

#[test]
fn a_call_without_tokens_on_connections_that_have_signed_in() {
    let (server, stack) = Stack::with_server(EXAMPLE);
    let ws = || stack.ws();
    for (mut alice, mut bob) in [(ws(), ws()), (stack.tcp(), ws()), (stack.tcp(), stack.tcp())] {
        register(&stack, &mut alice, ALICE, &server.token("alice", "es256"));
        register(&stack, &mut bob, BOB, &server.token("bob", "rs256"));
        let (invite, accepted) = call(&mut alice, &mut bob);
        alice.send(&within(&invite, &accepted, "ACK", 1)).expect("sent");
        assert!(text(&mut bob).starts_with("ACK "));
        alice.send(&within(&invite, &accepted, "BYE", 2)).expect("sent");
        let bye = text(&mut bob);
        assert!(bye.starts_with("BYE "), "{bye}");
        bob.send_octets(answer(&bye, CONTACT).as_bytes()).expect("sent");
        assert_eq!(final_reply(&mut alice).status, 200);
    }
    assert_eq!((stack.counter("connections_bound"), stack.counter("connection_hits")), (6, 9));
    assert_eq!((stack.counter("denied"), stack.counter("no_credentials")), (0, 0));
    stack.finish();
}

#[test]
fn when_the_token_has_ended_the_next_invite_is_challenged() {
    let (server, stack) = Stack::with_server(EXAMPLE);
    let mut alice = stack.ws();
    register(&stack, &mut alice, ALICE, &short_token(&stack, &server, 8));
    assert_eq!(ask(&stack, &mut alice, "INVITE", ALICE).status, 404, "{}", stack.module_log());
    let reply = when_it_has_ended(&stack, &mut alice);
    assert_eq!(reply.status, 401, "{reply:?}");
    let challenge = reply.header("WWW-Authenticate").expect("a challenge");
    assert!(challenge.starts_with("Bearer ") && challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert_eq!(stack.counter("reason_connection_expired"), 1);
    // It ends for everything: what goes on with a call and what ends it.
    assert_eq!(ask(&stack, &mut alice, "MESSAGE", ALICE).status, 401);
    // A new token serves again, for itself and for what follows.
    let mut invite = Request::new("INVITE", "sip:nobody@example.test", ALICE);
    invite.set("Authorization", format!("Bearer {}", stack.secrets.keep(server.token("alice", "es256"))));
    assert_eq!(stack.request(&mut alice, &invite).status, 404);
    assert_eq!(ask(&stack, &mut alice, "INVITE", ALICE).status, 404);
    stack.finish();
}

/// JsSIP in Chromium sends its token in REGISTER alone; the call is a real one with media.
#[test]
fn jssip_signs_in_once_and_calls() {
    let (server, stack) = Stack::with_server(EXAMPLE);
    let tokens = || [short_token(&stack, &server, 30), stack.secrets.keep(server.token("bob", "es256"))];
    let outcome = browser::call(stack.kamailio.websocket_port(), [ALICE, BOB], tokens, Duration::from_secs(31));
    let events: Vec<&str> = outcome["events"].as_array().expect("a list").iter().filter_map(|e| e.as_str()).collect();
    let story = [
        "alice registered",
        "bob registered",
        "bob is called",
        "alice confirmed",
        "bob confirmed",
        "bob hung up on",
        "alice failed 401",
    ];
    assert_eq!(events, story, "{outcome}\n{}", stack.module_log());
    assert_eq!(stack.counter("reason_connection_expired"), 1);
    assert!(stack.counter("connection_hits") >= 4, "INVITE, ACK, BYE, and the INVITE that was too late");
    stack.finish();
}

#[test]
fn only_this_connection_and_only_its_user() {
    let (server, stack) = Stack::with_server(EXAMPLE);
    let token = server.token("alice", "es256");
    let (mut alice, mut other, mut datagrams) = (stack.tcp(), stack.tcp(), stack.udp());
    register(&stack, &mut alice, ALICE, &token);
    assert_eq!(ask(&stack, &mut alice, "MESSAGE", ALICE).status, 404, "{}", stack.module_log());
    assert_eq!(ask(&stack, &mut other, "MESSAGE", ALICE).status, 401);
    assert_eq!(ask(&stack, &mut alice, "MESSAGE", BOB).status, 403);
    assert_eq!(stack.counter("reason_aor_mismatch"), 1);
    // Another user may sign in here; it begins with a challenge, and then the connection is his.
    assert_eq!(stack.request(&mut alice, &Request::register(BOB)).status, 401);
    register(&stack, &mut alice, BOB, &server.token("bob", "es256"));
    assert_eq!(ask(&stack, &mut alice, "MESSAGE", BOB).status, 404);
    assert_eq!(ask(&stack, &mut alice, "MESSAGE", ALICE).status, 403);
    // UDP has no connections.
    register(&stack, &mut datagrams, ALICE, &token);
    assert_eq!(ask(&stack, &mut datagrams, "MESSAGE", ALICE).status, 401);
    // What has come through another proxy came over a connection that many phones may share.
    let mut passed_on = Request::new("MESSAGE", "sip:nobody@example.test", BOB);
    passed_on.set("Via", format!("SIP/2.0/TCP 127.0.0.1:{};branch=z9hG4bKproxy;rport", alice.local_port()));
    passed_on.add("Via", "SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKphone");
    assert_eq!(stack.request(&mut alice, &passed_on).status, 401);
    let mut one_header = passed_on.clone();
    one_header.next().set(
        "Via",
        passed_on.headers.iter().filter(|h| h.0 == "Via").map(|h| h.1.as_str()).collect::<Vec<_>>().join(", "),
    );
    assert_eq!(stack.request(&mut alice, &one_header).status, 401);
    stack.finish();
}

/// Flexisip let BYE and CANCEL pass, and ACK with an invalid token.
#[test]
fn ack_bye_and_cancel_of_others_go_nowhere() {
    let (server, stack) = Stack::with_server(EXAMPLE);
    let (mut alice, mut bob, mut mallory) = (stack.tcp(), stack.tcp(), stack.tcp());
    register(&stack, &mut alice, ALICE, &server.token("alice", "es256"));
    register(&stack, &mut bob, BOB, &server.token("bob", "es256"));

    let ringing = invite();
    let octets = alice.send(&ringing).expect("sent");
    let received = text(&mut bob);
    // Exactly Alice's CANCEL, over another connection.
    let via = String::from_utf8_lossy(&octets).lines().find(|l| l.starts_with("Via: ")).expect("a Via")[5..].to_owned();
    let mut cancel = Request { method: "CANCEL".to_owned(), ..ringing.clone() };
    cancel.set("CSeq", "1 CANCEL").set("Via", via);
    cancel.headers.retain(|(name, _)| name != "Contact");
    assert_eq!(stack.request(&mut mallory, &cancel).status, 403, "{}", stack.module_log());
    hears_nothing(&mut bob);
    // In her own name Mallory may send requests, but not end what somebody else has begun.
    let mallorys = "sip:mallory@example.test";
    let mut signed_in = stack.tcp();
    register(&stack, &mut signed_in, mallorys, &server.token("mallory", "es256"));
    cancel.set("From", format!("<{mallorys}>;tag=m"));
    signed_in.send(&cancel).expect("sent");
    assert_eq!(final_reply(&mut signed_in).status, 481, "{}", stack.module_log());
    hears_nothing(&mut bob);
    bob.send_octets(answer(&received, CONTACT).as_bytes()).expect("sent");
    let accepted = final_reply(&mut alice);
    assert_eq!(accepted.status, 200);

    mallory.send(&within(&ringing, &accepted, "ACK", 1)).expect("sent");
    hears_nothing(&mut bob);
    assert_eq!(stack.request(&mut mallory, &within(&ringing, &accepted, "BYE", 2)).status, 401);
    hears_nothing(&mut bob);
    // A bad token is worse than none, and unbinds nothing.
    let bad = |method, number| {
        within(&ringing, &accepted, method, number)
            .with("Authorization", format!("Bearer {}", server.token("alice", "opaque")))
    };
    alice.send(&bad("ACK", 1)).expect("sent");
    hears_nothing(&mut bob);
    assert_eq!(stack.request(&mut alice, &bad("BYE", 3)).status, 401);
    hears_nothing(&mut bob);
    alice.send(&within(&ringing, &accepted, "ACK", 1)).expect("sent");
    assert!(text(&mut bob).starts_with("ACK "));
    stack.finish();
}

/// Alice's INVITE that rings at Bob, and the CANCEL of it.
fn ring(alice: &mut Client, bob: &mut Client) -> (String, Request) {
    let ringing = invite();
    let octets = alice.send(&ringing).expect("sent");
    let received = text(bob);
    bob.send_octets(answer(&received, CONTACT).replace("200 OK", "180 Ringing").as_bytes()).expect("sent");
    while alice.receive().expect("a reply").status != 180 {}
    let via = String::from_utf8_lossy(&octets).lines().find(|l| l.starts_with("Via: ")).expect("a Via")[5..].to_owned();
    let mut cancel = Request { method: "CANCEL".to_owned(), ..ringing };
    cancel.set("CSeq", "1 CANCEL").set("Via", via);
    (received, cancel)
}

#[test]
fn a_cancel_of_the_caller_reaches_the_callee() {
    let (server, stack) = Stack::with_server(EXAMPLE);
    let (mut alice, mut bob) = (stack.tcp(), stack.tcp());
    register(&stack, &mut alice, ALICE, &server.token("alice", "es256"));
    register(&stack, &mut bob, BOB, &server.token("bob", "es256"));
    let (_, cancel) = ring(&mut alice, &mut bob);
    alice.send(&cancel).expect("sent");
    assert_eq!(final_reply(&mut alice).status, 200, "{}", stack.module_log());
    assert!(text(&mut bob).starts_with("CANCEL "));
    stack.finish();
}

#[test]
fn a_token_that_ends_while_it_rings_lets_its_caller_cancel() {
    let (server, stack) = Stack::with_server(EXAMPLE);
    let (mut alice, mut bob) = (stack.ws(), stack.tcp());
    register(&stack, &mut bob, BOB, &server.token("bob", "es256"));
    register(&stack, &mut alice, ALICE, &short_token(&stack, &server, 8));
    let (_, cancel) = ring(&mut alice, &mut bob);
    assert_eq!(when_it_has_ended(&stack, &mut alice).status, 401);
    alice.send(&cancel).expect("sent");
    assert_eq!(final_reply(&mut alice).status, 200, "{}", stack.module_log());
    assert!(text(&mut bob).starts_with("CANCEL "));
    stack.finish();
}

#[test]
fn a_token_that_ends_while_it_rings_lets_its_caller_acknowledge() {
    let (server, stack) = Stack::with_server(EXAMPLE);
    let (mut alice, mut bob) = (stack.tcp(), stack.tcp());
    register(&stack, &mut bob, BOB, &server.token("bob", "es256"));
    register(&stack, &mut alice, ALICE, &short_token(&stack, &server, 8));
    let (received, cancel) = ring(&mut alice, &mut bob);
    assert_eq!(when_it_has_ended(&stack, &mut alice).status, 401);
    bob.send_octets(answer(&received, CONTACT).as_bytes()).expect("sent");
    let accepted = final_reply(&mut alice);
    assert_eq!(accepted.status, 200, "{accepted:?}");
    let mut invite = Request { method: "INVITE".to_owned(), ..cancel };
    invite.headers.retain(|(name, _)| name != "Via");
    alice.send(&within(&invite, &accepted, "ACK", 1)).expect("sent");
    assert!(text(&mut bob).starts_with("ACK "));
    // What could be repeated with a token is challenged.
    alice.send(&within(&invite, &accepted, "BYE", 2)).expect("sent");
    assert_eq!(final_reply(&mut alice).status, 401);
    stack.finish();
}

/// The server is asked about each use, so that nothing is known of the token when the CANCEL comes.
#[test]
fn a_cancel_that_cannot_wait_for_the_server_ends_only_what_its_connection_began() {
    let server = AuthorizationServer::start();
    let (issuer, audience) = (server.issuer(), AuthorizationServer::resource("opaque"));
    let settings = "client_id=sip-rs;client_secret=rs-secret;tokens=opaque;introspection_cache=0";
    let provider = format!("name=test;issuer={issuer};audience={audience};aor={{sip}};domain=example.test;{settings}");
    let stack = Stack::new(configured(EXAMPLE, &provider));
    stack.secrets.keep("rs-secret");
    let (mut alice, mut bob, mut mallory) = (stack.tcp(), stack.tcp(), stack.tcp());
    register(&stack, &mut alice, ALICE, &server.token("alice", "opaque"));
    register(&stack, &mut bob, BOB, &server.token("bob", "opaque"));
    register(&stack, &mut mallory, "sip:mallory@example.test", &server.token("mallory", "opaque"));
    let (_, cancel) = ring(&mut alice, &mut bob);
    // An answer counts for three seconds.
    std::thread::sleep(Duration::from_millis(4500));
    // Exactly Alice's CANCEL, from Mallory, who has signed in.
    mallory.send(&cancel).expect("sent");
    assert_eq!(final_reply(&mut mallory).status, 503, "{}", stack.module_log());
    hears_nothing(&mut bob);
    alice.send(&cancel).expect("sent");
    assert_eq!(final_reply(&mut alice).status, 200, "{}", stack.module_log());
    assert!(text(&mut bob).starts_with("CANCEL "));
    stack.finish();
}

#[test]
fn a_callee_hangs_up_without_a_token() {
    let (server, stack) = Stack::with_server(EXAMPLE);
    let (mut alice, mut bob) = (stack.tcp(), stack.tcp());
    register(&stack, &mut alice, ALICE, &server.token("alice", "es256"));
    register(&stack, &mut bob, BOB, &server.token("bob", "es256"));
    let (invite, accepted) = call(&mut alice, &mut bob);
    alice.send(&within(&invite, &accepted, "ACK", 1)).expect("sent");
    let ack = text(&mut bob);
    let header = |name: &str| {
        let found = ack.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {ack}"));
        found.trim().to_owned()
    };
    let mut bye = Request::new("BYE", "sip:x@y.invalid;transport=ws", BOB);
    bye.set("From", header("To:")).set("To", header("From:")).set("Call-ID", header("Call-ID:"));
    for route in accepted.all("Record-Route") {
        bye.add("Route", route);
    }
    // Alice's Contact as the INVITE brought it to Bob names her connection.
    let port = alice.local_port();
    bye.uri = if is_opensips() {
        format!("sip:x@127.0.0.1:{port};transport=tcp")
    } else {
        format!("sip:x@y.invalid;transport=ws;alias=127.0.0.1~{port}~2")
    };
    bob.send(&bye).expect("sent");
    let received = text(&mut alice);
    assert!(received.starts_with("BYE "), "{received}\n{}", stack.module_log());
    stack.finish();
}

#[test]
fn connections_that_have_ended_make_room() {
    let directory = Directory::new("connections");
    let server = AuthorizationServer::start();
    let builder = configured(EXAMPLE, &provider(server.issuer()));
    let stack = Stack::new(with_settings(builder, &directory, "users = 64\n"));
    stack.wait_for_keys();
    let token = server.token("alice", "es256");
    let mut silent = stack.tcp();
    register(&stack, &mut silent, ALICE, &token);
    for _ in 0..400 {
        register(&stack, &mut stack.tcp(), ALICE, &token);
    }
    // Were the ended ones still there, this one would be the oldest of all.
    assert_eq!(ask(&stack, &mut silent, "MESSAGE", ALICE).status, 404);
    assert_eq!(stack.counter("connections_bound"), 401);
    stack.finish();
}

/// Kamailio tells one module only when a connection has ended.
#[test]
fn tcpops_keeps_the_event_and_connections_are_bound_all_the_same() {
    let (server, stack) = Stack::with_server("tests/e2e/tcpops.cfg");
    let mut alice = stack.tcp();
    register(&stack, &mut alice, ALICE, &server.token("alice", "es256"));
    assert_eq!(ask(&stack, &mut alice, "MESSAGE", ALICE).status, 404);
    // From 6.1 on several modules may.
    let said = stack.kamailio.log().contains("another module listens to the end of connections");
    assert_eq!(said, stack.kamailio.version() < (6, 1));
    drop(alice);
    stack.wait_until("tcpops is told", || stack.kamailio.log().contains("a connection has ended"));
    assert_eq!(ask(&stack, &mut stack.tcp(), "MESSAGE", ALICE).status, 401);
    stack.finish();
}

/// The domain of its user tells the provider of an opaque token, and the domain of a later From does not.
#[test]
fn a_token_of_one_domain_never_reaches_the_server_of_another() {
    let (directory, server) = (Directory::new("domains"), AuthorizationServer::start());
    let other = ScriptedServer::start(scripted_server::key_set(&[]));
    let client = "client_id=sip-rs;client_secret=rs-secret;tokens=opaque;introspection_cache=0";
    let (issuer, audience) = (server.issuer(), AuthorizationServer::resource("opaque"));
    let provider = format!("name=test;issuer={issuer};audience={audience};aor={{sip}};domains=example.test;{client}");
    let settings = format!(
        "[[provider]]\nname = \"other\"\nissuer = \"{}\"\naudience = \"{audience}\"\naor = \"{{sip}}\"\n\
         domains = \"b.test\"\ntokens = \"opaque\"\nintrospection_endpoint = \"{}\"\n\
         client_id = \"c\"\nclient_secret = \"another-secret\"\n",
        other.issuer(),
        other.url("/introspect"),
    );
    let stack = Stack::new(with_settings(configured(EXAMPLE, &provider), &directory, &settings));
    stack.secrets.keep("rs-secret");
    let mut alice = stack.tcp();
    register(&stack, &mut alice, ALICE, &server.token("alice", "opaque"));
    // Until its answer is old, and the token must be asked about again.
    std::thread::sleep(Duration::from_millis(4500));
    let reply = ask(&stack, &mut alice, "MESSAGE", "sip:x@b.test");
    assert_eq!(reply.status, 403, "{reply:?}\n{}", stack.module_log());
    assert_eq!(other.count("/introspect"), 0);
    assert_eq!(ask(&stack, &mut alice, "MESSAGE", ALICE).status, 404, "{}", stack.module_log());
    stack.finish();
}

#[test]
fn without_the_setting_each_request_needs_its_token() {
    let server = AuthorizationServer::start();
    let stack = Stack::new(configured("browser-websocket.cfg", &provider(server.issuer())));
    stack.wait_for_keys();
    let (mut alice, mut bob) = (stack.tcp(), stack.tcp());
    register(&stack, &mut alice, ALICE, &server.token("alice", "es256"));
    register(&stack, &mut bob, BOB, &server.token("bob", "es256"));
    assert_eq!(ask(&stack, &mut alice, "MESSAGE", ALICE).status, 401);
    assert_eq!(stack.request(&mut alice, &invite()).status, 401);
    assert_eq!((stack.counter("connections_bound"), stack.counter("connection_hits")), (0, 0));
    stack.finish();
}

#[test]
fn a_session_that_the_operator_ends_ends_its_connections() {
    let (_directory, server, stack) = start(EXAMPLE);
    let (mut alice, mut tablet) = (stack.tcp(), stack.tcp());
    let key = registered_over(&stack, &mut alice, ALICE, &sign_in(&stack, &server, "alice"));
    assert_eq!(ask(&stack, &mut alice, "MESSAGE", ALICE).status, 404, "{}", stack.module_log());
    // A proof binds as a code does.
    let proof = prove(&key, Request::register(ALICE));
    assert_eq!(stack.request(&mut tablet, &proof).status, 200);
    assert_eq!(ask(&stack, &mut tablet, "MESSAGE", ALICE).status, 404);
    assert_eq!(ask(&stack, &mut tablet, "MESSAGE", BOB).status, 403);
    stack.rpc("auth_oauth.sessions_revoke", &[ALICE]).expect("the session is there");
    for phone in [&mut alice, &mut tablet] {
        assert_eq!(ask(&stack, phone, "MESSAGE", ALICE).status, 401);
    }
    assert_eq!(stack.counter("reason_session_ended"), 2);
    stack.finish();
}
