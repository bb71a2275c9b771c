// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the proxy's own client at a server: does the server have the endpoints that it needs, and does it know the
//! client?

use aws_lc_rs::rand;
use sipoauth::io_process::http::HttpClient;
use sipoauth::io_process::key_fetches::fetch_provider_keys;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::oauth::endpoints::{Endpoint, Endpoints};
use sipoauth_core::oauth::introspection::{Introspected, IntrospectionError, accepted_types, introspect};
use sipoauth_core::oauth::metadata::Announced;
use sipoauth_core::text::fingerprint::hex;
use sipoauth_core::text::json::Json;

use super::finding::Findings;
use super::introspection_probe::{Difference, IntrospectionProbe};
use super::probe::{Probe, not_asked, other_way};
use super::remembered::RememberedDocuments;
use crate::output::{Progress, now};

const INTROSPECTS: &str =
    "compare client_id, the secret or key, and client_auth with the client at the server, and allow it to introspect";
const TRY_A_TOKEN: &str =
    "compare the client with the one at the server; sipoauth token verify with a token that is good now tells more";

/// The checks of one provider's client.
#[derive(Clone, Copy)]
pub struct ClientCheck<'a> {
    /// The configuration.
    pub policy: &'a Policy,
    /// The index of the provider.
    pub index: usize,
    /// Sends the probes.
    pub http: &'a HttpClient,
    /// The documents that were already read from the server.
    pub documents: &'a RememberedDocuments<'a>,
    /// Made-up codes and tokens may be sent.
    pub probe: bool,
}

impl ClientCheck<'_> {
    /// Checks the token endpoint, where codes are exchanged.
    pub fn token_endpoint(&self, metadata: Option<&Json<'_>>, findings: &mut Findings) {
        let name = self.name();
        let Some(Announced { address: endpoint, .. }) = self.endpoint(Endpoint::Token, findings) else { return };
        let methods = metadata.and_then(|m| m.get("code_challenge_methods_supported")).map(Json::texts_within);
        if methods.is_none_or(|methods| !methods.iter().any(|m| m == "S256")) && metadata.is_some() {
            let message = "the server's metadata does not offer code_challenge_method S256";
            findings.warning(
                "client",
                name,
                message,
                "turn PKCE on at the server: without it a stolen code can be used",
            );
        }
        let Some(client) = &self.policy.providers[self.index].client else { return };
        if !self.probe {
            let message = format!("token endpoint {endpoint}; whether it knows the client was not asked");
            return not_asked(client, name, "client", &message, findings);
        }
        Probe { client, http: self.http, endpoint: &endpoint, name, made_up: &made_up }.run(findings);
    }

    /// Checks the introspection endpoint.
    pub fn introspection_endpoint(&self, findings: &mut Findings) {
        let name = self.name();
        let Some(found) = self.endpoint(Endpoint::Introspection, findings) else { return };
        let endpoint = found.address.as_str();
        let provider = &self.policy.providers[self.index];
        let Some(client) = &provider.client else { return };
        if !self.probe {
            let message = format!("introspection endpoint {endpoint}; whether it knows the client was not asked");
            return not_asked(client, name, "introspection", &message, findings);
        }
        let Some(token) = made_up() else {
            let message = "the system gives no random numbers";
            return findings.failed("introspection", name, message, "look at /dev/urandom");
        };
        let fetch = || fetch_provider_keys(self.documents, provider, self.policy).map(Into::into);
        let progress = Progress::new(endpoint);
        let answer = introspect(self.http, &found, provider, None, &fetch, &token, now());
        drop(progress);
        let accept = accepted_types(provider, &found);
        let probe = IntrospectionProbe { http: self.http, endpoint, accept, made_up: &made_up };
        match answer {
            Ok(Introspected::Inactive) => inactive(name, endpoint, probe.compare(client), findings),
            Ok(Introspected::Active(_)) => {
                let message = format!("{endpoint} calls a token active that was made up");
                let fix = "this is no introspection endpoint to trust; look at introspection_endpoint";
                findings.failed("introspection", name, &message, fix);
            }
            Err(IntrospectionError::RequestRefused(text) | IntrospectionError::Unexplained(text))
                if probe.compare(client) == Difference::Differs =>
            {
                let message =
                    format!("the server knows the client, but does not say whether a made-up token is active: {text}");
                findings.warning("introspection", name, &message, INTROSPECTS);
            }
            Err(IntrospectionError::ClientRefused(text) | IntrospectionError::Unexplained(text)) => {
                if let Some((other, from, to)) = other_way(client)
                    && probe.knows(&other)
                {
                    let message = format!("the server refuses the secret by {from} and accepts it by {to}: {text}");
                    return findings.failed("introspection", name, &message, &format!("write client_auth={to}"));
                }
                let message = format!("the server refuses to introspect for the proxy's client: {text}");
                let fix = match text.contains("without an OAuth error") {
                    true => format!("look at introspection_endpoint; if it is right, {INTROSPECTS}"),
                    false => INTROSPECTS.to_owned(),
                };
                findings.failed("introspection", name, &message, &fix);
            }
            // The server refuses the token, which says nothing about the client.
            Err(IntrospectionError::RequestRefused(text)) => {
                let message = format!("the server does not tell whether it knows the client: {text}");
                findings.warning("introspection", name, &message, INTROSPECTS);
            }
            Err(error @ (IntrospectionError::Unavailable(_) | IntrospectionError::Unusable(_))) => {
                let message = format!("the introspection endpoint gives no usable answer: {error}");
                findings.failed_with(
                    "introspection",
                    name,
                    &message,
                    "look at the server's log and at introspection_endpoint",
                );
            }
        }
    }

    fn name(&self) -> Option<&str> {
        Some(self.policy.providers[self.index].name.as_str())
    }

    fn endpoint(&self, which: Endpoint, findings: &mut Findings) -> Option<Announced> {
        let (check, key) = match which {
            Endpoint::Token => ("client", "token_endpoint"),
            Endpoint::Introspection => ("introspection", "introspection_endpoint"),
            Endpoint::UserInfo => ("client", "userinfo_endpoint"),
            Endpoint::Authorization => ("client", "authorization_endpoint"),
        };
        match Endpoints::new().resolve(self.documents, self.policy, self.index, which, now()) {
            Ok(endpoint) => Some(endpoint),
            Err(sentence) => {
                let fix = format!("write {key}, or an issuer whose metadata names it");
                findings.failed_with(check, self.name(), &sentence.to_string(), &fix);
                None
            }
        }
    }
}

/// Tells what follows when a made-up token is not active for the proxy's client.
fn inactive(name: Option<&str>, endpoint: &str, difference: Difference, findings: &mut Findings) {
    let (why, fix) = match difference {
        Difference::Differs => {
            return findings.ok("introspection", name, &format!("{endpoint} answers the proxy's client"));
        }
        Difference::ServesAnybody => (
            "answers a client with wrong credentials, too",
            "have the server ask for client authentication here (RFC 7662 section 2.1): others can find out about tokens",
        ),
        Difference::Alike => ("refuses a made-up token in the same way for wrong credentials", TRY_A_TOKEN),
        Difference::Unknown => ("has no usable answer now to wrong credentials", "check again later"),
    };
    let message = format!("{endpoint} {why}: it does not say whether the proxy's are right");
    findings.warning("introspection", name, &message, fix);
}

/// A code, token or secret that no server has issued. It is different each time.
fn made_up() -> Option<String> {
    let mut octets = [0; 16];
    rand::fill(&mut octets).ok()?;
    Some(format!("sipoauth-check-config-{}", hex(&octets)))
}
