// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole configuration, validated. It is immutable, and a reload replaces it as a whole.

use super::decryption::{Encryption, decryption_keys};
use super::http_proxy::HttpProxy;
use super::introspection::TokenStrategy;
use super::new_accounts::NewAccounts;
use super::offer::OfferRule;
use super::provider::Provider;
use super::sessions::{Sessions, store_key};
use super::settings::Settings;
use super::source::Bundle;
use super::{ConfigError, domains, error};
use crate::jose::decryption_keys::DecryptionKeys;
use crate::jose::jwe::CompactJwe;
use crate::jose::jws::CompactJws;
use crate::records::session::Session;
use crate::sip::challenge::Location;
use crate::sip::dialog_mark::DialogKey;
use crate::sip::ip_networks::IpNetworks;
use crate::sip::next_hop::NextHopRule;
use crate::text::fingerprint::visible;
use crate::text::json::Json;

/// Most providers.
pub const MAX_PROVIDERS: usize = 64;
/// Most devices of an address with a Redis store, because their sessions must fit into one entry of the record
/// cache.
const MAX_REMOTE_DEVICES: u32 = 16;

/// A configuration that makes sense.
#[derive(Debug)]
pub struct Policy {
    /// The global settings; `provider` and `offer` are used through the fields below.
    pub settings: Settings,
    /// The providers.
    pub providers: Vec<Provider>,
    /// True when the SIP domain of an address may tell the provider of a token.
    pub asks_for_domains: bool,
    /// The rules about challenges.
    pub offers: Vec<OfferRule>,
    /// PEM text of `ca_file`.
    pub ca_pem: Option<String>,
    /// The HTTP proxy through which servers are asked.
    pub http_proxy: Option<HttpProxy>,
    /// How Location is used in challenges.
    pub location: Location,
    /// Next hops that get the user's access token.
    pub application_servers: Vec<NextHopRule>,
    /// Proxies in front of this one, whose Via tells who sent a request.
    pub trusted_hops: IpNetworks,
    /// The keys that decrypt encrypted tokens.
    pub decryption: DecryptionKeys,
    /// Settings of sessions. If None, codes and proofs of possession are not accepted.
    pub sessions: Option<Sessions>,
    /// The key that makes the marks of dialogs. If None, a key that is made at the start does.
    pub dialog_key: Option<DialogKey>,
    /// How the keys of new accounts are derived, and those that are made up for users who do not exist.
    pub new_accounts: NewAccounts,
}

