// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a host tells that a connection has ended.

use super::config::{shared, sipoauth_context};
use super::guard::{guard, guard_or};
use super::types::*;

/// Tells the library that a connection has ended. `connection` is the number that its requests had in
/// sipoauth_request.connection. The library removes what the connection was bound to from memory at once. This is
/// for hosts that learn of the end of a connection. Without this call the binding stays until its room is needed,
/// or for two hours after its last use. A new connection with the same number still counts as another one. Any
/// process, any thread; never blocks.
///
/// Returns SIPOAUTH_OK, also when the connection was not bound; else SIPOAUTH_E_ARGUMENT.
///
/// # Safety
/// `context` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_connection_closed(context: *const sipoauth_context, connection: u64) -> i32 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard(context.as_deref(), || {
        context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?.arena().connections().forget(connection);
        Ok(())
    })
}

/// Tells whether the library remembers connections at all (setting connection_auth). Only then is
/// sipoauth_context_connection_closed of use. The answer stays the same as long as the context lives. Any process,
/// any thread; never blocks.
///
/// Returns 1 if it does, 0 if not; else SIPOAUTH_E_ARGUMENT.
///
/// # Safety
/// `context` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_binds_connections(context: *const sipoauth_context) -> i32 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard_or(context.as_deref(), SIPOAUTH_E_PANIC, || {
        context.as_deref().map_or(SIPOAUTH_E_ARGUMENT, |context| i32::from(!context.arena().connections().is_empty()))
    })
}
