// SPDX-License-Identifier: MIT OR Apache-2.0

//! A real proxy whose folder of sessions is on a disk without room: no process dies, who is signed in stays so, codes wait
//! unspent, and all goes on by itself once there is room.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::phones::{ALICE, aor, registered, registration_with_proof, run, stored, with_code, with_many_codes};
use crate::stack::Stack;
use crate::support::code_server::CodeServer;
use crate::support::kamailio::Builder;
use crate::support::sip::Reply;
use crate::support::small_disk::{SmallDisk, alone};
use crate::support::temporary::Directory;

/// A proxy that keeps its sessions there.
fn proxy(disk: &SmallDisk, directory: &Directory, server: &CodeServer) -> Builder {
    let builder = stored("public-ua.cfg", &server.provider(), directory).define("DEBUG", 2);
    let store = disk.file("store");
    with_many_codes(builder.define_string("STORE", store.to_str().expect("UTF-8")), directory)
}

/// All but so many pages are taken.
fn fill_but(disk: &SmallDisk, pages: usize) {
    let held = File::create(disk.file("held")).expect("room");
    held.write_all_at(&vec![1; pages * 4096], 0).expect("room");
    disk.fill();
    drop(held);
    std::fs::remove_file(disk.file("held")).expect("made above");
}

fn assert_later(reply: &Reply, stack: &Stack) {
    assert_eq!(reply.status, 503, "{reply:?}\n{}", stack.module_log());
    assert!(reply.header("Retry-After").is_some(), "{reply:?}");
}

fn count(stack: &Stack, words: &str) -> usize {
    stack.module_log().lines().filter(|line| line.contains(words)).count()
}

#[test]
fn without_room_the_first_start_stops_with_a_sentence() {
    alone("full_disk::without_room_the_first_start_stops_with_a_sentence", || {
        let (directory, server) = (Directory::new("first-start"), CodeServer::start());
        for left in [0, 3, 66, 80] {
            let disk = SmallDisk::new("first-start", "size=4m");
            fill_but(&disk, left);
            let builder = proxy(&disk, &directory, &server);
            let log = builder.clone().workers(8).start_refused();
            let folder = disk.file("store").display().to_string();
            let told = |line: &&str| line.contains("ERROR") && line.contains("auth_oauth") && line.contains("df -h");
            let line = log.lines().find(told).unwrap_or_else(|| panic!("{left} pages: {log}"));
            assert!(line.contains(&folder) && !log.contains("by a signal"), "{left} pages: {log}");
            disk.empty();
            let stack = run(builder);
            registered(&stack, ALICE, &server.code("alice"));
            stack.finish();
        }
    });
}

#[test]
fn a_hundred_workers_start_and_serve_while_the_disk_is_full() {
    alone("full_disk::a_hundred_workers_start_and_serve_while_the_disk_is_full", || {
        let (directory, server) = (Directory::new("hundred"), CodeServer::start());
        let disk = SmallDisk::new("hundred", "size=1m");
        let builder = proxy(&disk, &directory, &server).workers(100);
        let stack = run(builder.clone());
        let key = registered(&stack, ALICE, &server.code("alice"));
        stack.finish();
        disk.fill();

        let stack = run(builder);
        // Whichever worker has it opens the folder.
        for _ in 0..300 {
            assert_eq!(registration_with_proof(&stack, ALICE, &key).status, 200, "{}", stack.module_log());
        }
        // Codes are let in while the room that is set aside lasts, and after that they stay unspent.
        let (login, request) = loop {
            let user = format!("user{}", server.asked().len());
            let login = server.code(&user);
            let request = with_code(&aor(&user), &login);
            let reply = stack.request(&mut stack.udp(), &request);
            if reply.status != 200 {
                assert_later(&reply, &stack);
                break (login, request);
            }
            assert!(server.asked().len() < 3000, "it is never full");
        };
        let code = login["code"].as_str().expect("a text");
        for _ in 0..5 {
            let mut again = request.clone();
            again.next();
            assert_later(&stack.request(&mut stack.udp(), &again), &stack);
        }
        assert!(!server.asked().contains_key(code), "the code was sent though its fate could not be stored");
        assert_eq!(registration_with_proof(&stack, ALICE, &key).status, 200);
        assert!(stack.rpc("auth_oauth.sessions_revoke", &[ALICE]).is_ok(), "{}", stack.module_log());
        assert_eq!(registration_with_proof(&stack, ALICE, &key).status, 401);
        let logged = count(&stack, "df -h");
        assert_eq!(logged, 1, "{}", stack.module_log());

        disk.empty();
        stack.wait_until("there is room", || {
            let mut again = request.clone();
            again.next();
            stack.request(&mut stack.udp(), &again).status == 200
        });
        assert_eq!((server.asked()[code], count(&stack, "the store works again")), (1, 1), "{}", stack.module_log());
        stack.finish();
    });
}
