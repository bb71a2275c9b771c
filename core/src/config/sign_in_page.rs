// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table `[sign_in_page]`: the server at which users sign in with a browser and add their phones. The proxy ignores
//! it.

use std::net::SocketAddr;

use http::Uri;
use serde::{Deserialize, Serialize};

use super::domains::Reach;
use super::policy::Policy;
use super::provider::Provider;
use super::setting::{Kind, Setting, SettingValue, Takes, first_fault, settings};
use super::settings::{Settings, as_it_is, boolean, list, number};
use super::urls::check_url;
use super::{ConfigError, error};
use crate::sip::ip_networks::IpNetworks;
use crate::sip::next_hop::NextHopRule;
use crate::sip::uri::push_host;

/// At most this many domains are named in an error.
const NAMED: usize = 5;

settings! {
    /// The sign-in page, as it is written.
    pub struct SignInPageSettings, table OF_THE_PAGE {
        url: String, "as_it_is", String::new(), Kind::Text, Takes::Restart,
            "the address at which browsers reach the page: `https://phones.example.com`, without a path. `http://` only for this host itself. The authorization server must know `URL/signed-in/NAME` as redirect URI of the client, with the NAME of its provider";
        listen: String, "as_it_is", "127.0.0.1:8095".into(), Kind::Text, Takes::Restart,
            "address and port of the server";
        certificate_file: Option<String>, "as_it_is", None, Kind::File, Takes::Restart,
            "certificate (PEM), followed by those between it and its authority. Without it the server speaks HTTP, for a reverse proxy that has one";
        key_file: Option<String>, "as_it_is", None, Kind::File, Takes::Restart,
            "its private key (PEM)";
        reverse_proxies: Vec<String>, "list", vec!["127.0.0.1".into(), "::1".into()], Kind::List, Takes::Restart,
            "addresses and networks of reverse proxies. What they write into `X-Forwarded-For` tells who sent a request; default: this host";
        monitors: Vec<String>, "list", vec!["127.0.0.1".into(), "::1".into()], Kind::List, Takes::Restart,
            "addresses and networks that may read `/metrics` and `/health`; default: this host";
        realm: String, "as_it_is", String::new(), Kind::Text, Takes::Restart,
            "realm of device passwords, which must be the one that the proxy's script names; default: the domain of the user's address";
        sip_domain: String, "as_it_is", String::new(), Kind::Text, Takes::Restart,
            "domain that phones are told, a domain of a provider; default: that of the user's address";
        proxy: String, "as_it_is", String::new(), Kind::Text, Takes::Restart,
            "outbound proxy that phones are told, a SIP URI such as `sip:sip.example.com;transport=tls`; default: they find it by their domain";
        transport: String, "as_it_is", "tls".into(), Kind::Choice(&["udp", "tcp", "tls"]), Takes::Restart,
            "transport that phones are told";
        offline_access: bool, "boolean", true, Kind::Boolean, Takes::Restart,
            "the page asks for `offline_access`, so that phones stay signed in after the browser's session at the server has ended";
        session_hours: u32, "number", 12, Kind::Number { least: 1, most: 720, unit: "h" }, Takes::Restart,
            "how long a browser stays signed in at the page. Phones do not depend on it";
        source_limit: u32, "number", 120, Kind::Number { least: 1, most: 65_535, unit: "per minute" }, Takes::Restart,
            "sign-ins and changes of one source (an IPv4 address or an IPv6 /64), as many refused logout tokens, and ten times as many other requests";
        connections: u32, "number", 1024, Kind::Number { least: 8, most: 65_535, unit: "" }, Takes::Restart,
            "connections at the same time; a source that is no reverse proxy has at most an eighth of them";
    } beside {}
}

