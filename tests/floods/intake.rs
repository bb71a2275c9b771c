// SPDX-License-Identifier: MIT OR Apache-2.0

//! The socket by which workers ask the I/O service, when it fails.

use crate::answers::{INTROSPECT, provider, server};
use crate::plant::Plant;
use crate::support::scripted_server::Answer;
use serde_json::json;
use sipoauth::worker::Handling;
use sipoauth_core::reason::Reason;
use std::os::fd::RawFd;
use std::process::Command;
use std::time::{Duration, Instant};

const CHILD: &str = "SIPOAUTH_TEST_INTAKE";

/// Runs in a process of its own, so that the sockets of the jobs are known.
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

fn option(fd: RawFd, name: i32) -> i32 {
    let (mut value, mut length) = (0, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the addresses and the size of integers that live during the call.
    let got = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length) };
    if got == 0 { value } else { -1 }
}

/// The datagram sockets of this process that are not on a network: both ends of the jobs.
fn job_sockets() -> Vec<RawFd> {
    let names = std::fs::read_dir("/proc/self/fd").expect("Linux has it").flatten().map(|entry| entry.file_name());
    let sockets = names.filter_map(|name| name.to_str()?.parse().ok());
    let is_one =
        |fd: &RawFd| option(*fd, libc::SO_DOMAIN) == libc::AF_UNIX && option(*fd, libc::SO_TYPE) == libc::SOCK_DGRAM;
    let found: Vec<RawFd> = sockets.filter(is_one).collect();
    assert_eq!(found.len(), 3, "both ends, and the service's handle on one of them");
    found
}

fn give_up_after(fd: RawFd, microseconds: i64) {
    let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    // SAFETY: the address and the size of a structure that lives during the call.
    let set = unsafe {
        let size = size_of::<libc::timeval>() as libc::socklen_t;
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const time).cast(), size)
    };
    assert_eq!(set, 0);
}

fn errors(plant: &Plant) -> usize {
    plant.site.log.text().matches("workers ask the I/O service fails").count()
}

#[test]
fn a_socket_that_fails_for_a_while_refuses_visibly_and_works_again() {
    if !in_a_child("a_socket_that_fails_for_a_while_refuses_visibly_and_works_again") {
        return;
    }
    let server = server();
    let mut plant = Plant::new(&provider(&server), &json!({}));
    // EAGAIN, which a blocking socket does not know.
    job_sockets().into_iter().for_each(|fd| give_up_after(fd, 1));
    plant.site.context.jobs().wake();
    let (start, mut number, mut refused) = (Instant::now(), 0, 0);
    while errors(&plant) < 3 || refused < 3 {
        assert!(start.elapsed() < Duration::from_secs(30), "{refused}\n{}", plant.site.log.text());
        number += 1;
        let verdict = plant.site.worker.check_token(&format!("a-token-{number:06}"), &Handling::default());
        refused += u32::from(verdict.answer.reason() == Reason::Overloaded && verdict.status == 503);
        plant.step();
    }
    job_sockets().into_iter().for_each(|fd| give_up_after(fd, 0));
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
fn a_socket_that_is_shut_down_refuses_visibly_and_the_service_ends_when_it_is_told_to() {
    if !in_a_child("a_socket_that_is_shut_down_refuses_visibly_and_the_service_ends_when_it_is_told_to") {
        return;
    }
    let server = server();
    let mut plant = Plant::new(&provider(&server), &json!({}));
    for fd in job_sockets() {
        // SAFETY: no memory is touched.
        unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
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
