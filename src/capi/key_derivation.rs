// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Key-Derivation scheme (draft-yusef-sipcore-key-derivation-00): keys from passwords, proofs, checks, challenges.

use std::ffi::c_char;
use std::num::NonZeroU32;

use super::check::{answer_to, judge};
use super::convert::{Buffer, octets, text};
use super::guard::guard;
use super::types::*;
use super::worker::{replying, sipoauth_worker};
use crate::worker::key_derivation::AccountSource;
use crate::worker::replies::key_derivation_challenge;
use sipoauth_core::keys::pbkdf2::{Kdf, MasterKey, derive};
use sipoauth_core::keys::pop::pop_to_text;
use sipoauth_core::sip::key_derivation::proof;

/// Longest derived key in octets.
const MAX_KEY: usize = 1024;

/// PBKDF2 (RFC 8018 section 5.2): derives `key_len` octets, 1 to 1024, from a password. `kdf` is a SIPOAUTH_KDF_
/// number; `iterations` is at least 1. The caller wipes `key` after use; after a failure it is unchanged. Slow by
/// design: 600,000 iterations take some tenths of a second. Any process, any thread.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.
///
/// # Safety
/// Texts are valid for their lengths; `key` is NULL or valid for `key_len` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_pbkdf2(
    kdf: u32,
    password: sipoauth_str,
    salt: sipoauth_str,
    iterations: u32,
    key: *mut u8,
    key_len: usize,
) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise.
        let (password, salt) = unsafe { (octets(password)?, octets(salt)?) };
        let iterations = NonZeroU32::new(iterations).ok_or(SIPOAUTH_E_ARGUMENT)?;
        let kdf = kdf_of(kdf)?;
        if key.is_null() || !(1..=MAX_KEY).contains(&key_len) {
            return Err(SIPOAUTH_E_ARGUMENT);
        }
        let mut derived = zeroize::Zeroizing::new([0; MAX_KEY]);
        derive(kdf, password, salt, iterations, &mut derived[..key_len]);
        // SAFETY: not NULL, and the caller vouches for the length; `derived` is the library's own and as long.
        unsafe { std::ptr::copy_nonoverlapping(derived.as_ptr(), key, key_len) };
        Ok(())
    })
}

/// Makes a proof of the Key-Derivation scheme (sections 3 and 4): HMAC-SHA256(key, digest ‖ nonce) as 43
/// characters of base64url without padding. `key` is the derived key, 16 to 64 octets. `digest` comes from
/// sipoauth_digest_string and covers the whole body. `nonce` is written as in the header field, without quotes; it
/// is empty for the proof of a later request. `*len` and `buf` are as for sipoauth_digest_string.
///
/// A phone compares the pop of a challenge with the result of this function for the challenged request and the
/// challenge's nonce. It refuses a challenge whose nonce is one of its own.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SPACE, or SIPOAUTH_E_INPUT when the key has another length.
///
/// # Safety
/// Texts are valid for their lengths, `buf` for `cap` octets, `len` NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_key_derivation_pop(
    key: sipoauth_str,
    digest: sipoauth_str,
    nonce: sipoauth_str,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise.
        let (buffer, key, digest, nonce) =
            unsafe { (Buffer::new(buf, cap, len)?, octets(key)?, octets(digest)?, text(nonce)?) };
        let key = MasterKey::from_octets(key.to_vec()).ok_or(SIPOAUTH_E_INPUT)?;
        buffer.put(pop_to_text(&proof(&key, digest, &nonce)).as_bytes())
    })
}

/// Checks the Key-Derivation credentials of a request. Uses the CPU only (some HMACs, never a derivation), never
/// blocks. Request, result, parking and return values are as for sipoauth_worker_check; the setting `store` is
/// needed. The address-of-record of a REGISTER is its To, and its From must be the same. For other methods it is
/// From.
///
/// Without SIPOAUTH_CHECK_GIVEN_ACCOUNT in `flags`, `account` is empty and the account comes from the store. With
/// that flag, `account` is a verifier from the caller's own database, as `sipoauth accounts derive` prints it, or
/// empty when there is no such user. When the status is 401 or 407, sipoauth_worker_key_derivation_challenge gives
/// the challenge. A wrong proof and a user who does not exist have the same reason, pop_invalid.
///
/// # Safety
/// As for sipoauth_worker_check; `account` is valid for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_key_derivation(
    worker: *mut sipoauth_worker,
    request: *const sipoauth_request,
    account: sipoauth_str,
    flags: u32,
    result: *mut sipoauth_result,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        judge(worker, result, |state| {
            let _last = std::mem::take(&mut state.last);
            let line = zeroize::Zeroizing::new(text(account)?.into_owned());
            let given = flags & SIPOAUTH_CHECK_GIVEN_ACCOUNT != 0;
            if !given && !line.is_empty() {
                return Err(SIPOAUTH_E_ARGUMENT);
            }
            let source = if given { AccountSource::Given(&line) } else { AccountSource::Store };
            answer_to(state, request, flags & !SIPOAUTH_CHECK_GIVEN_ACCOUNT, |worker, request, handling| {
                worker.check_key_derivation(request, source, handling)
            })
        })
    }
}

/// Makes the Key-Derivation challenge that belongs to a check of that scheme (section 3). `check` comes from the
/// worker's last result. The status is 401 with WWW-Authenticate or 407 with Proxy-Authenticate, depending on the
/// role of the check. sipoauth_worker_reply gives the same challenge; this function is for a host that also
/// challenges by other schemes. Never blocks.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_STALE, SIPOAUTH_E_STATE (the check was of another kind, or its outcome is not
/// challenged), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC. After a failure
/// `reply` says 503.
///
/// Changed in ABI version 5.
///
/// # Safety
/// `worker` is NULL or valid, `reply` as for sipoauth_worker_reply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_key_derivation_challenge(
    worker: *mut sipoauth_worker,
    check: u64,
    reply: *mut sipoauth_reply,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        replying(worker, reply, |state| {
            state.is_last(check)?;
            key_derivation_challenge(&state.last).ok_or(SIPOAUTH_E_STATE)
        })
    }
}

fn kdf_of(number: u32) -> Result<Kdf, i32> {
    match number {
        SIPOAUTH_KDF_SHA256 => Ok(Kdf::Sha256),
        SIPOAUTH_KDF_SHA512 => Ok(Kdf::Sha512),
        _ => Err(SIPOAUTH_E_ARGUMENT),
    }
}
