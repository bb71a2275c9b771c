// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared keys and proofs of possession: pure functions for phones, proxies and other servers.

use std::ffi::c_char;

use super::convert::{octets, put_octets, structure, text};
use super::guard::guard;
use super::types::*;
use crate::proto::digest_string::{DigestParts, digest_string};
use crate::proto::pop::{make_pop, pop_from_text, pop_to_text, verify_pop};
use crate::proto::shared_key::{KeyOrder, shared_key};

/// Derives the shared key from an authorization code and the 200 OK that completes the registration
/// (3rd-party-authentication section 2.1.2). `order` is SIPOAUTH_KEY_ORDER_; tags and Call-ID are raw header
/// octets. Writes 32 octets to `key`; the caller wipes them.
///
/// # Safety
/// Pointers are valid for their lengths; `key` for 32 octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_shared_key(
    order: u32,
    code: sipoauth_str,
    from_tag: sipoauth_str,
    to_tag: sipoauth_str,
    call_id: sipoauth_str,
    key: *mut u8,
) -> i32 {
    guard(None, || {
        let order = match order {
            SIPOAUTH_KEY_ORDER_DRAFT => KeyOrder::Draft,
            SIPOAUTH_KEY_ORDER_SLIDES => KeyOrder::Slides,
            _ => return SIPOAUTH_E_ARGUMENT,
        };
        // SAFETY: the caller's promise.
        let parts = unsafe { (octets(code), octets(from_tag), octets(to_tag), octets(call_id)) };
        let (Ok(code), Ok(from_tag), Ok(to_tag), Ok(call_id)) = parts else {
            return SIPOAUTH_E_ARGUMENT;
        };
        if key.is_null() {
            return SIPOAUTH_E_ARGUMENT;
        }
        if code.is_empty() || from_tag.is_empty() || to_tag.is_empty() || call_id.is_empty() {
            return SIPOAUTH_E_INPUT;
        }
        let derived = shared_key(order, code, from_tag, to_tag, call_id);
        // SAFETY: the caller vouches for 32 octets.
        unsafe { std::ptr::copy_nonoverlapping(derived.as_ptr(), key, derived.len()) };
        SIPOAUTH_OK
    })
}

/// Writes the digest-string of a message (RFC 4474 section 9) to `buf`, not NUL-terminated.
/// SIPOAUTH_E_INPUT: a part is missing, or CSeq or Date cannot be read.
///
/// # Safety
/// Pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_digest_string(
    parts: *const sipoauth_digest_parts,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise.
        let read = || unsafe {
            let p = structure(parts)?;
            Ok::<_, i32>(DigestParts {
                from: octets(p.from_uri)?,
                to: octets(p.to_uri)?,
                call_id: octets(p.call_id)?,
                cseq: octets(p.cseq)?,
                date: octets(p.date)?,
                contact: octets(p.contact_uri)?,
                body: octets(p.body)?,
            })
        };
        match read().map(|parts| digest_string(&parts)) {
            // SAFETY: the caller's promise.
            Ok(Ok(digest)) => unsafe { put_octets(&digest, buf, cap, len) },
            Ok(Err(_)) => SIPOAUTH_E_INPUT,
            Err(status) => status,
        }
    })
}

/// Makes a proof of possession: HMAC-SHA256(key, digest-string) as 43 characters of base64url without padding,
/// not NUL-terminated.
///
/// # Safety
/// Pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_pop_make(
    key: sipoauth_str,
    digest: sipoauth_str,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise.
        let (Ok(key), Ok(digest)) = (unsafe { (octets(key), octets(digest)) }) else {
            return SIPOAUTH_E_ARGUMENT;
        };
        if key.is_empty() {
            return SIPOAUTH_E_INPUT;
        }
        // SAFETY: the caller's promise.
        unsafe { put_octets(pop_to_text(&make_pop(key, digest)).as_bytes(), buf, cap, len) }
    })
}

/// Checks a proof of possession written as base64url, base64 or hex, in constant time.
/// SIPOAUTH_OK, SIPOAUTH_E_MISMATCH, or SIPOAUTH_E_INPUT when it cannot be read.
///
/// # Safety
/// Pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_pop_verify(key: sipoauth_str, digest: sipoauth_str, pop: sipoauth_str) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise.
        let (Ok(key), Ok(digest), Ok(pop)) = (unsafe { (octets(key), octets(digest), text(pop)) }) else {
            return SIPOAUTH_E_ARGUMENT;
        };
        if key.is_empty() || pop_from_text(&pop).is_none() {
            return SIPOAUTH_E_INPUT;
        }
        if verify_pop(key, digest, &pop) { SIPOAUTH_OK } else { SIPOAUTH_E_MISMATCH }
    })
}
