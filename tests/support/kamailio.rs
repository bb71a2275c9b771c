// SPDX-License-Identifier: MIT OR Apache-2.0

//! A real Kamailio on loopback.
//!
//! Every configuration gets the definitions `PORT` (UDP and TCP on 127.0.0.1)
//! and `CTL_SOCKET` (a string for the ctl module's `binrpc`), and finds our own
//! module beside the system's.

use super::host::host;
use super::patience::{self, PATIENCE};
use super::process::{Process, command, crashed};
use super::sip::{Client, Request};
use super::temporary::Directory;
use super::{kit, opensips, ports};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(50);
/// A proxy that is still busy after this time has something that keeps it busy.
const REST: Duration = Duration::from_secs(5);

/// Log lines that a healthy proxy never writes.
const TROUBLE: [&str; 4] = ["exited by a signal", "core was", "CRITICAL", " BUG:"];
/// What its TCP process calls critical at every orderly end.
const FAREWELL: &str = "receive_fd(): EOF";

/// How to start; made by [`Kamailio::with`]. A copy starts the same proxy again, on the same port.
#[derive(Clone)]
pub struct Builder {
    cfg: PathBuf,
    port: u16,
    websocket_port: u16,
    modules: &'static str,
    defines: Vec<(String, String)>,
    arguments: Vec<String>,
    workers: usize,
}

impl Builder {
    /// The port that it will listen on, for those who must know before.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Our module from another folder than `kamailio`.
    pub fn modules(mut self, folder: &'static str) -> Self {
        self.modules = folder;
        self
    }

    /// `#!define NAME value`; the last one counts.
    pub fn define(mut self, name: &str, value: impl ToString) -> Self {
        self.defines.retain(|(known, _)| known != name);
        self.defines.push((name.to_owned(), value.to_string()));
        self
    }

    /// `#!define NAME "value"`
    pub fn define_string(self, name: &str, value: &str) -> Self {
        self.define(name, format!("\"{value}\""))
    }

    /// `#!define NAME` with a fresh port as its value.
    pub fn define_port(self, name: &str) -> Self {
        self.define(name, ports::free())
    }

    /// Debug level, whatever the configuration says.
    pub fn debug(mut self, level: usize) -> Self {
        if level > 0 && host().opensips.is_none() {
            self.arguments.push(format!("-{}", "d".repeat(level)));
        }
        self
    }