impl Policy {
    /// Validates a configuration.
    pub fn new(bundle: &Bundle) -> Result<Policy, ConfigError> {
        let settings = &bundle.settings;
        settings.check_ranges()?;
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
        domains::check(&providers, settings)?;
        let ca_pem = settings.ca_file.as_ref().and_then(|path| bundle.files.get(path).cloned());
        if let (Some(path), Some(pem)) = (&settings.ca_file, &ca_pem) {
            check_ca(path, pem)?;
        }
        let offers =
            settings.offer.iter().enumerate().map(|(i, o)| OfferRule::new(o, i + 1)).collect::<Result<_, _>>()?;
        let location = match settings.location.as_str() {
            "yes" => Location::Header,
            "302" => Location::Redirect,
            _ => Location::No,
        };
        let application_servers = settings.application_servers.iter().map(|hop| NextHopRule::parse(hop));
        let application_servers = application_servers
            .collect::<Result<_, _>>()
            .map_err(|e| ConfigError(format!("application_servers: {e}")))?;
        let trusted_hops = IpNetworks::parse(settings.trusted_hops.iter().map(String::as_str))
            .map_err(|e| ConfigError(format!("trusted_hops: {e}")))?;
        if !settings.refer_host.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-_:[];=".contains(&octet)) {
            return error(format!(
                "refer_host: '{}' is no host of a SIP URI; write host or host:port, with parameters such as ;transport=tcp",
                visible(&settings.refer_host)
            ));
        }
        let decryption = decryption_keys(settings, &bundle.files)?;
        if let Some(provider) = providers.iter().find(|p| p.encryption != Encryption::Allowed)
            && decryption.keys().is_empty()
        {
            return error(format!(
                "provider '{}': encryption: needs 'decryption_key_files', the keys that decrypt its tokens",
                provider.name
            ));
        }
        let sessions = Sessions::new(settings, &bundle.files)?;
        if settings.max_devices > MAX_REMOTE_DEVICES && sessions.as_ref().is_some_and(|s| !s.place.is_local()) {
            return error(format!(
                "max_devices: {} is out of range, with a Redis store write 1 to {MAX_REMOTE_DEVICES}",
                settings.max_devices
            ));
        }
        if let Some(provider) = providers.iter().find(|p| p.client.is_some() && p.introspection.is_none())
            && sessions.is_none()
            && !settings.without_store
        {
            return error(format!(
                "provider '{}': client_id: needs 'store', where the sessions of exchanged codes are kept (or 'tokens', when tokens are to be introspected)",
                provider.name
            ));
        }
        let by_domain = |p: &Provider| matches!(p.strategy, TokenStrategy::Opaque | TokenStrategy::ValidationGrant);
        Ok(Policy {
            settings: settings.clone(),
            asks_for_domains: providers.iter().any(by_domain),
            providers,
            offers,
            ca_pem,
            http_proxy: HttpProxy::new(settings, &bundle.files)?,
            location,
            application_servers,
            trusted_hops,
            decryption,
            sessions,
            dialog_key: store_key(settings, &bundle.files)?.map(|secret| DialogKey::new(secret.expose())),
            new_accounts: NewAccounts::new(settings),
        })
    }

    /// The provider whose tokens have this issuer.
    pub fn provider_for_issuer(&self, issuer: &str, tenant: Option<&str>) -> Option<usize> {
        self.providers.iter().position(|p| p.rules.issuers.iter().any(|i| i.accepts(issuer, tenant)))
    }

    /// True when some provider is asked about tokens.
    pub fn introspects(&self) -> bool {
        self.providers.iter().any(|p| p.introspection.is_some())
    }

    /// The provider to ask about a token that does not name its issuer: one that lists the domain it is used for,
    /// else the first that lists none. Without a domain, the first that has opaque tokens.
    pub fn provider_for_opaque(&self, domain: &str) -> Option<usize> {
        let asked = |p: &Provider| p.strategy == TokenStrategy::Opaque;
        if domain.is_empty() {
            return self.providers.iter().position(asked);
        }
        self.first_for(domain, asked)
    }

    /// The provider to ask about a token that cannot be read as a JWT, or that is of no provider. `named` is the
    /// provider that the token names all the same. Without one, the domain tells whom to ask.
    pub fn asked_about(&self, named: Option<usize>, domain: &str) -> Option<usize> {
        match named {
            Some(index) => (self.providers[index].strategy == TokenStrategy::Opaque).then_some(index),
            None => self.provider_for_opaque(domain),
        }
    }

    /// The provider that a JWT names as its issuer, whatever else is wrong with the token.
    pub fn provider_named_by(&self, token: &str) -> Option<usize> {
        let (issuer, tenant) = unverified_issuer(token)?;
        self.provider_for_issuer(&issuer, tenant.as_deref())
    }

    /// The provider that the header of an encrypted token names as its issuer (RFC 7519 section 5.3).
    pub fn provider_named_by_header(&self, token: &str) -> Option<usize> {
        let header = CompactJwe::split(token)?.unverified_header().ok()?;
        self.provider_named_in(&Json::parse(&header).ok()?)
    }

    /// The provider that claims name as their issuer.
    pub fn provider_named_in(&self, claims: &Json<'_>) -> Option<usize> {
        let text = |name: &str| claims.get(name).and_then(Json::as_str);
        self.provider_for_issuer(text("iss")?, text("tid"))
    }

    /// The provider of a session: the one of its name, unless that provider has another issuer now.
    pub fn provider_of_session(&self, session: &Session) -> Option<usize> {
        self.providers.iter().position(|p| p.name == session.provider && p.issuer_name == session.issuer)
    }

    /// The provider to name in a challenge for a domain: one that lists it, else the first.
    pub fn provider_for_domain(&self, domain: &str) -> &Provider {
        let listed = |p: &&Provider| !p.rules.domains.is_empty() && p.rules.serves(domain);
        self.providers.iter().find(listed).unwrap_or(&self.providers[0])
    }

    /// The provider that exchanges the codes of phones of a domain.
    pub fn provider_for_codes(&self, domain: &str) -> Option<usize> {
        self.sessions.as_ref()?;
        self.first_for(domain, |p| p.client.is_some())
    }

    /// The public keys of a provider that signs, as a JWK Set; with an empty name those of the first one.
    pub fn public_jwks(&self, name: &str) -> Option<String> {
        let named = self.providers.iter().filter(|p| name.is_empty() || p.name == name);
        let sign_in = named.filter_map(|p| p.password_sign_in.as_ref()).find(|sign_in| !sign_in.keys.is_empty());
        sign_in.map(|sign_in| sign_in.jwks().to_string())
    }

    /// The provider whose users sign in with a password.
    pub fn provider_for_passwords(&self, domain: &str) -> Option<usize> {
        self.first_for(domain, |p| p.password_sign_in.is_some())
    }

    /// The provider that makes the sessions of a domain's phones, however they sign in.
    pub fn provider_for_sessions(&self, domain: &str) -> Option<usize> {
        self.sessions.as_ref()?;
        self.first_for(domain, |p| p.client.is_some() || p.password_sign_in.is_some())
    }

    /// The provider whose server validates a token from elsewhere, and so learns the token. A token that another
    /// provider may have issued is not from elsewhere. This holds for a JWT of its issuer, an encrypted token if
    /// this proxy has keys, and an opaque token if a provider introspects tokens for this domain.
    pub fn provider_for_foreign_token(&self, token: &str, domain: &str) -> Option<usize> {
        let validates = |p: &Provider| p.strategy == TokenStrategy::ValidationGrant;
        let found = self.first_for(domain, validates)?;
        if CompactJwe::split(token).is_some() {
            return self.decryption.keys().is_empty().then_some(found);
        }
        match unverified_issuer(token) {
            None => self.provider_for_opaque(domain).is_none().then_some(found),
            Some((issuer, tenant)) => match self.provider_for_issuer(&issuer, tenant.as_deref()) {
                Some(issuer) => validates(&self.providers[issuer]).then_some(issuer),
                None => Some(found),
            },
        }
    }

    /// Among the providers that fit, one that lists the domain, else the first that lists none.
    fn first_for(&self, domain: &str, fits: impl Fn(&Provider) -> bool) -> Option<usize> {
        let lists = |i: &usize| {
            let rules = &self.providers[*i].rules;
            !rules.domains.is_empty() && rules.serves(domain)
        };
        let mut all = (0..self.providers.len()).filter(|i| fits(&self.providers[*i]));
        all.clone().find(lists).or_else(|| all.find(|i| self.providers[*i].rules.domains.is_empty()))
    }

    /// True when the user's token may be sent to this SIP URI.
    pub fn is_application_server(&self, next_hop: &str) -> bool {
        self.application_servers.iter().any(|rule| rule.fits(next_hop))
    }

    /// True when the content of an encrypted token may be sent to this SIP URI, too, because an entry of the list
    /// asks for TLS.
    pub fn is_protected_server(&self, next_hop: &str) -> bool {
        self.application_servers.iter().any(|rule| rule.is_protected() && rule.fits(next_hop))
    }

    /// Warnings for the log at start.
    pub fn warnings(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.settings.allows_http() {
            out.push(
                "allow has http: keys may be fetched without protection, anyone on the path can forge tokens".into(),
            );
        }
        let open = |(rule, _): &(&NextHopRule, &String)| !rule.is_protected() && !rule.is_loopback();
        for (_, text) in self.application_servers.iter().zip(&self.settings.application_servers).filter(open) {
            out.push(format!(
                "application_servers: '{text}' gets users' tokens without protection, anyone on the path can use them; \
                 write sip:host:port;transport=tls"
            ));
        }
        for provider in &self.providers {
            for claim in provider.unverified_claims() {
                out.push(format!(
                    "provider '{}': aor: '{claim}' counts although its server may not have verified whose it is, so a user \
                     can name another one's; write {{{claim}|verified}} or required_claims = {{ {claim}_verified = \"true\" }}",
                    provider.name
                ));
            }
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

/// `iss` and `tid` of a token that is a JWT.
fn unverified_issuer(token: &str) -> Option<(String, Option<String>)> {
    let payload = CompactJws::split(token).ok()?.unverified_payload().ok()?;
    let claims = Json::parse(&payload).ok()?;
    let text = |name: &str| claims.get(name)?.as_str().map(str::to_owned);
    Some((text("iss")?, text("tid")))
}

fn check_ca(path: &str, pem: &str) -> Result<(), ConfigError> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
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
    fn scopes_numbers_and_next_hops() {
        let line = format!(
            "{GOOD};method_scopes=INVITE=sip.call sip.pstn,*=sip;services=pstn=sip.pstn;e164=49;required_scopes=sip"
        );
        let policy =
            policy(&[&line], &[("application_servers", "as.example, 10.0.0.5:5080"), ("allow", "long_registrations")])
                .unwrap();
        let provider = &policy.providers[0];
        assert_eq!(provider.scope_for(provider.rules.scopes.of_method("INVITE")), "sip sip.call sip.pstn");
        assert_eq!(provider.rules.scopes.of_method("MESSAGE"), ["sip"]);
        assert_eq!(provider.rules.address("sip:0301234567@x").unwrap().as_str(), "sip:+49301234567@x");
        assert!(policy.is_application_server("sip:bob@10.0.0.5:5080") && !policy.is_application_server("sip:10.0.0.5"));
        assert!(!policy.settings.limits_expires());
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
            ("name=a;issuer=https://as.example;audience=sip;aor={sip};method_scopes=INVITE", "'INVITE' has no '='"),
            (
                "name=a;issuer=https://as.example;audience=sip;aor={sip};method_scopes=INVITE=a,invite=b",
                "method_scopes: 'invite' is given twice",
            ),
            ("name=a;issuer=https://as.example;audience=sip;aor={sip};services=pstn=", "services: 'pstn' has no scope"),
            ("name=a;issuer=https://as.example;audience=sip;aor={sip};e164=030", "e164: '030' has no country code"),
            ("name=a;issuer=https://as.example;audience=sip;aor=sip:{p|e164}@x", "needs the setting e164"),
            ("name=a;issuer=https://as.example;audience=sip;aor=sip:{p|digits}@x", "'digits' is no filter"),
            ("name=a;issuer=https://as.example;audience=sip;aor={sip};encryption=yes", "encryption: 'yes' is not"),
            (
                "name=a;issuer=https://as.example;audience=sip;aor={sip};encryption=required",
                "provider 'a': encryption: needs 'decryption_key_files'",
            ),
        ] {
            let text = policy(&[line], &[]).unwrap_err();
            assert!(text.contains(words), "{line}: {text}");
        }
        assert!(policy(&[], &[]).unwrap_err().contains("no provider"));
        assert!(policy(&[GOOD, GOOD], &[]).unwrap_err().contains("used twice"));
        assert!(policy(&[GOOD, &GOOD.replace("name=a", "name=b")], &[]).unwrap_err().contains("same one"));
        assert!(policy(&[GOOD], &[("leeway", "9999")]).unwrap_err().contains("leeway: 9999"));
        let hops = policy(&[GOOD], &[("trusted_hops", "10.0.0.0/8, edge.example")]).unwrap_err();
        assert!(hops.starts_with("trusted_hops: 'edge.example' is no address"), "{hops}");
        let servers = policy(&[GOOD], &[("application_servers", "as.example, sip:x@y")]).unwrap_err();
        assert!(servers.contains("application_servers: 'sip:x@y' is no next hop"), "{servers}");
        assert!(policy(&[GOOD], &[("scope_status", "200")]).unwrap_err().contains("scope_status"));
    }
}
