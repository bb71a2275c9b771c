// SPDX-License-Identifier: MIT OR Apache-2.0

//! A Redis server of the test's own: on loopback, with a password, nothing on disk.

use std::path::Path;

use super::certificates::{Authority, Certificate};
use super::patience::PATIENCE;
use super::ports;
use super::process::{self, Process};
use super::temporary::Directory;

pub const PASSWORD: &str = "correct-horse";

pub struct Redis {
    port: u16,
    arguments: Vec<String>,
    // Ended before its directory goes away.
    process: Option<Process>,
    directory: Directory,
}

impl Redis {
    pub fn start(arguments: &[&str]) -> Self {
        let port = ports::free();
        Self::launch(port, ["--port", &port.to_string()].iter().chain(arguments).map(|a| (*a).to_owned()).collect())
    }

    pub fn start_tls(authority: &Authority, certificate: &Certificate) -> Self {
        let port = ports::free();
        let text = |path: &Path| path.to_str().expect("our own paths are UTF-8").to_owned();
        let mut arguments: Vec<String> =
            ["--port", "0", "--tls-auth-clients", "no", "--tls-port"].map(Into::into).into();
        arguments.push(port.to_string());
        arguments.extend(["--tls-cert-file".into(), text(&certificate.certificate)]);
        arguments.extend(["--tls-key-file".into(), text(&certificate.key)]);
        arguments.extend(["--tls-ca-cert-file".into(), text(authority.ca_file())]);
        Self::launch(port, arguments)
    }

    fn launch(port: u16, arguments: Vec<String>) -> Self {
        let mut redis = Self { port, arguments, process: None, directory: Directory::new("redis") };
        redis.resume();
        redis
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A file of its folder, e.g. `dump.rdb` after the command SAVE.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.file(name)
    }

    /// Starts it again on the same port: empty, or with what the command SAVE kept.
    pub fn resume(&mut self) {
        let mut command = process::command("redis-server");
        command.args(&self.arguments).args(["--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]);
        command.args(["--appendonly", "no", "--dir"]).arg(self.directory.path());
        let mut process = Process::start("redis", command, self.directory.path());
        process.wait_for("Ready to accept connections", PATIENCE).expect("redis-server starts");
        self.process = Some(process);
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").pid()
    }

    /// Sends commands as an administrator does; the answers.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = process::command("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "--no-auth-warning", "-a", PASSWORD])
            .args(arguments)
            .output()
            .expect("redis-cli is installed; run tools/setup.sh");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
