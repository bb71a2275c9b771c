// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole configuration, validated: immutable, replaced as a whole by a reload.

use super::offer::OfferRule;
use super::provider::Provider;
use super::sessions::Sessions;
use super::settings::Settings;
use super::source::Bundle;
use super::{ConfigError, error};
use crate::proto::challenge::Location;

/// Most providers.
pub const MAX_PROVIDERS: usize = 64;
/// Most devices of an address whose sessions must fit into an entry of the record cache.
const MAX_REMOTE_DEVICES: u32 = 16;

/// A configuration that makes sense.
#[derive(Debug)]
pub struct Policy {
    /// The global settings; `provider` and `offer` are used through the fields below.
    pub settings: Settings,
    /// The providers.
    pub providers: Vec<Provider>,
    /// The rules about challenges.
    pub offers: Vec<OfferRule>,
    /// PEM text of `ca_file`.
    pub ca_pem: Option<String>,
    /// How Location is used in challenges.
    pub location: Location,
    /// Sessions; None: codes and proofs of possession are not accepted.
    pub sessions: Option<Sessions>,
}

impl Policy {
    /// Validates a configuration.
    pub fn new(bundle: &Bundle) -> Result<Policy, ConfigError> {
        let settings = &bundle.settings;
        check_globals(settings)?;
        if settings.provider.is_empty() {
            return error(
                "no provider is configured; add a provider line (name=…;issuer=…;audience=…;aor=…) or a [[provider]] in config_file",
            );
        }
        if settings.provider.len() > MAX_PROVIDERS {
            return error(format!(
                "{} providers are configured, at most {MAX_PROVIDERS} are possible",
                settings.provider.len()
            ));
        }
        let mut providers: Vec<Provider> = Vec::new();
        for provider in &settings.provider {
            let provider = Provider::new(provider, settings, &bundle.files)?;
            if providers.iter().any(|p| p.name == provider.name) {
                return error(format!("provider '{}': name: is used twice", provider.name));
            }
            if let Some(other) =
                providers.iter().find(|p| p.rules.issuers.iter().any(|i| provider.rules.issuers.contains(i)))
            {
                return error(format!(
                    "provider '{}': issuer: provider '{}' has the same one",
                    provider.name, other.name
                ));
            }
            providers.push(provider);
        }
        let ca_pem = settings.ca_file.as_ref().and_then(|path| bundle.files.get(path).cloned());
        if let (Some(path), Some(pem)) = (&settings.ca_file, &ca_pem) {
            check_ca(path, pem)?;
        }
        let offers =
            settings.offer.iter().enumerate().map(|(i, o)| OfferRule::new(o, i + 1)).collect::<Result<_, _>>()?;
        let location = match settings.location.as_str() {
            "no" | "false" | "0" => Location::No,
            "yes" | "true" | "1" => Location::Header,
            "302" => Location::Redirect,
            other => return error(format!("location: '{other}' is not possible, write no, yes or 302")),
        };
        let sessions = Sessions::new(settings, &bundle.files)?;
        if settings.max_devices > MAX_REMOTE_DEVICES && sessions.as_ref().is_some_and(|s| !s.place.is_local()) {
            return error(format!(
                "max_devices: {} is out of range, with a Redis store write 1 to {MAX_REMOTE_DEVICES}",
                settings.max_devices
            ));
        }
        if let Some(provider) = providers.iter().find(|p| p.client.is_some())
            && sessions.is_none()
        {
            return error(format!(
                "provider '{}': client_id: needs 'store', where the sessions of exchanged codes are kept",
                provider.name
            ));
        }
        Ok(Policy { settings: settings.clone(), providers, offers, ca_pem, location, sessions })
    }

    /// The provider whose tokens have this issuer.
    pub fn provider_for_issuer(&self, issuer: &str, tenant: Option<&str>) -> Option<usize> {
        self.providers.iter().position(|p| p.rules.issuers.iter().any(|i| i.accepts(issuer, tenant)))
    }

