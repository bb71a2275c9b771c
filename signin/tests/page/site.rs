// SPDX-License-Identifier: MIT OR Apache-2.0

//! The server of the page, as a process of its own.

use std::path::PathBuf;
use std::sync::Arc;

use sipoauth::clock::now_millis;
use sipoauth::store::access::StoreAccess;
use sipoauth::store::sessions::SessionStore;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::source::Source;

use crate::support::http::{self, Answer};
use crate::support::patience::PATIENCE;
use crate::support::ports;
use crate::support::process::{self, Process};
use crate::support::redis::{self, Redis};
use crate::support::temporary::Directory;

const FILE: &str = "sipoauth.toml";
const STORE_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A page with its store.
pub struct Site {
    pub process: Process,
    pub url: String,
    config: String,
    store: Arc<SessionStore>,
    directory: Directory,
}

impl Site {
    /// A page whose provider 'corp' has this issuer.
    pub fn start(issuer: &str) -> Site {
        Site::start_with(ports::free(), &[("corp", issuer, "example.test")], "")
    }

    /// The same for proxies that take no typed codes.
    pub fn start_without_codes(issuer: &str) -> Site {
        let directory = Directory::new("page");
        let store = format!("store = \"{}\"\ntyped_codes = false\n", folder(&directory));
        Site::start_in(directory, ports::free(), &[("corp", issuer, "example.test")], &store, "")
    }

    /// A page at this port, with these providers (name, issuer, domain) and more in its table.
    pub fn start_with(port: u16, providers: &[(&str, &str, &str)], more: &str) -> Site {
        let directory = Directory::new("page");
        let store = format!("store = \"{}\"\n", folder(&directory));
        Site::start_in(directory, port, providers, &store, more)
    }

    /// The same with Redis.
    pub fn start_with_redis(issuer: &str, redis: &Redis) -> Site {
        let directory = Directory::new("page");
        let password = directory.write("password", redis::PASSWORD);
        let port = redis.port();
        let store = format!("store = \"redis://127.0.0.1:{port}\"\nstore_password_file = \"{}\"\n", password.display());
        Site::start_in(directory, ports::free(), &[("corp", issuer, "example.test")], &store, "")
    }

    fn start_in(directory: Directory, port: u16, providers: &[(&str, &str, &str)], store: &str, more: &str) -> Site {
        let codes = if store.contains("typed_codes") { "" } else { "typed_codes = true\n" };
        let limit = if more.contains("source_limit") { "" } else { "source_limit = 60000\n" };
        let scheme = if more.contains("key_file") { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{port}");
        let mut config = format!(
            "{store}{codes}store_key = \"{STORE_KEY}\"\nhttp_timeout = 2\nkey_cooldown = 1\n\
             [sign_in_page]\nurl = \"{url}\"\nlisten = \"127.0.0.1:{port}\"\n{limit}{more}\n"
        );
        for (name, issuer, domain) in providers {
            config.push_str(&format!(
                "[[provider]]\nname = \"{name}\"\nissuer = \"{issuer}\"\naudience = \"sip\"\naor = \"{{sip}}\"\n\
                 domains = \"{domain}\"\nclient_id = \"sip-page\"\nclient_secret = \"page-secret\"\nscope = \"sip\"\n"
            ));
        }
        let file = directory.write(FILE, &config);
        let mut command = process::command(env!("CARGO_BIN_EXE_sipoauth-signin"));
        command.arg("--config").arg(&file);
        let mut process = Process::start("signin", command, directory.path());
        process.wait_for("serving ", PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        let mut source = Source::default();
        source.set("config_file", file.to_str().expect("UTF-8")).expect("a file");
        let policy = Policy::new(&source.load().expect("a configuration")).expect("a configuration");
        let store = StoreAccess::new(policy.sessions.as_ref().expect("a store")).expect("a store");
        let store = store.open(&policy).expect("a store");
        Site { process, url, config, store, directory }
    }

    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The store, as a proxy has it.
    pub fn store(&self) -> &SessionStore {
        &self.store
    }

    /// The file that the proxies read, too.
    pub fn file(&self) -> PathBuf {
        self.directory.file(FILE)
    }

    /// The page is told of nothing else.
    pub fn config(&self) -> &str {
        &self.config
    }

    pub fn log(&self) -> String {
        self.process.output()
    }

    /// The value of a counter.
    pub fn counter(&self, name: &str) -> u64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix("sipoauth_signin_")?.strip_prefix(name));
        line.and_then(|line| line.trim().parse().ok()).unwrap_or_else(|| panic!("{name}: {text}"))
    }

    /// A request without a browser.
    pub fn get(&self, path: &str) -> Answer {
        http::send("GET", &self.at(path), &[], "").unwrap_or_else(|error| panic!("{error}"))
    }

    /// Resident memory in kB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// A folder for a store.
fn folder(directory: &Directory) -> String {
    let store = directory.file("store");
    std::fs::create_dir(&store).expect("a writable folder");
    store.display().to_string()
}

pub fn now() -> i64 {
    now_millis()
}
