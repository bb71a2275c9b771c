// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tries whether the store can be used. A child process does this and ends afterwards, because the host's own
//! process opens nothing before it forks.

use std::ffi::c_char;
use std::io::{Error, PipeReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use super::config::{shared, sipoauth_context};
use super::guard::{CallFailure, guard_told};
use super::types::*;
use crate::process::caught::caught;

/// How long a disk may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tries whether a store in a folder can be opened and written, as every process will do after the fork. A host
/// calls this when it starts, because it can still stop with an error sentence then. The folder and its files are
/// made when they are missing. Call it as the user that the processes will run as, before the fork or after it,
/// while this process has one thread. It forks a child that does the work, and waits for it, at most 20 seconds.
/// The host's handler of SIGCHLD does not see that child.
///
/// A store over the network is not tried, because it may be away now and back when it is needed. Without a store
/// nothing is done. Since ABI version 5.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SYSTEM (the child cannot be started), SIPOAUTH_E_STORE or
/// SIPOAUTH_E_PANIC; `err` gets a sentence, as for sipoauth_config_set.
///
/// # Safety
/// `context` is NULL or valid, `err` for `err_cap` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_try_store(
    context: *const sipoauth_context,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let context = shared(context);
        guard_told(context.as_deref(), err, err_cap, || {
            let context = context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?;
            if !context.sessions().is_some_and(|access| access.is_local()) {
                return Ok(());
            }
            match in_a_child(&|| context.try_store().err().map(|error| error.to_string())) {
                Ok(None) => Ok(()),
                Ok(Some(sentence)) => Err(CallFailure::new(SIPOAUTH_E_STORE, &format!("sessions: {sentence}"))),
                Err(error) => {
                    Err(CallFailure::new(SIPOAUTH_E_SYSTEM, &format!("no process to try the store with: {error}")))
                }
            }
        })
    }
}

/// Runs `work` in a child process and returns its error sentence; None when all is well.
fn in_a_child(work: &dyn Fn() -> Option<String>) -> std::io::Result<Option<String>> {
    let (mut reader, writer) = std::io::pipe()?;
    let _unseen = ChildUnseen::new()?;
    // SAFETY: the caller promises that this process has one thread, so no other thread holds a lock that the child
    // would wait for.
    match unsafe { libc::fork() } {
        -1 => Err(Error::last_os_error()),
        0 => {
            let told = caught(work).unwrap_or_else(|place| Some(format!("internal error caught at {place}")));
            let mut text = vec![u8::from(told.is_some())];
            text.extend_from_slice(told.unwrap_or_default().as_bytes());
            let done = (&writer).write_all(&text).is_ok();
            // SAFETY: the child ends here, and nothing of the parent is run or freed.
            unsafe { libc::_exit(i32::from(!done)) }
        }
        child => {
            drop(writer);
            let text = read_in_time(&mut reader, PATIENCE);
            let status = end(child, text.is_none());
            Ok(match text.as_deref() {
                None => Some(format!("the disk of the store did not answer within {} seconds", PATIENCE.as_secs())),
                Some([0]) => None,
                Some([_, sentence @ ..]) => Some(String::from_utf8_lossy(sentence).into_owned()),
                Some([]) => Some(format!("the process that tried the store ended with status {status:#x}")),
            })
        }
    }
}

/// Reads until the other end is closed; None when that takes longer than `patience`.
fn read_in_time(file: &mut PipeReader, patience: Duration) -> Option<Vec<u8>> {
    let (deadline, mut all) = (Instant::now() + patience, Vec::new());
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let mut ready = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure of ours.
        match unsafe { libc::poll(&raw mut ready, 1, i32::try_from(left).unwrap_or(i32::MAX)) } {
            0 => return None,
            count if count < 0 => continue,
            _ => {}
        }
        let mut part = [0; 1024];
        match file.read(&mut part) {
            Ok(0) => return Some(all),
            Ok(length) => all.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Some(all),
        }
    }
}

/// Waits for the end of a child, after killing it if it is late. Returns its wait status.
fn end(child: libc::pid_t, is_late: bool) -> i32 {
    let mut status = -1;
    // SAFETY: our own child, which nobody has waited for; the status is ours.
    unsafe {
        if is_late {
            libc::kill(child, libc::SIGKILL);
        }
        // A late child may hang in the kernel, so nothing waits for it.
        let options = if is_late { libc::WNOHANG } else { 0 };
        while libc::waitpid(child, &raw mut status, options) < 0
            && Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
        {}
    }
    status
}

/// Hides the end of the child from the host's handler of SIGCHLD, because the host would take it for the end of
/// one of its own children.
struct ChildUnseen(libc::sigaction);

impl ChildUnseen {
    fn new() -> std::io::Result<ChildUnseen> {
        // SAFETY: all zero is the default action without flags; both structures are ours.
        unsafe {
            let default: libc::sigaction = std::mem::zeroed();
            let mut before: libc::sigaction = std::mem::zeroed();
            match libc::sigaction(libc::SIGCHLD, &raw const default, &raw mut before) {
                0 => Ok(ChildUnseen(before)),
                _ => Err(Error::last_os_error()),
            }
        }
    }
}

impl Drop for ChildUnseen {
    fn drop(&mut self) {
        // SAFETY: what sigaction wrote.
        unsafe { libc::sigaction(libc::SIGCHLD, &raw const self.0, std::ptr::null_mut()) };
    }
}
