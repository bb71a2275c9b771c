// SPDX-License-Identifier: MIT OR Apache-2.0
//! Statistics and the state of providers and keys, readable in any process.

use std::ffi::c_char;

use super::config::{shared, sipoauth_context};
use super::convert::{Buffer, Place, fixed, text};
use super::guard::{guard, guard_or};
use super::types::*;
use crate::commands::provider_view::{self, KeysState};
use crate::shared::counters;

/// How many statistics there are: a constant of this version. Any process, any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_stat_count() -> u32 {
    guard_or(None, 0, || counters::COUNT as u32)
}

/// The name of a statistic, snake_case; static, NUL-terminated. NULL past the end. Any process, any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_stat_name(index: u32) -> *const c_char {
    guard_or(None, std::ptr::null(), || counters::name(index as usize).map_or(std::ptr::null(), |name| name.as_ptr()))
}

/// The value of a statistic, counted since start by all processes together; 0 past the end and for NULL. All only
/// grow, except `pending`, the requests that are parked now, and `key_age`, the seconds since the last successful key
/// fetch of the provider for which that is longest ago (0 when no keys are fetched). Any process, any thread.
///
/// # Safety
/// `context` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_stat(context: *const sipoauth_context, index: u32) -> u64 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard_or(None, 0, || {
        context.map_or(0, |context| context.arena().shared().statistic(index as usize, crate::clock::now_millis()))
    })
}

/// How many providers are configured now; 0 for NULL. Any process, any thread.
///
/// # Safety
/// `context` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_provider_count(context: *const sipoauth_context) -> u32 {
    // SAFETY: the caller's promise.
    let Some(context) = (unsafe { shared(context) }) else {
        return 0;
    };
    guard_or(Some(&context), 0, || context.policy().map_or(0, |placed| placed.policy.providers.len() as u32))
}

/// Writes the public keys that belong to a provider's `signing_key_files` as a JWK Set (RFC 7517 section 5), not
/// NUL-terminated. Other servers need them to verify the tokens that the proxy issues, or its assertions about its
/// users. `provider` is a name; an empty name means the first provider that has such keys. `*len` gets the number
/// of octets, also with SIPOAUTH_E_SPACE; `buf` may be NULL with `cap` 0 to ask for it. Any process, any thread.
/// Since ABI version 4.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SPACE, SIPOAUTH_E_CONFIG (the configuration in
/// force cannot be read), or SIPOAUTH_E_ABSENT when there is no such provider.
///
/// # Safety
/// `context` and `len` are NULL or valid, `provider` for its length, `buf` for `cap` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_jwks(
    context: *const sipoauth_context,
    provider: sipoauth_str,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard(context.as_deref(), || {
        // SAFETY: the caller's promise.
        let (buffer, name) = unsafe { (Buffer::new(buf, cap, len)?, text(provider)?) };
        let placed = context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?.policy().map_err(|_| SIPOAUTH_E_CONFIG)?;
        let jwks = placed.policy.public_jwks(&name).ok_or(SIPOAUTH_E_ABSENT)?;
        buffer.put(jwks.as_bytes())
    })
}

/// Copies the state of a provider. `index` is counted from 0. Any process, any thread.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_CONFIG, or SIPOAUTH_E_ABSENT past the end. After a failure
/// `*out` is all zero except its struct_size, if that size is large enough.
///
/// # Safety
/// `context` is NULL or valid; `out` is NULL or valid and its struct_size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_provider_state(
    context: *const sipoauth_context,
    index: u32,
    out: *mut sipoauth_provider_state,
) -> i32 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard(context.as_deref(), || {
        let mut empty = EMPTY_PROVIDER;
        // SAFETY: the caller's promise.
        let out = unsafe {
            Place::structure(out, |struct_size| {
                empty.struct_size = struct_size;
                empty
            })
        }?;
        let context = context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?;
        let placed = context.policy().map_err(|_| SIPOAUTH_E_CONFIG)?;
        let view = provider_view::provider(context, &placed, index as usize).ok_or(SIPOAUTH_E_ABSENT)?;
        out.put(sipoauth_provider_state {
            struct_size: empty.struct_size,
            key_count: view.key_count as u32,
            state: match view.state {
                KeysState::Missing => SIPOAUTH_KEYS_NONE,
                KeysState::Fresh => SIPOAUTH_KEYS_FRESH,
                KeysState::Stale => SIPOAUTH_KEYS_STALE,
                KeysState::TooOld => SIPOAUTH_KEYS_TOO_OLD,
                KeysState::Static => SIPOAUTH_KEYS_STATIC,
                KeysState::NotNeeded => SIPOAUTH_KEYS_NOT_NEEDED,
            },
            failures: view.failures,
            fetched_at: view.fetched_at,
            next_fetch_at: view.next_fetch_at,
            fetches: view.fetches,
            name: fixed(&view.name),
            issuer: fixed(&view.issuer),
            jwks_uri: fixed(&view.jwks_uri),
            last_error: fixed(&view.last_error),
            tokens: fixed(view.tokens),
        });
        Ok(())
    })
}

/// Copies the state of one key of a provider, never key material. `provider` and `key` are counted from 0. If
/// `provider` is SIPOAUTH_DECRYPTION_KEYS, the key is one of those that decrypt tokens. Any process, any thread.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_CONFIG, or SIPOAUTH_E_ABSENT past the end. After a failure
/// `*out` is as for sipoauth_context_provider_state.
///
/// # Safety
/// As for sipoauth_context_provider_state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_key_state(
    context: *const sipoauth_context,
    provider: u32,
    key: u32,
    out: *mut sipoauth_key_state,
) -> i32 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard(context.as_deref(), || {
        let mut empty = EMPTY_KEY;
        // SAFETY: the caller's promise.
        let out = unsafe {
            Place::structure(out, |struct_size| {
                empty.struct_size = struct_size;
                empty
            })
        }?;
        let context = context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?;
        let placed = context.policy().map_err(|_| SIPOAUTH_E_CONFIG)?;
        let keys = match provider {
            SIPOAUTH_DECRYPTION_KEYS => provider_view::decryption_keys(&placed.policy.decryption),
            _ => provider_view::keys(context, &placed, provider as usize).ok_or(SIPOAUTH_E_ABSENT)?,
        };
        let view = keys.get(key as usize).ok_or(SIPOAUTH_E_ABSENT)?;
        out.put(sipoauth_key_state {
            struct_size: empty.struct_size,
            usable: view.is_usable().into(),
            kid: fixed(&view.kid),
            kty: fixed(view.kty),
            alg: fixed(view.alg),
            note: fixed(&view.note),
        });
        Ok(())
    })
}

const EMPTY_PROVIDER: sipoauth_provider_state = sipoauth_provider_state {
    struct_size: 0,
    key_count: 0,
    state: SIPOAUTH_KEYS_NONE,
    failures: 0,
    fetched_at: 0,
    next_fetch_at: 0,
    fetches: 0,
    name: [0; 64],
    issuer: [0; 256],
    jwks_uri: [0; 256],
    last_error: [0; 256],
    tokens: [0; 32],
};

const EMPTY_KEY: sipoauth_key_state =
    sipoauth_key_state { struct_size: 0, usable: 0, kid: [0; 128], kty: [0; 16], alg: [0; 16], note: [0; 128] };
