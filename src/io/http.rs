// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP by ureq and rustls: TLS always verified, no redirects, bounded in time and size.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, ResponseExt as _, SendBody};

use crate::config::policy::Policy;
use crate::ports::{Answered, Document, Fetch, FetchError, Form, Post, PostError};

/// Largest response body in octets.
const MAX_BODY: u64 = 1024 * 1024;

/// A client with the limits of one configuration.
pub struct HttpClient {
    agent: Agent,
    /// Never uses a connection twice: a server may close an idle one at any time, and whoever posts on it then cannot
    /// know whether the request was received.
    post_agent: Agent,
}

impl HttpClient {
    /// Makes a client. Reads the system's certificate authorities when the configuration names none, so it is made
    /// in the I/O process only.
    pub fn new(policy: &Policy) -> HttpClient {
        let roots = match &policy.ca_pem {
            Some(pem) => {
                let own = CertificateDer::pem_slice_iter(pem.as_bytes()).flatten();
                let own: Vec<_> = own.map(|der| Certificate::from_der(&der).to_owned()).collect();
                RootCerts::new_with_certs(&own)
            }
            None => RootCerts::PlatformVerifier,
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .root_certs(roots)
            .build();
        let settings = &policy.settings;
        let seconds = |s: u32| Some(Duration::from_secs(u64::from(s)));
        let config = |idle_connections| {
            Agent::config_builder()
                .tls_config(tls.clone())
                .proxy(None)
                .max_redirects(0)
                .http_status_as_error(false)
                .timeout_global(seconds(settings.http_timeout))
                .timeout_connect(seconds(settings.connect_timeout))
                .max_response_header_size(32 * 1024)
                .max_idle_connections(idle_connections)
                .max_idle_age(Duration::from_secs(30))
                .user_agent(concat!("sipoauth/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        HttpClient { agent: config(10).new_agent(), post_agent: config(0).new_agent() }
    }
}

impl Fetch for HttpClient {
    fn get(&self, url: &str) -> Result<Document, FetchError> {
        let failed = |e: ureq::Error| FetchError::Failed(describe(&e));
        let mut response = self.agent.get(url).header("accept", "application/json").call().map_err(failed)?;
        let status = response.status().as_u16();
        if (300..400).contains(&status) {
            return Err(FetchError::Failed(format!(
                "HTTP status {status}: redirects are not followed, write the final address"
            )));
        }
        if status != 200 {
            return Err(FetchError::Status(status));
        }
        debug_assert!(response.get_redirect_history().is_none_or(|h| h.len() <= 1));
        let cache_control = response.headers().get("cache-control").and_then(|v| v.to_str().ok()).map(max_age);
        let body = read_body(response.body_mut()).map_err(failed)?;
        Ok(Document { body, max_age: cache_control.flatten() })
    }
}

impl Post for HttpClient {
    fn post(&self, form: &Form<'_>) -> Result<Answered, PostError> {
        let mut body = WatchedBody { rest: form.body.as_bytes(), asked_for: false };
        let mut request = self
            .post_agent
            .post(form.url)
            .header("accept", "application/json")
            .header("connection", "close")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("content-length", form.body.len());
        if let Some(authorization) = form.authorization {
            request = request.header("authorization", authorization);
        }
        let sent = request.send(SendBody::from_reader(&mut body));
        let mut response = sent.map_err(|e| match body.asked_for {
            true => PostError::InDoubt(describe(&e)),
            false => PostError::NotSent(describe(&e)),
        })?;
        let status = response.status().as_u16();
        let body = read_body(response.body_mut()).map_err(|e| PostError::InDoubt(describe(&e)))?;
        Ok(Answered { status, body })
    }
}

/// The body of a request. Until it is asked for, nothing of it can have left: name resolution, connection, TLS
/// handshake and the header fields come first.
struct WatchedBody<'a> {
    rest: &'a [u8],
    asked_for: bool,
}

impl Read for WatchedBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.asked_for = true;
        self.rest.read(buffer)
    }
}

fn read_body(body: &mut Body) -> Result<Vec<u8>, ureq::Error> {
    body.with_config().limit(MAX_BODY).read_to_vec()
}

fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no complete answer in time".into(),
        ureq::Error::BodyExceedsLimit(_) => "the answer is larger than 1 MiB".into(),
        ureq::Error::HostNotFound => "the host name cannot be resolved".into(),
        other => crate::proto::fingerprint::printable(&other.to_string(), 200),
    }
}

/// max-age of Cache-Control; no-store and no-cache count as zero.
fn max_age(value: &str) -> Option<u64> {
    let mut age = None;
    for directive in value.split(',').map(str::trim) {
        let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(0);
        }
        if name.eq_ignore_ascii_case("max-age") {
            age = argument.trim_matches('"').parse().ok();
        }
    }
    age
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control() {
        for (value, age) in [
            ("max-age=60", Some(60)),
            ("public, Max-Age=\"5\"", Some(5)),
            ("no-store, max-age=60", Some(0)),
            ("private", None),
            ("max-age=x", None),
            ("", None),
        ] {
            assert_eq!(max_age(value), age, "{value}");
        }
    }
}
