// SPDX-License-Identifier: MIT OR Apache-2.0
//! A proxy of the benches: started, asked how much CPU time it has used, and ended with everything it has forked.

use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(20);
/// Log lines that a healthy proxy never writes.
const TROUBLE: [&str; 3] = ["exited by a signal", "core was", "CRITICAL"];

/// A running proxy.
pub struct Proxy {
    /// For messages.
    pub name: &'static str,
    /// Where it takes SIP over UDP.
    pub port: u16,
    child: Child,
    log: PathBuf,
}

impl Proxy {
    /// Starts a command as a proxy that will take SIP on this port; it writes its log into this file.
    pub fn spawn(name: &'static str, port: u16, mut command: Command, log: PathBuf) -> std::io::Result<Proxy> {
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Ok(Proxy { name, port, child: command.spawn()?, log })
    }

    /// Waits until it answers.
    pub fn wait_until_ready(&mut self) -> Result<(), String> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        socket.set_read_timeout(Some(Duration::from_millis(100))).map_err(|e| e.to_string())?;
        let local = socket.local_addr().map_err(|e| e.to_string())?;
        let options = format!(
            "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKready{}\r\nFrom: <sip:a@b>;tag=c\r\n\
             To: <sip:a@b>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            self.port
        );
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            self.check()?;
            let asked = socket.send_to(options.as_bytes(), (Ipv4Addr::LOCALHOST, self.port));
            if asked.is_ok() && socket.recv(&mut [0; 4096]).is_ok() {
                return Ok(());
            }
        }
        Err(format!("{}: it does not answer\n{}", self.name, self.tail()))
    }

    /// An error when it has ended, or one of its processes has died.
    pub fn check(&mut self) -> Result<(), String> {
        if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
            return Err(format!("{}: it has ended: {status}\n{}", self.name, self.tail()));
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        match log.lines().find(|line| TROUBLE.iter().any(|word| line.contains(word))) {
            Some(line) => Err(format!("{}: {line}", self.name)),
            None => Ok(()),
        }
    }

    /// The last lines of its log, for messages.
    pub fn tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// CPU time that all its processes have used so far, microseconds; that of threads which have ended, too.
    pub fn cpu(&self) -> Result<f64, String> {
        let time = |pid: i32| {
            let clock = clock_getcpuclockid(Pid::from_raw(pid))?;
            let time = clock_gettime(clock)?;
            Ok((time.tv_sec() as f64) * 1e6 + (time.tv_nsec() as f64) / 1e3)
        };
        let times: Result<Vec<f64>, nix::Error> = self.processes()?.into_iter().map(time).collect();
        times.map(|times| times.iter().sum()).map_err(|e| format!("{}: no CPU time: {e}", self.name))
    }

    /// All its processes, the first of them first.
    pub fn processes(&self) -> Result<Vec<i32>, String> {
        let main = self.child.id() as i32;
        Ok(std::iter::once(main).chain(children_of(main)?).collect())
    }

    /// Memory of all its processes in octets; what several share counts once.
    pub fn memory(&self) -> Result<f64, String> {
        let pss = |pid: i32| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        Ok(self.processes()?.into_iter().filter_map(pss).sum::<f64>() * 1024.0)
    }

    /// Page faults of all its processes so far, without those for which a disk was read.
    pub fn faults(&self) -> Result<f64, String> {
        Ok(self.processes()?.into_iter().filter_map(faults_of).sum())
    }
}

/// A field of what the kernel says of a process, from the state on.
fn stat_of(pid: i32, field: usize) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; state and parent follow it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(field)?.parse().ok()
}

fn faults_of(pid: i32) -> Option<f64> {
    stat_of(pid, 7).map(|faults| faults as f64)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        let _ = kill(pid, Signal::SIGTERM);
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for child in children_of(pid.as_raw()).unwrap_or_default() {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn children_of(parent: i32) -> Result<Vec<i32>, String> {
    let processes = fs::read_dir("/proc").map_err(|e| format!("/proc: {e}"))?;
    let mut children = Vec::new();
    for entry in processes.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if stat_of(pid, 1) == Some(i64::from(parent)) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// A port on which nothing listens yet.
pub fn free_port() -> Result<u16, String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    socket.and_then(|socket| socket.local_addr()).map(|a| a.port()).map_err(|e| format!("no free port: {e}"))
}

/// The project's folder.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("benches is in the project")
}
