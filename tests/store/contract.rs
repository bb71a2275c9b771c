// SPDX-License-Identifier: MIT OR Apache-2.0

//! What every store promises.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use sipoauth::store::lmdb::LmdbStore;
use sipoauth_core::ports::store::{MAX_VALUE, Store, Write};

use crate::support::redis::Redis;
use crate::support::temporary::Directory;
use crate::{add, clock, redis_store, write};

fn every_promise(store: &dyn Store) {
    values(store);
    compare_and_set(store);
    together(store);
    expiry(store);
    due(store);
    twins(store);
    scan(store);
    many(store);
    race(store);
}

#[test]
fn lmdb() {
    let directory = Directory::new("lmdb");
    every_promise(&LmdbStore::open(&directory.file("store"), 64, false).unwrap());
}

#[test]
fn lmdb_with_every_write_synced() {
    let directory = Directory::new("lmdb-durable");
    let store = LmdbStore::open(&directory.file("store"), 64, true).unwrap();
    values(&store);
    compare_and_set(&store);
    together(&store);
    expiry(&store);
}

#[test]
fn redis() {
    let server = Redis::start(&[]);
    every_promise(&redis_store(&server, 5000));
}

fn values(store: &dyn Store) {
    let now = clock();
    let longest_key = "k".repeat(128);
    let all: Vec<u8> = (0..=255).collect();
    for (key, value) in [("s:1", &b""[..]), ("s:2", &all), (&longest_key, &vec![7; MAX_VALUE])] {
        assert_eq!(store.get(key, now), Ok(None));
        assert_eq!(store.remove(key, None), Ok(false));
        add(store, key, value).unwrap();
        assert_eq!(store.get(key, now).unwrap().as_deref(), Some(value));
        assert_eq!(store.remove(key, Some(b"another")), Ok(false));
        assert_eq!(store.remove(key, Some(value)), Ok(true));
        assert_eq!(store.get(key, now), Ok(None));
    }
    assert!(store.put(&write("s:1", &vec![7; MAX_VALUE + 1]), None, now).is_err());
    assert_eq!(store.usage().unwrap().records, 0);
}

