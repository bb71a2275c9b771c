// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands of an operator, for hosts that register them with an interface of their own.

use std::ffi::{CStr, c_char, c_void};

use super::config::{shared, sipoauth_context};
use super::convert::{Place, octets, structure, text};
use super::guard::{CallFailure, guard_or, guard_told};
use super::sessions::with_end;
use super::types::*;
use crate::commands::{self, Argument, COMMANDS, Command, Fault, Full, Host};
use sipoauth_core::records::session_end::SessionEnd;
use sipoauth_core::text::fingerprint::visible;

/// No command has as many arguments.
const MAX_ARGUMENTS: usize = 16;

/// How many commands there are: a constant of this version. Any process, any thread. Since ABI version 5.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_command_count() -> u32 {
    guard_or(None, 0, || COMMANDS.len() as u32)
}

/// The name of a command, snake_case; static, NUL-terminated. NULL past the end. Any process, any thread. Since ABI
/// version 5.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_command_name(index: u32) -> *const c_char {
    of_command(index, std::ptr::null(), |command| command.name.as_ptr())
}

/// What a command does, in one line; otherwise as sipoauth_command_name. Since ABI version 5.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_command_help(index: u32) -> *const c_char {
    of_command(index, std::ptr::null(), |command| command.help.as_ptr())
}

/// 1 when the answer of a command has any number of items, 0 when it has one item or one line, and past the end. Any
/// process, any thread. Since ABI version 5.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_command_is_list(index: u32) -> u32 {
    of_command(index, 0, |command| command.is_list.into())
}

/// The name of an argument of a command, both counted from 0; otherwise as sipoauth_command_name. The required arguments
/// come first. Since ABI version 5.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_command_argument(index: u32, argument: u32) -> *const c_char {
    of_argument(index, argument, std::ptr::null(), |argument| argument.name.as_ptr())
}

/// The SIPOAUTH_ARGUMENT_ flags of an argument, added up; 0 past the end. Any process, any thread. Since ABI version 5.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_command_argument_flags(index: u32, argument: u32) -> u32 {
    of_argument(index, argument, 0, |argument| {
        let required = if argument.is_required { SIPOAUTH_ARGUMENT_REQUIRED } else { 0 };
        required | if argument.is_text { SIPOAUTH_ARGUMENT_TEXT } else { 0 }
    })
}

/// Runs a command of the operator. `name` is that of sipoauth_command_name, `arguments` are as many as there are, at most
/// as many as the command has; an empty one counts as missing. They are borrowed for the call, and no password among them
/// is copied or logged. `host` takes the answer; the structure is copied. Call this after the fork, in any process and
/// thread. The call reads files, and with a Redis store it waits for Redis, at most store_timeout for each of its steps, so
/// a SIP worker should not make it.
///
/// Returns SIPOAUTH_OK, or an error, and then `*fault` is a number as HTTP has them, and `err` gets a sentence for the
/// operator, as for sipoauth_config_set. Part of an answer may have been given before. `*fault` is 400 (an argument is
/// missing or cannot be taken: SIPOAUTH_E_INPUT), 403 (not in a process that handles SIP: SIPOAUTH_E_STATE), 404 (what the
/// command is about is not there or not configured, or there is no such command: SIPOAUTH_E_ABSENT), 503 (the store cannot
/// be reached: SIPOAUTH_E_STORE), or 500 (SIPOAUTH_E_CONFIG, and mistakes of the host and of the library:
/// SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PANIC). After SIPOAUTH_OK it is 0. Since ABI version 5.
///
/// # Safety
/// `context`, `host` and `fault` are NULL or valid and struct_size of `host` is set. `arguments` points to as many texts
/// as `arguments_count` says, texts are valid for their lengths and `err` for `err_cap` octets. The callbacks may be called
/// with `user` of `host` and do not leave by longjmp or a C++ exception.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_command(
    context: *const sipoauth_context,
    name: sipoauth_str,
    arguments: *const sipoauth_str,
    arguments_count: usize,
    host: *const sipoauth_command_host,
    fault: *mut u32,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let context = shared(context);
        guard_told(context.as_deref(), err, err_cap, || {
            let code = Place::new(fault, 500)?;
            let context = context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?;
            let mut host = Caller::new(&structure(host)?)?;
            let arguments = texts(arguments, arguments_count)?;
            let done = commands::run(context, &text(name)?, &arguments, &mut host);
            code.put(done.as_ref().map_or_else(|fault| fault.code, |()| 0));
            Ok(done?)
        })
    }
}

