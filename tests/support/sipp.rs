// SPDX-License-Identifier: MIT OR Apache-2.0

//! sipp with the scenarios of `tests/kit`.

use super::process::{Process, command};
use super::temporary::Directory;
use super::{kit, patience, ports};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// REGISTER, 401, REGISTER with the token.
pub const REGISTER: &str = "sipp-register.xml";
/// REGISTER with the token at once.
pub const PRESET: &str = "sipp-preset.xml";
/// REGISTER, 401, REGISTER with the password; see [`User::with_password`].
pub const DIGEST: &str = "sipp-digest.xml";
/// The same, then a call to bob that is challenged, too.
pub const PHONE: &str = "sipp-phone.xml";

/// REFER with explicitsub, whose answer names where its events are told; logs `events at ` and the URI.
pub const REFER: &str = "sipp-refer.xml";
/// SUBSCRIBE to the URI of the key `events`, and a NOTIFY for each of 100, 180 and 200; logs `notified of ` and the status.
pub const REFER_EVENTS: &str = "sipp-refer-events.xml";

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
        Self::with_device(name, name, password)
    }

    /// One whose user name for Digest is another than that of the address.
    pub fn with_device(name: &str, username: &str, password: &str) -> Self {
        Self::new(name, &format!("[authentication username={username} password={password}]"))
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
    let mut sipp = scenario_at(scenario, transport, port, &directory);
    sipp.arg("-inf").arg(users).args(["-m", &calls.to_string(), "-r", &rate.to_string()]);
    let mut process = Process::start("sipp", sipp, directory.path());
    outcome(&mut process, &directory, calls)
}

/// One call of a scenario over UDP.
pub struct Call {
    process: Process,
    directory: Directory,
}

impl Call {
    /// Starts it; `keys` are names and values of the scenario's own keywords.
    pub fn start(scenario: &str, port: u16, keys: &[(&str, &str)]) -> Call {
        let directory = Directory::new("sipp");
        let mut sipp = scenario_at(scenario, Transport::Udp, port, &directory);
        sipp.args(["-m", "1", "-trace_logs", "-log_file"]).arg(directory.file("lines.log"));
        for (name, value) in keys {
            sipp.args(["-key", name, value]);
        }
        Call { process: Process::start("sipp", sipp, directory.path()), directory }
    }

    /// Waits until the scenario has logged a line with this, and returns what follows it there.
    pub fn logged(&mut self, needle: &str) -> String {
        let mut found = None;
        patience::until(patience::PATIENCE, || {
            let ended = self.process.poll().is_some();
            let log = fs::read_to_string(self.directory.file("lines.log")).unwrap_or_default();
            // The last line may be there in part.
            let whole = log.rfind('\n').map_or("", |end| &log[..end]);
            found = whole.lines().find_map(|line| Some(line.split_once(needle)?.1.to_owned()));
            found.is_some() || ended
        });
        found.unwrap_or_else(|| panic!("sipp has not logged {needle:?}: {}", self.errors()))
    }

    pub fn end(mut self) -> Outcome {
        outcome(&mut self.process, &self.directory, 1)
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.directory.file("errors.log")).unwrap_or_default() + &self.process.tail()
    }
}

fn scenario_at(scenario: &str, transport: Transport, port: u16, directory: &Directory) -> Command {
    let mut sipp = command(kit::program("sipp"));
    sipp.arg(format!("127.0.0.1:{port}"))
        .arg("-sf")
        .arg(kit::path("tests/kit").join(scenario))
        .args(["-i", "127.0.0.1", "-p", &ports::free().to_string()])
        .args(["-t", if transport == Transport::Udp { "u1" } else { "t1" }])
        .args(["-timeout", "120", "-timeout_error", "-recv_timeout", "60000", "-nostdin"])
        .args(["-max_reconnect", "0", "-trace_stat", "-fd", "1", "-stf"])
        .arg(directory.file("statistics.csv"))
        .args(["-trace_err", "-error_file"])
        .arg(directory.file("errors.log"))
        .current_dir(directory.path())
        .env("TERM", "dumb");
    sipp
}

/// Waits for the end.
fn outcome(process: &mut Process, directory: &Directory, calls: usize) -> Outcome {
    let status = process.wait(LIMIT);
    let mut errors = fs::read_to_string(directory.file("errors.log")).unwrap_or_default();
    if status.is_none() {
        errors += "sipp did not end in time";
    }
    let statistics = fs::read_to_string(directory.file("statistics.csv")).unwrap_or_default();
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
