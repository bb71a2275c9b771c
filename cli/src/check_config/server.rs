// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks one provider's server: can it be reached, is its certificate accepted, does its metadata agree with the
//! configuration, can its keys be used, and is its clock right?

use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, SystemTime};

use sipoauth::io_process::http::HttpClient;
use sipoauth_core::config::key_source::KeySource;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::jose::key_set::{KeySet, Origin, Rejected};
use sipoauth_core::oauth::key_fetch::KEY_SET_TYPES;
use sipoauth_core::oauth::metadata::{METADATA_TYPES, WantedEndpoint, endpoint_of_metadata};
use sipoauth_core::ports::{Fetch, FetchError};
use sipoauth_core::text::json::Json;

use super::client::ClientCheck;
use super::finding::Findings;
use super::remembered::RememberedDocuments;
use crate::output::{Progress, span};

const DOCUMENT: &str = "open the address in a browser: the metadata of the issuer must be there; discovery_url names it when it is elsewhere";
const KEYS: &str = "the server must publish a signing key: RSA of at least 2048 bits, P-256, P-384 or Ed25519";
const FAULTY_KEYS: &str = "have the server publish a key without the faults that are named for each below";
const ADDRESS: &str = "the server answers, but not with keys at this address: correct jwks_uri, or leave it out where the metadata names it";
const REACH: &str = "look at the name, the port, a firewall in between, and whether the server runs";

/// Checks everything about one provider.
pub fn check(policy: &Policy, index: usize, http: &HttpClient, probe: bool, findings: &mut Findings) {
    let provider = &policy.providers[index];
    let name = Some(provider.name.as_str());
    let documents = RememberedDocuments::new(http);
    if let KeySource::Static(set) = &provider.keys {
        findings.ok("keys", name, &format!("{} configured key(s), {}", set.keys().len(), algorithms(set)));
        not_used(set, name, findings);
        algorithms_fit(provider, set, findings);
    }
    let metadata = metadata_addresses(provider);
    let introspects = provider.introspection.as_ref();
    let fixed = match &provider.keys {
        KeySource::Jwks(uri) => Some(uri.as_str()),
        _ => provider.client.as_ref().and_then(|client| client.token_endpoint.as_deref()),
    };
    let fixed = fixed.or_else(|| introspects.and_then(|i| i.endpoint.as_deref()));
    let Some(first) = metadata.first().map(String::as_str).or(fixed) else { return };
    if !reachable(policy, provider, first, http, findings) {
        return;
    }
    match &provider.keys {
        // Nothing depends on these keys now. The proxy fetches them when it must verify a signed answer.
        _ if !provider.watches_keys() => {}
        KeySource::Static(_) => {}
        KeySource::Jwks(uri) => keys(provider, uri, &documents, findings),
        KeySource::Discovery(urls) => {
            let allow_http = policy.settings.allow_http;
            let wanted = WantedEndpoint { issuer: &provider.issuer, member: "jwks_uri", mutual_tls: false, allow_http };
            match endpoint_of_metadata(&documents, urls, &wanted) {
                Ok(announced) => {
                    findings.ok("metadata", name, &format!("names the issuer {} and its keys", provider.issuer));
                    keys(provider, &announced.address, &documents, findings);
                }
                Err(sentence) => match slash(provider, urls, &documents) {
                    Some((message, fix)) => findings.failed("metadata", name, &message, &fix),
                    None => findings.failed_with("metadata", name, &sentence.to_string(), DOCUMENT),
                },
            }
        }
    }
    let document = document(&metadata, &documents);
    let document = document.as_ref().and_then(|body| Json::parse(body).ok());
    if let Some(document) = &document {
        supported_scopes(provider, document, findings);
    }
    let question = ClientCheck { policy, index, http, documents: &documents, probe };
    if provider.client.is_some() && policy.sessions.is_some() {
        question.token_endpoint(document.as_ref(), findings);
    }
    if introspects.is_some() {
        question.introspection_endpoint(findings);
    }
}

fn metadata_addresses(provider: &Provider) -> Vec<String> {
    match (&provider.keys, &provider.client) {
        // The issuer of opaque tokens may be a name without a server.
        _ if !provider.watches_keys() && provider.introspection.as_ref().is_some_and(|i| i.endpoint.is_some()) => {
            Vec::new()
        }
        (KeySource::Discovery(urls), _) => urls.clone(),
        (_, Some(client)) => client.discovery.clone(),
        _ => Vec::new(),
    }
}

