// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/public-ua.cfg and its kin: phones that sign in with an authorization code and then prove
//! that they share a key with the proxy.

use std::time::{Duration, Instant};

use sipoauth_core::sip::sip_date;

use crate::phones::{
    ALICE, FORM, date, key_of, prove, prove_in_header, register, registration_with_proof, sign_in, start, start_with,
    tag, with_code, with_code_of,
};
use crate::stack::Stack;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::kamailio::Builder;
use crate::support::patience::PATIENCE;
use crate::support::sip::{Client, Request};

const INSTANCE: &str = "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";

fn clients(stack: &Stack) -> [(&'static str, Client); 3] {
    [("UDP", stack.udp()), ("TCP", stack.tcp()), ("WS", stack.ws())]
}

/// A phone that has signed in: its key.
fn signed_in(stack: &Stack, server: &AuthorizationServer, client: &mut Client, contact: Option<&str>) -> Vec<u8> {
    let login = sign_in(stack, server, "alice");
    let mut request = with_code(ALICE, &login);
    if let Some(contact) = contact {
        request.set("Contact", contact);
    }
    let (request, reply) = register(stack, client, request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    key_of(stack, &login, &request, &reply)
}

fn the_key_is_that_of_the_answer(name: &str) {
    let (_directory, server, stack) = start(name);
    for (transport, mut client) in clients(&stack) {
        let login = sign_in(&stack, &server, "alice");
        let request = with_code(ALICE, &login);
        let reply = stack.request(&mut client, &request);
        assert_eq!(reply.status, 200, "{transport}: {reply:?}\n{}", stack.module_log());
        let key = key_of(&stack, &login, &request, &reply);
        for _ in 0..2 {
            let reply = stack.request(&mut client, &prove(&key, Request::register(ALICE)));
            assert_eq!(reply.status, 200, "{transport}: {reply:?}\n{}", stack.module_log());
        }
        let message = prove_in_header(&key, Request::new("OPTIONS", "sip:nobody@example.test", ALICE));
        let reply = stack.request(&mut client, &message);
        assert!([200, 404].contains(&reply.status), "{transport}: {reply:?}\n{}", stack.module_log());
        let wrong = prove(&[7; 32], Request::register(ALICE));
        assert_ne!(stack.request(&mut client, &wrong).status, 200, "{transport}");
    }
    stack.finish();
}

/// A worker's very first message: the copy that tm makes of it when it goes on has the number 0, as the registrar's
/// memory of a preference (q) that a script has set has before any was set.
#[test]
fn the_first_registration_of_a_worker_that_waits_is_not_stored_as_the_last_choice() {
    let (_directory, server, stack) = start("tests/e2e/stateful.cfg");
    let login = sign_in(&stack, &server, "alice");
    let (_, reply) = register(&stack, &mut stack.tcp(), with_code(ALICE, &login));
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let contact = reply.header("Contact").expect("the binding");
    assert!(contact.contains("expires=") && !contact.contains("q="), "{contact}");
    stack.finish();
}

#[test]
fn the_key_is_that_of_the_200_when_tm_answers() {
    the_key_is_that_of_the_answer("tests/e2e/stateful.cfg");
}

/// tm keeps a 200 before anybody can look at it, and sends it to whoever asks again.
#[test]
fn a_copy_of_a_registration_gets_no_200_before_the_key_is_stored() {
    const SLOW: &str = "sip:slow-now@example.test"; // The core takes two seconds to store a key of this user.
    let slow = |builder: Builder| builder.modules("kamailio-fault").workers(4);
    let (_directory, server, stack) = start_with("tests/e2e/late_transaction.cfg", slow);
    let login = sign_in(&stack, &server, "slow-now");
    let (mut phone, request) = (stack.udp(), with_code_of(SLOW, &login, "1"));
    assert_eq!(stack.request(&mut phone, &request).status, 200, "{}", stack.module_log());
    // The phone registers with the same code once more. This request does not wait, so only tm tells its copies.
    let octets = phone.send(&request).expect("sent");
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        match phone.receive_for(Duration::from_millis(200)) {
            Ok(reply) if reply.status >= 200 => break reply,
            Ok(_) => {}
            Err(_) => phone.send_octets(&octets).expect("sent"),
        }
        assert!(Instant::now() < deadline, "no answer\n{}", stack.module_log());
    };
    assert_eq!(answer.status, 200, "{}", stack.module_log());
    let key = key_of(&stack, &login, &request, &answer);
    let proved = registration_with_proof(&stack, SLOW, &key);
    assert_eq!(proved.status, 200, "{proved:?}\n{}", stack.module_log());
    stack.finish();
}

#[test]
fn the_key_is_that_of_the_200_when_sl_answers() {
    the_key_is_that_of_the_answer("public-ua.cfg");
}

#[test]
fn a_message_with_a_proof_reaches_its_user_without_it() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let mut phone = stack.udp();
    let contact = format!("<sip:alice@127.0.0.1:{}>", phone.local_port());
    let key = signed_in(&stack, &server, &mut phone, Some(&contact));
    let message = Request::new("MESSAGE", ALICE, ALICE).with_body("text/plain", "Hello");
    stack.udp().send(&prove_in_header(&key, message)).expect("sent");
    let received = phone.receive_request(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", stack.module_log()));
    let received = String::from_utf8(received).expect("text");
    assert!(received.starts_with("MESSAGE ") && received.ends_with("\r\n\r\nHello"), "{received}");
    assert!(!received.contains("Authorization"), "{received}");
    stack.finish();
}

#[test]
fn proofs_are_not_accepted_twice_or_late() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let key = signed_in(&stack, &server, &mut stack.tcp(), None);
    let request = prove(&key, Request::register(ALICE));
    assert_eq!(stack.request(&mut stack.tcp(), &request).status, 200);
    assert_eq!(stack.request(&mut stack.tcp(), &request).status, 403, "another branch: a replay");
    let stale = prove(&key, Request::register(ALICE).with("Date", date(-86_400)));
    let reply = stack.request(&mut stack.tcp(), &stale);
    assert_eq!((reply.status, reply.reason.as_str()), (403, "Stale Date"));
    let now = reply.header("Date").expect("a Date");
    assert!(sip_date::read(now.as_bytes()).is_some_and(|date| date.text == now.as_bytes()), "{now}");
    assert_eq!((stack.counter("reason_pop_stale"), stack.counter("reason_pop_replayed")), (1, 1));
    stack.finish();
}

