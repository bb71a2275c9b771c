// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/mixed-websocket.cfg: Digest desk phones and browser phones at one proxy, and over TLS.

use crate::stack::{Stack, example};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::browser::{self, Phone, Settings};
use crate::support::certificates::Authority;
use crate::support::digest_phone::{self, Account};
use crate::support::patience::PATIENCE;
use crate::support::sip::{Client, Request};
use crate::support::tls_tunnel::TlsTunnel;
use crate::support::{kit, ports};

const PASSWORD: &str = "a-password-of-a-desk-phone";
const ALICE: &str = "sip:alice@example.test";

#[test]
fn desk_phones_and_browsers_register_and_reach_each_other() {
    let (server, authority) = (AuthorizationServer::start(), Authority::new());
    let (certificate, tls) = (authority.good(), ports::free());
    let rules = kit::path("cfg-examples/kamailio/mixed-fleet.toml");
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let stack = Stack::new(
        example("mixed-websocket.cfg", server.issuer())
            .define_string("CONFIG_FILE", &text(&rules))
            .define_string("DESK_USER", "desk")
            .define_string("DESK_PASSWORD", PASSWORD)
            .define("WITH_TLS", 1)
            .define("TLS_PORT", tls)
            .define_string("TLS_CERTIFICATE", &text(&certificate.certificate))
            .define_string("TLS_KEY", &text(&certificate.key)),
    );
    stack.secrets.keep(PASSWORD);
    stack.wait_for_keys();
    let port = stack.kamailio.port();
    assert!(!stack.kamailio.log().contains("ERROR"), "{}", stack.kamailio.log());
    // A browser is offered Bearer, follows the challenge and registers.
    for phone in [Phone::JssipInNode, Phone::JssipInChromium, Phone::SipjsInChromium] {
        let outcome = browser::register(phone, port, &Settings::default());
        assert!(outcome.registered && outcome.statuses == [401, 200], "{:?}\n{}", outcome.json, stack.module_log());
        assert!(
            outcome.challenges.iter().all(|challenge| challenge.starts_with("Bearer ")),
            "{:?}",
            outcome.challenges
        );
        // With a password it is offered Digest, which it answers by itself.
        let desk = Settings {
            aor: "sip:desk@example.test".to_owned(),
            password: Some(PASSWORD.to_owned()),
            ..Settings::default()
        };
        let outcome = browser::register(phone, port, &desk);
        assert!(outcome.registered && outcome.statuses == [200], "{:?}\n{}", outcome.json, stack.module_log());
    }
    // A desk phone is offered Digest.
    let account = Account {
        user: "desk".to_owned(),
        domain: "example.test".to_owned(),
        password: PASSWORD.to_owned(),
        port,
        transport: "udp",
    };
    let outcome = digest_phone::register(digest_phone::Phone::Baresip, &account);
    assert!(outcome.registered && !outcome.crashed, "{}\n{}", outcome.ended, outcome.output);
    // A phone with a token reaches one behind a WebSocket, over TCP and over WebSocket above TLS.
    let token = stack.secrets.keep(server.token("alice", "es256"));
    let tunnel = TlsTunnel::open(tls, None);
    for mut phone in [Client::ws(port), Client::ws(tunnel.port())] {
        let register = Request::register(ALICE)
            .with("Contact", "<sip:x@y.invalid;transport=ws>")
            .with("Authorization", format!("Bearer {token}"));
        assert_eq!(stack.request(&mut phone, &register).status, 200, "{}", stack.module_log());
        let mut sender = stack.udp();
        let message = Request::new("MESSAGE", ALICE, ALICE).with("Authorization", format!("Bearer {token}"));
        sender.send(&message).expect("sent");
        let received = phone.receive_request(PATIENCE).expect("the message arrives");
        let received = String::from_utf8(received).expect("text");
        assert!(received.starts_with("MESSAGE ") && !received.contains("Bearer"), "{received}");
    }
    stack.finish();
}
