// SPDX-License-Identifier: MIT OR Apache-2.0
//! The proxy's own client at a server: are there the endpoints that it needs, and does the server know the client.

use aws_lc_rs::rand;
use serde_json::Value;
use sipoauth::config::policy::Policy;
use sipoauth::engine::endpoints::{Endpoint, Endpoints};
use sipoauth::engine::exchange::{CodeGrant, TokenError, TokenServer, exchange};
use sipoauth::engine::introspection::{Introspected, IntrospectionError, introspect};
use sipoauth::engine::key_fetch::fetch_keys;
use sipoauth::engine::metadata::{Announced, MetadataError};
use sipoauth::io::http::HttpClient;
use sipoauth::proto::fingerprint::hex;
use sipoauth::runtime::key_fetches::key_plan;

use super::finding::Findings;
use super::remembered::Remembered;
use crate::output::{Progress, now};

const CREDENTIALS: &str = "compare client_id, the secret or key, and client_auth with the client at the server";
const INTROSPECTS: &str =
    "compare client_id, the secret or key, and client_auth with the client at the server, and allow it to introspect";
const ANSWERS: &str = "look at the server's log; token_endpoint names the address when the metadata does not";

/// What is asked about the client of one provider.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The configuration.
    pub policy: &'a Policy,
    /// Which provider.
    pub index: usize,
    /// For probes.
    pub http: &'a HttpClient,
    /// What was read from the server already.
    pub documents: &'a Remembered<'a>,
    /// Made-up codes and tokens may be sent.
    pub probe: bool,
}

impl Question<'_> {
    /// Everything about the token endpoint, where codes are exchanged.
    pub fn token_endpoint(&self, metadata: Option<&Value>, findings: &mut Findings) {
        let name = self.name();
        let Some(endpoint) = self.endpoint(Endpoint::Token, findings) else { return };
        let methods = metadata.and_then(|m| m.get("code_challenge_methods_supported")).and_then(Value::as_array);
        if methods.is_none_or(|methods| !methods.iter().any(|m| m.as_str() == Some("S256"))) && metadata.is_some() {
            let message = "the server's metadata does not offer code_challenge_method S256";
            findings.warning(
                "client",
                name,
                message,
                "turn PKCE on at the server: without it a stolen code can be used",
            );
        }
        match self.made_up(findings).filter(|_| self.probe) {
            Some(code) => accepted(self.policy, self.index, self.http, &endpoint.address, &code, findings),
            None => {
                let message = format!("token endpoint {}; whether it knows the client was not asked", endpoint.address);
                findings.ok("client", name, &message);
            }
        }
    }

    /// Everything about the introspection endpoint.
    pub fn introspection_endpoint(&self, findings: &mut Findings) {
        let name = self.name();
        let Some(endpoint) = self.endpoint(Endpoint::Introspection, findings) else { return };
        let Some(token) = self.made_up(findings).filter(|_| self.probe) else {
            let message =
                format!("introspection endpoint {}; whether it knows the client was not asked", endpoint.address);
            return findings.ok("introspection", name, &message);
        };
        let provider = &self.policy.providers[self.index];
        let fetch = || Some(fetch_keys(self.documents, &key_plan(provider, self.policy)?).ok()?.keys);
        let progress = Progress::new(&endpoint.address);
        let answer = introspect(self.http, &endpoint, provider, None, &fetch, &token, now());
        drop(progress);
        match answer {
            Ok(Introspected::Inactive) => {
                findings.ok("introspection", name, &format!("{} answers the proxy's client", endpoint.address));
            }
            Ok(Introspected::Active(_)) => {
                let message = format!("{} calls a token active that was made up", endpoint.address);
                let fix = "this is no introspection endpoint to trust; look at introspection_endpoint";
                findings.failed("introspection", name, &message, fix);
            }
            Err(IntrospectionError::ClientRefused(text)) => {
                let message = format!("the server refuses to introspect for the proxy's client: {text}");
                let fix = match text.contains("without an OAuth error") {
                    true => format!("look at introspection_endpoint; if it is right, {INTROSPECTS}"),
                    false => INTROSPECTS.to_owned(),
                };
                findings.failed("introspection", name, &message, &fix);
            }
            // The token is not liked: that says nothing about the client.
            Err(IntrospectionError::RequestRefused(text)) => {
                let message = format!("the server does not tell whether it knows the client: {text}");
                findings.warning("introspection", name, &message, INTROSPECTS);
            }
            Err(error @ (IntrospectionError::Unavailable(_) | IntrospectionError::Unusable(_))) => {
                let message = format!("the introspection endpoint does not work: {error}");
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

    /// A code or token that no server has issued.
    fn made_up(&self, findings: &mut Findings) -> Option<String> {
        let mut octets = [0; 16];
        if rand::fill(&mut octets).is_err() {
            findings.failed("client", self.name(), "the system gives no random numbers", "look at /dev/urandom");
            return None;
        }
        Some(format!("sipoauth-check-config-{}", hex(&octets)))
    }
}

/// Sends a made-up code. A server that says that the code is wrong has accepted the client (RFC 6749 section 5.2).
fn accepted(policy: &Policy, index: usize, http: &HttpClient, endpoint: &str, code: &str, findings: &mut Findings) {
    let name = Some(policy.providers[index].name.as_str());
    // Servers that want one say so before they look at the code.
    let redirect_uri = policy.providers[index].client.as_ref().and_then(|client| client.redirect_uri.as_deref());
    let grant = CodeGrant { code, code_verifier: None, redirect_uri: redirect_uri.or(Some("http://127.0.0.1/")) };
    let resolve: &dyn Fn(Endpoint) -> Result<Announced, MetadataError> = &|_| Err(MetadataError::Absent(String::new()));
    let progress = Progress::new(endpoint);
    let server =
        TokenServer { http, endpoint, policy, provider: index, keys: None, fetch_keys: &|| None, resolve, now: &now };
    let answer = exchange(&server, &grant);
    drop(progress);
    match answer {
        Err(TokenError::Refused(_)) => findings.ok("client", name, &format!("{endpoint} knows the proxy's client")),
        // The request itself is not liked: that says nothing about the client.
        Err(TokenError::RequestRefused(text)) if text.contains("invalid_request") => {
            let message = format!("the server does not tell whether it knows the client: {text}");
            findings.warning("client", name, &message, CREDENTIALS);
        }
        Err(TokenError::RequestRefused(text) | TokenError::ClientRefused(text) | TokenError::Misconfigured(text)) => {
            findings.failed("client", name, &format!("the server refuses the proxy's client: {text}"), CREDENTIALS);
        }
        Err(TokenError::Unavailable(trouble) | TokenError::InDoubt(trouble)) => {
            let message = format!("the token endpoint does not work: {trouble}");
            findings.failed_with("client", name, &message, ANSWERS);
        }
        Ok(_) | Err(TokenError::Denied(_) | TokenError::Unfit(..)) => {
            let message = format!("{endpoint} gave tokens for a code that was made up");
            findings.failed("client", name, &message, "this is no token endpoint to trust; look at token_endpoint");
        }
    }
}