/// The digest-string has room for one Contact: nobody adds another on the way.
#[test]
fn a_proof_covers_every_contact() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let key = signed_in(&stack, &server, &mut stack.udp(), None);
    let proved = |contact: Option<&str>| {
        let mut request = Request::register(ALICE).with("Expires", "0");
        request.headers.retain(|(name, _)| name != "Contact");
        prove(&key, if let Some(contact) = contact { request.with("Contact", contact) } else { request })
    };
    let stolen = "<sip:mallory@127.0.0.1:9>";
    for (contact, added) in
        [(Some("*"), &[stolen][..]), (None, &["<sip:", stolen]), (None, &[stolen, "*"]), (Some(stolen), &["*"])]
    {
        let mut request = proved(contact);
        for contact in added {
            request.add("Contact", *contact);
        }
        let reply = stack.request(&mut stack.udp(), &request);
        assert_eq!(reply.status, 400, "{contact:?} and {added:?}: {reply:?}");
    }
    assert_eq!(stack.counter("reason_pop_malformed"), 4);
    for contact in [None, Some("*")] {
        let reply = stack.request(&mut stack.udp(), &proved(contact));
        assert_eq!(reply.status, 200, "{contact:?}: {reply:?}\n{}", stack.module_log());
    }
    stack.finish();
}

#[test]
fn a_retransmitted_registration_gets_the_same_answer() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let login = sign_in(&stack, &server, "alice");
    let mut phone = stack.udp();
    let request = with_code(ALICE, &login);
    let octets = phone.send(&request).expect("sent");
    phone.send_octets(&octets).expect("sent");
    let reply = phone.receive().expect("an answer");
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let again = phone.exchange(&octets).expect("an answer");
    assert_eq!((again.status, again.header("To")), (200, reply.header("To")));
    let key = key_of(&stack, &login, &request, &reply);
    assert_eq!(stack.request(&mut phone, &prove(&key, Request::register(ALICE))).status, 200);
    assert_eq!(server.stats().get("/token"), Some(&1), "one exchange");
    stack.finish();
}

#[test]
fn a_dialog_of_registrations_keeps_its_tag() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let login = sign_in(&stack, &server, "alice");
    let request = with_code(ALICE, &login).with("To", format!("<{ALICE}>;tag=mine"));
    let reply = stack.request(&mut stack.tcp(), &request);
    assert_eq!((reply.status, tag(reply.header("To").expect("a To"))), (200, "mine"));
    let key = key_of(&stack, &login, &request, &reply);
    assert_eq!(stack.request(&mut stack.tcp(), &prove(&key, Request::register(ALICE))).status, 200);
    stack.finish();
}

