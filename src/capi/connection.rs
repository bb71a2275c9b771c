// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of connections.

use super::config::{shared, sipoauth_context};
use super::guard::{guard, guard_or};
use super::types::*;

/// Tells that a connection has ended, by the number that its requests had in sipoauth_request.connection: what it was
/// bound to leaves the memory at once. For hosts that learn of it; without this call it stays until the room is needed,
/// or for two hours after its last use, and a new connection of the same number is still another one. Any process, any thread; never blocks.
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
        context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?.forget_connection(connection);
        Ok(())
    })
}

/// Whether connections are remembered at all (setting connection_auth), so that it is of use to tell of their end. Stays
/// the same as long as the context lives. Any process, any thread; never blocks.
///
/// Returns 1 if they are, 0 if not; else SIPOAUTH_E_ARGUMENT.
///
/// # Safety
/// `context` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_binds_connections(context: *const sipoauth_context) -> i32 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard_or(context.as_deref(), SIPOAUTH_E_PANIC, || {
        context.as_deref().map_or(SIPOAUTH_E_ARGUMENT, |context| i32::from(context.remembers_connections()))
    })
}
