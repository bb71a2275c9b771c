// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTTP proxy through which authorization servers are asked.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use http::Uri;
use zeroize::Zeroizing;

use super::ConfigError;
use super::settings::Settings;

/// Names of this machine, which is never asked through a proxy.
const OWN: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Longest user and password together, in octets.
const MAX_CREDENTIALS: usize = 1024;

/// An HTTP proxy that is used with CONNECT.
#[derive(Clone)]
pub struct HttpProxy {
    /// Host, as in a URL: an IPv6 address in brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User and password, when the proxy wants them.
    pub credentials: Option<(String, Zeroizing<String>)>,
    direct: Vec<String>,
}

impl std::fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpProxy({}:{}, …)", self.host, self.port)
    }
}

impl HttpProxy {
    /// Reads the settings; None if servers are asked directly. `files` holds the content of every file that is
    /// named.
    pub(super) fn new(settings: &Settings, files: &BTreeMap<String, String>) -> Result<Option<HttpProxy>, ConfigError> {
        let error = |key: &str, text: String| Err(ConfigError(format!("{key}: {text}")));
        let Some(written) = &settings.http_proxy else {
            let others = [
                ("no_proxy", !settings.no_proxy.is_empty()),
                ("http_proxy_credentials_file", settings.http_proxy_credentials_file.is_some()),
            ];
            return match others.iter().find(|(_, written)| *written) {
                Some((key, _)) => error(key, "needs 'http_proxy'".into()),
                None => Ok(None),
            };
        };
        let form = "write http://HOST:PORT";
        // No error repeats the text before it is known to hold no password.
        let Ok(uri) = written.parse::<Uri>() else {
            return error("http_proxy", format!("is no URL; {form}"));
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return error(
                "http_proxy",
                "must not hold a user or a password; write USER:PASSWORD into a file and name it in http_proxy_credentials_file"
                    .into(),
            );
        }
        // The parser takes an invalid port for no port.
        let has_port = |authority: &str| authority.rsplit_once(':').is_some_and(|(_, rest)| !rest.ends_with(']'));
        if uri.authority().is_some_and(|authority| has_port(authority.as_str()))
            && uri.port_u16().is_none_or(|port| port == 0)
        {
            return error("http_proxy", format!("'{written}' has no port from 1 to 65535"));
        }
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = uri.host().filter(|host| !host.is_empty() && uri.scheme_str() == Some("http") && is_bare);
        let Some(host) = host else {
            return error("http_proxy", format!("'{written}' is no HTTP proxy; {form}"));
        };
        let credentials = match &settings.http_proxy_credentials_file {
            None => None,
            Some(path) => {
                let text = files.get(path).map_or("", |text| text.trim_end_matches(['\r', '\n']));
                match text.split_once(':') {
                    Some((user, password))
                        if !user.is_empty() && text.len() <= MAX_CREDENTIALS && !text.chars().any(char::is_control) =>
                    {
                        Some((user.to_owned(), Zeroizing::new(password.to_owned())))
                    }
                    _ => {
                        return error(
                            "http_proxy_credentials_file",
                            format!("{path} must hold USER:PASSWORD in one line"),
                        );
                    }
                }
            }
        };
        let mut direct: Vec<String> = OWN.map(String::from).to_vec();
        for entry in &settings.no_proxy {
            let name = entry.strip_prefix('.').unwrap_or(entry);
            let within = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let address = within.and_then(|address| address.parse::<Ipv6Addr>().ok());
            let has_other = name.contains(['*', '/', '@']) || address.is_none() && name.contains([':', '[', ']']);
            if name.is_empty() || name.ends_with('.') || has_other || name.chars().any(char::is_whitespace) {
                return error(
                    "no_proxy",
                    format!(
                        "'{entry}' is neither a host (an IPv6 address in brackets, no port) nor a domain such as .example.com"
                    ),
                );
            }
            // The address is also added in its usual spelling.
            direct.extend(address.map(|address| format!("[{address}]")));
            direct.push(entry.to_ascii_lowercase());
        }
        // A domain such as .example.com includes the host example.com.
        let domains: Vec<String> =
            direct.iter().filter_map(|entry| entry.strip_prefix('.')).map(String::from).collect();
        direct.extend(domains);
        Ok(Some(HttpProxy { host: host.to_owned(), port: uri.port_u16().unwrap_or(80), credentials, direct }))
    }

    /// Hosts that are asked directly, in lower case. An entry that begins with a dot stands for all names that end
    /// with it.
    pub fn direct(&self) -> &[String] {
        &self.direct
    }