    /// The provider to name in a challenge for a domain: one that lists it, else the first.
    pub fn provider_for_domain(&self, domain: &str) -> &Provider {
        let listed = |p: &&Provider| !p.rules.domains.is_empty() && p.rules.serves(domain);
        self.providers.iter().find(listed).unwrap_or(&self.providers[0])
    }

    /// The provider that exchanges the codes of phones of a domain: one that lists it, else the first with a client.
    pub fn provider_for_codes(&self, domain: &str) -> Option<usize> {
        let exchanges = |i: &usize| self.providers[*i].client.is_some();
        let lists = |i: &usize| {
            let rules = &self.providers[*i].rules;
            !rules.domains.is_empty() && rules.serves(domain)
        };
        let mut all = (0..self.providers.len()).filter(exchanges);
        all.clone().find(lists).or_else(|| all.find(|i| self.providers[*i].rules.domains.is_empty()))
    }

    /// Warnings for the log at start.
    pub fn warnings(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.settings.allow_http {
            out.push(
                "allow_http is set: keys may be fetched without protection, anyone on the path can forge tokens".into(),
            );
        }
        if self.sessions.as_ref().is_some_and(|s| s.place.is_unprotected()) {
            out.push(
                "store: redis:// to another host is not protected, its password can be read on the way; use rediss://"
                    .into(),
            );
        }
        out
    }
}

fn check_globals(s: &Settings) -> Result<(), ConfigError> {
    let ranges = [
        ("leeway", s.leeway, 0, 600),
        ("retry_after", s.retry_after, 1, 3600),
        ("max_pending", s.max_pending, 1, 100_000),
        ("pending_timeout", s.pending_timeout, 1, 30),
        ("key_refresh_interval", s.key_refresh_interval, 60, 86_400),
        ("key_cooldown", s.key_cooldown, 1, 3600),
        ("key_burst", s.key_burst, 1, 100),
        ("key_source_limit", s.key_source_limit, 1, 1000),
        ("key_max_stale", s.key_max_stale, 60, 31_536_000),
        ("token_cache_size", s.token_cache_size, 0, 1_000_000),
        ("max_token_size", s.max_token_size, 256, 65_536),
        ("http_threads", s.http_threads, 2, 256),
        ("http_per_provider", s.http_per_provider, 1, 255),
        ("store_size", s.store_size, 1, 1_048_576),
        ("store_timeout", s.store_timeout, 10, 10_000),
        ("store_cache", s.store_cache, 1, 3600),
        ("store_cache_size", s.store_cache_size, 16, 1_048_576),
        ("session_lifetime", s.session_lifetime, 60, 315_360_000),
        ("max_devices", s.max_devices, 1, 64),
        ("code_lifetime", s.code_lifetime, 10, 86_400),
        ("code_source_limit", s.code_source_limit, 1, 65_535),
        ("short_code_tries", s.short_code_tries, 1, 1000),
        ("short_code_source_tries", s.short_code_source_tries, 1, 65_535),
        ("pop_window", s.pop_window, 5, 3600),
        ("replay_guard_size", s.replay_guard_size, 1024, 16_777_216),
        ("http_timeout", s.http_timeout, 1, 60),
        ("connect_timeout", s.connect_timeout, 1, 60),
    ];
    for (key, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            return error(format!("{key}: {value} is out of range, write {least} to {most}"));
        }
    }
    if s.http_per_provider >= s.http_threads {
        return error(format!(
            "http_per_provider: {} must be less than http_threads ({}): one provider must not keep all busy",
            s.http_per_provider, s.http_threads
        ));
    }
    if ![401, 403].contains(&s.scope_status) {
        return error(format!("scope_status: {} is not possible, write 401 or 403", s.scope_status));
    }
    Ok(())
}

