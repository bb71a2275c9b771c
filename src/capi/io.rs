// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O service, in one process of the host.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use super::config::{conclude, sipoauth_context};
use super::guard::{guard, guard_or};
use super::types::{SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_OK, sipoauth_done_fn};
use super::worker::WAITING;
use crate::runtime::context::Context;
use crate::runtime::service::Service;

/// Does the network work. Used by one thread of the process that made it.
pub struct sipoauth_io {
    service: Service,
    context: Arc<Context>,
}

/// Starts the I/O service with its threads, after the fork, in exactly one process of the host. All signals are
/// blocked in its threads. `*out` is NULL on every failure.
///
/// # Safety
/// Pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_io_new(
    context: *mut sipoauth_context,
    out: *mut *mut sipoauth_io,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    if out.is_null() {
        return SIPOAUTH_E_ARGUMENT;
    }
    // SAFETY: not NULL, the caller's promise.
    unsafe { out.write(std::ptr::null_mut()) };
    // SAFETY: the caller's promise.
    let Some(context) = (unsafe { context.as_ref() }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    guard(Some(&context.0), || {
        let service = with_signals_blocked(|| Service::new(context.0.clone()));
        let made = service.map(|service| {
            let io = Box::new(sipoauth_io { service, context: context.0.clone() });
            // SAFETY: checked above.
            unsafe { out.write(Box::into_raw(io)) };
        });
        // SAFETY: the caller's promise.
        unsafe { conclude(made, err, err_cap) }
    })
}

/// Waits at most `timeout_ms` for something to do and does it. `done` is called with the cookies of every parked
/// request that goes on: its keys were fetched, the fetch failed, or its time is over.
///
/// # Safety
/// `io` is valid; `done` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_io_step(
    io: *mut sipoauth_io,
    timeout_ms: u32,
    done: sipoauth_done_fn,
    user: *mut c_void,
) -> i32 {
    // SAFETY: the caller's promise.
    let Some(io) = (unsafe { io.as_mut() }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    let (context, service) = (&io.context, &mut io.service);
    guard(Some(context), || {
        if !service.is_own_process() {
            return SIPOAUTH_E_PROCESS;
        }
        service.step(Duration::from_millis(timeout_ms.into()), &mut |cookies| {
            if let Some(done) = done
                && cookies != WAITING
            {
                done(user, cookies[0], cookies[1]);
            }
        });
        SIPOAUTH_OK
    })
}

/// Ends the threads and frees the service; NULL is allowed. Waits for fetches that are under way (http_timeout).
///
/// # Safety
/// `io` comes from sipoauth_io_new and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_io_free(io: *mut sipoauth_io) {
    guard_or(None, (), || {
        if !io.is_null() {
            // SAFETY: the caller gives back what sipoauth_io_new returned.
            drop(unsafe { Box::from_raw(io) });
        }
    });
}

/// Threads inherit the signal mask of their maker: the host's signals stay with the host's thread.
fn with_signals_blocked<T>(run: impl FnOnce() -> T) -> T {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises its argument, pthread_sigmask reads it and writes the old mask.
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let result = run();
    if blocked {
        // SAFETY: pthread_sigmask has written the old mask.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
    result
}
