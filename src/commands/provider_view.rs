// SPDX-License-Identifier: MIT OR Apache-2.0
//! Providers and keys as an operator sees them. Nothing of a key is shown but its name and kind.

use crate::process::context::{Context, PlacedPolicy};
use sipoauth_core::config::introspection::TokenStrategy;
use sipoauth_core::config::key_source::KeySource;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::jose::decryption_key::DecryptionKey;
use sipoauth_core::jose::decryption_keys::DecryptionKeys;
use sipoauth_core::jose::key_set::{KeySet, Origin};
use sipoauth_core::text::fingerprint::{cut, printable};
use sipoauth_core::text::json::Json;

/// Longest issuer, address and error that are shown, in octets.
pub const MAX_TEXT: usize = 255;
/// Longest `kid` and note that are shown, in octets.
pub const MAX_KEY_TEXT: usize = 127;

/// How current a provider's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysState {
    /// There are no keys yet.
    Missing,
    /// The keys were fetched as planned.
    Fresh,
    /// The last fetch failed; the earlier keys are still used.
    Stale,
    /// The keys are older than key_max_stale and are not used.
    TooOld,
    /// The keys are configured.
    Static,
    /// The authorization server is asked about each token.
    NotNeeded,
}

impl KeysState {
    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            KeysState::Missing => "no keys yet",
            KeysState::Fresh => "fresh",
            KeysState::Stale => "stale",
            KeysState::TooOld => "too old",
            KeysState::Static => "static",
            KeysState::NotNeeded => "not needed",
        }
    }
}

/// The state of a provider. Times are Unix seconds, 0: never.
#[derive(Debug)]
pub struct ProviderView {
    /// Its name.
    pub name: String,
    /// Its issuer.
    pub issuer: String,
    /// How its tokens are checked.
    pub tokens: &'static str,
    /// Where its keys came from.
    pub jwks_uri: String,
    /// How current its keys are.
    pub state: KeysState,
    /// Number of keys, usable and refused ones together.
    pub key_count: usize,
    /// The last successful fetch.
    pub fetched_at: i64,
    /// The next planned fetch.
    pub next_fetch_at: i64,
    /// Number of fetches since start.
    pub fetches: u64,
    /// Failed fetches since the last successful one.
    pub failures: u32,
    /// The last error; empty after a success.
    pub last_error: String,
}

/// A key.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Its id.
    pub kid: String,
    /// RSA, EC, OKP or oct.
    pub kty: &'static str,
    /// The only algorithm with which it is used; empty: any that fits its type.
    pub alg: &'static str,
    /// Why it is not used; empty when it is.
    pub note: String,
}

impl KeyView {
    fn new(kid: &str, kty: &'static str, alg: &'static str, note: &str) -> KeyView {
        let kid = cut(&printable(kid, MAX_KEY_TEXT), MAX_KEY_TEXT).to_owned();
        KeyView { kid, kty, alg, note: cut(note, MAX_KEY_TEXT).to_owned() }
    }

    /// True when the key verifies signatures or decrypts tokens.
    pub fn is_usable(&self) -> bool {
        self.note.is_empty()
    }
}

/// The state of a provider; None past the end.
pub fn provider(context: &Context, placed: &PlacedPolicy, index: usize) -> Option<ProviderView> {
    let provider = placed.policy.providers.get(index)?;
    let (slot, source) = placed.places[index];
    let slot = &context.arena().slots()[slot];
    let state = slot.state(source);
    let fetched = provider.watches_keys();
    let age = crate::clock::now_millis() - state.fetched_at;
    let status = if fetched { slot.status.read().map(|s| s.1).unwrap_or_default() } else { Vec::new() };
    let status = Json::parse(&status).unwrap_or(Json::Null);
    let word = |name: &str| {
        let shown = printable(status.get(name).and_then(Json::as_str).unwrap_or(""), MAX_TEXT);
        cut(&shown, MAX_TEXT).to_owned()
    };
    Some(ProviderView {
        name: provider.name.clone(),
        issuer: cut(&provider.issuer, MAX_TEXT).to_owned(),
        tokens: provider.strategy.name(),
        jwks_uri: word("jwks_uri"),
        state: match (fetched, state.fetched_at, state.failures) {
            (false, ..) if provider.strategy == TokenStrategy::Opaque => KeysState::NotNeeded,
            (false, ..) => KeysState::Static,
            (_, 0, _) => KeysState::Missing,
            _ if age > i64::from(placed.policy.settings.key_max_stale) * 1000 => KeysState::TooOld,
            (_, _, 0) => KeysState::Fresh,
            _ => KeysState::Stale,
        },
        key_count: keys_of(context, placed, provider, index).len(),
        fetched_at: state.fetched_at / 1000,
        next_fetch_at: state.next_fetch_at / 1000,
        fetches: state.fetches,
        failures: state.failures,
        last_error: word("error"),
    })
}

/// The keys of a provider; None past the end.
pub fn keys(context: &Context, placed: &PlacedPolicy, index: usize) -> Option<Vec<KeyView>> {
    Some(keys_of(context, placed, placed.policy.providers.get(index)?, index))
}

/// The keys that decrypt tokens.
pub fn decryption_keys(keys: &DecryptionKeys) -> Vec<KeyView> {
    let view = |key: &DecryptionKey| KeyView::new(key.kid().unwrap_or(""), key.kty(), key.algorithm(), "");
    keys.keys().iter().map(view).collect()
}

fn keys_of(context: &Context, placed: &PlacedPolicy, provider: &Provider, index: usize) -> Vec<KeyView> {
    if let KeySource::Static(set) = &provider.keys {
        return views(set);
    }
    let (slot, source) = placed.places[index];
    let slot = &context.arena().slots()[slot];
    if slot.state(source).generation == 0 {
        return Vec::new();
    }
    let document = slot.keys_of(source).map(|d| d.1).unwrap_or_default();
    let mut out = KeySet::from_jwks(&document, Origin::Fetched).map(|set| views(&set)).unwrap_or_default();
    out.extend(rejected_in(&document));
    // If the last fetch brought no usable keys, the earlier keys stay in use. The keys that it brought are listed
    // beside them.
    out.extend(rejected_in(&slot.status.read().map(|status| status.1).unwrap_or_default()));
    out
}

/// The rejected keys that a published document lists.
fn rejected_in(document: &[u8]) -> Vec<KeyView> {
    let Ok(json) = Json::parse(document) else { return Vec::new() };
    let Some(Json::Array(rejected)) = json.get("rejected") else { return Vec::new() };
    let word = |r: &Json<'_>, name: &str| r.get(name).and_then(Json::as_str).unwrap_or("").to_owned();
    rejected.iter().map(|r| KeyView::new(&word(r, "kid"), "", "", &word(r, "note"))).collect()
}

fn views(set: &KeySet) -> Vec<KeyView> {
    let usable = set.keys().iter().map(|key| {
        let alg = key.algorithm().map_or("", |alg| alg.name());
        KeyView::new(key.kid().unwrap_or(""), key.key_type().kty(), alg, "")
    });
    let rejected = set.rejected().iter().map(|r| KeyView::new(&r.kid, "", "", &r.note()));
    usable.chain(rejected).collect()
}
