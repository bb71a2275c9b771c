// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sipoauth register` as a phone: its state file is its memory.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use sipoauth_core::keys::pop::pop_from_text;

use crate::phones::aor;
use crate::stack::Stack;
use crate::support::temporary::Directory;
use crate::support::tool::tool;

pub struct ToolPhone {
    aor: String,
    password: String,
    directory: Directory,
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    pub exit: i32,
    /// The object that --json prints.
    pub json: Value,
}

impl Run {
    pub fn status(&self) -> u64 {
        self.json["status"].as_u64().unwrap_or(0)
    }
}

impl ToolPhone {
    /// A phone of this user, whose password is USER-password.
    pub fn new(user: &str) -> ToolPhone {
        ToolPhone { aor: aor(user), password: format!("{user}-password"), directory: Directory::new("tool-phone") }
    }

    pub fn with_password(mut self, password: &str) -> ToolPhone {
        self.password = password.into();
        self
    }

    /// Its memory for a proxy.
    pub fn state(&self, proxy: &str) -> PathBuf {
        self.directory.file(&format!("{proxy}.json"))
    }

    /// What it remembers of this proxy.
    pub fn memory(&self, proxy: &str) -> Value {
        let text = std::fs::read(self.state(proxy)).expect("the phone has registered there");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// Its key there.
    pub fn key(&self, proxy: &str) -> [u8; 32] {
        self.memory(proxy)["shared_key"]["key"].as_str().and_then(pop_from_text).expect("a key")
    }

    /// Its access token there.
    pub fn token(&self, proxy: &str) -> String {
        self.memory(proxy)["tokens"]["access_token"].as_str().expect("a token").to_owned()
    }

    /// Makes it remember this of a proxy, with some parts replaced, as a thief would.
    pub fn remember(&self, proxy: &str, memory: &Value, parts: &[(&str, Value)]) {
        let mut memory = memory.clone();
        for (name, part) in parts {
            memory[*name] = part.clone();
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.state(proxy)).expect("new");
        file.write_all(memory.to_string().as_bytes()).expect("written");
    }

    /// Sends to a proxy, which it remembers by name. `--password-file -` reads the user's password.
    pub fn run(&self, stack: &Stack, proxy: &str, arguments: &[&str]) -> Run {
        let mut command = Command::new(tool());
        command.args(["register", "--json", "--server", &format!("127.0.0.1:{}", stack.kamailio.port())]);
        command.args(["--aor", &self.aor, "--state"]).arg(self.state(proxy)).args(arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("built");
        // The tool may have ended without reading.
        let _ = child.stdin.take().expect("piped").write_all(self.password.as_bytes());
        let output = child.wait_with_output().expect("our own child");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(!text.contains(&self.password), "{text}");
        let json = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        Run { exit: output.status.code().expect("no signal ended it"), json }
    }

    /// The same, which must end well.
    pub fn accepted(&self, stack: &Stack, proxy: &str, arguments: &[&str]) -> Run {
        let run = self.run(stack, proxy, arguments);
        assert_eq!(run.exit, 0, "{arguments:?}: {run:?}\n{}", stack.module_log());
        run
    }

    /// The same, which must end otherwise: the SIP status.
    pub fn refused(&self, stack: &Stack, proxy: &str, arguments: &[&str]) -> u64 {
        let run = self.run(stack, proxy, arguments);
        assert_ne!(run.exit, 0, "{arguments:?}: {run:?}\n{}", stack.module_log());
        run.status()
    }

    /// What must be seen nowhere.
    pub fn keep_secrets(&self, stack: &Stack, proxy: &str) {
        let memory = self.memory(proxy);
        for secret in
            [&memory["shared_key"]["key"], &memory["tokens"]["access_token"], &memory["tokens"]["refresh_token"]]
        {
            if let Some(secret) = secret.as_str() {
                stack.secrets.keep(secret);
            }
        }
    }
}
