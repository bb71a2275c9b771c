// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions to authorization servers, with the rules of the proxies: exchange, keys, metadata. Each call blocks.

use std::sync::Arc;

use sipoauth::clock::now_millis;
use sipoauth::io_process::http::HttpClient;
use sipoauth::io_process::key_fetches::fetch_provider_keys;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::jose::key_set::KeySet;
use sipoauth_core::oauth::endpoints::{Endpoint, Endpoints};
use sipoauth_core::oauth::exchange::{CodeGrant, Granted, TokenError, TokenServer, exchange};
use sipoauth_core::oauth::kept_keys::{KeptKeys, Refetched};
use sipoauth_core::oauth::logout_token::{self, LogoutError, LogoutToken};
use sipoauth_core::oauth::metadata::{Announced, MetadataError};
use sipoauth_core::ports::Log;

/// What is known of the servers of a configuration.
pub struct Servers {
    policy: Arc<Policy>,
    http: HttpClient,
    endpoints: Endpoints,
    keys: KeptKeys,
}

impl Servers {
    /// Nothing is known yet.
    pub fn new(policy: Arc<Policy>) -> Servers {
        let http = HttpClient::new(&policy);
        Servers { policy, http, endpoints: Endpoints::new(), keys: KeptKeys::new() }
    }

    /// An endpoint of a provider.
    pub fn endpoint(&self, provider: usize, which: Endpoint) -> Result<Announced, MetadataError> {
        self.endpoints.resolve(&self.http, &self.policy, provider, which, now())
    }

    /// Reads metadata again that is due.
    pub fn read_again(&self) {
        while let Some((provider, which)) = self.endpoints.take_due() {
            self.endpoints.read_again(&self.http, &self.policy, provider, which, now());
        }
    }

    /// Exchanges a code.
    pub fn exchange(&self, provider: usize, grant: &CodeGrant<'_>, log: &dyn Log) -> Result<Granted, TokenError> {
        let endpoint = self.endpoint(provider, Endpoint::Token)?;
        let keys = self.known_keys(provider);
        let server = TokenServer {
            http: &self.http,
            log,
            endpoint: &endpoint.address,
            policy: &self.policy,
            provider,
            keys: keys.as_ref(),
            fetch_keys: &|| self.fetch_keys(provider),
            resolve: &|which| self.endpoint(provider, which),
            now: &now,
        };
        let granted = exchange(&server, grant);
        if let Err(TokenError::Unexplained(_)) = &granted {
            // The endpoint may have moved.
            self.endpoints.doubt(&self.policy, provider, Endpoint::Token, now());
        }
        granted
    }

    /// Verifies a logout token.
    pub fn logout_token(&self, token: &str) -> Result<LogoutToken, LogoutError> {
        let provider = logout_token::provider_of(&self.policy, token)?;
        let keys = self.known_keys(provider);
        logout_token::verify(&self.policy, provider, token, keys.as_ref(), &|| self.fetch_keys(provider), now())
    }

    fn known_keys(&self, provider: usize) -> Option<KeySet> {
        let provider = &self.policy.providers[provider];
        let source = provider.keys.id(&provider.issuer);
        provider.keys.is_fetched().then(|| self.keys.get(source, now())).flatten()
    }

    /// Fetches the keys of a provider within limits, because a stranger may be the cause.
    fn fetch_keys(&self, provider: usize) -> Result<Refetched, String> {
        let provider = &self.policy.providers[provider];
        let fetch = || fetch_provider_keys(&self.http, provider, &self.policy);
        self.keys.fetch(provider.keys.id(&provider.issuer), &self.policy.settings, now(), fetch)
    }
}

fn now() -> i64 {
    now_millis() / 1000
}
