// SPDX-License-Identifier: MIT OR Apache-2.0

//! The queue by which workers ask the I/O service, when it fails.

use crate::answers::{INTROSPECT, provider, server};
use crate::plant::Plant;
use crate::support::scripted_server::Answer;
use serde_json::json;
use sipoauth::worker::Handling;
use sipoauth_core::reason::Reason;
use std::fs::File;
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const CHILD: &str = "SIPOAUTH_TEST_INTAKE";

/// Runs in a process of its own, so that the pipe of the jobs is known.
fn in_a_child(name: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", &format!("intake::{name}"), "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("this program again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// The pipe ends of this process from which nobody waits to read and of which the service has a handle: those of the jobs.
fn ends_to_read() -> Vec<RawFd> {
    let names = std::fs::read_dir("/proc/self/fd").expect("Linux has it").flatten().map(|entry| entry.path());
    let end = |path: PathBuf| {
        let fd: RawFd = path.file_name()?.to_str()?.parse().ok()?;
        // SAFETY: no memory is touched.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
        let pipe = std::fs::read_link(path).ok().filter(|pipe| pipe.to_string_lossy().starts_with("pipe:"))?;
        let reads = flags & libc::O_ACCMODE == libc::O_RDONLY && flags & libc::O_NONBLOCK != 0;
        (flags >= 0 && reads).then_some((pipe, fd))
    };
    let ends: Vec<(PathBuf, RawFd)> = names.filter_map(end).collect();
    let has_another = |(pipe, fd): &&(PathBuf, RawFd)| ends.iter().any(|(other, of)| other == pipe && of != fd);
    let found: Vec<RawFd> = ends.iter().filter(has_another).map(|(_, fd)| *fd).collect();
    assert_eq!(found.len(), 2, "the queue's end, and the service's handle on it");
    found
}

/// Puts a copy of `of` in the place of another descriptor. Returns a copy of what was there.
fn replace(fd: RawFd, of: RawFd) -> RawFd {
    // SAFETY: no memory is touched, and whoever owns the number keeps it.
    unsafe {
        let before = libc::dup(fd);
        assert!(before >= 0 && libc::dup2(of, fd) == fd);
        before
    }
}

fn errors(plant: &Plant) -> usize {
    plant.site.log.text().matches("workers ask the I/O service fails").count()
}

#[test]
fn a_queue_that_fails_for_a_while_refuses_visibly_and_works_again() {
    if !in_a_child("a_queue_that_fails_for_a_while_refuses_visibly_and_works_again") {
        return;
    }
    let server = server();
    let mut plant = Plant::new(&provider(&server), &json!({}));
    // There is nothing to read, for ever.
    let nothing = File::open("/dev/null").expect("Linux has it");
    let ends: Vec<_> = ends_to_read().into_iter().map(|fd| (fd, replace(fd, nothing.as_raw_fd()))).collect();
    plant.site.context.jobs().wake();
    let (start, mut number, mut refused) = (Instant::now(), 0, 0);
    while errors(&plant) < 3 || refused < 3 {
        assert!(start.elapsed() < Duration::from_secs(30), "{refused}\n{}", plant.site.log.text());
        number += 1;
        let verdict = plant.site.worker.check_token(&format!("a-token-{number:06}"), &Handling::default());
        refused += u32::from(verdict.answer.reason() == Reason::Overloaded && verdict.status == 503);
        plant.step();
    }
    for (fd, before) in ends {
        replace(fd, before);
    }
    while !plant.site.log.text().contains("works again") {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", plant.site.log.text());
        plant.site.context.jobs().wake();
        plant.step();
    }
    server.set(INTROSPECT, Answer::Json(json!({ "active": false })));
    assert_eq!(plant.reason("one-more-token-0123"), Reason::TokenInactive);
    assert!(errors(&plant) < 12, "{}", plant.site.log.text());
}

#[test]
fn a_queue_that_is_closed_refuses_visibly_and_the_service_ends_when_it_is_told_to() {
    if !in_a_child("a_queue_that_is_closed_refuses_visibly_and_the_service_ends_when_it_is_told_to") {
        return;
    }
    let server = server();
    let mut plant = Plant::new(&provider(&server), &json!({}));
    // As a host does that closes whatever is open.
    let nothing = File::open("/dev/null").expect("Linux has it");
    for fd in ends_to_read() {
        replace(fd, nothing.as_raw_fd());
    }
    let start = Instant::now();
    while errors(&plant) == 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "{}", plant.site.log.text());
        plant.step();
    }
    let verdict = plant.site.worker.check_token("one-more-token-0123", &Handling::default());
    match verdict.pending {
        None => assert_eq!((verdict.answer.reason(), verdict.status), (Reason::Overloaded, 503)),
        Some(errand) => assert!(plant.site.worker.waits().submit(errand, &[], [1, 0]).is_err(), "a broken pipe"),
    }
    drop(plant);
}