fn compare_and_set(store: &dyn Store) {
    let now = clock();
    assert_eq!(store.put(&write("c", b"1"), Some(b"0"), now), Ok(false));
    add(store, "c", b"1").unwrap();
    assert_eq!(store.put(&write("c", b"2"), None, now), Ok(false));
    assert_eq!(store.put(&write("c", b"2"), Some(b""), now), Ok(false));
    assert_eq!(store.put(&write("c", b"2"), Some(b"11"), now), Ok(false));
    assert_eq!(store.get("c", now).unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(store.put(&write("c", b"2"), Some(b"1"), now), Ok(true));
    assert_eq!(store.get("c", now).unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(store.remove("c", None), Ok(true));
}

fn together(store: &dyn Store) {
    let now = clock();
    assert_eq!(store.put_owed_each(&[], now), Ok(vec![]));
    add(store, "t:0", b"0").unwrap();
    let keys: Vec<String> = (0..50).map(|number| format!("t:{number}")).collect();
    let mut swaps: Vec<_> = keys.iter().map(|key| (write(key, b"1"), None)).collect();
    // One is there already, and one comes twice.
    swaps.push((write("t:1", b"2"), None));
    swaps.push((write("t:1", b"3"), Some(&b"1"[..])));
    let written = store.put_owed_each(&swaps, now).unwrap();
    let refused: Vec<usize> = (0..written.len()).filter(|index| !written[*index]).collect();
    assert_eq!((written.len(), refused), (52, vec![0, 50]));
    let value = |key: &str| store.get(key, now).unwrap().unwrap();
    assert_eq!([value("t:0"), value("t:1"), value("t:49")], [b"0", b"3", b"1"]);
    let looked = |keys: &[String], now: i64| {
        let mut seen = Vec::new();
        store.look_each(keys, now, &mut |place, value| seen.push((place, value.to_vec()))).unwrap();
        seen
    };
    let asked = [&keys[..], &["t:none".to_owned(), keys[1].clone()]].concat();
    let mut seen: Vec<_> = (0..50).map(|place| (place, b"1".to_vec())).collect();
    (seen[0].1, seen[1].1) = (b"0".to_vec(), b"3".to_vec());
    seen.push((51, b"3".to_vec()));
    assert_eq!(looked(&asked, now), seen);
    assert!(looked(&[], now).is_empty() && looked(&asked, write("t:0", b"").expires_at).is_empty());
    assert!(
        store
            .put_owed_each(&[(write("t:50", b"1"), None), (write("t:51", &vec![7; MAX_VALUE + 1]), None)], now)
            .is_err()
    );
    assert!(keys.iter().all(|key| store.remove(key, None).unwrap()));
    store.remove("t:50", None).unwrap();
}

fn expiry(store: &dyn Store) {
    let (now, end) = (clock(), clock() + 60_000);
    let record = |value| Write { key: "e", value, expires_at: end, due_at: Some(now + 1) };
    assert_eq!(store.put(&record(b"1"), None, now), Ok(true));
    assert!(store.get("e", end - 1).unwrap().is_some());
    assert_eq!(store.get("e", end), Ok(None));
    assert_eq!(store.due(end - 1, 10).unwrap(), ["e"]);
    assert!(store.due(end, 10).unwrap().is_empty());
    // As if it did not exist: it cannot be compared with, and a new one takes its place.
    assert_eq!(store.put(&record(b"2"), Some(b"1"), end), Ok(false));
    let later = Write { key: "e", value: b"2", expires_at: end + 60_000, due_at: None };
    assert_eq!(store.put(&later, None, end), Ok(true));
    assert_eq!(store.upkeep(end), Ok(0), "the end of the old record does not count");
    assert!(store.due(end, 10).unwrap().is_empty());
    for number in 0..200 {
        let key = format!("e:{number}");
        let record = Write { key: &key, value: b"x", expires_at: end, due_at: Some(end) };
        assert_eq!(store.put(&record, None, now), Ok(true));
    }
    assert_eq!(store.usage().unwrap().records, 201);
    let mut dropped = 0;
    while let Ok(count @ 1..) = store.upkeep(end) {
        dropped += count;
    }
    assert_eq!((dropped, store.usage().unwrap().records), (200, 1));
    assert_eq!(store.get("e:7", now), Ok(None));
    assert!(store.due(end - 1, 500).unwrap().is_empty(), "no index entry stays behind");
    assert_eq!(store.upkeep(end + 60_000), Ok(1));
}

fn due(store: &dyn Store) {
    let now = clock();
    let record = |key, at| Write { key, value: b"x", expires_at: now + 3_600_000, due_at: at };
    for (key, at) in [("d:3", 300), ("d:1", 100), ("d:2", 200), ("d:late", 9000)] {
        assert_eq!(store.put(&record(key, Some(now + at)), None, now), Ok(true));
    }
    assert_eq!(store.put(&record("d:never", None), None, now), Ok(true));
    assert!(store.due(now + 99, 10).unwrap().is_empty());
    assert_eq!(store.due(now + 300, 10).unwrap(), ["d:1", "d:2", "d:3"]);
    assert_eq!(store.due(now + 300, 2).unwrap(), ["d:1", "d:2"]);
    assert_eq!(store.put(&record("d:1", Some(now + 5000)), Some(b"x"), now), Ok(true));
    assert_eq!(store.put(&record("d:2", None), Some(b"x"), now), Ok(true));
    assert_eq!(store.remove("d:3", None), Ok(true));
    assert!(store.due(now + 300, 10).unwrap().is_empty());
    assert_eq!(store.due(now + 9000, 10).unwrap(), ["d:1", "d:late"]);
    for key in ["d:1", "d:2", "d:late", "d:never"] {
        assert_eq!(store.remove(key, None), Ok(true));
    }
}

/// Names that begin alike and have the same times are told apart.
fn twins(store: &dyn Store) {
    let now = clock();
    let names = ["00", "01", "02"].map(|end| format!("t:0123456789abcdef{end}"));
    let write = |key, expires_at, due_at| Write { key, value: b"x", expires_at: now + expires_at, due_at };
    for name in &names {
        assert_eq!(store.put(&write(name, 9000, Some(now + 100)), None, now), Ok(true));
    }
    assert_eq!(store.due(now + 100, 10).unwrap(), names);
    assert_eq!(store.due(now + 100, 2).unwrap().len(), 2);
    assert_eq!(store.put(&write(&names[0], 9000, Some(now + 200)), Some(b"x"), now), Ok(true));
    assert_eq!(store.remove(&names[1], None), Ok(true));
    assert_eq!(store.due(now + 100, 10).unwrap(), names[2..]);
    assert_eq!(store.due(now + 200, 10).unwrap(), [names[2].clone(), names[0].clone()]);
    assert_eq!(store.put(&write(&names[0], 9000, Some(now + 100)), Some(b"x"), now), Ok(true));
    assert_eq!(store.due(now + 100, 10).unwrap(), [names[0].clone(), names[2].clone()]);
    for name in [&names[0], &names[2]] {
        assert_eq!(store.remove(name, None), Ok(true));
    }
    assert!(store.due(now + 9000, 10).unwrap().is_empty());
    for (name, end) in [(&names[0], 60_000), (&names[1], 120_000)] {
        assert_eq!(store.put(&write(name, end, Some(now + 100)), None, now), Ok(true));
    }
    assert_eq!(store.upkeep(now + 60_000), Ok(1));
    assert_eq!(store.due(now + 60_000, 10).unwrap(), names[1..2]);
    assert_eq!(store.upkeep(now + 120_000), Ok(1));
    assert!(store.due(now + 100, 10).unwrap().is_empty());
}

/// All keys, page by page.
fn found(store: &dyn Store, prefix: &str) -> BTreeSet<String> {
    let (mut keys, mut from) = (BTreeSet::new(), None::<String>);
    loop {
        let page = store.scan(prefix, from.as_deref(), 10).unwrap();
        keys.extend(page.keys);
        from = page.next;
        if from.is_none() {
            return keys;
        }
    }
}

fn scan(store: &dyn Store) {
    let expected: BTreeSet<String> = (0..237).map(|number| format!("u*[a]:{number}")).collect();
    for key in expected.iter().map(String::as_str).chain(["u", "uxxa:1", "v:1"]) {
        add(store, key, b"x").unwrap();
    }
    assert_eq!(found(store, "u*[a]:"), expected);
    assert_eq!(found(store, "").len(), 240);
    assert!(found(store, "w").is_empty());
    for key in found(store, "") {
        assert_eq!(store.remove(&key, None), Ok(true));
    }
}

fn many(store: &dyn Store) {
    let now = clock();
    for number in 0..3000 {
        add(store, &format!("m:{number}"), &[number as u8; 700]).unwrap();
    }
    for number in 0..3000 {
        assert_eq!(store.get(&format!("m:{number}"), now).unwrap(), Some(vec![number as u8; 700]));
    }
    let usage = store.usage().unwrap();
    assert!(usage.records == 3000 && usage.bytes > 3000 * 700, "{usage:?}");
    for number in 0..3000 {
        assert_eq!(store.remove(&format!("m:{number}"), None), Ok(true));
    }
}

/// Four threads count in one record: exactly one of them wins each step.
fn race(store: &dyn Store) {
    let wins = AtomicUsize::new(0);
    add(store, "race", b"0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let now = clock();
                    let old = store.get("race", now).unwrap().expect("never absent");
                    let next = std::str::from_utf8(&old).unwrap().parse::<usize>().unwrap() + 1;
                    if store.put(&write("race", next.to_string().as_bytes()), Some(&old), now).unwrap() {
                        wins.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let end = store.get("race", clock()).unwrap().unwrap();
    assert_eq!(String::from_utf8(end).unwrap(), wins.load(Ordering::Relaxed).to_string());
    assert_eq!(store.remove("race", None), Ok(true));
}
