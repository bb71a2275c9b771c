// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes, removes and shows the accounts of the Key-Derivation scheme in the store. Keys are never shown.

use std::ffi::{c_char, c_void};

use super::config::{shared, sipoauth_context};
use super::convert::{Buffer, Place, octets, text};
use super::guard::{CallFailure, configured, guard, guard_told};
use super::sessions::number;
use super::types::*;
use crate::commands::accounts::{PutError, put};
use crate::store::accounts::ListedAccount;
use sipoauth_core::keys::pbkdf2::Kdf;
use sipoauth_core::sip::uri::Aor;

/// Writes the account of `aor` (a SIP URI) and replaces an earlier one. The caller gives either `verifier`, a line
/// as `sipoauth accounts derive` prints it, or `password`. From a password the calling thread derives the key,
/// which takes some tenths of a second, so a SIP worker must not do that. The password is not stored. Where this
/// may be called and how long it may wait: see sipoauth_context_sessions.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_STATE (`store` is not configured), SIPOAUTH_E_INPUT (`aor`
/// is not a SIP address, `verifier` cannot be read, or neither or both of `verifier` and `password` are given),
/// SIPOAUTH_E_STORE or SIPOAUTH_E_PANIC; `err` gets a sentence, as for sipoauth_config_set.
///
/// # Safety
/// `context` is NULL or valid, texts valid for their lengths, `err` for `err_cap` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_account_put(
    context: *const sipoauth_context,
    aor: sipoauth_str,
    verifier: sipoauth_str,
    password: sipoauth_str,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let context = shared(context);
        guard_told(context.as_deref(), err, err_cap, || {
            let context = context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?;
            let (aor, password) = (text(aor)?, octets(password)?);
            Ok(put(context, &aor, configured("verifier", verifier)?, password)?)
        })
    }
}

/// Removes the account of `aor`; `*removed` is 1 when there was one. Where this may be called and how long it may
/// wait: see sipoauth_context_sessions.
///
/// Returns SIPOAUTH_OK, also when there was no account; otherwise as sipoauth_context_sessions.
///
/// # Safety
/// `context` and `removed` are NULL or valid, `aor` valid for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_account_remove(
    context: *const sipoauth_context,
    aor: sipoauth_str,
    removed: *mut u32,
) -> i32 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard(context.as_deref(), || {
        let context = context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?;
        // SAFETY: the caller's promise.
        let (aor, removed) = unsafe { (text(aor)?, Place::new(removed, 0)?) };
        let aor = Aor::parse(&aor).ok_or(SIPOAUTH_E_INPUT)?;
        removed.put(context.admin().remove_account(&aor).map_err(number)?.into());
        Ok(())
    })
}

/// Shows the account of `aor`, or, when `aor` is empty, all accounts, some at a time. `from`, `next`, the return
/// values, where this may be called and how long it may wait are as for sipoauth_context_sessions. Keys and salts
/// are never shown.
///
/// # Safety
/// As for sipoauth_context_sessions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_accounts(
    context: *const sipoauth_context,
    aor: sipoauth_str,
    from: sipoauth_str,
    each: sipoauth_account_fn,
    user: *mut c_void,
    next: *mut c_char,
    next_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard(context.as_deref(), || {
        let context = context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?;
        let mut length = 0;
        // SAFETY: the caller's promise; `length` outlives the buffer.
        let (aor, from, next) = unsafe { (text(aor)?, text(from)?, Buffer::new(next, next_cap, &raw mut length)?) };
        next.put(b"\0")?;
        let page = context.admin().list_accounts(&aor, &from).map_err(number)?;
        for ListedAccount { aor, parameters } in page.accounts.iter().filter(|_| each.is_some()) {
            let state = sipoauth_account_state {
                struct_size: size_of::<sipoauth_account_state>() as u32,
                kdf: match parameters.kdf() {
                    Kdf::Sha256 => SIPOAUTH_KDF_SHA256,
                    Kdf::Sha512 => SIPOAUTH_KDF_SHA512,
                },
                iterations: parameters.iterations(),
                key_size: parameters.key_size(),
                aor: aor.as_str().into(),
                stands_out: context.admin().is_conspicuous(parameters).into(),
            };
            if let Some(each) = each {
                each(user, &raw const state);
            }
        }
        next.put(format!("{}\0", page.next.unwrap_or_default()).as_bytes())
    })
}

impl From<PutError> for CallFailure {
    fn from(error: PutError) -> CallFailure {
        let sentence = error.to_string();
        let status = match error {
            PutError::Input(_) => SIPOAUTH_E_INPUT,
            PutError::Store(error) => number(error),
        };
        CallFailure::new(status, &sentence)
    }
}
