// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store of sessions: can it be used with this key. Nothing is made or changed: a file of another user's would lock
//! the proxy out.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use sipoauth::config::policy::Policy;
use sipoauth::config::sessions::{Place, Sessions};
use sipoauth::engine::seal::Sealer;
use sipoauth::io::store::open_store;
use sipoauth::ports::store::StoreError;
use sipoauth::runtime::sessions::is_sealed_by;
use sipoauth::runtime::store_access::StoreAccess;

use super::finding::Findings;
use crate::output::{Progress, now};

const RUN_AS: &str = "run this as the proxy's user (sudo -u kamailio sipoauth …), or give it the folder: chown";
const REDIS: &str =
    "look at the address in store, at store_password_file, and whether the server runs (redis-cli ping)";

/// Looks at the store, when one is configured.
pub fn check(policy: &Policy, offline: bool, findings: &mut Findings) {
    let Some(sessions) = &policy.sessions else { return };
    if let Err(error) = StoreAccess::new(sessions) {
        return findings.failed_with("store", None, &error.0, "");
    }
    match &sessions.place {
        Place::Folder(folder) => folder_store(Path::new(folder), policy, sessions, findings),
        Place::Redis { .. } if offline => {}
        Place::Redis { .. } => opened(policy, sessions, "Redis", REDIS, findings),
    }
}

fn folder_store(folder: &Path, policy: &Policy, sessions: &Sessions, findings: &mut Findings) {
    let shown = folder.display();
    let room = u64::from(policy.settings.store_size);
    match fs::metadata(folder) {
        Err(_) => {
            let parent = folder.parent().unwrap_or(Path::new("/"));
            if !parent.is_dir() {
                let message = format!("{shown} cannot be made, {} does not exist", parent.display());
                let fix = format!("mkdir {}, and let it belong to the proxy's user", parent.display());
                return findings.failed("store", None, &message, &fix);
            }
            free_space(parent, room, findings);
            return findings.ok("store", None, &format!("{shown} will be made at the proxy's first start"));
        }
        Ok(meta) if !meta.is_dir() => {
            return findings.failed("store", None, &format!("{shown} is not a folder"), "write a folder in store");
        }
        Ok(meta) => {
            // The owner of this process's own entry is who runs it.
            let runs_as = fs::metadata("/proc/self").map_or(meta.uid(), |own| own.uid());
            if runs_as != meta.uid() {
                let message = format!("{shown} belongs to user {}, this is user {runs_as}", meta.uid());
                findings.warning("store", None, &message, "run this as the proxy's user: sudo -u kamailio sipoauth …");
            }
        }
    }
    free_space(folder, room, findings);
    let (data, lock) = (folder.join("data.mdb"), folder.join("lock.mdb"));
    if !data.exists() || !lock.exists() {
        return findings.ok("store", None, &format!("{shown} has no sessions yet"));
    }
    for file in [&data, &lock] {
        if let Err(error) = OpenOptions::new().read(true).write(true).open(file) {
            let message = format!("{} cannot be written: {error}", file.display());
            return findings.failed("store", None, &message, RUN_AS);
        }
    }
    opened(policy, sessions, &shown.to_string(), RUN_AS, findings);
}

/// Opens what is there and compares the key.
fn opened(policy: &Policy, sessions: &Sessions, shown: &str, fix: &str, findings: &mut Findings) {
    let progress = Progress::new(&format!("store: {shown}"));
    let look = || -> Result<(Option<bool>, String), StoreError> {
        let store = open_store(&sessions.place, policy)?.store();
        let usage = store.usage()?;
        let fits = is_sealed_by(&*store, &Sealer::new(sessions.key.expose()), now().saturating_mul(1000))?;
        let limit = if usage.limit > 0 { format!(" of {}", usage.limit >> 20) } else { String::new() };
        Ok((fits, format!("{} record(s), {}{limit} MiB", usage.records, usage.bytes >> 20)))
    };
    let looked = look();
    drop(progress);
    match looked {
        Ok((Some(false), _)) => {
            let message = format!("{shown} was sealed with another store_key");
            findings.failed("store", None, &message, "write the old store_key again, or begin with an empty store");
        }
        Ok((_, usage)) => findings.ok("store", None, &format!("{shown} can be used: {usage}")),
        Err(error) => findings.failed_with("store", None, &error.to_string(), fix),
    }
}

/// The file may grow to store_size MiB. Standard Rust cannot ask a file system, so df does.
fn free_space(folder: &Path, needed: u64, findings: &mut Findings) {
    let Ok(output) = Command::new("df").arg("-Pk").arg("--").arg(folder).output() else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    let free = text.lines().nth(1).and_then(|line| line.split_ascii_whitespace().nth(3)?.parse::<u64>().ok());
    if let Some(free) = free.map(|kib| kib / 1024).filter(|free| *free < needed) {
        let message = format!("{} has {free} MiB free, store_size is {needed} MiB", folder.display());
        findings.warning("store", None, &message, "make room, or write a smaller store_size");
    }
}
