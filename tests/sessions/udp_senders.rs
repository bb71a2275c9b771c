// SPDX-License-Identifier: MIT OR Apache-2.0

//! Limits per source where the source may be forged: over UDP anybody can write any address on a packet.

use crate::phone::{ALICE, Sip};
use crate::plant::{Plant, Proxy};
use serde_json::json;
use sipoauth_core::reason::Reason;

const ADDRESS: &str = "192.0.2.66";
const LIMIT: u32 = 3;

/// A code that nobody has given out, from a port of one address.
fn invented(number: u32, port: u16, transport: &'static str) -> Sip {
    let sip = Sip::with_code(ALICE, "one", &format!("a-code-that-nobody-has-given-out-{number:05}"));
    Sip { source: (ADDRESS.into(), port), ..sip }.over(transport)
}

fn proxy(plant: &Plant) -> Proxy {
    plant.proxy(&json!({ "source_limit": LIMIT }))
}

/// Runs within one minute: the limits count by the minute.
fn in_one_minute(work: impl Fn()) {
    let minute = || crate::support::token::now() / 60;
    for _ in 0..3 {
        let begun = minute();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&work));
        match result {
            Ok(()) => return,
            Err(panic) if minute() == begun => std::panic::resume_unwind(panic),
            Err(_) => {}
        }
    }
    panic!("never within one minute");
}

#[test]
fn failures_from_one_port_do_not_lock_out_another_port_or_a_connection() {
    in_one_minute(|| {
        let plant = Plant::new();
        let mut proxy = proxy(&plant);
        let forged = (0..20).map(|number| proxy.reason(&invented(number, 1024, "udp")));
        assert!(forged.last() == Some(Reason::CodeLimited));
        assert_eq!(proxy.reason(&invented(100, 5060, "udp")), Reason::CodeRefused);
        for (number, transport) in ["tcp", "tls", "wss"].into_iter().enumerate() {
            let number = 200 + number as u32;
            assert_eq!(proxy.reason(&invented(number, 40_000, transport)), Reason::CodeRefused, "{transport}");
        }
    });
}

#[test]
fn many_ports_of_one_address_have_four_allowances_together() {
    in_one_minute(|| {
        let plant = Plant::new();
        let mut proxy = proxy(&plant);
        let refused = |proxy: &mut Proxy, number, port| proxy.reason(&invented(number, port, "udp"));
        let ports = (0..40u16).map(|n| refused(&mut proxy, n.into(), 1024 + n));
        assert_eq!(ports.filter(|reason| *reason == Reason::CodeRefused).count() as u32, 4 * LIMIT);
        // Who has answered a handshake is not touched by that.
        assert_eq!(proxy.reason(&invented(300, 5061, "tls")), Reason::CodeRefused);
    });
}

#[test]
fn a_phone_that_was_accepted_is_not_locked_out_by_forged_datagrams_of_its_address() {
    in_one_minute(|| {
        let plant = Plant::new();
        let mut proxy = proxy(&plant);
        let code = plant.endpoint.code("alice");
        let phone = Sip { source: (ADDRESS.into(), 5060), ..Sip::with_code(ALICE, "one", &code) }.over("udp");
        proxy.sign_in(&phone);
        for number in 0..60u16 {
            proxy.reason(&invented(number.into(), 1024 + number, "udp"));
        }
        assert_eq!(proxy.reason(&invented(100, 1023, "udp")), Reason::CodeLimited, "all strangers together");
        // Its second sign-in is one of the three that a port has.
        let code = plant.endpoint.code("alice");
        let again = Sip { source: (ADDRESS.into(), 5060), ..Sip::with_code(ALICE, "two", &code) }.over("udp");
        proxy.sign_in(&again);
        // To be known does not free its port of the limit.
        let more = (200..205).map(|number| proxy.reason(&invented(number, 5060, "udp")));
        assert_eq!(more.filter(|reason| *reason == Reason::CodeRefused).count(), 1);
    });
}

#[test]
fn behind_a_trusted_hop_each_phone_has_its_own_allowance() {
    in_one_minute(|| {
        let plant = Plant::new();
        let settings = json!({ "source_limit": LIMIT, "trusted_hops": ["10.0.0.0/24", "2001:db8:e::1"] });
        let mut proxy = plant.proxy(&settings);
        let by_edge = |number, edge: &str, phone: &str| Sip {
            source: (edge.into(), 5060),
            vias: vec![
                "SIP/2.0/TLS edge.example.test;branch=z9hG4bK-edge".into(),
                format!("SIP/2.0/UDP 192.168.0.7:5060;branch=z9hG4bK-x;{phone}"),
            ],
            ..invented(number, 5060, "tls")
        };
        for number in 0..10 {
            proxy.reason(&by_edge(number, "10.0.0.1", "received=203.0.113.66;rport=40000"));
        }
        let mallory = by_edge(10, "10.0.0.1", "received=203.0.113.66;rport=40000");
        assert_eq!(proxy.reason(&mallory), Reason::CodeLimited);
        assert!(proxy.log.text().contains(" source=203.0.113.66"), "{}", proxy.log.text());
        assert!(!proxy.log.text().contains(" source=10.0.0.1"), "{}", proxy.log.text());
        // By the other edge he is the same; another phone and another address are not.
        let other_way = by_edge(11, "2001:db8:e::1", "received=203.0.113.66;rport=40000");
        assert_eq!(proxy.reason(&other_way), Reason::CodeLimited);
        for (number, phone) in
            ["received=203.0.113.66;rport=40001", "received=198.51.100.1;rport=40000"].iter().enumerate()
        {
            let sip = by_edge(20 + number as u32, "10.0.0.1", phone);
            assert_eq!(proxy.reason(&sip), Reason::CodeRefused, "{phone}");
        }
    });
}

#[test]
fn what_a_stranger_writes_into_via_changes_nothing() {
    in_one_minute(|| {
        let plant = Plant::new();
        let settings = json!({ "source_limit": LIMIT, "trusted_hops": "10.0.0.0/24" });
        let mut proxy = plant.proxy(&settings);
        let reasons = (0..10).map(|number| {
            let vias = vec![
                "SIP/2.0/TLS 10.0.0.1;branch=z9hG4bK-1".into(),
                format!("SIP/2.0/UDP 10.0.0.2;received=203.0.113.{number};rport=5060"),
            ];
            let sip = Sip { vias, ..invented(number, 5061, "tls") };
            proxy.reason(&sip)
        });
        assert_eq!(reasons.filter(|reason| *reason == Reason::CodeRefused).count() as u32, LIMIT);
        assert!(!proxy.log.text().contains("203.0.113."), "{}", proxy.log.text());
    });
}