fn of_command<T: Copy>(index: u32, otherwise: T, of: impl FnOnce(&'static Command) -> T) -> T {
    guard_or(None, otherwise, || COMMANDS.get(index as usize).map_or(otherwise, of))
}

fn of_argument<T: Copy>(index: u32, argument: u32, otherwise: T, of: impl FnOnce(&'static Argument) -> T) -> T {
    of_command(index, otherwise, |command| command.arguments.get(argument as usize).map_or(otherwise, of))
}

/// The arguments, without a copy.
///
/// # Safety
/// A non-NULL `texts` points to as many texts as `count` says, and they are valid for their lengths during `'a`.
unsafe fn texts<'a>(texts: *const sipoauth_str, count: usize) -> Result<Vec<&'a [u8]>, i32> {
    if count > MAX_ARGUMENTS || (count > 0 && (texts.is_null() || !texts.is_aligned())) {
        return Err(SIPOAUTH_E_ARGUMENT);
    }
    // SAFETY: not NULL and aligned; the caller vouches for the number and the lengths.
    (0..count).map(|index| unsafe { octets(texts.add(index).read()) }).collect()
}

impl From<Fault> for CallFailure {
    fn from(fault: Fault) -> CallFailure {
        let status = match fault.code {
            400 => SIPOAUTH_E_INPUT,
            403 => SIPOAUTH_E_STATE,
            404 => SIPOAUTH_E_ABSENT,
            503 => SIPOAUTH_E_STORE,
            _ => SIPOAUTH_E_CONFIG,
        };
        CallFailure::new(status, &fault.sentence)
    }
}

/// The host that has called, with the callbacks that every host has.
struct Caller {
    host: sipoauth_command_host,
    item: extern "C" fn(*mut c_void) -> i32,
    text: extern "C" fn(*mut c_void, *const c_char, sipoauth_str) -> i32,
    number: extern "C" fn(*mut c_void, *const c_char, u64) -> i32,
    line: extern "C" fn(*mut c_void, sipoauth_str) -> i32,
}

impl Caller {
    fn new(host: &sipoauth_command_host) -> Result<Caller, i32> {
        let (Some(item), Some(text), Some(number), Some(line)) = (host.item, host.text, host.number, host.line) else {
            return Err(SIPOAUTH_E_ARGUMENT);
        };
        if host.flags & !SIPOAUTH_COMMAND_HANDLES_SIP != 0 {
            return Err(SIPOAUTH_E_ARGUMENT);
        }
        Ok(Caller { host: *host, item, text, number, line })
    }
}

fn taken(status: i32) -> Result<(), Full> {
    if status == 0 { Ok(()) } else { Err(Full) }
}

impl Host for Caller {
    fn handles_sip(&self) -> bool {
        self.host.flags & SIPOAUTH_COMMAND_HANDLES_SIP != 0
    }

    fn item(&mut self) -> Result<(), Full> {
        taken((self.item)(self.host.user))
    }

    fn text(&mut self, name: &CStr, value: &str) -> Result<(), Full> {
        taken((self.text)(self.host.user, name.as_ptr(), value.into()))
    }

    fn number(&mut self, name: &CStr, value: u64) -> Result<(), Full> {
        taken((self.number)(self.host.user, name.as_ptr(), value))
    }

    fn line(&mut self, text: &str) -> Result<(), Full> {
        taken((self.line)(self.host.user, text.into()))
    }

    fn has_bindings(&self) -> bool {
        self.host.remove_bindings.is_some()
    }

    fn remove_bindings(&mut self, end: &SessionEnd) -> u64 {
        let Some(remove) = self.host.remove_bindings else { return 0 };
        with_end(end, |state| remove(self.host.user, state)).into()
    }

    fn ended(&mut self, end: &SessionEnd) {
        if let Some(told) = self.host.ended {
            with_end(end, |state| {
                told(self.host.user, state, end.by.reason_code().as_ptr(), visible(&end.why).as_ref().into())
            });
        }
    }
}
