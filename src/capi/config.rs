// SPDX-License-Identifier: MIT OR Apache-2.0
//! Before the fork: collecting the configuration and making the context.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::convert::{put_error, text};
use super::guard::{guard, guard_or, quiet_panics};
use super::types::{SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_CONFIG, SIPOAUTH_OK, sipoauth_log_fn, sipoauth_str};
use crate::config::ConfigError;
use crate::config::source::Source;
use crate::ports::{Level, Log};
use crate::runtime::context::Context;

/// A configuration that is being collected. Used by one thread.
pub struct sipoauth_config(Source);

/// What all processes share. Made before the fork; usable in every process and thread after it.
pub struct sipoauth_context(pub(super) Arc<Context>);

struct HostLog {
    log: sipoauth_log_fn,
    user: *mut c_void,
}

// SAFETY: the host promises a log function that may be called in any thread that calls the library.
unsafe impl Send for HostLog {}
// SAFETY: as above.
unsafe impl Sync for HostLog {}

impl Log for HostLog {
    fn log(&self, level: Level, line: &str) {
        if let Some(log) = self.log {
            log(self.user, level as u32, line.as_ptr().cast(), line.len());
        }
    }
}

/// A new, empty configuration; NULL when memory is out. Freed by sipoauth_config_free.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_config_new() -> *mut sipoauth_config {
    quiet_panics();
    guard_or(None, std::ptr::null_mut(), || Box::into_raw(Box::new(sipoauth_config(Source::default()))))
}

/// Frees a configuration; NULL is allowed. A context that was made from it stays.
///
/// # Safety
/// `config` comes from sipoauth_config_new and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_config_free(config: *mut sipoauth_config) {
    guard_or(None, (), || {
        if !config.is_null() {
            // SAFETY: the caller gives back what sipoauth_config_new returned.
            drop(unsafe { Box::from_raw(config) });
        }
    });
}

/// Sets one global setting, value as text ("30", "yes"); "config_file" names a TOML file that is read later.
///
/// Returns SIPOAUTH_E_CONFIG with a sentence in `err` (at most `err_cap` octets with NUL, may be NULL) for an unknown
/// key or a wrong value.
///
/// # Safety
/// Pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_config_set(
    config: *mut sipoauth_config,
    key: sipoauth_str,
    value: sipoauth_str,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise.
        let (config, key, value) = unsafe { (config.as_mut(), text(key), text(value)) };
        let (Some(config), Ok(key), Ok(value)) = (config, key, value) else {
            return SIPOAUTH_E_ARGUMENT;
        };
        // SAFETY: the caller's promise.
        unsafe { conclude(config.0.set(&key, &value), err, err_cap) }
    })
}

/// Adds a provider written as "name=…;issuer=…;audience=…;aor=…"; lists are separated by commas.
///
/// # Safety
/// As for sipoauth_config_set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_config_provider_add(
    config: *mut sipoauth_config,
    line: sipoauth_str,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise.
        let (Some(config), Ok(line)) = (unsafe { (config.as_mut(), text(line)) }) else {
            return SIPOAUTH_E_ARGUMENT;
        };
        // SAFETY: the caller's promise.
        unsafe { conclude(config.0.add_provider(&line), err, err_cap) }
    })
}

/// Reads all files, validates everything and makes the shared memory. Starts no thread and opens no connection, so
/// it is called before the fork. `log` may be NULL; `log_user` is passed to it. `config` may be freed afterwards.
///
/// Returns SIPOAUTH_E_CONFIG with a sentence in `err`. `*out` is NULL on every failure.
///
/// # Safety
/// Pointers are valid; the log function stays callable as long as the context lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_new(
    config: *const sipoauth_config,
    log: sipoauth_log_fn,
    log_user: *mut c_void,
    out: *mut *mut sipoauth_context,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    quiet_panics();
    guard(None, || {
        if out.is_null() {
            return SIPOAUTH_E_ARGUMENT;
        }
        // SAFETY: not NULL, the caller's promise.
        unsafe { out.write(std::ptr::null_mut()) };
        // SAFETY: the caller's promise.
        let Some(config) = (unsafe { config.as_ref() }) else {
            return SIPOAUTH_E_ARGUMENT;
        };
        let made = Context::new(config.0.clone(), Arc::new(HostLog { log, user: log_user }));
        let made = made.map(|context| {
            let context = Box::into_raw(Box::new(sipoauth_context(Arc::new(context))));
            // SAFETY: checked above.
            unsafe { out.write(context) };
        });
        // SAFETY: the caller's promise.
        unsafe { conclude(made, err, err_cap) }
    })
}

/// Frees a context; NULL is allowed. Workers and I/O services of this process that still exist keep what they need.
///
/// # Safety
/// `context` comes from sipoauth_context_new and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_free(context: *mut sipoauth_context) {
    guard_or(None, (), || {
        if !context.is_null() {
            // SAFETY: the caller gives back what sipoauth_context_new returned.
            drop(unsafe { Box::from_raw(context) });
        }
    });
}

/// Reads the configuration file and the files it names again, in any process. All processes take the new
/// configuration over with their next call. A bad one changes nothing: SIPOAUTH_E_CONFIG and a sentence in `err`.
///
/// # Safety
/// Pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_reload(
    context: *mut sipoauth_context,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let Some(context) = (unsafe { context.as_ref() }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    guard(Some(&context.0), || {
        // SAFETY: the caller's promise.
        unsafe { conclude(context.0.reload(), err, err_cap) }
    })
}

/// # Safety
/// A non-NULL `err` is valid for `err_cap` octets.
pub(super) unsafe fn conclude(result: Result<(), ConfigError>, err: *mut c_char, err_cap: usize) -> i32 {
    match result {
        Ok(()) => SIPOAUTH_OK,
        Err(e) => {
            // SAFETY: the caller's promise.
            unsafe { put_error(err, err_cap, &e.0) };
            SIPOAUTH_E_CONFIG
        }
    }
}
