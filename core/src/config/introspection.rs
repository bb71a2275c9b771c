// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which tokens of a provider are shown to its server (RFC 7662), where, and how long its answers are kept.

use super::ConfigError;
use super::client::{Client, ClientAuth, endpoint};
use super::provider::{Fail, TENANT};
use super::provider_settings::ProviderSettings;
use super::settings::Settings;

/// How a provider's tokens are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenStrategy {
    /// As JWTs, by the provider's keys (RFC 9068).
    #[default]
    Jwt,
    /// By introspection alone, because the text of a token says nothing.
    Opaque,
    /// As JWTs, and then by introspection, so that revoked ones are found.
    JwtThenIntrospection,
    /// Tokens come from elsewhere. The server validates each token once and replaces it with another one
    /// (sip-oauth section 5.2).
    ValidationGrant,
}

/// Introspection at a provider.
#[derive(Debug)]
pub struct Introspection {
    /// The endpoint, when it is configured.
    pub endpoint: Option<String>,
    /// Metadata documents that name the endpoint if it is not configured (introspection_endpoint), tried in this
    /// order.
    pub discovery: Vec<String>,
    /// Whether signed answers are asked for (RFC 9701). If None, the metadata decides.
    pub signed: Option<bool>,
    /// Positive answers are kept for at most this many seconds. With 0, the server is asked for each request
    /// (instant revocation).
    pub cache: u32,
    /// Negative answers are kept for this many seconds.
    pub negative_cache: u32,
}

const OPAQUE_CACHE: u32 = 60;
const NEGATIVE_CACHE: u32 = 10;

impl TokenStrategy {
    /// The name as it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            TokenStrategy::Jwt => "jwt",
            TokenStrategy::Opaque => "opaque",
            TokenStrategy::JwtThenIntrospection => "jwt_and_introspection",
            TokenStrategy::ValidationGrant => "validation_grant",
        }
    }

    /// Reads the setting `tokens`.
    pub(super) fn new(settings: &ProviderSettings) -> TokenStrategy {
        match settings.tokens.as_deref() {
            Some("opaque") => TokenStrategy::Opaque,
            Some("jwt_and_introspection") => TokenStrategy::JwtThenIntrospection,
            Some("validation_grant") => TokenStrategy::ValidationGrant,
            _ => TokenStrategy::Jwt,
        }
    }
}

impl Introspection {
    /// Reads the settings; None when the provider's tokens are checked as JWTs only.
    pub(super) fn new(
        settings: &ProviderSettings,
        strategy: TokenStrategy,
        client: Option<&Client>,
        global: &Settings,
        fail: &Fail<'_>,
    ) -> Result<Option<Introspection>, ConfigError> {
        if matches!(strategy, TokenStrategy::Jwt | TokenStrategy::ValidationGrant) {
            return match given(settings) {
                Some(key) => Err(fail(
                    key,
                    format!("is not used with tokens = {}; remove it, or set tokens = opaque", strategy.name()),
                )),
                None => Ok(None),
            };
        }
        // The server must know who asks, or it would tell everyone about everyone's tokens.
        let Some(client) = client else {
            return Err(fail(
                "client_id",
                "is missing: introspection needs a client of the proxy's own at this server (RFC 7662 section 2.1)"
                    .into(),
            ));
        };
        if matches!(client.auth, ClientAuth::None) {
            return Err(fail(
                "client_auth",
                "none is not enough for introspection (RFC 7662 section 2.1); write client_secret_file, client_key_file, or client_cert_file with client_key_file".into(),
            ));
        }
        if settings.accept_id_tokens {
            return Err(fail(
                "accept_id_tokens",
                format!("is not possible with tokens = {}: servers introspect access tokens", strategy.name()),
            ));
        }
        if strategy == TokenStrategy::Opaque && !matches!(settings.encryption.as_deref(), None | Some("allowed")) {
            return Err(fail(
                "encryption",
                "is not possible with tokens = opaque, which cannot be encrypted; let phones use TLS".into(),
            ));
        }
        if settings.issuer.contains(TENANT) {
            return Err(fail(
                "issuer",
                format!("must not have {TENANT} where tokens are introspected; write one provider per tenant"),
            ));
        }
        let cache = if strategy == TokenStrategy::Opaque { OPAQUE_CACHE } else { 0 };
        let written = settings.introspection_endpoint.as_ref();
        let (endpoint, discovery) = endpoint(("introspection_endpoint", written), settings, global, fail)?;
        if let Some(url) = &endpoint {
            client.auth.fits(url).map_err(|e| fail("introspection_endpoint", e))?;
        }
        Ok(Some(Introspection {
            endpoint,
            discovery,
            signed: settings.introspection_signed,
            cache: settings.introspection_cache.unwrap_or(cache),
            negative_cache: settings.introspection_negative_cache.unwrap_or(NEGATIVE_CACHE),
        }))
    }
}

/// A key about introspection that the configuration sets.
fn given(settings: &ProviderSettings) -> Option<&'static str> {
    let keys = [
        ("introspection_endpoint", settings.introspection_endpoint.is_some()),
        ("introspection_signed", settings.introspection_signed.is_some()),
        ("introspection_cache", settings.introspection_cache.is_some()),
        ("introspection_negative_cache", settings.introspection_negative_cache.is_some()),
    ];
    keys.iter().find(|key| key.1).map(|key| key.0)
}

#[cfg(test)]
mod tests {
    use super::super::policy::Policy;
    use super::super::source::Source;
    use super::*;

