// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens the store of the configuration. This also works while no proxy runs.

use std::io;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use sipoauth::process::context::Context;
use sipoauth::store::sessions::SessionError;
use sipoauth_core::config::sessions::StorePlace;
use sipoauth_core::ports::{Level, Log};

use crate::configuration::ConfigurationOptions;
use crate::output::{Output, Progress};

/// Which store, and how to print.
#[derive(Args)]
pub struct Common {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub configuration: ConfigurationOptions,
}

/// One user.
#[derive(Args)]
pub struct OfAddress {
    /// The address-of-record, for example alice@example.com
    #[arg(value_name = "URI", value_parser = address)]
    pub aor: String,
    #[command(flatten)]
    pub common: Common,
}

/// alice@example.com stands for sip:alice@example.com, as in the RPC commands. An empty text is not an address, because
/// a script passes one when a variable is not set.
pub fn address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    match text {
        "" => Err("an address is needed, for example alice@example.com".into()),
        _ if begins("sip:") || begins("sips:") => Ok(text.to_owned()),
        _ => Ok(format!("sip:{text}")),
    }
}

/// Writes the library's warnings and errors to standard error.
struct ToStderr;

impl Log for ToStderr {
    fn log(&self, level: Level, line: &str) {
        if level as u32 <= Level::Warn as u32 {
            Output { json: false }.remark(line);
        }
    }
}

/// Opens an existing store. It does not make a new one, because that would belong to the user who runs this tool.
pub fn open(common: &Common) -> Result<Context, String> {
    let configuration = common.configuration.read_for_store()?;
    let Some(sessions) = &configuration.policy.sessions else {
        return Err(
            "this configuration has no store, so there are no sessions and no accounts; set store and store_key_file"
                .into(),
        );
    };
    if let StorePlace::Folder(folder) = &sessions.place {
        for file in ["data.mdb", "lock.mdb"].map(|name| Path::new(folder).join(name)) {
            if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open(&file) {
                return Err(match error.kind() {
                    io::ErrorKind::NotFound => {
                        format!("{folder} has no sessions yet: the proxy makes the store at its first start")
                    }
                    _ => format!("cannot look into {}: {error}; run this as the proxy's user", file.display()),
                });
            }
        }
    }
    Context::new(configuration.written.source, Arc::new(ToStderr)).map_err(|e| e.to_string())
}

/// Shows on a terminal that the tool waits for the store.
pub fn waiting<T>(work: impl FnOnce() -> T) -> T {
    let _progress = Progress::new("store");
    work()
}

/// A failure in words.
pub fn say(error: &SessionError) -> String {
    match error {
        SessionError::NotConfigured => "sessions and accounts need 'store', which is not configured".into(),
        SessionError::NotThere => "it is not there".into(),
        SessionError::Malformed => "that is not an address-of-record; write for example sip:alice@example.com".into(),
        SessionError::Store(error) => error.to_string(),
    }
}
