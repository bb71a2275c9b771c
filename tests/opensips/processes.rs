// SPDX-License-Identifier: MIT OR Apache-2.0

//! OpenSIPS' processes and ours.

use std::fs;

use crate::asynchronous::start;
use crate::support::opaque::server;
use crate::support::patience::{self, PATIENCE};
use crate::support::process::signal;

/// OpenSIPS leaves its workers behind then, but nothing of ours goes on to ask authorization servers.
#[test]
fn when_the_attendant_is_killed_our_process_ends_by_itself() {
    let server = server();
    let stack = start(&server, |b| b);
    let processes = stack.kamailio.processes();
    let (ours, _) = processes.iter().find(|(_, name)| name.contains("auth_oauth io")).expect("our process");
    let (attendant, _) = processes.iter().find(|(_, name)| name.contains("attendant")).expect("OpenSIPS' main process");
    let (ours, attendant) = (*ours, *attendant);
    signal("KILL", &attendant.to_string());
    let gone = patience::until(PATIENCE, || !is_running(ours));
    for (pid, _) in processes.iter().filter(|(pid, _)| *pid != attendant) {
        if is_running(*pid) {
            signal("KILL", &pid.to_string());
        }
    }
    assert!(gone, "process {ours} is still there");
    stack.bury();
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// A crash ends the proxy with all its processes, as OpenSIPS does with its own.
#[test]
fn when_our_process_dies_the_proxy_ends() {
    let server = server();
    let mut stack = start(&server, |b| b);
    let processes = stack.kamailio.processes();
    let (ours, _) = processes.iter().find(|(_, name)| name.contains("auth_oauth io")).expect("our process");
    signal("KILL", &ours.to_string());
    assert!(stack.kamailio.wait_for_end(PATIENCE), "the proxy goes on without it");
    stack.bury();
}
