// SPDX-License-Identifier: MIT OR Apache-2.0

//! A configured library without network: one context, one worker, and what they log.

use crate::support::log_lines::Lines;
use crate::support::temporary::Directory;
use crate::support::token;
use serde_json::{Value, json};
use sipoauth::process::context::Context;
use sipoauth::worker::result::CheckResult;
use sipoauth::worker::{Handling, Worker};
use sipoauth_core::check::Request;
use sipoauth_core::config::source::Source;
use sipoauth_core::ports::Log;
use sipoauth_core::reason::Reason;
use std::sync::Arc;

pub const ISSUER: &str = "https://as.example.test";
pub const AUDIENCE: &str = "sip";
pub const ALICE: &str = "sip:alice@example.test";

pub struct Site {
    pub context: Arc<Context>,
    pub worker: Worker,
    pub log: Arc<Lines>,
    directory: Directory,
}

impl Site {
    /// One provider with these keys, and with these settings beside or instead of the usual ones.
    pub fn new(keys: &[Value], provider: &Value) -> Site {
        Site::with_globals(keys, provider, &json!({}))
    }

    pub fn with_globals(keys: &[Value], provider: &Value, globals: &Value) -> Site {
        let directory = Directory::new("site");
        let file = directory.write("keys.json", json!({ "keys": keys }).to_string());
        let provider = merged(&json!({ "jwks_file": file }), provider);
        Site::load(directory, &provider, globals).unwrap_or_else(|error| panic!("{error}"))
    }

