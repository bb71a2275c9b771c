// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tables of limits: addresses that somebody chooses, and floods of invented ones.

use sipoauth::shared::{Arena, Shared, Sizes};
use sipoauth_core::sip::sender::{Datagram, Network, Sender};
use std::hash::{DefaultHasher, Hash, Hasher};

const VICTIM: &str = "198.51.100.7";
const MINUTE: u64 = 29_000_000;

fn arena() -> Arena {
    Arena::new(&Sizes::default(), 0).expect("shared memory")
}

/// A hash that anybody can compute, as a place among so many.
fn public_place(name: &str, places: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() % places
}

/// Addresses in IPv6 networks that share the victim's place under a hash without a key.
fn chosen_networks(places: u64, count: usize) -> Vec<String> {
    let victim = public_place(VICTIM, places);
    let networks = (0..=0xF_FFFFu32).map(|n| format!("2001:db8:{:x}:{:x}::", 0x700 + (n >> 16), n & 0xFFFF));
    let hit = |network: &String| public_place(&format!("{network}/64"), places) == victim;
    networks.filter(hit).map(|network| format!("{network}1")).take(count).collect()
}

type Allow = fn(&Shared, &Sender, u64, u32) -> bool;

fn connected(source: &str) -> Sender {
    Sender::new(source)
}

fn datagram(source: &str, port: u16, shown: bool) -> Sender {
    Sender { network: Network::of(source), datagram: Some(Datagram { port, shown }) }
}

/// Every table that counts sources, with the number of its places before each start had a key.
const TABLES: [(&str, u64, Allow); 6] = [
    ("fetches", 1024, |shared, sender, period, limit| shared.source_fetches.allow(sender, period, limit)),
    ("exchanges", 4096, |shared, sender, period, limit| shared.source_exchanges.allow(sender, period, limit)),
    ("look-ups", 4096, |shared, sender, period, limit| shared.source_look_ups.allow(sender, period, limit)),
    ("introspections", 4096, |shared, sender, period, limit| shared.source_introspections.allow(sender, period, limit)),
    ("decryptions", 4096, |shared, sender, period, limit| shared.source_decryptions.allow(sender, period, limit)),
    ("short codes", 16_384, |shared, sender, period, limit| shared.short_code_sources.allow(sender, period, limit)),
];

#[test]
fn no_chosen_network_takes_the_allowance_of_an_address() {
    let arena = arena();
    for (name, places, allow) in TABLES {
        let chosen = chosen_networks(places, 8);
        assert_eq!(chosen.len(), 8, "{name}");
        for network in &chosen {
            while allow(arena.shared(), &connected(network), MINUTE, 5) {}
        }
        for turn in 0..5 {
            assert!(allow(arena.shared(), &connected(VICTIM), MINUTE, 5), "{name}: {turn}");
        }
        assert!(!allow(arena.shared(), &connected(VICTIM), MINUTE, 5), "{name}");
    }
}

#[test]
fn no_chosen_address_of_record_takes_the_tries_of_another_or_of_a_source() {
    let arena = arena();
    let shared = arena.shared();
    // The same text as an address and as a source: they do not share anything.
    while shared.short_code_sources.allow(&Sender::new("same"), MINUTE, 5) {}
    assert!(shared.short_code_addresses.allow("same", MINUTE, 5));
    let victim = "sip:alice@example.test";
    let place = public_place(victim, 16_384);
    let chosen = (0..1_000_000u32).map(|n| format!("sip:{n}@example.test"));
    for address in chosen.filter(|address| public_place(address, 16_384) == place).take(8) {
        while shared.short_code_addresses.allow(&address, MINUTE, 5) {}
    }
    for turn in 0..5 {
        assert!(shared.short_code_addresses.allow(victim, MINUTE, 5), "{turn}");
    }
    assert!(!shared.short_code_addresses.allow(victim, MINUTE, 5));
}

fn invented(number: u32) -> String {
    let [a, b, c, d] = (0x0A00_0000 + number).to_be_bytes();
    format!("{a}.{b}.{c}.{d}")
}

#[test]
fn a_flood_of_invented_sources_locks_nobody_out_and_resets_no_guesser() {
    let arena = arena();
    for (name, _, allow) in TABLES {
        while allow(arena.shared(), &connected("203.0.113.66"), MINUTE, 5) {}
        // A phone that is in the middle of its own allowance.
        for _ in 0..2 {
            assert!(allow(arena.shared(), &connected(VICTIM), MINUTE, 5), "{name}");
        }
        let mut late = 0;
        for number in 0..100_000 {
            assert!(allow(arena.shared(), &connected(&invented(number)), MINUTE, 5), "{name}: {number}");
            // A guesser who begins during the flood, and tries once for every hundred of the others.
            late += u32::from(number % 100 == 0 && allow(arena.shared(), &connected("203.0.113.67"), MINUTE, 5));
        }
        assert!(!allow(arena.shared(), &connected("203.0.113.66"), MINUTE, 5), "{name}: the guesser has what he had");
        assert!((5..50).contains(&late), "{name}: {late} of 1000");
        for _ in 2..5 {
            assert!(allow(arena.shared(), &connected(VICTIM), MINUTE, 5), "{name}");
        }
        assert!(!allow(arena.shared(), &connected(VICTIM), MINUTE, 5), "{name}");
    }
}

