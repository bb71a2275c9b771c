// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tokens whose signature was verified, remembered by each worker.
//!
//! A hit saves the signature check only: time, issuer, audience, client and scope are judged anew on each use. If
//! the same request was accepted before ([`Acceptance`]), only the time is judged, because nothing else can have
//! changed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::acceptance::{Acceptance, RequestKey, TokenFacts};
use super::token_answer::Standing;
use crate::jose::known_headers::KnownHeaders;
use crate::rules::claims::Claims;
use crate::sip::credentials::stands_alone;
use crate::sip::uri::Aor;
use crate::text::fingerprint::visible;

/// Tokens of more octets are not remembered. This bounds the memory of a full cache.
const MAX_TOKEN: usize = 4096;
/// This many octets at the end of a token serve as its key. They belong to the signature, which is as good as
/// random, and only verified tokens get in.
const TAIL: usize = 16;

/// A token whose signature and fixed claims are good.
pub struct VerifiedToken {
    /// The whole token, as it came.
    pub token: Box<str>,
    /// The signed token that was inside, if the token was encrypted for this proxy; wiped when dropped.
    pub signed: Option<Zeroizing<String>>,
    /// Index of its provider in the policy under which it was verified.
    pub provider: usize,
    /// Its key id.
    pub kid: Arc<str>,
    /// Its name in logs.
    pub fingerprint: String,
    /// The claims that are judged on each use.
    pub claims: Claims,
    /// What is shown instead of claims that have invisible characters.
    pub display: Display,
    /// The addresses its user owns.
    pub aors: Vec<Aor>,
    /// The payload, for the script's questions about other claims.
    pub payload: Vec<u8>,
    /// For how long its server need not be asked again. This has no meaning if the server is not asked at all.
    pub standing: Standing,
    /// True when only the domain that the token was used for tells its provider.
    pub by_domain: bool,
}

/// Claims as they are shown, where that differs from their text.
#[derive(Clone, Default)]
pub struct Display {
    subject: Option<Box<str>>,
    client_id: Option<Box<str>>,
    scope: Option<Box<str>>,
}

impl Display {
    /// For these claims. Usually there is nothing to change.
    pub fn new(claims: &Claims) -> Display {
        let changed = |text: &str| match visible(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text.into()),
        };
        Display {
            subject: claims.subject.as_deref().and_then(changed),
            client_id: claims.clients.first().and_then(|client| changed(client)),
            scope: changed(&claims.scope),
        }
    }
}

impl VerifiedToken {
    /// What is shown of the token. `aor` is the index of the address that a request uses.
    pub fn shown(&self, aor: Option<usize>) -> TokenFacts<'_> {
        let claims = &self.claims;
        TokenFacts {
            issuer: &claims.issuer,
            aor: aor.and_then(|index| self.aors.get(index)).map_or("", Aor::as_str),
            subject: self.display.subject.as_deref().or(claims.subject.as_deref()).unwrap_or(""),
            client_id: self.display.client_id.as_deref().or(claims.clients.first().map(String::as_str)).unwrap_or(""),
            scope: self.display.scope.as_deref().unwrap_or(&claims.scope),
            kid: &self.kid,
            fingerprint: &self.fingerprint,
            services: "",
        }
    }

    /// The same token, with what its server has said about it.
    pub fn confirmed(&self, claims: Claims, standing: Standing) -> VerifiedToken {
        VerifiedToken {
            token: self.token.clone(),
            signed: self.signed.clone(),
            provider: self.provider,
            kid: Arc::clone(&self.kid),
            fingerprint: self.fingerprint.clone(),
            display: Display::new(&claims),
            claims,
            aors: self.aors.clone(),
            payload: self.payload.clone(),
            standing,
            by_domain: self.by_domain,
        }
    }
}

/// The token and what it says stay out of logs.
impl std::fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("provider", &self.provider)
            .field("kid", &self.kid)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

type Key = (usize, [u8; TAIL]);

/// A bounded set of verified tokens; entries that were used stay longer.
#[derive(Debug, Default)]
pub struct TokenCache {
    capacity: usize,
    index: HashMap<Key, usize, foldhash::fast::RandomState>,
    entries: Vec<TokenEntry>,
    hand: usize,
    /// Headers of tokens whose signature was verified.
    pub headers: KnownHeaders,
}

#[derive(Debug)]
struct TokenEntry {
    key: Key,
    used: bool,
    /// Whether the token can be the whole of Bearer credentials.
    stands_alone: bool,
    token: Arc<VerifiedToken>,
    /// The request that was accepted with it last.
    acceptance: Option<Arc<Acceptance>>,
}

/// What the cache knows about a request.
pub enum Known<'a> {
    /// The same request was accepted with the same credentials.
    Accepted(&'a Arc<Acceptance>),
    /// The credentials are a token that was verified.
    Verified(Arc<VerifiedToken>),
    /// Nothing.
    Nothing,
}

impl TokenCache {
    /// A cache for this many tokens; 0 remembers nothing.
    pub fn new(capacity: usize) -> TokenCache {
        TokenCache { capacity, ..TokenCache::default() }
    }

    fn key(token: &[u8]) -> Option<Key> {
        Some((token.len(), *token.last_chunk::<TAIL>()?))
    }

