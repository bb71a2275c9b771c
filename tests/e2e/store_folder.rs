// SPDX-License-Identifier: MIT OR Apache-2.0

//! A folder of sessions that the proxy's user cannot use stops the start, with the fix; a server that is away does not.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use crate::phones::{ALICE, registered, registration_with_proof, run, stored, with_code};
use crate::support::code_server::CodeServer;
use crate::support::kamailio::Builder;
use crate::support::ports;
use crate::support::temporary::Directory;

/// Who may not write everywhere: root drops to it by -u.
const USER: &str = "nobody";
const USER_ID: u32 = 65534;

fn proxy(folder: &Path, directory: &Directory, server: &CodeServer) -> Builder {
    let builder = stored("public-ua.cfg", &server.provider(), directory).define("DEBUG", 2);
    builder.define_string("STORE", folder.to_str().expect("UTF-8"))
}

/// The one line by which the start stops.
fn sentence(builder: Builder) -> String {
    let log = builder.start_refused();
    let lines: Vec<&str> =
        log.lines().filter(|l| l.contains("ERROR") && l.contains("auth_oauth") && l.contains("sessions: ")).collect();
    let [line] = lines.as_slice() else { panic!("{lines:?}\n{log}") };
    (*line).to_owned()
}

#[test]
fn a_folder_that_cannot_be_used_stops_the_start() {
    let (directory, server) = (Directory::new("folder"), CodeServer::start());
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("our own");
    let place = |name: &str, mode: u32, owner: u32| {
        let path = directory.file(name);
        fs::create_dir(&path).expect("new");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("our own");
        chown(&path, Some(owner), Some(owner)).expect("the tests run as root");
        path
    };
    let file = directory.write("a-file", "x");
    let foreign = place("foreign", 0o700, 0);
    let closed = place("closed", 0o500, USER_ID);
    let above = place("above", 0o755, 0);
    let hidden = place("hidden", 0o700, 0);
    fs::create_dir(hidden.join("store")).expect("new");
    chown(hidden.join("store"), Some(USER_ID), None).expect("root");
    // Somebody has run a tool as root, or restored a backup.
    let mixed = place("mixed", 0o700, USER_ID);
    fs::write(mixed.join("data.mdb"), "").expect("root");
    fs::set_permissions(mixed.join("data.mdb"), Permissions::from_mode(0o600)).expect("root");
    let garbage = place("garbage", 0o700, USER_ID);
    fs::write(garbage.join("data.mdb"), vec![0xA5; 8192]).expect("root");
    chown(garbage.join("data.mdb"), Some(USER_ID), None).expect("root");
    for (what, folder, words) in [
        ("missing parent", directory.file("no/where"), "make that one first"),
        ("a file in its place", file.clone(), "is not a folder"),
        ("below a file", file.join("store"), "make that one first"),
        ("of another user", foreign, "chown -R"),
        ("not writable", closed, "chown -R"),
        ("cannot be made", above.join("store"), "chown -R"),
        ("cannot be reached", hidden.join("store"), "chown -R"),
        ("a file of another user in it", mixed, "chown -R"),
        ("damaged", garbage, "Restore the folder"),
    ] {
        let line = sentence(proxy(&folder, &directory, &server).argument("-u").argument(USER));
        assert!(line.contains(folder.to_str().expect("UTF-8")) && line.contains(words), "{what}: {line}");
    }
}

#[test]
fn the_folder_belongs_to_the_user_that_the_proxy_drops_to() {
    let (directory, server) = (Directory::new("dropped"), CodeServer::start());
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("our own");
    let parent = directory.file("lib");
    fs::create_dir(&parent).expect("new");
    chown(&parent, Some(USER_ID), None).expect("the tests run as root");
    let folder = parent.join("store");
    let stack = run(proxy(&folder, &directory, &server).argument("-u").argument(USER));
    let key = registered(&stack, ALICE, &server.code("alice"));
    assert_eq!(registration_with_proof(&stack, ALICE, &key).status, 200);
    for name in ["", "data.mdb", "lock.mdb", "key-check"] {
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(folder.join(name)).expect("made"));
        assert_eq!(owner, USER_ID, "{name}");
    }
    stack.finish();
}

#[test]
fn a_server_that_is_away_does_not_stop_the_start() {
    let (directory, server) = (Directory::new("away"), CodeServer::start());
    let url = format!("redis://127.0.0.1:{}/0", ports::free());
    let builder = stored("cluster.cfg", &server.provider(), &directory).define_string("STORE", &url);
    let password = directory.write("password", "x");
    let stack = run(builder.define_string("STORE_PASSWORD_FILE", password.to_str().expect("UTF-8")));
    let reply = stack.request(&mut stack.udp(), &with_code(ALICE, &server.code("alice")));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("Retry-After").is_some(), "{reply:?}");
    stack.finish();
}
