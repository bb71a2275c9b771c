// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a provider's endpoints are: configured, or found in its metadata and remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::metadata::{Announced, MetadataError, WantedEndpoint, endpoint_of_metadata};
use crate::config::client::ClientAuth;
use crate::config::policy::Policy;
use crate::config::settings::KEY_REFRESH_INTERVAL;
use crate::ports::Fetch;

/// Most endpoints whose metadata waits to be read again.
const MOST_DUE: usize = 64;
/// Seconds for which metadata that cannot be read is not read again for an endpoint that a server may lack. Each
/// sign-in would wait for it otherwise.
const MOMENT: i64 = 2;

/// An endpoint of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The token endpoint (RFC 6749).
    Token,
    /// The introspection endpoint (RFC 7662).
    Introspection,
    /// The UserInfo endpoint (OpenID Connect Core section 5.3), which is asked by GET.
    UserInfo,
    /// The authorization endpoint (RFC 6749), to which a browser is sent.
    Authorization,
}

impl Endpoint {
    /// The member of the metadata that names the endpoint. The setting that names it instead is called the same.
    fn member(self) -> &'static str {
        match self {
            Endpoint::Token => "token_endpoint",
            Endpoint::Introspection => "introspection_endpoint",
            Endpoint::UserInfo => "userinfo_endpoint",
            Endpoint::Authorization => "authorization_endpoint",
        }
    }
}

/// The endpoints that were found in metadata.
#[derive(Debug, Default)]
pub struct Endpoints {
    found: Mutex<HashMap<Source, Found>>,
    /// Endpoints in use whose metadata is to be read again, by provider.
    due: Mutex<Vec<(usize, Endpoint)>>,
}

/// Issuer, metadata addresses, whether the endpoint is the one for mutual TLS, and which endpoint it is. What is
/// found for one source never serves another.
type Source = (String, Vec<String>, bool, Endpoint);
/// What the metadata says, or why there is no endpoint, and when the metadata was read.
type Found = (Result<Announced, MetadataError>, i64);

impl Endpoints {
    /// Nothing is known yet.
    pub fn new() -> Endpoints {
        Endpoints::default()
    }

    /// The address of a provider's endpoint, and what its metadata says about it. Nobody waits for metadata while an
    /// address is known. After 15 minutes the endpoint becomes due, see [`Endpoints::take_due`]. What the metadata said
    /// before stays in use while it cannot be read. Where there is no metadata, it is looked for again after
    /// key_cooldown. `now` is in Unix seconds.
    pub fn resolve(
        &self,
        fetch: &dyn Fetch,
        policy: &Policy,
        provider: usize,
        which: Endpoint,
        now: i64,
    ) -> Result<Announced, MetadataError> {
        self.find(fetch, policy, provider, which, now, false)
    }

    /// The next endpoint whose metadata should be read again, by [`Endpoints::read_again`].
    pub fn take_due(&self) -> Option<(usize, Endpoint)> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Reads the metadata of an endpoint that is due. The call blocks, so nobody who waits for an answer must make it.
    pub fn read_again(&self, fetch: &dyn Fetch, policy: &Policy, provider: usize, which: Endpoint, now: i64) {
        // If it fails, what is known stays in use.
        let _ = self.find(fetch, policy, provider, which, now, true);
    }

    fn find(
        &self,
        fetch: &dyn Fetch,
        policy: &Policy,
        index: usize,
        which: Endpoint,
        now: i64,
        again: bool,
    ) -> Result<Announced, MetadataError> {
        let provider = &policy.providers[index];
        let no_client = || MetadataError::Unusable("client_id is not configured".into());
        let client = provider.client.as_ref().ok_or_else(no_client)?;
        let (configured, discovery, is_needed) = match (which, &provider.introspection) {
            (Endpoint::Token, _) => (&client.token_endpoint, &client.discovery, true),
            (Endpoint::Authorization, _) => (&client.authorization_endpoint, &client.discovery, true),
            (Endpoint::UserInfo, _) => (&client.userinfo_endpoint, &client.discovery, false),
            (Endpoint::Introspection, Some(introspection)) => (&introspection.endpoint, &introspection.discovery, true),
            // Without a configured introspection, the endpoint only helps to identify a user who signs in with a code.
            (Endpoint::Introspection, None) => (&None, &client.discovery, false),
        };
        if let Some(endpoint) = configured {
            return Ok(Announced { address: endpoint.clone(), signs_introspection: false, names_itself: false });
        }
        // A browser does not present the client's certificate.
        let mutual_tls = matches!(client.auth, ClientAuth::Tls(_)) && which != Endpoint::Authorization;
        let key = (provider.issuer.clone(), discovery.clone(), mutual_tls, which);
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let interval = i64::from(KEY_REFRESH_INTERVAL);
        let pause = i64::from(policy.settings.key_cooldown).min(interval);
        if let Some((found, since)) = &known
            && !again
        {
            if (0..interval).contains(&now.saturating_sub(*since)) {
                return found.clone();
            }
            // The metadata is read again. Meanwhile, and for `pause` seconds if that fails, what is known is used.
            self.note(key.clone(), found.clone(), now - interval + pause);
            if found.is_ok() {
                self.note_due(index, which);
                return found.clone();
            }
        }
        let wanted = WantedEndpoint {
            issuer: &provider.issuer,
            member: which.member(),
            mutual_tls,
            allow_http: policy.settings.allows_http(),
        };
        let found = endpoint_of_metadata(fetch, discovery, &wanted).and_then(|endpoint| {
            let fits = if mutual_tls { client.auth.fits(&endpoint.address) } else { Ok(()) };
            fits.map(|()| endpoint).map_err(MetadataError::Unusable)
        });
        match (found, known) {
            (Ok(endpoint), _) => {
                self.note(key, Ok(endpoint.clone()), now);
                Ok(endpoint)
            }
            (Err(_), Some((Ok(endpoint), _))) => Ok(endpoint),
            // An endpoint that is needed is looked for again by the next caller. One that a server may lack is
            // looked for again only after a while.
            (Err(error @ MetadataError::Absent(_)), _) if !is_needed => {
                self.note(key, Err(error.clone()), now);
                Err(error)
            }
            (Err(error @ MetadataError::NoDocument(_)), _) if !is_needed => {
                self.note(key, Err(error.clone()), now - interval + pause);
                Err(error)
            }
            (Err(error @ (MetadataError::Failed(_) | MetadataError::Incomplete(_))), _) if !is_needed => {
                self.note(key, Err(error.clone()), now - interval + pause.min(MOMENT));
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Has metadata read again for an endpoint that gives no OAuth answers, because it may have moved. Metadata that was
    /// read within key_cooldown, or will be read within it, is not read earlier. `now` is in Unix seconds.
    pub fn doubt(&self, policy: &Policy, provider: usize, which: Endpoint, now: i64) {
        let interval = i64::from(KEY_REFRESH_INTERVAL);
        let pause = i64::from(policy.settings.key_cooldown).min(interval);
        let issuer = &policy.providers[provider].issuer;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for ((of, _, _, endpoint), (_, since)) in found.iter_mut() {
            if of == issuer && *endpoint == which && (pause..interval - pause).contains(&now.saturating_sub(*since)) {
                *since = now - interval + pause;
                self.note_due(provider, which);
            }
        }
    }

    fn note_due(&self, provider: usize, which: Endpoint) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.len() < MOST_DUE && !due.contains(&(provider, which)) {
            due.push((provider, which));
        }
    }

    fn note(&self, key: Source, endpoint: Result<Announced, MetadataError>, since: i64) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (endpoint, since));
    }
}
