// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which parts of a request are for the library. A host removes them before it relays the request.

use super::convert::text;
use super::guard::guard_or;
use super::types::*;
use sipoauth_core::oauth::grant;
use sipoauth_core::sip::credentials;

/// Tells whether the body of an Authorization or Proxy-Authorization header field uses a scheme that the library
/// reads, Bearer or Key-Derivation. Such a field is for this server. It must not go on to the next hop, because
/// the next hop could use it. Any process, any thread. Since ABI version 5.
///
/// Returns 1 or 0, or after a failure SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `body` is valid for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_is_credentials(body: sipoauth_str) -> i32 {
    guard_or(None, SIPOAUTH_E_PANIC, || {
        // SAFETY: the caller's promise.
        let body = unsafe { text(body) };
        body.map_or_else(|status| status, |body| credentials::is_ours(&body).into())
    })
}

/// Tells whether the library reads the body of a REGISTER with this Content-Type:
/// application/x-www-form-urlencoded. `content_type` is the body of that header field, or empty when there is
/// none. Such a body has a code, a refresh token or a proof, and must not go on to the next hop either, because
/// anybody who has the code and sees the tags of the answer has the phone's key. Any process, any thread. Since
/// ABI version 5.
///
/// Returns 1 or 0, or after a failure SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `content_type` is valid for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_is_form(content_type: sipoauth_str) -> i32 {
    guard_or(None, SIPOAUTH_E_PANIC, || {
        // SAFETY: the caller's promise.
        let content_type = unsafe { text(content_type) };
        content_type.map_or_else(|status| status, |content_type| grant::is_form(&content_type).into())
    })
}