fn check_ca(path: &str, pem: &str) -> Result<(), ConfigError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut count = 0;
    for block in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        block.map_err(|e| ConfigError(format!("ca_file: {path} is not valid PEM: {e}")))?;
        count += 1;
    }
    if count == 0 {
        return error(format!("ca_file: {path} has no CERTIFICATE block"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;

    fn policy(lines: &[&str], globals: &[(&str, &str)]) -> Result<Policy, String> {
        let mut source = Source::default();
        for (key, value) in globals {
            source.set(key, value).map_err(|e| e.0)?;
        }
        for line in lines {
            source.add_provider(line).map_err(|e| e.0)?;
        }
        Policy::new(&source.load().map_err(|e| e.0)?).map_err(|e| e.0)
    }

    const GOOD: &str = "name=a;issuer=https://as.example;audience=sip;aor=sip:{email}";

    #[test]
    fn a_good_one() {
        let policy = policy(&[GOOD], &[("leeway", "5"), ("location", "yes")]).unwrap();
        assert_eq!(policy.providers[0].rules.leeway, 5);
        assert_eq!(policy.location, Location::Header);
        assert!(policy.providers[0].rules.algorithms.iter().all(|a| !a.is_symmetric()));
    }

    #[test]
    fn every_mistake_names_provider_key_and_fix() {
        for (line, words) in [
            ("name=a", "provider 'a': issuer: is missing"),
            ("issuer=https://x", "name: write a short name"),
            ("name=a;issuer=http://as.example;audience=sip;aor={sip}", "write https://"),
            ("name=a;issuer=https://as.example;aor={sip}", "audience: is missing"),
            ("name=a;issuer=https://as.example;audience=none;aor={sip}", "needs 'clients'"),
            ("name=a;issuer=https://as.example;audience=sip", "aor: is missing"),
            ("name=a;issuer=https://as.example;audience=sip;aor=sip:{u}@{domain}", "domain: is missing"),
            ("name=a;issuer=https://as.example;audience=sip;aor=bob", "aor: 'bob'"),
            ("name=a;issuer=https://as.example;audience=sip;aor={sip};algorithms=none", "'none' is not one of"),
            ("name=a;issuer=https://as.example;audience=sip;aor={sip};algorithms=HS256", "needs a 'secret'"),
            ("name=a;issuer=https://as.example;audience=sip;aor={sip};secret=short", "at least 32 octets"),
            (
                "name=a;issuer=https://as.example;audience=sip;aor={sip};jwks_uri=https://a;pem_file=/dev/null",
                "choose one source",
            ),
            ("name=a;issuer=https://as.example/{tenantid};audience=sip;aor={sip}", "discovery_url: is missing"),
            (
                "name=a;issuer=https://as.example/{tenantid};jwks_uri=https://as.example/j;audience=sip;aor={sip}",
                "authz_server: is missing",
            ),
            (
                "name=a;issuer=https://as.example/{tenantid};jwks_uri=https://as.example/j;authz_server=https://as.example;audience=sip;aor={sip}",
                "tenants: is missing",
            ),
            ("name=a;issuer=https://as.example;audience=sip;aor={sip};pem_file=/dev/null", "no PUBLIC KEY"),
            ("name=a;issuer=https://as.example;audience=sip;aor={sip};third_party=bob", "third_party: 'bob'"),
        ] {
            let text = policy(&[line], &[]).unwrap_err();
            assert!(text.contains(words), "{line}: {text}");
        }
        assert!(policy(&[], &[]).unwrap_err().contains("no provider"));
        assert!(policy(&[GOOD, GOOD], &[]).unwrap_err().contains("used twice"));
        assert!(policy(&[GOOD, &GOOD.replace("name=a", "name=b")], &[]).unwrap_err().contains("same one"));
        assert!(policy(&[GOOD], &[("leeway", "9999")]).unwrap_err().contains("leeway: 9999"));
        assert!(policy(&[GOOD], &[("scope_status", "200")]).unwrap_err().contains("scope_status"));
    }
}
