// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one place where panics are caught, and where a failure gets its sentence for the caller.

use std::ffi::c_char;

use super::convert::{put_error, utf8};
use super::types::*;
use crate::process::StartError;
use crate::process::caught::caught;
use crate::process::context::Context;
use crate::shared::counters::Counter;
use sipoauth_core::config::ConfigError;
use sipoauth_core::ports::Level;

/// What the code inside a guard returns: nothing, or a negative `SIPOAUTH_E_` number.
pub type Status = Result<(), i32>;

/// Runs a function. A panic becomes `SIPOAUTH_E_PANIC`, and it is counted and logged with its place in the source.
pub fn guard(context: Option<&Context>, run: impl FnOnce() -> Status) -> i32 {
    guard_or(context, SIPOAUTH_E_PANIC, || run().map_or_else(|status| status, |()| SIPOAUTH_OK))
}

/// Runs a function; a panic becomes `otherwise`.
pub fn guard_or<T>(context: Option<&Context>, otherwise: T, run: impl FnOnce() -> T) -> T {
    caught(run).unwrap_or_else(|place| {
        if let Some(context) = context {
            // If logging panics too, the answer stays the same.
            let _ = caught(|| {
                context.arena().shared().counters.add(Counter::Panics);
                context.log().log(Level::Error, &format!("internal error caught at {place}; please report it"));
            });
        }
        otherwise
    })
}

/// A failure of a function that can give its caller a sentence.
pub struct CallFailure {
    status: i32,
    sentence: Option<String>,
}

impl CallFailure {
    /// A failure with a sentence of its own.
    pub fn new(status: i32, sentence: &str) -> CallFailure {
        CallFailure { status, sentence: Some(sentence.to_owned()) }
    }
}

impl From<i32> for CallFailure {
    fn from(status: i32) -> CallFailure {
        CallFailure { status, sentence: None }
    }
}

impl From<ConfigError> for CallFailure {
    fn from(error: ConfigError) -> CallFailure {
        CallFailure { status: SIPOAUTH_E_CONFIG, sentence: Some(error.0) }
    }
}

impl From<StartError> for CallFailure {
    fn from(error: StartError) -> CallFailure {
        let status = match error {
            StartError::Config(_) => SIPOAUTH_E_CONFIG,
            StartError::System(_) => SIPOAUTH_E_SYSTEM,
            StartError::Running => SIPOAUTH_E_BUSY,
        };
        CallFailure { status, sentence: Some(error.to_string()) }
    }
}

/// As [`guard`]; the caller's `err` gets a sentence for every failure and is empty otherwise.
///
/// # Safety
/// A non-NULL `err` is valid for `cap` octets.
pub unsafe fn guard_told(
    context: Option<&Context>,
    err: *mut c_char,
    cap: usize,
    run: impl FnOnce() -> Result<(), CallFailure>,
) -> i32 {
    let tell = |sentence: &str| {
        // SAFETY: the caller's promise.
        unsafe { put_error(err, cap, sentence) }
    };
    guard(context, || {
        // If `run` panics, this sentence stays.
        tell("an internal error was caught; please report it");
        match run() {
            Ok(()) => {
                tell("");
                Ok(())
            }
            Err(CallFailure { status, sentence }) => {
                tell(sentence.as_deref().unwrap_or_else(|| general_sentence(status)));
                Err(status)
            }
        }
    })
}

fn general_sentence(status: i32) -> &'static str {
    match status {
        SIPOAUTH_E_PROCESS => "the handle was made in another process; make one after the fork",
        SIPOAUTH_E_BUSY => "the handle is in use by another thread or by the caller of this callback",
        _ => "an argument is wrong: a pointer is NULL or a length is too large",
    }
}

/// A text of the configuration. Unlike text from a peer, it must be UTF-8.
///
/// # Safety
/// A non-NULL `ptr` must be valid for `len` octets during `'a`.
pub unsafe fn configured<'a>(name: &str, value: sipoauth_str) -> Result<&'a str, CallFailure> {
    // SAFETY: passed on to the caller.
    let text = unsafe { utf8(value) }?;
    text.ok_or_else(|| ConfigError(format!("{name}: is not UTF-8 text; write it as such")).into())
}
