// SPDX-License-Identifier: MIT OR Apache-2.0

//! A phone that captures messages, octet for octet, and sends them again at a real proxy: from elsewhere, over another
//! transport, with any line changed. The whole table is in `tests/attacker`; here is what a script and a host have a part
//! in.

use crate::phones::{ALICE, key_of, prove, prove_in_header, sign_in, start, with_code};
use crate::stack::Stack;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::sip::{Client, Reply, Request, unique};

const CONTACT: &str = "<sip:alice@127.0.0.1:9>";

/// How a message comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    Udp,
    Tcp,
}
const TRANSPORTS: [Over; 2] = [Over::Udp, Over::Tcp];

impl Over {
    fn client(self, stack: &Stack) -> Client {
        match self {
            Over::Udp => stack.udp(),
            Over::Tcp => stack.tcp(),
        }
    }

    fn other(self) -> Over {
        match self {
            Over::Udp => Over::Tcp,
            Over::Tcp => Over::Udp,
        }
    }
}

/// The octets that this phone sends.
fn octets(over: Over, phone: &Client, request: &Request) -> Vec<u8> {
    let transport = if over == Over::Udp { "UDP" } else { "TCP" };
    let branch = unique("z9hG4bK");
    request.to_octets(&format!("SIP/2.0/{transport} 127.0.0.1:{};branch={branch};rport", phone.local_port()))
}

/// The message with this text in the place of another.
fn changed(octets: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(octets).expect("text");
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

/// In a transaction of its own: to one that it has seen, tm repeats its answer, and to whoever got it then.
fn other_branch(octets: &[u8]) -> Vec<u8> {
    changed(octets, ";branch=z9hG4bK", &format!(";branch={}", unique("z9hG4bKattacker")))
}

fn send(stack: &Stack, client: &mut Client, octets: &[u8]) -> Reply {
    let lost = |e| panic!("{e}: {}\n{}", String::from_utf8_lossy(octets), stack.module_log());
    stack.note(client.exchange(octets).unwrap_or_else(lost))
}

/// The contacts of Alice, as the registrar knows them.
fn bindings(stack: &Stack) -> Vec<String> {
    let dump = stack.rpc("ul.lookup", &["location", "alice@example.test"]).unwrap_or_default();
    let lines = dump.lines().filter_map(|line| line.trim().strip_prefix("Address: "));
    let mut found: Vec<_> = lines.map(str::to_owned).collect();
    found.sort();
    found
}

/// What an attacker makes of a captured REGISTER with a proof. None of it may be accepted once the phone's own was.
fn rewritten(octets: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let with = |from: &str, to: &str| changed(octets, from, to);
    let star = changed(&with(&format!("Contact: {CONTACT}"), "Contact: *"), "Expires: 600", "Expires: 0");
    let subscribe = changed(&with("REGISTER sip:", "SUBSCRIBE sip:"), "CSeq: 1 REGISTER", "CSeq: 1 SUBSCRIBE");
    vec![
        ("another branch", other_branch(octets)),
        ("another Request-URI", with("REGISTER sip:example.test ", "REGISTER sip:example.test;x=1 ")),
        ("another method", with("REGISTER sip:", "MESSAGE sip:")),
        ("another method, in CSeq too", subscribe),
        ("another From", with("From: <sip:alice@", "From: <sip:bob@")),
        ("another To", with("To: <sip:alice@", "To: <sip:bob@")),
        ("another From tag", with(";tag=", ";tag=x")),
        ("another Call-ID", with("Call-ID: ", "Call-ID: x")),
        ("another CSeq", with("CSeq: 1 ", "CSeq: 2 ")),
        ("another Contact", with(CONTACT, "<sip:mallory@127.0.0.1:9>")),
        ("a Contact parameter", with(CONTACT, &format!("{CONTACT};expires=0"))),
        ("every Contact", star),
        ("a second Contact", with(CONTACT, &format!("{CONTACT}, <sip:mallory@127.0.0.1:9>"))),
        ("no time at all", with("Expires: 600", "Expires: 0")),
        ("a Path of his own", with("Expires: 600", "Supported: path\r\nPath: <sip:127.0.0.1:9;lr>\r\nExpires: 600")),
    ]
}

/// Alice's phone has signed in and has this key.
fn alices_key(stack: &Stack, server: &AuthorizationServer) -> Vec<u8> {
    let login = sign_in(stack, server, "alice");
    let request = with_code(ALICE, &login).with("Contact", CONTACT);
    let reply = stack.request(&mut stack.udp(), &request);
    assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
    key_of(stack, &login, &request, &reply)
}

#[test]
fn a_captured_registration_with_a_proof_is_of_no_use_once_it_was_used() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let key = alices_key(&stack, &server);
    for over in TRANSPORTS {
        for in_header in [false, true] {
            let register = Request::register(ALICE).with("Contact", CONTACT);
            let proved = if in_header { prove_in_header(&key, register) } else { prove(&key, register) };
            let mut phone = over.client(&stack);
            let captured = octets(over, &phone, &proved);
            assert_eq!(send(&stack, &mut phone, &captured).status, 200, "{}", stack.module_log());
            let before = bindings(&stack);
            for (what, message) in rewritten(&captured) {
                let reply = send(&stack, &mut phone, &other_branch(&message));
                assert!(reply.status >= 400, "{over:?} {what}: {reply:?}\n{}", stack.module_log());
                for elsewhere in [over, over.other()] {
                    let reply = send(&stack, &mut elsewhere.client(&stack), &other_branch(&message));
                    assert!(reply.status >= 400, "{elsewhere:?} {what}: {reply:?}\n{}", stack.module_log());
                }
                assert_eq!(bindings(&stack), before, "{over:?} {what}");
            }
            // The phone has lost its 200 and sends again, as it is.
            assert_eq!(send(&stack, &mut phone, &captured).status, 200, "{over:?}\n{}", stack.module_log());
        }
    }
    stack.finish();
}

