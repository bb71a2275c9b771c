// SPDX-License-Identifier: MIT OR Apache-2.0
//! What parts of a request are the library's: a host that relays it takes them out.

use super::convert::text;
use super::guard::guard_or;
use super::types::*;
use sipoauth_core::oauth::grant;
use sipoauth_core::sip::credentials;

/// Whether the body of an Authorization or Proxy-Authorization header field is of a scheme that the library reads, Bearer or
/// Key-Derivation. Such a field is for this server: it must not go on to the next hop, who could use it. Any process, any
/// thread. Since ABI version 5.
///
/// Returns 1 or 0; SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.
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

/// Whether the body of a REGISTER with this Content-Type (its body; empty when there is none) is one that the library reads:
/// application/x-www-form-urlencoded. It has a code, a refresh token or a proof, and must not go on to the next hop either:
/// who has the code and sees the answer's tags has the phone's key. Any process, any thread. Since ABI version 5.
///
/// Returns 1 or 0; SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.
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
