// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service, in one process of the host.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use super::config::{shared, sipoauth_context};
use super::convert::Place;
use super::guard::{guard, guard_or, guard_told};
use super::handle::{Entered, Exclusive};
use super::sessions::with_end;
use super::types::{SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, sipoauth_done_fn, sipoauth_ended_fn};
use super::worker::WAITING;
use crate::io_process::service::IoService;
use crate::process::context::Context;
use sipoauth_core::text::fingerprint::visible;

/// The service that does the network work of all processes. Only one thread at a time may use it, in the process
/// that made it.
pub struct sipoauth_io {
    context: Arc<Context>,
    process: u32,
    service: Exclusive<IoService>,
}

impl sipoauth_io {
    /// What all processes share.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// The service, in its own process and outside its callbacks.
    pub(super) fn enter(&self) -> Result<Entered<'_, IoService>, i32> {
        if self.process == std::process::id() { self.service.enter() } else { Err(SIPOAUTH_E_PROCESS) }
    }
}

/// Starts the I/O service with its threads. Call this after the fork, in exactly one process of the host, for
/// example in a process of its own that only calls sipoauth_io_step. All signals are blocked in the service's
/// threads.
///
/// `*out` is NULL on every failure; else the caller owns it and gives it back with sipoauth_io_free. Returns
/// SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SYSTEM, or SIPOAUTH_E_BUSY when a living process has the context's
/// I/O service already; `err` gets a sentence, as for sipoauth_config_set.
///
/// # Safety
/// Pointers are NULL or valid, `err` for `err_cap` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_io_new(
    context: *mut sipoauth_context,
    out: *mut *mut sipoauth_io,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let context = shared(context);
        guard_told(context.as_deref(), err, err_cap, || {
            let out = Place::new(out, std::ptr::null_mut())?;
            let context = context.clone().ok_or(SIPOAUTH_E_ARGUMENT)?;
            let service = {
                let _blocked = SignalsBlocked::new();
                Exclusive::new(IoService::new(Arc::clone(&context))?)
            };
            out.put(Box::into_raw(Box::new(sipoauth_io { context, process: std::process::id(), service })));
            Ok(())
        })
    }
}

/// Waits at most `timeout_ms` milliseconds for something to do, and does it. The host calls this in a loop. `done`
/// is called, in this thread, with the cookies of every parked request that can go on, because its keys were
/// fetched, the fetch failed, or its pending_timeout is over. Within `done` the host may use workers of this
/// process, but not this service.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC. After
/// SIPOAUTH_E_PANIC the host goes on with its loop.
///
/// # Safety
/// `io` is NULL or valid; `done` is NULL or callable with `user` and does not leave by longjmp or a C++ exception.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_io_step(
    io: *mut sipoauth_io,
    timeout_ms: u32,
    done: sipoauth_done_fn,
    user: *mut c_void,
) -> i32 {
    // SAFETY: the caller's promise.
    let Some(io) = (unsafe { io.as_ref() }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    guard(Some(&io.context), || {
        io.enter()?.step(Duration::from_millis(timeout_ms.into()), &mut |cookies| {
            if let Some(done) = done
                && cookies[0] != WAITING
            {
                done(user, cookies[0], cookies[1]);
            }
        });
        Ok(())
    })
}

/// Calls `each` for every session that has ended since the last call, whoever has ended it: its authorization server, the
/// tool, the sign-in page, another proxy. Those that a command of this proxy has ended are not among them, because the
/// command tells its host. The session's `valid_until` is the time until which it still counts (Unix seconds), or 0. A host
/// calls this after each sipoauth_io_step, and removes the bindings for which sipoauth_binding_ends says 1; at most 4,096
/// sessions are kept for it. With a folder it is told within half a second, with Redis at once. Since ABI version 5.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `io` is NULL or valid; `each` is NULL or callable with `user` and does not leave by longjmp or a C++ exception.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_io_ended(io: *mut sipoauth_io, each: sipoauth_ended_fn, user: *mut c_void) -> i32 {
    // SAFETY: the caller's promise.
    let Some(io) = (unsafe { io.as_ref() }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    guard(Some(&io.context), || {
        let ended: Vec<_> = io.enter()?.take_ended().collect();
        let Some(each) = each else { return Ok(()) };
        for end in &ended {
            with_end(end, |state| each(user, state, end.by.reason_code().as_ptr(), visible(&end.why).as_ref().into()));
        }
        Ok(())
    })
}

/// Ends the threads and frees the service; NULL is allowed. Waits for fetches that are under way (http_timeout).
/// Requests that are still parked are not given back. Afterwards a new service may be made.
///
/// It does nothing within the service's own callbacks, and nothing in a process that did not make the service (a
/// child of the I/O process).
///
/// # Safety
/// `io` comes from sipoauth_io_new and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_io_free(io: *mut sipoauth_io) {
    guard_or(None, (), || {
        let usable = |io: &sipoauth_io| io.process == std::process::id() && !io.service.is_busy();
        // In a child, the threads and the locks that they may hold are in the other process, so nothing here can
        // be ended or freed.
        // SAFETY: the caller's promise: NULL or what sipoauth_io_new returned.
        if unsafe { io.as_ref() }.is_some_and(usable) {
            // SAFETY: the caller gives back what sipoauth_io_new returned.
            drop(unsafe { Box::from_raw(io) });
        }
    });
}

/// Blocks all signals while the service starts its threads. Threads inherit the signal mask of the thread that
/// starts them, so the host's signals stay with the host's thread.
struct SignalsBlocked(Option<libc::sigset_t>);

impl SignalsBlocked {
    fn new() -> SignalsBlocked {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset initialises its argument; pthread_sigmask reads it and, when it succeeds, writes the
        // old mask.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            let blocked = libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0;
            SignalsBlocked(blocked.then(|| before.assume_init()))
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // SAFETY: a mask that pthread_sigmask wrote.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
        }
    }
}
