// SPDX-License-Identifier: MIT OR Apache-2.0

//! A folder on a disk without room. Processes map its files: a page that the disk has no room for must never be touched,
//! for that ends the process by SIGBUS.

use std::fs::{self, File};
use std::io::BufRead as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sipoauth::store::lmdb::LmdbStore;
use sipoauth_core::ports::store::{Store, StoreError, Write};

use crate::processes::child;
use crate::support::process::Process;
use crate::support::small_disk::{SmallDisk, alone};
use crate::support::temporary::Directory;
use crate::{add, clock, write};

const PATIENCE: Duration = Duration::from_secs(60);
const SIZE: u32 = 16;

/// Another process that does what it is told, line by line.
struct Other(Process, #[allow(dead_code, reason = "it lives as long")] Directory);

impl Other {
    fn start(folder: &Path) -> Other {
        // What it prints is not to go to the disk without room.
        let log = Directory::new("obey");
        Other(child("obey", folder, log.path()), log)
    }

    /// What came of a command.
    fn tell(&mut self, line: &str) -> String {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let mark = format!("<{}>", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        self.0.send_line(&format!("{mark} {line}"));
        let answer = self.0.wait_for(&mark, PATIENCE).unwrap_or_else(|told| panic!("{line}: {told}"));
        answer.split_once(&mark).expect("it was found by that").1.trim().to_owned()
    }

    /// Ends it; it must not have died before.
    fn end(mut self) {
        assert_eq!(self.0.poll(), None, "{}", self.0.tail());
        self.tell("end");
        let status = self.0.wait(PATIENCE).expect("it ends when it is told to");
        assert!(status.success() && status.signal().is_none(), "{status}: {}", self.0.tail());
    }
}

/// What [`Other`] runs in the other process.
pub fn obey(folder: &Path) {
    let mut store = None;
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let mut words = line.split(' ');
        let (mark, verb) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (key, length) = (words.next().unwrap_or_default(), words.next().and_then(|w| w.parse().ok()).unwrap_or(0));
        if verb == "end" {
            println!("\n{mark} bye");
            return;
        }
        let Some(opened) = &store else {
            let opened = LmdbStore::open(folder, SIZE, false);
            println!("\n{mark} {:?}", opened.as_ref().err());
            store = opened.ok();
            continue;
        };
        if opened.is_given_up() {
            drop(store.take());
            store = LmdbStore::open(folder, SIZE, false).ok();
        }
        let Some(opened) = &store else {
            println!("\n{mark} cannot be opened");
            continue;
        };
        let value = vec![7; length];
        let answer = match verb {
            "add" => format!("{:?}", opened.put(&write(key, &value), None, clock())),
            "change" => {
                let old = opened.get(key, clock()).unwrap();
                format!("{:?}", opened.put(&write(key, &value), old.as_deref(), clock()))
            }
            "get" => format!("{:?}", opened.get(key, clock()).map(|value| value.map(|value| value.len()))),
            "remove" => format!("{:?}", opened.remove(key, None)),
            "later" => format!("{:?}", opened.get("k", clock() + 5000).map(drop)),
            "upkeep" => format!("{:?}", opened.upkeep(clock())),
            _ => panic!("{verb}"),
        };
        println!("\n{mark} {answer}");
    }
}

fn no_room(answer: &str, folder: &Path) {
    assert!(answer.contains("ReadOnly"), "{answer}");
    assert!(answer.contains(folder.to_str().unwrap()) && answer.contains("df -h"), "{answer}");
}

/// Adds records until there is no room. Returns their number and the last answer.
fn add_all(other: &mut Other, length: usize) -> (usize, String) {
    for count in 0.. {
        let answer = other.tell(&format!("add k{count} {length}"));
        if answer != "Ok(true)" {
            return (count, answer);
        }
    }
    unreachable!("the disk is small")
}

#[test]
fn the_first_opening_without_room_is_refused_and_works_once_there_is_room() {
    alone("full_disk::the_first_opening_without_room_is_refused_and_works_once_there_is_room", || {
        for left in [0, 1, 2, 3, 5, 17, 64, 65, 66, 68, 70, 100] {
            let disk = SmallDisk::new("first", "size=4m");
            let folder = disk.file("store");
            let held = File::create(disk.file("held")).unwrap();
            held.write_all_at(&vec![1; left * 4096], 0).unwrap();
            disk.fill();
            drop(held);
            fs::remove_file(disk.file("held")).unwrap();
            let mut other = Other::start(&folder);
            let answer = other.tell("open");
            assert!(answer.contains("ReadOnly") && answer.contains("df -h"), "{left} pages: {answer}");
            disk.empty();
            assert_eq!(other.tell("open"), "None", "{left} pages");
            assert_eq!(other.tell("add k 900"), "Ok(true)");
            other.end();
        }
    });
}

#[test]
fn a_hundred_processes_start_while_the_disk_is_full() {
    alone("full_disk::a_hundred_processes_start_while_the_disk_is_full", || {
        let disk = SmallDisk::new("many", "size=4m");
        let folder = disk.file("store");
        let mut first = Other::start(&folder);
        assert_eq!(first.tell("open"), "None");
        assert_eq!(first.tell("add one 100"), "Ok(true)");
        disk.fill();
        let mut others: Vec<Other> = (0..100).map(|_| Other::start(&folder)).collect();
        for other in &mut others {
            assert_eq!(other.tell("open"), "None");
            assert_eq!(other.tell("get one"), "Ok(Some(100))");
        }
        assert_eq!(others[99].tell("change one 100"), "Ok(true)");
        disk.empty();
        assert_eq!(others[50].tell("add two 100000"), "Ok(true)");
        others.into_iter().chain([first]).for_each(Other::end);
    });
}

#[test]
fn on_a_full_disk_nothing_is_added_but_changes_go_on() {
    alone("full_disk::on_a_full_disk_nothing_is_added_but_changes_go_on", || {
        for length in [100, 3000, 60_000] {
            let disk = SmallDisk::new("running", "size=6m");
            let folder = disk.file("store");
            let (mut one, mut two) = (Other::start(&folder), Other::start(&folder));
            assert_eq!((one.tell("open"), two.tell("open")), ("None".into(), "None".into()));
            assert_eq!(one.tell(&format!("add first {length}")), "Ok(true)");
            disk.fill();
            let (count, refused) = add_all(&mut one, length);
            no_room(&refused, &folder);
            no_room(&two.tell(&format!("add other {length}")), &folder);
            // What is there can be changed, again and again, and ended.
            for round in 0..50 {
                assert_eq!(two.tell(&format!("change first {length}")), "Ok(true)", "round {round}, {count} more");
                no_room(&one.tell("upkeep"), &folder);
            }
            assert_eq!(one.tell("remove first"), "Ok(true)");
            disk.empty();
            assert_eq!(two.tell(&format!("add other {length}")), "Ok(true)");
            assert_eq!(one.tell("get other"), format!("Ok(Some({length}))"));
            one.end();
            two.end();
        }
    });
}

/// The claim on a code is a new record; what comes of it must find room, whoever has taken the last of it meanwhile.
#[test]
fn what_follows_from_a_claim_finds_the_room_that_was_kept_back() {
    let owed = |store: &LmdbStore| {
        let mut written = 0;
        for number in 0..8 {
            let key = format!("owed{number}");
            written += usize::from(store.put_owed(&write(&key, &[3; 6000]), None, clock()).unwrap());
        }
        assert_eq!(written, 8);
    };
    let directory = Directory::new("owed");
    let store = LmdbStore::open(&directory.file("store"), 1, false).unwrap();
    for number in 0.. {
        if let Err(error) = store.put(&write(&format!("k{number}"), &[1; 500]), None, clock()) {
            assert_eq!(error, StoreError::Full);
            break;
        }
    }
    owed(&store);
    drop(store);
    alone("full_disk::what_follows_from_a_claim_finds_the_room_that_was_kept_back", || {
        let disk = SmallDisk::new("owed", "size=3m");
        let store = LmdbStore::open(&disk.file("store"), SIZE, false).unwrap();
        disk.fill();
        for number in 0.. {
            if let Err(error) = store.put(&write(&format!("k{number}"), &[1; 500]), None, clock()) {
                assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
                break;
            }
        }
        owed(&store);
    });
}

#[test]
fn without_inodes_it_says_so() {
    alone("full_disk::without_inodes_it_says_so", || {
        // The root and the folder have one each.
        for inodes in 1..=4 {
            let disk = SmallDisk::new("inodes", &format!("size=8m,nr_inodes={inodes}"));
            let mut other = Other::start(&disk.file("store"));
            let answer = other.tell("open");
            if inodes == 4 {
                assert_eq!(answer, "None");
            } else {
                assert!(answer.contains("ReadOnly") && answer.contains("df -i"), "{inodes} inodes: {answer}");
                disk.remount("nr_inodes=10");
                assert_eq!(other.tell("open"), "None", "{inodes} inodes");
            }
            assert_eq!(other.tell("add k 100"), "Ok(true)");
            other.end();
        }
    });
}

#[test]
fn a_read_only_file_system_is_named() {
    alone("full_disk::a_read_only_file_system_is_named", || {
        let disk = SmallDisk::new("read-only", "size=8m");
        let folder = disk.file("store");
        disk.remount("ro");
        let mut other = Other::start(&folder);
        assert!(other.tell("open").contains("Read-only file system"));
        disk.remount("rw");
        assert_eq!(other.tell("open"), "None");
        assert_eq!(other.tell("add k 100"), "Ok(true)");
        other.end();
    });
}

#[test]
fn a_limit_on_the_size_of_files_is_named_and_never_a_signal() {
    let directory = Directory::new("fsize");
    let folder = directory.file("store");
    let limit = |pid: u32, octets: &str| {
        let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--fsize={octets}")]).status();
        assert!(status.expect("prlimit is installed").success());
    };
    for octets in [0, 4096, 262_272, 300_000, (16 << 20) - 1] {
        let mut other = Other::start(&folder);
        limit(other.0.pid(), &format!("{octets}:unlimited"));
        let answer = other.tell("open");
        assert!(answer.contains("ReadOnly") && answer.contains("LimitFSIZE"), "{octets}: {answer}");
        assert!(!folder.join("data.mdb").exists(), "{octets}: nothing was begun");
        limit(other.0.pid(), "16777216:unlimited");
        assert_eq!(other.tell("open"), "None");
        assert_eq!(other.tell("add k 100"), "Ok(true)");
        // While it runs.
        limit(other.0.pid(), &format!("{octets}:unlimited"));
        for line in ["add l 100", "change k 100", "remove k"] {
            let answer = other.tell(line);
            assert!(answer.contains("LimitFSIZE"), "{octets}: {line}: {answer}");
        }
        assert_eq!(other.tell("get k"), "Ok(Some(100))");
        limit(other.0.pid(), "unlimited");
        assert_eq!(other.tell("add l 100"), "Ok(true)");
        other.end();
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn a_file_from_a_sparse_copy_gets_its_room_back() {
    alone("full_disk::a_file_from_a_sparse_copy_gets_its_room_back", || {
        let disk = SmallDisk::new("sparse", "size=8m");
        let (folder, copy) = (disk.file("store"), disk.file("copy"));
        let mut other = Other::start(&folder);
        assert_eq!(other.tell("open"), "None");
        for number in 0..40 {
            assert_eq!(other.tell(&format!("add k{number} 20000")), "Ok(true)");
        }
        for number in 1..40 {
            assert_eq!(other.tell(&format!("remove k{number}")), "Ok(true)");
        }
        other.end();
        // What is free in the file may be holes in a copy.
        fs::create_dir(&copy).unwrap();
        let data = fs::read(folder.join("data.mdb")).unwrap();
        let sparse = File::create(copy.join("data.mdb")).unwrap();
        sparse.set_len(data.len() as u64).unwrap();
        for (number, page) in data.chunks(4096).enumerate() {
            let unused = number > 20 && page.iter().all(|octet| *octet == 7 || *octet == 0);
            if !unused && page.iter().any(|octet| *octet != 0) {
                sparse.write_all_at(page, number as u64 * 4096).unwrap();
            }
        }
        drop(data);
        fs::remove_dir_all(&folder).unwrap();
        disk.fill();
        let mut other = Other::start(&copy);
        let answer = other.tell("open");
        no_room(&answer, &copy);
        disk.empty();
        assert_eq!(other.tell("open"), "None");
        disk.fill();
        assert_eq!(other.tell("get k0"), "Ok(Some(20000))");
        for _ in 0..50 {
            assert_eq!(other.tell("change k0 20000"), "Ok(true)");
        }
        disk.empty();
        other.end();
    });
}

#[test]
fn a_disk_that_cannot_set_room_aside_works_too() {
    alone("full_disk::a_disk_that_cannot_set_room_aside_works_too", || {
        let disk = SmallDisk::of_kind("ramfs", "ramfs", "mode=700");
        let folder = disk.file("store");
        let mut others: Vec<Other> = (0..8).map(|_| Other::start(&folder)).collect();
        for other in &mut others {
            assert_eq!(other.tell("open"), "None");
        }
        for number in 0..80 {
            let answer = others[number % 8].tell(&format!("add k{number} 30000"));
            assert_eq!(answer, "Ok(true)", "{number}");
        }
        for number in 0..80 {
            assert_eq!(others[(number + 1) % 8].tell(&format!("get k{number}")), "Ok(Some(30000))", "{number}");
        }
        others.into_iter().for_each(Other::end);
    });
}

#[test]
fn the_lock_file_has_no_holes_and_keeps_its_length() {
    let directory = Directory::new("lock-file");
    let folder = directory.file("store");
    let store = LmdbStore::open(&folder, 4, false).unwrap();
    add(&store, "a", b"1").unwrap();
    let lock = fs::metadata(folder.join("lock.mdb")).unwrap();
    assert_eq!(lock.len(), 262_272, "LMDB wants another length than it gets");
    assert!(lock.blocks() * 512 >= lock.len(), "{} blocks", lock.blocks());
    drop(store);
    // One of an earlier build, which had holes.
    File::options().write(true).open(folder.join("lock.mdb")).unwrap().set_len(0).unwrap();
    File::options().write(true).open(folder.join("lock.mdb")).unwrap().set_len(262_272).unwrap();
    let store = LmdbStore::open(&folder, 4, false).unwrap();
    let lock = fs::metadata(folder.join("lock.mdb")).unwrap();
    assert!(lock.blocks() * 512 >= lock.len(), "{} blocks", lock.blocks());
    assert!(store.get("a", clock()).unwrap().is_some());
}

#[test]
fn files_that_are_replaced_while_in_use_are_noticed_by_every_process() {
    type Change = fn(&Path);
    let changes: [(&str, Change, &[&str]); 4] = [
        ("the folder removed", |folder| fs::remove_dir_all(folder).unwrap(), &["Ok(None)"]),
        (
            "the data replaced",
            |folder| {
                fs::copy(folder.join("data.mdb"), folder.join("new")).unwrap();
                fs::rename(folder.join("new"), folder.join("data.mdb")).unwrap();
            },
            &["Ok(Some(100))"],
        ),
        ("the lock file removed", |folder| fs::remove_file(folder.join("lock.mdb")).unwrap(), &["Ok(Some(100))"]),
        (
            "cut off",
            |folder| {
                File::options().write(true).open(folder.join("data.mdb")).unwrap().set_len(8192).unwrap();
            },
            &["cannot be opened"],
        ),
    ];
    for (what, change, afterwards) in changes {
        let directory = Directory::new("replaced");
        let folder = directory.file("store");
        let mut others = [Other::start(&folder), Other::start(&folder)];
        for other in &mut others {
            assert_eq!(other.tell("open"), "None");
        }
        assert_eq!(others[0].tell("add k 100"), "Ok(true)");
        // What a process has just looked at counts for a while. A clock of the test ends that time.
        change(&folder);
        for other in &mut others {
            let noticed = other.tell("later");
            assert!(noticed.contains("removed, replaced or cut off"), "{what}: {noticed}");
        }
        for other in &mut others {
            let found = other.tell("get k");
            assert!(afterwards.contains(&found.as_str()), "{what}: {found}");
        }
        if afterwards != ["cannot be opened"] {
            assert_eq!(others[0].tell("add new 100"), "Ok(true)", "{what}");
            assert_eq!(others[1].tell("get new"), "Ok(Some(100))", "{what}");
        }
        others.into_iter().for_each(Other::end);
    }
}

/// LMDB gives an environment up whose last page could not be written; the next opening must not.
#[test]
fn after_a_failed_write_of_the_last_page_it_is_opened_anew() {
    let directory = Directory::new("given-up");
    let folder = directory.file("store");
    let store = LmdbStore::open(&folder, 4, true).unwrap();
    add(&store, "a", b"1").unwrap();
    assert!(!store.is_given_up());
    let synced = synced_file(&folder.join("data.mdb"));
    let full = File::options().write(true).open("/dev/full").unwrap();
    use std::os::fd::AsRawFd as _;
    // SAFETY: two open files of this process.
    assert!(unsafe { libc::dup2(full.as_raw_fd(), synced) } >= 0);
    let write = |key: &'static str| Write { key, value: b"2", expires_at: clock() + 60_000, due_at: None };
    assert!(store.put(&write("b"), None, clock()).is_err());
    assert!(store.put(&write("b"), None, clock()).is_err());
    assert!(store.is_given_up());
    drop(store);
    let store = LmdbStore::open(&folder, 4, true).unwrap();
    assert_eq!(store.put(&write("b"), None, clock()), Ok(true));
    assert!(store.get("a", clock()).unwrap().is_some());
}

/// The number of the file by which LMDB writes its last page.
fn synced_file(path: &Path) -> i32 {
    let is_synced = |number: i32| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
        i32::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & libc::O_DSYNC != 0)
    };
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let numbers = open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path));
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.into_iter().find(|number| is_synced(*number)).expect("LMDB has it open")
}

#[test]
fn whatever_the_umask_the_folder_can_be_used() {
    let directory = Directory::new("umask");
    let folder = directory.file("store");
    for mask in ["0777", "0077", "0000", "0277"] {
        let mut run = Command::new("sh");
        run.args(["-c", &format!("umask {mask}; exec \"$0\" \"$@\"")]);
        run.arg(std::env::current_exe().unwrap());
        run.args(["--exact", "processes::part_of_a_child", "--nocapture", "--test-threads=1"]);
        run.env("STORE_PART", "open").env("STORE_FOLDER", &folder);
        let output = run.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("opened: None"), "{mask}: {text}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let modes = ["", "data.mdb", "lock.mdb"].map(|name| mode(&folder.join(name)));
        assert_eq!(modes, [0o700, 0o600, 0o600], "{mask}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