    /// The remembered token that is equal in every octet.
    pub fn get(&mut self, token: &str) -> Option<Arc<VerifiedToken>> {
        self.find(token.as_bytes()).map(|entry| Arc::clone(&entry.token))
    }

    /// What is known about a request whose only credentials are Bearer credentials with this text, which may be more than a
    /// token. `request` is None if more than the token and a [`RequestKey`] decides about the request.
    #[inline]
    pub fn lookup(&mut self, credentials: &[u8], request: Option<&RequestKey<'_>>) -> Known<'_> {
        let Some(place) = TokenCache::key(credentials).and_then(|key| self.index.get(&key)) else {
            return Known::Nothing;
        };
        let entry = &mut self.entries[*place];
        if let (Some(acceptance), Some(request)) = (&entry.acceptance, request)
            && acceptance.is_of(credentials, request)
        {
            entry.used = true;
            return Known::Accepted(acceptance);
        }
        if !entry.stands_alone || *entry.token.token.as_bytes() != *credentials {
            return Known::Nothing;
        }
        entry.used = true;
        Known::Verified(Arc::clone(&entry.token))
    }

    /// Remembers what was accepted with a remembered token that was sent alone. It is kept as long as the token
    /// stays in the cache.
    pub fn accept(&mut self, token: &str, acceptance: Acceptance) {
        if let Some(entry) = self.find(token.as_bytes())
            && entry.stands_alone
        {
            entry.acceptance = Some(Arc::new(acceptance));
        }
    }

    fn find(&mut self, token: &[u8]) -> Option<&mut TokenEntry> {
        let entry = &mut self.entries[*self.index.get(&TokenCache::key(token)?)?];
        let same = *entry.token.token.as_bytes() == *token;
        entry.used |= same;
        same.then_some(entry)
    }

    /// Remembers a token. When the cache is full, it replaces one that was not used lately.
    pub fn insert(&mut self, token: Arc<VerifiedToken>) {
        let Some(key) = TokenCache::key(token.token.as_bytes()).filter(|k| self.capacity > 0 && k.0 <= MAX_TOKEN)
        else {
            return;
        };
        let stands_alone = stands_alone(&token.token);
        let entry = TokenEntry { key, used: false, stands_alone, token, acceptance: None };
        if let Some(place) = self.index.get(&key) {
            self.entries[*place] = entry;
        } else if self.entries.len() < self.capacity {
            self.index.insert(key, self.entries.len());
            self.entries.push(entry);
        } else {
            while std::mem::take(&mut self.entries[self.hand].used) {
                self.hand = (self.hand + 1) % self.capacity;
            }
            self.index.remove(&self.entries[self.hand].key);
            self.index.insert(key, self.hand);
            self.entries[self.hand] = entry;
            self.hand = (self.hand + 1) % self.capacity;
        }
    }

    /// Forgets everything. Called when the keys or the policy have changed.
    pub fn clear(&mut self) {
        *self = TokenCache::new(self.capacity);
    }

    /// Number of remembered tokens.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Arc<VerifiedToken> {
        Arc::new(token_value(text))
    }

    fn token_value(text: &str) -> VerifiedToken {
        VerifiedToken {
            token: text.into(),
            signed: None,
            provider: 0,
            kid: Arc::default(),
            fingerprint: String::new(),
            display: Display::default(),
            claims: Claims::default(),
            aors: Vec::new(),
            payload: Vec::new(),
            standing: Standing::NONE,
            by_domain: false,
        }
    }

    fn name(i: usize) -> String {
        format!("token-number-{i:016}")
    }

    #[test]
    fn only_the_whole_token_hits() {
        let mut cache = TokenCache::new(4);
        cache.insert(token("AAAAAAAA.same-tail-0123456789abcdef"));
        assert!(cache.get("AAAAAAAA.same-tail-0123456789abcdef").is_some());
        assert!(cache.get("BAAAAAAA.same-tail-0123456789abcdef").is_none());
        assert!(cache.get("AAAAAAAA.same-tail-0123456789abcdeF").is_none());
        assert!(cache.get("short").is_none());
    }

    #[test]
    fn stays_bounded_and_keeps_what_is_used() {
        let mut cache = TokenCache::new(8);
        cache.insert(token(&name(0)));
        for i in 1..1000 {
            assert!(cache.get(&name(0)).is_some(), "{i}");
            cache.insert(token(&name(i)));
            assert!(cache.len() <= 8 && cache.index.len() == cache.len());
        }
        cache.clear();
        assert!(cache.is_empty() && cache.get(&name(0)).is_none());
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!(
            "{:?}",
            VerifiedToken {
                payload: b"{}".to_vec(),
                signed: Some(Zeroizing::new("a secret too".into())),
                ..token_value("eyJ.secret.x")
            }
        );
        assert!(!shown.contains("secret") && !shown.contains("payload"), "{shown}");
    }

    #[test]
    fn a_cache_of_size_zero_and_long_tokens() {
        let mut off = TokenCache::new(0);
        off.insert(token(&name(1)));
        assert!(off.is_empty());
        let mut cache = TokenCache::new(2);
        cache.insert(token(&"x".repeat(5000)));
        assert!(cache.is_empty());
    }
}