/// The metadata as the server sends it, unchecked. It is for checks that only give warnings.
fn document(addresses: &[String], documents: &RememberedDocuments<'_>) -> Option<Vec<u8>> {
    let body = |url: &String| Some(documents.get(url, METADATA_TYPES).ok()?.body);
    addresses.iter().filter_map(body).find(|body| Json::parse(body).is_ok())
}

/// Checks name resolution, connection, TLS and clock, each with its own sentence.
fn reachable(policy: &Policy, provider: &Provider, url: &str, http: &HttpClient, findings: &mut Findings) -> bool {
    let name = Some(provider.name.as_str());
    let Some((host, port)) = host_and_port(url) else { return true };
    let progress = Progress::new(&format!("{}: {host}", provider.name));
    let proxy = policy.http_proxy.as_ref().filter(|proxy| proxy.is_way_to(&host));
    let (next, next_port) = proxy.map_or((host.as_str(), port), |proxy| (proxy.host.as_str(), proxy.port));
    let (next, key) = (next.trim_matches(['[', ']']), if proxy.is_some() { "http_proxy" } else { "the host name" });
    let addresses = match (next, next_port).to_socket_addrs() {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(error) => {
            drop(progress);
            let message = format!("{next} cannot be resolved: {error}");
            let fix = format!("look at {key}, and at this machine's /etc/resolv.conf");
            findings.failed("dns", name, &message, &fix);
            return false;
        }
    };
    let timeout = Duration::from_secs(policy.settings.connect_timeout.into());
    let mut failure = "it has no address".to_owned();
    let connected = addresses.iter().any(|address| {
        TcpStream::connect_timeout(address, timeout).map_err(|error| failure = format!("{address}: {error}")).is_ok()
    });
    drop(progress);
    if !connected {
        let which = if proxy.is_some() { "the HTTP proxy " } else { "" };
        let fix = if proxy.is_some() { "look at http_proxy, and whether that proxy runs" } else { REACH };
        findings.failed("connection", name, &format!("{which}{next}:{next_port} does not answer: {failure}"), fix);
        return false;
    }
    if proxy.is_some() {
        let message = format!("{host}:{port} is asked through the HTTP proxy {next}:{next_port}");
        findings.ok("connection", name, &message);
    } else if policy.http_proxy.is_some() {
        findings.ok("connection", name, &format!("{host}:{port} is asked directly, not through http_proxy"));
    }
    let before = SystemTime::now();
    let told = http.server_time(url);
    let encrypted = url.starts_with("https://");
    match told {
        Err(problem) => {
            let check = if problem.contains("certificate") { "tls" } else { "connection" };
            findings.failed_with(check, name, &format!("{url}: {problem}"), REACH);
            false
        }
        Ok(time) => {
            match encrypted {
                true => findings.ok("tls", name, &format!("the certificate of {host} is accepted")),
                false => findings.ok("connection", name, &format!("{host}:{port} answers")),
            }
            if let Some(time) = time {
                clock(provider, time, before, findings);
            }
            true
        }
    }
}

/// Compares the clocks. HTTP gives the time in whole seconds, and the answer takes time. Both count in the server's
/// favor.
fn clock(provider: &Provider, server: SystemTime, before: SystemTime, findings: &mut Findings) {
    let ahead = server.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
    let behind = before.duration_since(server + Duration::from_secs(1)).unwrap_or_default().as_secs();
    let name = Some(provider.name.as_str());
    let difference = ahead.max(behind);
    let message = match ahead {
        0 => format!("the server's clock is {} behind this machine's", span(behind)),
        _ => format!("the server's clock is {} ahead of this machine's", span(ahead)),
    };
    if i64::try_from(difference).unwrap_or(i64::MAX) > provider.rules.leeway {
        let message = format!("{message}, more than leeway ({} s): good tokens are refused", provider.rules.leeway);
        findings.failed("clock", name, &message, "let both machines keep time by NTP (chrony, systemd-timesyncd)");
    } else if difference > 2 {
        findings.warning("clock", name, &message, "let both machines keep time by NTP (chrony, systemd-timesyncd)");
    } else {
        findings.ok("clock", name, "the server's clock agrees with this machine's");
    }
}

