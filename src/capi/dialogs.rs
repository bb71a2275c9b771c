// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mark by which a proxy recognizes the dialogs that it let in.

use std::ffi::c_char;

use super::convert::{Buffer, octets};
use super::types::*;
use super::worker::{sipoauth_worker, with_worker};
use crate::worker::dialogs::DialogParts;

/// Writes the mark of a dialog, not NUL-terminated: a SIP URI parameter with the semicolon before it, 43 octets.
/// The host puts it into its Record-Route URI (into both, if it writes two) when it lets a dialog-forming request
/// go on. `call_id` and `from_tag` are those of that request, exactly as they stand there. The mark is an
/// HMAC-SHA256 over both and the day. Its key comes from the setting `store_key`, so it is the same after a
/// restart and at all proxies that share the setting. Without that setting the key is random and ends with the
/// proxy. `*len` gets the number of octets, also with SIPOAUTH_E_SPACE; `buf` may be NULL with `cap` 0 to ask for
/// it. Never blocks. Since ABI version 5.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_SPACE, SIPOAUTH_E_INPUT (Call-ID or tag is empty), SIPOAUTH_E_ARGUMENT,
/// SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `worker` and `len` are NULL or valid, texts for their lengths, `buf` for `cap` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_dialog_mark(
    worker: *mut sipoauth_worker,
    call_id: sipoauth_str,
    from_tag: sipoauth_str,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let buffer = match Buffer::new(buf, cap, len) {
            Ok(buffer) => buffer,
            Err(status) => return status,
        };
        with_worker(worker, |state| {
            let parts = DialogParts { call_id: octets(call_id)?, from_tag: octets(from_tag)?, to_tag: &[] };
            let mark = state.worker.dialogs(None).mark(&parts).ok_or(SIPOAUTH_E_INPUT)?;
            buffer.put(mark.as_bytes())
        })
    }
}

/// Tells whether a request with a To tag belongs to a dialog that sipoauth_worker_dialog_mark has marked (RFC 3261
/// section 12.2). Most of these requests carry no credentials, and anybody can invent a To tag. `route_parameters`
/// are the URI parameters of the topmost Route of the request: everything after the first semicolon that follows
/// the host. The host must have found that this URI is its own. Either party may have sent the request. A mark is
/// valid for 30 days after the day on which it was made. The mark does not limit where the request may go: anybody
/// who has seen it can send requests with this Call-ID and the first party's tag to any address. Call this before
/// anything else is done with the request, and answer 481 when the dialog is not marked. Comparisons take the same
/// time whatever differs. Never blocks. Since ABI version 5.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_MISMATCH (no mark, or not this dialog's), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS,
/// SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `worker` is NULL or valid, texts for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_dialog_check(
    worker: *mut sipoauth_worker,
    call_id: sipoauth_str,
    from_tag: sipoauth_str,
    to_tag: sipoauth_str,
    route_parameters: sipoauth_str,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        with_worker(worker, |state| {
            let (call_id, from_tag, to_tag) = (octets(call_id)?, octets(from_tag)?, octets(to_tag)?);
            let parts = DialogParts { call_id, from_tag, to_tag };
            let marked = state.worker.dialogs(None).is_marked(&parts, octets(route_parameters)?);
            if marked { Ok(()) } else { Err(SIPOAUTH_E_MISMATCH) }
        })
    }
}
