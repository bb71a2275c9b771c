// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP by ureq and rustls: TLS always verified, no redirects, bounded in time and size.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, ResponseExt as _};

use crate::config::policy::Policy;
use crate::ports::{Document, Fetch, FetchError};

/// Largest response body in octets.
const MAX_BODY: u64 = 1024 * 1024;

/// A client with the limits of one configuration.
pub struct HttpClient {
    agent: Agent,
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
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(seconds(settings.http_timeout))
            .timeout_connect(seconds(settings.connect_timeout))
            .max_response_header_size(32 * 1024)
            .max_idle_age(Duration::from_secs(30))
            .user_agent(concat!("sipoauth/", env!("CARGO_PKG_VERSION")))
            .build();
        HttpClient { agent: config.new_agent() }
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
        let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec().map_err(failed)?;
        Ok(Document { body, max_age: cache_control.flatten() })
    }
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