/// A sign-in page whose settings make sense.
#[derive(Clone, Debug)]
pub struct SignInPage {
    /// The settings.
    pub settings: SignInPageSettings,
    /// `url` without a slash at its end.
    pub base: String,
    /// The address to listen at.
    pub listen: SocketAddr,
    /// Certificate and key.
    pub tls: Option<(String, String)>,
    /// Who tells of whom a request is.
    pub reverse_proxies: IpNetworks,
    /// Who may read numbers.
    pub monitors: IpNetworks,
}

impl SignInPage {
    /// Checks what is written.
    pub fn new(settings: &SignInPageSettings) -> Result<SignInPage, ConfigError> {
        let fail = |key: &str, text: String| ConfigError(format!("sign_in_page: {key}: {text}"));
        if let Some((key, text)) = first_fault(OF_THE_PAGE, &settings.values()) {
            return Err(fail(key, text));
        }
        let base = base(&settings.url).map_err(|text| fail("url", text))?;
        let wrong = |_| fail("listen", format!("'{}' is not ADDRESS:PORT, such as 127.0.0.1:8095", settings.listen));
        let listen = settings.listen.parse().map_err(wrong)?;
        let tls = match (&settings.certificate_file, &settings.key_file) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (Some(_), None) => return Err(fail("key_file", "is missing: the certificate's private key".into())),
            (None, Some(_)) => return Err(fail("certificate_file", "is missing: the key's certificate".into())),
        };
        if !settings.sip_domain.is_empty() && !push_host(&settings.sip_domain, &mut String::new()) {
            return Err(fail("sip_domain", format!("'{}' is not a domain", settings.sip_domain)));
        }
        for (key, text) in [("realm", &settings.realm), ("proxy", &settings.proxy)] {
            if text.contains(['"', '\\', '<', '>']) || text.chars().any(char::is_control) {
                return Err(fail(key, format!("'{}' has a character that phones do not take", text.escape_debug())));
            }
        }
        if !settings.proxy.is_empty() {
            check_proxy(&settings.proxy).map_err(|text| fail("proxy", text))?;
        }
        let networks = |key: &str, list: &[String]| {
            IpNetworks::parse(list.iter().map(String::as_str)).map_err(|text| fail(key, text))
        };
        Ok(SignInPage {
            base,
            listen,
            tls,
            reverse_proxies: networks("reverse_proxies", &settings.reverse_proxies)?,
            monitors: networks("monitors", &settings.monitors)?,
            settings: settings.clone(),
        })
    }

    /// The page of a configuration.
    pub fn configured(settings: Option<&SignInPageSettings>) -> Result<SignInPage, ConfigError> {
        match settings {
            Some(settings) => SignInPage::new(settings),
            None => error(
                "there is no sign-in page in this configuration; write [sign_in_page] with url = \"https://…\", the address at which browsers reach it",
            ),
        }
    }

    /// The page of a whole configuration: what it tells phones must fit the providers.
    pub fn of(policy: &Policy) -> Result<SignInPage, ConfigError> {
        let page = SignInPage::configured(policy.settings.sign_in_page.as_ref())?;
        page.check_domain(&policy.providers)?;
        Ok(page)
    }

    /// A proxy refuses a phone at a domain where its user has no address.
    fn check_domain(&self, providers: &[Provider]) -> Result<(), ConfigError> {
        let (written, mut domain) = (&self.settings.sip_domain, String::new());
        if !push_host(written, &mut domain) {
            return Ok(());
        }
        let mut hosts = Vec::new();
        for provider in providers.iter().filter(|provider| provider.client.is_some()) {
            match &provider.reach {
                Reach::Any => return Ok(()),
                Reach::Hosts(its) => hosts.extend(its.iter().map(String::as_str)),
            }
        }
        if hosts.is_empty() || hosts.contains(&domain.as_str()) {
            return Ok(());
        }
        hosts.truncate(NAMED);
        error(format!(
            "sign_in_page: sip_domain: '{written}' is no domain of a provider, so the proxies would refuse every phone; \
             write one that users have addresses of ({}), or leave sip_domain out",
            hosts.join(", ")
        ))
    }

    /// A sentence for operators whose page offers no typed codes; None: it offers them.
    pub fn note_on_codes(settings: &Settings) -> Option<&'static str> {
        (!settings.typed_codes).then_some(
            "typed codes are off, so the page offers device passwords only; typed_codes = true turns them on",
        )
    }

    /// True when browsers come over TLS.
    pub fn is_https(&self) -> bool {
        self.base.starts_with("https://")
    }
}

