// SPDX-License-Identifier: MIT OR Apache-2.0
//! Addresses of servers: which ones may be asked, and where metadata is found.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;

/// OpenID Connect Discovery section 4, then RFC 8414 section 3: there the well-known part precedes the path.
pub(super) fn discovery_urls(issuer: &str) -> Vec<String> {
    let base = issuer.trim_end_matches('/');
    let mut urls = vec![format!("{base}/.well-known/openid-configuration")];
    if let Some((scheme, rest)) = base.split_once("://") {
        let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(h, p)| (h, format!("/{p}")));
        urls.push(format!("{scheme}://{host}/.well-known/oauth-authorization-server{path}"));
    }
    urls
}

/// Accepts https to any host, but http only to this machine unless `allow_http`.
pub fn check_url(url: &str, allow_http: bool) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|e| format!("'{url}' is not a URL: {e}"))?;
    let host = uri.host().unwrap_or("");
    match uri.scheme_str() {
        Some("https") if !host.is_empty() => Ok(()),
        Some("http") if is_loopback(host) || allow_http && !host.is_empty() => Ok(()),
        Some("http") => {
            Err(format!("'{url}' is not protected; write https:// (or set allow = http on a closed network)"))
        }
        _ => Err(format!("'{url}' is not an https URL")),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<Ipv4Addr>().is_ok_and(|a| a.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|a| a.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_addresses() {
        assert_eq!(
            discovery_urls("https://kc.example/realms/a/"),
            [
                "https://kc.example/realms/a/.well-known/openid-configuration",
                "https://kc.example/.well-known/oauth-authorization-server/realms/a"
            ]
        );
    }

    #[test]
    fn only_protected_addresses() {
        for good in ["https://a.example/x", "http://127.0.0.1:9400", "http://[::1]:1/x", "http://localhost/"] {
            assert_eq!(check_url(good, false), Ok(()), "{good}");
        }
        for bad in [
            "http://as.example",
            "http://127.0.0.1.evil.test",
            "ftp://x",
            "as.example",
            "",
            "https://",
            "http://localhost.evil",
        ] {
            assert!(check_url(bad, false).is_err(), "{bad}");
        }
        assert!(check_url("http://as.example", true).is_ok());
    }
}
