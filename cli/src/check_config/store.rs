// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks whether the store of sessions can be used with this key. It makes and changes nothing, because a file that
//! belongs to another user would lock the proxy out.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sipoauth::store::access::StoreAccess;
use sipoauth::store::accounts::Conspicuous;
use sipoauth::store::open::open_store;
use sipoauth::store::sessions::{SessionError, SessionStore, is_sealed_by};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::sessions::{Sessions, StorePlace};
use sipoauth_core::ports::store::StoreError;
use sipoauth_core::records::seal::Sealer;

use super::finding::Findings;
use crate::output::{Progress, now};

const REDIS: &str =
    "look at the address in store, at store_password_file, and whether the server runs (redis-cli ping)";

const OTHERS_WRITE: u32 = 0o002;
const OWNER_ALL: u32 = 0o700;
const OWNER_FILE: u32 = 0o600;

/// Checks the store, if one is configured. `usual` is the user that packages run the proxy as. It is in the advice where
/// no file shows the user.
pub fn check(policy: &Policy, usual: &str, offline: bool, findings: &mut Findings) {
    let Some(sessions) = &policy.sessions else { return };
    if let Err(error) = StoreAccess::new(sessions) {
        return findings.failed_with("store", None, &error.0, "");
    }
    match &sessions.place {
        StorePlace::Folder(folder) => folder_store(Path::new(folder), policy, sessions, usual, findings),
        StorePlace::Redis { .. } if offline => {}
        StorePlace::Redis { .. } => opened(policy, sessions, "Redis", REDIS, findings),
    }
}

fn folder_store(folder: &Path, policy: &Policy, sessions: &Sessions, usual: &str, findings: &mut Findings) {
    let shown = folder.display();
    let room = u64::from(policy.settings.store_size);
    let meta = match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return not_there(folder, room, usual, findings),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            let message = format!("{shown} cannot be made: something above it is not a folder");
            return findings.failed("store", None, &message, "write another path in store");
        }
        Err(error) => return out_of_sight(folder, &error.to_string(), usual, findings),
        Ok(meta) if !meta.is_dir() => {
            return findings.failed("store", None, &format!("{shown} is not a folder"), "write a folder in store");
        }
        Ok(meta) => meta,
    };
    let (own, owner) = (runs_as(), meta.uid());
    // Root may do everything, which says nothing about the proxy's user. That user should be the folder's owner.
    let user = if own == 0 { owner } else { own };
    if user != owner && !may_write(folder) {
        let why = format!("it belongs to {}, this is {}", name_of(owner), name_of(own));
        return out_of_sight(folder, &why, usual, findings);
    }
    if meta.mode() & OTHERS_WRITE != 0 {
        let message = format!("every user of this machine can change what is in {shown}");
        findings.warning("store", None, &message, &format!("chmod 0700 {shown}"));
    }
    if user == owner && user != 0 && meta.mode() & OWNER_ALL != OWNER_ALL {
        let message = format!("{} may not write in {shown}, which is its own", name_of(owner));
        return findings.failed("store", None, &message, &format!("chmod 0700 {shown}"));
    }
    free_space(folder, room, findings);
    for file in ["data.mdb", "lock.mdb"].map(|name| folder.join(name)) {
        let meta = match fs::metadata(&file) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return findings.ok("store", None, &format!("{shown} has no sessions yet"));
            }
            Err(error) => return out_of_sight(&file, &error.to_string(), usual, findings),
        };
        let opened = OpenOptions::new().read(true).write(true).open(&file);
        let denied = opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
        let of_another = own == 0 && user != 0 && (meta.uid() != user || meta.mode() & OWNER_FILE != OWNER_FILE);
        if denied || of_another {
            let (whose, user, mode) = (name_of(meta.uid()), name_of(user), meta.mode() & 0o7777);
            let message =
                format!("{} belongs to {whose} with mode {mode:04o}, and {user} cannot use it", file.display());
            let fix = format!("chown -R {user} {shown} && chmod -R u+rwX {shown}");
            return findings.failed("store", None, &message, &fix);
        }
        if let Err(error) = opened {
            let message = format!("{} cannot be written: {error}", file.display());
            return findings.failed("store", None, &message, "mount its file system so that the proxy can write");
        }
    }
    opened(policy, sessions, &shown.to_string(), "", findings);
    if own == 0 && owner != 0 {
        let message = format!("{shown} belongs to {}: the proxy must run as that user", name_of(owner));
        findings.warning("store", None, &message, &run_as(owner));
    }
}

/// The proxy makes a folder that does not exist, but none above it.
fn not_there(folder: &Path, room: u64, usual: &str, findings: &mut Findings) {
    let shown = folder.display();
    let parent = folder.parent().unwrap_or(Path::new("/"));
    let above = parent.display();
    if !parent.is_dir() {
        let message = format!("{shown} cannot be made, {above} does not exist");
        return findings.failed(
            "store",
            None,
            &message,
            &format!("make it for the proxy's user: install -d -m 0700 -o {usual} -g {usual} {above} {shown}"),
        );
    }
    free_space(parent, room, findings);
    let own = runs_as();
    if !may_write(parent) {
        let message = format!("{shown} does not exist, and {} may not make it in {above}", name_of(own));
        let fix = format!(
            "run this as the proxy's user (sudo -u {usual} sipoauth …); if this is that user: install -d -m 0700 -o {} {shown}",
            name_of(own)
        );
        return findings.warning("store", None, &message, &fix);
    }
    let condition = match own {
        0 => format!(", if its user may write in {above}: this is root, who always may"),
        _ => String::new(),
    };
    findings.ok("store", None, &format!("{shown} will be made at the proxy's first start{condition}"));
}