    /// One provider whose keys are fetched, or come from where `provider` says.
    pub fn remote(provider: &Value, globals: &Value) -> Site {
        Site::load(Directory::new("site"), provider, globals).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The sentence with which a configuration is refused.
    pub fn refused(provider: &Value) -> String {
        match Site::load(Directory::new("site"), provider, &json!({})) {
            Ok(_) => panic!("accepted: {provider}"),
            Err(error) => error,
        }
    }

    /// One provider with these keys, and private keys that decrypt its tokens, newest first.
    pub fn decrypting(keys: &[Value], private: &[&str], provider: &Value, globals: &Value) -> Site {
        let directory = Directory::new("site");
        let file = directory.write("keys.json", json!({ "keys": keys }).to_string());
        let write = |(i, text): (usize, &&str)| directory.write(&format!("private-{i}"), text);
        let files: Vec<_> = private.iter().enumerate().map(write).collect();
        let provider = merged(&json!({ "jwks_file": file }), provider);
        let globals = merged(&json!({ "decryption_key_files": files }), globals);
        Site::load(directory, &provider, &globals).unwrap_or_else(|error| panic!("{error}"))
    }

    fn load(directory: Directory, provider: &Value, globals: &Value) -> Result<Site, String> {
        let mut source = Source::default();
        let file = directory.write("sipoauth.toml", configuration(provider, globals));
        source.set("config_file", file.to_str().expect("our paths are UTF-8")).map_err(|e| e.to_string())?;
        let log = Arc::new(Lines::default());
        let context = Arc::new(Context::new(source, Arc::clone(&log) as Arc<dyn Log>).map_err(|e| e.to_string())?);
        let worker = Worker::new(Arc::clone(&context)).map_err(|e| e.to_string())?;
        Ok(Site { context, worker, log, directory })
    }

    /// Another provider configuration, by a reload; the key file stays unless `keys` are given.
    pub fn reload(&self, keys: Option<&[Value]>, provider: &Value) {
        if let Some(keys) = keys {
            self.replace_keys(keys);
        }
        self.reload_with(provider, &json!({}));
    }

    /// Other keys in the key file, for the next reload.
    pub fn replace_keys(&self, keys: &[Value]) {
        self.directory.write("keys.json", json!({ "keys": keys }).to_string());
    }

    /// Another provider configuration and other global settings, by a reload.
    pub fn reload_with(&self, provider: &Value, globals: &Value) {
        self.try_reload_with(provider, globals).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The same; the sentence with which it is refused.
    pub fn try_reload_with(&self, provider: &Value, globals: &Value) -> Result<(), String> {
        let provider = merged(&json!({ "jwks_file": self.directory.file("keys.json") }), provider);
        self.directory.write("sipoauth.toml", configuration(&provider, globals));
        self.context.admin().reload().map_err(|error| error.0)
    }

    /// Another provider, by a reload, whose keys come from where it says.
    pub fn reload_provider(&self, provider: &Value) {
        self.try_reload(provider).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The same, or the sentence with which it is refused.
    pub fn try_reload(&self, provider: &Value) -> Result<(), String> {
        self.directory.write("sipoauth.toml", configuration(provider, &json!({})));
        self.context.admin().reload().map_err(|e| e.to_string())
    }

    /// These global settings beside or instead of those there were, by a reload; the sentence when they are refused.
    pub fn reload_globals(&self, globals: &Value) -> Result<(), String> {
        self.reload_text(&configuration(&json!({}), globals))
    }

    /// Any configuration file, by a reload.
    pub fn reload_text(&self, text: &str) -> Result<(), String> {
        self.directory.write("sipoauth.toml", text);
        self.context.admin().reload().map_err(|e| e.to_string())
    }

    /// A path in the folder of the configuration.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.file(name)
    }

    /// These provider lines instead, by a reload.
    pub fn reload_lines(&self, lines: &[&str]) {
        let providers: Vec<Value> = lines
            .iter()
            .map(|line| {
                let pairs = line.split(';').filter_map(|pair| pair.split_once('='));
                pairs.map(|(key, value)| (key.to_owned(), json!(value))).collect::<serde_json::Map<_, _>>().into()
            })
            .collect();
        let text = toml::to_string(&json!({ "provider": providers })).expect("no nulls");
        self.directory.write("sipoauth.toml", text);
        self.context.admin().reload().unwrap_or_else(|error| panic!("{error}"));
    }

    /// The answer to a bare token.
    pub fn token(&mut self, token: &str) -> Reason {
        self.worker.check_token(token, &Handling::default()).answer.reason()
    }

    /// The same at another time.
    pub fn token_at(&mut self, token: &str, now: i64) -> CheckResult {
        self.worker.check_token(token, &Handling { now: Some(now), ..Handling::default() })
    }

    /// The answer to a request of alice with these credential headers.
    pub fn request(&mut self, method: &str, credentials: &[&str]) -> CheckResult {
        self.request_of(method, ALICE, ALICE, credentials)
    }

    pub fn request_of(&mut self, method: &str, from: &str, to: &str, credentials: &[&str]) -> CheckResult {
        self.request_in("example.test", method, from, to, credentials)
    }

    pub fn request_in(&mut self, realm: &str, method: &str, from: &str, to: &str, credentials: &[&str]) -> CheckResult {
        let request = Request { method, from, to, realm, credentials, ..Request::default() };
        self.worker.check(&request, &Handling::default())
    }
}

/// Alice's claims, with some of them replaced; null takes one away.
pub fn claims(changes: &Value) -> Value {
    let mut claims = merged(&token::claims(ISSUER, AUDIENCE, "alice", 300), changes);
    claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    claims
}

/// The members of both; those of `over` win.
pub fn merged(under: &Value, over: &Value) -> Value {
    let mut all = under.as_object().cloned().unwrap_or_default();
    all.extend(over.as_object().cloned().unwrap_or_default());
    Value::Object(all)
}

fn configuration(provider: &Value, globals: &Value) -> String {
    let usual = json!({
        "name": "as",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "aor": "sip:{preferred_username}@{domain}",
        "domain": "example.test",
    });
    toml::to_string(&merged(&json!({ "provider": [merged(&usual, provider)] }), globals)).expect("no nulls")
}
