// SPDX-License-Identifier: MIT OR Apache-2.0

//! Token phones over WebSocket: JsSIP and SIP.js in headless Chromium, and
//! JsSIP in Node.js.

use super::process::Process;
use super::temporary::Directory;
use super::{kit, patience};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// More than the scripts allow themselves.
const LIMIT: Duration = Duration::from_secs(180);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phone {
    JssipInChromium,
    SipjsInChromium,
    JssipInNode,
}

/// What to register. `Default` is alice, who logs in where the challenge says.
#[derive(Clone, Debug)]
pub struct Settings {
    pub aor: String,
    /// A token at hand; otherwise the phone logs in at the challenge's `authz_server`.
    pub token: Option<String>,
    /// For a Digest challenge; then the phone does not log in for a token.
    pub password: Option<String>,
    /// The full URI of the resource to log in for.
    pub resource: String,
    /// More environment: `TIMEOUT_MS`, `SCOPE`, `DEBUG_SIP`, `NODE_EXTRA_CA_CERTS`, `PRESET` (Node.js only).
    pub environment: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            aor: "sip:alice@example.test".to_owned(),
            token: None,
            password: None,
            resource: "https://sip.example.test/rs256".to_owned(),
            environment: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Outcome {
    pub registered: bool,
    /// The status of each answer, in order; 0 where there was none.
    pub statuses: Vec<u64>,
    /// All WWW-Authenticate values that the phone saw.
    pub challenges: Vec<String>,
    /// The whole result, for messages.
    pub json: Value,
}

/// Registers over `ws://127.0.0.1:<port>`.
pub fn register(phone: Phone, port: u16, settings: &Settings) -> Outcome {
    register_at(phone, &format!("ws://127.0.0.1:{port}"), settings)
}

/// Registers at this WebSocket URL. A `wss` certificate is not checked.
pub fn register_at(phone: Phone, url: &str, settings: &Settings) -> Outcome {
    let directory = Directory::new("browser");
    let mut process = Process::start("browser", script(phone, url, settings), directory.path());
    let line = process.wait_for("{\"client\":", LIMIT).unwrap_or_else(|error| panic!("{error}"));
    process.wait(LIMIT);
    let json: Value = serde_json::from_str(&line).expect("the script prints JSON");
    let events = json["events"].as_array().cloned().unwrap_or_default();
    Outcome {
        registered: json["registered"] == Value::Bool(true),
        statuses: events.iter().map(|event| event["status"].as_u64().unwrap_or(0)).collect(),
        challenges: events
            .iter()
            .filter_map(|event| event["challenges"].as_array())
            .flatten()
            .filter_map(|challenge| challenge.as_str().map(str::to_owned))
            .collect(),
        json,
    }
}

/// Two JsSIP phones in Chromium, each with its token in REGISTER alone: the first calls the second and hangs up, and
/// calls again when `pause` has passed since `tokens` were made, once the browser runs. What they saw.
pub fn call(port: u16, aors: [&str; 2], tokens: impl FnOnce() -> [String; 2], pause: Duration) -> Value {
    let directory = Directory::new("browser");
    let mut command = kit::node("browser-call.mjs");
    command
        .env("WS", format!("ws://127.0.0.1:{port}"))
        .env("AORS", aors.join(" "))
        .env("PAUSE_MS", pause.as_millis().to_string())
        .env("CHROMIUM", chromium());
    let mut process = Process::start("browser", command, directory.path());
    process.wait_for("ready", LIMIT).unwrap_or_else(|error| panic!("{error}"));
    process.send_line(&tokens().join(" "));
    let line = process.wait_for("{\"client\":", LIMIT).unwrap_or_else(|error| panic!("{error}"));
    process.wait(LIMIT);
    serde_json::from_str(&line).expect("the script prints JSON")
}

/// A script of the kit that prints what its phones see, one JSON object to a line.
pub struct Script {
    process: Process,
    _directory: Directory,
}

impl Script {
    /// Starts it for this WebSocket port, and gives it a line once it is ready.
    pub fn start(name: &str, port: u16, environment: &[(&str, &str)], line: impl FnOnce() -> String) -> Script {
        let directory = Directory::new("browser");
        let mut command = kit::node(name);
        command
            .env("WS", format!("ws://127.0.0.1:{port}"))
            .env("CHROMIUM", chromium())
            .envs(environment.iter().copied());
        let mut process = Process::start("browser", command, directory.path());
        process.wait_for("ready", LIMIT).unwrap_or_else(|error| panic!("{error}"));
        process.send_line(&line());
        Script { process, _directory: directory }
    }

    /// Everything that was seen so far.
    pub fn events(&self) -> Vec<Value> {
        self.process.output().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first event like this, once it is there.
    pub fn wait_for(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        patience::until(patience::PATIENCE, || {
            found = self.events().into_iter().find(&is_it);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("{what}: never seen\n{}", self.process.output()))
    }

    /// Ends it.
    pub fn end(mut self) {
        self.process.send_line("end");
        self.process.wait(LIMIT);
    }
}

fn script(phone: Phone, url: &str, settings: &Settings) -> Command {
    let (script, library) = match phone {
        Phone::JssipInChromium => ("browser-register.mjs", "jssip"),
        Phone::SipjsInChromium => ("browser-register.mjs", "sipjs"),
        Phone::JssipInNode => ("jssip-register.mjs", ""),
    };
    let mut command = kit::node(script);
    command
        .env("LIB", library)
        .env("WS", url)
        .env("AOR", &settings.aor)
        .env("RESOURCE", &settings.resource)
        .envs(settings.environment.iter().cloned());
    if let Some(token) = &settings.token {
        command.env("TOKEN", token);
    }
    if let Some(password) = &settings.password {
        command.env("PASSWORD", password);
    }
    if phone != Phone::JssipInNode {
        command.env("CHROMIUM", chromium());
    }
    command
}

fn chromium() -> PathBuf {
    std::env::var_os("CHROMIUM").map_or_else(|| kit::program("chromium"), PathBuf::from)
}