    /// So many processes receive SIP over UDP, whatever the configuration says.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        if host().opensips.is_some() {
            return self;
        }
        self.argument("-n").argument(&count.to_string())
    }

    /// A command line argument as it is.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts and waits until requests are answered; panics with the log otherwise.
    pub fn start(self) -> Kamailio {
        let mut kamailio = self.launch();
        if let Err(reason) = kamailio.wait_until_ready() {
            panic!("Kamailio does not start: {reason}\n{}", kamailio.process.tail());
        }
        kamailio
    }

    /// For a configuration that must be refused: the log, once Kamailio has given up.
    pub fn start_refused(self) -> String {
        let mut kamailio = self.launch();
        let status = kamailio.process.wait(PATIENCE).expect("Kamailio gives up by itself");
        let log = kamailio.process.settled_output();
        assert!(!status.success(), "Kamailio accepted the configuration:\n{log}");
        assert!(!crashed(status), "Kamailio crashed: {status}\n{log}");
        log
    }

    fn launch(self) -> Kamailio {
        let directory = Directory::new("kamailio");
        let socket = directory.file("ctl");
        let host = host();
        let mut run = command(&host.program);
        if let Some(opensips) = &host.opensips {
            let cfg = opensips.configuration(&self.asked(&socket), &directory);
            run.arg("-f")
                .arg(cfg)
                .args(["-F", "-m", "64", "-M", "8", "-w"])
                .arg(directory.path())
                .args(&self.arguments);
            let process = Process::start("opensips", run, directory.path());
            return Kamailio {
                process,
                directory,
                socket,
                port: self.port,
                websocket_port: self.websocket_port,
                defines: self.defines,
            };
        }
        // What Python remembers of a script would stay beside it, in the tree.
        run.env("PYTHONDONTWRITEBYTECODE", "1");
        run.arg("-f").arg(self.configuration(&directory)).args(["-DD", "-E", "-m", "64", "-M", "8"]);
        run.arg("-w").arg(directory.path()).arg("-Y").arg(directory.path());
        run.arg("-L").arg(format!("{}:{}", host.modules.display(), host.own_modules(self.modules).display()));
        run.arg("-A").arg(format!("PORT={}", self.port));
        run.arg("-A").arg(format!("CTL_SOCKET=\"unix:{}\"", socket.display()));
        for (name, value) in &self.defines {
            run.arg("-A").arg(format!("{name}={value}"));
        }
        run.args(&self.arguments);
        let process = Process::start("kamailio", run, directory.path());
        Kamailio {
            process,
            directory,
            socket,
            port: self.port,
            websocket_port: self.websocket_port,
            defines: self.defines,
        }
    }

    fn asked<'a>(&'a self, socket: &'a Path) -> opensips::Asked<'a> {
        let defined = self.defines.iter().find(|(name, _)| name == "DEBUG");
        opensips::Asked {
            cfg: &self.cfg,
            port: self.port,
            websocket_port: self.websocket_port,
            modules: self.modules,
            workers: self.workers,
            debug: defined.and_then(|(_, level)| level.parse().ok()).unwrap_or(2),
            defines: &self.defines,
            socket,
        }
    }

    /// The configuration itself, or one that begins with what the host adds to each.
    fn configuration(&self, directory: &Directory) -> PathBuf {
        let core = &host().core;
        if core.is_empty() {
            return self.cfg.clone();
        }
        let core = core.join("\n").replace("{workers}", &self.workers.to_string());
        directory.write("host.cfg", format!("#!KAMAILIO\n{core}\ninclude_file \"{}\"\n", self.cfg.display()))
    }
}

pub struct Kamailio {
    process: Process,
    directory: Directory,
    socket: PathBuf,
    port: u16,
    websocket_port: u16,
    defines: Vec<(String, String)>,
}

impl Kamailio {
    pub fn with(cfg: impl AsRef<Path>) -> Builder {
        let port = ports::free();
        Builder {
            cfg: kit::path(cfg.as_ref().to_str().expect("our own paths are UTF-8")),
            port,
            websocket_port: if host().opensips.is_some() { ports::free() } else { port },
            modules: "kamailio",
            // Tests register the same user from many addresses.
            defines: vec![("MAX_CONTACTS".to_owned(), "0".to_owned())],
            arguments: Vec::new(),
            workers: 4,
        }
    }

    /// The port for SIP over UDP and TCP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for SIP over WebSocket, where the configuration has it.
    pub fn websocket_port(&self) -> u16 {
        self.websocket_port
    }

