// SPDX-License-Identifier: MIT OR Apache-2.0
//! Collects the configuration and makes the context, before the fork.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::convert::Place;
use super::guard::{configured, guard_or, guard_told};
use super::types::{SIPOAUTH_E_ARGUMENT, sipoauth_log_fn, sipoauth_str};
use crate::fault;
use crate::process::context::Context;
use sipoauth_core::config::source::Source;
use sipoauth_core::ports::{Level, Log};
use sipoauth_core::text::fingerprint::visible;

/// A configuration that is being collected. Used by one thread at a time.
pub struct sipoauth_config(Source);

/// What all processes share. It is made before the fork. After the fork all processes and threads may use it at
/// the same time.
pub struct sipoauth_context(Arc<Context>);

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
        fault::point(line);
        // No log line may contain invisible characters, whatever part of the library wrote it.
        let line = visible(line);
        if let Some(log) = self.log {
            log(self.user, level as u32, line.as_ptr().cast(), line.len());
        }
    }
}

/// The context behind a handle. The returned Arc keeps the context alive, because a callback may free the handle
/// during the call.
///
/// # Safety
/// A non-NULL `context` comes from sipoauth_context_new and is not freed yet.
pub(super) unsafe fn shared(context: *const sipoauth_context) -> Option<Arc<Context>> {
    // SAFETY: the caller's promise.
    unsafe { context.as_ref() }.map(|context| Arc::clone(&context.0))
}

/// A new, empty configuration; NULL after an internal error. Any process, any thread.
///
/// The caller owns it and gives it back with sipoauth_config_free.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_config_new() -> *mut sipoauth_config {
    guard_or(None, std::ptr::null_mut(), || Box::into_raw(Box::new(sipoauth_config(Source::default()))))
}

/// Frees a configuration; NULL is allowed. A context that was made from it stays valid.
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

/// Sets one global setting. `value` is UTF-8 text ("30", "yes"). Key and value are copied. "config_file" names a
/// TOML file that sipoauth_context_new and sipoauth_context_reload read. Setting a key again replaces its value. A
/// setting made here overrides that of the file.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, or SIPOAUTH_E_CONFIG for an unknown key or a value of the wrong kind;
/// sipoauth_context_new checks the ranges. `err` gets a NUL-terminated sentence, cut to `err_cap` octets, and is
/// empty after SIPOAUTH_OK; it may be NULL.
///
/// # Safety
/// `config` is NULL or valid; texts are valid for their lengths and `err` for `err_cap` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_config_set(
    config: *mut sipoauth_config,
    key: sipoauth_str,
    value: sipoauth_str,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        guard_told(None, err, err_cap, || {
            let config = config.as_mut().ok_or(SIPOAUTH_E_ARGUMENT)?;
            let key = configured("key", key)?;
            Ok(config.0.set(key, configured(key, value)?)?)
        })
    }
}

/// Adds a provider (an authorization server) written as one line of UTF-8, "name=…;issuer=…;audience=…;aor=…";
/// lists are separated by commas. The text is copied. sipoauth_context_new checks the values of the keys.
///
/// The return values and `err` are as for sipoauth_config_set.
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
    // SAFETY: the caller's promise.
    unsafe {
        guard_told(None, err, err_cap, || {
            let config = config.as_mut().ok_or(SIPOAUTH_E_ARGUMENT)?;
            Ok(config.0.add_provider(configured("provider", line)?)?)
        })
    }
}

/// Reads all files, validates everything and makes the shared memory. It starts no thread and opens no connection,
/// so it is called before the fork, in the process whose children share the context.
///
/// `log` may be NULL; `log_user` is passed to it. `config` may be freed afterwards. `*out` is NULL on every failure;
/// else the caller owns it and gives it back with sipoauth_context_free.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_CONFIG (the sentence in `err` names file, key and fix) or
/// SIPOAUTH_E_SYSTEM.
///
/// # Safety
/// Pointers are NULL or valid, `err` for `err_cap` octets. The log function and what `log_user` points to stay
/// usable in every process as long as the context, its workers and its I/O service live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_new(
    config: *const sipoauth_config,
    log: sipoauth_log_fn,
    log_user: *mut c_void,
    out: *mut *mut sipoauth_context,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        guard_told(None, err, err_cap, || {
            let out = Place::new(out, std::ptr::null_mut())?;
            let source = config.as_ref().ok_or(SIPOAUTH_E_ARGUMENT)?.0.clone();
            let context = Context::new(source, Arc::new(HostLog { log, user: log_user }))?;
            out.put(Box::into_raw(Box::new(sipoauth_context(Arc::new(context)))));
            Ok(())
        })
    }
}

/// Frees this process's handle of a context; NULL is allowed. Workers and I/O services of this process that still
/// exist keep what they need; other processes are not affected.
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

/// Reads the configuration file and the files that it names again, in any process and thread. Every process takes
/// over the new configuration with its next call. The call blocks while it reads files, but never for the network.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_CONFIG. A bad configuration changes nothing, and `err`
/// gets a sentence, as for sipoauth_config_set. Of two reloads at once, the second one is refused.
///
/// # Safety
/// `context` is NULL or valid, `err` valid for `err_cap` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_reload(
    context: *mut sipoauth_context,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let context = shared(context);
        guard_told(context.as_deref(), err, err_cap, || {
            Ok(context.as_ref().ok_or(SIPOAUTH_E_ARGUMENT)?.admin().reload()?)
        })
    }
}

/// Makes the I/O service fetch the keys of a provider now, for example because a key was compromised or replaced.
/// The limits of key fetches do not apply. An empty `provider` means every provider whose keys are fetched.
/// `*count` is the number of these providers, and 0 after a failure. Any process, any thread. Never blocks; the
/// state of the providers shows how the fetches went.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, or SIPOAUTH_E_CONFIG when there is no such provider or its keys are
/// configured; `err` gets a sentence, as for sipoauth_config_set.
///
/// # Safety
/// `context` and `count` are NULL or valid, `provider` for its length, `err` for `err_cap` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_refresh_keys(
    context: *mut sipoauth_context,
    provider: sipoauth_str,
    count: *mut u32,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let context = shared(context);
        guard_told(context.as_deref(), err, err_cap, || {
            let count = Place::new(count, 0)?;
            let context = context.as_ref().ok_or(SIPOAUTH_E_ARGUMENT)?;
            count.put(context.admin().refresh_keys(configured("provider", provider)?)? as u32);
            Ok(())
        })
    }
}
