// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tables of limits: addresses that somebody chooses, and floods of invented ones.

use sipoauth::arena::{Arena, Shared, Sizes};
use sipoauth::proto::sender::Sender;
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

type Allow = fn(&Shared, &str, u64, u32) -> bool;

/// Every table that counts sources, with the number of its places before each start had a key.
const TABLES: [(&str, u64, Allow); 5] = [
    ("fetches", 1024, |shared, source, period, limit| shared.source_fetches.allow(&Sender::new(source), period, limit)),
    ("exchanges", 4096, |shared, source, period, limit| {
        shared.source_exchanges.allow(&Sender::new(source), period, limit)
    }),
    ("introspections", 4096, |shared, source, period, limit| {
        shared.source_introspections.allow(&Sender::new(source), period, limit)
    }),
    ("decryptions", 4096, |shared, source, period, limit| {
        shared.source_decryptions.allow(&Sender::new(source), period, limit)
    }),
    ("short codes", 16_384, |shared, source, period, limit| {
        shared.short_code_sources.allow(&Sender::new(source), period, limit)
    }),
];

#[test]
fn no_chosen_network_takes_the_allowance_of_an_address() {
    let arena = arena();
    for (name, places, allow) in TABLES {
        let chosen = chosen_networks(places, 8);
        assert_eq!(chosen.len(), 8, "{name}");
        for network in &chosen {
            while allow(arena.shared(), network, MINUTE, 5) {}
        }
        for turn in 0..5 {
            assert!(allow(arena.shared(), VICTIM, MINUTE, 5), "{name}: {turn}");
        }
        assert!(!allow(arena.shared(), VICTIM, MINUTE, 5), "{name}");
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
        while allow(arena.shared(), "203.0.113.66", MINUTE, 5) {}
        // A phone that is in the middle of its own allowance.
        for _ in 0..2 {
            assert!(allow(arena.shared(), VICTIM, MINUTE, 5), "{name}");
        }
        let mut late = 0;
        for number in 0..100_000 {
            assert!(allow(arena.shared(), &invented(number), MINUTE, 5), "{name}: {number}");
            // A guesser who begins during the flood, and tries once for every hundred of the others.
            late += u32::from(number % 100 == 0 && allow(arena.shared(), "203.0.113.67", MINUTE, 5));
        }
        assert!(!allow(arena.shared(), "203.0.113.66", MINUTE, 5), "{name}: the guesser has what he had");
        assert!((5..50).contains(&late), "{name}: {late} of 1000");
        for _ in 2..5 {
            assert!(allow(arena.shared(), VICTIM, MINUTE, 5), "{name}");
        }
        assert!(!allow(arena.shared(), VICTIM, MINUTE, 5), "{name}");
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
            allow(arena.shared(), &invented(number), MINUTE, 5);
        }
        let next = (0..8000).filter(|number| {
            let source = invented(200_000 + number);
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
