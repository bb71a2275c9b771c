// SPDX-License-Identifier: MIT OR Apache-2.0
//! Verified tokens: what all processes remember of them, and those that this process has read lately.

use std::sync::Arc;

use super::keyring::Keyring;
use crate::process::context::{Context, PlacedPolicy};
use crate::shared::token_names::{TokenName, TokenNames};
use sipoauth_core::check::known_token::{KnownToken, VerifiedBy};
use sipoauth_core::check::token_cache::{KnownTokens, TokenCache};
use sipoauth_core::check::verified_token::VerifiedToken;
use sipoauth_core::config::decryption::Encryption;
use sipoauth_core::config::introspection::TokenStrategy;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::jose::known_headers::KnownHeaders;

/// Tokens that a process keeps whole, because their next use is likely to ask for more than the shared memory has.
const WHOLE: usize = 256;
/// As many where tokens must be encrypted: none of these is accepted at a glance, and reading one again takes a
/// private key.
const WHOLE_ENCRYPTED: usize = 4096;

/// The tokens of one process, and how it names those of all.
pub(super) struct TokenMemory {
    names: TokenNames,
    whole: TokenCache,
}

impl TokenMemory {
    pub fn new(context: &Context, policy: &Policy) -> TokenMemory {
        let whole = match context.arena().tokens().is_empty() {
            true => 0,
            false if policy.providers.iter().any(|provider| provider.encryption != Encryption::Allowed) => {
                WHOLE_ENCRYPTED
            }
            false => WHOLE,
        };
        TokenMemory { names: TokenNames::new(&context.arena().shared().token_key), whole: TokenCache::new(whole) }
    }

    /// Headers of tokens whose signature was verified.
    pub fn headers(&mut self) -> &mut KnownHeaders {
        self.whole.headers()
    }

    /// Keeps a token that this process has read.
    pub fn keep(&mut self, token: &Arc<VerifiedToken>) {
        self.whole.insert(Arc::clone(token));
    }

    /// Forgets the tokens of this process. Called when keys have changed.
    pub fn clear(&mut self) {
        self.whole.clear();
    }
}

/// The verified tokens, as one call sees them.
pub(super) struct Tokens<'w> {
    pub context: &'w Context,
    pub placed: &'w PlacedPolicy,
    pub keyring: &'w Keyring,
    pub memory: &'w mut TokenMemory,
    /// Unix seconds.
    pub now: i64,
}

impl Tokens<'_> {
    /// The name of a text; None if it is no token that is remembered.
    #[inline]
    pub fn name(&self, token: &[u8]) -> Option<TokenName> {
        let remembered = token.len() <= self.placed.policy.settings.max_token_size as usize
            && !self.context.arena().tokens().is_empty();
        remembered.then(|| self.memory.names.name(token))
    }

    /// What is remembered of the token with this name, if it was verified by the present policy and keys.
    #[inline]
    pub fn find(&self, name: &TokenName) -> Option<KnownToken> {
        let content = self.context.arena().tokens().get(name, self.now)?;
        let known = KnownToken::from_words(&content);
        (self.by(known.provider()) == Some(known.by())).then_some(known)
    }

    /// By what a token of this provider is verified now.
    #[inline]
    pub fn by(&self, provider: usize) -> Option<VerifiedBy> {
        Some(VerifiedBy {
            policy: self.placed.generation as u32,
            provider: u16::try_from(provider).ok()?,
            keys: self.keyring.mark(provider)?,
        })
    }

    /// The token that was accepted at a glance at `self.now` by the present policy, if this process has it at hand.
    /// What a server said of it counts only as long as its answer does.
    pub fn at_hand(&mut self, token: &str, known: &KnownToken) -> Option<Arc<VerifiedToken>> {
        let whole = self.memory.whole.get(token).filter(|whole| whole.provider == known.provider())?;
        let is_signed = self.placed.policy.providers.get(whole.provider)?.strategy == TokenStrategy::Jwt;
        (is_signed || whole.standing.holds(self.now)).then_some(whole)
    }

    /// Remembers a token for all processes.
    pub fn put(&self, name: &TokenName, known: &KnownToken) {
        self.context.arena().tokens().put(name, &known.to_words(), self.now);
    }
}

impl KnownTokens for Tokens<'_> {
    fn whole(&mut self, token: &str) -> Option<Arc<VerifiedToken>> {
        self.memory.whole.get(token)
    }

    fn proven(&self, token: &str) -> Option<Box<KnownToken>> {
        self.find(&self.name(token.as_bytes())?).map(Box::new)
    }

    fn remember(&mut self, token: &Arc<VerifiedToken>) {
        self.memory.keep(token);
    }

    fn headers(&mut self) -> &mut KnownHeaders {
        self.memory.headers()
    }
}
