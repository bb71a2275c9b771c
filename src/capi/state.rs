// SPDX-License-Identifier: MIT OR Apache-2.0
//! Statistics and the state of providers and keys, readable in any process.

use std::ffi::c_char;

use super::config::sipoauth_context;
use super::convert::{fixed, structure_mut};
use super::guard::{guard, guard_or};
use super::types::*;
use crate::arena::counters;
use crate::config::provider::{KeySource, Provider};
use crate::proto::jose::key_set::{KeySet, Origin};
use crate::proto::json::Json;
use crate::runtime::context::{Context, PlacedPolicy};

/// How many statistics there are.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_stat_count() -> u32 {
    counters::COUNT as u32
}

/// The name of a statistic, snake_case, static; NULL past the end.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_stat_name(index: u32) -> *const c_char {
    counters::name(index as usize).map_or(std::ptr::null(), |name| name.as_ptr())
}

/// The value of a statistic since start; 0 past the end.
///
/// # Safety
/// `context` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_stat(context: *const sipoauth_context, index: u32) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { context.as_ref() }.map_or(0, |c| c.0.arena().shared().counters.get(index as usize))
}

/// How many providers are configured now.
///
/// # Safety
/// `context` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_provider_count(context: *const sipoauth_context) -> u32 {
    // SAFETY: the caller's promise.
    let Some(context) = (unsafe { context.as_ref() }) else {
        return 0;
    };
    guard_or(Some(&context.0), 0, || context.0.policy().map_or(0, |placed| placed.policy.providers.len() as u32))
}

/// Copies the state of a provider. SIPOAUTH_E_INPUT past the end.
///
/// # Safety
/// `out` is valid and its struct_size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_provider_state(
    context: *const sipoauth_context,
    index: u32,
    out: *mut sipoauth_provider_state,
) -> i32 {
    // SAFETY: the caller's promise.
    let (Some(context), Ok(out)) = (unsafe { (context.as_ref(), structure_mut(out)) }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    guard(Some(&context.0), || {
        let Ok(placed) = context.0.policy() else {
            return SIPOAUTH_E_CONFIG;
        };
        let Some(provider) = placed.policy.providers.get(index as usize) else {
            return SIPOAUTH_E_INPUT;
        };
        let (slot, source) = placed.places[index as usize];
        let slot = &context.0.arena().slots()[slot];
        let state = slot.state(source);
        let fetched = !matches!(provider.keys, KeySource::Static(_));
        let age = crate::runtime::now_millis() - state.fetched_at;
        let status = if fetched { slot.status.read().map(|s| s.1).unwrap_or_default() } else { Vec::new() };
        let status = Json::parse(&status).unwrap_or(Json::Null);
        let word = |name: &str| status.get(name).and_then(Json::as_str).unwrap_or("");
        *out = sipoauth_provider_state {
            struct_size: out.struct_size,
            key_count: keys_of(&context.0, &placed, provider, index as usize).len() as u32,
            state: match (fetched, state.fetched_at, state.failures) {
                (false, ..) => SIPOAUTH_KEYS_STATIC,
                (_, 0, _) => SIPOAUTH_KEYS_NONE,
                _ if age > i64::from(placed.policy.settings.key_max_stale) * 1000 => SIPOAUTH_KEYS_TOO_OLD,
                (_, _, 0) => SIPOAUTH_KEYS_FRESH,
                _ => SIPOAUTH_KEYS_STALE,
            },
            failures: state.failures,
            fetched_at: state.fetched_at / 1000,
            next_fetch_at: state.next_fetch_at / 1000,
            fetches: state.fetches,
            name: fixed(&provider.name),
            issuer: fixed(&provider.issuer),
            jwks_uri: fixed(word("jwks_uri")),
            last_error: fixed(word("error")),
        };
        SIPOAUTH_OK
    })
}

/// Copies the state of one key of a provider; never key material. SIPOAUTH_E_INPUT past the end.
///
/// # Safety
/// `out` is valid and its struct_size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_key_state(
    context: *const sipoauth_context,
    provider: u32,
    key: u32,
    out: *mut sipoauth_key_state,
) -> i32 {
    // SAFETY: the caller's promise.
    let (Some(context), Ok(out)) = (unsafe { (context.as_ref(), structure_mut(out)) }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    guard(Some(&context.0), || {
        let Ok(placed) = context.0.policy() else {
            return SIPOAUTH_E_CONFIG;
        };
        let Some(configured) = placed.policy.providers.get(provider as usize) else {
            return SIPOAUTH_E_INPUT;
        };
        let keys = keys_of(&context.0, &placed, configured, provider as usize);
        let Some(facts) = keys.get(key as usize) else {
            return SIPOAUTH_E_INPUT;
        };
        *out = sipoauth_key_state {
            struct_size: out.struct_size,
            usable: u32::from(facts.note.is_empty()),
            kid: fixed(&facts.kid),
            kty: fixed(facts.kty),
            alg: fixed(facts.alg),
            note: fixed(&facts.note),
        };
        SIPOAUTH_OK
    })
}

struct KeyFacts {
    kid: String,
    kty: &'static str,
    alg: &'static str,
    note: String,
}

fn keys_of(context: &Context, placed: &PlacedPolicy, provider: &Provider, index: usize) -> Vec<KeyFacts> {
    if let KeySource::Static(set) = &provider.keys {
        return facts(set);
    }
    let (slot, source) = placed.places[index];
    let slot = &context.arena().slots()[slot];
    if slot.state(source).generation == 0 {
        return Vec::new();
    }
    let document = slot.keys.read().map(|d| d.1).unwrap_or_default();
    let mut out = KeySet::from_jwks(&document, Origin::Fetched).map(|set| facts(&set)).unwrap_or_default();
    if let Ok(json) = Json::parse(&document)
        && let Some(Json::Array(rejected)) = json.get("rejected")
    {
        let word = |r: &Json<'_>, name: &str| r.get(name).and_then(Json::as_str).unwrap_or("").to_owned();
        out.extend(rejected.iter().map(|r| KeyFacts { kid: word(r, "kid"), kty: "", alg: "", note: word(r, "note") }));
    }
    out
}

fn facts(set: &KeySet) -> Vec<KeyFacts> {
    let usable = set.keys().iter().map(|k| KeyFacts {
        kid: k.kid().unwrap_or("").to_owned(),
        kty: k.key_type().kty(),
        alg: k.algorithm().map_or("", |a| a.name()),
        note: String::new(),
    });
    let rejected =
        set.rejected().iter().map(|r| KeyFacts { kid: r.kid.clone(), kty: "", alg: "", note: r.note.to_owned() });
    usable.chain(rejected).collect()
}