#[test]
fn a_flood_of_invented_addresses_of_record_resets_no_count_under_attack() {
    let arena = arena();
    let addresses = &arena.shared().short_code_addresses;
    while addresses.allow("sip:alice@example.test", MINUTE, 5) {}
    for number in 0..100_000 {
        assert!(addresses.allow(format!("sip:{number}@example.test"), MINUTE, 5), "{number}");
    }
    assert!(!addresses.allow("sip:alice@example.test", MINUTE, 5));
    assert_eq!(addresses.used("sip:alice@example.test", MINUTE), 5);
}

#[test]
fn a_new_period_begins_with_room_for_everybody() {
    let arena = arena();
    for (name, _, allow) in TABLES {
        for number in 0..100_000 {
            allow(arena.shared(), &connected(&invented(number)), MINUTE, 5);
        }
        let next = (0..8000).filter(|number| {
            let source = connected(&invented(200_000 + number));
            (0..5).all(|_| allow(arena.shared(), &source, MINUTE + 1, 5))
        });
        assert_eq!(next.count(), 8000, "{name}");
    }
}

#[test]
fn chosen_key_ids_displace_no_other() {
    let arena = arena();
    let missing = &arena.shared().missing_keys;
    missing.put((0usize, "victim"), 1);
    let place = |kid: &str| {
        let mut hasher = DefaultHasher::new();
        (0usize, kid).hash(&mut hasher);
        hasher.finish() % 1024
    };
    let chosen = (0..100_000u32).map(|n| n.to_string()).filter(|kid| place(kid) == place("victim"));
    for kid in chosen.take(50) {
        missing.put((0usize, kid.as_str()), 2);
        assert_eq!(missing.get((0usize, kid.as_str())), Some(2));
    }
    assert_eq!(missing.get((0usize, "victim")), Some(1));
}

#[test]
fn forged_datagrams_of_an_address_take_nothing_from_those_who_are_there() {
    let arena = arena();
    for (name, _, allow) in TABLES {
        let try_all = |sender: &Sender| (0..10).filter(|_| allow(arena.shared(), sender, MINUTE, 5)).count();
        // An attacker writes the address on datagrams with thousands of ports.
        let forged: usize = (0..4096u16).map(|n| try_all(&datagram(VICTIM, 16 * n + 1, false))).sum();
        assert_eq!(forged, 4 * 5, "{name}");
        assert_eq!(try_all(&connected(VICTIM)), 5, "{name}: a phone with a connection");
        assert_eq!(try_all(&datagram(VICTIM, 40_000, true)), 5, "{name}: a phone that was accepted");
        assert_eq!(try_all(&datagram("198.51.100.8", 40_000, false)), 5, "{name}: another address");
    }
}

#[test]
fn ports_of_which_something_was_accepted_are_bounded_together_too() {
    let arena = arena();
    for (name, _, allow) in TABLES {
        let all = (1..5000).filter(|port| allow(arena.shared(), &datagram(VICTIM, *port, true), MINUTE, 5));
        assert_eq!(all.count(), 16 * 5, "{name}");
    }
}

#[test]
fn one_port_that_insists_uses_up_its_own_allowance_only() {
    let arena = arena();
    for (name, _, allow) in TABLES {
        let count =
            |port| (0..1000).filter(|_| allow(arena.shared(), &datagram(VICTIM, port, false), MINUTE, 5)).count();
        assert_eq!((count(1), count(2), count(3), count(4), count(5)), (5, 5, 5, 5, 0), "{name}");
    }
}

#[test]
fn what_was_accepted_shows_a_phone_for_two_hours() {
    let arena = arena();
    let shown = &arena.shared().shown_senders;
    let (network, now) = (Network::of("2001:db8::7"), 1_800_000_000_000);
    assert!(!shown.knows(&network, 5060, now));
    shown.note(&network, 5060, now);
    for (hours, known) in [(0, true), (1, true), (2, true), (3, false), (-1, false)] {
        assert_eq!(shown.knows(&network, 5060, now + hours * 3_600_000), known, "{hours}");
    }
    assert!(!shown.knows(&network, 5061, now) && !shown.knows(&Network::of("2001:db8:1::7"), 5060, now));
}