/// The most common mistake has its own sentence: an issuer that differs only in its final slash.
fn slash(provider: &Provider, urls: &[String], documents: &RememberedDocuments<'_>) -> Option<(String, String)> {
    let document = document(urls, documents)?;
    let document = Json::parse(&document).ok()?;
    let named = document.get("issuer")?.as_str()?;
    let configured = provider.issuer.as_str();
    (named != configured && named.trim_end_matches('/') == configured.trim_end_matches('/')).then(|| {
        let message =
            format!("the server calls itself '{named}', configured is '{configured}': the final slash counts");
        (message, format!("write issuer={named}"))
    })
}

fn keys(provider: &Provider, uri: &str, documents: &RememberedDocuments<'_>, findings: &mut Findings) {
    let name = Some(provider.name.as_str());
    let body = match documents.get(uri, KEY_SET_TYPES) {
        Ok(document) => document.body,
        Err(error) => {
            let fix = if matches!(error, FetchError::Status(300..=499)) { ADDRESS } else { REACH };
            return findings.failed_with("keys", name, &format!("{uri}: {error}"), fix);
        }
    };
    match KeySet::from_jwks(&body, Origin::Fetched) {
        Err(error) => {
            let fix = if error.rejected().is_empty() { KEYS } else { FAULTY_KEYS };
            findings.failed("keys", name, &format!("{uri}: {error}"), fix);
            for key in error.rejected() {
                told(key, "every token that is signed with it is refused", name, findings);
            }
        }
        Ok(set) => {
            findings.ok("keys", name, &format!("{} usable key(s), {}", set.keys().len(), algorithms(&set)));
            not_used(&set, name, findings);
            algorithms_fit(provider, &set, findings);
        }
    }
}

/// Warns about the keys of a set that are not used, except keys that are there for another use.
fn not_used(set: &KeySet, name: Option<&str>, findings: &mut Findings) {
    for key in set.rejected().iter().filter(|key| !key.error.is_other_use()) {
        told(key, "tokens signed with it are refused; sipoauth jwks shows all keys", name, findings);
    }
}

fn told(key: &Rejected, fix: &str, name: Option<&str>, findings: &mut Findings) {
    findings.warning("keys", name, &format!("{} is not used: {}", key.name(), key.error), fix);
}

fn algorithms(set: &KeySet) -> String {
    use sipoauth_core::jose::algorithm::Algorithm;
    let suited = Algorithm::ALL.into_iter().filter(|a| set.keys().iter().any(|key| key.suits(*a)));
    format!("for {}", suited.map(Algorithm::name).collect::<Vec<_>>().join(", "))
}

/// A token needs an accepted algorithm and a key for it.
fn algorithms_fit(provider: &Provider, set: &KeySet, findings: &mut Findings) {
    let accepted = &provider.rules.algorithms;
    if set.keys().iter().any(|key| accepted.iter().any(|algorithm| key.suits(*algorithm))) {
        return;
    }
    let names: Vec<&str> = accepted.iter().map(|algorithm| algorithm.name()).collect();
    let message = format!(
        "algorithms accepts {}, but the server's keys are {}: no token can be accepted",
        names.join(", "),
        algorithms(set)
    );
    findings.failed(
        "algorithms",
        Some(&provider.name),
        &message,
        "write an algorithm of the keys in algorithms, or remove it",
    );
}

fn supported_scopes(provider: &Provider, document: &Json<'_>, findings: &mut Findings) {
    let Some(Json::Array(supported)) = document.get("scopes_supported") else { return };
    let asked = provider.challenge_scope.split(' ').filter(|scope| !scope.is_empty());
    let asked = asked.chain(provider.rules.required_scopes.iter().map(String::as_str));
    let mut missing: Vec<&str> = asked.filter(|scope| !supported.iter().any(|s| s.as_str() == Some(scope))).collect();
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        let message = format!("scopes_supported of the server does not list {}", missing.join(", "));
        let fix = "compare required_scopes and scope with the server's; some servers do not list every scope";
        findings.warning("scopes", Some(&provider.name), &message, fix);
    }
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let authority = authority.rsplit('@').next()?;
    let default = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (url, host, port) in [
            ("https://as.example/x", "as.example", 443),
            ("http://127.0.0.1:8080", "127.0.0.1", 8080),
            ("https://[::1]/x", "::1", 443),
            ("https://[::1]:8443?x", "::1", 8443),
        ] {
            assert_eq!(host_and_port(url), Some((host.to_owned(), port)), "{url}");
        }
        assert_eq!(host_and_port("as.example"), None);
    }
}