#[test]
fn revoking_removes_a_binding_in_which_the_phone_named_no_instance() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let contact = format!("<sip:desk@127.0.0.1:9>;+sip.instance=\"{INSTANCE}\"");
    let desk = signed_in(&stack, &server, &mut stack.tcp(), Some(&contact));
    let mut nameless = Request::register(ALICE);
    nameless.set("Contact", "<sip:soft@127.0.0.1:9>");
    assert_eq!(stack.request(&mut stack.tcp(), &prove(&desk, nameless)).status, 200, "{}", stack.module_log());
    let bindings = || stack.rpc("ul.dump", &[]).expect("usrloc");
    assert!(bindings().contains("sip:desk@") && bindings().contains("sip:soft@"), "{}", bindings());
    let answer = stack.rpc("auth_oauth.sessions_revoke", &[ALICE]).expect("revoked");
    assert!(answer.contains("revoked: 1") && answer.contains("bindings_removed: 2"), "{answer}");
    assert!(!bindings().contains("127.0.0.1:9"), "{}", bindings());
    stack.finish();
}

#[test]
fn revoking_by_rpc_ends_the_session_and_removes_its_binding() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let contact = |user| format!("<sip:{user}@127.0.0.1:9>;+sip.instance=\"{INSTANCE}\"");
    let desk = signed_in(&stack, &server, &mut stack.tcp(), Some(&contact("desk")));
    let mobile = signed_in(&stack, &server, &mut stack.tcp(), Some("<sip:mobile@127.0.0.1:9>"));
    let bindings = || stack.rpc("ul.dump", &[]).expect("usrloc");
    assert!(bindings().contains("sip:desk@") && bindings().contains("sip:mobile@"), "{}", bindings());

    let shown = stack.rpc("auth_oauth.sessions_show", &["alice@example.test"]).expect("sessions");
    assert_eq!(shown.matches("id: ").count(), 2, "shown: {shown}\n{}", stack.module_log());
    for part in ["aor: sip:alice@example.test", "provider: test", "subject: alice", INSTANCE, "renewable: 1", "weak: 0"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let listed = stack.rpc("auth_oauth.sessions_list", &[]).expect("sessions");
    assert_eq!(listed.matches("id: ").count(), 2, "{listed}");

    let value = |line: &str| line.split(": ").nth(1).unwrap_or_default().trim().to_owned();
    let lines: Vec<&str> = shown.lines().collect();
    let at = lines.iter().position(|line| line.contains(INSTANCE)).expect("the desk phone");
    let id = lines[..at].iter().rev().find(|line| line.trim().starts_with("id:")).map(|line| value(line));
    let answer = stack.rpc("auth_oauth.sessions_revoke", &[ALICE, &id.expect("an id")]).expect("revoked");
    assert!(answer.contains("revoked: 1") && answer.contains("bindings_removed: 1"), "{answer}");
    assert!(!bindings().contains("sip:desk@") && bindings().contains("sip:mobile@"), "{}", bindings());
    let refused = stack.request(&mut stack.tcp(), &prove(&desk, Request::register(ALICE)));
    assert_eq!(refused.status, 401, "{refused:?}\n{}", stack.module_log());
    assert_eq!(stack.request(&mut stack.tcp(), &prove(&mobile, Request::register(ALICE))).status, 200);

    let answer = stack.rpc("auth_oauth.sessions_revoke_all", &[]).expect("revoked");
    assert!(answer.contains("revoked: 1"), "{answer}");
    assert!(!bindings().contains("sip:mobile@"), "{}", bindings());
    assert_eq!(stack.request(&mut stack.tcp(), &prove(&mobile, Request::register(ALICE))).status, 401);
    let none = stack.rpc("auth_oauth.sessions_show", &[ALICE]).expect("no sessions");
    assert!(!none.contains("id: "), "{none}");
    let error = stack.rpc("auth_oauth.sessions_show", &["sip:"]).expect_err("not an address");
    assert!(error.contains("404"), "{error}");
    stack.finish();
}

#[test]
fn bodies_that_cannot_be_read_are_refused_with_a_reason() {
    let (_directory, _server, stack) = start("public-ua.cfg");
    let json = Request::register(ALICE).with_body("application/json", "{}");
    let reply = stack.request(&mut stack.tcp(), &json);
    assert_eq!((reply.status, reply.header("Accept")), (415, Some(FORM)), "{reply:?}");
    for body in ["grant_type=password", "code=1", "grant_type=authorization_code", "%zz"] {
        let reply = stack.request(&mut stack.tcp(), &Request::register(ALICE).with_body(FORM, body));
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        assert!(reply.reason.len() > "Bad Request".len(), "{body}: {reply:?}");
    }
    stack.finish();
}

#[test]
fn a_challenge_says_where_to_go() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let reply = stack.request(&mut stack.udp(), &Request::register(ALICE));
    assert_eq!(reply.status, 401, "{reply:?}");
    assert!(reply.header("Location").is_some_and(|l| l.contains(server.issuer())), "{reply:?}");
    stack.finish();

    let (_directory, server, stack) = start_with("public-ua.cfg", |builder| builder.define("REDIRECT", 1));
    let reply = stack.request(&mut stack.udp(), &Request::register(ALICE));
    assert_eq!((reply.status, reply.reason.as_str()), (302, "Moved Temporarily"), "{reply:?}");
    for name in ["Location", "Contact"] {
        assert!(reply.header(name).is_some_and(|l| l.contains(server.issuer())), "{reply:?}");
    }
    stack.finish();
}

