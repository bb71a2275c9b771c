// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who sent a request to the proxies in front of this one: limits and log lines go by him.

use std::time::Duration;

use crate::stack::{Stack, configured, scripted_provider};
use crate::support::scripted_server::{self, ScriptedServer};
use crate::support::sip::Request;
use crate::support::token::{self, TestKey};

const ALICE: &str = "sip:alice@example.test";
const BELOW: &str = "SIP/2.0/UDP 192.168.0.7:5060;received=203.0.113.66;rport=40000;branch=z9hG4bK-phone";
const FORGED: &str = "SIP/2.0/UDP 10.0.0.2;received=198.51.100.9;rport=5060;branch=z9hG4bK-forged";

/// The lines of the module that name this key.
fn lines_about(stack: &mut Stack, kid: &str) -> String {
    let needle = format!("kid={kid} ");
    stack.kamailio.wait_for_log(&needle, Duration::from_secs(30)).unwrap_or_else(|error| panic!("{error}"));
    stack.module_log().lines().filter(|line| line.contains(&needle)).collect()
}

fn server() -> ScriptedServer {
    ScriptedServer::start(scripted_server::key_set(&[TestKey::p256("k").jwk()]))
}

/// A REGISTER as a proxy passes it on; its unknown key has it wait for a fetch first, in tm's copy.
fn passed_on(server: &ScriptedServer, kid: &str, below: &[&str]) -> Request {
    let top = format!("SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bK-{kid}");
    let vias = [&[top.as_str()], below].concat();
    sent(server, kid, &vias)
}

fn sent(server: &ScriptedServer, kid: &str, vias: &[&str]) -> Request {
    let forged = TestKey::p256(kid).token("ES256", &token::claims(&server.issuer(), "sip", "alice", 300));
    let mut request = Request::register(ALICE).with("Authorization", format!("Bearer {forged}"));
    for via in vias {
        request.add("Via", *via);
    }
    request
}

#[test]
fn the_via_of_a_trusted_hop_tells_the_source_and_no_other_does() {
    let server = server();
    let mut stack = Stack::new(
        configured("tests/e2e/trusted_hops.cfg", &scripted_provider(&server)).define_string("HOPS", "127.0.0.1"),
    );
    stack.wait_for_keys();
    for (kid, below) in [("one", vec![BELOW, FORGED]), ("two", vec!["SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK-b", BELOW])]
    {
        let reply = stack.request(&mut stack.udp(), &passed_on(&server, kid, &below));
        assert!([401, 503].contains(&reply.status), "{reply:?}");
        let line = lines_about(&mut stack, kid);
        assert!(line.contains(" source=203.0.113.66"), "{line}");
    }
    // Nothing below: it is the hop's own.
    stack.request(&mut stack.udp(), &passed_on(&server, "three", &[]));
    let line = lines_about(&mut stack, "three");
    assert!(line.contains(" source=127.0.0.1"), "{line}");
    stack.finish();
}

#[test]
fn without_the_setting_every_via_is_a_strangers() {
    let server = server();
    let mut stack = Stack::new(configured("tests/e2e/trusted_hops.cfg", &scripted_provider(&server)));
    stack.wait_for_keys();
    stack.request(&mut stack.udp(), &passed_on(&server, "one", &[BELOW]));
    let line = lines_about(&mut stack, "one");
    assert!(line.contains(" source=127.0.0.1") && !line.contains("source=203.0.113.66"), "{line}");
    stack.finish();
}

/// A real Kamailio in front: what the phone has written into its own Via is replaced there. Here the phone has a trusted
/// address itself, so that a Via below its own would count.
#[test]
fn an_edge_overwrites_what_the_phone_claims() {
    let server = server();
    let provider = scripted_provider(&server);
    let behind = configured("tests/e2e/trusted_hops.cfg", &provider).define_string("HOPS", "127.0.0.1");
    let onward = format!("sip:127.0.0.1:{}", behind.port());
    let edge = Stack::new(configured("tests/e2e/trusted_hops.cfg", &provider).define_string("ONWARD", &onward));
    let mut behind = Stack::new(behind);
    behind.wait_for_keys();
    for (number, claim) in
        [";received=198.51.100.9;rport=5060", ";received=198.51.100.9;received=198.51.100.10", ";rport"]
            .into_iter()
            .enumerate()
    {
        let own = format!("SIP/2.0/UDP 192.168.0.7:5060{claim};branch=z9hG4bK-{number}");
        let request = sent(&server, &format!("kid-{number}"), &[&own]);
        let reply = edge.request(&mut edge.udp(), &request);
        // Beyond the limit of key fetches it is 503, and a 503 of the next hop is a 500 to the edge (RFC 3261 section 16.7).
        assert!([401, 500].contains(&reply.status), "{reply:?}");
    }
    for number in 0..3 {
        let line = lines_about(&mut behind, &format!("kid-{number}"));
        assert!(line.contains(" source=127.0.0.1") && !line.contains("source=198.51.100."), "{line}");
    }
    edge.finish();
    behind.finish();
}
