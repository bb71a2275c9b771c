// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tokens whose signature was verified, remembered so that it need not be verified again.
//!
//! What is remembered saves the signature check only: time, issuer, audience, client and scope are judged anew on each
//! use. If a request like this one was accepted before ([`KnownToken`]), only the time is judged, because nothing else
//! can have changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::known_token::KnownToken;
use super::verified_token::VerifiedToken;
use crate::jose::known_headers::KnownHeaders;

/// What is remembered of a token.
#[derive(Debug)]
pub enum Remembered {
    /// The token with all that it says.
    Whole(Arc<VerifiedToken>),
    /// This token was verified by the present policy and keys. What it says must be read again.
    Proven(Box<KnownToken>),
}

/// What a look into the tokens of all processes has brought, for credentials that may be a token alone.
#[derive(Clone, Copy, Debug)]
pub enum LookedUp<'a> {
    /// Nobody has looked yet.
    No,
    /// They are no token that was verified.
    Unknown,
    /// They are this token.
    Known(&'a KnownToken),
}

/// The tokens that were verified.
pub trait KnownTokens {
    /// A token that is equal in every octet, with all that it says, if this process has it at hand.
    fn whole(&mut self, token: &str) -> Option<Arc<VerifiedToken>>;

    /// What all processes remember of this token.
    fn proven(&self, _: &str) -> Option<Box<KnownToken>> {
        None
    }

    /// What is remembered of this token.
    fn recall(&mut self, token: &str) -> Option<Remembered> {
        let whole = self.whole(token).map(Remembered::Whole);
        whole.or_else(|| self.proven(token).map(Remembered::Proven))
    }

    /// Remembers a token.
    fn remember(&mut self, token: &Arc<VerifiedToken>);

    /// Headers of tokens whose signature was verified.
    fn headers(&mut self) -> &mut KnownHeaders;
}

/// Tokens of more octets are not remembered. This bounds the memory of a full cache.
const MAX_TOKEN: usize = 4096;
/// This many octets at the end of a token serve as its key. They belong to the signature, which is as good as
/// random, and only verified tokens get in.
const TAIL: usize = 16;

type Key = (usize, [u8; TAIL]);

/// A bounded set of whole tokens of one process; entries that were used stay longer.
#[derive(Debug, Default)]
pub struct TokenCache {
    capacity: usize,
    index: HashMap<Key, usize, foldhash::fast::RandomState>,
    entries: Vec<TokenEntry>,
    hand: usize,
    headers: KnownHeaders,
}

#[derive(Debug)]
struct TokenEntry {
    key: Key,
    used: bool,
    token: Arc<VerifiedToken>,
}

impl TokenCache {
    /// A cache for this many tokens; 0 remembers nothing.
    pub fn new(capacity: usize) -> TokenCache {
        TokenCache { capacity, ..TokenCache::default() }
    }

    fn key(token: &str) -> Option<Key> {
        Some((token.len(), *token.as_bytes().last_chunk::<TAIL>()?))
    }

    /// The remembered token that is equal in every octet.
    pub fn get(&mut self, token: &str) -> Option<Arc<VerifiedToken>> {
        let entry = &mut self.entries[*self.index.get(&TokenCache::key(token)?)?];
        let same = *entry.token.token == *token;
        entry.used |= same;
        same.then(|| Arc::clone(&entry.token))
    }

    /// Remembers a token. When the cache is full, it replaces one that was not used lately.
    pub fn insert(&mut self, token: Arc<VerifiedToken>) {
        let Some(key) = TokenCache::key(&token.token).filter(|k| self.capacity > 0 && k.0 <= MAX_TOKEN) else {
            return;
        };
        let entry = TokenEntry { key, used: false, token };
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

impl KnownTokens for TokenCache {
    fn whole(&mut self, token: &str) -> Option<Arc<VerifiedToken>> {
        self.get(token)
    }

    fn remember(&mut self, token: &Arc<VerifiedToken>) {
        self.insert(Arc::clone(token));
    }

    fn headers(&mut self) -> &mut KnownHeaders {
        &mut self.headers
    }
}

#[cfg(test)]
mod tests {
    use super::super::verified_token::tests::blank;
    use super::*;

    fn token(text: &str) -> Arc<VerifiedToken> {
        Arc::new(blank(text))
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
    fn a_cache_of_size_zero_and_long_tokens() {
        let mut off = TokenCache::new(0);
        off.insert(token(&name(1)));
        assert!(off.is_empty());
        let mut cache = TokenCache::new(2);
        cache.insert(token(&"x".repeat(5000)));
        assert!(cache.is_empty());
    }
}