fn defined(builder: Builder, names: &[&str]) -> Builder {
    names.iter().fold(builder, |builder, name| builder.define(name, 1))
}

/// The answer has another To tag than the check could foresee.
fn an_answer_with_another_tag_counts(defines: &[&str]) {
    let (_directory, server, stack) = start_with("tests/e2e/odd_answers.cfg", |b| defined(b, defines));
    let login = sign_in(&stack, &server, "alice");
    let (request, reply) = register(&stack, &mut stack.tcp(), with_code(ALICE, &login));
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    let key = key_of(&stack, &login, &request, &reply);
    let reply = stack.request(&mut stack.tcp(), &prove(&key, Request::register(ALICE)));
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    stack.finish();
}

#[test]
fn the_tag_of_a_late_transaction_counts() {
    an_answer_with_another_tag_counts(&["LATE_TRANSACTION"]);
}

#[test]
fn the_tag_of_a_stateless_answer_beside_a_transaction_counts() {
    an_answer_with_another_tag_counts(&["EARLY_TRANSACTION", "STATELESS"]);
}

#[test]
fn a_refused_registration_leaves_no_key() {
    let (_directory, server, stack) = start_with("tests/e2e/odd_answers.cfg", |b| b.define("REFUSE", 1));
    let login = sign_in(&stack, &server, "alice");
    let (request, reply) = register(&stack, &mut stack.tcp(), with_code(ALICE, &login));
    assert_eq!((reply.status, reply.reason.as_str()), (403, "Not Today"), "{}", stack.module_log());
    let key = key_of(&stack, &login, &request, &reply);
    let reply = stack.request(&mut stack.tcp(), &prove(&key, Request::register(ALICE)));
    assert_eq!(reply.status, 401, "{reply:?}\n{}", stack.module_log());
    stack.finish();
}

/// The session is ended between the check and the answer: the phone must not believe that it shares a key.
fn a_200_without_its_key_becomes_a_503(how: &[&str]) {
    let change = |builder: Builder| defined(builder, how).define("PAUSE", 1);
    let (_directory, server, mut stack) = start_with("tests/e2e/odd_answers.cfg", change);
    let login = sign_in(&stack, &server, "alice");
    let mut phone = stack.udp();
    let request = with_code(ALICE, &login);
    let octets = phone.send(&request).expect("sent");
    stack.wait_until("the code is exchanged", || server.stats().get("/token") == Some(&1));
    stack.wait_until("the check has accepted, and the script pauses", || stack.counter("accepted") == 1);
    let answer = stack.rpc("auth_oauth.sessions_revoke_all", &[]).expect("revoked");
    assert!(answer.contains("revoked: 1"), "{answer}");
    let mut statuses = Vec::new();
    while let Ok(reply) = phone.receive_for(Duration::from_secs(10)) {
        if reply.status == 503 {
            assert!(reply.header("Retry-After").is_some() && reply.header("Contact").is_none(), "{reply:?}");
        }
        statuses.push(reply.status);
    }
    let log = stack.module_log();
    assert!(log.contains("the key of a registration could not be stored"), "{statuses:?}\n{log}");
    assert!(statuses.contains(&503) && statuses.iter().all(|s| *s >= 400), "{statuses:?}\n{log}");
    // Nor does a retransmission bring the 200 to light, and the transaction's memory is given back.
    phone.send_octets(&octets).expect("sent");
    while let Ok(reply) = phone.receive_for(Duration::from_secs(3)) {
        assert!(reply.status >= 400, "{reply:?}");
    }
    std::thread::sleep(Duration::from_secs(4));
    assert!(stack.kamailio.is_alive());
    stack.finish();
}

#[test]
fn a_200_of_a_suspended_transaction_without_its_key_becomes_a_503() {
    a_200_without_its_key_becomes_a_503(&["EARLY_TRANSACTION"]);
}

#[test]
fn a_200_of_tm_without_its_key_becomes_a_503() {
    a_200_without_its_key_becomes_a_503(&["LATE_TRANSACTION"]);
}

#[test]
fn a_200_of_sl_without_its_key_becomes_a_503() {
    a_200_without_its_key_becomes_a_503(&[]);
}

#[test]
fn a_200_of_sl_beside_a_transaction_without_its_key_becomes_a_503() {
    a_200_without_its_key_becomes_a_503(&["EARLY_TRANSACTION", "STATELESS"]);
}