#[test]
fn an_unused_proof_serves_no_other_request() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let key = alices_key(&stack, &server);
    let before = bindings(&stack);
    assert_eq!(before.len(), 1);
    // What a proof does not cover is the business of the transport: he may end the binding that the phone wanted.
    const UNCOVERED: [&str; 6] = [
        "another branch",
        "another Request-URI",
        "another From tag",
        "a Contact parameter",
        "no time at all",
        "a Path of his own",
    ];
    for over in TRANSPORTS {
        let attacks = rewritten(&octets(over, &over.client(&stack), &prove_in_header(&key, register())));
        for (number, (what, _)) in attacks.iter().enumerate().filter(|(_, (what, _))| !UNCOVERED.contains(what)) {
            let mut phone = over.client(&stack);
            let captured = octets(over, &phone, &prove_in_header(&key, register()));
            let (_, message) = rewritten(&captured).swap_remove(number);
            let reply = send(&stack, &mut over.client(&stack), &other_branch(&message));
            assert!(reply.status >= 400, "{over:?} {what}: {reply:?}\n{}", stack.module_log());
            assert_eq!(bindings(&stack), before, "{over:?} {what}");
            assert_eq!(send(&stack, &mut phone, &captured).status, 200, "{over:?} {what}: nothing is spoilt");
        }
    }
    stack.finish();
}

/// A registration whose proof is not used yet.
fn register() -> Request {
    Request::register(ALICE).with("Contact", CONTACT)
}

#[test]
fn a_captured_code_registers_nobody_else() {
    let (_directory, server, stack) = start("public-ua.cfg");
    for over in TRANSPORTS {
        let login = sign_in(&stack, &server, "alice");
        let instance = format!("{CONTACT};+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"");
        let request = with_code(ALICE, &login).with("Contact", instance);
        let mut phone = over.client(&stack);
        let captured = octets(over, &phone, &request);
        assert_eq!(send(&stack, &mut phone, &captured).status, 200, "{}", stack.module_log());
        let before = bindings(&stack);
        let verifier = login["code_verifier"].as_str().expect("a text");
        let wrong = format!("{}x", &verifier[..verifier.len() - 1]);
        let attacks = [
            ("another instance", changed(&captured, "000a95a0e128", "000000000bad")),
            ("another verifier", changed(&captured, verifier, &wrong)),
            ("another redirect_uri", changed(&captured, "redirect_uri=http", "redirect_uri=xttp")),
            ("another To", changed(&captured, "To: <sip:alice@", "To: <sip:bob@")),
            ("another From", changed(&captured, "From: <sip:alice@", "From: <sip:bob@")),
        ];
        for (what, message) in attacks {
            // With the branch of the phone's own, tm repeats its answer to that.
            for client in [&mut phone, &mut over.other().client(&stack)] {
                let reply = send(&stack, client, &other_branch(&message));
                assert!([401, 403].contains(&reply.status), "{over:?} {what}: {reply:?}\n{}", stack.module_log());
            }
            assert_eq!(bindings(&stack), before, "{over:?} {what}");
        }
        // The phone itself: its 200 was lost, and another flow with the same verifier.
        assert_eq!(send(&stack, &mut phone, &captured).status, 200, "{over:?}\n{}", stack.module_log());
        let mut flow = over.other().client(&stack);
        let again = octets(over.other(), &flow, &request.clone().with("Call-ID", unique("flow")));
        assert_eq!(send(&stack, &mut flow, &again).status, 200, "{over:?}\n{}", stack.module_log());
    }
    let stats = server.stats();
    assert_eq!(stats.get("/token authorization_code"), Some(&2), "each code is exchanged once: {stats:?}");
    stack.finish();
}

#[test]
fn a_captured_token_is_its_users_only() {
    let (_directory, server, stack) = start("public-ua.cfg");
    let token = stack.secrets.keep(server.token("alice", "es256"));
    for over in TRANSPORTS {
        let mut phone = over.client(&stack);
        let bearer = format!("Bearer {token}");
        let captured = octets(over, &phone, &register().with("Authorization", bearer.as_str()));
        assert_eq!(send(&stack, &mut phone, &captured).status, 200, "{}", stack.module_log());
        for (what, message, statuses) in [
            ("another To", changed(&captured, "To: <sip:alice@", "To: <sip:bob@"), [403, 403]),
            ("another From", changed(&captured, "From: <sip:alice@", "From: <sip:bob@"), [403, 403]),
            (
                "two of it",
                changed(&captured, "Authorization: ", &format!("Authorization: {bearer}\r\nAuthorization: ")),
                [400, 400],
            ),
            ("another signature", changed(&captured, &token, &forged(&token)), [401, 401]),
        ] {
            let reply = send(&stack, &mut over.client(&stack), &other_branch(&message));
            assert!(statuses.contains(&reply.status), "{over:?} {what}: {reply:?}\n{}", stack.module_log());
        }
        // A bearer token is good for whoever has it (RFC 6750): from elsewhere, too.
        let reply = send(&stack, &mut over.other().client(&stack), &other_branch(&captured));
        assert_eq!(reply.status, 200, "{over:?}\n{}", stack.module_log());
    }
    stack.finish();
}

/// With another first octet of the signature, so that no unused bit is changed.
fn forged(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').expect("a compact JWS");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{input}.{first}{}", &signature[1..])
}
