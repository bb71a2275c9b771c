// SPDX-License-Identifier: MIT OR Apache-2.0

//! One of the servers, started and configured by its script in this folder.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::process::{Process, command};
use crate::support::temporary::Directory;
use crate::support::{http, kit, patience, ports};

/// The proxy's client and that of the phones; see common.py.
pub const CLIENT: &str = "sip-proxy";
pub const SECRET: &str = "the-secret-of-the-proxy";
pub const PHONE: &str = "sip-phone";
pub const REDIRECT: &str = "http://127.0.0.1/callback";
const START: Duration = Duration::from_secs(120);

pub struct Server {
    process: Process,
    _directory: Directory,
    metadata: Value,
    pub issuer: String,
}

impl Server {
    /// Access tokens live for so many seconds.
    pub fn start(name: &str, lifetime: u32) -> Server {
        let directory = Directory::new(name);
        let installed = installed(name);
        let script = kit::path(&format!("tests/servers/{}.py", name.replace('-', "_")));
        // A server in Python has an environment of its own; the others are told where they are.
        let python = installed.join("bin/python");
        let mut run = if python.exists() { command(python) } else { command("python3") };
        run.arg("-B").arg(script);
        if !installed.join("bin/python").exists() {
            run.arg(&installed);
        }
        run.arg(directory.path()).arg(ports::free().to_string()).arg(lifetime.to_string());
        let mut process = Process::start(name, run, directory.path());
        let facts = answer(&mut process, "READY ");
        let issuer = facts["issuer"].as_str().expect("an issuer").to_owned();
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let (status, body) = http::request("GET", &url).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(status, 200, "{url}: {body}");
        let mut metadata: Value = serde_json::from_str(&body).expect("metadata is JSON");
        for (name, value) in facts["endpoints"].as_object().into_iter().flatten() {
            metadata[name] = value.clone();
        }
        Server { process, _directory: directory, metadata, issuer }
    }

    /// The user signs in, and the phone has a code of this client.
    pub fn code(&mut self, client: &str) -> Value {
        let seen = self.process.output().matches("CODE ").count();
        self.process.send_line(&format!("code {client}"));
        nth(&mut self.process, "CODE ", seen)
    }

    /// A client exchanges its code by itself: the access token. That of the phones has no secret.
    pub fn token(&mut self, client: &str) -> String {
        let code = self.code(client);
        let mut form = vec![("grant_type", "authorization_code")];
        form.extend(
            code.as_object().expect("an object").iter().map(|(k, v)| (k.as_str(), v.as_str().expect("a text"))),
        );
        if client == PHONE {
            form.push(("client_id", PHONE));
        }
        let answer = self.ask("token_endpoint", client, &form);
        let tokens: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let token = tokens["access_token"].as_str();
        token.unwrap_or_else(|| panic!("no token: {} {}", answer.status, answer.body)).to_owned()
    }

    /// The proxy's client revokes a token of its own (RFC 7009), or the user's tokens end where there is no such endpoint.
    pub fn revoke_token(&mut self, token: &str) {
        if self.metadata["revocation_endpoint"].is_null() {
            return self.revoke_all();
        }
        let form = [("token", token), ("token_type_hint", "access_token")];
        let answer = self.ask("revocation_endpoint", CLIENT, &form);
        assert_eq!(answer.status, 200, "the token is not revoked: {}", answer.body);
    }

    fn ask(&self, endpoint: &str, client: &str, form: &[(&str, &str)]) -> http::Answer {
        let basic = format!("Basic {}", STANDARD.encode(format!("{client}:{SECRET}")));
        let headers = [("Authorization", basic.as_str())];
        let headers = if client == PHONE { &headers[..0] } else { &headers };
        let url = self.metadata[endpoint].as_str().unwrap_or_else(|| panic!("no {endpoint} in the metadata"));
        http::post_form(url, headers, form).unwrap_or_else(|e| panic!("{e}"))
    }

    /// All that the user has ends, in the way that the server's own pages have for that.
    pub fn revoke_all(&mut self) {
        let count = |process: &Process| process.output().lines().filter(|l| *l == "DONE").count();
        let before = count(&self.process);
        self.process.send_line("revoke");
        let done = patience::until(START, || count(&self.process) > before);
        assert!(done, "nothing is revoked\n{}", self.process.tail());
    }
}

/// Where `tools/test-servers.sh` has put a server.
fn installed(name: &str) -> PathBuf {
    let folder = kit::path("target/servers").join(name);
    assert!(folder.join(".installed").exists(), "{name} is not installed; run tools/test-servers.sh");
    folder
}

fn answer(process: &mut Process, start: &str) -> Value {
    nth(process, start, 0)
}

/// The line that begins so, after so many of its kind.
fn nth(process: &mut Process, start: &str, seen: usize) -> Value {
    let lines = |text: &str| text.lines().filter_map(|l| l.strip_prefix(start)).nth(seen).map(str::to_owned);
    let there = patience::until(START, || lines(&process.output()).is_some() || process.poll().is_some());
    let line = lines(&process.output()).filter(|_| there);
    let line = line.unwrap_or_else(|| panic!("the script has not said {start}\n{}", process.tail()));
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
}