    /// Whether this host is asked through the proxy.
    pub fn is_way_to(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        !self.direct.iter().any(|entry| if entry.starts_with('.') { host.ends_with(entry) } else { host == *entry })
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;

    fn proxy(pairs: &[(&str, &str)]) -> Result<Option<HttpProxy>, String> {
        let mut source = Source::default();
        for (key, value) in pairs.iter().filter(|(key, _)| *key != "http_proxy_credentials_file") {
            source.set(key, value).map_err(|e| e.0)?;
        }
        let mut settings = source.load().map_err(|e| e.0)?.settings;
        let file = pairs.iter().find(|(key, _)| *key == "http_proxy_credentials_file");
        settings.http_proxy_credentials_file = file.map(|(_, path)| (*path).to_owned());
        let files = [("/good", "sip:pass:word\n"), ("/bad", "sip"), ("/empty", "")];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        HttpProxy::new(&settings, &files).map_err(|e| e.0)
    }

    const PROXY: (&str, &str) = ("http_proxy", "http://proxy.example:3128");

    #[test]
    fn where_it_is_and_what_goes_past_it() {
        assert!(proxy(&[]).unwrap().is_none());
        let found = proxy(&[PROXY, ("no_proxy", "as.example, .corp.example, [2001:DB8:0::2]")]).unwrap().unwrap();
        assert_eq!((found.host.as_str(), found.port, found.credentials.is_none()), ("proxy.example", 3128, true));
        for host in [
            "as.example",
            "AS.example",
            "corp.example",
            "as.corp.example",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "[2001:db8::2]",
        ] {
            assert!(!found.is_way_to(host), "{host}");
        }
        for host in ["login.example", "x.as.example", "notcorp.example", "192.0.2.1"] {
            assert!(found.is_way_to(host), "{host}");
        }
        assert_eq!(proxy(&[("http_proxy", "http://[2001:db8::1]/")]).unwrap().unwrap().host, "[2001:db8::1]");
        let known = proxy(&[PROXY, ("http_proxy_credentials_file", "/good")]).unwrap().unwrap();
        let (user, password) = known.credentials.clone().unwrap();
        assert_eq!((user.as_str(), password.as_str()), ("sip", "pass:word"));
        assert!(!format!("{known:?}").contains("word"));
    }

    #[test]
    fn mistakes_name_the_key_and_no_secret() {
        for (pairs, words) in [
            (vec![("http_proxy", "proxy.example:3128")], "http_proxy: "),
            (vec![("http_proxy", "me:hush@proxy.example:3128")], "http_proxy: "),
            (vec![("http_proxy", "https://proxy.example")], "write http://HOST:PORT"),
            (vec![("http_proxy", "http://proxy.example/x")], "write http://HOST:PORT"),
            (vec![("http_proxy", "http://me:hush@proxy.example")], "http_proxy_credentials_file"),
            (vec![("no_proxy", "as.example")], "no_proxy: needs 'http_proxy'"),
            (vec![("http_proxy_credentials_file", "/good")], "http_proxy_credentials_file: needs"),
            (vec![PROXY, ("http_proxy_credentials_file", "/bad")], "must hold USER:PASSWORD"),
            (vec![PROXY, ("http_proxy_credentials_file", "/empty")], "must hold USER:PASSWORD"),
            (vec![("http_proxy", "http://proxy.example:0")], "no port from 1 to 65535"),
            (vec![("http_proxy", "http://proxy.example:99999")], "no port from 1 to 65535"),
            (vec![("http_proxy", "http://[2001:db8::1]:0")], "no port from 1 to 65535"),
            (vec![("http_proxy", "http://proxy.example:")], "no port from 1 to 65535"),
            (vec![PROXY, ("no_proxy", "as.example.")], "no_proxy: 'as.example.'"),
            (vec![PROXY, ("no_proxy", ".example.")], "no_proxy: '.example.'"),
            (vec![PROXY, ("no_proxy", "as.example:443")], "no_proxy: 'as.example:443'"),
            (vec![PROXY, ("no_proxy", "2001:db8::1")], "in brackets"),
            (vec![PROXY, ("no_proxy", "[]")], "no_proxy: '[]'"),
            (vec![PROXY, ("no_proxy", "[as.example]")], "no_proxy: '[as.example]'"),
            (vec![PROXY, ("no_proxy", ".[::1]")], "no_proxy: '.[::1]'"),
            (vec![PROXY, ("no_proxy", "*")], "no_proxy: '*'"),
            (vec![PROXY, ("no_proxy", "http://x")], "no_proxy: 'http://x'"),
        ] {
            let text = proxy(&pairs).unwrap_err();
            assert!(text.contains(words) && !text.contains("hush"), "{pairs:?}: {text}");
        }
    }
}
