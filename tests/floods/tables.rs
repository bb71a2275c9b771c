// SPDX-License-Identifier: MIT OR Apache-2.0

//! What one sender can put into the tables that all processes share, and what that leaves of the entries of others.

use sipoauth::shared::connection_table::Connection;
use sipoauth::shared::record_cache::{Lookup, Room};
use sipoauth::shared::waiting_room::{Full, Party, Rules};
use sipoauth::shared::{Arena, Sizes};
use sipoauth_core::check::replay::{Seen, Use, hash_of};

const NOW: i64 = 2_000_000_000;

fn arena(sizes: Sizes) -> Arena {
    Arena::new(&sizes, (NOW - 10_000) * 1000).expect("memory")
}

#[test]
fn the_connections_of_one_source_unbind_few_of_others() {
    let arena = arena(Sizes { connections: 16_384, ..Sizes::default() });
    let table = arena.connections();
    // Forty phones of different sources, and one that opens as many connections as there are places.
    let honest = |number: u64| format!("192.0.2.{number}");
    for number in 0..40 {
        table.put(&Connection { number: 1 + number, peer: (&honest(number), 5060) }, b"alice", 1);
    }
    for number in 0..65_536u64 {
        let peer = ("203.0.113.9", 1024 + (number % 60_000) as u16);
        table.put(&Connection { number: 1000 + number, peer }, b"mallory", 2 + number as i64);
    }
    for number in 0..40 {
        let bound = table.get(&Connection { number: 1 + number, peer: (&honest(number), 5060) }, 1);
        assert_eq!(bound.as_ref().map(|content| &content[..]), Some(&b"alice"[..]), "{number}");
    }
    // His own newest ones are bound, too.
    let newest = Connection { number: 1000 + 65_535, peer: ("203.0.113.9", 1024 + (65_535 % 60_000) as u16) };
    assert!(table.get(&newest, 1).is_some());
}

#[test]
fn the_fresh_proofs_of_others_are_first_uses_however_many_one_user_makes() {
    let arena = arena(Sizes { proofs: 65_536, ..Sizes::default() });
    let guard = arena.replay_guard();
    let used =
        |name: &str, number: i64, date, now| Use { proof: hash_of(&[7; 16], (name, number)), path: 1, date, now };
    // A thousand proofs a second, as old as they may be: what is lost is as old.
    for number in 0..300_000i64 {
        let now = NOW + number / 1000;
        guard.note(&used("mallory", number, now - 290, now));
        if number % 1000 == 0 {
            assert_eq!(guard.note(&used("alice", number, now, now)), Seen::First, "{number}");
        }
    }
}

#[test]
fn kids_that_do_not_exist_cost_no_more_than_they_did_before() {
    let arena = arena(Sizes::default());
    let missing = &arena.shared().missing_keys;
    missing.put((1, "kid"), 7);
    for number in 0..50_000 {
        missing.put((1, format!("random-{number}")), 7);
    }
    // One that is forgotten is asked for again within the limits of fetches; another's value is never taken for it.
    assert!(missing.get((1, "kid")).is_none_or(|value| value == 7));
    assert_eq!(missing.get((2, "kid")), None);
}

#[test]
fn reasons_of_failed_exchanges_are_those_of_the_code_or_none() {
    let arena = arena(Sizes::default());
    let failures = &arena.shared().exchange_failures;
    failures.put("code-of-alice", 65);
    for number in 0..200 {
        failures.put(format!("code-{number}"), 70);
    }
    assert_eq!(failures.get("code-of-alice"), Some(65), "as many as can wait leave it in place");
    for number in 0..200_000 {
        failures.put(format!("code-{number}"), 70);
    }
    assert!(failures.get("code-of-alice").is_none_or(|number| number == 65));
}

#[test]
fn fifty_thousand_absent_records_leave_one_that_is_kept_in_place() {
    let arena = arena(Sizes { records: 8192, ..Sizes::default() });
    let cache = arena.records();
    cache.put(Room::Kept, "a:alice", Some(b"sessions"), 1);
    for number in 0..50_000 {
        let key = format!("a:nobody{number}");
        cache.put(Room::Passing, &key, None, 2 + number);
        assert_eq!(cache.get(&key, 2 + number, 1000), Lookup::Absent, "{number}: its own verdict");
    }
    assert_eq!(cache.get("a:alice", 2, 1000), Lookup::Hit(b"sessions".to_vec()));
}

#[test]
fn a_process_that_is_killed_with_places_taken_keeps_none_beyond_their_deadline() {
    let arena = arena(Sizes::default());
    let room = &arena.shared().waiting;
    let rules = |now| Rules { all: 10, several: false, now };
    let (party, now, deadline) = (Party { cause: 1, source: 0 }, NOW * 1000, NOW * 1000 + 5000);
    // SAFETY: the child touches atomics in shared memory only, and is killed by itself.
    let child = unsafe { libc::fork() };
    if child == 0 {
        for _ in 0..10 {
            let _ = room.take(party, &rules(now), deadline);
        }
        // SAFETY: as above.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    let mut status = 0;
    // SAFETY: the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFSIGNALED(status));
    assert_eq!((room.count(now), room.take(party, &rules(now), deadline)), (10, Err(Full::All)));
    let later = deadline + 6000;
    assert_eq!(room.count(later), 0);
    assert!((0..10).all(|_| room.take(party, &rules(later), later + 5000).is_ok()));
}
