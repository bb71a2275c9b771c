// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asks a provider's server about a token, and makes of its answer what the proxy makes of it: what it keeps, or the
//! reason why it has none.

use sipoauth::io_process::http::HttpClient;
use sipoauth::io_process::key_fetches::fetch_provider_keys;
use sipoauth_core::check::token_answer::{IntrospectionResult, MAX_ANSWER};
use sipoauth_core::config::policy::Policy;
use sipoauth_core::jose::key_set::KeySet;
use sipoauth_core::oauth::answer_fit::fit_text;
use sipoauth_core::oauth::endpoints::{Endpoint, Endpoints};
use sipoauth_core::oauth::introspection::{Introspected, IntrospectionError, introspect};
use sipoauth_core::oauth::metadata::MetadataError;
use sipoauth_core::reason::Reason;

/// The tool does not know how the server has answered a running proxy.
const IF_SERVED: &str = "a proxy that the server has served within ten minutes takes this for token_inactive";
const IF_SERVED_LATER: &str = "a proxy that the server serves afterwards takes the next such answer for token_inactive";

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
            MetadataError::Failed(why) | MetadataError::Incomplete(why) | MetadataError::NoDocument(why) => {
                NoAnswer::unavailable(why)
            }
            MetadataError::Absent(why) | MetadataError::Unusable(why) => NoAnswer::client_refused(why),
        }
    }
}

impl From<IntrospectionError> for NoAnswer {
    fn from(error: IntrospectionError) -> NoAnswer {
        match error {
            IntrospectionError::ClientRefused(why) => NoAnswer::client_refused(why),
            IntrospectionError::RequestRefused(why) => NoAnswer::client_refused(format!("{why}; {IF_SERVED}")),
            IntrospectionError::Unexplained(why) => NoAnswer::client_refused(format!("{why}; {IF_SERVED_LATER}")),
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
    let fetch = || fetch_provider_keys(client, provider, policy).map(Into::into);
    match introspect(client, &endpoint, provider, keys, &fetch, token, now)? {
        // What the proxy keeps of an answer. It judges the token by that, and not by the whole answer.
        Introspected::Active(claims) => fit_text(claims, provider, MAX_ANSWER)
            .map(IntrospectionResult::Active)
            .map_err(|why| NoAnswer::unavailable(format!("{}: {why}", endpoint.address))),
        Introspected::Inactive => Ok(IntrospectionResult::Inactive),
    }
}
