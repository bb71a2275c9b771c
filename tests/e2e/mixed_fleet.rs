// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/mixed-fleet.cfg: Digest phones that cannot parse Bearer next to token phones.

use std::time::Duration;

use crate::fleet::{PASSWORD, rules, rules_with_both_for_others, start};
use crate::password_attacks;
use crate::phones::aor;
use crate::stack::Stack;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::digest_phone::{self, Account, Phone};
use crate::support::kamailio::Kamailio;
use crate::support::sip::{Client, Reply, Request};
use crate::support::sipp::{self, Transport};
use sipoauth_core::sip::digest::{DigestAlgorithm, ha1};

fn start_example() -> (AuthorizationServer, Stack) {
    start(&rules(), "example.test")
}

fn desk(stack: &Stack, transport: &'static str) -> Account {
    Account {
        user: "desk".to_owned(),
        domain: "example.test".to_owned(),
        password: PASSWORD.to_owned(),
        port: stack.kamailio.port(),
        transport,
    }
}

/// Phones that know passwords only, whichever 401 they get.
fn all_register(stack: &Stack) {
    for (phone, transport) in
        [(Phone::Linphone, "udp"), (Phone::Linphone, "tcp"), (Phone::Baresip, "udp"), (Phone::Baresip, "tcp")]
    {
        let outcome = digest_phone::register(phone, &desk(stack, transport));
        assert!(outcome.registered && !outcome.crashed, "{phone:?} {transport}: {}\n{}", outcome.ended, outcome.output);
    }
    for transport in [Transport::Udp, Transport::Tcp] {
        let desk = [sipp::User::with_password("desk", PASSWORD)];
        let outcome = sipp::run(sipp::DIGEST, transport, stack.kamailio.port(), &desk);
        assert!(outcome.all_succeeded(), "sipp {transport:?}: {}", outcome.errors);
    }
    another_kamailio_registers(stack);
}

