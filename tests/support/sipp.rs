// SPDX-License-Identifier: MIT OR Apache-2.0

//! sipp with the scenarios of `tests/kit`.

use super::process::{Process, command};
use super::temporary::Directory;
use super::{kit, ports};
use std::fs;
use std::time::Duration;

/// REGISTER, 401, REGISTER with the token.
pub const REGISTER: &str = "sipp-register.xml";
/// REGISTER with the token at once.
pub const PRESET: &str = "sipp-preset.xml";
/// REGISTER, 401, REGISTER with the password; see [`User::with_password`].
pub const DIGEST: &str = "sipp-digest.xml";

/// More than sipp allows itself.
const LIMIT: Duration = Duration::from_secs(150);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// A user of a run: name, domain, token.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub domain: String,
    pub token: String,
}

impl User {
    pub fn new(name: &str, token: &str) -> Self {
        Self { name: name.to_owned(), domain: "example.test".to_owned(), token: token.to_owned() }
    }

    pub fn with_password(name: &str, password: &str) -> Self {
        Self::new(name, &format!("[authentication username={name} password={password}]"))
    }
}

#[derive(Clone, Debug)]
pub struct Outcome {
    pub succeeded: u64,
    pub failed: u64,
    /// What sipp complained about; names the unexpected replies.
    pub errors: String,
}

impl Outcome {
    pub fn all_succeeded(&self) -> bool {
        self.failed == 0 && self.succeeded > 0
    }
}

/// Runs a scenario once for every user, one after the other.
pub fn run(scenario: &str, transport: Transport, port: u16, users: &[User]) -> Outcome {
    run_at_rate(scenario, transport, port, users, users.len(), 10)
}

/// Runs `calls` registrations, `rate` of them in a second; the users take turns.
pub fn run_at_rate(
    scenario: &str,
    transport: Transport,
    port: u16,
    users: &[User],
    calls: usize,
    rate: usize,
) -> Outcome {
    let directory = Directory::new("sipp");
    let lines: String = users.iter().map(|user| format!("{};{};{}\n", user.name, user.domain, user.token)).collect();
    let users = directory.write("users.csv", format!("SEQUENTIAL\n{lines}"));
    let statistics = directory.file("statistics.csv");
    let errors = directory.file("errors.log");

    let mut sipp = command(kit::program("sipp"));
    sipp.arg(format!("127.0.0.1:{port}"))
        .arg("-sf")
        .arg(kit::path("tests/kit").join(scenario))
        .arg("-inf")
        .arg(users)
        .args(["-i", "127.0.0.1", "-p", &ports::free().to_string()])
        .args(["-t", if transport == Transport::Udp { "u1" } else { "t1" }])
        .args(["-m", &calls.to_string(), "-r", &rate.to_string()])
        .args(["-timeout", "120", "-timeout_error", "-recv_timeout", "60000", "-nostdin"])
        .args(["-max_reconnect", "0", "-trace_stat", "-fd", "1", "-stf"])
        .arg(&statistics)
        .args(["-trace_err", "-error_file"])
        .arg(&errors)
        .current_dir(directory.path())
        .env("TERM", "dumb");
    let mut process = Process::start("sipp", sipp, directory.path());
    let status = process.wait(LIMIT);
    let mut errors = fs::read_to_string(errors).unwrap_or_default();
    if status.is_none() {
        errors += "sipp did not end in time";
    }
    let statistics = fs::read_to_string(statistics).unwrap_or_default();
    let total = |column| total(&statistics, column);
    match (total("SuccessfulCall(C)"), total("FailedCall(C)")) {
        (Some(succeeded), Some(failed)) => Outcome { succeeded, failed, errors },
        _ => Outcome { succeeded: 0, failed: calls as u64, errors: errors + &process.tail() },
    }
}

/// The last value of a column in sipp's statistics.
fn total(statistics: &str, column: &str) -> Option<u64> {
    let mut lines = statistics.lines();
    let index = lines.next()?.split(';').position(|name| name == column)?;
    lines.next_back()?.split(';').nth(index)?.parse().ok()
}