    /// A definition given at the start, e.g. one of `define_port`.
    pub fn defined(&self, name: &str) -> &str {
        let found = self.defines.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("{name} was not defined")).1
    }

    /// Where this Kamailio keeps its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where its control socket is, where its configuration has one.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.process.output()
    }

    pub fn wait_for_log(&mut self, needle: &str, timeout: Duration) -> Result<String, String> {
        self.process.wait_for(needle, timeout)
    }

    /// Runs an RPC command with kamcmd; what it printed, as an error when it failed.
    pub fn rpc(&self, method: &str, arguments: &[&str]) -> Result<String, String> {
        if host().opensips.is_some() {
            return opensips::command(&self.socket, method, arguments);
        }
        let output = Command::new(&host().control)
            .arg("-s")
            .arg(format!("unix:{}", self.socket.display()))
            .arg(method)
            .args(arguments)
            .output()
            .map_err(|error| format!("kamcmd: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        // kamcmd reports an RPC fault as text and ends with 0.
        let failed = !output.status.success() || text.starts_with("error:");
        if failed { Err(text) } else { Ok(text) }
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Major and minor number.
    pub fn version(&self) -> (u32, u32) {
        // "kamailio 5.6.3 (x86_64/linux)"
        let text = self.rpc("core.version", &[]).expect("the RPC exists");
        let words: Vec<&str> = text.split([' ', '.']).collect();
        match words[..] {
            ["kamailio", major, minor, ..] => (major.parse().expect("a number"), minor.parse().expect("a number")),
            _ => panic!("{text}"),
        }
    }

    /// Process ids and descriptions of the main process and all it forked.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let listing = self.rpc("core.ps", &[]).unwrap_or_default();
        let mut lines = listing.lines();
        let mut found = Vec::new();
        while let (Some(pid), Some(name)) = (lines.next(), lines.next()) {
            found.extend(pid.trim().parse().ok().map(|pid| (pid, name.trim().to_owned())));
        }
        found
    }

    /// Ids of the processes that handle SIP over UDP.
    pub fn udp_workers(&self) -> Vec<u32> {
        // "udp receiver child=0 sock=…", with other words around these from version to version. With udp_receiver_mode=1
        // "udp multithreaded receiver" hands everything to "Async Task Worker - udp".
        let handles = |name: &str| {
            name.starts_with("SIP receiver udp") // OpenSIPS
                || name.ends_with("Worker - udp")
                || name.contains("udp") && name.contains("receiver") && !name.contains("multithreaded")
        };
        self.processes().into_iter().filter(|(_, name)| handles(name)).map(|(pid, _)| pid).collect()
    }

    /// Waits until the main process has ended by itself; false when it has not.
    pub fn wait_for_end(&mut self, timeout: Duration) -> bool {
        self.process.wait(timeout).is_some()
    }

    /// The log of a proxy that was killed, once nothing of it is left.
    pub fn bury(mut self) -> String {
        self.process.stop();
        self.process.settled_output()
    }

    /// Runs, and none of its processes has died since the start.
    pub fn is_alive(&mut self) -> bool {
        self.process.poll().is_none() && self.trouble().is_none()
    }

    /// Ends Kamailio and returns its whole log; an error when it did not end cleanly.
    pub fn stop(mut self) -> Result<String, String> {
        let early = self.process.poll();
        // Debian's Kamailio logs in its signal handler: a signal that meets a process in the middle of a log line
        // can lock it up, and at debug level 3 there are many lines. A process that is ended in the middle of its work
        // may leave shared memory that the main process cannot free.
        self.process.settled_output();
        patience::until(REST, || self.process.rests());
        super::process::signal("TERM", &self.pid().to_string());
        let ended = self.process.wait(PATIENCE);
        let status = self.process.stop();
        let log = self.process.settled_output();
        let fault = match (early, ended) {
            (Some(status), _) => Some(format!("had ended before: {status}")),
            (None, None) => Some("did not end when asked to".to_owned()),
            (None, Some(_)) if !status.success() => Some(format!("ended with {status}")),
            _ => self.trouble().map(|line| format!("logged: {line}")),
        };
        match fault {
            Some(fault) => Err(format!("Kamailio {fault}\n{}", self.process.tail())),
            None => Ok(log),
        }
    }

    fn trouble(&self) -> Option<String> {
        let trouble = |line: &&str| TROUBLE.iter().any(|word| line.contains(word)) && !line.contains(FAREWELL);
        self.log().lines().find(trouble).map(str::to_owned)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.poll() {
                return Err(format!("ended with {status}"));
            }
            if self.answers() {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err("no answer in time".to_owned())
    }

    /// The control socket says so, or any reply to OPTIONS where there is none.
    fn answers(&self) -> bool {
        if host().opensips.is_some() && !opensips::listens(&self.directory) {
            return false;
        }
        if self.socket.exists() {
            return self.rpc("core.uptime", &[]).is_ok();
        }
        let mut client = Client::udp(self.port).timeout(POLL * 4);
        let options = Request::new("OPTIONS", "sip:ready@127.0.0.1", "sip:ready@127.0.0.1");
        client.request(&options).is_ok()
    }
}

/// With `TEST_KEEP_LOG=FILE` the log of a failed test can be read afterwards.
impl Drop for Kamailio {
    fn drop(&mut self) {
        if let (true, Some(file)) = (thread::panicking(), std::env::var_os("TEST_KEEP_LOG")) {
            let _ = std::fs::write(file, self.log());
        }
    }
}