/// Phones take a SIP URI. Without its scheme some of them take it for something else.
fn check_proxy(text: &str) -> Result<(), String> {
    let is_uri = |text: &str| {
        let has_scheme = ["sip:", "sips:"]
            .iter()
            .any(|scheme| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme)));
        has_scheme && NextHopRule::parse(text).is_ok()
    };
    if is_uri(text) {
        return Ok(());
    }
    let better = Some(format!("sip:{text}")).filter(|better| is_uri(better));
    let better = better.unwrap_or_else(|| "one such as sip:sip.example.com;transport=tls".into());
    Err(format!("'{text}' is no SIP URI; write {better}"))
}

fn base(url: &str) -> Result<String, String> {
    if url.is_empty() {
        return Err(
            "is missing: write the address at which browsers reach the page, such as https://phones.example.com".into(),
        );
    }
    check_url(url, false)?;
    let uri: Uri = url.parse().map_err(|_| format!("'{url}' is not a URL"))?;
    if uri.path().len() > 1 || uri.query().is_some() || url.contains(['#', '@']) {
        return Err(format!("'{url}' has more than a host and a port; the page needs a host of its own"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Result<SignInPage, String> {
        let settings: SignInPageSettings = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        SignInPage::new(&settings).map_err(|e| e.0)
    }

    #[test]
    fn an_address_is_enough() {
        let page = page("url = \"https://phones.example/\"").unwrap();
        assert_eq!((page.base.as_str(), page.is_https()), ("https://phones.example", true));
        assert_eq!(page.listen.port(), 8095);
        assert!(page.reverse_proxies.contains("127.0.0.1") && !page.reverse_proxies.contains("10.0.0.1"));
    }

    #[test]
    fn every_mistake_names_the_key() {
        for (text, words) in [
            ("", "url: is missing"),
            ("url = \"http://phones.example\"", "url: 'http://phones.example' is not protected"),
            ("url = \"https://phones.example/x\"", "url: 'https://phones.example/x' has more"),
            ("url = \"https://a@phones.example\"", "url: "),
            ("listen = \"8095\"", "listen: '8095' is not"),
            ("certificate_file = \"/c\"", "key_file: is missing"),
            ("key_file = \"/k\"", "certificate_file: is missing"),
            ("transport = \"ws\"", "transport: 'ws' is not possible"),
            ("session_hours = 0", "session_hours: 0 is out of range"),
            ("realm = 'a\"b'", "realm: "),
            ("sip_domain = \"a b\"", "sip_domain: 'a b'"),
            ("proxy = \"sip.example.com\"", "proxy: 'sip.example.com' is no SIP URI; write sip:sip.example.com"),
            ("proxy = \"https://a.example\"", "proxy: 'https://a.example' is no SIP URI; write one such as sip:"),
            ("reverse_proxies = [\"x\"]", "reverse_proxies: "),
        ] {
            let text = if text.contains("url") || text.is_empty() {
                text.into()
            } else {
                format!("url = \"https://p.example\"\n{text}")
            };
            let message = page(&text).unwrap_err();
            assert!(message.starts_with("sign_in_page: ") && message.contains(words), "{text}: {message}");
        }
        assert!(page("colour = \"red\"").unwrap_err().contains("colour"));
        assert!(SignInPage::configured(None).unwrap_err().0.contains("[sign_in_page]"));
    }
}