/// Its module uac, which acts on the first challenge only before Kamailio 6.1.
fn another_kamailio_registers(stack: &Stack) {
    const REGISTERED: u32 = 1 << 2;
    let builder = Kamailio::with("tests/e2e/uac.cfg");
    let own = format!("127.0.0.1:{}", builder.port());
    let uac = builder.define_string("OWN_ADDRESS", &own).start();
    let proxy = format!("sip:127.0.0.1:{}", stack.kamailio.port());
    let domain = "example.test";
    let user =
        ["one", "desk", "127.0.0.1", "desk", domain, domain, "desk", PASSWORD, ".", &proxy, "60", "0", "0", ".", "."];
    uac.rpc("uac.reg_add", &user).expect("it takes the user");
    stack.wait_until("the other Kamailio registers", || {
        let info = uac.rpc("uac.reg_info", &["l_uuid", "one"]).expect("the user is there");
        let flags = info.lines().find_map(|line| line.trim().strip_prefix("flags: ")).expect("flags");
        flags.parse::<u32>().expect("a number") & REGISTERED != 0
    });
    uac.stop().unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn phones_with_passwords_register() {
    let (server, stack) = start_example();
    all_register(&stack);
    let mut stranger = desk(&stack, "udp");
    stranger.password = "not-the-password".to_owned();
    let outcome = digest_phone::register_within(Phone::Baresip, &stranger, Duration::from_secs(4));
    assert!(!outcome.registered && !outcome.crashed, "{}\n{}", outcome.ended, outcome.output);
    // A token is welcome at the same proxy, whatever was offered.
    let token = server.token("alice", "es256");
    assert_eq!(
        stack.register(&mut stack.udp(), "sip:alice@example.test", &token).status,
        200,
        "{}",
        stack.module_log()
    );
    stack.finish();
}

/// The rule with the names of phones is there for operators who change the last one.
#[test]
fn phones_with_passwords_register_also_where_others_are_offered_both() {
    let (_server, stack) = start(&rules_with_both_for_others(), "example.test");
    let unknown = stack.request(&mut stack.udp(), &Request::register("sip:alice@example.test"));
    assert_eq!(schemes(&unknown), ["Digest", "Bearer"]);
    all_register(&stack);
    stack.finish();
}

#[test]
fn sipsak_registers_whether_it_is_offered_one_or_both() {
    for offer in ["digest", "both"] {
        let (_server, stack) = start(&format!("[[offer]]\noffer = \"{offer}\"\n"), "localhost");
        let account = Account { domain: "localhost".to_owned(), ..desk(&stack, "udp") };
        let outcome = digest_phone::register(Phone::Sipsak, &account);
        assert!(outcome.registered && !outcome.crashed, "{offer}: {}\n{}", outcome.ended, outcome.output);
        stack.finish();
    }
}

#[test]
fn each_endpoint_is_offered_what_it_can_read() {
    let (_server, stack) = start_example();
    let challenge = |client: &mut Client, agent: &str| -> Vec<String> {
        let mut register = Request::register("sip:alice@example.test");
        register.set("User-Agent", agent);
        let reply = stack.request(client, &register);
        assert_eq!(reply.status, 401);
        schemes(&reply)
    };
    for agent in ["Linphone/5.1.65", "Asterisk PBX 22.10.0", "FPBX-17.0.6(22.10)", "PJSUA v2.15.1 Linux", "unknown"] {
        assert_eq!(challenge(&mut stack.udp(), agent), ["Digest"], "{agent}");
    }
    stack.finish();
}

#[test]
fn where_both_are_offered_bearer_comes_last() {
    let (_server, stack) = start("[[offer]]\nuser_agent = \"*both*\"\noffer = \"both\"\n", "example.test");
    let offered = |agent: &str| {
        let mut register = Request::register("sip:alice@example.test");
        register.set("User-Agent", agent);
        schemes(&stack.request(&mut stack.udp(), &register))
    };
    assert_eq!(offered("one that reads both"), ["Digest", "Bearer"]);
    assert_eq!(offered("another"), ["Bearer"]);
    stack.finish();
}

#[test]
fn a_password_is_good_for_its_own_address_only() {
    let (server, stack) = start_example();
    let token = server.token("alice", "es256");
    assert_eq!(stack.register(&mut stack.udp(), "sip:bob@example.test", &token).status, 403);
    let refused = stack.register(&mut stack.udp(), "sip:alice@example.test", "an-opaque-token-of-some-length");
    assert_eq!((refused.status, schemes(&refused)), (401, vec!["Bearer".to_owned()]));
    stack.finish();
}

fn schemes(reply: &Reply) -> Vec<String> {
    reply.all("WWW-Authenticate").iter().filter_map(|c| c.split(' ').next().map(str::to_owned)).collect()
}

#[test]
fn digest_credentials_of_another_realm_lend_no_name() {
    let (_server, stack) = start_example();
    let foreign = "Digest username=\"alice\", realm=\"x\", nonce=\"n\", uri=\"u\", response=\"r\"";
    let own = "Digest username=\"desk\", realm=\"example.test\", nonce=\"n\", uri=\"u\", response=\"r\"";
    let status = |headers: &[(&str, &str)], user: &str| {
        let mut register = Request::register(&format!("sip:{user}@example.test"));
        for (name, value) in headers {
            if *name == "To" {
                register.set(name, *value);
            } else {
                register.add(name, *value);
            }
        }
        stack.request(&mut stack.udp(), &register).status
    };
    assert_eq!(status(&[("Proxy-Authorization", foreign), ("Authorization", own)], "alice"), 400);
    assert_eq!(status(&[("Authorization", foreign), ("Authorization", own)], "alice"), 400);
    assert_eq!(status(&[("Authorization", own)], "alice"), 403);
    assert_eq!(status(&[("Authorization", foreign)], "alice"), 401, "alice has no password, as if it were a wrong one");
    assert_eq!(status(&[("Authorization", own)], "desk"), 401, "a wrong response is challenged again");
    let capitals = "<sip:DESK@example.test>";
    assert_eq!(status(&[("Authorization", own)], "DESK"), 403, "desk and DESK are two users");
    assert_eq!(status(&[("Authorization", own), ("To", capitals)], "desk"), 403);
    stack.finish();
}

#[test]
fn a_password_counts_once_and_for_users_who_exist() {
    let (_server, stack) = start_example();
    let hash = |user: &str, password: &str| ha1(DigestAlgorithm::Md5, user, "example.test", password).to_string();
    let with = |user: &str, password: &str, auth| {
        let request = Request::new("MESSAGE", "sip:nobody@example.test", &aor(user));
        password_attacks::sign_again(&stack, user, &hash(user, password), request, auth)
    };
    let counted = Some((1, "c"));
    let (mut request, reply) = with("desk", PASSWORD, counted);
    assert_eq!(reply.status, 404, "accepted, nobody is there: {reply:?}");
    request.next();
    assert_eq!(schemes(&stack.request(&mut stack.tcp(), &request)), ["Digest"], "the same use of the nonce");
    let (mut request, reply) = with("desk", PASSWORD, None);
    assert_eq!((reply.status, schemes(&reply)), (401, vec!["Digest".to_owned()]));
    let tricked = format!("{}, x=\", qop=auth\", nc=00000001", request.header("Authorization").expect("credentials"));
    request.set("Authorization", tricked);
    assert_eq!(stack.request(&mut stack.udp(), request.next()).status, 401);
    let wrong = with("desk", "wrong", counted).1;
    for password in ["", "-", &format!("{PASSWORD}ghost")] {
        assert_eq!(with("ghost", password, counted).1.status, wrong.status, "{password}");
    }
    let names = |reply: &Reply| reply.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&with("ghost", "guess", counted).1), names(&wrong));
    stack.finish();
}
