// SPDX-License-Identifier: MIT OR Apache-2.0

//! `check-config` on a folder that it may not look into, or that its owner cannot use. It neither says "ok" nor blames the
//! user who runs it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sipoauth::store::access::StoreAccess;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;

use crate::support::process::copy_program;
use crate::support::temporary::Directory;
use crate::support::tool::tool;

const LINE: &str = "name=corp;issuer=https://as.example.test;audience=sip;aor={sip};domain=example.test";
const KEY: &str = "0123456789abcdef0123456789abcdef";
const NOBODY: u32 = 65534;

/// What the tool says of the store, run as root or as a user who may not do everything.
fn said(directory: &Directory, user: u32, store: &Path) -> Vec<(String, String, String)> {
    let program = directory.file("tool");
    if !program.exists() {
        // A copy, because the path to the program may be closed to others.
        copy_program(tool(), &program);
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]).arg(&program);
    command.args(["check-config", "--json", "--offline", "--provider", LINE, "--set"]);
    command.args([&format!("store={}", store.display()), "--set", &format!("store_key={KEY}")]);
    let output = command.output().expect("setpriv is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let of_the_store = found.as_array().expect("a list").iter().filter(|f| f["check"] == "store");
    let word = |f: &Value, name: &str| f[name].as_str().unwrap_or_default().to_owned();
    of_the_store.map(|f| (word(f, "status"), word(f, "message"), word(f, "fix"))).collect()
}

/// A folder as a proxy leaves it.
fn made(directory: &Directory, name: &str, owner: u32) -> PathBuf {
    let folder = directory.file(name);
    let mut source = Source::default();
    source.add_provider(LINE).expect("good");
    source.set("store", folder.to_str().expect("UTF-8")).expect("good");
    source.set("store_key", KEY).expect("good");
    let policy = Policy::new(&source.load().expect("good")).expect("good");
    let access = StoreAccess::new(policy.sessions.as_ref().expect("configured")).expect("new");
    drop(access.open(&policy).expect("made"));
    for entry in fs::read_dir(&folder).expect("made").flatten() {
        chown(entry.path(), Some(owner), Some(owner)).expect("the tests run as root");
    }
    chown(&folder, Some(owner), Some(owner)).expect("the tests run as root");
    folder
}

fn place(directory: &Directory, name: &str, mode: u32, owner: u32) -> PathBuf {
    let folder = directory.file(name);
    fs::create_dir(&folder).expect("new");
    fs::set_permissions(&folder, Permissions::from_mode(mode)).expect("our own");
    chown(&folder, Some(owner), Some(owner)).expect("the tests run as root");
    folder
}

#[test]
fn what_another_user_cannot_look_into_is_neither_well_nor_wrong() {
    let directory = Directory::new("out-of-sight");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("our own");
    let hidden = place(&directory, "hidden", 0o700, 0);
    let sessions = made(&directory, "sessions", 0);
    for folder in [sessions.clone(), hidden.clone(), hidden.join("store")] {
        let said = said(&directory, NOBODY, &folder);
        let [(status, message, fix)] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!(status, "warning", "{message}");
        assert!(message.starts_with("cannot look into") && message.contains("Nothing is known"), "{message}");
        assert!(fix.starts_with("run it as the proxy's user"), "{fix}");
    }
    // Its owner is told the truth, and root, who may look everywhere, that it depends on the proxy's user.
    let own = made(&directory, "own", NOBODY);
    let told = said(&directory, NOBODY, &own);
    assert!(told.iter().any(|(status, message, _)| status == "ok" && message.contains("can be used")), "{told:?}");
    assert_eq!(told.len(), 1, "{told:?}");
    let told = said(&directory, 0, &own);
    let warned = told.iter().find(|(status, ..)| status == "warning").expect("root is warned");
    assert!(warned.1.contains("belongs to nobody: the proxy must run as that user"), "{told:?}");
}

#[test]
fn what_the_owner_cannot_use_is_found_by_root_too() {
    let directory = Directory::new("unusable");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("our own");
    let mixed = made(&directory, "mixed", NOBODY);
    chown(mixed.join("lock.mdb"), Some(0), Some(0)).expect("the tests run as root");
    let closed = place(&directory, "closed", 0o500, NOBODY);
    let locked = made(&directory, "locked", NOBODY);
    fs::set_permissions(locked.join("data.mdb"), Permissions::from_mode(0o400)).expect("root");
    let file = directory.write("file", "x");
    for user in [0, NOBODY] {
        for (folder, words, fix_words) in [
            (&mixed, "lock.mdb belongs to root", "chown -R nobody"),
            (&closed, "nobody may not write in", "chmod 0700"),
            (&locked, "data.mdb belongs to nobody with mode 0400", "chmod -R u+rwX"),
            (&file, "is not a folder", "write a folder"),
            (&file.join("store"), "cannot be made", "write another path"),
            (&directory.file("no/store"), "does not exist", "install -d -m 0700"),
        ] {
            let said = said(&directory, user, folder);
            let found = said.iter().find(|(status, ..)| status == "failed");
            let (_, message, fix) = found.unwrap_or_else(|| panic!("user {user}, {}: {said:?}", folder.display()));
            assert!(message.contains(words) && fix.contains(fix_words), "user {user}: {message}: {fix}");
        }
    }
}

#[test]
fn a_folder_to_be_made_where_its_user_may_not() {
    let directory = Directory::new("to-be-made");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("our own");
    let above = place(&directory, "above", 0o755, 0);
    let told = said(&directory, NOBODY, &above.join("store"));
    let [(status, message, fix)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(status, "warning", "{message}");
    assert!(message.contains("nobody may not make it in") && fix.contains("install -d -m 0700"), "{message}: {fix}");
    let told = said(&directory, 0, &above.join("store"));
    assert!(
        told.iter().all(|(status, message, _)| status == "ok" && message.contains("if its user may write")),
        "{told:?}"
    );
    let own = place(&directory, "own", 0o700, NOBODY);
    let told = said(&directory, NOBODY, &own.join("store"));
    assert!(matches!(told.as_slice(), [(status, ..)] if status == "ok"), "{told:?}");
}

/// A folder that a group shares belongs to nobody who uses it.
#[test]
fn a_folder_of_a_group_can_be_used() {
    let directory = Directory::new("group");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("our own");
    let shared = made(&directory, "shared", NOBODY);
    chown(&shared, Some(0), Some(NOBODY)).expect("the tests run as root");
    fs::set_permissions(&shared, Permissions::from_mode(0o770)).expect("root");
    for user in [0, NOBODY] {
        let told = said(&directory, user, &shared);
        assert!(matches!(told.as_slice(), [(status, ..)] if status == "ok"), "user {user}: {told:?}");
    }
}
