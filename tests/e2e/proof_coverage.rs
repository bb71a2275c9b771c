// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a captured proof serves, at a script that looks at nothing but the proof (tests/e2e/proofs.cfg).

use crate::phones::{ALICE, aor, prove, prove_in_header, registered, run, stored, with_settings};
use crate::stack::Stack;
use crate::support::code_server::CodeServer;
use crate::support::host::is_opensips;
use crate::support::sip::{Client, Request};
use crate::support::temporary::Directory;
use crate::tool_phone::ToolPhone;

const CODES: &str = "source_limit = 65535\n";

/// The proxy, and the key of Alice's phone, which is in.
fn start(settings: &str) -> (Directory, CodeServer, Stack, Vec<u8>) {
    let directory = Directory::new("sessions");
    let server = CodeServer::start();
    let builder = stored("tests/e2e/proofs.cfg", &server.provider(), &directory);
    let stack = run(with_settings(builder, &directory, &format!("{CODES}{settings}")));
    let key = registered(&stack, ALICE, &server.code("alice"));
    (directory, server, stack, key)
}

/// The same octets but for this.
fn altered(octets: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(octets).expect("our own request is text");
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

fn status(stack: &Stack, client: &mut Client, octets: &[u8]) -> u16 {
    stack.note(client.exchange(octets).expect("an answer")).status
}

fn phones(stack: &Stack) -> [Client; 2] {
    [stack.udp(), stack.tcp()]
}

#[test]
fn a_proof_of_one_method_serves_no_other() {
    let (_directory, _server, stack, key) = start("");
    for mut phone in phones(&stack) {
        for (method, other) in
            [("SUBSCRIBE", "REGISTER"), ("MESSAGE", "INVITE"), ("OPTIONS", "MESSAGE"), ("INVITE", "invite")]
        {
            let unused = prove_in_header(&key, Request::new(method, ALICE, ALICE));
            let stolen = Request { method: other.into(), ..unused.clone() };
            assert_eq!(stack.request(&mut phone, &stolen).status, 400, "{method} as {other}: {}", stack.module_log());
            assert_eq!(stack.request(&mut phone, &unused).status, 200, "the {method} itself");
        }
    }
    assert!(stack.module_log().contains("pop_malformed"), "{}", stack.module_log());
    stack.finish();
}

#[test]
fn a_proof_of_a_query_removes_no_binding() {
    let (_directory, _server, stack, key) = start("");
    for mut phone in phones(&stack) {
        let binding = Request::register(ALICE);
        let contact = binding.header("Contact").expect("one").trim_matches(['<', '>']).to_owned();
        assert_eq!(stack.request(&mut phone, &prove(&key, binding)).status, 200, "{}", stack.module_log());
        let query = || {
            let mut query = Request::register(ALICE);
            query.headers.retain(|(name, _)| name != "Contact" && name != "Expires");
            query
        };
        let bindings = |phone: &mut Client| {
            let reply = stack.request(phone, &prove(&key, query()));
            assert_eq!(reply.status, 200, "{reply:?}\n{}", stack.module_log());
            reply.all("Contact").join(",")
        };
        assert!(bindings(&mut phone).contains(&contact));
        for prove in [prove, prove_in_header] {
            let unused = prove(&key, query());
            for (name, value, wanted) in [
                ("Contact", "*", 401),
                ("m", "*", 401),
                // OpenSIPS does not read it.
                ("Contact", " \t* ", if is_opensips() { 400 } else { 401 }),
                ("Contact", "<*>", 400),
                ("Contact", "*, <sip:mallory@203.0.113.9>", 400),
                ("Contact", "*;q=1", 400),
                ("Contact", "<sip:mallory@203.0.113.9>, *", 400),
                ("Contact", "<>", 400),
                ("Contact", "", 400),
                ("m", "<sip:a@203.0.113.9>, <sip:b@203.0.113.9>", 400),
                ("Contact", "<sip:mallory@203.0.113.9>", 401),
            ] {
                let stolen = unused.clone().with("Expires", "0").with(name, value);
                assert_eq!(
                    stack.request(&mut phone, &stolen).status,
                    wanted,
                    "{name}: {value}\n{}",
                    stack.module_log()
                );
            }
            let mut twice = unused.clone().with("Expires", "0").with("Contact", "*");
            twice.add("m", "<sip:mallory@203.0.113.9>");
            assert_eq!(stack.request(&mut phone, &twice).status, 400, "{}", stack.module_log());
            assert_eq!(stack.request(&mut phone, &unused).status, 200, "the query itself");
            assert!(bindings(&mut phone).contains(&contact), "nothing was removed");
        }
        // A phone that means all bindings says so, also in the compact form.
        let all = prove(&key, query().with("Contact", "*").with("Expires", "0"));
        let compact = all.headers.iter().map(|(name, value)| (name.replace("Contact", "m"), value.clone())).collect();
        assert_eq!(
            stack.request(&mut phone, &Request { headers: compact, ..all }).status,
            200,
            "{}",
            stack.module_log()
        );
        assert_eq!(bindings(&mut phone), "");
    }
    stack.finish();
}

#[test]
fn a_separator_in_an_address_divides_no_proof() {
    let (_directory, _server, stack, key) = start("");
    for mut phone in phones(&stack) {
        for (name, value) in
            [("To", "<sip:mallory|x@evil.test>"), ("To", "<sip:mallory@evil.test;x=|>"), ("Call-ID", "a|b")]
        {
            // As a phone that takes no care makes it: any proof will do, for it is not looked at.
            let lured = prove_in_header(&key, Request::new("MESSAGE", ALICE, ALICE)).with(name, value);
            assert_eq!(stack.request(&mut phone, &lured).status, 400, "{name}: {value}\n{}", stack.module_log());
        }
    }
    assert!(stack.module_log().contains("pop_malformed"), "{}", stack.module_log());
    stack.finish();
}

#[test]
fn only_the_same_message_is_a_retransmission() {
    let (_directory, _server, stack, key) = start("");
    for mut phone in phones(&stack) {
        let requests = [
            prove_in_header(&key, Request::new("MESSAGE", &aor("bob"), ALICE)),
            prove_in_header(&key, Request::register(ALICE)),
            prove(&key, Request::register(ALICE)),
        ];
        for request in requests {
            let sent = phone.send(&request).expect("sent");
            assert_eq!(stack.note(phone.receive().expect("an answer")).status, 200, "{}", stack.module_log());
            let line = format!("{} {} ", request.method, request.uri);
            let elsewhere = format!("{} sip:premium@example.test ", request.method);
            for (from, to) in [
                (line.as_str(), elsewhere.as_str()),
                ("Max-Forwards: 70", "Route: <sip:mallory@203.0.113.9;lr>\r\nMax-Forwards: 70"),
                ("Max-Forwards: 70", "Expires: 0\r\nMax-Forwards: 70"),
            ] {
                let copy = altered(&sent, from, to);
                assert_eq!(status(&stack, &mut phone, &copy), 403, "{to}: {}", stack.module_log());
            }
            // The 200 was lost.
            assert_eq!(status(&stack, &mut phone, &sent), 200, "{}", stack.module_log());
            // Behind a new port of its NAT the phone is another source, and sends a new request.
            let mut moved = stack.udp();
            assert_eq!(status(&stack, &mut moved, &sent), 403);
        }
    }
    stack.finish();
}

#[test]
fn a_proof_may_cover_the_request_uri() {
    let (_directory, server, stack, key) = start("dialect = \"request_uri\"\n");
    let mut phone = stack.udp();
    let unbound = prove_in_header(&key, Request::new("MESSAGE", &aor("bob"), ALICE));
    assert_eq!(stack.request(&mut phone, &unbound).status, 401, "as RFC 4474 has it");
    let login = server.code("alice");
    let tool = ToolPhone::new("alice");
    tool.accepted(&stack, "a", &["--code", login["code"].as_str().expect("a code")]);
    tool.keep_secrets(&stack, "a");
    let message =
        ["--pop", "--pop-request-uri", "--method", "MESSAGE", "--to", "sip:bob@example.test", "--body", "hello"];
    tool.accepted(&stack, "a", &message);
    tool.accepted(&stack, "a", &["--pop", "--pop-request-uri"]);
    tool.accepted(&stack, "a", &["--pop", "--pop-request-uri", "--contact", "*", "--expires", "0"]);
    assert_eq!(tool.refused(&stack, "a", &["--pop"]), 401);
    stack.finish();
}