/// Warns about a path that this process cannot look into. What is there may be right or wrong.
fn out_of_sight(path: &Path, why: &str, usual: &str, findings: &mut Findings) {
    let message = format!("cannot look into {}: {why}. Nothing is known of the sessions in it", path.display());
    let fix = match fs::metadata(path) {
        Ok(meta) => run_as(meta.uid()),
        Err(_) => format!("run it as the proxy's user: sudo -u {usual} sipoauth check-config …"),
    };
    findings.warning("store", None, &message, &fix);
}

fn run_as(owner: u32) -> String {
    format!(
        "run it as the proxy's user: sudo -u {} sipoauth check-config …; or let the folder belong to that user (chown -R)",
        name_of(owner)
    )
}

/// The user who runs this: the owner of the entry of this process in /proc.
fn runs_as() -> u32 {
    fs::metadata("/proc/self").map_or(0, |own| own.uid())
}

/// The name of a user, or its number.
fn name_of(user: u32) -> String {
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("user {user}"))
}

/// May this process make a file in a folder? Standard Rust cannot find this out without making one.
fn may_write(folder: &Path) -> bool {
    let asked = Command::new("test").arg("-w").arg(folder).args(["-a", "-x"]).arg(folder).status();
    asked.map_or(true, |status| status.success())
}

/// Opens the existing store and compares the key.
fn opened(policy: &Policy, sessions: &Sessions, shown: &str, fix: &str, findings: &mut Findings) {
    let progress = Progress::new(&format!("store: {shown}"));
    let look = || -> Result<Looked, StoreError> {
        let store = open_store(&sessions.place, policy)?.store();
        let usage = store.usage()?;
        let (sealer, now) = (Sealer::new(sessions.key.expose()), now().saturating_mul(1000));
        let fits = is_sealed_by(&*store, &sealer, now)?;
        let limit = if usage.limit > 0 { format!(" of {}", usage.limit >> 20) } else { String::new() };
        let usage = format!("{} record(s), {}{limit} MiB", usage.records, usage.bytes >> 20);
        if fits != Some(true) {
            return Ok((fits, usage, Conspicuous::default()));
        }
        let sessions = SessionStore::new(store, Arc::new(sealer), now)?;
        match sessions.conspicuous_accounts(&policy.new_accounts, now) {
            Ok(conspicuous) => Ok((fits, usage, conspicuous)),
            Err(SessionError::Store(error)) => Err(error),
            Err(_) => Ok((fits, usage, Conspicuous::default())),
        }
    };
    let looked = look();
    drop(progress);
    match looked {
        Ok((Some(false), ..)) => {
            let message = format!("{shown} was sealed with another store_key");
            findings.failed("store", None, &message, "write the old store_key again, or begin with an empty store");
        }
        Ok((_, usage, conspicuous)) => {
            findings.ok("store", None, &format!("{shown} can be used: {usage}"));
            tell_of_accounts(&conspicuous, findings);
        }
        Err(error) => findings.failed_with("store", None, &error.to_string(), fix),
    }
}

/// Whether the store was sealed with this key (None if it has no key yet), its usage, and the accounts that stand out.
type Looked = (Option<bool>, String, Conspicuous);

/// Warns about accounts whose challenges differ from those of a new account, because the challenge for a user who does
/// not exist looks like that of a new account.
fn tell_of_accounts(conspicuous: &Conspicuous, findings: &mut Findings) {
    let Conspicuous { all, count, some } = conspicuous;
    if *count == 0 {
        if *all > 0 {
            findings.ok("accounts", None, &format!("{all} Key-Derivation account(s), and none stands out"));
        }
        return;
    }
    let more = if *count > some.len() as u64 { ", …" } else { "" };
    let message = format!(
        "{count} of {all} Key-Derivation account(s) have other parameters than kd_kdf and kd_iterations say (or a salt of another length than 16 octets): a challenge tells anybody that they exist: {}{more}",
        some.join(", ")
    );
    let fix = "write them again from their passwords (sipoauth accounts set, load --passwords), or write the settings that they were made with; accounts that a script looks up are not seen here";
    findings.warning("accounts", None, &message, fix);
}

/// The file may grow to store_size MiB. Standard Rust cannot ask for the free space, so this runs df.
fn free_space(folder: &Path, needed: u64, findings: &mut Findings) {
    let Ok(output) = Command::new("df").arg("-Pk").arg("--").arg(folder).output() else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    let free = text.lines().nth(1).and_then(|line| line.split_ascii_whitespace().nth(3)?.parse::<u64>().ok());
    if let Some(free) = free.map(|kib| kib / 1024).filter(|free| *free < needed) {
        let message = format!("{} has {free} MiB free, store_size is {needed} MiB", folder.display());
        findings.warning("store", None, &message, "make room, or write a smaller store_size");
    }
}
