// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared keys and proofs of possession: pure functions for phones, proxies and other servers. They need no handle
//! and may be called in any process and thread.

use std::ffi::c_char;

use super::convert::{Buffer, octets, structure, text};
use super::guard::guard;
use super::types::*;
use sipoauth_core::keys::master_key::{Ha1Form, master_key};
use sipoauth_core::keys::pop::{make_pop, pop_from_text, pop_to_text, verify_pop};
use sipoauth_core::keys::shared_key::{KeyOrder, shared_key};
use sipoauth_core::sip::digest_string::{DigestParts, digest_string, digest_string_with_uri};

/// Derives the shared key from an authorization code and the 200 OK that completes the registration:
/// HMAC-SHA256(code, from-tag ‖ to-tag ‖ call-id) (3rd-party-authentication section 2.1.2).
///
/// `order` is a SIPOAUTH_KEY_ORDER_ number. Tags and Call-ID are raw header octets, without quotes or brackets.
/// Writes 32 octets to `key`, which the caller wipes after use; after a failure `key` is unchanged.
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, or SIPOAUTH_E_INPUT when a part is empty.
///
/// # Safety
/// Texts are valid for their lengths; `key` is NULL or valid for 32 octets.
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
            _ => return Err(SIPOAUTH_E_ARGUMENT),
        };
        // SAFETY: the caller's promise.
        let (code, from_tag, to_tag, call_id) =
            unsafe { (octets(code)?, octets(from_tag)?, octets(to_tag)?, octets(call_id)?) };
        if key.is_null() {
            return Err(SIPOAUTH_E_ARGUMENT);
        }
        if [code, from_tag, to_tag, call_id].iter().any(|part| part.is_empty()) {
            return Err(SIPOAUTH_E_INPUT);
        }
        let derived = shared_key(order, code, from_tag, to_tag, call_id);
        // SAFETY: not NULL, and the caller vouches for 32 octets; `derived` is the library's own.
        unsafe { std::ptr::copy_nonoverlapping(derived.as_ptr(), key, derived.len()) };
        Ok(())
    })
}

/// Derives the master-key of a Digest authentication: HMAC-SHA256(H(A1), realm ‖ nonce) (sip-oauth-01 sections 3.4 and
/// 4.3). Since ABI version 4.
///
/// `form` is a SIPOAUTH_HA1_ number; `ha1` is hex text of 32 or 64 digits in both forms. Writes 32 octets to
/// `key`, which the caller wipes after use; after a failure `key` is unchanged.
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, or SIPOAUTH_E_INPUT when `ha1` is not such a text or a part is empty.
///
/// # Safety
/// Texts are valid for their lengths; `key` is NULL or valid for 32 octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_master_key(
    form: u32,
    ha1: sipoauth_str,
    realm: sipoauth_str,
    nonce: sipoauth_str,
    key: *mut u8,
) -> i32 {
    guard(None, || {
        let form = match form {
            SIPOAUTH_HA1_HEX => Ha1Form::Hex,
            SIPOAUTH_HA1_RAW => Ha1Form::Raw,
            _ => return Err(SIPOAUTH_E_ARGUMENT),
        };
        // SAFETY: the caller's promise.
        let (ha1, realm, nonce) = unsafe { (text(ha1)?, octets(realm)?, octets(nonce)?) };
        if key.is_null() {
            return Err(SIPOAUTH_E_ARGUMENT);
        }
        let derived = Some(&ha1).filter(|_| !realm.is_empty() && !nonce.is_empty());
        let derived = derived.and_then(|ha1| master_key(form, ha1, realm, nonce)).ok_or(SIPOAUTH_E_INPUT)?;
        // SAFETY: not NULL, and the caller vouches for 32 octets; `derived` is the library's own.
        unsafe { std::ptr::copy_nonoverlapping(derived.as_ptr(), key, derived.len()) };
        Ok(())
    })
}

/// Writes the digest-string of a message (RFC 4474 section 9) to `buf`, not NUL-terminated. `*len` gets the number
/// of octets, also with SIPOAUTH_E_SPACE; `buf` may be NULL with `cap` 0 to ask for it.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SPACE, or SIPOAUTH_E_INPUT when a part is missing, CSeq or
/// Date cannot be read, a part other than the body has a '|', or the Request-URI has a space or a control
/// character.
///
/// # Safety
/// `parts` and what it points to is valid, `buf` for `cap` octets, `len` NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_digest_string(
    parts: *const sipoauth_digest_parts,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise.
        let (buffer, parts, uri) = unsafe {
            let buffer = Buffer::new(buf, cap, len)?;
            let p = structure(parts)?;
            let parts = DigestParts {
                from: octets(p.from_uri)?,
                to: octets(p.to_uri)?,
                call_id: octets(p.call_id)?,
                cseq: octets(p.cseq)?,
                date: octets(p.date)?,
                contact: octets(p.contact_uri)?,
                body: octets(p.body)?,
            };
            (buffer, parts, octets(p.request_uri)?)
        };
        let text = if uri.is_empty() { digest_string(&parts) } else { digest_string_with_uri(&parts, uri) };
        buffer.put(&text.map_err(|_| SIPOAUTH_E_INPUT)?)
    })
}

/// Makes a proof of possession: HMAC-SHA256(key, digest-string) as 43 characters of base64url without padding (RFC
/// 4648 section 5), not NUL-terminated. `*len` and `buf` are as for sipoauth_digest_string.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SPACE, or SIPOAUTH_E_INPUT when the key is empty.
///
/// # Safety
/// Texts are valid for their lengths, `buf` for `cap` octets, `len` NULL or valid.
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
        let (buffer, key, digest) = unsafe { (Buffer::new(buf, cap, len)?, octets(key)?, octets(digest)?) };
        if key.is_empty() {
            return Err(SIPOAUTH_E_INPUT);
        }
        buffer.put(pop_to_text(&make_pop(key, digest)).as_bytes())
    })
}

/// Checks a proof of possession written as base64url, base64 (padded or not) or hex, in constant time.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_MISMATCH, SIPOAUTH_E_ARGUMENT, or SIPOAUTH_E_INPUT when the key is empty or `pop`
/// is none of these spellings of 32 octets.
///
/// # Safety
/// Texts are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_pop_verify(key: sipoauth_str, digest: sipoauth_str, pop: sipoauth_str) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise.
        let (key, digest, pop) = unsafe { (octets(key)?, octets(digest)?, text(pop)?) };
        if key.is_empty() || pop_from_text(&pop).is_none() {
            return Err(SIPOAUTH_E_INPUT);
        }
        if verify_pop(key, digest, &pop) { Ok(()) } else { Err(SIPOAUTH_E_MISMATCH) }
    })
}
