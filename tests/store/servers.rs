// SPDX-License-Identifier: MIT OR Apache-2.0

//! Redis that is full, read-only, away, encrypted, or not ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use sipoauth::store::redis::RedisStore;
use sipoauth_core::config::settings::Secret;
use sipoauth_core::ports::store::{Store, StoreError, Write};

use crate::support::certificates::Authority;
use crate::support::patience::{self, PATIENCE};
use crate::support::process::signal;
use crate::support::redis::{PASSWORD, Redis};
use crate::{add, clock, redis_store, write};

/// Repeats until it works; panics with the last error.
fn eventually<T>(mut attempt: impl FnMut() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(e) if Instant::now() > deadline => panic!("{e}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

#[test]
fn redis_drops_records_by_itself_and_upkeep_their_keys() {
    let server = Redis::start(&[]);
    let store = redis_store(&server, 5000);
    let record = Write { key: "short", value: b"x", expires_at: clock() + 8000, due_at: Some(clock()) };
    assert_eq!(store.put(&record, None, clock()), Ok(true));
    assert!(server.cli(&["EXISTS", "sipoauth:short"]).starts_with('1'));
    assert!(patience::until(PATIENCE, || server.cli(&["EXISTS", "sipoauth:short"]).starts_with('0')));
    assert!(store.due(clock(), 10).unwrap().is_empty());
    assert_eq!(store.upkeep(clock()), Ok(1));
    assert_eq!(server.cli(&["DBSIZE"]).trim(), "0");
}

#[test]
fn a_full_server_can_remove_and_then_add_again() {
    let server = Redis::start(&["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"]);
    let store = redis_store(&server, 5000);
    let mut count = 0;
    let refused = loop {
        match add(&store, &format!("f{count}"), &[7; 50_000]) {
            Ok(()) => count += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(refused, StoreError::Full);
    assert_eq!(store.get(&format!("f{count}"), clock()), Ok(None));
    assert_eq!(store.usage().unwrap().records, count);
    assert!(store.usage().unwrap().limit == 8 << 20);
    for number in 0..count {
        assert_eq!(store.remove(&format!("f{number}"), None), Ok(true));
    }
    add(&store, "new", &[7; 50_000]).unwrap();
}

#[test]
fn a_replica_is_read_only() {
    let server = Redis::start(&[]);
    let store = redis_store(&server, 5000);
    add(&store, "a", b"1").unwrap();
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(store.get("a", clock()).unwrap().as_deref(), Some(&b"1"[..]));
    let refused = store.put(&write("b", b"1"), None, clock());
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    assert!(matches!(store.remove("a", None), Err(StoreError::ReadOnly(_))));
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(store.remove("a", None), Ok(true));
}

#[test]
fn a_server_that_went_away_is_found_again() {
    let mut server = Redis::start(&[]);
    let store = redis_store(&server, 5000);
    add(&store, "a", b"1").unwrap();
    server.stop();
    let first = store.get("a", clock());
    assert!(matches!(first, Err(StoreError::Away(_))), "{first:?}");
    server.resume();
    assert_eq!(eventually(|| store.get("a", clock())), None);
    add(&store, "a", b"2").unwrap();
}

#[test]
fn a_server_that_is_silent_is_not_waited_for_again_and_again() {
    let server = Redis::start(&[]);
    let store = redis_store(&server, 300);
    add(&store, "a", b"1").unwrap();
    signal("STOP", &server.pid().to_string());
    assert!(matches!(store.get("a", clock()), Err(StoreError::Away(_))));
    // Waiting each time would take five minutes.
    let start = Instant::now();
    for _ in 0..1000 {
        assert!(matches!(store.get("a", clock()), Err(StoreError::Away(_))));
    }
    assert!(start.elapsed() < Duration::from_secs(60));
    signal("CONT", &server.pid().to_string());
    assert!(eventually(|| store.get("a", clock())).is_some());
}

#[test]
fn tls_is_verified() {
    let authority = Authority::new();
    let password = Secret::from_file(PASSWORD);
    let ca = std::fs::read_to_string(authority.ca_file()).unwrap();
    let open = |server: &Redis, ca: Option<&str>| {
        let url = Secret::from_file(&format!("rediss://127.0.0.1:{}", server.port()));
        RedisStore::new(&url, Some(&password), ca, 5000).unwrap()
    };
    let good = Redis::start_tls(&authority, &authority.good());
    let store = open(&good, Some(&ca));
    add(&store, "a", &[7; 100_000]).unwrap();
    assert_eq!(store.get("a", clock()).unwrap().unwrap().len(), 100_000);
    let unknown = open(&good, None).get("a", clock());
    assert!(matches!(unknown, Err(StoreError::Away(_))), "{unknown:?}");
    let wrong = Redis::start_tls(&authority, &authority.wrong_name());
    let refused = open(&wrong, Some(&ca)).get("a", clock());
    assert!(matches!(refused, Err(StoreError::Away(_))), "{refused:?}");
}

#[test]
fn passwords_and_users() {
    let server = Redis::start(&[]);
    let open = |user: &str, password: &str| {
        let url = Secret::from_file(&format!("redis://{user}:{password}@127.0.0.1:{}/2", server.port()));
        RedisStore::new(&url, None, None, 5000).unwrap()
    };
    let acl = ["ACL", "SETUSER", "proxy", "on", ">pw", "~sipoauth:*", "&sipoauth:*", "+@all", "-@dangerous"];
    assert!(server.cli(&acl).contains("OK"));
    let refused = open("", "wrong-one").get("a", clock());
    let text = refused.unwrap_err().to_string();
    assert!(!text.contains("wrong-one"), "{text}");
    let store = open("proxy", "pw");
    add(&store, "a", b"1").unwrap();
    assert_eq!(store.upkeep(clock() + 7_200_000), Ok(1));
    assert_eq!(store.usage().unwrap().records, 0);
}

#[test]
fn what_others_wrote_is_not_taken_for_a_record() {
    let server = Redis::start(&[]);
    let store = redis_store(&server, 5000);
    server.cli(&["SET", "sipoauth:a", "hello"]);
    assert!(matches!(store.get("a", clock()), Err(StoreError::Corrupt(_))));
    server.cli(&["LPUSH", "sipoauth:b", "hello"]);
    assert!(store.get("b", clock()).is_err());
}

/// The answers after an error belong to their own commands, and so do those of the next call.
#[test]
fn an_error_among_many_answers_moves_none_of_them() {
    let server = Redis::start(&[]);
    let store = redis_store(&server, 5000);
    server.cli(&["RPUSH", "sipoauth:t:5", "not a record"]);
    let keys: Vec<String> = (0..20).map(|number| format!("t:{number}")).collect();
    let swaps: Vec<_> = keys.iter().map(|key| (write(key, key.as_bytes()), None)).collect();
    for _ in 0..3 {
        assert!(matches!(store.put_owed_each(&swaps, clock()), Err(StoreError::Away(_))));
        for key in keys.iter().filter(|key| *key != "t:5") {
            assert_eq!(store.get(key, clock()).unwrap().as_deref(), Some(key.as_bytes()));
        }
    }
    server.cli(&["SET", "sipoauth:t:5", "not a record"]);
    let mut seen = 0;
    assert!(matches!(store.look_each(&keys, clock(), &mut |_, _| seen += 1), Err(StoreError::Corrupt(_))));
    assert_eq!((seen, store.get("t:19", clock()).unwrap().as_deref()), (5, Some(&b"t:19"[..])));
}

#[test]
fn every_change_is_told_to_all_proxies() {
    let mut server = Redis::start(&[]);
    let (one, two) = (redis_store(&server, 2000), redis_store(&server, 2000));
    let (sender, told) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let ended = Arc::clone(&stop);
        scope.spawn(move || one.watch_changes(&ended, &mut |key| sender.send(key).unwrap()));
        let next = || told.recv_timeout(PATIENCE).expect("in time");
        assert_eq!(next(), "");
        add(&two, "a", b"1").unwrap();
        assert_eq!(next(), "a");
        assert_eq!(two.put(&write("a", b"2"), Some(b"0"), clock()), Ok(false));
        assert_eq!(two.remove("a", Some(b"0")), Ok(false));
        assert_eq!(two.put(&write("a", b"2"), Some(b"1"), clock()), Ok(true));
        assert_eq!(two.remove("a", None), Ok(true));
        assert_eq!((next(), next()), ("a".into(), "a".into()));
        server.stop();
        server.resume();
        assert_eq!(next(), "", "anything may have changed meanwhile");
        eventually(|| two.put(&write("b", b"1"), None, clock()));
        assert_eq!(next(), "b");
        stop.store(true, Ordering::Relaxed);
    });
    assert!(told.try_recv().is_err());
}

/// A debugger that looks at the process does this, and so does a container that is paused.
#[test]
fn a_signal_ends_no_wait_for_the_server() {
    extern "C" fn handler(_: libc::c_int) {}
    // SAFETY: the handler does nothing. With SA_RESTART it would end the wait, too, because the socket has a timeout.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()), 0);
    }
    let authority = Authority::new();
    let ca = std::fs::read_to_string(authority.ca_file()).unwrap();
    let (plain, encrypted) = (Redis::start(&[]), Redis::start_tls(&authority, &authority.good()));
    let open: [(&Redis, &dyn Fn() -> RedisStore); 2] = [
        (&plain, &|| redis_store(&plain, 5000)),
        (&encrypted, &|| {
            let url = Secret::from_file(&format!("rediss://127.0.0.1:{}", encrypted.port()));
            RedisStore::new(&url, Some(&Secret::from_file(PASSWORD)), Some(&ca), 5000).unwrap()
        }),
    ];
    for (server, open) in open {
        let store = open();
        add(&store, "first", b"x").unwrap();
        for number in 0..5 {
            let key = format!("s{number}");
            let put = interrupted(server, || store.put(&write(&key, b"1"), None, clock()));
            assert_eq!(put, Ok(true), "{number}");
            assert_eq!(store.get(&key, clock()).unwrap().as_deref(), Some(&b"1"[..]), "the answers stay in order");
            // With a connection that has to be made.
            let store = open();
            let got = interrupted(server, || store.get(&key, clock()));
            assert_eq!(got.unwrap().as_deref(), Some(&b"1"[..]), "{number}");
        }
    }
}

/// The server answers late, and signals come meanwhile.
fn interrupted<T>(server: &Redis, ask: impl FnOnce() -> T) -> T {
    // SAFETY: no arguments.
    let waiting = unsafe { libc::syscall(libc::SYS_gettid) };
    let server = server.pid().to_string();
    signal("STOP", &server);
    let other = std::thread::spawn(move || {
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(50));
            // SAFETY: a signal with a handler, to a thread of our own, which joins this one before it ends.
            unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), waiting, libc::SIGUSR2) };
        }
        std::thread::sleep(Duration::from_millis(50));
        signal("CONT", &server);
    });
    let answer = ask();
    other.join().unwrap();
    answer
}
