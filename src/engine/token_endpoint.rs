// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a provider's token endpoint is: configured, or found in its metadata and remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::key_fetch::endpoint_of_metadata;
use crate::config::policy::Policy;
use crate::ports::Fetch;

/// The token endpoints that were found in metadata.
#[derive(Debug, Default)]
pub struct TokenEndpoint {
    found: Mutex<HashMap<Source, Found>>,
}

/// Issuer and metadata addresses: what is found for one source never serves another.
type Source = (String, Vec<String>);
/// The address, and when it was found.
type Found = (String, i64);

impl TokenEndpoint {
    /// Nothing is known yet.
    pub fn new() -> TokenEndpoint {
        TokenEndpoint::default()
    }

    /// The address of a provider's token endpoint. Metadata is read again after key_refresh_interval; what it said
    /// before serves while it cannot be read. `now` in Unix seconds. The error is a sentence for the operator.
    pub fn resolve(&self, fetch: &dyn Fetch, policy: &Policy, provider: usize, now: i64) -> Result<String, String> {
        let provider = &policy.providers[provider];
        let client = provider.client.as_ref().ok_or("client_id is not configured")?;
        if let Some(endpoint) = &client.token_endpoint {
            return Ok(endpoint.clone());
        }
        let key = (provider.issuer.clone(), client.discovery.clone());
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let interval = i64::from(policy.settings.key_refresh_interval);
        if let Some((endpoint, since)) = &known
            && (0..interval).contains(&now.saturating_sub(*since))
        {
            return Ok(endpoint.clone());
        }
        let allow_http = policy.settings.allow_http;
        match endpoint_of_metadata(fetch, &client.discovery, &provider.issuer, "token_endpoint", allow_http) {
            Ok(endpoint) => {
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.insert(key, (endpoint.clone(), now));
                Ok(endpoint)
            }
            Err(error) => known.map(|(endpoint, _)| endpoint).ok_or(error),
        }
    }
}
