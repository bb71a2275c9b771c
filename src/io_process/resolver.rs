// SPDX-License-Identifier: MIT OR Apache-2.0
//! Addresses of servers. ureq's own resolver starts a thread for each request, even if a connection is open already.
//! This one takes an address in the URL as it is, and remembers the addresses of a name for some seconds.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long the addresses of a name are used. A server that moves is found again after that.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Names that are remembered: those of the configuration and of the servers' metadata.
const NAMES: usize = 64;

/// Resolves names by the system, and remembers the addresses for a while.
#[derive(Clone, Debug, Default)]
pub struct RememberingResolver(Arc<RememberedName>);

#[derive(Debug, Default)]
struct RememberedName {
    system: DefaultResolver,
    names: Mutex<HashMap<String, (Instant, Vec<SocketAddr>)>>,
}

impl RememberingResolver {
    fn remembered(&self, name: &str) -> Option<ResolvedSocketAddrs> {
        let names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, addresses) = names.get(name)?;
        (since.elapsed() < REMEMBERED).then(|| self.list(addresses))
    }

    fn remember(&self, name: &str, addresses: &[SocketAddr]) {
        let mut names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES && !names.contains_key(name) {
            names.clear();
        }
        names.insert(name.to_owned(), (Instant::now(), addresses.to_vec()));
    }

    fn list(&self, addresses: &[SocketAddr]) -> ResolvedSocketAddrs {
        let mut list = self.empty();
        addresses.iter().for_each(|address| list.push(*address));
        list
    }
}

/// The address of a URL whose host is an address.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = uri.port_u16().or(match uri.scheme_str()? {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    })?;
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, port))
}

impl Resolver for RememberingResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if let Some(address) = literal(uri) {
            return Ok(self.list(&[address]));
        }
        // The scheme, host and port, by which ureq tells connections apart, too.
        let name = format!("{}://{}", uri.scheme_str().unwrap_or(""), uri.authority().map_or("", |a| a.as_str()));
        if let Some(addresses) = self.remembered(&name) {
            return Ok(addresses);
        }
        let addresses = self.0.system.resolve(uri, config, timeout)?;
        self.remember(&name, &addresses);
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(uri: &str) -> Option<String> {
        literal(&uri.parse().unwrap()).map(|address| address.to_string())
    }

    #[test]
    fn addresses_need_no_lookup() {
        assert_eq!(text("http://127.0.0.1:8080/a").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(text("https://192.0.2.1/a").as_deref(), Some("192.0.2.1:443"));
        assert_eq!(text("http://[::1]/").as_deref(), Some("[::1]:80"));
        assert_eq!(text("https://login.example.test/"), None);
        assert_eq!(text("https://1.2.3/"), None);
    }

    #[test]
    fn names_are_remembered_and_bounded() {
        let resolver = RememberingResolver::default();
        let address: SocketAddr = "192.0.2.7:443".parse().unwrap();
        assert!(resolver.remembered("https://a.test").is_none());
        resolver.remember("https://a.test", &[address]);
        assert_eq!(resolver.remembered("https://a.test").unwrap().first(), Some(&address));
        for number in 0..NAMES * 3 {
            resolver.remember(&format!("https://{number}.test"), &[address]);
        }
        assert!(resolver.0.names.lock().unwrap().len() <= NAMES);
    }
}
