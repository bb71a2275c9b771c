// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks one provider's server: can it be reached, is its certificate accepted, does its metadata agree with the
//! configuration, can its keys be used, and is its clock right?

use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, SystemTime};

use sipoauth::io_process::http::{HttpClient, ServerTime};
use sipoauth_core::config::key_source::KeySource;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::config::provider::Provider;
use sipoauth_core::text::json::Json;

use super::client::ClientCheck;
use super::finding::Findings;
use super::keys::{self, REACH};
use super::remembered::RememberedDocuments;
use crate::output::{Progress, span};

/// Checks everything about one provider.
pub fn check(policy: &Policy, index: usize, http: &HttpClient, probe: bool, findings: &mut Findings) {
    let provider = &policy.providers[index];
    let documents = RememberedDocuments::new(http);
    keys::configured(policy, provider, findings);
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
    keys::fetched(policy, index, &documents, findings);
    let document = keys::document(&metadata, &documents);
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
    let timeout = Duration::from_secs(policy.settings.connect_timeout().into());
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
/// favor. An old answer shows only that the clock is ahead, because its date should lie in the past.
fn clock(provider: &Provider, server: ServerTime, before: SystemTime, findings: &mut Findings) {
    let ServerTime { date, is_old } = server;
    let ahead = date.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
    let behind = before.duration_since(date + Duration::from_secs(1)).unwrap_or_default().as_secs();
    let name = Some(provider.name.as_str());
    if is_old && ahead == 0 {
        let message = "the answer comes from a cache (it has an Age), so it does not tell the time of the server";
        return findings.ok("clock", name, message);
    }
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
