// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a provider's endpoints are: configured, or found in its metadata and remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::key_fetch::endpoint_of_metadata;
use crate::config::client::ClientAuth;
use crate::config::policy::Policy;
use crate::ports::Fetch;

/// An endpoint that is asked by POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Of RFC 6749.
    Token,
    /// Of RFC 7662.
    Introspection,
}

impl Endpoint {
    /// Its member of the metadata, and the setting that names it otherwise.
    fn member(self) -> &'static str {
        match self {
            Endpoint::Token => "token_endpoint",
            Endpoint::Introspection => "introspection_endpoint",
        }
    }
}

/// The endpoints that were found in metadata.
#[derive(Debug, Default)]
pub struct Endpoints {
    found: Mutex<HashMap<Source, Found>>,
}

/// Issuer, metadata addresses, whether it is the one for mutual TLS, and which: what is found for one source never
/// serves another.
type Source = (String, Vec<String>, bool, Endpoint);
/// The address, and when it was found.
type Found = (String, i64);

impl Endpoints {
    /// Nothing is known yet.
    pub fn new() -> Endpoints {
        Endpoints::default()
    }

    /// The address of a provider's endpoint. Metadata is read again after key_refresh_interval; what it said before
    /// serves while it cannot be read. `now` in Unix seconds. The error is a sentence for the operator.
    pub fn resolve(
        &self,
        fetch: &dyn Fetch,
        policy: &Policy,
        provider: usize,
        which: Endpoint,
        now: i64,
    ) -> Result<String, String> {
        let provider = &policy.providers[provider];
        let client = provider.client.as_ref().ok_or("client_id is not configured")?;
        let (configured, discovery) = match which {
            Endpoint::Token => (&client.token_endpoint, &client.discovery),
            Endpoint::Introspection => {
                let introspection = provider.introspection.as_ref().ok_or("tokens are not introspected")?;
                (&introspection.endpoint, &introspection.discovery)
            }
        };
        if let Some(endpoint) = configured {
            return Ok(endpoint.clone());
        }
        let mutual_tls = matches!(client.auth, ClientAuth::Tls(_));
        let key = (provider.issuer.clone(), discovery.clone(), mutual_tls, which);
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let interval = i64::from(policy.settings.key_refresh_interval);
        if let Some((endpoint, since)) = &known
            && (0..interval).contains(&now.saturating_sub(*since))
        {
            return Ok(endpoint.clone());
        }
        if let Some((endpoint, _)) = &known {
            // One reads it again; meanwhile, and for a while should that fail, what is known serves the others.
            let pause = i64::from(policy.settings.key_cooldown).min(interval);
            self.note(key.clone(), endpoint.clone(), now - interval + pause);
        }
        let member = which.member();
        let allow_http = policy.settings.allow_http;
        let found = endpoint_of_metadata(fetch, discovery, &provider.issuer, member, mutual_tls, allow_http);
        let found = found.and_then(|endpoint| client.auth.fits(&endpoint).map(|()| endpoint));
        match found {
            Ok(endpoint) => {
                self.note(key, endpoint.clone(), now);
                Ok(endpoint)
            }
            Err(error) => known.map(|(endpoint, _)| endpoint).ok_or(error),
        }
    }

    fn note(&self, key: Source, endpoint: String, since: i64) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (endpoint, since));
    }
}
