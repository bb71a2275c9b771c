// SPDX-License-Identifier: MIT OR Apache-2.0

//! LMDB with a folder that is full, not writable, or not what it was.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sipoauth::store::lmdb::LmdbStore;
use sipoauth_core::ports::store::{Store, StoreError, Write};

use crate::processes::child_of_a_user;
use crate::support::temporary::Directory;
use crate::{add, clock, write};

fn open_error(folder: &Path) -> StoreError {
    LmdbStore::open(folder, 4, false).err().expect("it cannot be opened")
}

#[test]
fn a_new_folder_is_private() {
    let directory = Directory::new("lmdb-mode");
    let folder = directory.file("store");
    let _store = LmdbStore::open(&folder, 4, false).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("data.mdb")), 0o600);
    assert_eq!(mode(&folder.join("lock.mdb")), 0o600);
}

#[test]
fn opened_again_it_is_the_same_store() {
    let directory = Directory::new("lmdb-again");
    let folder = directory.file("store");
    let first = LmdbStore::open(&folder, 4, false).unwrap();
    let second = LmdbStore::open(&folder, 4, false).unwrap();
    add(&first, "a", b"1").unwrap();
    drop(first);
    assert!(second.get("a", clock()).unwrap().is_some());
    drop(second);
    assert!(LmdbStore::open(&folder, 4, false).unwrap().get("a", clock()).unwrap().is_some());
}

/// A record for a full store.
fn fill<'a>(key: &'a str, value: &'a [u8], end: i64) -> Write<'a> {
    Write { key, value, expires_at: end, due_at: Some(end) }
}

#[test]
fn a_full_store_can_change_and_remove_and_then_add_again() {
    for size in [1, 8] {
        for length in [20, 700, 5000, 60_000] {
            let directory = Directory::new("lmdb-full");
            let store = LmdbStore::open(&directory.file("store"), size, false).unwrap();
            let (now, end) = (clock(), clock() + 60_000);
            let mut count = 0;
            let refused = loop {
                // Every key somewhere else in the tree.
                let key = format!("{:016x}", 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(count + 1));
                match store.put(&fill(&key, &vec![1; length], end), None, now) {
                    Ok(new) => assert!(new),
                    Err(e) => break e,
                }
                count += 1;
            };
            assert_eq!(refused, StoreError::Full, "{size} MiB of {length}");
            assert!(count > 5, "{count} records of {length} octets in {size} MiB");
            let first = format!("{:016x}", 0x9E37_79B9_7F4A_7C15u64);
            let changed = store.put(&fill(&first, &vec![2; length], end), Some(&vec![1; length]), now);
            assert_eq!(changed, Ok(true), "{size} MiB of {length}");
            assert_eq!(store.remove(&first, None), Ok(true));
            let mut dropped = 0;
            while let count @ 1.. = store.upkeep(end).unwrap() {
                dropped += count;
            }
            assert_eq!(dropped, count - 1);
            assert_eq!(store.put(&fill("new", &vec![1; length], end + 1), None, now), Ok(true));
            assert_eq!(store.usage().unwrap().records, 1);
        }
    }
}

#[test]
fn folders_that_cannot_be_are_explained() {
    let directory = Directory::new("lmdb-places");
    let missing = open_error(&directory.file("a/b"));
    assert!(matches!(&missing, StoreError::Away(text) if text.contains("folder above it")), "{missing}");
    let file = open_error(&directory.write("file", "x"));
    assert!(matches!(&file, StoreError::Away(text) if text.contains("is not a folder")), "{file}");
    let kernel = open_error(Path::new("/sys/kernel/sipoauth"));
    assert!(matches!(&kernel, StoreError::ReadOnly(text) if text.contains("/sys/kernel/sipoauth")), "{kernel}");
}

#[test]
fn a_folder_of_somebody_else_is_read_only() {
    let directory = Directory::new("lmdb-owner");
    let folder = directory.file("store");
    drop(LmdbStore::open(&folder, 4, false).unwrap());
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    for file in ["data.mdb", "lock.mdb"] {
        fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o444)).unwrap();
    }
    // Root may write everywhere, so this is tried by another user.
    let mut other = child_of_a_user("open", &folder);
    let output = other.wait_for("opened:", std::time::Duration::from_secs(20)).unwrap();
    assert!(output.contains("ReadOnly"), "{output}");
}

#[test]
fn garbage_and_cut_off_files_are_named() {
    let directory = Directory::new("lmdb-damage");
    let folder = directory.file("store");
    let corrupt = |what: &str| {
        let error = open_error(&folder);
        let named = matches!(&error, StoreError::Corrupt(text) if text.contains(folder.to_str().unwrap()));
        assert!(named, "{what}: {error}");
    };
    let data = folder.join("data.mdb");
    fs::create_dir(&folder).unwrap();
    for (what, octets) in [
        ("text", b"this is no database".to_vec()),
        ("a page of noise", vec![0xA5; 4096]),
        ("many pages of noise", (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("zeros", vec![0; 20_000]),
    ] {
        fs::write(&data, octets).unwrap();
        corrupt(what);
        fs::remove_file(folder.join("lock.mdb")).unwrap();
    }
    fs::remove_file(&data).unwrap();
    let store = LmdbStore::open(&folder, 4, false).unwrap();
    for number in 0..500 {
        add(&store, &format!("k{number}"), &[7; 1000]).unwrap();
    }
    store.upkeep(clock()).unwrap();
    drop(store);
    for length in [600_000, 100_000, 8192, 5000, 4096, 100] {
        OpenOptions::new().write(true).open(&data).unwrap().set_len(length).unwrap();
        corrupt(&format!("cut off after {length} octets"));
    }
}

#[test]
fn a_smaller_size_keeps_what_is_there() {
    let directory = Directory::new("lmdb-smaller");
    let folder = directory.file("store");
    let store = LmdbStore::open(&folder, 16, false).unwrap();
    for number in 0..2000 {
        add(&store, &format!("k{number}"), &[7; 2000]).unwrap();
    }
    drop(store);
    let store = LmdbStore::open(&folder, 1, false).unwrap();
    assert_eq!(store.usage().unwrap().records, 2000);
    assert_eq!(store.put(&write("new", &[7; 2000]), None, clock()), Err(StoreError::Full));
}
