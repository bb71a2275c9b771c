// SPDX-License-Identifier: MIT OR Apache-2.0

//! Several processes with one folder, some of which are killed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sipoauth::store::lmdb::LmdbStore;
use sipoauth_core::ports::store::Store;

use crate::support::process::{self, Process, signal};
use crate::support::temporary::Directory;
use crate::{add, clock, write};

const PATIENCE: Duration = Duration::from_secs(90);

/// This program once more, in another part and process, which logs to a directory.
pub fn child(part: &str, folder: &Path, log: &Path) -> Process {
    let program = std::env::current_exe().expect("a running program has a path");
    start(part, folder, log, process::command(program))
}

/// The same as a user who may not write everywhere: this one, or for root another.
pub fn child_of_a_user(part: &str, folder: &Path) -> Process {
    if std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() != 0) {
        return child(part, folder, parent(folder));
    }
    // A copy, because the path to the program may be closed to others.
    let program = folder.with_file_name("program");
    process::copy_program(&std::env::current_exe().expect("a path"), &program);
    let mut command = process::command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    start(part, folder, parent(folder), command)
}

fn parent(folder: &Path) -> &Path {
    folder.parent().expect("not the root")
}

fn start(part: &str, folder: &Path, log: &Path, mut command: Command) -> Process {
    command.args(["--exact", "processes::part_of_a_child", "--nocapture", "--test-threads=1"]);
    command.env("STORE_PART", part).env("STORE_FOLDER", folder);
    Process::start(part, command, log)
}

/// Does nothing unless another test runs it in a process of its own.
#[test]
fn part_of_a_child() {
    let (Ok(part), Some(folder)) = (std::env::var("STORE_PART"), std::env::var_os("STORE_FOLDER")) else {
        return;
    };
    if part == "obey" {
        return crate::full_disk::obey(Path::new(&folder));
    }
    let opened = LmdbStore::open(&PathBuf::from(folder), 16, false);
    println!("\nopened: {:?}", opened.as_ref().err());
    let Ok(store) = opened else {
        return;
    };
    match part.as_str() {
        "count" => println!("\nwins: {}", count(&store, 300)),
        "write" => {
            for number in 0u64.. {
                let value = vec![number as u8; 200 + (number % 5000) as usize];
                let key = format!("w{}", number % 50);
                let old = store.get(&key, clock()).unwrap();
                let done = store.put(&write(&key, &value), old.as_deref(), clock());
                assert!(done.is_ok(), "{done:?}");
            }
        }
        _ => {}
    }
}

/// How many of this number of attempts to count on succeeded.
fn count(store: &dyn Store, attempts: usize) -> usize {
    let mut wins = 0;
    for _ in 0..attempts {
        let old = store.get("count", clock()).unwrap().expect("never absent");
        let next = std::str::from_utf8(&old).unwrap().parse::<usize>().unwrap() + 1;
        wins += usize::from(store.put(&write("count", next.to_string().as_bytes()), Some(&old), clock()).unwrap());
    }
    wins
}

#[test]
fn of_racing_processes_one_wins() {
    let directory = Directory::new("lmdb-race");
    let folder = directory.file("store");
    let store = LmdbStore::open(&folder, 16, false).unwrap();
    add(&store, "count", b"0").unwrap();
    let mut others = [child("count", &folder, directory.path()), child("count", &folder, directory.path())];
    let mut wins = count(&store, 300);
    for other in &mut others {
        let line = other.wait_for("wins: ", PATIENCE).unwrap();
        wins += line["wins: ".len()..].parse::<usize>().unwrap();
    }
    assert_eq!(store.get("count", clock()).unwrap().unwrap(), wins.to_string().as_bytes());
}

#[test]
fn killed_writers_stop_nobody_and_leave_nothing_half_written() {
    let directory = Directory::new("lmdb-kill");
    let folder = directory.file("store");
    let store = LmdbStore::open(&folder, 16, false).unwrap();
    for round in 0..12 {
        let mut writer = child("write", &folder, directory.path());
        writer.wait_for("opened: None", PATIENCE).unwrap();
        // Some hundred writes, another instant in each round.
        std::thread::sleep(Duration::from_millis(20 + 7 * round));
        signal("KILL", &format!("-{}", writer.pid()));
        assert!(writer.wait(PATIENCE).is_some());
        let key = format!("own{round}");
        add(&store, &key, b"written").unwrap();
        assert!(store.get(&key, clock()).unwrap().is_some());
        for number in 0..50 {
            if let Some(value) = store.get(&format!("w{number}"), clock()).unwrap() {
                assert!(value.iter().all(|octet| *octet == value[0]) && value.len() % 50 == number, "{number}");
            }
        }
        store.upkeep(clock()).unwrap();
    }
    // The end of one hour: every record is in the order of the ends exactly once.
    let records = store.usage().unwrap().records;
    let mut dropped = 0;
    while let count @ 1.. = store.upkeep(clock() + 7_200_000).unwrap() {
        dropped += count;
    }
    assert_eq!((dropped, store.usage().unwrap().records), (records, 0));
}
