// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ways that requests take between two edges and their registrar, and who has a say in them.

use std::time::Duration;

use crate::dialogs::{Elsewhere, Side, answer, routed, text, until};
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
        let port = flows[gone].local_port().to_string();
        flows[gone] = site.edges[gone].tcp();
        site.edges[gone].wait_until("the edge has read that the connection has ended", || {
            !site.edges[gone].rpc("core.tcp_list", &[]).unwrap_or_default().contains(&port)
        });
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

/// Somebody at the first edge calls alice, who answers on one of her flows: his phone, which flow, and both sides.
fn call(
    site: &Site,
    flows: &mut [Client; 2],
    with_token: impl Fn(usize, Request) -> Request,
) -> (Client, usize, [Side; 2]) {
    let mut caller = site.edges[0].udp();
    let contact = format!("<sip:caller@127.0.0.1:{}>", caller.local_port());
    let invite = with_token(0, Request::new("INVITE", ALICE, ALICE).with("Contact", contact));
    caller.send(&invite).expect("sent");
    let (reached, received) = (0..2)
        .find_map(|i| {
            // Before it the answer to a REGISTER may come that a slow machine had the phone send twice.
            loop {
                let octets = flows[i].receive_octets(Duration::from_millis(1500)).ok()?;
                let text = String::from_utf8(octets).expect("text");
                if !text.starts_with("SIP/2.0 ") {
                    return Some((i, text));
                }
            }
        })
        .unwrap_or_else(|| panic!("no flow\n{}", site.registrar.kamailio.log()));
    assert!(received.starts_with("INVITE "), "{received}");
    let contact = format!("sip:alice@127.0.0.1:{}", flows[reached].local_port());
    flows[reached].send_octets(answer(&received, 200, &contact).as_bytes()).expect("sent");
    let accepted = until(&mut caller, |reply| reply.status == 200);
    let mut sides = [Side::caller(&invite, &accepted), Side::callee(&received)];
    caller.send(&Side { number: 1, ..sides[0].clone() }.request("ACK")).expect("sent");
    arrives(&mut flows[reached], "ACK");
    sides[1].number = 10;
    (caller, reached, sides)
}

/// The next request of this method; the INVITE may have come again.
fn arrives(phone: &mut Client, method: &str) -> String {
    loop {
        let received = text(phone);
        if received.starts_with(&format!("{method} ")) {
            assert!(!received.contains("\r\nRoute:") && !received.contains("Bearer"), "{received}");
            return received;
        }
        assert!(received.starts_with("INVITE "), "{received}");
    }
}

#[test]
fn a_request_within_a_dialog_follows_its_route_set() {
    let (_server, site, with_token) = with_tokens();
    let mut flows = site.flows(&with_token);
    let (mut caller, reached, mut sides) = call(&site, &mut flows, &with_token);
    assert!(sides[0].routes.len() >= 3, "both edges and the registrar: {:?}", sides[0].routes);
    for method in ["INFO", "MESSAGE", "UPDATE"] {
        caller.send(&with_token(0, sides[0].request(method))).expect("sent");
        let received = arrives(&mut flows[reached], method);
        flows[reached].send_octets(answer(&received, 200, "sip:a@127.0.0.1:9").as_bytes()).expect("sent");
        until(&mut caller, |reply| reply.status == 200);
    }
    for method in ["INFO", "BYE"] {
        flows[reached].send(&sides[1].request(method)).expect("sent");
        let received = arrives(&mut caller, method);
        caller.send_octets(answer(&received, 200, "sip:a@127.0.0.1:9").as_bytes()).expect("sent");
        until(&mut flows[reached], |reply| reply.status == 200);
    }
    site.finish();
}

/// Neither at an edge nor at the registrar behind it, which sees the edges only.
#[test]
fn an_invented_dialog_leads_nowhere() {
    let (_server, site, with_token) = with_tokens();
    let mut flows = site.flows(&with_token);
    let (_caller, _, sides) = call(&site, &mut flows, &with_token);
    let elsewhere = Elsewhere::new();
    let [edge, registrar] = [&site.edges[0], &site.registrar].map(|proxy| proxy.kamailio.port());
    let target = format!("sip:x@{}", elsewhere.address());
    let genuine = &sides[0].routes[0];
    for routes in [
        vec![format!("<sip:127.0.0.1:{edge};lr>")],
        vec![format!("<sip:127.0.0.1:{edge};lr>"), format!("<sip:127.0.0.1:{registrar};lr>")],
        vec![format!("<sip:127.0.0.1:{registrar};lr>")],
        vec![format!("<sip:{};lr>", elsewhere.address())],
        vec![genuine.clone()],
        // With a genuine mark as far as the registrar, which wants its own.
        vec![genuine.clone(), format!("<sip:127.0.0.1:{registrar};lr>")],
    ] {
        for method in ["BYE", "INFO", "NOTIFY", "MESSAGE", "INVITE"] {
            let mut request = routed(Request::new(method, &target, ALICE), &routes);
            request.set("To", format!("<{ALICE}>;tag=x"));
            if routes.len() == 2 && routes[0] == *genuine {
                request.set("Call-ID", &*sides[0].call_id).set("From", &*sides[0].local);
            }
            let reply = site.edges[0].request(&mut site.edges[0].udp(), &with_token(0, request));
            assert_eq!(reply.status, 481, "{method} {routes:?}");
            elsewhere.has_heard_nothing(method);
        }
    }
    // The registrar believes nobody but its edges.
    let request = Request::new("BYE", &target, ALICE).with("To", format!("<{ALICE}>;tag=x"));
    let request = routed(request, &sides[0].routes[1..]);
    assert_eq!(site.registrar.request(&mut site.registrar.udp(), &request).status, 403);
    elsewhere.has_heard_nothing("BYE");
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
    let (mut caller, reached, sides) = call(&site, &mut flows, &with_token);
    // Her own edge, as the caller sees it last in his route.
    let path = sides[0].routes.last().expect("an edge").clone();
    let port = site.edges[reached].kamailio.port();
    assert!(path.contains(&format!("@127.0.0.1:{port}")), "{path}");
    let mut stranger = site.edges[reached].udp();
    let mut number = 20;
    let mut info = |route: &str| {
        number += 1;
        Side { number, routes: vec![route.to_owned()], ..sides[0].clone() }.request("INFO")
    };
    let (token, rest) = path.strip_prefix("<sip:").and_then(|path| path.split_once('@')).expect("a flow token");
    // The last character but the padding may have bits that stand for nothing; the first of the last four has none.
    for i in [0, token.len() / 2, token.len() - 4] {
        let other = if &token[i..=i] == "A" { "B" } else { "A" };
        let tampered = format!("<sip:{}{other}{}@{rest}", &token[..i], &token[i + 1..]);
        let reply = site.edges[reached].request(&mut stranger, &info(&tampered));
        assert_eq!(reply.status, 481, "{token} {i}");
    }
    stranger.send(&info(&path)).expect("sent");
    arrives(&mut flows[reached], "INFO");
    // Without the mark of a dialog not even a genuine one is.
    let bare = path.split(";oauth=").next().expect("split").to_owned() + ">";
    assert_eq!(site.edges[reached].request(&mut stranger, &info(&bare)).status, 481);
    caller.send(&Side { number: 90, ..sides[0].clone() }.request("BYE")).expect("sent");
    arrives(&mut flows[reached], "BYE");
    site.finish();
}
