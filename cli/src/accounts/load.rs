// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sipoauth accounts load`: writes many accounts at once. It shows a progress bar, and the time and the size of the
//! store at the end.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use sipoauth::store::accounts::derive_verifier;
use sipoauth::store::sessions::SessionStore;
use sipoauth_core::config::new_accounts::NewAccounts;
use zeroize::Zeroizing;

use super::entries::{self, AccountCredential, AccountLine};
use crate::output::{Output, span};
use crate::store::{Common, open};

/// A file to load.
#[derive(Args)]
pub struct LoadOptions {
    /// Lines with an address, a space or tab, and a verifier as 'derive' prints it; # begins a comment, - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The lines have passwords instead of verifiers: their keys are derived here, which takes long
    #[arg(long)]
    passwords: bool,
    /// Only look at the lines, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Checks all lines, then writes the good ones. A bad line is reported and does not stop the others.
pub fn run(options: &LoadOptions, output: Output) -> Result<u8, String> {
    let text = read(&options.file)?;
    let (entries, bad) = entries::read(&text, options.passwords);
    for (number, sentence) in &bad {
        output.remark(&format!("{}: line {number}: {sentence}", options.file.display()));
    }
    let context = open(&options.common)?;
    let policy = context.policy().map_err(|e| e.0)?.policy;
    tell_of_others(&entries, &policy.new_accounts, output);
    let exit = if bad.is_empty() { 0 } else { crate::EXIT_ERROR };
    if options.dry_run {
        output.line(&format!("{} good line(s), {} bad; nothing was written", entries.len(), bad.len()));
        output.value(&json!({ "good": entries.len(), "bad": bad.len(), "written": 0 }));
        return Ok(exit);
    }
    let access = context.sessions().ok_or("this configuration has no store")?;
    let store = access.open(&policy).map_err(|e| e.to_string())?;
    let bytes = || store.store().usage().map(|usage| usage.bytes).map_err(|e| e.to_string());
    let before = bytes()?;
    let start = Instant::now();
    let written = write_all(&entries, &store, &policy.new_accounts)?;
    // All accounts are written, even if this fails, for example because the disk is almost full.
    if let Err(error) = store.store().upkeep(crate::output::now() * 1000) {
        output.remark(&error.to_string());
    }
    let seconds = start.elapsed().as_secs_f64();
    let (after, rate) = (bytes()?, written as f64 / seconds.max(0.001));
    output.line(&format!("{written} account(s) written, {} bad line(s)", bad.len()));
    output.field("seconds", &format!("{seconds:.1}"));
    output.field("per second", &format!("{rate:.0}"));
    output.field("store before", &format!("{before} octets"));
    output.field("store after", &format!("{after} octets"));
    output.value(&json!({
        "written": written,
        "bad": bad.len(),
        "seconds": seconds,
        "per_second": rate,
        "store_before": before,
        "store_after": after,
    }));
    Ok(exit)
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::new());
    let read = match path.to_str() {
        Some("-") => io::stdin().read_to_string(&mut text),
        _ => File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|e| format!("{}: cannot be read: {e}", path.display()))?;
    Ok(text)
}

/// Warns about accounts that can be told from users who do not exist.
fn tell_of_others(entries: &[AccountLine<'_>], new: &NewAccounts, output: Output) {
    let other = |entry: &&AccountLine<'_>| match &entry.credential {
        AccountCredential::Verifier(verifier) => !new.look_like(&verifier.parameters),
        AccountCredential::Password(_) => false,
    };
    let count = entries.iter().filter(other).count();
    if let Some(first) = entries.iter().find(other) {
        let aor = first.aor.as_str();
        output.remark(&format!("{count} account(s), the first is {aor}: {}", super::OTHER_PARAMETERS));
    }
}

/// Writes the entries in several threads and returns the number of accounts written. It stops when the store fails.
fn write_all(entries: &[AccountLine<'_>], store: &SessionStore, new: &NewAccounts) -> Result<usize, String> {
    let (next, written) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed: Mutex<Option<String>> = Mutex::new(None);
    let bar = Bar::new(entries.len());
    let work = || {
        while let Some(entry) = entries.get(next.fetch_add(1, Relaxed)) {
            let done = write(entry, store, new);
            match done {
                Ok(()) => bar.advance(written.fetch_add(1, Relaxed) + 1),
                Err(error) => {
                    // The other threads then find no more entries.
                    next.store(entries.len(), Relaxed);
                    failed.lock().map(|mut failed| failed.get_or_insert(error).len()).ok();
                    return;
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    bar.finish();
    let written = written.into_inner();
    match failed.into_inner().ok().flatten() {
        Some(error) => Err(format!(
            "{error}; {written} of {} accounts are written: load the file again, what is there is written over",
            entries.len()
        )),
        None => Ok(written),
    }
}

fn write(entry: &AccountLine<'_>, store: &SessionStore, new: &NewAccounts) -> Result<(), String> {
    let derived;
    let verifier = match &entry.credential {
        AccountCredential::Verifier(verifier) => &**verifier,
        AccountCredential::Password(password) => {
            derived = derive_verifier(new, password.as_bytes()).map_err(|e| e.to_string())?;
            &derived
        }
    };
    store.put_key_account(&entry.aor, verifier, crate::output::now() * 1000).map_err(|e| e.to_string())
}

/// Shows the progress: a bar on a terminal, otherwise a line for every tenth.
struct Bar {
    bar: Option<ProgressBar>,
    all: usize,
    start: Instant,
}

impl Bar {
    fn new(all: usize) -> Bar {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} accounts, {per_sec}, {eta} left");
            let bar = ProgressBar::with_draw_target(Some(all as u64), ProgressDrawTarget::stderr());
            bar.with_style(style.expect("a template of ours"))
        });
        Bar { bar, all, start: Instant::now() }
    }

    fn advance(&self, done: usize) {
        match &self.bar {
            Some(bar) => bar.inc(1),
            None if done * 10 / self.all > (done - 1) * 10 / self.all => {
                let left = self.start.elapsed().as_secs_f64() * (self.all - done) as f64 / done as f64;
                let percent = done * 10 / self.all * 10;
                let line = format!("{percent} %: {done} of {} accounts, {} left", self.all, span(left as u64));
                Output { json: false }.remark(&line);
            }
            None => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
