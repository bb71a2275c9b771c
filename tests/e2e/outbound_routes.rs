// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ways that requests take between two edges and their registrar, and who has a say in them.

use std::time::Duration;

use crate::outbound::{Site, keep, reaches, reaches_and_gets, site};
use crate::phones::{ALICE, proxy_provider};
use crate::stack::Stack;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::sip::{Client, Request};

/// A site whose phones bring tokens, and what puts alice's into a request.
fn with_tokens() -> (AuthorizationServer, Site, impl Fn(usize, Request) -> Request) {
    let server = AuthorizationServer::start();
    let site = site(&proxy_provider(&server), |builder| builder);
    site.edges.iter().for_each(Stack::wait_for_keys);
    let token = server.token("alice", "es256");
    keep(&site.edges, &token);
    (server, site, move |_, request: Request| request.with("Authorization", format!("Bearer {token}")))
}

#[test]
fn a_phone_that_refuses_a_call_keeps_its_flows() {
    let (_server, site, with_token) = with_tokens();
    let mut flows = site.flows(&with_token);
    let message = || with_token(0, Request::new("MESSAGE", ALICE, ALICE).with_body("text/plain", "Hello"));
    assert_eq!(reaches_and_gets(&site, 0, &message(), &mut flows, 403).len(), 1, "one answer counts for both flows");
    assert_eq!(site.known_flows(), 2);
    assert_eq!(reaches(&site, 1, &message(), &mut flows).len(), 1);
    site.finish();
}

#[test]
fn a_connection_that_has_ended_takes_its_flow_along() {
    let (_server, site, with_token) = with_tokens();
    let mut flows = site.flows_over(Stack::tcp, &with_token);
    let message = |edge| with_token(edge, Request::new("MESSAGE", ALICE, ALICE).with_body("text/plain", "Hello"));
    for edge in 0..2 {
        assert_eq!(reaches(&site, edge, &message(edge), &mut flows).len(), 1);
    }
    // One after the other, whichever is tried first.
    for gone in 0..2 {
        flows[gone] = site.edges[gone].tcp();
        if gone == 0 {
            assert_eq!(reaches(&site, 0, &message(0), &mut flows), [1], "{}", site.registrar.kamailio.log());
        } else {
            let reply = site.edges[0].request(&mut site.edges[0].udp(), &message(0));
            assert!([404, 480].contains(&reply.status), "{reply:?}");
            assert_eq!(site.known_flows(), 0);
        }
    }
    site.finish();
}

#[test]
fn a_phone_writes_no_path() {
    let (_server, site, with_token) = with_tokens();
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = stranger.local_addr().expect("bound");
    let mut flows = site.flows(|i, request| {
        let request = request.with("Path", format!("<sip:{address};lr>")).with("Route", format!("<sip:{address};lr>"));
        with_token(i, request)
    });
    let known = site.registrar.rpc("ul.lookup", &["location", "alice@example.test"]).expect("alice is known");
    assert!(known.contains("Path: <sip:") && !known.contains(&address.port().to_string()), "{known}");
    let request = with_token(0, Request::new("MESSAGE", ALICE, ALICE).with_body("text/plain", "Hello"));
    assert_eq!(reaches(&site, 0, &request, &mut flows).len(), 1);
    site.finish();
}

#[test]
fn a_request_within_a_dialog_follows_its_route_set() {
    let (_server, site, with_token) = with_tokens();
    let callee = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    callee.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let [edge, registrar] = [&site.edges[0], &site.registrar].map(|proxy| proxy.kamailio.port());
    let route = format!("<sip:127.0.0.1:{edge};lr>, <sip:127.0.0.1:{registrar};lr>");
    let target = format!("sip:bob@{}", callee.local_addr().expect("bound"));
    // tm repeats an INVITE until it is answered.
    let arrived = |method: &str| -> Option<String> {
        let mut buffer = vec![0; 65536];
        loop {
            let length = callee.recv(&mut buffer).ok()?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(method) {
                return Some(text);
            }
        }
    };
    for method in ["BYE", "MESSAGE", "INVITE"] {
        let request =
            Request::new(method, &target, ALICE).with("Route", &*route).with("To", format!("<{ALICE}>;tag=x"));
        let mut phone = site.edges[0].udp();
        phone.send(&with_token(0, request)).expect("sent");
        let text = arrived(method).unwrap_or_else(|| panic!("{method}: {:?}", phone.receive()));
        assert!(!text.contains("\r\nRoute:") && !text.contains("Bearer"), "{text}");
    }
    site.finish();
}

#[test]
fn a_flow_of_an_edge_that_was_restarted_has_gone() {
    let (server, site, with_token) = with_tokens();
    let flows = site.flows(&with_token);
    let dump = site.registrar.rpc("ul.lookup", &["location", "alice@example.test"]).expect("alice is known");
    let second = format!("sip:alice@127.0.0.1:{}", flows[1].local_port());
    assert!(dump.contains(&second), "{dump}");
    site.registrar.rpc("ul.rm_contact", &["location", "alice@example.test", &second]).expect("removed");
    assert_eq!(site.known_flows(), 1);
    let Site { registrar, edges: [a, b], builders: [again, _], _directories } = site;
    a.finish();
    let site =
        Site { registrar, edges: [Stack::new(again.clone()), b], builders: [again.clone(), again], _directories };
    let request = with_token(1, Request::new("MESSAGE", ALICE, ALICE).with_body("text/plain", "Hello"));
    let reply = site.edges[1].request(&mut site.edges[1].udp(), &request);
    assert_eq!(reply.status, 480, "{reply:?}");
    assert_eq!(site.known_flows(), 0);
    drop(server);
    site.finish();
}

/// A flow token is of use only as it was made, and only to those who have seen it.
#[test]
fn a_flow_token_is_not_made_by_others() {
    let (_server, site, with_token) = with_tokens();
    let mut flows = site.flows(&with_token);
    let dump = site.registrar.rpc("ul.lookup", &["location", "alice@example.test"]).expect("alice is known");
    let mut path = dump.lines().filter_map(|line| line.trim().strip_prefix("Path: <")?.strip_suffix('>'));
    let port = format!(":{};", site.edges[0].kamailio.port());
    let path = path.find(|path| path.contains(&port)).expect("the flow over the first edge").to_owned();
    let arrives = |path: &str, flow: &mut Client| {
        let route = format!("<{path}>");
        let to = format!("<{ALICE}>;tag=x");
        let bye = Request::new("BYE", "sip:alice@127.0.0.1:9", ALICE).with("To", to).with("Route", route);
        let mut stranger = site.edges[0].udp();
        stranger.send(&bye).expect("sent");
        match flow.receive_octets(Duration::from_millis(700)) {
            Ok(octets) => octets.starts_with(b"BYE ").then_some(200),
            Err(_) => stranger.receive().ok().map(|reply| reply.status),
        }
    };
    let (token, rest) = path.strip_prefix("sip:").and_then(|path| path.split_once('@')).expect("a flow token");
    for i in [0, token.len() / 2, token.len() - 2] {
        let other = if &token[i..=i] == "A" { "B" } else { "A" };
        let tampered = format!("sip:{}{other}{}@{rest}", &token[..i], &token[i + 1..]);
        assert_eq!(arrives(&tampered, &mut flows[0]), Some(404), "{token} {i}");
    }
    assert_eq!(arrives(&path, &mut flows[0]), Some(200), "as the registrar sends it");
    site.finish();
}