    fn policy(line: &str, globals: &[(&str, &str)]) -> Result<Policy, String> {
        let mut source = Source::default();
        for (key, value) in globals {
            source.set(key, value).map_err(|e| e.0)?;
        }
        let line = format!("name=a;audience=sip;aor={{sip}};{line}");
        let line = if line.contains("issuer=") { line } else { format!("{line};issuer=https://as.example") };
        source.add_provider(&line).map_err(|e| e.0)?;
        Policy::new(&source.load().map_err(|e| e.0)?).map_err(|e| e.0)
    }

    const CLIENT: &str = "client_id=proxy;client_secret=hush";
    const STORE: [(&str, &str); 2] = [("store", "/nowhere"), ("store_key", "0123456789abcdef0123456789abcdef")];

    fn provider(line: &str) -> (TokenStrategy, Option<Introspection>, bool) {
        let mut policy = policy(line, &[]).unwrap();
        let provider = policy.providers.remove(0);
        let watches = provider.watches_keys();
        (provider.strategy, provider.introspection, watches)
    }

    #[test]
    fn the_strategies() {
        let (strategy, introspection, watches) = provider("");
        assert!(strategy == TokenStrategy::Jwt && introspection.is_none() && watches);
        assert!(provider("tokens=jwt").1.is_none());
        let (strategy, introspection, watches) = provider(&format!("tokens=opaque;{CLIENT}"));
        let introspection = introspection.unwrap();
        assert!(strategy == TokenStrategy::Opaque && !watches, "keys that nothing needs are not fetched");
        assert_eq!((introspection.cache, introspection.negative_cache), (60, 10));
        assert_eq!((introspection.endpoint, introspection.discovery.len()), (None, 2));
        let (strategy, introspection, watches) = provider(&format!("tokens=jwt_and_introspection;{CLIENT}"));
        assert!(strategy == TokenStrategy::JwtThenIntrospection && watches);
        assert_eq!(introspection.unwrap().cache, 0, "a revoked token is found at once");
        let all = "tokens=opaque;introspection_endpoint=https://as.example/i;introspection_cache=0;introspection_negative_cache=3600";
        let introspection = provider(&format!("{all};{CLIENT}")).1.unwrap();
        assert_eq!((introspection.cache, introspection.negative_cache), (0, 3600));
        assert_eq!(introspection.endpoint.as_deref(), Some("https://as.example/i"));
        assert!(introspection.discovery.is_empty());
    }

    #[test]
    fn an_issuer_that_is_only_a_name_will_do() {
        let all =
            "issuer=corp;tokens=opaque;introspection_endpoint=https://as.example/i;authz_server=https://as.example";
        assert!(policy(&format!("{all};{CLIENT}"), &[]).is_ok());
        let jwt = all.replace("opaque", "jwt_and_introspection");
        assert!(policy(&format!("{jwt};{CLIENT}"), &[]).unwrap_err().contains("issuer: 'corp/"));
        let text = policy(&format!("{all};{CLIENT}"), &STORE).unwrap_err();
        assert!(text.contains("token_endpoint: is missing"), "codes could not be exchanged: {text}");
    }

    #[test]
    fn a_client_that_only_introspects_exchanges_no_codes() {
        let line = format!("tokens=opaque;{CLIENT}");
        assert_eq!(policy(&line, &[]).unwrap().provider_for_codes("example.test"), None);
        assert_eq!(policy(&line, &STORE).unwrap().provider_for_codes("example.test"), Some(0));
        let text = policy(CLIENT, &[]).unwrap_err();
        assert!(text.contains("client_id: needs 'store'") && text.contains("'tokens'"), "{text}");
    }

    #[test]
    fn every_mistake_names_provider_key_and_fix() {
        for (line, words) in [
            (
                "tokens=reference",
                "tokens: 'reference' is not possible, write jwt, opaque, jwt_and_introspection or validation_grant",
            ),
            ("tokens=opaque", "client_id: is missing: introspection needs a client"),
            ("tokens=jwt_and_introspection", "client_id: is missing"),
            ("tokens=opaque;client_id=proxy", "client_auth: none is not enough"),
            ("tokens=opaque;client_id=proxy;client_auth=none", "client_auth: none is not enough"),
            ("introspection_cache=5", "introspection_cache: is not used with tokens = jwt; remove it"),
            ("tokens=jwt;introspection_endpoint=https://as.example/i", "introspection_endpoint: is not used"),
            ("introspection_negative_cache=5", "introspection_negative_cache: is not used"),
            ("introspection_signed=no", "introspection_signed: is not used with tokens = jwt"),
            (
                "tokens=opaque;introspection_cache=3601;client_id=p;client_secret=s",
                "introspection_cache: 3601 is out of",
            ),
            ("tokens=opaque;introspection_negative_cache=3601;client_id=p;client_secret=s", "write 0 to 3600"),
            (
                "tokens=opaque;introspection_endpoint=http://as.example/i;client_id=p;client_secret=s",
                "introspection_endpoint: 'http://as.example/i' is not protected",
            ),
            (
                "tokens=opaque;issuer=corp;client_id=p;client_secret=s",
                "introspection_endpoint: is missing, and the issuer",
            ),
            (
                "tokens=opaque;issuer=https://as.example/{tenantid};discovery_url=https://as.example/x;authz_server=https://as.example;tenants=a;client_id=p;client_secret=s",
                "issuer: must not have {tenantid}",
            ),
        ] {
            let text = policy(line, &[]).unwrap_err();
            assert!(text.starts_with("provider 'a': ") && text.contains(words), "{line}: {text}");
        }
    }
}
