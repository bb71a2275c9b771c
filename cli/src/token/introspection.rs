// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asks a provider's server about a token, and makes of its answer what the proxy makes of it: what it keeps, or the
//! reason why it has none.

use sipoauth::io_process::http::HttpClient;
use sipoauth::io_process::key_fetches::key_plan;
use sipoauth_core::check::token_answer::{IntrospectionResult, MAX_ANSWER};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::jose::key_set::KeySet;
use sipoauth_core::oauth::answer_fit::fit;
use sipoauth_core::oauth::endpoints::{Endpoint, Endpoints};
use sipoauth_core::oauth::introspection::{Introspected, IntrospectionError, introspect};
use sipoauth_core::oauth::key_fetch::fetch_keys;
use sipoauth_core::oauth::metadata::MetadataError;
use sipoauth_core::reason::Reason;
use sipoauth_core::text::json::Json;

/// The tool does not know how the server has answered a running proxy.
const IF_SERVED: &str = "a proxy that the server has served within ten minutes takes this for token_inactive";

/// Why there is no answer: the reason that the proxy gives, and a sentence.
pub struct NoAnswer {
    /// The proxy's reason.
    pub reason: Reason,
    /// What happened.
    pub why: String,
}

impl NoAnswer {
    fn unavailable(why: String) -> NoAnswer {
        NoAnswer { reason: Reason::IntrospectionUnavailable, why }
    }

    fn client_refused(why: String) -> NoAnswer {
        NoAnswer { reason: Reason::ClientRefused, why }
    }
}

impl From<MetadataError> for NoAnswer {
    fn from(error: MetadataError) -> NoAnswer {
        match error {
            // The server may be able to tell soon.
            MetadataError::Failed(why) | MetadataError::NoDocument(why) => NoAnswer::unavailable(why),
            MetadataError::Absent(why) | MetadataError::Unusable(why) => NoAnswer::client_refused(why),
        }
    }
}

impl From<IntrospectionError> for NoAnswer {
    fn from(error: IntrospectionError) -> NoAnswer {
        match error {
            IntrospectionError::ClientRefused(why) => NoAnswer::client_refused(why),
            IntrospectionError::RequestRefused(why) => NoAnswer::client_refused(format!("{why}; {IF_SERVED}")),
            IntrospectionError::Unusable(why) => NoAnswer::unavailable(why),
            IntrospectionError::Unavailable(trouble) => NoAnswer::unavailable(trouble.why),
        }
    }
}

/// Asks about a token of this provider. `keys` are those that were fetched, if any.
pub fn ask(
    policy: &Policy,
    index: usize,
    client: &HttpClient,
    keys: Option<&KeySet>,
    token: &str,
    now: i64,
) -> Result<IntrospectionResult, NoAnswer> {
    let provider = &policy.providers[index];
    let endpoint = Endpoints::new().resolve(client, policy, index, Endpoint::Introspection, now)?;
    let fetch = || Some(fetch_keys(client, &key_plan(provider, policy)?).ok()?.keys.into());
    match introspect(client, &endpoint, provider, keys, &fetch, token, now)? {
        Introspected::Active(claims) => kept(claims, provider, &endpoint.address),
        Introspected::Inactive => Ok(IntrospectionResult::Inactive),
    }
}

/// What the proxy keeps of an answer. It judges the token by that, and not by the whole answer.
fn kept(claims: Vec<u8>, provider: &Provider, address: &str) -> Result<IntrospectionResult, NoAnswer> {
    if claims.len() <= MAX_ANSWER {
        return Ok(IntrospectionResult::Active(claims));
    }
    let fitted = Json::parse(&claims).ok().and_then(|json| fit(json, provider, MAX_ANSWER));
    fitted.map(IntrospectionResult::Active).ok_or_else(|| {
        let length = claims.len();
        let why = format!("{address}: of the answer, which has {length} octets, the rules need more than {MAX_ANSWER}");
        NoAnswer::unavailable(why)
    })
}
