// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is measured in a process of its own: how long a proxy takes to start, and how much memory its I/O service has.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sipoauth::io_process::service::IoService;
use sipoauth::worker::Handling;
use sipoauth_core::reason::Reason;

use super::phones::Phone;
use super::site::{USUAL_PROOFS, context, now, worker};

/// Names of the commands by which the bench calls itself.
pub const START: &str = "start-one-proxy";
/// The other one.
pub const SERVE: &str = "serve-one-proxy";

/// How long the I/O service runs before its memory is looked at: it has then looked for what is due and cleaned up.
const SERVED: Duration = Duration::from_secs(3);

/// Memory of an I/O service and its proxy in octets.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Of the process alone.
    pub own: f64,
    /// The memory that the processes share, whether it is used or not.
    pub arena: f64,
}

/// What the process that was asked to does: starts a proxy with this store and prints the microseconds until it has
/// decided its first request.
pub fn start(store: &str) -> Result<String, String> {
    let begin = Instant::now();
    let context = context(store, 4096, USUAL_PROOFS)?;
    let mut worker = worker(&context)?;
    let service = IoService::new(Arc::clone(&context)).map_err(|e| e.to_string())?;
    let time = now() + 2;
    let phone = Phone::new(0);
    let sip = phone.prove(phone.register(time, 1));
    let handling = Handling { source: "192.0.2.7", now: Some(time), ..Handling::default() };
    let verdict = sip.read(|request| worker.check(request, &handling));
    let elapsed = begin.elapsed();
    drop(service);
    match verdict.answer.reason {
        Some(Reason::Ok | Reason::SessionUnknown) => Ok(format!("{}", elapsed.as_secs_f64() * 1e6)),
        reason => Err(format!("the first request had {reason:?}")),
    }
}

/// What the process that was asked to does: runs an I/O service for a while and prints its memory.
pub fn serve(store: &str) -> Result<String, String> {
    let context = context(store, 4096, USUAL_PROOFS)?;
    let mut service = IoService::new(context).map_err(|e| e.to_string())?;
    let begin = Instant::now();
    while begin.elapsed() < SERVED {
        service.step(Duration::from_millis(100), &mut |_| {});
    }
    let own = kib_of("/proc/self/status", "RssAnon:")? * 1024.0;
    let arena = arena_size()?;
    Ok(format!("{own} {arena}"))
}

fn kib_of(file: &str, name: &str) -> Result<f64, String> {
    let text = fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("{file}: has no {name}"))
}

/// Size of the shared anonymous mapping.
fn arena_size() -> Result<f64, String> {
    let text = fs::read_to_string("/proc/self/maps").map_err(|e| format!("/proc/self/maps: {e}"))?;
    let size = |line: &str| {
        let (first, last) = line.split_whitespace().next()?.split_once('-')?;
        Some(u64::from_str_radix(last, 16).ok()? - u64::from_str_radix(first, 16).ok()?)
    };
    let sizes = text.lines().filter(|line| line.contains("/dev/zero")).filter_map(size);
    sizes.max().map(|size| size as f64).ok_or_else(|| "there is no shared memory".into())
}

fn call(command: &str, store: &str) -> Result<Vec<f64>, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new(program).args([command, store]).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if output.status.success() && !numbers.is_empty() {
        Ok(numbers)
    } else {
        Err(format!("{command} {store}: {}", output.status))
    }
}

/// Microseconds of a start with this store.
pub fn time_of_start(store: &str) -> Result<f64, String> {
    Ok(call(START, store)?[0])
}

/// Memory of an I/O service with this store.
pub fn memory_of_service(store: &str) -> Result<Memory, String> {
    match call(SERVE, store)?[..] {
        [own, arena] => Ok(Memory { own, arena }),
        _ => Err("the I/O service said something else".into()),
    }
}

/// Octets that the files of a folder take on the disk.
pub fn octets_on_disk(folder: &Path) -> Result<f64, String> {
    let text = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut octets = 0;
    for entry in fs::read_dir(folder).map_err(text)? {
        octets += entry.and_then(|entry| entry.metadata()).map_err(text)?.blocks() * 512;
    }
    Ok(octets as f64)
}
